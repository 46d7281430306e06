"""Bars as arrays: a part of a history is the same as that part of the whole."""

import datetime as dt
from decimal import Decimal

import numpy as np
import pytest

from portfolios.models import Asset, CorporateAction
from portfolios.selectors.market_data import (
    Bars,
    bars_of,
    closes_of,
    first_bar_days,
    last_bar_days,
    recent_bars_of,
)
from tests.support import factories as make

pytestmark = pytest.mark.django_db

DAYS = [dt.date(2024, 3, day) for day in range(1, 21)]


@pytest.fixture
def assets() -> list[Asset]:
    """One has been split, one has neither high nor volume on some days, one has no bars at all."""
    made = [make.make_asset(symbol) for symbol in ("SPLIT", "GAPS", "NONE")]
    for place, day in enumerate(DAYS):
        price = Decimal(100 + place)
        make.make_price(made[0], day, price, high=price + 1, low=price - 1, volume=1000 + place)
        if day.day % 3:
            make.make_price(made[1], day, price / 2, low=price / 3)
    CorporateAction.objects.create(asset=made[0], kind="split", ex_date=DAYS[14], ratio_new=4, ratio_old=1)
    return made


def assert_same(found: Bars, expected: Bars, kept: np.ndarray) -> None:
    np.testing.assert_array_equal(found.dates, expected.dates[kept])
    np.testing.assert_array_equal(found.close, expected.close[kept])
    np.testing.assert_array_equal(found.traded_close, expected.traded_close[kept])
    assert found.splits == expected.splits


def test_recent_bars_are_those_of_the_whole_history(assets: list[Asset]) -> None:
    ids = [asset.pk for asset in assets]
    whole = bars_of(ids, DAYS[-2])
    recent = recent_bars_of(ids, DAYS[-2], since=DAYS[10], figures_since=DAYS[16], days=DAYS[3:5])
    assert recent.keys() == whole.keys() == set(ids[:2])
    for asset_id, bars in whole.items():
        days = bars.dates.tolist()
        kept = np.array([day >= DAYS[10] or day in DAYS[3:5] for day in days])
        assert 0 < kept.sum() < len(days)
        assert_same(recent[asset_id], bars, kept)
        has_figures = np.array([day >= DAYS[16] for day in days])[kept]
        for name in ("high", "low", "volume"):
            figures = np.where(has_figures, getattr(bars, name)[kept], np.nan)
            np.testing.assert_array_equal(getattr(recent[asset_id], name), figures)


def test_closes_alone_are_those_of_the_bars(assets: list[Asset]) -> None:
    ids = [asset.pk for asset in assets]
    whole, closes = bars_of(ids, DAYS[-1]), closes_of(ids, DAYS[-1])
    assert closes.keys() == whole.keys()
    for asset_id, bars in whole.items():
        assert_same(closes[asset_id], bars, np.arange(len(bars.dates)))
        assert np.isnan(closes[asset_id].high).all()


def test_first_and_last_days_of_bars(assets: list[Asset]) -> None:
    split, gaps, nothing = assets
    assert first_bar_days([a.pk for a in assets]) == {split.pk: DAYS[0], gaps.pk: DAYS[0]}
    # GAPS has no bar on the 9th and the 18th.
    assert last_bar_days([gaps.pk, nothing.pk], [DAYS[8], DAYS[17]]) == {DAYS[7], DAYS[16]}
    assert last_bar_days([split.pk, gaps.pk], [DAYS[8]]) == {DAYS[7], DAYS[8]}
    assert last_bar_days([split.pk], [DAYS[0] - dt.timedelta(days=1)]) == set()


def test_no_assets_have_no_bars() -> None:
    assert bars_of([], DAYS[0]) == closes_of([], DAYS[0]) == first_bar_days([]) == {}

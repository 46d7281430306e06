"""A blend takes its returns from its components, so nobody asks for prices of it or stores any."""

import datetime as dt
from decimal import Decimal
from pathlib import Path

import pytest

from analytics.services.blends import blend_save
from portfolios.models import PriceBar
from portfolios.selectors.staleness_report import last_price_days, staleness_report
from portfolios.services.import_prices import prices_import
from tests.support.factories import make_asset
from tests.support.imports import counts, nothing_written, refusals, write_file

pytestmark = pytest.mark.django_db

ROWS = ("symbol,date,open,high,low,close,volume", "AAA,2024-01-02,,,,5,", "MIX,2024-01-02,,,,6,")


@pytest.fixture(autouse=True)
def mix() -> None:
    blend_save(
        symbol="MIX",
        name="The mix",
        currency="USD",
        components={make_asset("AAA"): Decimal(100)},
        rebalance_frequency="monthly",
    )


def test_prices_of_a_blend_are_refused(tmp_path: Path) -> None:
    path = write_file(tmp_path, *ROWS)
    reason = "has no prices of its own: it is a blend of other assets"
    with nothing_written():
        assert refusals(prices_import(path)) == [(3, "symbol", "MIX", reason)]
    assert counts(prices_import(path, on_error="skip")) == (2, 1, 0, 0, 1)
    assert PriceBar.objects.get().asset.symbol == "AAA"


def test_feeds_are_not_asked_for_a_blend() -> None:
    assert last_price_days(dt.date(2024, 1, 31)) == [("AAA", None)]


def test_a_blend_is_not_reported_as_missing_prices() -> None:
    assert "MIX" not in {line.subject for line in staleness_report(dt.date(2024, 1, 31))}

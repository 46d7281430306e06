"""Columns read in one query equal what the ORM reads row by row."""

import datetime as dt
from decimal import Decimal

import numpy as np
import pytest

from portfolio_site.kernel.columns import read_columns
from portfolios.models import Asset, ExchangeRate, PriceBar
from tests.support import factories as make

pytestmark = pytest.mark.django_db

DAYS = [dt.date(2024, 3, 27), dt.date(2024, 3, 28)]


def test_numbers_dates_keys_and_texts() -> None:
    asset = make.make_asset()
    make.make_price(asset, DAYS[1], Decimal("0.1"), source="WIKI")
    make.make_price(asset, DAYS[0], 100, adjusted_through=DAYS[1], volume=Decimal("12.5"))
    columns = read_columns(
        PriceBar.objects.order_by("date"), "asset", "date", "close", "volume", "adjusted_through", "source"
    )
    assert {name: values.dtype.kind for name, values in columns.items()} == {
        "asset": "i",
        "date": "M",
        "close": "f",
        "volume": "f",
        "adjusted_through": "M",
        "source": "O",
    }
    assert columns["asset"].tolist() == [asset.pk, asset.pk]
    assert columns["date"].tolist() == DAYS
    assert columns["close"].tolist() == [100.0, 0.1]
    np.testing.assert_array_equal(columns["volume"], [12.5, np.nan])
    assert columns["adjusted_through"].tolist() == [DAYS[1], None]
    assert columns["source"].tolist() == ["", "WIKI"]


def test_a_key_that_is_a_text_stays_one() -> None:
    make.make_exchange_rate("EUR", "USD")
    columns = read_columns(ExchangeRate.objects.all(), "base", "quote")
    assert (columns["base"].tolist(), columns["quote"].tolist()) == (["EUR"], ["USD"])


def test_the_order_and_the_filter_of_the_query_hold() -> None:
    assets = [make.make_asset(symbol) for symbol in ("B", "C", "A")]
    columns = read_columns(Asset.objects.exclude(symbol="C").order_by("-symbol"), "symbol", "id")
    assert columns["symbol"].tolist() == ["B", "A"]
    assert columns["id"].tolist() == [assets[0].pk, assets[2].pk]


@pytest.mark.parametrize("symbols", [["NONE"], []], ids=["no match", "empty list"])
def test_no_rows_are_empty_arrays_of_their_kind(symbols: list[str]) -> None:
    columns = read_columns(
        PriceBar.objects.filter(asset__symbol__in=symbols), "asset", "date", "close", "source"
    )
    assert {name: (len(values), values.dtype.kind) for name, values in columns.items()} == {
        "asset": (0, "i"),
        "date": (0, "M"),
        "close": (0, "f"),
        "source": (0, "O"),
    }


def test_it_takes_one_query(django_assert_num_queries: pytest.FixtureRequest) -> None:
    make.make_price(make.make_asset())
    with django_assert_num_queries(1):  # type: ignore[operator]
        read_columns(PriceBar.objects.all(), "asset", "date", "close")

"""Benchmarks beside a portfolio: rebased, in its currency, and unknown where something is missing."""

import datetime as dt

import numpy as np
import pytest
from django.test import Client
from django.urls import reverse

from analytics.selectors.benchmark_levels import benchmark_growths
from portfolios.models import Asset, Portfolio
from tests.support import factories as make

pytestmark = [pytest.mark.django_db, pytest.mark.once]

BEFORE, *DAYS = [dt.date(2024, 3, 1), *(dt.date(2024, 3, day) for day in (4, 5, 6))]


@pytest.fixture
def portfolio() -> Portfolio:
    return make.make_portfolio("HOME")


def priced(symbol: str, closes: dict[dt.date, float], **fields: str) -> Asset:
    asset = make.make_asset(symbol, **fields)
    for day, close in closes.items():
        make.make_price(asset, day, close)
    return asset


def growth_of(portfolio: Portfolio) -> tuple[list[float], str]:
    (found,) = benchmark_growths(portfolio, np.array(DAYS, dtype="datetime64[D]"))
    return found.levels.tolist(), found.reason


def test_a_hundred_is_the_evening_before_and_holidays_are_carried(portfolio: Portfolio) -> None:
    make.make_benchmark(portfolio, priced("IDX", {BEFORE: 50, DAYS[0]: 55, DAYS[2]: 60}))
    assert growth_of(portfolio) == ([pytest.approx(110), pytest.approx(110), pytest.approx(120)], "")


def test_prices_that_begin_on_the_first_day_begin_with_a_hundred(portfolio: Portfolio) -> None:
    make.make_benchmark(portfolio, priced("IDX", {DAYS[0]: 50, DAYS[2]: 55}))
    assert growth_of(portfolio)[0] == pytest.approx([100, 100, 110])


def test_levels_are_in_the_currency_of_the_portfolio(portfolio: Portfolio) -> None:
    make.make_benchmark(portfolio, priced("DAX", dict.fromkeys(DAYS, 100), currency="EUR"))
    make.make_currency("EUR")
    for day, rate in zip(DAYS, ("1.0", "1.1", "1.2"), strict=True):
        make.make_exchange_rate("EUR", "USD", date=day, rate=rate)
    assert growth_of(portfolio)[0] == pytest.approx([100, 110, 120])


def test_without_rates_it_is_unknown_and_says_so(portfolio: Portfolio) -> None:
    make.make_benchmark(portfolio, priced("DAX", dict.fromkeys(DAYS, 100), currency="EUR"))
    levels, reason = growth_of(portfolio)
    assert np.isnan(levels).all()
    assert reason == "no rate from EUR to USD"


def test_prices_that_begin_late_are_no_comparison(portfolio: Portfolio) -> None:
    make.make_benchmark(portfolio, priced("IDX", {DAYS[1]: 50, DAYS[2]: 55}))
    levels, reason = growth_of(portfolio)
    assert np.isnan(levels).all()
    assert reason == "no level on the first day, 2024-03-04"


def test_a_blend_is_made_of_its_components(portfolio: Portfolio) -> None:
    up = priced("UP", {BEFORE: 100, DAYS[0]: 110, DAYS[1]: 110, DAYS[2]: 110})
    still = priced("STILL", {BEFORE: 100, DAYS[0]: 100, DAYS[1]: 100, DAYS[2]: 120})
    blend = make.make_blend({up: 50, still: 50}, "MIX", rebalance_frequency="daily")
    make.make_benchmark(portfolio, blend.asset)
    assert growth_of(portfolio)[0] == pytest.approx([105, 105, 105 * 1.1])


def test_the_overview_names_all_active_benchmarks(portfolio: Portfolio, client: Client) -> None:
    primary = priced("PRIME", {BEFORE: 100})
    for day, growth in zip(DAYS, (0.01, 0.02, 0.03), strict=True):
        make.make_performance(
            portfolio, day, total_value=100, cumulative_return=0.0, benchmark=primary,
            benchmark_cumulative_return=growth,
        )  # fmt: skip
    make.make_benchmark(portfolio, primary, is_primary=True)
    make.make_benchmark(portfolio, priced("=IDX", {BEFORE: 50, DAYS[0]: 55, DAYS[2]: 60}))
    make.make_benchmark(portfolio, priced("GONE", {BEFORE: 50}), is_active=False)
    client.force_login(make.make_superuser())
    page = client.get(reverse("admin:portfolios_portfolio_overview", args=[portfolio.pk]))
    chart = page.context["content"].sections[0]
    assert [trace["name"] for trace in chart.traces] == ["HOME", "PRIME", "=IDX"]
    assert [trace["line"]["dash"] for trace in chart.traces] == ["solid", "dot", "dot"]
    assert chart.table.rows[0] == [DAYS[2], 100.0, pytest.approx(103), pytest.approx(120)]
    file = client.get(f"{page.request['PATH_INFO']}?table=growth&format=csv").content.decode("utf-8-sig")
    assert file.splitlines()[0] == "Day,HOME,PRIME,'=IDX"

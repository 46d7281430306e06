"""A small house with real shapes: three assets, four months of prices, two portfolios, two currencies."""

import datetime as dt
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np
from django.db import models, transaction

from analytics.models import (
    AnalyticsRun,
    AssetCorrelation,
    AssetPerformanceMetrics,
    PortfolioAllocation,
    PortfolioBenchmark,
    PortfolioPerformanceHistory,
    PortfolioRiskContribution,
    PortfolioRiskMetrics,
    PortfolioVarBacktest,
    RebalancingEvent,
)
from analytics.services.runs import run_create, run_execute
from portfolios.models import Asset, ExchangeRate, InterestRate, Portfolio, PriceBar, TransactionKind
from tests.support import factories as make
from tests.support.kept import kept

FIRST_DAY = dt.date(2024, 2, 1)
# Good Friday: the only weekday without trading, so that one week ends on a Thursday.
HOLIDAY = dt.date(2024, 3, 29)
DAYS = [
    day
    for day in np.arange(np.datetime64(FIRST_DAY), np.datetime64("2024-06-01")).tolist()
    if day.isoweekday() <= 5 and day != HOLIDAY
]
LAST_DAY = DAYS[-1]
RATE_SERIES = "DTB3"
COMPUTED: tuple[type[models.Model], ...] = (
    PortfolioPerformanceHistory,
    AssetPerformanceMetrics,
    PortfolioAllocation,
    RebalancingEvent,
    PortfolioRiskMetrics,
    AssetCorrelation,
    PortfolioBenchmark,
)
# Tables that have rows of the days only that runs ended on.
OF_LAST_DAYS: tuple[type[models.Model], ...] = (PortfolioVarBacktest, PortfolioRiskContribution)
# What differs between two runs that find the same.
_OF_THE_RUN = {"id", "run", "calculated_at", "created_at", "expires_at"}

Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class House:
    """`home` holds dollars and American shares only; `abroad` also a German one, paid in euros."""

    market: Asset
    acme: Asset
    rhein: Asset
    home: Portfolio
    abroad: Portfolio


@kept
def make_house(days: list[dt.date] = DAYS) -> House:
    market = make.make_asset("SPX", asset_class="index")
    acme = make.make_asset("ACME")
    rhein = make.make_asset("RHEIN", currency="EUR")
    for seed, (asset, start) in enumerate([(market, 4700.0), (acme, 100.0), (rhein, 50.0)]):
        make_prices(asset, start, seed, days)
    random = np.random.default_rng(7)
    ExchangeRate.objects.bulk_create(
        ExchangeRate(
            base=make.make_currency("EUR"), quote=make.make_currency("USD"), date=day, rate=round(rate, 4)
        )
        for day, rate in zip(days, 1.09 + random.normal(0, 0.01, len(days)), strict=True)
    )
    InterestRate.objects.create(name=RATE_SERIES, date=days[0], annual_rate=Decimal("0.05"))
    home = _portfolio("HOME", days[0])
    make.make_transaction(
        home, kind=TransactionKind.BUY, asset=acme, quantity=500, price=100, amount=None, trade_date=days[1]
    )
    abroad = _portfolio("ABROAD", days[0])
    make.make_transaction(
        abroad, kind=TransactionKind.BUY, asset=acme, quantity=300, price=100, amount=None, trade_date=days[1]
    )
    make.make_transaction(
        abroad,
        kind=TransactionKind.CURRENCY_EXCHANGE,
        amount=40_000,
        currency=make.make_currency("EUR"),
        counter_amount=44_000,
        counter_currency=make.make_currency("USD"),
        trade_date=days[1],
    )
    make.make_transaction(
        abroad,
        kind=TransactionKind.BUY,
        asset=rhein,
        quantity=700,
        price=50,
        amount=None,
        currency=make.make_currency("EUR"),
        trade_date=days[2],
    )
    for portfolio in (home, abroad):
        make.make_benchmark(portfolio, market, is_primary=True)
    make.make_allocation(home, acme, 100, rebalance_threshold=5)
    make.make_allocation(abroad, acme, 50, rebalance_threshold=5)
    make.make_allocation(abroad, rhein, 50, rebalance_threshold=5)
    return House(market, acme, rhein, home, abroad)


@kept
def make_computed_house(days: list[dt.date] = DAYS) -> House:
    """Everything is computed, by one run up to the last day."""
    house = make_house(days)
    run(calculation_date=days[-1])
    return house


def make_prices(asset: Asset, start: float, seed: int, days: list[dt.date]) -> None:
    random = np.random.default_rng(seed)
    closes = start * np.cumprod(1 + random.normal(0.0005, 0.012, len(days)))
    volumes = random.integers(1_000, 9_000, len(days))
    PriceBar.objects.bulk_create(
        PriceBar(
            asset=asset,
            date=day,
            high=round(close * 1.01, 4),
            low=round(close * 0.99, 4),
            close=round(close, 4),
            volume=int(volume),
        )
        for day, close, volume in zip(days, closes, volumes, strict=True)
    )


def _portfolio(code: str, day: dt.date) -> Portfolio:
    portfolio = make.make_portfolio(code, risk_free=RATE_SERIES)
    make.make_transaction(portfolio, amount=100_000, trade_date=day)
    return portfolio


def run(**options: Any) -> AnalyticsRun:
    """Plan a run and do it here and now."""
    planned = run_create(**options)
    assert planned is not None
    return run_execute(planned)


def computed_tables(models: tuple[type[models.Model], ...] = COMPUTED) -> dict[str, Rows]:
    """What the seven tables say, or others, without who wrote it and when."""
    return {model._meta.db_table: _rows(model) for model in models}


def _rows(model: type[models.Model]) -> Rows:
    names = [field.name for field in model._meta.concrete_fields if field.name not in _OF_THE_RUN]
    return sorted(model._default_manager.values(*names), key=repr)


def undisturbed_tables(**options: Any) -> dict[str, Rows]:
    """What one run over everything would store; nothing is kept of it."""
    with transaction.atomic():
        run(**options)
        tables = computed_tables()
        transaction.set_rollback(True)
    return tables


def writers(rows: models.QuerySet[Any], day: str) -> dict[dt.date, int]:
    """Which run wrote the row of each day."""
    return dict(rows.values_list(day, "run"))

"""Rows of several years in every history table, and all that a test may have changed about them."""

import datetime as dt
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

from django.db import connection

from analytics.models import PortfolioPerformanceHistory
from analytics.selectors.archive import HISTORY
from analytics.services.partitions import partition_name, partition_years
from portfolios.models import Asset, AuditEvent, Portfolio
from tests.support import factories as make

Rows = dict[str, list[tuple[Any, ...]]]


def make_history(days: Sequence[dt.date]) -> tuple[Portfolio, Asset]:
    """One portfolio, two assets, a row in every table on each of the days, with what is hard to keep."""
    portfolio, asset, other = make.make_portfolio(), make.make_asset(), make.make_asset()
    for number, day in enumerate(days, start=1):
        make.make_performance(
            portfolio,
            day,
            total_value=Decimal("123456789.123457") * number,
            fees=Decimal("-0.000001"),
            daily_return=0.1 * number,
            twr_index=1 / 3,
            sharpe_ratio=-5e-324,
            benchmark=asset if number % 2 else None,
            run=make.make_run() if number % 3 else None,
            inputs_hash=f"{number:032x}",
            quality={"money_weighted_return": "no root; größer", "beta": [number, 1.5, None]},
        )
        make.make_asset_metrics(asset, day, close=99.99 + number, obv=1e15 + number)
        make.make_risk(portfolio, day, risk_level="low", risk_class=number % 7 + 1, observations=number)
        make.make_risk_contribution(portfolio, asset, day, weight=0.25)
        make.make_var_backtest(portfolio, day, var=0.02, exceptions=number)
        make.make_correlation(asset, other, day, correlation_1y=-0.7, is_significant=bool(number % 2))
    return portfolio, asset


def stored_rows() -> Rows:
    """All rows of the history tables, ids included."""
    return {
        model._meta.db_table: list(model._default_manager.order_by("pk").values_list()) for model in HISTORY
    }


def stored_years() -> set[int]:
    return {day.year for day in PortfolioPerformanceHistory.objects.dates("snapshot_date", "year")}


def audited(*actions: str) -> list[tuple[str, str, str]]:
    events = AuditEvent.objects.filter(action__in=actions).order_by("sequence")
    return list(events.values_list("action", "object_type", "object_id"))


@contextmanager
def partitions_put_back() -> Iterator[None]:
    """Drop the partitions that a test made; emptying the database leaves them."""
    if connection.vendor != "postgresql":
        yield
        return
    before = {model: partition_years(model) for model in HISTORY}
    yield
    with connection.cursor() as cursor:
        for model, years in before.items():
            for year in partition_years(model) - years:
                cursor.execute(f"DROP TABLE {partition_name(model, year)}")

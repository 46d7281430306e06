"""Marks what must be computed again. Called by every service that changes a fact, in its transaction."""

import datetime as dt
from collections.abc import Mapping

from portfolios.models import ChangeCause, Portfolio, StaleMark


def mark_portfolio_stale(portfolio: Portfolio, from_date: dt.date, cause: ChangeCause) -> None:
    StaleMark.objects.create(portfolio=portfolio, from_date=from_date, cause=cause)


def mark_assets_stale(first_days: Mapping[int, dt.date], cause: ChangeCause) -> None:
    """`first_days` maps asset ids to the first day whose price or action changed."""
    StaleMark.objects.bulk_create(
        StaleMark(asset_id=asset_id, from_date=day, cause=cause)
        for asset_id, day in sorted(first_days.items())
    )


def mark_currencies_stale(first_days: Mapping[str, dt.date]) -> None:
    StaleMark.objects.bulk_create(
        StaleMark(currency_id=code, from_date=day, cause=ChangeCause.FX)
        for code, day in sorted(first_days.items())
    )


def mark_series_stale(series: str, from_date: dt.date) -> None:
    StaleMark.objects.create(series=series, from_date=from_date, cause=ChangeCause.PARAMETER)

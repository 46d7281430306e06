"""Who holds an asset: the portfolios that a user may see, with what they hold on their last computed day."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import groupby
from operator import itemgetter
from typing import Any

import numpy as np
from django.conf import settings
from django.db.models import OuterRef, Subquery

from analytics.models import PortfolioPerformanceHistory
from portfolio_site.kernel import clock
from portfolios.calculations.entries import Entry, LedgerError
from portfolios.models import Asset, Portfolio, Transaction
from portfolios.selectors.holdings import POSITION_KINDS, AssetGroup, asset_groups, quantities_held
from portfolios.selectors.market_data import Bars, closes_of, exchange_rates_to
from portfolios.selectors.visibility import User, visible_to


@dataclass(frozen=True)
class Holder:
    """`value` is in the portfolio's base currency, `weight` a fraction of its whole value.

    `reason` says why one of them is unknown.
    """

    portfolio: Portfolio
    day: dt.date
    quantity: Decimal | None
    value: float | None = None
    weight: float | None = None
    reason: str = ""


def holders_of(asset: Asset, user: User) -> list[Holder]:
    """The largest first. The number of queries grows with the base currencies, not with the portfolios."""
    (group,) = asset_groups([asset.pk])
    entries = _entries(group, user)
    portfolios = _portfolios(list(entries))
    if not portfolios:
        return []
    days = {portfolio.pk: portfolio.last_day or clock.today() for portfolio in portfolios}
    last = max(days.values())
    bars = closes_of([asset.pk], last).get(asset.pk)
    rates = {
        base: _rate_to(base, asset, last) for base in {portfolio.base_currency_id for portfolio in portfolios}
    }
    holders = []
    for portfolio in portfolios:
        day = days[portfolio.pk]
        try:
            held = quantities_held(entries[portfolio.pk], group, day).get(asset.pk, [])
        except LedgerError as error:
            holders.append(Holder(portfolio, day, None, reason=str(error)))
            continue
        if held and held[-1][1]:
            holders.append(_holder(portfolio, day, held[-1][1], bars, rates[portfolio.base_currency_id]))
    return sorted(holders, key=lambda holder: (-(holder.value or 0), holder.portfolio.code))


def _entries(group: AssetGroup, user: User) -> dict[int, list[Entry]]:
    """By portfolio, what changed its positions in these assets, by day."""
    lines = Transaction.objects.booked().filter(
        portfolio__in=visible_to(user), asset__in=group.assets, kind__in=POSITION_KINDS
    )
    names = ("portfolio_id", "id", "trade_date", "kind", "currency_id", "asset_id", "quantity")
    rows = lines.order_by("portfolio_id", "trade_date", "id").values_list(*names)
    return {
        portfolio: [
            Entry(id=pk, date=day, kind=kind, currency=currency, asset=asset, quantity=quantity,
                  amount=Decimal(1))
            for _, pk, day, kind, currency, asset, quantity in of_portfolio
        ]
        for portfolio, of_portfolio in groupby(rows, key=itemgetter(0))
    }  # fmt: skip


def _portfolios(ids: Sequence[int]) -> list[Any]:
    """With the day and the whole value of their last snapshot."""
    snapshots = PortfolioPerformanceHistory.objects.filter(portfolio=OuterRef("pk"))
    latest = snapshots.order_by("-snapshot_date")
    rows = Portfolio.objects.filter(pk__in=ids).select_related("base_currency")
    return list(
        rows.annotate(
            last_day=Subquery(latest.values("snapshot_date")[:1]),
            last_value=Subquery(latest.values("total_value")[:1]),
        )
    )


def _rate_to(base: str, asset: Asset, day: dt.date) -> tuple[np.ndarray, np.ndarray] | None:
    """Days and rates; nothing where both currencies are the same."""
    if asset.currency_id == base:
        return None
    empty = np.empty(0, dtype="datetime64[D]"), np.empty(0)
    return exchange_rates_to(base, [asset.currency_id], day).get(asset.currency_id, empty)


def _holder(
    portfolio: Any,
    day: dt.date,
    quantity: Decimal,
    bars: Bars | None,
    rates: tuple[np.ndarray, np.ndarray] | None,
) -> Holder:
    if portfolio.last_day is None:
        return Holder(portfolio, day, quantity, reason="nothing is computed yet for this portfolio")
    carried = bars.carried_close(np.datetime64(day)) if bars else None
    if carried is None:
        return Holder(portfolio, day, quantity, reason=f"no price on or before {day}")
    rate = 1.0 if rates is None else _carried(rates, day)
    if rate is None:
        return Holder(portfolio, day, quantity, reason=f"no exchange rate on {day}")
    value = float(quantity) * carried[0] * rate
    if not portfolio.last_value or portfolio.last_value <= 0:
        return Holder(portfolio, day, quantity, value, reason="the portfolio's value is not known")
    return Holder(portfolio, day, quantity, value, value / float(portfolio.last_value))


def _carried(rates: tuple[np.ndarray, np.ndarray], day: dt.date) -> float | None:
    days, values = rates
    place = int(np.searchsorted(days, np.datetime64(day), side="right")) - 1
    if place < 0 or (np.datetime64(day) - days[place]).astype(int) > settings.FX_MAX_CARRY_DAYS:
        return None
    return float(values[place])

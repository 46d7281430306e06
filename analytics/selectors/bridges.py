"""The profit bridge of a portfolio over a period, from its stored snapshots."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from math import isnan
from typing import Any

import numpy as np

from analytics.calculations.bridge import BRIDGE_LINES, Bridge, BridgeError, profit_bridge
from analytics.models import PortfolioPerformanceHistory
from analytics.selectors.portfolio_panels import PortfolioPanel, snapshot_money
from portfolios.models import Portfolio

__all__ = [
    "BRIDGE_LINES",
    "BridgeError",
    "NoHistoryError",
    "PeriodBridge",
    "panel_bridge",
    "portfolio_bridge",
]

# Sums of the days; a day on which one is unknown makes the period's unknown.
_OF_DAYS = ("net_flow", "realized_pnl", "income", "fees", "taxes")
SNAPSHOT_FIELDS = (
    "snapshot_date",
    "total_value",
    "cash_value",
    "unrealized_pnl",
    "transferred_pnl",
    "fx_on_cash",
    *_OF_DAYS,
)

ONE_DAY = dt.timedelta(days=1)
SIX_PLACES = Decimal("0.000001")

Row = dict[str, Any]


@dataclass(frozen=True)
class PeriodBridge:
    """A bridge from the end of `opened` (None: before the first day) to the end of `closed`.

    reasons: what is unknown, by line.
    """

    opened: dt.date | None
    closed: dt.date
    bridge: Bridge
    reasons: dict[str, str]

    def as_json(self) -> dict[str, Any]:
        """For programs: amounts as text, fees and taxes positive, None for what is unknown."""
        amounts = {
            "opening": self.bridge.opening,
            **self.bridge.lines,
            "rounding": self.bridge.rounding,
            "closing": self.bridge.closing,
        }
        return {
            "opened": self.opened.isoformat() if self.opened else None,
            "closed": self.closed.isoformat(),
            **{name: None if amount is None else f"{amount:f}" for name, amount in amounts.items()},
            "reasons": self.reasons,
        }


class NoHistoryError(ValueError):
    """There is no snapshot to build a bridge on."""


def portfolio_bridge(portfolio: Portfolio, first: dt.date, last: dt.date) -> PeriodBridge:
    """What happened from `first` to `last`, both included. Raises NoHistoryError and BridgeError."""
    history = PortfolioPerformanceHistory.objects.filter(portfolio=portfolio)
    before = (
        history.filter(snapshot_date__lt=first).order_by("-snapshot_date").values(*SNAPSHOT_FIELDS).first()
    )
    rows = list(
        history.filter(snapshot_date__range=(first, last)).order_by("snapshot_date").values(*SNAPSHOT_FIELDS)
    )
    if not rows:
        raise NoHistoryError(f"{portfolio.code} has no snapshot from {first} to {last}")
    return bridge_of_rows(before, rows, minor_units=portfolio.base_currency.minor_units)


def panel_bridge(panel: PortfolioPanel, first: dt.date, last: dt.date) -> PeriodBridge:
    """The same from a panel, stored or not. Raises NoHistoryError and BridgeError."""
    code, dates = panel.portfolio.code, panel.dates
    start, end = (int(place) for place in np.searchsorted(dates, np.array([first, last + ONE_DAY], "M8[D]")))
    if start == end:
        raise NoHistoryError(f"{code} has no day from {first} to {last}")
    columns = {name: figures[max(start - 1, 0) : end] for name, figures in snapshot_money(panel).items()}
    rows: list[Row] = [
        {
            "snapshot_date": day,
            **{name: _exact(columns[name][place]) for name in SNAPSHOT_FIELDS if name != "snapshot_date"},
        }
        for place, day in enumerate(dates[max(start - 1, 0) : end].tolist())
    ]
    before = rows.pop(0) if start else None
    return bridge_of_rows(before, rows, minor_units=panel.portfolio.base_currency.minor_units)


def _exact(amount: float) -> Decimal | None:
    return None if isnan(amount) else Decimal(repr(float(amount))).quantize(SIX_PLACES)


def bridge_of_rows(before: Row | None, rows: Sequence[Row], *, minor_units: int) -> PeriodBridge:
    """`before`: the last snapshot before the period, None when the period begins with the first."""
    reasons: dict[str, str] = {}
    opening = before or {"total_value": Decimal(0), "unrealized_pnl": Decimal(0), "snapshot_date": None}
    closing = rows[-1]
    lines: Row = {name: _summed(rows, name, reasons) for name in _OF_DAYS}
    transferred = _summed(rows, "transferred_pnl", reasons)
    lines["unrealized_pnl"] = _difference(
        _difference(closing["unrealized_pnl"], opening["unrealized_pnl"]), transferred
    )
    if transferred is None:
        reasons["unrealized_pnl"] = reasons.pop("transferred_pnl")
    # The first known day after a gap covers the days of the gap.
    cash_known = opening["total_value"] is not None and closing["fx_on_cash"] is not None
    # Where the cash itself was known, an unknown gain is a gap that no later day covers.
    is_covered = all(row["fx_on_cash"] is not None or row["cash_value"] is None for row in rows)
    lines["fx_on_cash"] = (
        sum((row["fx_on_cash"] or Decimal(0) for row in rows), Decimal(0))
        if cash_known and is_covered
        else None
    )
    for name in ("unrealized_pnl", "fx_on_cash"):
        if lines[name] is None:
            reasons.setdefault(name, "unknown at the beginning or the end of the period")
    for name, row in (("opening", opening), ("closing", closing)):
        if row["total_value"] is None:
            reasons[name] = "the value of the day is unknown"
    bridge = profit_bridge(
        opening["total_value"], closing["total_value"], lines, days=len(rows), minor_units=minor_units
    )
    return PeriodBridge(opening["snapshot_date"], closing["snapshot_date"], bridge, reasons)


def _summed(rows: Sequence[Row], name: str, reasons: dict[str, str]) -> Decimal | None:
    unknown = [row["snapshot_date"] for row in rows if row[name] is None]
    if unknown:
        days = f"{unknown[0]}" if len(unknown) == 1 else f"{len(unknown)} days from {unknown[0]}"
        reasons[name] = f"unknown on {days}"
        return None
    return sum((row[name] or Decimal(0) for row in rows), Decimal(0))


def _difference(left: Decimal | None, right: Decimal | None) -> Decimal | None:
    return None if left is None or right is None else left - right

"""All portfolios by their latest figures: for sorting, for totals, and for what is wrong with some."""

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.db.models import Count, OuterRef, QuerySet, Subquery

from analytics.models import PortfolioAllocation, PortfolioPerformanceHistory, PortfolioRiskMetrics, RiskLevel
from portfolios.models import Portfolio

# Fields of `Rank` by the columns that they are read from.
SNAPSHOT = {
    "day": "snapshot_date",
    "value": "total_value",
    "daily_return": "daily_return",
    "return_1m": "return_1m",
    "return_ytd": "return_ytd",
    "data_quality": "data_quality",
}
RISK_ORDER = {level.value: place for place, level in enumerate(RiskLevel)}


@dataclass(frozen=True)
class Rank:
    """The latest stored figures of one portfolio; None where there are none."""

    portfolio_id: int
    code: str
    currency: str
    day: dt.date | None = None
    value: Decimal | None = None
    daily_return: float | None = None
    return_1m: float | None = None
    return_ytd: float | None = None
    data_quality: str = ""
    risk_level: str | None = None
    breaches: int = 0


@dataclass(frozen=True)
class Total:
    """What the portfolios in one base currency are worth together; `unknown`: how many have no value."""

    currency: str
    value: Decimal
    portfolios: int
    unknown: int


SORT_KEYS: Mapping[str, Callable[[Rank], Any]] = {
    "code": lambda rank: rank.code,
    "value": lambda rank: rank.value,
    "day": lambda rank: rank.daily_return,
    "month": lambda rank: rank.return_1m,
    "year": lambda rank: rank.return_ytd,
    "as_of": lambda rank: rank.day,
    "risk": lambda rank: None if rank.risk_level is None else RISK_ORDER[rank.risk_level],
    "breaches": lambda rank: rank.breaches,
}


def ranks_of(portfolios: QuerySet[Portfolio]) -> list[Rank]:
    """In the order of their codes."""
    named = {pk: (code, currency) for pk, code, currency in
             portfolios.order_by("code").values_list("pk", "code", "base_currency")}  # fmt: skip
    snapshots = _latest(PortfolioPerformanceHistory, "snapshot_date", portfolios, SNAPSHOT)
    risks = _latest(PortfolioRiskMetrics, "calculation_date", portfolios, {"risk_level": "risk_level"})
    breached = PortfolioAllocation.objects.filter(
        portfolio__in=portfolios.order_by().values("pk"), is_active=True, is_breached=True
    )
    breaches = dict(breached.order_by().values_list("portfolio").annotate(Count("pk")))
    return [
        Rank(
            portfolio_id=pk,
            code=code,
            currency=currency,
            risk_level=risks.get(pk, {}).get("risk_level"),
            breaches=breaches.get(pk, 0),
            **snapshots.get(pk, {}),
        )
        for pk, (code, currency) in named.items()
    ]


def rank_portfolios(ranks: Sequence[Rank], order: str) -> tuple[list[Rank], str]:
    """Sorted by a name of SORT_KEYS, falling with a minus before it; what is unknown comes last."""
    name = order.removeprefix("-")
    if name not in SORT_KEYS:
        name = order = "code"
    key = SORT_KEYS[name]
    known = [rank for rank in ranks if key(rank) is not None]
    unknown = [rank for rank in ranks if key(rank) is None]
    return sorted(known, key=key, reverse=order.startswith("-")) + unknown, order


def totals_of(ranks: Sequence[Rank]) -> list[Total]:
    """One a currency: amounts in different ones are not added up."""
    found = []
    for currency in sorted({rank.currency for rank in ranks}):
        own = [rank for rank in ranks if rank.currency == currency]
        values = [rank.value for rank in own if rank.value is not None]
        found.append(Total(currency, sum(values, Decimal(0)), len(own), len(own) - len(values)))
    return found


def _latest(
    model: type[Any], day: str, portfolios: QuerySet[Portfolio], columns: Mapping[str, str]
) -> dict[int, dict[str, Any]]:
    """The columns of each portfolio's newest row: one descent of the (portfolio, day) index each."""
    newest = model.objects.filter(portfolio=OuterRef("pk")).order_by(f"-{day}").values("pk")[:1]
    keys = portfolios.order_by().values(newest=Subquery(newest))
    rows = model.objects.order_by().filter(pk__in=keys).values_list("portfolio", *columns.values())
    return {row[0]: dict(zip(columns, row[1:], strict=True)) for row in rows}

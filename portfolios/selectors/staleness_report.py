"""How old the market data in use are: the last price, exchange rate and interest rate of each subject."""

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

import numpy as np
from django.conf import settings
from django.db.models import Count, Max, OuterRef, Q, QuerySet, Subquery

from portfolio_site.kernel import clock
from portfolio_site.kernel.columns import read_columns
from portfolios.models import (
    Asset,
    ExchangeRate,
    InterestRate,
    Portfolio,
    PortfolioStatus,
    PriceBar,
    Transaction,
    TransactionStatus,
)
from portfolios.selectors.derived_assets import derived_assets

PRICE, EXCHANGE_RATE, INTEREST_RATE = "price", "exchange_rate", "interest_rate"
SATURDAY = 5


class DataState(StrEnum):
    FRESH = "fresh"
    CARRIED = "carried"
    STALE = "stale"
    MISSING = "missing"


class Pair(NamedTuple):
    currency: str
    base: str


@dataclass(frozen=True)
class Staleness:
    """`age` in calendar days; None when there is nothing. `used_by`: how many active portfolios use it."""

    kind: str
    subject: str
    last_date: dt.date | None
    age: int | None
    source: str
    state: DataState
    used_by: int

    @property
    def is_stale(self) -> bool:
        return self.state in (DataState.STALE, DataState.MISSING)

    def as_json(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "subject": self.subject,
            "last_date": self.last_date and self.last_date.isoformat(),
            "age": self.age,
            "source": self.source,
            "state": self.state.value,
            "used_by": self.used_by,
        }


def staleness_report(day: dt.date | None = None) -> list[Staleness]:
    """As of a day, by default today: active assets, currency pairs and interest rate series in use.

    Fresh is what reaches the last weekday before the day; carried is older, but within its limit. An
    interest rate is in force until the next one and has no limit. An asset is used by the portfolios that
    have traded it, whether they still hold it or not.
    """
    day = day or clock.today()
    return [*_prices(day), *_exchange_rates(day), *_interest_rates(day)]


def last_price_days(through: dt.date) -> list[tuple[str, dt.date | None]]:
    """The symbol of each active asset with its own prices, and the day of its last bar; None without one."""
    rows = _priced_assets().annotate(last=_last_bar("date", through))
    return list(rows.order_by("symbol", "exchange").values_list("symbol", "last"))


def _priced_assets() -> QuerySet[Asset]:
    return Asset.objects.filter(is_active=True).exclude(pk__in=derived_assets())


def _last_bar(column: str, through: dt.date) -> Subquery:
    bars = PriceBar.objects.filter(asset=OuterRef("pk"), date__lte=through).order_by("-date")
    return Subquery(bars.values(column)[:1])


def last_rate_days(base: str) -> dict[str, dt.date]:
    """The last day of each currency that is quoted against the base."""
    rows = ExchangeRate.objects.filter(base=base).order_by().values("quote").annotate(last=Max("date"))
    return dict(rows.values_list("quote", "last"))


def _staleness(
    kind: str,
    subject: str,
    day: dt.date,
    last: dt.date | None,
    *,
    limit: int | None,
    used_by: int,
    source: str = "",
) -> Staleness:
    age = None if last is None else (day - last).days
    if last is None or age is None:
        state = DataState.MISSING
    elif last >= _last_weekday_before(day):
        state = DataState.FRESH
    else:
        state = DataState.CARRIED if limit is None or age <= limit else DataState.STALE
    return Staleness(kind, subject, last, age, source, state, used_by)


def _last_weekday_before(day: dt.date) -> dt.date:
    before = day - dt.timedelta(1)
    return before - dt.timedelta(max(0, before.weekday() - SATURDAY + 1))


def _prices(day: dt.date) -> list[Staleness]:
    users = Count(
        "transactions__portfolio",
        filter=Q(
            transactions__status=TransactionStatus.SETTLED,
            transactions__trade_date__lte=day,
            transactions__portfolio__status=PortfolioStatus.ACTIVE,
        ),
        distinct=True,
    )
    rows = _priced_assets().annotate(
        last=_last_bar("date", day), last_source=_last_bar("source", day), users=users
    )
    return [
        _staleness(
            PRICE,
            f"{symbol} {exchange}".strip(),
            day,
            last,
            limit=settings.PRICE_STALE_DAYS,
            used_by=users,
            source=source or "",
        )
        for symbol, exchange, last, source, users in rows.order_by("symbol", "exchange").values_list(
            "symbol", "exchange", "last", "last_source", "users"
        )
    ]


def _exchange_rates(day: dt.date) -> list[Staleness]:
    users = _pairs_in_use(day)
    last_rates = _LastRates({code for pair in users for code in pair}, day)
    lines = []
    for pair in sorted(users):
        last, source = last_rates.of(pair)
        lines.append(
            _staleness(
                EXCHANGE_RATE,
                "/".join(pair),
                day,
                last,
                limit=settings.FX_MAX_CARRY_DAYS,
                used_by=len(users[pair]),
                source=source,
            )
        )
    return lines


def _pairs_in_use(day: dt.date) -> dict[Pair, set[int]]:
    """The currencies of what was booked and traded, against the base currency; with the portfolios."""
    rows = Transaction.objects.filter(
        portfolio__status=PortfolioStatus.ACTIVE, status=TransactionStatus.SETTLED, trade_date__lte=day
    ).order_by()
    users: defaultdict[Pair, set[int]] = defaultdict(set)
    for portfolio, base, *codes in rows.values_list(
        "portfolio", "portfolio__base_currency", "currency", "counter_currency", "asset__currency"
    ).distinct():
        for code in codes:
            if code and code != base:
                users[Pair(code, base)].add(portfolio)
    return users


Days = dict[np.datetime64, str]


class _LastRates:
    """The last day of a pair, found as `market_data.exchange_rates_to` does: direct, inverse or crossed."""

    def __init__(self, codes: Iterable[str], day: dt.date) -> None:
        # Each of the three ways needs only rates that quote one of the two currencies.
        rows = ExchangeRate.objects.filter(quote__in=sorted(codes), date__lte=day).order_by("date")
        data = read_columns(rows, "base", "quote", "date", "source")
        self._pairs: defaultdict[Pair, Days] = defaultdict(dict)
        for base, quote, date, source in zip(*data.values(), strict=True):
            self._pairs[Pair(base, quote)][date] = source

    def of(self, pair: Pair) -> tuple[dt.date | None, str]:
        direct = self._pairs.get(pair) or self._pairs.get(Pair(pair.base, pair.currency))
        return _last(direct or self._crossed(pair))

    def _crossed(self, pair: Pair) -> Mapping[np.datetime64, str]:
        for pivot in sorted({base for base, _ in self._pairs}):
            ours, theirs = (self._pairs.get(Pair(pivot, code), {}) for code in pair)
            common = {date: source for date, source in ours.items() if date in theirs}
            if common:
                return common
        return {}


def _last(days: Mapping[np.datetime64, str]) -> tuple[dt.date | None, str]:
    if not days:
        return None, ""
    last = max(days)
    return last.astype(object), days[last]


def _interest_rates(day: dt.date) -> list[Staleness]:
    """The series of active portfolios, and the default one, from which the figures of assets are made."""
    users: dict[str, int] = {settings.DEFAULT_RISK_FREE: 0} if settings.DEFAULT_RISK_FREE else {}
    active = Portfolio.objects.filter(status=PortfolioStatus.ACTIVE).order_by()
    for name in active.values_list("risk_free", flat=True):
        series = name or settings.DEFAULT_RISK_FREE
        if series:
            users[series] = users.get(series, 0) + 1
    rows = InterestRate.objects.filter(name__in=users, date__lte=day).order_by().values("name")
    days = dict(rows.annotate(last=Max("date")).values_list("name", "last"))
    return [
        _staleness(INTEREST_RATE, name, day, days.get(name), limit=None, used_by=users[name])
        for name in sorted(users)
    ]

"""What is stale, and since when: the questions a run asks before it begins."""

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import groupby

import numpy as np
from django.conf import settings
from django.db.models import F, Max, Min, Model, OuterRef, QuerySet, Subquery

from analytics.models import (
    AssetCorrelation,
    AssetPerformanceMetrics,
    PortfolioAllocation,
    PortfolioBenchmark,
    PortfolioPerformanceHistory,
    PortfolioRiskMetrics,
)
from analytics.selectors.archive import archived_through
from portfolio_site.kernel.columns import read_columns
from portfolios.calculations.entries import LedgerError
from portfolios.models import (
    Asset,
    ChangeCause,
    CorporateActionKind,
    Portfolio,
    PortfolioStatus,
    PriceBar,
    StaleMark,
    Transaction,
    TransactionStatus,
)
from portfolios.selectors.books import became
from portfolios.selectors.holdings import asset_groups, held_quantities
from portfolios.selectors.market_data import splits_of

ONE_DAY = dt.timedelta(days=1)
BEFORE_ALL = dt.date(1900, 1, 1)
# The field of a mark and its value.
Subject = tuple[str, int | str]
# As restatements keep it: cause, subject and from_date.
Cause = dict[str, str | None]
# By the field of a mark, what its subject is called.
_MARKED = {
    "portfolio": "portfolio__code",
    "asset": "asset__symbol",
    "currency": "currency__code",
    "series": "series",
}
# Kept with each restated row. A portfolio whose assets all have new prices needs no list of them.
MOST_CAUSES = 20
# Less than this is what float arithmetic leaves of a position that was closed.
HELD_QUANTITY = 1e-9
QUANTITY_IN = {"buy", "cover", "transfer_in"}
QUANTITY_OUT = {"sell", "short", "transfer_out"}


@dataclass
class Staleness:
    """Since when each subject is stale, by cause, from the marks up to `watermark`."""

    watermark: int = 0
    marks: dict[Subject, dict[str, dt.date]] = field(default_factory=dict)
    names: dict[Subject, str] = field(default_factory=dict)

    def since(self, *subjects: Subject) -> dt.date | None:
        """The first stale day of any of the subjects."""
        return min(
            (day for subject in subjects for day in self.marks.get(subject, {}).values()), default=None
        )

    def first_day(self) -> dt.date | None:
        """Since when prices or holdings differ."""
        return self.since(*(subject for subject in self.marks if subject[0] in {"portfolio", "asset"}))

    def is_restated(self, asset: Subject) -> bool:
        """A split rewrites the whole adjusted series of its asset, not only the days after it."""
        return ChangeCause.CORPORATE_ACTION in self.marks.get(asset, {})

    def causes(self, subjects: Iterable[Subject], through: dt.date) -> list[Cause]:
        """What had changed by `through`: about the first of the subjects, then about the others by day.

        Of more than `MOST_CAUSES` the last entry says how many there are besides.
        """
        found = sorted(
            (place > 0, day, cause, self.names[subject])
            for place, subject in enumerate(subjects)
            for cause, day in self.marks.get(subject, {}).items()
            if day <= through or cause == ChangeCause.CORPORATE_ACTION
        )
        causes: list[Cause] = [
            {"cause": cause, "subject": name, "from_date": day.isoformat()} for _, day, cause, name in found
        ]
        if len(found) > MOST_CAUSES:
            others = found[MOST_CAUSES:]
            earliest = min(day for _, day, _, _ in others)
            more = f"{len(others)} more"
            causes[MOST_CAUSES:] = [{"cause": "others", "subject": more, "from_date": earliest.isoformat()}]
        return causes


@dataclass(frozen=True)
class Due:
    """The first day to write, and what had changed about the figures stored from that day on."""

    first: dt.date
    causes: list[Cause] = field(default_factory=list)


def staleness(through: dt.date) -> Staleness:
    found = Staleness()
    marks = StaleMark.objects.filter(from_date__lte=through)
    found.watermark = marks.aggregate(last=Max("id"))["last"] or 0
    marks = marks.filter(id__lte=found.watermark).order_by()
    for kind, name in _MARKED.items():
        of_kind = marks.exclude(series="") if kind == "series" else marks.filter(**{f"{kind}__isnull": False})
        for row in of_kind.values(kind, "cause", name=F(name)).annotate(first=Min("from_date")):
            subject = (kind, row[kind])
            found.marks.setdefault(subject, {})[row["cause"]] = row["first"]
            found.names[subject] = row["name"]
    return found


def portfolios_to_compute(codes: Iterable[str]) -> QuerySet[Portfolio]:
    active = Portfolio.objects.filter(
        status=PortfolioStatus.ACTIVE, transactions__status=TransactionStatus.SETTLED
    )
    codes = list(codes)
    return (active.filter(code__in=codes) if codes else active).distinct().order_by("pk")


def assets_due(
    through: dt.date, from_date: dt.date | None, stale: Staleness, asset_ids: set[int] | None
) -> dict[int, Due]:
    """For each active asset the first day whose metrics must be written; without those with nothing to do."""
    bars = PriceBar.objects.filter(asset=OuterRef("pk"), date__lte=through).values("date")
    rows = AssetPerformanceMetrics.objects.filter(asset=OuterRef("pk")).values("calculation_date")
    # Each is one look into an index, however long the history is.
    assets = Asset.objects.filter(is_active=True).annotate(
        first=Subquery(bars.order_by("date")[:1]),
        last=Subquery(bars.order_by("-date")[:1]),
        last_stored=Subquery(rows.order_by("-calculation_date")[:1]),
    )
    if asset_ids is not None:
        assets = assets.filter(pk__in=asset_ids)
    spans = assets.filter(last__isnull=False).values_list("pk", "first", "last", "last_stored")
    market = Asset.objects.filter(symbol=settings.MARKET_ASSET).values_list("pk", flat=True).first() or 0
    begin = computing_begins(AssetPerformanceMetrics)
    due = {}
    for asset_id, first_bar, last_bar, last_stored in spans:
        # Betas are measured against the market, Sharpe ratios against the interest rate.
        own: Subject = ("asset", asset_id)
        subjects = [own, ("asset", market), ("series", settings.DEFAULT_RISK_FREE)]
        if from_date is not None:
            first = from_date
        elif last_stored is None or stale.is_restated(own):
            first = first_bar
        else:
            first = _first_stale(last_stored, stale.since(*subjects))
        first = max(first, begin)
        if first <= last_bar:
            due[asset_id] = _due(first, last_stored, subjects, stale)
    return due


def computing_begins(*models: type[Model]) -> dt.date:
    """The day after the archived history of the tables: what lies before it is not computed again."""
    ends = [end for end in map(archived_through, models) if end is not None]
    return max(ends) + ONE_DAY if ends else BEFORE_ALL


def _first_stale(last_stored: dt.date, changed: dt.date | None) -> dt.date:
    resumed = last_stored + ONE_DAY
    return resumed if changed is None else min(resumed, changed)


def _due(first: dt.date, last_stored: dt.date | None, subjects: list[Subject], stale: Staleness) -> Due:
    """New days change nothing that was published, so they need no causes."""
    if last_stored is None or first > last_stored:
        return Due(first)
    return Due(first, stale.causes(dict.fromkeys(subjects), last_stored))


def assets_of_portfolios(portfolio_ids: Iterable[int]) -> dict[int, set[int]]:
    """What a portfolio's figures depend on: assets traded and what became of them, targets, benchmarks."""
    ids = list(portfolio_ids)
    related: dict[int, set[int]] = {portfolio_id: set() for portfolio_id in ids}
    sources = (
        Transaction.objects.filter(portfolio__in=ids, asset__isnull=False),
        PortfolioAllocation.objects.filter(portfolio__in=ids, is_active=True),
        PortfolioBenchmark.objects.filter(portfolio__in=ids, is_active=True),
    )
    for rows in sources:
        for portfolio_id, asset_id in rows.order_by().values_list("portfolio", "asset").distinct():
            related[portfolio_id].add(asset_id)
    blends = PortfolioBenchmark.objects.filter(
        portfolio__in=ids, is_active=True, asset__blend__components__isnull=False
    )
    parts = blends.order_by().values_list("portfolio", "asset__blend__components__asset")
    for portfolio_id, asset_id in parts:
        related[portfolio_id].add(asset_id)
    heirs = became(set().union(*related.values()))
    for asset_ids in related.values():
        asset_ids |= set().union(*(heirs.get(asset_id, set()) for asset_id in asset_ids))
    return related


def portfolios_due(
    portfolios: Iterable[Portfolio], through: dt.date, from_date: dt.date | None, stale: Staleness
) -> dict[int, Due]:
    """For each portfolio the first day to write; portfolios with nothing to do are left out."""
    portfolios = list(portfolios)
    ids = [portfolio.pk for portfolio in portfolios]
    related = assets_of_portfolios(ids)
    asset_currencies = dict(Asset.objects.values_list("pk", "currency"))
    booked = Transaction.objects.booked().filter(portfolio__in=ids).order_by()
    begins = dict(booked.values_list("portfolio").annotate(Min("trade_date")))
    cash: dict[int, set[str]] = {}
    for portfolio_id, currency in booked.values_list("portfolio", "currency").distinct():
        cash.setdefault(portfolio_id, set()).add(currency)
    history = (
        PortfolioPerformanceHistory.objects.filter(portfolio__in=ids).order_by().values_list("portfolio")
    )
    stored = dict(history.annotate(Max("snapshot_date")))
    with_risk = set(
        PortfolioRiskMetrics.objects.filter(portfolio__in=ids).values_list("portfolio", flat=True).distinct()
    )
    bars = PriceBar.objects.filter(asset=OuterRef("pk"), date__lte=through).order_by("-date")
    known = Asset.objects.filter(pk__in=set().union(*related.values()))
    last_bars = dict(known.annotate(last=Subquery(bars.values("date")[:1])).values_list("pk", "last"))
    earliest = computing_begins(PortfolioPerformanceHistory, PortfolioRiskMetrics)
    due = {}
    for portfolio in portfolios:
        begin, last_stored = begins.get(portfolio.pk), stored.get(portfolio.pk)
        assets: list[Subject] = [("asset", asset_id) for asset_id in related[portfolio.pk]]
        currencies = cash.get(portfolio.pk, set()) | {asset_currencies[a] for a in related[portfolio.pk]}
        subjects: list[Subject] = [
            ("portfolio", portfolio.pk),
            ("series", portfolio.risk_free),
            *assets,
            *(("currency", code) for code in currencies - {portfolio.base_currency_id}),
        ]
        if begin is None:  # everything was reversed: what was stored has to go
            if last_stored is not None:
                due[portfolio.pk] = _due(BEFORE_ALL, last_stored, subjects, stale)
            continue
        if from_date is not None:
            first = from_date
        elif last_stored is None or portfolio.pk not in with_risk:
            first = begin
        else:
            first = _first_stale(last_stored, stale.since(*subjects))
            # Where a source has divided by the split, its prices before the split are other ones now.
            if any(map(stale.is_restated, assets)):
                first = min(first, begin)
            own_bars = [day for day in map(last_bars.get, related[portfolio.pk]) if day is not None]
            if own_bars and first > max(own_bars):  # new prices, but of others
                continue
        first = max(first, earliest)
        if max(first, begin) <= through:
            due[portfolio.pk] = _due(first, last_stored, subjects, stale)
    return due


def trading_days(first: dt.date, last: dt.date) -> list[dt.date]:
    """The days on which an active asset traded."""
    bars = PriceBar.objects.filter(asset__is_active=True, date__range=(first, last))
    return list(bars.order_by("date").values_list("date", flat=True).distinct())


def last_correlation_day() -> dt.date | None:
    day: dt.date | None = AssetCorrelation.objects.aggregate(last=Max("calculation_date"))["last"]
    return day


def week_ends(days: Iterable[dt.date], through: dt.date) -> set[dt.date]:
    """The last trading day of every week that is over by `through` (weeks end on Friday)."""
    last_of_week: dict[tuple[int, int], dt.date] = {}
    for day in days:
        year, week, _ = day.isocalendar()
        last_of_week[year, week] = max(day, last_of_week.get((year, week), day))
    friday = 5
    open_week = through.isocalendar()[:2] if through.isoweekday() < friday else None
    return {day for week, day in last_of_week.items() if week != open_week}


def held_assets(through: dt.date) -> "HeldAssets":
    """Which assets every portfolio held when, by booked transactions and corporate actions."""
    rows = (
        Transaction.objects.booked()
        .filter(
            trade_date__lte=through,
            asset__isnull=False,
            quantity__isnull=False,
            kind__in=QUANTITY_IN | QUANTITY_OUT,
        )
        .order_by("portfolio_id", "asset_id", "trade_date")
    )
    data = read_columns(rows, "portfolio", "asset", "trade_date", "kind", "quantity")
    sign = np.where(np.isin(data["kind"].astype(str), list(QUANTITY_IN)), 1.0, -1.0)
    quantities = sign * data["quantity"]
    # In today's shares, so that shares bought before a split and sold after it cancel.
    for asset_id, splits in splits_of(set(data["asset"].tolist())).items():
        for split in splits:
            quantities[(data["asset"] == asset_id) & (data["trade_date"] < split.ex_date)] *= split.ratio
    changes: dict[tuple[int, int], tuple[np.ndarray, np.ndarray]] = {}
    pairs = list(zip(data["portfolio"].tolist(), data["asset"].tolist(), strict=True))
    for pair, group in groupby(range(len(pairs)), key=pairs.__getitem__):
        places = list(group)
        changes[pair] = data["trade_date"][places], np.cumsum(quantities[places])
    return HeldAssets(changes | _exchanged_holdings(changes, through))


def _exchanged_holdings(
    traded: Iterable[tuple[int, int]], through: dt.date
) -> dict[tuple[int, int], tuple[np.ndarray, np.ndarray]]:
    """The same for what spin-offs, mergers and symbol changes touched: a sum of trades cannot tell it."""
    traded = list(traded)
    exchanged: dict[tuple[int, int], tuple[np.ndarray, np.ndarray]] = {}
    for group in asset_groups({asset_id for _, asset_id in traded}):
        if all(action.kind == CorporateActionKind.SPLIT for action in group.actions):
            continue
        for portfolio_id in sorted({portfolio_id for portfolio_id, asset in traded if asset in group.assets}):
            try:
                found = held_quantities(portfolio_id, group, through)
            except LedgerError:
                continue  # the portfolio's own figures say what is wrong with its book
            for asset_id, states in found.items():
                days = np.array([day for day, _ in states], dtype="datetime64[D]")
                exchanged[portfolio_id, asset_id] = days, np.array([float(units) for _, units in states])
    return exchanged


@dataclass(frozen=True)
class HeldAssets:
    """Running quantities by (portfolio, asset), in split-adjusted units."""

    changes: Mapping[tuple[int, int], tuple[np.ndarray, np.ndarray]]

    def together_on(self, day: dt.date) -> set[tuple[int, int]]:
        """Pairs of asset ids (lower first) that some portfolio held at the end of the day."""
        moment = np.datetime64(day)
        held: dict[int, list[int]] = {}
        for (portfolio_id, asset_id), (dates, quantities) in self.changes.items():
            place = int(np.searchsorted(dates, moment, side="right")) - 1
            if place >= 0 and abs(quantities[place]) > HELD_QUANTITY:
                held.setdefault(portfolio_id, []).append(asset_id)
        return {
            (first, second)
            for assets in held.values()
            for first in assets
            for second in assets
            if first < second
        }

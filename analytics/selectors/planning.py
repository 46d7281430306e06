"""What is stale, and since when: the questions a run asks before it begins."""

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import groupby

import numpy as np
from django.conf import settings
from django.db.models import Max, Min, QuerySet

from analytics.models import (
    AssetCorrelation,
    AssetPerformanceMetrics,
    PortfolioAllocation,
    PortfolioBenchmark,
    PortfolioPerformanceHistory,
    PortfolioRiskMetrics,
)
from portfolio_site.kernel.columns import read_columns
from portfolios.models import (
    Asset,
    ChangeCause,
    Portfolio,
    PortfolioStatus,
    PriceBar,
    StaleMark,
    Transaction,
    TransactionStatus,
)
from portfolios.selectors.market_data import splits_of

ONE_DAY = dt.timedelta(days=1)
# Less than this is what float arithmetic leaves of a position that was closed.
HELD_QUANTITY = 1e-9
QUANTITY_IN = {"buy", "cover", "transfer_in"}
QUANTITY_OUT = {"sell", "short", "transfer_out"}


@dataclass
class Staleness:
    """The first stale day of each subject, from the marks up to `watermark`."""

    watermark: int = 0
    portfolios: dict[int, dt.date] = field(default_factory=dict)
    assets: dict[int, dt.date] = field(default_factory=dict)
    restated_assets: set[int] = field(default_factory=set)
    currencies: dict[str, dt.date] = field(default_factory=dict)
    series: dict[str, dt.date] = field(default_factory=dict)

    def first_day(self) -> dt.date | None:
        """Since when prices or holdings differ."""
        return min([*self.portfolios.values(), *self.assets.values()], default=None)


def staleness(through: dt.date) -> Staleness:
    found = Staleness()
    marks = StaleMark.objects.filter(from_date__lte=through)
    found.watermark = marks.aggregate(last=Max("id"))["last"] or 0
    marks = marks.filter(id__lte=found.watermark)
    for name, target in (
        ("portfolio_id", found.portfolios),
        ("asset_id", found.assets),
        ("currency_id", found.currencies),
        ("series", found.series),
    ):
        rows = marks.exclude(**({name: ""} if name == "series" else {f"{name}__isnull": True}))
        target.update(rows.order_by().values_list(name).annotate(first=Min("from_date")))
    # A split rewrites the whole adjusted series of its asset, not only the days after it.
    found.restated_assets = set(
        marks.filter(asset__isnull=False, cause=ChangeCause.CORPORATE_ACTION).values_list(
            "asset_id", flat=True
        )
    )
    return found


def portfolios_to_compute(codes: Iterable[str]) -> QuerySet[Portfolio]:
    active = Portfolio.objects.filter(
        status=PortfolioStatus.ACTIVE, transactions__status=TransactionStatus.SETTLED
    )
    codes = list(codes)
    return (active.filter(code__in=codes) if codes else active).distinct().order_by("pk")


def asset_first_days(
    through: dt.date, from_date: dt.date | None, stale: Staleness, asset_ids: set[int] | None
) -> dict[int, dt.date]:
    """For each active asset the first day whose metrics must be written; without those with nothing to do."""
    bars = PriceBar.objects.filter(asset__is_active=True, date__lte=through)
    if asset_ids is not None:
        bars = bars.filter(asset__in=asset_ids)
    spans = {
        row["asset"]: row
        for row in bars.order_by().values("asset").annotate(first=Min("date"), last=Max("date"))
    }
    stored = dict(
        AssetPerformanceMetrics.objects.filter(asset__in=spans)
        .order_by()
        .values_list("asset")
        .annotate(Max("calculation_date"))
    )
    market = Asset.objects.filter(symbol=settings.MARKET_ASSET).values_list("pk", flat=True).first()
    for_all = [
        day
        for day in (stale.assets.get(market or 0), stale.series.get(settings.DEFAULT_RISK_FREE))
        if day is not None
    ]
    first_days = {}
    for asset_id, span in spans.items():
        if from_date is not None:
            first = from_date
        elif asset_id not in stored or asset_id in stale.restated_assets:
            first = span["first"]
        else:
            candidates = [stored[asset_id] + ONE_DAY, *for_all]
            if asset_id in stale.assets:
                candidates.append(stale.assets[asset_id])
            first = min(candidates)
        if first <= span["last"]:
            first_days[asset_id] = first
    return first_days


def assets_of_portfolios(portfolio_ids: Iterable[int]) -> dict[int, set[int]]:
    """Everything a portfolio's figures depend on: assets it traded, its targets and its benchmarks."""
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
    return related


def portfolio_first_days(
    portfolios: Iterable[Portfolio], through: dt.date, from_date: dt.date | None, stale: Staleness
) -> dict[int, dt.date]:
    """For each portfolio the first day to write; portfolios with nothing to do are left out."""
    portfolios = list(portfolios)
    ids = [portfolio.pk for portfolio in portfolios]
    related = assets_of_portfolios(ids)
    asset_currencies = dict(Asset.objects.values_list("pk", "currency"))
    booked = Transaction.objects.filter(portfolio__in=ids, status=TransactionStatus.SETTLED).order_by()
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
    first_days = {}
    for portfolio in portfolios:
        begin = begins[portfolio.pk]
        if from_date is not None:
            first = from_date
        elif portfolio.pk not in stored or portfolio.pk not in with_risk:
            first = begin
        else:
            currencies = cash.get(portfolio.pk, set()) | {asset_currencies[a] for a in related[portfolio.pk]}
            touched = [
                stale.portfolios.get(portfolio.pk),
                stale.series.get(portfolio.risk_free),
                *(stale.assets.get(asset_id) for asset_id in related[portfolio.pk]),
                *(stale.currencies.get(code) for code in currencies - {portfolio.base_currency_id}),
                # Where a source has divided by the split, its prices before the split are other ones now.
                begin if related[portfolio.pk] & stale.restated_assets else None,
            ]
            first = min([stored[portfolio.pk] + ONE_DAY, *(day for day in touched if day is not None)])
        if max(first, begin) <= through:
            first_days[portfolio.pk] = first
    return first_days


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
    """Which assets every portfolio held when, by settled transactions."""
    rows = Transaction.objects.filter(
        status=TransactionStatus.SETTLED,
        trade_date__lte=through,
        asset__isnull=False,
        quantity__isnull=False,
        kind__in=QUANTITY_IN | QUANTITY_OUT,
    ).order_by("portfolio_id", "asset_id", "trade_date")
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
    return HeldAssets(changes)


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

"""Allocation analysis: what a portfolio holds against what it should hold, line by line, and the drift.

Many portfolios are analysed together: a handful of queries serves them all.
"""

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal, localcontext
from functools import cached_property
from math import sqrt
from typing import Any, NamedTuple, cast

import numpy as np
from django.conf import settings
from django.db.models import Max
from django.utils import timezone

from analytics.calculations.constants import ENGINE_VERSION, SESSIONS_PER_YEAR
from analytics.calculations.drift import Band, BandRule, LineDrift, line_drift, portfolio_drift
from analytics.models import (
    AnalyticsRun,
    AssetPerformanceMetrics,
    CashReserve,
    EventStatus,
    MinimumTrade,
    PortfolioAllocation,
    RebalancingEvent,
    RebalancingPolicy,
    TradingRestriction,
)
from analytics.selectors.cash_reserves import is_unsettled, reserves_of, unsettled_entries
from analytics.selectors.portfolio_panels import PortfolioPanel, PortfolioStanding
from analytics.selectors.restrictions import restrictions_of
from analytics.services.computed_rows import PROVENANCE
from portfolio_site.kernel import clock
from portfolio_site.kernel.bulk import bulk_upsert
from portfolio_site.kernel.canonical import decimal_text
from portfolios.calculations.entries import Entry, cash_moves
from portfolios.calculations.ledger import DayBook
from portfolios.models import Asset, Portfolio, PriceBar
from portfolios.selectors.market_data import Bars, bars_of, recent_bars_of
from portfolios.selectors.open_lots import WalkedBook

TABLE = PortfolioAllocation._meta.db_table
CASH = "CASH"
NOTHING = Decimal(0)
# Prices in base currency are kept to this many decimals; shares and cents follow exactly from them.
PRICE_PLACES = Decimal("0.0000000001")
WORKING_DIGITS = 50
# Bars that the daily traded value is the mean of, and the days in which there should be so many.
VOLUME_BARS = 20
RECENT_DAYS = dt.timedelta(days=90)


@dataclass(frozen=True)
class Quote:
    """A price in base currency and where it comes from; None where unknown.

    `age`: in days, of the bar. `local`: in the currency of the asset; `rate`: base currency per unit of that.
    `daily_volatility`: a fraction. `daily_value`: traded on an ordinary day, in base currency.
    """

    price: Decimal | None = None
    age: int | None = None
    local: Decimal | None = None
    bar: int | None = None
    bar_date: dt.date | None = None
    rate: Decimal | None = None
    rate_date: dt.date | None = None
    daily_volatility: float | None = None
    daily_value: float | None = None

    @cached_property
    def document(self) -> dict[str, Any]:
        """All of it but the price in base currency and its age, as a plain document."""
        return {
            "local_price": None if self.local is None else decimal_text(self.local),
            "price_source": {"bar": self.bar, "date": self.bar_date and self.bar_date.isoformat()},
            "rate": None if self.rate is None else decimal_text(self.rate),
            "rate_date": self.rate_date and self.rate_date.isoformat(),
            "daily_volatility": None if self.daily_volatility is None else repr(self.daily_volatility),
            "daily_value": None if self.daily_value is None else repr(self.daily_value),
        }


class TargetLine(NamedTuple):
    """What a portfolio should hold of an asset, in percent, as it is stored."""

    portfolio_id: int
    asset_id: int
    target_percentage: Decimal
    min_percentage: Decimal
    max_percentage: Decimal
    rebalance_threshold: Decimal | None
    rebalance_threshold_relative: Decimal | None
    band_rule: str
    rebalance_frequency: str
    version: int


@dataclass(frozen=True)
class UnsettledCash:
    """What settles in one currency on a day to come, positive when received; `value`: in base currency."""

    date: dt.date
    currency: str
    amount: Decimal
    value: Decimal | None


@dataclass(frozen=True)
class AllocationLine:
    """One asset that is held, or should be. Price and value are in base currency, None when unknown.

    `highest_drift`: the largest deviation since the last rebalancing, in points and signed, and its day.
    """

    asset: Asset
    quantity: Decimal
    price: Decimal | None
    price_age: int | None
    allocation: TargetLine | None
    value: Decimal | None
    weight: Decimal | None
    drift: LineDrift | None
    quote: Quote = field(default_factory=Quote)
    highest_drift: tuple[float, dt.date] | None = None

    @cached_property
    def band(self) -> Band:
        return _band(self.allocation)

    @property
    def target(self) -> Decimal:
        return self.allocation.target_percentage if self.allocation else NOTHING


@dataclass(frozen=True)
class AllocationState:
    """A portfolio against its targets at the end of a day. Weights, targets and drift are in percent.

    `reasons`: why the value is unknown; then weights and drift are, too. `restrictions`: those in force when
    something is decided. `last_rebalanced`: the day on which a rebalancing was last completed. `book`: the
    books up to `day`, where they were read for no more than this. `minimum_trades`: of single classes of
    assets. `reserves`: dated ones that are not ended when something is decided. `unsettled`: what of the cash
    is still to come or to be paid.
    """

    portfolio: Portfolio
    policy: RebalancingPolicy
    day: dt.date
    lines: tuple[AllocationLine, ...]
    cash: Decimal | None
    value: Decimal | None
    drift: Decimal | None
    reasons: tuple[str, ...]
    restrictions: tuple[TradingRestriction, ...] = ()
    last_rebalanced: dt.date | None = None
    book: WalkedBook | None = None
    minimum_trades: tuple[MinimumTrade, ...] = ()
    reserves: tuple[CashReserve, ...] = ()
    unsettled: tuple[UnsettledCash, ...] = ()

    @property
    def has_targets(self) -> bool:
        return any(line.allocation for line in self.lines)

    @property
    def cash_weight(self) -> Decimal | None:
        return self.cash / self.value * 100 if self.cash is not None and self.value else None

    def reserves_due(self, horizon_days: int) -> list[CashReserve]:
        """Those that fall due within the horizon, or should have been paid already."""
        last = decision_day(self.day) + dt.timedelta(days=horizon_days)
        return [reserve for reserve in self.reserves if reserve.due_date <= last]

    @property
    def breaches(self) -> list[AllocationLine]:
        return [line for line in self.lines if line.allocation and line.drift and line.drift.breached]


@dataclass(frozen=True)
class _Inputs:
    """What is stored for several portfolios, by the ids of portfolios and assets."""

    policies: Mapping[int, RebalancingPolicy]
    allocations: Mapping[int, Mapping[int, TargetLine]]
    restrictions: Mapping[int, Sequence[TradingRestriction]]
    last_rebalanced: Mapping[int, dt.date]
    targeted: Mapping[int, Asset]
    bars: Mapping[int, Bars]
    bar_ids: Mapping[tuple[int, dt.date], int]
    volatilities: Mapping[int, Sequence[tuple[dt.date, float]]]
    minimum_trades: Mapping[int, Sequence[MinimumTrade]]
    reserves: Mapping[int, Sequence[CashReserve]]
    unsettled: Mapping[int, Sequence[Entry]]
    # Of an asset in a base currency on a day: portfolios share them.
    quotes: dict[tuple[int, str, dt.date], Quote] = field(default_factory=dict)


def allocation_analyse(
    panel: PortfolioPanel | PortfolioStanding, through: dt.date | None = None
) -> AllocationState:
    """The state of the portfolio at the end of the panel's last day."""
    return allocations_analyse([panel], through)[0]


def allocations_analyse(
    panels: Sequence[PortfolioPanel | PortfolioStanding], through: dt.date | None = None
) -> list[AllocationState]:
    """The state of each portfolio at the end of its panel's last day, in the given order.

    Prices age up to `through` (default: that last day), also where nothing of a portfolio has traded since.

    The number of queries does not depend on how many portfolios there are. Only with the days before, which
    a panel has, is the highest drift known.
    """
    inputs = _read_inputs(panels)
    return [_analyse(panel, inputs, through) for panel in panels]


def decision_day(day: dt.date) -> dt.date:
    """The day whose restrictions bind what is proposed from the prices of `day`.

    That is today where the prices are recent enough to be traded on, else the day itself.
    """
    today = clock.today()
    return today if dt.timedelta() <= today - day <= dt.timedelta(days=settings.PRICE_STALE_DAYS) else day


def _read_inputs(panels: Sequence[PortfolioPanel | PortfolioStanding]) -> _Inputs:
    days = {panel.portfolio.pk: panel.last_day for panel in panels}
    allocations: dict[int, dict[int, TargetLine]] = {portfolio_id: {} for portfolio_id in days}
    rows = PortfolioAllocation.objects.filter(portfolio__in=list(days), is_active=True)
    for values in rows.values_list(*TargetLine._fields):
        target = TargetLine(*values)
        allocations[target.portfolio_id][target.asset_id] = target
    policies = RebalancingPolicy.objects.filter(portfolio__in=list(days))
    policy_of = {policy.portfolio_id: policy for policy in policies}
    allocated = {asset_id for found in allocations.values() for asset_id in found}
    assets: dict[int, Asset] = {}
    for panel in panels:
        assets.update(panel.assets)
    if allocated - assets.keys():  # a target that came after the panels were read
        assets |= Asset.objects.in_bulk(allocated - assets.keys())
    asset_ids = allocated.union(
        *(book.quantities for panel in panels if (book := _last_book(panel)) is not None)
    )
    bars = _recent_bars(asset_ids, days)
    with_impact = any(policy.impact_coefficient for policy in policy_of.values())
    decided_on = {pk: decision_day(day) for pk, day in days.items()}
    return _Inputs(
        policies=policy_of,
        allocations=allocations,
        restrictions=restrictions_of(decided_on),
        last_rebalanced=_last_rebalanced(days),
        targeted={asset_id: assets[asset_id] for asset_id in allocated},
        bars=bars,
        bar_ids=_bar_ids(bars, days),
        volatilities=_volatilities(asset_ids, days) if with_impact else {},
        minimum_trades=_minimum_trades(policy_of),
        reserves=reserves_of(decided_on),
        unsettled=_unsettled(panels),
    )


def _minimum_trades(policies: Mapping[int, RebalancingPolicy]) -> dict[int, list[MinimumTrade]]:
    portfolio_of = {policy.pk: portfolio_id for portfolio_id, policy in policies.items()}
    found: dict[int, list[MinimumTrade]] = {portfolio_id: [] for portfolio_id in policies}
    for row in MinimumTrade.objects.filter(policy__in=list(portfolio_of)).order_by("asset_class"):
        found[portfolio_of[row.policy_id]].append(row)
    return found


def _unsettled(panels: Sequence[PortfolioPanel | PortfolioStanding]) -> dict[int, list[Entry]]:
    """By portfolio; a standing has its books, for panels they are read again."""
    found = unsettled_entries(
        {panel.portfolio.pk: panel.last_day for panel in panels if isinstance(panel, PortfolioPanel)}
    )
    for panel in panels:
        if isinstance(panel, PortfolioStanding):
            entries = panel.book.inputs.entries
            found[panel.portfolio.pk] = [entry for entry in entries if is_unsettled(entry, panel.last_day)]
    return found


def _last_rebalanced(days: Mapping[int, dt.date]) -> dict[int, dt.date]:
    completed = RebalancingEvent.objects.filter(
        portfolio__in=list(days), status=EventStatus.COMPLETED, completed_at__isnull=False
    )
    lasts = completed.order_by().values_list("portfolio").annotate(last=Max("completed_at"))
    return {portfolio_id: timezone.localtime(last).date() for portfolio_id, last in lasts}


def _recent_bars(asset_ids: set[int], days: Mapping[int, dt.date]) -> dict[int, Bars]:
    """Enough of each asset's bars for its last price and the volume before it."""
    if not days:
        return {}
    first, last = min(days.values()), max(days.values())
    bars = recent_bars_of(asset_ids, last, since=first - RECENT_DAYS, figures_since=first - RECENT_DAYS)
    older = {i for i in asset_ids if i not in bars or bars[i].dates[0] > np.datetime64(first)}
    return bars | bars_of(older, last) if older else bars


def _bar_ids(bars: Mapping[int, Bars], days: Mapping[int, dt.date]) -> dict[tuple[int, dt.date], int]:
    """The ids of the bars that are the last ones on one of the days."""
    wanted = {
        (asset_id, found.dates[place - 1].item())
        for asset_id, found in bars.items()
        for day in set(days.values())
        if (place := int(np.searchsorted(found.dates, np.datetime64(day), side="right")))
    }
    rows = PriceBar.objects.filter(
        asset__in={asset_id for asset_id, _ in wanted}, date__in={day for _, day in wanted}
    )
    ids = {(asset_id, day): pk for asset_id, day, pk in rows.values_list("asset_id", "date", "pk")}
    return {key: ids[key] for key in wanted if key in ids}


def _volatilities(asset_ids: set[int], days: Mapping[int, dt.date]) -> dict[int, list[tuple[dt.date, float]]]:
    """Yearly volatilities over 20 days of each asset, the latest first, none older than a price may be."""
    since = min(days.values()) - dt.timedelta(days=settings.PRICE_STALE_DAYS)
    rows = AssetPerformanceMetrics.objects.filter(
        asset__in=asset_ids, calculation_date__range=(since, max(days.values())), volatility_20d__isnull=False
    ).order_by("-calculation_date")
    found: dict[int, list[tuple[dt.date, float]]] = {}
    for asset_id, day, volatility in rows.values_list("asset_id", "calculation_date", "volatility_20d"):
        found.setdefault(asset_id, []).append((day, cast(float, volatility)))
    return found


def _analyse(
    panel: PortfolioPanel | PortfolioStanding, inputs: _Inputs, through: dt.date | None
) -> AllocationState:
    portfolio, day = panel.portfolio, panel.last_day
    days_since = 0 if through is None else (through - day).days
    policy = inputs.policies.get(portfolio.pk) or RebalancingPolicy(portfolio=portfolio)
    allocations = inputs.allocations[portfolio.pk]
    last_rebalanced = inputs.last_rebalanced.get(portfolio.pk)
    with localcontext(prec=WORKING_DIGITS):
        holdings, cash, reasons = _holdings(panel)
        unsettled = _unsettled_cash(panel, inputs.unsettled[portfolio.pk])
        assets = {asset_id: panel.assets[asset_id] for asset_id in holdings}
        assets |= {asset_id: inputs.targeted[asset_id] for asset_id in allocations}
        quotes = {asset_id: _quote(panel, asset, inputs) for asset_id, asset in assets.items()}
        value = cash
        for asset_id, quantity in holdings.items():
            price = quotes[asset_id].price
            if price is None:
                reasons.append(f"{assets[asset_id].symbol}: no price in {portfolio.base_currency_id}")
            value = value + quantity * price if value is not None and price is not None else None
        if value is not None and value <= 0:
            reasons.append(f"the portfolio is worth {value:.2f}")
            value = None
        lines = tuple(
            _line(
                panel,
                assets[asset_id],
                holdings.get(asset_id, NOTHING),
                quotes[asset_id],
                allocations.get(asset_id),
                value,
                last_rebalanced,
                days_since,
            )
            for asset_id in sorted(assets, key=lambda asset_id: (assets[asset_id].symbol, asset_id))
        )
        drift = None
        if value is not None and cash is not None:
            weights = {str(line.asset.pk): line.weight or NOTHING for line in lines} | {
                CASH: cash / value * 100
            }
            targets = {str(line.asset.pk): line.target for line in lines} | {
                CASH: policy.cash_target_percentage
            }
            drift = portfolio_drift(weights, targets)
    return AllocationState(
        portfolio,
        policy,
        day,
        lines,
        cash,
        value,
        drift,
        tuple(reasons),
        tuple(inputs.restrictions[portfolio.pk]),
        last_rebalanced,
        panel.book if isinstance(panel, PortfolioStanding) and panel.through == day else None,
        tuple(inputs.minimum_trades.get(portfolio.pk, ())),
        tuple(inputs.reserves[portfolio.pk]),
        unsettled,
    )


def _holdings(
    panel: PortfolioPanel | PortfolioStanding,
) -> tuple[dict[int, Decimal], Decimal | None, list[str]]:
    """Quantities and cash in base currency at the end of the last day, and what is missing."""
    book = _last_book(panel)
    if book is None:
        return {}, NOTHING, []
    reasons = [unknown.reason for unknown in book.unknown if unknown.field == "positions"]
    cash: Decimal | None = NOTHING
    for currency, amount in sorted(book.cash.items()):
        rate = panel.rate_on_last_day(currency) if amount else NOTHING
        if rate is None:
            reasons.append(f"cash: no rate from {currency} to {panel.portfolio.base_currency_id}")
        cash = cash + amount * rate if cash is not None and rate is not None else None
    return {asset_id: quantity for asset_id, quantity in book.quantities.items() if quantity}, cash, reasons


def _unsettled_cash(
    panel: PortfolioPanel | PortfolioStanding, entries: Iterable[Entry]
) -> tuple[UnsettledCash, ...]:
    """By day and currency."""
    found: dict[tuple[dt.date, str], Decimal] = {}
    for entry in entries:
        for currency, amount in cash_moves(entry):
            key = entry.settle_date or entry.date, currency
            found[key] = found.get(key, NOTHING) + amount
    rates = {currency: panel.rate_on_last_day(currency) for _, currency in found}
    return tuple(
        UnsettledCash(day, currency, amount, None if (rate := rates[currency]) is None else amount * rate)
        for (day, currency), amount in sorted(found.items())
        if amount
    )


def _last_book(panel: PortfolioPanel | PortfolioStanding) -> DayBook | None:
    return next((book for book in reversed(panel.books) if book.date <= panel.last_day), None)


def _quote(panel: PortfolioPanel | PortfolioStanding, asset: Asset, inputs: _Inputs) -> Quote:
    key = asset.pk, panel.portfolio.base_currency_id, panel.last_day
    if key not in inputs.quotes:
        inputs.quotes[key] = _new_quote(panel, asset, inputs)
    return inputs.quotes[key]


def _new_quote(panel: PortfolioPanel | PortfolioStanding, asset: Asset, inputs: _Inputs) -> Quote:
    """The price of an asset at the end of the panel's last day."""
    day, bars = np.datetime64(panel.last_day), inputs.bars.get(asset.pk)
    rate = panel.rate_on_last_day(asset.currency_id)
    carried = bars.carried_close(day) if bars else None
    if bars is None or carried is None or rate is None:
        return Quote()
    close, age = carried
    bar_date = panel.last_day - dt.timedelta(days=age)
    volatility = next(
        (figure for date, figure in inputs.volatilities.get(asset.pk, ()) if date <= panel.last_day), None
    )
    local_value = _daily_value(bars, day)
    return Quote(
        price=(Decimal(repr(close)) * rate).quantize(PRICE_PLACES),
        age=age,
        local=Decimal(repr(close)),
        bar=inputs.bar_ids.get((asset.pk, bar_date)),
        bar_date=bar_date,
        rate=rate,
        rate_date=_rate_date(panel, asset.currency_id),
        daily_volatility=None if volatility is None else volatility / sqrt(SESSIONS_PER_YEAR),
        daily_value=None if local_value is None else local_value * float(rate),
    )


def _rate_date(panel: PortfolioPanel | PortfolioStanding, currency: str) -> dt.date | None:
    if currency == panel.portfolio.base_currency_id:
        return None
    dates, _ = panel.rates[currency]
    place = int(np.searchsorted(dates, np.datetime64(panel.last_day), side="right")) - 1
    return cast(dt.date, dates[place].item())


def _daily_value(bars: Bars, day: np.datetime64) -> float | None:
    """Mean of volume times close over the last bars up to the day; None unless all of them are known."""
    end = int(np.searchsorted(bars.dates, day, side="right"))
    traded = (bars.volume * bars.close)[max(0, end - VOLUME_BARS) : end]
    if len(traded) < VOLUME_BARS or np.isnan(traded).any() or not traded.any():
        return None
    return float(traded.mean())


def _line(
    panel: PortfolioPanel | PortfolioStanding,
    asset: Asset,
    quantity: Decimal,
    quote: Quote,
    allocation: TargetLine | None,
    total: Decimal | None,
    last_rebalanced: dt.date | None,
    days_since: int,
) -> AllocationLine:
    value = quantity * quote.price if quote.price is not None else (NOTHING if not quantity else None)
    weight = value / total * 100 if value is not None and total is not None else None
    drift = line_drift(weight, _band(allocation)) if weight is not None else None
    highest = None
    if allocation and isinstance(panel, PortfolioPanel):
        highest = _highest_drift(panel, asset.pk, allocation, drift, last_rebalanced)
    age = None if quote.age is None else quote.age + days_since
    return AllocationLine(asset, quantity, quote.price, age, allocation, value, weight, drift, quote, highest)


def _highest_drift(
    panel: PortfolioPanel,
    asset_id: int,
    allocation: TargetLine,
    drift: LineDrift | None,
    last_rebalanced: dt.date | None,
) -> tuple[float, dt.date] | None:
    """The largest deviation from today's target on the days since the last rebalancing.

    Where there was none yet, since the asset is held: buying it for the first time put it right.
    """
    valuation = panel.valuation
    deviations = np.full(len(panel.dates), np.nan)
    if asset_id in valuation.asset_ids:
        row = valuation.asset_ids.index(asset_id)
        held = np.flatnonzero(valuation.quantities[row, panel.days])
        total = valuation.total_value[panel.days]
        with np.errstate(invalid="ignore", divide="ignore"):
            weights = np.where(total > 0, valuation.positions[row, panel.days] / total * 100, np.nan)
        deviations = weights - float(allocation.target_percentage)
        deviations[: held[0] if len(held) else len(deviations)] = np.nan
    if last_rebalanced is not None:
        deviations[panel.dates <= np.datetime64(last_rebalanced)] = np.nan
    deviations[-1] = np.nan if drift is None else float(drift.deviation)
    if np.isnan(deviations).all():
        return None
    place = int(np.nanargmax(np.abs(deviations)))
    return float(deviations[place]), cast(dt.date, panel.dates[place].item())


def _band(allocation: TargetLine | None) -> Band:
    """What is held without a target should not be held."""
    if allocation is None:
        return Band(target=NOTHING, maximum=Decimal(100))
    return Band(
        target=allocation.target_percentage,
        minimum=allocation.min_percentage,
        maximum=allocation.max_percentage,
        absolute=allocation.rebalance_threshold,
        relative=allocation.rebalance_threshold_relative,
        rule=cast(BandRule, allocation.band_rule),
    )


def drift_write(run: AnalyticsRun, state: AllocationState, inputs_hash: str) -> int:
    """Store where each target line stands; return how many rows changed."""
    return drifts_write(run, [(state, inputs_hash)])


def drifts_write(run: AnalyticsRun, states: Sequence[tuple[AllocationState, str]]) -> int:
    """The same for several portfolios, each with the hash of its inputs, at once."""
    rows = [(state, inputs_hash, line) for state, inputs_hash in states for line in state.lines]
    rows = [row for row in rows if row[2].allocation]
    if not rows:
        return 0
    lines = [line for _, _, line in rows]
    columns: dict[str, Any] = {
        "current_value": [line.value for line in lines],
        "current_percentage": [None if line.weight is None else float(line.weight) for line in lines],
        "drift_percentage": [None if line.drift is None else float(line.drift.deviation) for line in lines],
        "highest_drift_percentage": [line.highest_drift and line.highest_drift[0] for line in lines],
        "highest_drift_date": [line.highest_drift and line.highest_drift[1] for line in lines],
        "is_breached": [None if line.drift is None else line.drift.breached for line in lines],
        "quality": [_quality(state, line) for state, _, line in rows],
    }
    return bulk_upsert(
        PortfolioAllocation,
        {
            "portfolio": [state.portfolio.pk for state, _, _ in rows],
            "asset": [line.asset.pk for line in lines],
            "calculation_date": [state.day for state, _, _ in rows],
            **columns,
            "run": run.pk,
            "inputs_hash": [inputs_hash for _, inputs_hash, _ in rows],
            "engine_version": ENGINE_VERSION,
        },
        key=("portfolio", "asset"),
        provenance=PROVENANCE,
        insert=False,
    )


def _quality(state: AllocationState, line: AllocationLine) -> dict[str, str]:
    if line.weight is not None:
        return {}
    return {"current_percentage": "; ".join(state.reasons) or "value unknown"}

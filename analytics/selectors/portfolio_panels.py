"""A portfolio as arrays: its books valued day by day, its returns, its benchmarks. Few queries for many."""

import datetime as dt
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import cache, partial
from typing import cast

import numpy as np
from django.conf import settings

from analytics.calculations.blends import blended_returns, rebalancing_days
from analytics.calculations.dietz import level_days, valued_periodically
from analytics.calculations.fingerprints import pooled_digests, running_fingerprints
from analytics.calculations.performance import ReturnSeries
from analytics.calculations.returns import carry_forward, daily_risk_free, simple_returns
from analytics.calculations.twr import FlowTiming, TimeWeighted, sum_to_calendar, time_weighted
from analytics.models import PortfolioAllocation, PortfolioBenchmark
from analytics.selectors.blends import BlendRule, blend_rules, carried_levels
from portfolios.calculations.carrying import carry_forward as carry_with_age
from portfolios.calculations.entries import LedgerError
from portfolios.calculations.ledger import DayBook
from portfolios.calculations.valuation import Valuation, book_value
from portfolios.models import Asset, Portfolio, ValuationFrequency
from portfolios.selectors.books import BookInputs, book_inputs, books_walk
from portfolios.selectors.market_data import (
    Bars,
    Series,
    closes_of,
    exchange_rates_to,
    interest_rate_series,
    latest_bar_days,
)
from portfolios.selectors.open_lots import WalkedBook, bars_for_costs, book_walked

DAY_SUMS = (
    "inflow",
    "outflow",
    "realized",
    "realized_fx",
    "transferred_pnl",
    "income",
    "fees",
    "trading_costs",
    "taxes",
    "fx_on_cash",
)
LEVELS = ("total_value", "invested_value", "cash_value", "cost_basis", "unrealized_pnl")


@dataclass(frozen=True)
class BenchmarkParts:
    """One benchmark on the portfolio's calendar of T days, in base currency, and what it consists of.

    `weights` and `component_returns` by asset id, (T,) each: the weight at the start of the day, and the
    component's own return, 0 on a day on which only others traded. Their products add up to `returns` (T,).
    NaN: no component traded that day, or one of them is unknown, of which the `note` tells. A benchmark with
    prices of its own is its only component.
    """

    returns: np.ndarray
    weights: dict[int, np.ndarray]
    component_returns: dict[int, np.ndarray]
    note: str = ""


@dataclass(frozen=True)
class PortfolioPanel:
    """One portfolio on its calendar of T days.

    `days`: positions of the calendar days on the valuation's timeline. `sums`: day figures summed onto the
    calendar. `asset_returns` (A, T): in base currency, in the order of the valuation's assets. `benchmarks`:
    returns (T,) in base currency by asset id, or the reason why there are none; `benchmark_parts`: what those
    with returns consist of. `hashes`: of all inputs up to each day.
    """

    portfolio: Portfolio
    assets: Mapping[int, Asset]
    books: list[DayBook]
    valuation: Valuation
    days: np.ndarray
    sums: dict[str, np.ndarray]
    weighted: TimeWeighted
    series: ReturnSeries
    primary_benchmark: int | None
    benchmarks: dict[int, np.ndarray | str]
    benchmark_parts: dict[int, BenchmarkParts]
    asset_returns: np.ndarray
    rates: Mapping[str, Series]
    hashes: np.ndarray

    @property
    def dates(self) -> np.ndarray:
        return self.series.dates

    @property
    def last_day(self) -> dt.date:
        return cast(dt.date, self.dates[-1].item())

    @property
    def last_hash(self) -> str:
        """What the figures of the last day were computed from."""
        return str(self.hashes[-1], "ascii")

    @property
    def is_valued_daily(self) -> bool:
        return self.portfolio.valuation_frequency == ValuationFrequency.DAILY

    @property
    def daily_series(self) -> ReturnSeries:
        """The series for statistics of daily returns; without any where it is valued less often."""
        if self.is_valued_daily:
            return self.series
        return replace(self.series, returns=np.full(len(self.dates), np.nan))

    @property
    def primary_parts(self) -> BenchmarkParts | None:
        """What the primary benchmark consists of; None without one, or without its returns."""
        return None if self.primary_benchmark is None else self.benchmark_parts.get(self.primary_benchmark)

    def is_total_return(self, benchmark: int) -> bool:
        """Whether the benchmark's prices, or those of all its components, contain the dividends."""
        parts = self.benchmark_parts.get(benchmark)
        return all(self.assets[i].is_total_return for i in (parts.weights if parts else [benchmark]))

    def rate_on_last_day(self, currency: str) -> Decimal | None:
        """Base currency per unit on the last day; None when unknown."""
        return _rate_on(currency, self.portfolio.base_currency_id, self.last_day, self.rates)

    def rows_from(self, first: dt.date) -> np.ndarray:
        """Positions of the calendar days from `first` on."""
        return np.arange(int(np.searchsorted(self.dates, np.datetime64(first))), len(self.dates))


@dataclass(frozen=True)
class PortfolioStanding:
    """One portfolio at the end of the last day of its calendar, without the days before.

    `book`: all of its books up to `through`.
    """

    portfolio: Portfolio
    assets: Mapping[int, Asset]
    book: WalkedBook
    last_day: dt.date
    through: dt.date
    rates: Mapping[str, Series]

    @property
    def books(self) -> list[DayBook]:
        return self.book.days

    def rate_on_last_day(self, currency: str) -> Decimal | None:
        """Base currency per unit on the last day; None when unknown."""
        return _rate_on(currency, self.portfolio.base_currency_id, self.last_day, self.rates)


def snapshot_money(panel: PortfolioPanel) -> dict[str, np.ndarray]:
    """The money of a snapshot by its column, on every calendar day (T,)."""
    levels = {name: getattr(panel.valuation, name)[panel.days] for name in LEVELS}
    sums = panel.sums
    net_flow = sums["inflow"] - sums["outflow"]
    return levels | {
        "net_flow": net_flow,
        "cumulative_net_flow": np.cumsum(net_flow),
        "realized_pnl": sums["realized"],
        "realized_fx_pnl": sums["realized_fx"],
        "transferred_pnl": sums["transferred_pnl"],
        "income": sums["income"],
        "fees": sums["fees"],
        "trading_costs": sums["trading_costs"],
        "taxes": sums["taxes"],
        "fx_on_cash": sums["fx_on_cash"],
    }


@dataclass(frozen=True)
class PanelFault:
    """A portfolio whose books cannot be walked, and why."""

    portfolio: Portfolio
    reason: str


def portfolio_panels(
    portfolios: Iterable[Portfolio], through: dt.date
) -> Iterator[PortfolioPanel | PanelFault]:
    """One panel per portfolio that has settled transactions, in the given order."""
    portfolios = list(portfolios)
    inputs = book_inputs((portfolio.pk for portfolio in portfolios), through)
    benchmarks: dict[int, list[PortfolioBenchmark]] = {}
    for row in PortfolioBenchmark.objects.filter(portfolio__in=portfolios, is_active=True).order_by(
        "asset_id"
    ):
        benchmarks.setdefault(row.portfolio_id, []).append(row)
    asset_ids = {asset_id for book in inputs.values() for asset_id in book.asset_ids}
    rules = blend_rules(row.asset_id for rows in benchmarks.values() for row in rows)
    asset_ids |= rules.keys() | {component for rule in rules.values() for component in rule.asset_ids}
    assets = _targets(portfolios) | Asset.objects.in_bulk(asset_ids)
    bars = closes_of(asset_ids, through)
    rate_cache: dict[str, dict[str, Series]] = {}
    series_cache: dict[str, Series] = {}
    all_currencies = {asset.currency_id for asset in assets.values()}
    all_currencies = all_currencies.union(*(book.currencies for book in inputs.values()))

    @cache  # portfolios share their assets
    def asset_returns(asset_id: int, base: str) -> Series:
        return _base_returns(bars.get(asset_id), assets[asset_id].currency_id, base, rate_cache[base])

    for portfolio in portfolios:
        if not inputs[portfolio.pk].entries:
            continue
        base = portfolio.base_currency_id
        if base not in rate_cache:
            rate_cache[base] = exchange_rates_to(base, all_currencies, through)
        if portfolio.risk_free not in series_cache:
            series_cache[portfolio.risk_free] = interest_rate_series(portfolio.risk_free, through)
        try:
            yield _panel(
                portfolio,
                inputs[portfolio.pk],
                through,
                assets=assets,
                bars=bars,
                rates=rate_cache[base],
                risk_free=series_cache[portfolio.risk_free],
                asset_returns=asset_returns,
                benchmarks=benchmarks.get(portfolio.pk, []),
                rules=rules,
            )
        except LedgerError as error:
            yield PanelFault(portfolio, str(error))


def portfolio_standings(
    portfolios: Iterable[Portfolio], through: dt.date
) -> Iterator[PortfolioStanding | PanelFault]:
    """Where each portfolio with settled transactions stands, in the given order: what a panel ends with.

    Days on which it is not valued yet are a fault. No prices of earlier days are read.
    """
    portfolios = list(portfolios)
    inputs = book_inputs((portfolio.pk for portfolio in portfolios), through)
    measured: dict[int, set[int]] = {portfolio.pk: set() for portfolio in portfolios}
    benchmarks = PortfolioBenchmark.objects.filter(portfolio__in=portfolios, is_active=True)
    for portfolio_id, asset_id in benchmarks.values_list("portfolio", "asset"):
        measured[portfolio_id].add(asset_id)
    rules = blend_rules(set().union(*measured.values()))
    asset_ids = set(rules).union(*(book.asset_ids for book in inputs.values()))
    asset_ids = asset_ids.union(*(rule.asset_ids for rule in rules.values()))
    assets = _targets(portfolios) | Asset.objects.in_bulk(asset_ids)
    bars = bars_for_costs(inputs.values(), through)
    last_days = latest_bar_days(asset_ids, through)
    currencies = {asset.currency_id for asset in assets.values()}
    currencies = currencies.union(*(book.currencies for book in inputs.values()))
    bases = {portfolio.base_currency_id for portfolio in portfolios}
    rates = {base: exchange_rates_to(base, currencies, through) for base in bases}
    for portfolio in portfolios:
        book = inputs[portfolio.pk]
        if not book.entries:
            continue
        watched = set(book.asset_ids).union(*(rules[i].asset_ids for i in measured[portfolio.pk]))
        traded = [last_days[asset_id] for asset_id in watched if asset_id in last_days]
        last_day = max(traded, default=None) or _last_weekday(through)
        own_rates = rates[portfolio.base_currency_id]
        walked = book_walked(portfolio, book, assets=assets, bars=bars, rates=own_rates)
        if walked.fault is not None:
            yield PanelFault(portfolio, str(walked.fault))
        elif last_day < min(entry.date for entry in book.entries):
            yield PanelFault(portfolio, f"no trading day between the first transaction and {through}")
        else:
            yield PortfolioStanding(portfolio, assets, walked, last_day, through, own_rates)


def _targets(portfolios: list[Portfolio]) -> dict[int, Asset]:
    """What the portfolios should hold; it may be in a currency that their books have never held."""
    wanted = PortfolioAllocation.objects.filter(portfolio__in=portfolios, is_active=True)
    return {asset.pk: asset for asset in Asset.objects.filter(pk__in=wanted.order_by().values("asset"))}


def _panel(
    portfolio: Portfolio,
    inputs: BookInputs,
    through: dt.date,
    *,
    assets: Mapping[int, Asset],
    bars: Mapping[int, Bars],
    rates: Mapping[str, Series],
    risk_free: Series,
    asset_returns: Callable[[int, str], Series],
    benchmarks: list[PortfolioBenchmark],
    rules: Mapping[int, BlendRule],
) -> PortfolioPanel:
    held = inputs.asset_ids
    carry_days = settings.FX_MAX_CARRY_DAYS
    books = books_walk(portfolio, inputs, assets=assets, bars=bars, rates=rates, fx_max_carry_days=carry_days)
    first = min(entry.date for entry in inputs.entries)
    measured = (component for row in benchmarks for component in rules[row.asset_id].asset_ids)
    calendar = _calendar(first, through, [bars[i].dates for i in (*held, *measured) if i in bars])
    bar_dates = _all_days([bars[i].dates for i in held if i in bars] or [calendar[:0]])
    valuation = book_value(
        books,
        calendar=calendar,
        asset_ids=held,
        asset_currencies=[assets[asset_id].currency_id for asset_id in held],
        bar_dates=bar_dates,
        closes=_on_dates(bar_dates, [bars.get(asset_id) for asset_id in held]),
        fx_rates=rates,
        base_currency=portfolio.base_currency_id,
        fx_max_carry_days=carry_days,
        splits=inputs.actions,
        names={asset_id: assets[asset_id].symbol for asset_id in held},
    )
    days = np.flatnonzero(valuation.is_calendar)
    weighted = _weighted(portfolio, valuation)
    sums = {name: sum_to_calendar(getattr(valuation, name), valuation.is_calendar) for name in DAY_SUMS}
    against = {
        row.asset_id: _benchmark_parts(row, rules[row.asset_id], assets, bars, calendar, portfolio, rates)
        for row in benchmarks
    }
    parts = {asset_id: found for asset_id, found in against.items() if isinstance(found, BenchmarkParts)}
    primary = next((row.asset_id for row in benchmarks if row.is_primary), None)
    primary_parts = parts.get(primary) if primary is not None else None
    series = ReturnSeries(
        dates=calendar,
        returns=weighted.returns,
        index=weighted.index,
        risk_free=daily_risk_free(carry_forward(*risk_free, calendar)),
        benchmark=primary_parts.returns if primary_parts else None,
        values=valuation.total_value[days],
        flows=sums["inflow"] - sums["outflow"],
        level_dates=(
            None
            if portfolio.valuation_frequency == ValuationFrequency.DAILY
            else level_days(calendar, portfolio.valuation_frequency)
        ),
    )
    return PortfolioPanel(
        portfolio=portfolio,
        assets=assets,
        books=books,
        valuation=valuation,
        days=days,
        sums=sums,
        weighted=weighted,
        series=series,
        primary_benchmark=primary,
        benchmarks={i: found if isinstance(found, str) else found.returns for i, found in against.items()},
        benchmark_parts=parts,
        asset_returns=np.array(
            [_on_calendar(calendar, *asset_returns(i, portfolio.base_currency_id)) for i in held]
        ).reshape(len(held), len(calendar)),
        rates=rates,
        hashes=_input_hashes(
            portfolio, valuation, days, series, rules[primary] if primary is not None else None
        ),
    )


def _weighted(portfolio: Portfolio, valuation: Valuation) -> TimeWeighted:
    """Returns by the portfolio's own rules: how often it is valued, and when in a day its flows count."""
    is_daily = portfolio.valuation_frequency == ValuationFrequency.DAILY
    measure = (
        time_weighted
        if is_daily
        else partial(
            valued_periodically,
            frequency=portfolio.valuation_frequency,
            large_flow=float(portfolio.large_flow_percentage) / 100 or None,
        )
    )
    return measure(
        valuation.timeline,
        valuation.is_calendar,
        valuation.total_value,
        valuation.inflow,
        valuation.outflow,
        inflow_timing=cast(FlowTiming, portfolio.inflow_timing),
        outflow_timing=cast(FlowTiming, portfolio.outflow_timing),
    )


def _calendar(first: dt.date, through: dt.date, bar_dates: list[np.ndarray]) -> np.ndarray:
    """Days on which one of the portfolio's assets or benchmarks traded; weekdays where it has none."""
    start, end = np.datetime64(first), np.datetime64(through)
    if not bar_dates:
        every_day = np.arange(start, end + 1)
        return every_day[np.is_busday(every_day)]
    days = _all_days(bar_dates)
    return days[(days >= start) & (days <= end)]


def _last_weekday(day: dt.date) -> dt.date:
    return cast(dt.date, np.busday_offset(np.datetime64(day), 0, roll="backward").item())


def _all_days(dates: list[np.ndarray]) -> np.ndarray:
    """The days that are in one of the arrays, ascending. Most of them are the same, and compared quickly."""
    distinct = {array.tobytes(): array for array in dates}
    if len(distinct) == 1:
        return dates[0]
    return np.unique(np.concatenate([*distinct.values()]))


def _on_dates(dates: np.ndarray, bars: list[Bars | None]) -> np.ndarray:
    closes = np.full((len(bars), len(dates)), np.nan)
    for row, asset_bars in enumerate(bars):
        if asset_bars is not None:
            closes[row, np.searchsorted(dates, asset_bars.dates)] = asset_bars.traded_close
    return closes


def _rates_on(currency: str, base: str, dates: np.ndarray, rates: Mapping[str, Series]) -> np.ndarray | None:
    """Base currency per unit on each date, carried within the limit; None when no rate is known at all."""
    if currency == base:
        return np.ones(len(dates))
    if currency not in rates:
        return None
    carried = carry_with_age(dates, *rates[currency])
    return np.where(carried.age <= settings.FX_MAX_CARRY_DAYS, carried.values, np.nan)


def _rate_on(currency: str, base: str, day: dt.date, rates: Mapping[str, Series]) -> Decimal | None:
    fx = _rates_on(currency, base, np.array([day], dtype="datetime64[D]"), rates)
    return None if fx is None or np.isnan(fx[0]) else Decimal(repr(float(fx[0])))


def _base_returns(bars: Bars | None, currency: str, base: str, rates: Mapping[str, Series]) -> Series:
    """The days on which the asset has a bar, and its price returns in base currency on them."""
    fx = None if bars is None else _rates_on(currency, base, bars.dates, rates)
    if bars is None or fx is None:
        return np.empty(0, dtype="datetime64[D]"), np.empty(0)
    return bars.dates, simple_returns(bars.close * fx)


def _on_calendar(calendar: np.ndarray, dates: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Values (..., D) of own dates on the days of the calendar, (..., T); NaN on all other days.

    The values themselves where both are the same days.
    """
    if np.array_equal(dates, calendar):
        return values
    placed = np.full((*values.shape[:-1], len(calendar)), np.nan)
    if not len(dates):
        return placed
    place = np.minimum(np.searchsorted(dates, calendar), len(dates) - 1)
    traded = dates[place] == calendar
    placed[..., traded] = values[..., place[traded]]
    return placed


def _benchmark_parts(
    row: PortfolioBenchmark,
    rule: BlendRule,
    assets: Mapping[int, Asset],
    bars: Mapping[int, Bars],
    calendar: np.ndarray,
    portfolio: Portfolio,
    rates: Mapping[str, Series],
) -> BenchmarkParts | str:
    """The rule runs over the components' own history, so that a blend is the same in every portfolio."""
    base = portfolio.base_currency_id
    own_levels = []
    for component in (assets[asset_id] for asset_id in rule.asset_ids):
        if component.pk not in bars:
            return f"{component.symbol} has no prices"
        own = bars[component.pk]
        fx = _rates_on(component.currency_id, base, own.dates, rates)
        if fx is None:
            return f"no rate from {component.currency_id} to {base}"
        own_levels.append((own.dates, own.close * fx))
    dates = np.unique(np.concatenate([own_dates for own_dates, _ in own_levels]))
    if rule.start_date is not None:
        # The level before the first return.
        dates = dates[max(int(np.searchsorted(dates, np.datetime64(rule.start_date))) - 1, 0) :]
    levels = np.stack([carried_levels(dates, *own) for own in own_levels])
    blend = blended_returns(levels, np.array(rule.shares), rebalancing_days(dates, rule.frequency))
    parts = np.stack([blend.weights, simple_returns(levels)])
    parts[:, :, np.isnan(blend.returns)] = np.nan
    returns, (weights, moves) = (_on_calendar(calendar, dates, part) for part in (blend.returns, parts))
    if row.start_date is not None:
        for series in (returns, weights, moves):
            series[..., calendar < np.datetime64(row.start_date)] = np.nan
    return BenchmarkParts(
        returns=returns,
        weights=dict(zip(rule.asset_ids, weights, strict=True)),
        component_returns=dict(zip(rule.asset_ids, moves, strict=True)),
        note=_late_start([(assets[i].symbol, bars[i].dates[0]) for i in rule.asset_ids], calendar),
    )


def _late_start(first_prices: list[tuple[str, np.datetime64]], calendar: np.ndarray) -> str:
    """Why a blend is unknown at first: the component that begins last begins within the calendar."""
    symbol, begins = max(first_prices, key=lambda component: component[1])
    is_late = len(first_prices) > 1 and (calendar < begins).any()
    return f"{symbol} has no price before {begins}" if is_late else ""


def _input_hashes(
    portfolio: Portfolio,
    valuation: Valuation,
    days: np.ndarray,
    series: ReturnSeries,
    benchmark_rule: BlendRule | None,
) -> np.ndarray:
    """A fingerprint per calendar day over everything that entered its figures, with all days before it."""
    parameters = (
        portfolio.base_currency_id,
        portfolio.cost_method,
        portfolio.inflow_timing,
        portfolio.outflow_timing,
        portfolio.risk_free,
        portfolio.valuation_frequency,
        portfolio.large_flow_percentage,
        benchmark_rule,
    )
    positions = np.stack([valuation.quantities, valuation.prices * valuation.fx], axis=-1)
    cash = np.array(list(valuation.cash.values())).reshape(len(valuation.cash), len(valuation.timeline), 1)
    codes = np.array([int.from_bytes(currency.encode()) for currency in valuation.cash], dtype=np.int64)
    # Days between two calendar days belong to the later one, which alone has a market.
    market = np.zeros((len(valuation.timeline), 2))
    market[days] = np.stack([series.risk_free, series.benchmark_returns], axis=-1)
    table = np.concatenate(
        [
            valuation.timeline.astype(float)[:, None],
            pooled_digests(positions, np.array(valuation.asset_ids, dtype=np.int64), positions[..., 0] != 0),
            pooled_digests(cash, codes, cash[..., 0] != 0),
            np.stack([getattr(valuation, name) for name in DAY_SUMS], axis=-1),
            market,
        ],
        axis=-1,
    )
    return np.asarray(running_fingerprints(table, repr(parameters))[days])

"""A portfolio as arrays: its books valued day by day, its returns, its benchmarks. Few queries for many."""

import datetime as dt
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import cast

import numpy as np
from django.conf import settings

from analytics.calculations.performance import ReturnSeries
from analytics.calculations.returns import carry_forward, daily_risk_free, simple_returns
from analytics.calculations.twr import FlowTiming, TimeWeighted, sum_to_calendar, time_weighted
from analytics.models import PortfolioBenchmark
from analytics.models.computed import HASH_LENGTH
from portfolios.calculations.carrying import carry_forward as carry_with_age
from portfolios.calculations.entries import LedgerError
from portfolios.calculations.ledger import DayBook
from portfolios.calculations.valuation import Valuation, book_value
from portfolios.models import Asset, Portfolio
from portfolios.selectors.books import BookInputs, book_inputs, books_walk
from portfolios.selectors.market_data import Bars, Series, bars_of, exchange_rates_to, interest_rate_series

DAY_SUMS = ("inflow", "outflow", "realized", "income", "fees", "taxes", "fx_on_cash")


@dataclass(frozen=True)
class PortfolioPanel:
    """One portfolio on its calendar of T days.

    `days`: positions of the calendar days on the valuation's timeline. `sums`: day figures summed onto the
    calendar. `asset_returns` (A, T): in base currency, in the order of the valuation's assets. `benchmarks`:
    returns (T,) in base currency by asset id, or the reason why there are none. `hashes`: of all inputs up to
    each day.
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
    asset_returns: np.ndarray
    rates: Mapping[str, Series]
    hashes: list[str]

    @property
    def dates(self) -> np.ndarray:
        return self.series.dates

    def rate_on_last_day(self, currency: str) -> Decimal | None:
        """Base currency per unit on the last day; None when unknown."""
        fx = _rates_on(currency, self.portfolio.base_currency_id, self.dates[-1:], self.rates)
        return None if fx is None or np.isnan(fx[0]) else Decimal(repr(float(fx[0])))

    def rows_from(self, first: dt.date) -> np.ndarray:
        """Positions of the calendar days from `first` on."""
        return np.arange(int(np.searchsorted(self.dates, np.datetime64(first))), len(self.dates))


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
    asset_ids |= {row.asset_id for rows in benchmarks.values() for row in rows}
    assets = Asset.objects.in_bulk(asset_ids)
    bars = bars_of(asset_ids, through)
    rate_cache: dict[str, dict[str, Series]] = {}
    series_cache: dict[str, Series] = {}
    all_currencies = {asset.currency_id for asset in assets.values()}
    all_currencies = all_currencies.union(*(book.currencies for book in inputs.values()))
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
                benchmarks=benchmarks.get(portfolio.pk, []),
            )
        except LedgerError as error:
            yield PanelFault(portfolio, str(error))


def _panel(
    portfolio: Portfolio,
    inputs: BookInputs,
    through: dt.date,
    *,
    assets: Mapping[int, Asset],
    bars: Mapping[int, Bars],
    rates: Mapping[str, Series],
    risk_free: Series,
    benchmarks: list[PortfolioBenchmark],
) -> PortfolioPanel:
    held = inputs.asset_ids
    carry_days = settings.FX_MAX_CARRY_DAYS
    books = books_walk(portfolio, inputs, assets=assets, bars=bars, rates=rates, fx_max_carry_days=carry_days)
    first = min(entry.date for entry in inputs.entries)
    calendar = _calendar(
        first, through, [bars[i].dates for i in (*held, *(b.asset_id for b in benchmarks)) if i in bars]
    )
    bar_dates = np.unique(np.concatenate([bars[i].dates for i in held if i in bars] or [calendar[:0]]))
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
    weighted = time_weighted(
        valuation.timeline,
        valuation.is_calendar,
        valuation.total_value,
        valuation.inflow,
        valuation.outflow,
        inflow_timing=cast(FlowTiming, portfolio.inflow_timing),
        outflow_timing=cast(FlowTiming, portfolio.outflow_timing),
    )
    sums = {name: sum_to_calendar(getattr(valuation, name), valuation.is_calendar) for name in DAY_SUMS}
    against = {
        row.asset_id: _benchmark_returns(
            row, assets[row.asset_id], bars.get(row.asset_id), calendar, portfolio, rates
        )
        for row in benchmarks
    }
    primary = next((row.asset_id for row in benchmarks if row.is_primary), None)
    primary_returns = against.get(primary) if primary is not None else None
    series = ReturnSeries(
        dates=calendar,
        returns=weighted.returns,
        index=weighted.index,
        risk_free=daily_risk_free(carry_forward(*risk_free, calendar)),
        benchmark=primary_returns if isinstance(primary_returns, np.ndarray) else None,
        values=valuation.total_value[days],
        flows=sums["inflow"] - sums["outflow"],
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
        benchmarks=against,
        asset_returns=np.array(
            [_base_returns(bars.get(i), assets[i].currency_id, calendar, portfolio, rates) for i in held]
        ).reshape(len(held), len(calendar)),
        rates=rates,
        hashes=_input_hashes(portfolio, valuation, days, series),
    )


def _calendar(first: dt.date, through: dt.date, bar_dates: list[np.ndarray]) -> np.ndarray:
    """Days on which one of the portfolio's assets or benchmarks traded; weekdays where it has none."""
    start, end = np.datetime64(first), np.datetime64(through)
    if not bar_dates:
        every_day = np.arange(start, end + 1)
        return every_day[np.is_busday(every_day)]
    days = np.unique(np.concatenate(bar_dates))
    return days[(days >= start) & (days <= end)]


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


def _base_returns(
    bars: Bars | None, currency: str, calendar: np.ndarray, portfolio: Portfolio, rates: Mapping[str, Series]
) -> np.ndarray:
    """Price returns in base currency on the calendar days on which the asset has a bar, (T,)."""
    returns = np.full(len(calendar), np.nan)
    if bars is None:
        return returns
    fx = _rates_on(currency, portfolio.base_currency_id, bars.dates, rates)
    if fx is None:
        return returns
    own = simple_returns(bars.close * fx)
    place = np.minimum(np.searchsorted(bars.dates, calendar), len(bars.dates) - 1)
    traded = bars.dates[place] == calendar
    returns[traded] = own[place[traded]]
    return returns


def _benchmark_returns(
    row: PortfolioBenchmark,
    asset: Asset,
    bars: Bars | None,
    calendar: np.ndarray,
    portfolio: Portfolio,
    rates: Mapping[str, Series],
) -> np.ndarray | str:
    if bars is None:
        return f"{asset.symbol} has no prices"
    if asset.currency_id != portfolio.base_currency_id and asset.currency_id not in rates:
        return f"no rate from {asset.currency_id} to {portfolio.base_currency_id}"
    returns = _base_returns(bars, asset.currency_id, calendar, portfolio, rates)
    if row.start_date is not None:
        returns[calendar < np.datetime64(row.start_date)] = np.nan
    return returns


def _input_hashes(
    portfolio: Portfolio, valuation: Valuation, days: np.ndarray, series: ReturnSeries
) -> list[str]:
    """A hash per calendar day over everything that entered its figures, each building on the day before."""
    parameters = (
        portfolio.base_currency_id,
        portfolio.cost_method,
        portfolio.inflow_timing,
        portfolio.outflow_timing,
        portfolio.risk_free,
    )
    running = hashlib.sha256(repr(parameters).encode())
    ids = np.array(valuation.asset_ids, dtype=float)
    table = np.stack([valuation.quantities, valuation.prices, valuation.fx])
    cash = np.array([valuation.cash[currency] for currency in sorted(valuation.cash)])
    flows = np.stack([getattr(valuation, name) for name in DAY_SUMS])
    market = np.stack([series.risk_free, series.benchmark_returns])
    hashes = []
    start = 0
    for row, day in enumerate(days):
        # Days between two calendar days belong to the later one.
        for moment in range(start, day + 1):
            held = np.flatnonzero(table[0, :, moment])
            running.update(ids[held].tobytes() + table[:, held, moment].tobytes())
            running.update(cash[:, moment].tobytes() + flows[:, moment].tobytes())
        running.update(valuation.timeline[day].tobytes() + market[:, row].tobytes())
        hashes.append(running.hexdigest()[:HASH_LENGTH])
        start = day + 1
    return hashes

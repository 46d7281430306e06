"""The columns of asset_performance_metrics for one asset or many on their bars, and why some are missing."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analytics.calculations.constants import ROUNDING_NOISE, SESSIONS_PER_YEAR
from analytics.calculations.indicator_steps import indicator_steps
from analytics.calculations.indicators import (
    INDICATOR_BARS,
    complete_run_lengths,
    indicator_columns,
)
from analytics.calculations.observations import Days, Floats, Integers, known_where, ratio
from analytics.calculations.reasons import ReasonSheet
from analytics.calculations.returns import months_earlier, simple_returns
from analytics.calculations.rolling import rolling_drawdown, rolling_slope, rolling_spread

RETURN_MONTHS = {
    "return_1m": 1,
    "return_3m": 3,
    "return_6m": 6,
    "return_1y": 12,
    "return_3y": 36,
    "return_5y": 60,
}
# Those whose closes lie further back than the year that a continued row looks at.
LONG_RETURN_MONTHS = [months for months in RETURN_MONTHS.values() if months > 12]
SHORT_WINDOW = 20
YEAR_WINDOW = SESSIONS_PER_YEAR


def asset_metric_columns(
    dates: Days,
    high: Floats,
    low: Floats,
    close: Floats,
    volume: Floats,
    market_dates: Days,
    market_close: Floats,
    risk_free: Floats,
    rows: Integers,
    before: Mapping[str, Floats] | None = None,
) -> tuple[dict[str, Floats], list[dict[str, str]]]:
    """Every figure on the bars `rows`, each (..., len(rows)), and per row why figures are missing.

    `dates` (T,): bars of one asset, or the common ones of many, ascending. `high`, `low`, `close`, `volume`
    (..., T): adjusted for splits; NaN in high, low or volume is unknown, closes must be finite. `risk_free`
    (T,): rate of one session on each date, NaN = unknown. `market_*`: bars of the market asset, empty when
    there is none. Returns, volatilities and drawdowns are fractions, drawdowns positive. Window figures need
    the whole window and are the same whichever rows are asked for. Every NaN has a reason under its column;
    `obv` also has one where an unknown volume left it unchanged. Reasons come row by row, asset after asset;
    rows share dictionaries.

    `before` (A,): STATE_COLUMNS of the bar before the first of `rows`, to go on from. `rows` are then the
    last bars, of many assets (A, T), and of earlier ones only these need be there: the 252 before them, on
    each of which a market has a return if there is one; high, low and volume of the last 18; the ones with
    which the long returns begin.
    """
    if np.any(dates[1:] <= dates[:-1]):
        raise ValueError("dates of the bars must ascend")
    rows = np.arange(len(dates))[rows]
    sheet = _Sheet((*close.shape[:-1], len(rows)))
    columns = {"close": close[..., rows]}
    if before is None:
        indicators = indicator_columns(high, low, close, volume)
        columns |= {name: values[..., rows] for name, values in indicators.items()}
    else:
        columns |= indicator_steps(high, low, close, volume, rows, before)
    complete_run = complete_run_lengths(high, low)[..., rows]
    _explain_indicators(sheet, columns, rows, complete_run, np.isnan(volume)[..., rows])

    returns = simple_returns(close)
    if before is not None:  # between bars that do not follow each other there is none
        returns[..., : rows[0] + 1 - YEAR_WINDOW] = np.nan
    market_returns = _returns_on(dates, market_dates, simple_returns(market_close))
    levels = known_where(close > 0, close)
    short_spread, year_spread = (rolling_spread(returns, n)[1] for n in (SHORT_WINDOW, YEAR_WINDOW))
    columns["volatility_20d"] = _annual(short_spread)[..., rows]
    columns["volatility_1y"] = _annual(year_spread)[..., rows]
    columns["beta_1y"] = _market_beta(sheet, returns, market_returns, rows)
    columns["sharpe_ratio_1y"] = _sharpe_ratio(returns - risk_free)[..., rows]
    columns["max_drawdown_1y"] = rolling_drawdown(levels, YEAR_WINDOW + 1)[..., rows]
    _explain_windows(sheet, columns, rows, np.isnan(levels), np.isnan(risk_free))

    columns["return_1d"] = returns[..., rows]
    sheet.explain("return_1d", rows == 0, "no earlier close")
    for name, months in RETURN_MONTHS.items():
        base = np.searchsorted(dates, months_earlier(dates[rows], months), side="right") - 1
        columns[name] = ratio(columns["close"], known_where(base >= 0, levels[..., base])) - 1
        sheet.explain(name, base < 0, "history does not reach back")
    for name in ("return_1d", *RETURN_MONTHS):
        sheet.explain(name, np.isnan(columns[name]), "the earlier close is not positive")
    return columns, sheet.row_reasons()


@dataclass(frozen=True)
class _Explanation:
    """What a ReasonSheet is told; an array without an axis of assets holds for all of them."""

    column: str
    where: NDArray[np.bool_]
    text: str
    counts: Integers

    def where_of(self, asset: int) -> NDArray[np.bool_]:
        return np.asarray(self.where[asset] if self.where.ndim > 1 else self.where)

    def counts_of(self, asset: int) -> Integers:
        return np.asarray(self.counts[asset] if self.counts.ndim > 1 else self.counts)

    def pattern(self, asset: int) -> bytes:
        """The same for assets of which it says the same."""
        where = self.where_of(asset)
        counts = (where * self.counts_of(asset)).tobytes() if self.counts.ndim > 1 else b""
        return where.tobytes() + counts if self.where.ndim > 1 else counts


class _Sheet:
    """Reasons for columns (..., rows). Most assets lack the same figures on the same rows, and share them."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self._assets, self._rows = int(np.prod(shape[:-1])), shape[-1]
        self._explanations: list[_Explanation] = []

    def explain(self, column: str, where: NDArray[np.bool_], text: str, count: Integers | int = 0) -> None:
        if where.any():
            self._explanations.append(_Explanation(column, where, text, np.asarray(count)))

    def row_reasons(self) -> list[dict[str, str]]:
        """One dictionary column -> reason per row, asset after asset."""
        found: dict[bytes, list[dict[str, str]]] = {}
        rows: list[dict[str, str]] = []
        for asset in range(self._assets):
            pattern = b"".join(told.pattern(asset) for told in self._explanations)
            if pattern not in found:
                sheet = ReasonSheet(self._rows)
                for told in self._explanations:
                    sheet.explain(told.column, told.where_of(asset), told.text, told.counts_of(asset))
                found[pattern] = sheet.row_reasons()
            rows += found[pattern]
        return rows


def _explain_indicators(
    sheet: _Sheet,
    columns: dict[str, Floats],
    rows: Integers,
    complete_run: Integers,
    unknown_volume: NDArray[np.bool_],
) -> None:
    bars = rows + 1
    always_complete = complete_run == bars
    sheet.explain("obv", np.isnan(columns["obv"]), "no volume so far")
    sheet.explain("obv", unknown_volume, "no volume on this bar: carried unchanged")
    for name in ("atr_14", "stochastic_k", "stochastic_d"):
        # The true range of a bar needs the close of the bar before it, but not its high and low.
        touched = INDICATOR_BARS[name] - (name == "atr_14")
        text = f"no high or low within the last {touched} bars"
        sheet.explain(name, (complete_run < touched) & ~always_complete, text)
    for name, needed in INDICATOR_BARS.items():
        sheet.explain(name, bars < needed, f"warm-up: {{count}} of {needed} bars", bars)
    sheet.explain("rsi_14", np.isnan(columns["rsi_14"]), "no price move since the first bar")
    for name in ("stochastic_k", "stochastic_d"):
        sheet.explain(name, np.isnan(columns[name]), "no price range within 14 bars")


def _explain_windows(
    sheet: _Sheet,
    columns: dict[str, Floats],
    rows: Integers,
    no_level: NDArray[np.bool_],
    no_rate: NDArray[np.bool_],
) -> None:
    rates_missing = _count_within(no_rate, YEAR_WINDOW, rows)
    for name, window in (
        ("volatility_20d", SHORT_WINDOW),
        ("volatility_1y", YEAR_WINDOW),
        ("sharpe_ratio_1y", YEAR_WINDOW),
        ("max_drawdown_1y", YEAR_WINDOW),
    ):
        missing = np.isnan(columns[name])
        # A bar's position is the number of returns up to it.
        sheet.explain(name, rows < window, f"warm-up: {{count}} of {window} returns", rows)
        levels_missing = _count_within(no_level, window + 1, rows) > 0
        sheet.explain(name, missing & levels_missing, "a close within the window is not positive")
        if name == "sharpe_ratio_1y":
            text = f"no risk-free rate on {{count}} of {window} days"
            sheet.explain(name, missing & (rates_missing > 0), text, rates_missing)
        sheet.explain(name, missing, f"returns do not vary within {window} days")


def _market_beta(sheet: _Sheet, returns: Floats, market_returns: Floats, rows: Integers) -> Floats:
    """Covariance with the market over its variance, of the last 252 days on which both have a return."""
    both = ~np.isnan(returns) & ~np.isnan(market_returns)
    common = np.cumsum(both, axis=-1, dtype=np.int64)[..., rows]
    if (both == both.reshape(-1, both.shape[-1])[0]).all():
        betas = _common_beta(returns, market_returns, both.reshape(-1, both.shape[-1])[0], rows)
    else:
        of_each = zip(returns, both, strict=True)
        betas = np.stack([_common_beta(own, market_returns, days, rows) for own, days in of_each])
    no_market = np.full(len(rows), bool(np.isnan(market_returns).all()))
    sheet.explain("beta_1y", no_market, "no market return on any day of the asset")
    text = f"warm-up: {{count}} of {YEAR_WINDOW} common returns"
    sheet.explain("beta_1y", common < YEAR_WINDOW, text, common)
    sheet.explain("beta_1y", np.isnan(betas), "market returns do not vary")
    return betas


def _common_beta(
    returns: Floats, market_returns: Floats, common: NDArray[np.bool_], rows: Integers
) -> Floats:
    slopes, squares = rolling_slope(returns[..., common], market_returns[common], YEAR_WINDOW)
    slopes = known_where(squares > ROUNDING_NOISE**2, slopes)
    before_any = np.full((*returns.shape[:-1], 1), np.nan)
    return np.asarray(np.concatenate([before_any, slopes], axis=-1)[..., np.cumsum(common)[rows]])


def _returns_on(dates: Days, market_dates: Days, market_returns: Floats) -> Floats:
    """The market's returns on the asset's dates, NaN where it has none on exactly that date."""
    on_dates = np.full(len(dates), np.nan)
    position = np.searchsorted(market_dates, dates)
    inside = np.flatnonzero(position < len(market_dates))
    same = inside[market_dates[position[inside]] == dates[inside]]
    on_dates[same] = market_returns[position[same]]
    return on_dates


def _annual(spread: Floats) -> Floats:
    """Annualised; NaN where it is nothing but rounding."""
    return known_where(spread > ROUNDING_NOISE, spread) * np.sqrt(SESSIONS_PER_YEAR)


def _sharpe_ratio(excess: Floats) -> Floats:
    """mean(e) / SD(e)·√252 of the last year's excess returns e (Sharpe 1994)."""
    mean, spread = rolling_spread(excess, YEAR_WINDOW)
    return ratio(mean * SESSIONS_PER_YEAR, _annual(spread))


def _count_within(flags: NDArray[np.bool_], window: int, rows: Integers) -> Integers:
    """How many of the last `window` flags up to each of `rows` are set."""
    counts = np.cumsum(
        np.concatenate([np.zeros((*flags.shape[:-1], 1), dtype=bool), flags], axis=-1), axis=-1
    )
    return np.asarray(counts[..., rows + 1] - counts[..., np.maximum(rows + 1 - window, 0)])

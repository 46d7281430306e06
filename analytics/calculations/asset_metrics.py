"""The columns of asset_performance_metrics for one asset on its own bars, and why some are missing."""

from collections.abc import Callable

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from analytics.calculations.constants import ROUNDING_NOISE, SESSIONS_PER_YEAR
from analytics.calculations.indicators import INDICATOR_BARS, complete_run_lengths, indicator_columns
from analytics.calculations.observations import Days, Floats, Integers, known_where, ratio
from analytics.calculations.reasons import ReasonSheet
from analytics.calculations.returns import months_earlier, period_return, simple_returns

RETURN_MONTHS = {
    "return_1m": 1,
    "return_3m": 3,
    "return_6m": 6,
    "return_1y": 12,
    "return_3y": 36,
    "return_5y": 60,
}
SHORT_WINDOW = 20
YEAR_WINDOW = SESSIONS_PER_YEAR
# Windows worked on at a time: 128 of a year are 258 kB. Twice as many took twice as long (fresh memory).
BLOCK_ROWS = 128


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
) -> tuple[dict[str, Floats], list[dict[str, str]]]:
    """Every figure on the bars `rows`, each (len(rows),), and per row why figures are missing.

    `dates`, `high`, `low`, `close`, `volume` (T,): the asset's own bars, ascending, adjusted for splits; NaN
    in high, low or volume is unknown, closes must be finite. `risk_free` (T,): rate of one session on each
    date, NaN = unknown. `market_*`: bars of the market asset, empty when there is none.
    Returns, volatilities and drawdowns are fractions, drawdowns positive. Window figures need the whole
    window and are the same whichever rows are asked for. Every NaN has a reason under its column; `obv`
    also has one where an unknown volume left it unchanged. Rows share reason dictionaries.
    """
    if np.any(dates[1:] <= dates[:-1]):
        raise ValueError("dates of the bars must ascend")
    rows = np.arange(len(dates))[rows]
    sheet = ReasonSheet(len(rows))
    columns = {"close": close[rows]}
    indicators = indicator_columns(high, low, close, volume)
    columns |= {name: values[rows] for name, values in indicators.items()}
    _explain_indicators(sheet, columns, rows, complete_run_lengths(high, low)[rows], np.isnan(volume)[rows])

    returns = simple_returns(close)
    market_returns = _returns_on(dates, market_dates, simple_returns(market_close))
    excess = returns - risk_free
    levels = known_where(close > 0, close)
    columns["volatility_20d"] = _rolling(_annual_spread, SHORT_WINDOW, rows, returns)
    columns["volatility_1y"] = _rolling(_annual_spread, YEAR_WINDOW, rows, returns)
    columns["beta_1y"] = _market_beta(sheet, returns, market_returns, rows)
    columns["sharpe_ratio_1y"] = _rolling(_sharpe_ratio, YEAR_WINDOW, rows, excess)
    columns["max_drawdown_1y"] = _rolling(_max_drawdown, YEAR_WINDOW + 1, rows, levels)
    _explain_windows(sheet, columns, rows, np.isnan(levels), np.isnan(risk_free))

    columns["return_1d"] = returns[rows]
    sheet.explain("return_1d", rows == 0, "no earlier close")
    for name, months in RETURN_MONTHS.items():
        columns[name] = period_return(dates, close, rows, months)
        sheet.explain(name, months_earlier(dates[rows], months) < dates[0], "history does not reach back")
    for name in ("return_1d", *RETURN_MONTHS):
        sheet.explain(name, np.isnan(columns[name]), "the earlier close is not positive")
    return columns, sheet.row_reasons()


def _explain_indicators(
    sheet: ReasonSheet,
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
    sheet: ReasonSheet,
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


def _market_beta(sheet: ReasonSheet, returns: Floats, market_returns: Floats, rows: Integers) -> Floats:
    """Covariance with the market over its variance, of the last 252 days on which both have a return."""

    def beta(asset: Floats, market: Floats) -> Floats:
        moves = market - market.mean(axis=-1, keepdims=True)
        squares = (moves * moves).sum(axis=-1)
        # The moves add up to nothing, so the asset's returns need no centring of their own.
        return ratio((moves * asset).sum(axis=-1), known_where(squares > ROUNDING_NOISE**2, squares))

    both = ~np.isnan(returns) & ~np.isnan(market_returns)
    common = np.cumsum(both, dtype=np.int64)[rows]
    betas = _rolling(beta, YEAR_WINDOW, common - 1, returns[both], market_returns[both])
    no_market = np.full(len(rows), bool(np.isnan(market_returns).all()))
    sheet.explain("beta_1y", no_market, "no market return on any day of the asset")
    text = f"warm-up: {{count}} of {YEAR_WINDOW} common returns"
    sheet.explain("beta_1y", common < YEAR_WINDOW, text, common)
    sheet.explain("beta_1y", np.isnan(betas), "market returns do not vary")
    return betas


def _returns_on(dates: Days, market_dates: Days, market_returns: Floats) -> Floats:
    """The market's returns on the asset's dates, NaN where it has none on exactly that date."""
    on_dates = np.full(len(dates), np.nan)
    position = np.searchsorted(market_dates, dates)
    inside = np.flatnonzero(position < len(market_dates))
    same = inside[market_dates[position[inside]] == dates[inside]]
    on_dates[same] = market_returns[position[same]]
    return on_dates


def _annual_spread(returns: Floats) -> Floats:
    """Annualised sample standard deviation of whole windows (k, n); NaN where it is nothing but rounding."""
    centred = returns - returns.mean(axis=-1, keepdims=True)
    spread = np.sqrt((centred * centred).sum(axis=-1) / (returns.shape[-1] - 1))
    return known_where(spread > ROUNDING_NOISE, spread) * np.sqrt(SESSIONS_PER_YEAR)


def _sharpe_ratio(excess: Floats) -> Floats:
    """mean(e) / SD(e)·√252 of whole windows (k, n) of excess returns e (Sharpe 1994)."""
    return ratio(excess.mean(axis=-1) * SESSIONS_PER_YEAR, _annual_spread(excess))


def _max_drawdown(levels: Floats) -> Floats:
    """Deepest fall from the running peak within whole windows (k, n) of levels, positive."""
    return 1 - (levels / np.maximum.accumulate(levels, axis=-1)).min(axis=-1)


def _count_within(flags: NDArray[np.bool_], window: int, rows: Integers) -> Integers:
    """How many of the last `window` flags up to each of `rows` are set."""
    counts = np.concatenate([[0], np.cumsum(flags)])
    return np.asarray(counts[rows + 1] - counts[np.maximum(rows + 1 - window, 0)])


def _rolling(statistic: Callable[..., Floats], window: int, rows: Integers, *series: Floats) -> Floats:
    """`statistic` of the last `window` values up to each of `rows`; NaN unless all of them are known."""
    figures = np.full(len(rows), np.nan)
    unknown = _count_within(np.logical_or.reduce([np.isnan(x) for x in series]), window, rows)
    known = np.flatnonzero((rows + 1 >= window) & (unknown == 0))
    if len(known):
        views = [sliding_window_view(x, window) for x in series]
        for start in range(0, len(known), BLOCK_ROWS):
            block = known[start : start + BLOCK_ROWS]
            figures[block] = statistic(*(view[rows[block] + 1 - window] for view in views))
    return figures

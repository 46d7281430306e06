"""Risk rows over the last 756 returns, from the second ledger and other people's libraries."""

from functools import cache

import empyrical
import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

from tests.support import demo_files
from tests.support.demo_files import CODES, SESSIONS
from tests.support.demo_house import DEMO_MARKS, DemoHouse
from tests.support.oracle_ledger import calendar, traded_symbols
from tests.support.oracle_series import PortfolioSeries, portfolio_series

pytestmark = DEMO_MARKS

WINDOW, MINIMUM, MONTH = 756, 60, 21
# The class limits of the SRRI, and the label of every class.
CLASS_LIMITS = (0.005, 0.02, 0.05, 0.10, 0.15, 0.25)
LEVELS = ("very_low", "low", "medium", "high", "very_high")
LEVEL_OF_CLASS = dict(zip(range(1, 8), (0, 0, 1, 2, 3, 3, 4), strict=True))
# Around the minimum samples, the year, the length of the window, and the last day.
POSITIONS = (0, 58, 59, 98, 99, 147, 249, 251, 252, 500, 755, 756, 900, 1100, -1)
SAMPLES = [(code, position) for code in CODES for position in POSITIONS if position < SESSIONS[code]]
RETURN_FIGURES = (
    "volatility",
    "sharpe_ratio",
    "sortino_ratio",
    "treynor_ratio",
    "calmar_ratio",
    "max_drawdown",
    "max_drawdown_duration",
    "current_drawdown",
    "average_correlation",
    "max_correlation",
    "diversification_ratio",
    *(
        f"{figure}_{level}_{span}"
        for figure in ("var", "cvar")
        for level in (95, 99)
        for span in ("1d", "1m")
    ),
    "risk_class",
    "risk_level",
)


@pytest.mark.parametrize("code", CODES)
def test_a_row_on_every_day_with_the_number_of_its_returns(demo_house: DemoHouse, code: str) -> None:
    stored = demo_house.of("risk", portfolio=code)
    assert stored.index.tolist() == calendar(code).tolist()
    assert stored["observations"].tolist() == [min(n, WINDOW) for n in range(1, len(stored) + 1)]


@pytest.mark.parametrize("code", CODES)
def test_concentration_of_every_day(demo_house: DemoHouse, code: str) -> None:
    stored = demo_house.of("risk", portfolio=code).to_dict("index")
    for close in portfolio_series(code).closes:
        row = stored[close.date]
        if not close.values:
            assert pd.isna(row["concentration_hhi"])
            assert row["quality"]["concentration_hhi"] == "no positions"
            continue
        values = np.array([float(value) for value in close.values.values()])
        weights = values / values.sum()
        hhi = (weights**2).sum()
        assert row["concentration_hhi"] == pytest.approx(hhi, rel=1e-9)
        assert row["effective_assets"] == pytest.approx(1 / hhi, rel=1e-9)
        assert row["largest_weight_percentage"] == pytest.approx(weights.max() * 100, rel=1e-9)


@pytest.mark.parametrize(("code", "position"), SAMPLES)
def test_figures_of_the_window(demo_house: DemoHouse, code: str, position: int) -> None:
    series = portfolio_series(code)
    position %= len(series.dates)
    row = demo_house.of("risk", portfolio=code).iloc[position]
    if position + 1 < MINIMUM:
        for name in RETURN_FIGURES:
            assert pd.isna(row[name]), name
            assert row["quality"][name] in (f"insufficient data: {position + 1} of {MINIMUM}", "no positions")
        return
    expected = window_figures(series, position) | pair_figures(code, series, position)
    assert expected.keys() <= set(RETURN_FIGURES)
    for name, figure in expected.items():
        if figure is None:
            assert pd.isna(row[name]), name
            assert row["quality"].get(name), name
        else:
            assert row[name] == pytest.approx(figure, rel=1e-9, abs=1e-12), name
    if position + 1 >= 100:
        assert row["var_method"] == "historical"
    else:
        assert pd.isna(row["var_method"])


@pytest.mark.parametrize(("code", "position"), SAMPLES)
def test_risk_class_and_level(demo_house: DemoHouse, code: str, position: int) -> None:
    series = portfolio_series(code)
    position %= len(series.dates)
    row = demo_house.of("risk", portfolio=code).iloc[position]
    if position + 1 < MINIMUM:
        return
    levels = series.levels(position).iloc[-(WINDOW + 1) :]
    under_a_year = (levels.index[-1] - levels.index[0]).days < 365
    spread = (
        empyrical.annual_volatility(window(series.returns, position))
        if under_a_year
        else weekly_spread(levels)
    )
    risk_class = int(np.digitize(spread, CLASS_LIMITS)) + 1
    assert row["risk_class"] == risk_class
    assert ("provisional" in row["quality"].get("risk_class", "")) == under_a_year
    step = LEVEL_OF_CLASS[risk_class]
    is_raised = row["concentration_hhi"] > 0.25 or row["current_drawdown"] > 0.25
    assert row["risk_level"] == LEVELS[min(step + is_raised, 4)]
    assert ("risk_level" in row["quality"]) == is_raised


def window(values: np.ndarray, position: int) -> np.ndarray:
    return values[max(position + 1 - WINDOW, 0) : position + 1]


def window_figures(series: PortfolioSeries, position: int) -> dict[str, float | None]:
    r, f, b = (
        window(values, position)
        for values in (series.returns, series.risk_free, series.benchmarks[series.primary])
    )
    n = len(r)
    levels = series.levels(position).iloc[-(n + 1) :]
    under_water = 1 - levels / levels.cummax()
    beta = sm.OLS(r - f, sm.add_constant(b - f)).fit().params[1]
    figures: dict[str, float | None] = {
        "volatility": empyrical.annual_volatility(r),
        "sharpe_ratio": empyrical.sharpe_ratio(r - f),
        "sortino_ratio": empyrical.sortino_ratio(r - f),
        "treynor_ratio": (r - f).mean() * 252 / beta,
        "calmar_ratio": empyrical.calmar_ratio(r),
        "max_drawdown": -empyrical.max_drawdown(r),
        "current_drawdown": under_water.iloc[-1],
        "max_drawdown_duration": drawdown_days(levels, under_water),
    }
    monthly = np.lib.stride_tricks.sliding_window_view(1 + r, MONTH).prod(axis=1) - 1 if n >= 252 else None
    for level, least, least_in_tail in ((95, 100, 5), (99, 250, 2)):
        cutoff = round(1 - level / 100, 2)
        by_day = tail_figures(r, cutoff, least_in_tail) if n >= least else (None, None)
        by_month = tail_figures(monthly, cutoff, least_in_tail) if monthly is not None else scaled(by_day)
        figures |= dict(zip((f"var_{level}_1d", f"cvar_{level}_1d"), by_day, strict=True))
        figures |= dict(zip((f"var_{level}_1m", f"cvar_{level}_1m"), by_month, strict=True))
    return figures


def tail_figures(r: np.ndarray, cutoff: float, least_in_tail: int) -> tuple[float | None, float | None]:
    """Value at risk and shortfall; at least so many returns must lie in the tail."""
    tail = r[r <= np.percentile(r, 100 * cutoff)]
    if len(tail) < least_in_tail:
        return float(-empyrical.value_at_risk(r, cutoff)), None
    assert tail.mean() == pytest.approx(empyrical.conditional_value_at_risk(r, cutoff), rel=1e-12)
    return float(-empyrical.value_at_risk(r, cutoff)), float(-tail.mean())


def scaled(figures: tuple[float | None, float | None]) -> tuple[float | None, ...]:
    return tuple(None if figure is None else figure * np.sqrt(MONTH) for figure in figures)


def drawdown_days(levels: pd.Series, under_water: pd.Series) -> int:
    """Calendar days from the peak before the deepest trough to the recovery, or to the last day."""
    trough = under_water.idxmax()
    peak = levels[:trough].idxmax()
    recovered = levels[trough:][levels[trough:] >= levels[peak]]
    end = recovered.index[0] if len(recovered) else levels.index[-1]
    return int((end - peak).days)


def weekly_spread(levels: pd.Series) -> float:
    """Volatility of the returns from Friday to Friday, on levels of the window only."""
    fridays = levels.resample("W-FRI").last().dropna()
    weekly = fridays[fridays.index <= levels.index[-1]].pct_change().dropna()
    return float(weekly.std() * np.sqrt(52))


def pair_figures(code: str, series: PortfolioSeries, position: int) -> dict[str, float | None]:
    """Today's positions over the window: their correlations, and how much of their spread the mix keeps."""
    values = {symbol: float(value) for symbol, value in series.closes[position].values.items()}
    weights = np.array(list(values.values())) / sum(values.values())
    returns = pd.DataFrame(
        {symbol: window(asset_returns(code)[symbol], position) for symbol in values},
    )
    correlations = returns.corr(min_periods=MINIMUM).to_numpy()[np.triu_indices(len(values), 1)]
    known = correlations[~np.isnan(correlations)]
    complete = returns.dropna()
    spread = complete.std().to_numpy()
    return {
        "average_correlation": float(known.mean()) if len(known) else None,
        "max_correlation": float(known.max()) if len(known) else None,
        "diversification_ratio": (
            float(weights @ spread / (complete @ weights).std()) if len(complete) >= MINIMUM else None
        ),
    }


@cache
def asset_returns(code: str) -> dict[str, np.ndarray]:
    base, days = demo_files.base_currency(code), calendar(code)
    return {symbol: demo_files.returns_in(base, symbol, days) for symbol in traded_symbols(code)}

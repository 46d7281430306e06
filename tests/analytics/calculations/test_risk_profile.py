from dataclasses import replace

import numpy as np
import pytest

from analytics.calculations.drawdowns import calmar_ratio
from analytics.calculations.performance import ReturnSeries
from analytics.calculations.regression import beta_alpha
from analytics.calculations.risk_profile import risk_columns
from analytics.calculations.statistics import sharpe_ratio, sortino_ratio, volatility

COLUMNS = {
    "sharpe_ratio",
    "sortino_ratio",
    "treynor_ratio",
    "calmar_ratio",
    "max_drawdown",
    "max_drawdown_duration",
    "current_drawdown",
    "var_95_1d",
    "var_99_1d",
    "var_95_1m",
    "var_99_1m",
    "cvar_95_1d",
    "cvar_99_1d",
    "cvar_95_1m",
    "cvar_99_1m",
    "risk_level",
    "risk_class",
    "concentration_hhi",
    "effective_assets",
    "effective_bets",
    "largest_weight_percentage",
    "average_correlation",
    "max_correlation",
    "diversification_ratio",
    "volatility",
    "var_method",
    "observations",
}
NOTES = {
    "risk_level",
    "risk_class",
    "observations",
    "var_95_1m",
    "var_99_1m",
    "cvar_95_1m",
    "cvar_99_1m",
}
DAYS, ASSETS = 900, 6
RNG = np.random.default_rng(10)
ASSET_RETURNS = RNG.normal(0.0003, 0.008, (ASSETS, DAYS)) + RNG.normal(0, 0.006, DAYS)
ASSET_RETURNS[1, :500] = np.nan
ASSET_RETURNS[2, ::50] = np.nan
WEIGHTS = np.tile([0.3, 0.1, 0.2, 0.2, 0.2, 0.0], (DAYS, 1))
WEIGHTS[:500] = [0.4, 0.0, 0.2, 0.2, 0.2, 0.0]


def make_series():
    returns = np.nanmean(ASSET_RETURNS, axis=0)
    return ReturnSeries(
        dates=np.busday_offset("2020-01-02", np.arange(DAYS), roll="forward").astype("datetime64[D]"),
        returns=returns,
        index=np.cumprod(1 + returns),
        risk_free=np.full(DAYS, 0.00004),
        benchmark=0.7 * returns + RNG.normal(0, 0.003, DAYS),
        values=np.full(DAYS, 1000.0),
        flows=np.zeros(DAYS),
    )


SERIES = make_series()
ALL = np.arange(DAYS)
FIGURES, REASONS = risk_columns(SERIES, ALL, WEIGHTS, ASSET_RETURNS)


def is_missing(figure):
    return figure is None or (isinstance(figure, float) and np.isnan(figure))


def figures_of(row, series=SERIES, weights=WEIGHTS, asset_returns=ASSET_RETURNS):
    columns, reasons = risk_columns(series, np.array([row]), weights[[row]], asset_returns)
    return {name: column[0] for name, column in columns.items()}, reasons[0]


def test_columns_and_a_reason_for_every_missing_figure():
    assert set(FIGURES) == COLUMNS
    for row, reasons in zip(ALL, REASONS, strict=True):
        missing = {name for name, column in FIGURES.items() if is_missing(column[row])}
        assert missing <= set(reasons)
        assert set(reasons) - missing <= NOTES


@pytest.mark.parametrize("row", [59, 100, 300, 755, 756, 899])
def test_figures_are_those_of_the_last_756_returns(row):
    window = slice(max(row - 755, 0), row + 1)
    r, f, b = SERIES.returns[window], SERIES.risk_free[window], SERIES.benchmark[window]
    expected = {
        "observations": len(r),
        "volatility": volatility(r),
        "sharpe_ratio": sharpe_ratio(r - f),
        "sortino_ratio": sortino_ratio(r - f),
        "calmar_ratio": calmar_ratio(r),
        "treynor_ratio": (r - f).mean() * 252 / beta_alpha(r - f, b - f)[0] if len(r) >= 60 else np.nan,
    }
    level = np.concatenate([[1.0], np.cumprod(1 + r)])
    fall = 1 - level / np.maximum.accumulate(level)
    expected |= {"max_drawdown": fall.max(), "current_drawdown": fall[-1]}
    for name, figure in expected.items():
        assert FIGURES[name][row] == pytest.approx(figure, rel=1e-11, abs=1e-15), name


def test_fewer_than_60_returns_leave_only_the_positions():
    figures, reasons = figures_of(58)
    known = {name for name, figure in figures.items() if not is_missing(figure)}
    assert known == {"observations", "concentration_hhi", "effective_assets", "largest_weight_percentage"}
    assert figures["observations"] == 59
    assert reasons["volatility"] == reasons["risk_level"] == "insufficient data: 59 of 60"


def test_tail_figures_of_one_day_and_one_month():
    r = SERIES.returns[-756:]
    monthly = np.array([np.prod(1 + r[k : k + 21]) - 1 for k in range(756 - 20)])
    figures, reasons = figures_of(899)
    for level, tail in (("95", 0.05), ("99", 0.01)):
        for horizon, sample in (("1d", r), ("1m", monthly)):
            quantile = np.quantile(sample, tail)
            assert figures[f"var_{level}_{horizon}"] == pytest.approx(-quantile, rel=1e-12)
            assert figures[f"cvar_{level}_{horizon}"] == pytest.approx(-sample[sample <= quantile].mean())
    assert figures["var_method"] == "historical"
    assert not NOTES & reasons.keys()


def test_short_history_scales_the_month_and_says_so():
    figures, reasons = figures_of(250)  # 251 returns
    for name in ("var_95", "var_99", "cvar_95", "cvar_99"):
        assert figures[f"{name}_1m"] == pytest.approx(figures[f"{name}_1d"] * np.sqrt(21), rel=1e-14)
        assert reasons[f"{name}_1m"] == "one day scaled by √21: 251 of 252 returns"
    figures, reasons = figures_of(251)
    assert figures["var_95_1m"] != pytest.approx(figures["var_95_1d"] * np.sqrt(21), rel=1e-6)
    assert "var_95_1m" not in reasons
    figures, reasons = figures_of(60)
    assert reasons["var_99_1d"] == reasons["var_99_1m"] == "insufficient data: 61 of 250"
    assert figures["var_method"] is None


def test_pairs_and_diversification_of_todays_weights_over_the_window():
    figures, _ = figures_of(899)
    window = ASSET_RETURNS[:5, -756:]
    pairs = []
    for i in range(5):
        for j in range(i + 1, 5):
            both = ~np.isnan(window[i] + window[j])
            pairs.append(np.corrcoef(window[i, both], window[j, both])[0, 1])
    assert figures["average_correlation"] == pytest.approx(np.mean(pairs), rel=1e-11)
    assert figures["max_correlation"] == pytest.approx(np.max(pairs), rel=1e-11)
    complete = window[:, ~np.isnan(window).any(axis=0)]
    w = WEIGHTS[899, :5]
    expected = w @ complete.std(axis=1, ddof=1) / (w @ complete).std(ddof=1)
    assert figures["diversification_ratio"] == pytest.approx(expected, rel=1e-11)


def test_effective_bets_diversify_as_much_as_todays_positions():
    figures, _ = figures_of(899)
    assert figures["effective_bets"] == figures["diversification_ratio"] ** 2
    assert 1 < figures["effective_bets"] < figures["effective_assets"]


def test_independent_positions_of_equal_risk_are_as_many_bets():
    independent = RNG.normal(0.0, 0.01, (4, DAYS))
    figures, _ = figures_of(899, weights=np.full((DAYS, 4), 0.25), asset_returns=independent)
    assert figures["effective_bets"] == pytest.approx(4, rel=0.1)


def test_a_row_without_a_return_has_its_own_weights_over_the_window_before():
    gap = replace(SERIES, returns=np.where(np.arange(DAYS) == 850, np.nan, SERIES.returns))
    lonely = WEIGHTS.copy()
    lonely[850] = [1.0, 0.0, 0.0, 0.0, 0.0, 0.0]
    columns, _ = risk_columns(gap, np.array([849, 850, 851]), lonely[849:852], ASSET_RETURNS)
    assert columns["diversification_ratio"][1] == pytest.approx(1)
    assert columns["effective_assets"][1] == 1
    assert columns["diversification_ratio"][[0, 2]].min() > 1.1
    assert columns["volatility"][0] == columns["volatility"][1]


def test_a_single_position_and_none():
    one, none = np.zeros((DAYS, ASSETS)), np.zeros((DAYS, ASSETS))
    one[:, 0] = 1.0
    figures, reasons = figures_of(899, weights=one)
    assert figures["concentration_hhi"] == 1
    assert figures["diversification_ratio"] == pytest.approx(1)
    assert reasons["average_correlation"] == reasons["max_correlation"] == "a single position"
    figures, reasons = figures_of(899, weights=none)
    for name in (
        "concentration_hhi",
        "effective_assets",
        "effective_bets",
        "largest_weight_percentage",
        "diversification_ratio",
    ):
        assert np.isnan(figures[name])
        assert reasons[name] == "no positions"


def test_recently_listed_position_without_enough_common_days():
    weights = WEIGHTS.copy()
    weights[520] = [0.5, 0.5, 0, 0, 0, 0]
    figures, reasons = figures_of(520, weights=weights)
    assert np.isnan(figures["average_correlation"])
    assert reasons["diversification_ratio"] == (
        "insufficient data: fewer than 60 common returns, or constant ones"
    )


def test_risk_class_by_weekly_volatility_and_by_daily_under_a_year():
    figures, reasons = figures_of(899)
    window = slice(899 - 756, 900)
    dates, level = SERIES.dates[window], SERIES.index[window]
    fridays = (dates.astype(int) - 1) % 7 == 0
    weekly = level[fridays][1:] / level[fridays][:-1] - 1
    spread = weekly.std(ddof=1) * np.sqrt(52)
    assert 0.05 <= spread < 0.25
    assert figures["risk_class"] == 1 + sum(spread >= x for x in (0.005, 0.02, 0.05, 0.1, 0.15, 0.25))
    assert "risk_class" not in reasons
    figures, reasons = figures_of(200)
    assert reasons["risk_class"] == "provisional: daily volatility, under a year of history"
    assert figures["risk_class"] == 1 + sum(
        figures["volatility"] >= x for x in (0.005, 0.02, 0.05, 0.1, 0.15, 0.25)
    )


def test_label_is_raised_for_concentration_with_the_reason_kept():
    figures, reasons = figures_of(899)
    assert "risk_level" not in reasons
    heavy = np.tile([0.9, 0.1, 0, 0, 0, 0], (DAYS, 1))
    raised, reasons = figures_of(899, weights=heavy)
    steps = ["very_low", "low", "medium", "high", "very_high"]
    assert steps.index(raised["risk_level"]) == steps.index(figures["risk_level"]) + 1
    assert raised["risk_class"] == figures["risk_class"]
    assert reasons["risk_level"].endswith("concentration 0.8200 above 0.25")


def test_constant_returns_have_no_class():
    still = replace(SERIES, returns=np.zeros(DAYS), index=np.ones(DAYS))
    figures, reasons = figures_of(899, series=still)
    assert np.isnan(figures["risk_class"])
    assert figures["risk_level"] is None
    assert figures["max_drawdown"] == 0
    assert figures["max_drawdown_duration"] == 0
    assert reasons["volatility"] == "insufficient data: constant returns"
    assert reasons["calmar_ratio"].startswith("no drawdown")


def test_unknown_days_are_left_out_and_counted():
    returns = SERIES.returns.copy()
    returns[[50, 300, 899]] = np.nan
    figures, reasons = figures_of(899, series=replace(SERIES, returns=returns))
    known = returns[~np.isnan(returns)][-756:]
    assert figures["observations"] == 756
    assert figures["volatility"] == pytest.approx(float(volatility(known)), rel=1e-12)
    assert reasons["observations"] == "days left out, return unknown: 2"
    figures, reasons = figures_of(0, series=replace(SERIES, returns=np.full(DAYS, np.nan)))
    assert figures["observations"] == 0
    assert reasons["observations"] == "days left out, return unknown: 1"


def test_no_benchmark_and_no_risk_free_rate():
    _, reasons = figures_of(899, series=replace(SERIES, benchmark=None))
    assert reasons == {"treynor_ratio": "no benchmark"}
    _, reasons = figures_of(899, series=replace(SERIES, risk_free=np.full(DAYS, np.nan)))
    assert set(reasons) == {"treynor_ratio", "sharpe_ratio", "sortino_ratio"}
    assert reasons["sharpe_ratio"] == "insufficient data: risk-free rate on 0 of 20 days"


@pytest.mark.parametrize("rows", [[899], [0], [59, 300], [800, 60], list(range(250, 520))])
def test_rows_do_not_depend_on_which_others_are_asked_for(rows):
    columns, reasons = risk_columns(SERIES, np.array(rows), WEIGHTS[rows], ASSET_RETURNS)
    for name, column in columns.items():
        np.testing.assert_array_equal(column, FIGURES[name][rows], err_msg=name)
    assert reasons == [REASONS[row] for row in rows]


def test_later_days_change_nothing():
    cut = ReturnSeries(
        **{name: values[:400] for name, values in vars(SERIES).items() if isinstance(values, np.ndarray)}
    )
    columns, _ = risk_columns(cut, ALL[:400], WEIGHTS[:400], ASSET_RETURNS[:, :400])
    for name, column in columns.items():
        np.testing.assert_array_equal(column, FIGURES[name][:400], err_msg=name)


def test_no_rows():
    columns, reasons = risk_columns(SERIES, np.array([], dtype=int), WEIGHTS[:0], ASSET_RETURNS)
    assert {len(column) for column in columns.values()} == {0}
    assert reasons == []

from dataclasses import replace

import numpy as np
import pytest

from analytics.calculations.irr import money_weighted_return
from analytics.calculations.performance import ReturnSeries, performance_columns
from analytics.calculations.regression import beta_alpha
from analytics.calculations.statistics import sharpe_ratio, sortino_ratio, volatility

COLUMNS = {
    "daily_return",
    "twr_index",
    "cumulative_return",
    "return_1m",
    "return_3m",
    "return_6m",
    "return_ytd",
    "return_1y",
    "return_3y",
    "return_5y",
    "annualized_return",
    "money_weighted_return",
    "volatility",
    "downside_deviation",
    "sharpe_ratio",
    "sortino_ratio",
    "max_drawdown",
    "current_drawdown",
    "var_95",
    "var_99",
    "beta",
    "alpha",
    "benchmark_return",
    "benchmark_cumulative_return",
    "excess_return",
    "tracking_error",
    "information_ratio",
}


def make_series(days=600, start="2020-01-02", seed=9):
    rng = np.random.default_rng(seed)
    returns = rng.normal(0.0004, 0.01, days)
    flows, values = np.zeros(days), np.zeros(days)
    flows[0], flows[90::120], flows[150::200] = 10_000.0, 500.0, -800.0
    value = 0.0
    for day in range(days):
        value = (value + max(flows[day], 0)) * (1 + returns[day]) + min(flows[day], 0)
        values[day] = value
    return ReturnSeries(
        dates=np.busday_offset(start, np.arange(days), roll="forward").astype("datetime64[D]"),
        returns=returns,
        index=np.cumprod(1 + returns),
        risk_free=rng.uniform(0.00003, 0.00006, days),
        benchmark=0.8 * returns + rng.normal(0, 0.004, days),
        values=values,
        flows=flows,
    )


SERIES = make_series()
ALL = np.arange(600)
FIGURES, REASONS = performance_columns(SERIES, ALL)


def figures_of(series, row):
    columns, reasons = performance_columns(series, np.array([row]))
    return {name: column[0] for name, column in columns.items()}, reasons[0]


def test_columns_and_a_reason_for_every_missing_figure():
    assert set(FIGURES) == COLUMNS
    for row, reasons in zip(ALL, REASONS, strict=True):
        assert set(reasons) == {name for name, column in FIGURES.items() if np.isnan(column[row])}


def test_each_row_is_the_statistic_of_all_returns_up_to_it():
    for row in (19, 59, 99, 249, 256, 599):
        r, f = SERIES.returns[: row + 1], SERIES.risk_free[: row + 1]
        b = SERIES.benchmark[: row + 1]
        assert FIGURES["volatility"][row] == pytest.approx(float(volatility(r)), rel=1e-12, nan_ok=True)
        assert FIGURES["sharpe_ratio"][row] == pytest.approx(
            float(sharpe_ratio(r - f)), rel=1e-11, nan_ok=True
        )
        assert FIGURES["sortino_ratio"][row] == pytest.approx(
            float(sortino_ratio(r - f)), rel=1e-11, nan_ok=True
        )
        np.testing.assert_allclose(
            (FIGURES["beta"][row], FIGURES["alpha"][row]), beta_alpha(r - f, b - f), rtol=1e-10
        )
        level = np.concatenate([[1.0], np.cumprod(1 + r)])
        fall = 1 - level / np.maximum.accumulate(level)
        assert FIGURES["max_drawdown"][row] == pytest.approx(fall.max(), rel=1e-12)
        assert FIGURES["current_drawdown"][row] == pytest.approx(fall[-1], abs=1e-15)
        assert FIGURES["benchmark_cumulative_return"][row] == pytest.approx(np.prod(1 + b) - 1, rel=1e-10)
        if row >= 249:
            assert FIGURES["var_99"][row] == -np.quantile(r, 0.01)


@pytest.mark.parametrize("rows", [[599], [0], [300, 7], [255, 256, 257], [599, 0]])
def test_rows_do_not_depend_on_which_others_are_asked_for(rows):
    columns, reasons = performance_columns(SERIES, np.array(rows))
    for name, column in columns.items():
        np.testing.assert_array_equal(column, FIGURES[name][rows], err_msg=name)
    assert reasons == [REASONS[row] for row in rows]


def test_a_longer_history_leaves_earlier_rows_alone():
    whole, _ = performance_columns(make_series(days=900), ALL)
    series = make_series(days=900)
    cut = ReturnSeries(
        **{name: values[:600] for name, values in vars(series).items() if isinstance(values, np.ndarray)}
    )
    for name, column in performance_columns(cut, ALL)[0].items():
        np.testing.assert_array_equal(column, whole[name], err_msg=name)


def test_no_rows():
    columns, reasons = performance_columns(SERIES, np.array([], dtype=int))
    assert {len(column) for column in columns.values()} == {0}
    assert reasons == []


def test_first_day_has_only_what_one_day_can_tell():
    series = make_series(days=1)
    figures, reasons = figures_of(series, 0)
    known = {name for name, figure in figures.items() if np.isfinite(figure)}
    assert known == {
        "daily_return",
        "twr_index",
        "cumulative_return",
        "max_drawdown",
        "current_drawdown",
        "benchmark_return",
        "benchmark_cumulative_return",
        "excess_return",
    }
    assert figures["cumulative_return"] == pytest.approx(series.returns[0])
    assert reasons["var_99"] == "insufficient data: 1 of 250"
    assert reasons["annualized_return"] == "insufficient data: 1 of 365 days"
    assert reasons["beta"] == "insufficient data: 1 of 60 common"
    assert reasons["return_1m"] == "history does not reach back"
    assert reasons["money_weighted_return"] == "no root: all flows fall on one day"


def test_the_level_before_the_first_day_is_an_anchor():
    series = make_series(days=70, start="2021-01-01")  # a Friday, so the level before is of 2020-12-31
    one_month = int(np.flatnonzero(series.dates == np.datetime64("2021-02-01"))[0])
    figures, reasons = figures_of(series, one_month)
    assert figures["return_1m"] == pytest.approx(series.index[one_month] / series.index[0] - 1)
    assert figures["return_ytd"] == figures["cumulative_return"]
    month_end = int(np.flatnonzero(series.dates == np.datetime64("2021-03-31"))[0])
    figures, reasons = figures_of(series, month_end)
    assert figures["return_3m"] == figures["cumulative_return"]
    assert reasons["return_6m"] == "history does not reach back"
    before, reasons = figures_of(series, month_end - 1)
    assert np.isnan(before["return_3m"])
    assert reasons["return_3m"] == "history does not reach back"


def test_annualized_return_starts_with_day_365():
    days = (SERIES.dates - SERIES.dates[0]).astype(int) + 1
    first = int(np.flatnonzero(days >= 365)[0])
    assert np.isnan(FIGURES["annualized_return"][:first]).all()
    expected = SERIES.index[first:] ** (365 / days[first:]) - 1
    np.testing.assert_allclose(FIGURES["annualized_return"][first:], expected, rtol=1e-12)


def test_money_weighted_return_is_that_of_flows_and_final_value():
    moved = SERIES.flows != 0
    dates = np.append(SERIES.dates[moved], SERIES.dates[-1])
    rate, _ = money_weighted_return(dates, np.append(-SERIES.flows[moved], SERIES.values[-1]))
    assert FIGURES["money_weighted_return"][-1] == pytest.approx(rate, rel=1e-13)
    assert "period return" in REASONS[100]["money_weighted_return"]


def test_without_benchmark_only_its_columns_are_missing():
    series = replace(SERIES, benchmark=None)
    figures, reasons = figures_of(series, 599)
    missing = {
        "beta",
        "alpha",
        "benchmark_return",
        "benchmark_cumulative_return",
        "excess_return",
        "tracking_error",
        "information_ratio",
    }
    assert {name for name, reason in reasons.items() if reason == "no benchmark"} == missing
    assert all(np.isnan(figures[name]) for name in missing)
    for name in COLUMNS - missing:
        np.testing.assert_equal(figures[name], FIGURES[name][599])


def test_a_benchmark_on_holiday_links_and_a_stopped_or_late_one_does_not():
    holiday = SERIES.benchmark.copy()
    holiday[[0, 300, 599]] = np.nan
    figures, reasons = figures_of(replace(SERIES, benchmark=holiday), 599)
    assert figures["benchmark_cumulative_return"] == pytest.approx(
        np.prod(1 + holiday[~np.isnan(holiday)]) - 1
    )
    assert reasons["benchmark_return"] == "no return of the benchmark on this day"

    stopped, late = SERIES.benchmark.copy(), SERIES.benchmark.copy()
    stopped[-10:], late[:10] = np.nan, np.nan
    for benchmark, text in (
        (stopped, "the benchmark has no recent return"),
        (late, "the benchmark does not reach back to the first day"),
    ):
        figures, reasons = figures_of(replace(SERIES, benchmark=benchmark), 599)
        for name in ("benchmark_cumulative_return", "excess_return"):
            assert np.isnan(figures[name])
            assert reasons[name] == text
        assert np.isfinite(figures["beta"])


def test_unknown_risk_free_rate_leaves_the_figures_without_it():
    figures, reasons = figures_of(replace(SERIES, risk_free=np.full(600, np.nan)), 599)
    assert figures["volatility"] == FIGURES["volatility"][599]
    assert figures["tracking_error"] == FIGURES["tracking_error"][599]
    assert reasons["sharpe_ratio"] == "insufficient data: risk-free rate on 0 of 20 days"
    assert {"sortino_ratio", "downside_deviation", "beta", "alpha"} <= reasons.keys()


def test_an_unknown_day_breaks_the_index_but_not_the_statistics():
    returns, index = SERIES.returns.copy(), SERIES.index.copy()
    returns[400], index[400:] = np.nan, np.nan
    figures, reasons = figures_of(replace(SERIES, returns=returns, index=index), 599)
    assert figures["volatility"] == pytest.approx(volatility(np.delete(returns, 400)), rel=1e-12)
    for name in ("cumulative_return", "return_1m", "annualized_return", "max_drawdown", "excess_return"):
        assert np.isnan(figures[name])
        assert reasons[name] == "an earlier daily return is unknown"
    on_the_day, reasons = figures_of(replace(SERIES, returns=returns, index=index), 400)
    assert np.isnan(on_the_day["daily_return"])
    assert reasons["daily_return"] == "the return of the day is unknown"


def test_constant_returns_have_no_dispersion():
    still = replace(SERIES, returns=np.zeros(600), index=np.ones(600), risk_free=np.zeros(600))
    figures, reasons = figures_of(still, 599)
    assert reasons["volatility"] == "insufficient data: constant returns"
    assert reasons["sharpe_ratio"] == "insufficient data: constant excess returns"
    assert reasons["sortino_ratio"] == "no day fell behind the risk-free rate"
    assert figures["downside_deviation"] == 0
    assert figures["var_95"] == 0
    assert figures["max_drawdown"] == 0


def test_a_loss_of_more_than_everything_is_flagged():
    returns = np.array([0.1, -1.4])
    series = replace(make_series(days=2), returns=returns, index=np.cumprod(1 + returns))
    figures, reasons = figures_of(series, 1)
    assert figures["max_drawdown"] == pytest.approx(1.4)
    assert reasons["max_drawdown"] == "more than everything was lost"


def test_unknown_value_or_flow_leaves_the_money_weighted_return_unknown():
    values, flows = SERIES.values.copy(), SERIES.flows.copy()
    values[599], flows[10] = np.nan, np.nan
    for series in (replace(SERIES, values=values), replace(SERIES, flows=flows)):
        figures, reasons = figures_of(series, 599)
        assert np.isnan(figures["money_weighted_return"])
        assert reasons["money_weighted_return"] == "a flow or the final value is unknown"

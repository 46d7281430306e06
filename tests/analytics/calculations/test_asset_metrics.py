import numpy as np
import pandas as pd
import pytest

from analytics.calculations.asset_metrics import RETURN_MONTHS, asset_metric_columns
from analytics.calculations.drawdowns import max_drawdown
from analytics.calculations.indicators import INDICATOR_BARS, indicator_columns
from analytics.calculations.regression import beta_alpha
from analytics.calculations.statistics import sharpe_ratio, volatility

BARS = 1400
COLUMNS = [
    "close",
    *INDICATOR_BARS,
    "volatility_20d",
    "volatility_1y",
    "beta_1y",
    "sharpe_ratio_1y",
    "max_drawdown_1y",
    "return_1d",
    *RETURN_MONTHS,
]


def make_inputs(seed=7, bars=BARS):
    rng = np.random.default_rng(seed)
    weekdays = np.arange("2013-01-02", "2019-01-01", dtype="datetime64[D]")
    dates = weekdays[np.is_busday(weekdays)][:bars]
    market_returns = rng.normal(0.0003, 0.008, bars)
    close = 40 * np.cumprod(1 + 1.2 * market_returns + rng.normal(0, 0.01, bars))
    return {
        "dates": dates,
        "high": close * (1 + np.abs(rng.normal(0, 0.005, bars))),
        "low": close * (1 - np.abs(rng.normal(0, 0.005, bars))),
        "close": close,
        "volume": rng.integers(1_000, 50_000, bars).astype(float),
        "market_dates": dates,
        "market_close": 1500 * np.cumprod(1 + market_returns),
        "risk_free": rng.uniform(1e-5, 5e-5, bars),
    }


def compute(inputs, rows=None):
    return asset_metric_columns(**inputs, rows=np.arange(len(inputs["dates"])) if rows is None else rows)


def without_bars(inputs, dropped):
    """The asset did not trade on some days; the market did."""
    kept = np.setdiff1d(np.arange(len(inputs["dates"])), dropped)
    own = ("dates", "high", "low", "close", "volume", "risk_free")
    return inputs | {name: inputs[name][kept] for name in own}


def assert_missing_equals_explained(columns, reasons, also=()):
    for name, values in columns.items():
        explained = np.array([name in row for row in reasons])
        if name in also:
            assert (explained | ~np.isnan(values)).all()
        else:
            np.testing.assert_array_equal(explained, np.isnan(values), err_msg=name)
    assert not np.isinf(np.stack(list(columns.values()))).any()


def test_columns_are_those_of_the_table_in_its_order():
    columns, reasons = compute(make_inputs())
    assert list(columns) == COLUMNS
    assert len(columns) == 29
    assert {len(values) for values in columns.values()} == {len(reasons)} == {BARS}


def test_indicators_are_taken_over_unchanged():
    inputs = make_inputs()
    columns, _ = compute(inputs)
    expected = indicator_columns(*(inputs[name] for name in ("high", "low", "close", "volume")))
    for name, values in expected.items():
        np.testing.assert_array_equal(columns[name], values, err_msg=name)


def test_window_figures_equal_pandas():
    inputs = make_inputs()
    columns, _ = compute(inputs)
    r = pd.Series(inputs["close"]).pct_change()
    market = pd.Series(inputs["market_close"]).pct_change()
    excess = r - inputs["risk_free"]
    yearly = r.rolling(252)
    expected = {
        "volatility_20d": r.rolling(20).std() * 252**0.5,
        "volatility_1y": yearly.std() * 252**0.5,
        "beta_1y": yearly.cov(market) / market.rolling(252).var(),
        "sharpe_ratio_1y": excess.rolling(252).mean() / excess.rolling(252).std() * 252**0.5,
        "max_drawdown_1y": pd.Series(inputs["close"])
        .rolling(253)
        .apply(lambda x: np.max(1 - x / np.maximum.accumulate(x)), raw=True),
        "return_1d": r,
    }
    for name, values in expected.items():
        np.testing.assert_allclose(columns[name], values, rtol=1e-9, atol=1e-12, err_msg=name)


def test_window_figures_equal_the_portfolio_ones():
    """One definition: the figures of an asset and of a portfolio with the same returns agree."""
    inputs = make_inputs()
    columns, _ = compute(inputs)
    r = np.diff(inputs["close"]) / inputs["close"][:-1]
    market = np.diff(inputs["market_close"]) / inputs["market_close"][:-1]
    for end in (252, 700, BARS - 1):
        last = slice(end - 252, end)
        excess = r[last] - inputs["risk_free"][1:][last]
        assert columns["volatility_1y"][end] == pytest.approx(float(volatility(r[last])), rel=1e-12)
        assert columns["volatility_20d"][end] == pytest.approx(
            float(volatility(r[end - 20 : end])), rel=1e-12
        )
        assert columns["sharpe_ratio_1y"][end] == pytest.approx(float(sharpe_ratio(excess)), rel=1e-12)
        assert columns["max_drawdown_1y"][end] == pytest.approx(float(max_drawdown(r[last])), rel=1e-12)
        assert columns["beta_1y"][end] == pytest.approx(
            float(beta_alpha(r[last], market[last])[0]), rel=1e-12
        )


def test_warm_up_is_unknown_and_counted():
    columns, reasons = compute(make_inputs())
    first = {name: int(np.flatnonzero(np.isfinite(values))[0]) for name, values in columns.items()}
    assert first["volatility_20d"] == 20
    for name in ("volatility_1y", "beta_1y", "sharpe_ratio_1y", "max_drawdown_1y"):
        assert first[name] == 252
    assert reasons[11]["sma_200"] == "warm-up: 12 of 200 bars"
    assert reasons[13]["atr_14"] == "warm-up: 14 of 15 bars"
    assert reasons[16]["stochastic_k"] == "warm-up: 17 of 18 bars"
    assert reasons[19]["volatility_20d"] == "warm-up: 19 of 20 returns"
    assert reasons[251]["beta_1y"] == "warm-up: 251 of 252 common returns"
    assert reasons[0]["return_1d"] == "no earlier close"
    assert reasons[300] == {
        "return_3y": "history does not reach back",
        "return_5y": "history does not reach back",
    }
    assert_missing_equals_explained(columns, reasons)


@pytest.mark.parametrize("bars", [1, 2, 20])
def test_short_histories_have_reasons_instead_of_figures(bars):
    columns, reasons = compute(make_inputs(bars=bars))
    assert_missing_equals_explained(columns, reasons)
    assert set(reasons[0]) == set(COLUMNS) - {"close", "obv"}


def test_any_choice_of_rows_gives_the_same_figures_and_reasons():
    inputs = make_inputs()
    inputs["high"][[400, 1290]] = np.nan
    every, every_reason = compute(inputs)
    for rows in (
        np.array([BARS - 1]),
        np.array([0, 19, 252, 411, 1299]),
        np.arange(240, 620),
        np.array([-1]),
    ):
        some, some_reason = compute(inputs, rows)
        for name in COLUMNS:
            np.testing.assert_array_equal(some[name], every[name][rows], err_msg=name)
        assert some_reason == [every_reason[row] for row in rows]


def test_no_rows_is_no_work():
    columns, reasons = compute(make_inputs(), np.arange(0))
    assert reasons == []
    assert {values.shape for values in columns.values()} == {(0,)}


def test_appended_bars_leave_older_figures_alone():
    inputs = make_inputs()
    every, _ = compute(inputs)
    shorter, _ = compute({name: values[:900] for name, values in inputs.items()})
    for name in COLUMNS:
        np.testing.assert_array_equal(shorter[name], every[name][:900], err_msg=name)


def test_rows_that_lack_the_same_share_one_reason():
    _, reasons = compute(make_inputs())
    assert len({id(row) for row in reasons}) < 260
    assert reasons[1299] is reasons[1298]


def make_steps(*bars):
    """Closes on given dates only."""
    dates = np.array([date for date, _ in bars], dtype="datetime64[D]")
    close = np.array([price for _, price in bars], dtype=float)
    nothing = np.full(len(bars), np.nan)
    return {
        "dates": dates,
        "high": nothing,
        "low": nothing,
        "close": close,
        "volume": nothing,
        "market_dates": dates[:0],
        "market_close": nothing[:0],
        "risk_free": nothing,
    }


def test_returns_stand_against_the_last_close_on_or_before_the_same_day():
    inputs = make_steps(
        ("2015-01-30", 80),
        ("2015-02-02", 90),
        ("2017-11-30", 100),
        ("2017-12-28", 110),
        ("2018-01-31", 120),
        ("2018-02-28", 132),
        ("2018-03-01", 66),
    )
    columns, reasons = compute(inputs)
    # 28 February is a month's end: one month earlier is 31 January, three are 30 November.
    assert columns["return_1m"][5] == pytest.approx(132 / 120 - 1)
    assert columns["return_3m"][5] == pytest.approx(132 / 100 - 1)
    # 1 March looks at 1 February and 1 December, which had no close: the last one before counts.
    assert columns["return_1m"][6] == pytest.approx(66 / 120 - 1)
    assert columns["return_3m"][6] == pytest.approx(66 / 100 - 1)
    assert columns["return_6m"][6] == pytest.approx(66 / 90 - 1)
    assert columns["return_3y"][6] == pytest.approx(66 / 90 - 1)
    assert columns["return_1d"][6] == pytest.approx(66 / 132 - 1)
    # 31 January 2018 less three years is 31 January 2015, a Saturday after the first close.
    assert columns["return_3y"][4] == pytest.approx(120 / 80 - 1)
    # 30 November 2017 less three years lies before the first close; a later price is no substitute.
    assert np.isnan(columns["return_3y"][2])
    assert reasons[2]["return_3y"] == "history does not reach back"
    assert_missing_equals_explained(columns, reasons, also=["obv"])


def test_beta_uses_the_last_252_days_both_traded():
    inputs = make_inputs()
    dropped = np.array([300, 301, 777])
    asset = without_bars(inputs, dropped)
    gaps = np.array([500, 600])
    asset["market_dates"] = np.delete(inputs["market_dates"], gaps)
    asset["market_close"] = np.delete(inputs["market_close"], gaps)
    columns, reasons = compute(asset)
    joined = pd.concat(
        {
            "asset": pd.Series(asset["close"], asset["dates"]).pct_change(),
            "market": pd.Series(asset["market_close"], asset["market_dates"]).pct_change(),
        },
        axis=1,
        join="inner",
    ).dropna()
    beta = joined["asset"].rolling(252).cov(joined["market"]) / joined["market"].rolling(252).var()
    expected = beta.reindex(asset["dates"]).ffill()
    np.testing.assert_allclose(columns["beta_1y"], expected, rtol=1e-9)
    assert_missing_equals_explained(columns, reasons)


def test_a_market_that_starts_later_delays_the_beta_only():
    inputs = make_inputs()
    before, _ = compute(inputs)
    inputs["market_dates"], inputs["market_close"] = (
        inputs["market_dates"][600:],
        inputs["market_close"][600:],
    )
    columns, reasons = compute(inputs)
    assert reasons[700]["beta_1y"] == "warm-up: 100 of 252 common returns"
    assert np.isnan(columns["beta_1y"][:852]).all()
    np.testing.assert_allclose(columns["beta_1y"][852:], before["beta_1y"][852:], rtol=1e-12)
    np.testing.assert_array_equal(columns["sharpe_ratio_1y"], before["sharpe_ratio_1y"])


def test_beta_of_the_market_itself_is_one():
    inputs = make_inputs()
    columns, _ = compute(inputs | {"close": inputs["market_close"]})
    np.testing.assert_allclose(columns["beta_1y"][252:], 1, rtol=1e-12)


def test_no_market_asset_is_said():
    inputs = make_inputs()
    columns, reasons = compute(
        inputs | {"market_dates": inputs["dates"][:0], "market_close": inputs["close"][:0]}
    )
    assert np.isnan(columns["beta_1y"]).all()
    assert reasons[-1]["beta_1y"] == "no market return on any day of the asset"


def test_a_market_that_stands_still_has_no_beta():
    inputs = make_inputs()
    columns, reasons = compute(inputs | {"market_close": np.full(BARS, 0.1)})
    assert np.isnan(columns["beta_1y"]).all()
    assert reasons[-1]["beta_1y"] == "market returns do not vary"


def test_unknown_risk_free_rate_takes_the_sharpe_ratio_with_it():
    inputs = make_inputs()
    inputs["risk_free"][[500, 510]] = np.nan
    columns, reasons = compute(inputs)
    np.testing.assert_array_equal(
        np.flatnonzero(np.isnan(columns["sharpe_ratio_1y"][252:])) + 252, range(500, 762)
    )
    assert reasons[505]["sharpe_ratio_1y"] == "no risk-free rate on 1 of 252 days"
    assert reasons[751]["sharpe_ratio_1y"] == "no risk-free rate on 2 of 252 days"
    assert_missing_equals_explained(columns, reasons)


def test_a_bar_without_range_or_volume_says_so():
    inputs = make_inputs()
    inputs["low"][600] = np.nan
    inputs["volume"][600] = np.nan
    columns, reasons = compute(inputs)
    assert reasons[599].keys() == {"return_3y", "return_5y"}
    for row in range(600, 614):
        assert reasons[row]["atr_14"] == "no high or low within the last 14 bars"
        assert reasons[row]["stochastic_d"] == "no high or low within the last 18 bars"
    assert "atr_14" not in reasons[614]
    assert reasons[600]["obv"] == "no volume on this bar: carried unchanged"
    assert columns["obv"][600] == columns["obv"][599]
    assert "obv" not in reasons[601]
    assert_missing_equals_explained(columns, reasons, also=["obv"])


@pytest.mark.parametrize("gap", [0, 1, 5, 13, 14, 17])
def test_a_gap_during_the_warm_up_is_explained_to_the_last_bar(gap):
    inputs = make_inputs(bars=60)
    inputs["high"][gap] = np.nan
    columns, reasons = compute(inputs)
    assert_missing_equals_explained(columns, reasons)
    assert np.flatnonzero(np.isnan(columns["atr_14"]))[-1] == gap + 13
    assert np.flatnonzero(np.isnan(columns["stochastic_k"]))[-1] == gap + 17


def test_an_index_without_volume_has_no_obv():
    inputs = make_inputs()
    columns, reasons = compute(inputs | {"volume": np.full(BARS, np.nan)})
    assert np.isnan(columns["obv"]).all()
    assert reasons[-1]["obv"] == "no volume so far"


def test_a_price_that_stands_still_is_unknown_not_zero():
    flat = np.full(300, 0.1)
    inputs = make_inputs(bars=300) | {
        "close": flat,
        "high": flat,
        "low": flat,
        "risk_free": np.full(300, 1e-5),
    }
    columns, reasons = compute(inputs)
    last = reasons[-1]
    assert last["rsi_14"] == "no price move since the first bar"
    assert last["stochastic_k"] == last["stochastic_d"] == "no price range within 14 bars"
    assert last["volatility_20d"] == "returns do not vary within 20 days"
    assert last["sharpe_ratio_1y"] == "returns do not vary within 252 days"
    assert columns["return_1y"][-1] == 0
    assert columns["max_drawdown_1y"][-1] == 0
    assert columns["beta_1y"][-1] == pytest.approx(0, abs=1e-15)
    assert_missing_equals_explained(columns, reasons)


def test_a_price_at_or_below_zero_is_no_base_for_a_return():
    inputs = make_inputs(bars=700)
    inputs["close"][400] = -37.63
    columns, reasons = compute(inputs)
    assert np.isnan(columns["return_1d"][401])
    assert reasons[401]["return_1d"] == "the earlier close is not positive"
    assert reasons[652]["max_drawdown_1y"] == "a close within the window is not positive"
    assert reasons[652]["volatility_1y"] == "a close within the window is not positive"
    assert np.isfinite(columns["max_drawdown_1y"][653])
    assert_missing_equals_explained(columns, reasons)


@pytest.mark.parametrize("position", [5, 6])
def test_dates_out_of_order_are_refused(position):
    inputs = make_inputs(bars=50)
    inputs["dates"] = inputs["dates"].copy()
    inputs["dates"][5] = inputs["dates"][position + 1]
    with pytest.raises(ValueError, match="dates of the bars must ascend"):
        compute(inputs)


def test_inputs_are_left_alone():
    inputs = make_inputs()
    inputs["high"][600] = inputs["volume"][600] = np.nan
    before = {name: values.copy() for name, values in inputs.items()}
    compute(inputs)
    for name, values in before.items():
        np.testing.assert_array_equal(inputs[name], values, err_msg=name)

import numpy as np
import pandas as pd
import pytest
import talib

from analytics.calculations.indicators import INDICATOR_BARS, complete_run_lengths, indicator_columns

BARS = 400

# On the last bar of `make_fixed_bars`. A new TA-Lib that moves one of them changes published figures.
GOLDEN = {
    "sma_20": 115.27893446632727,
    "sma_50": 111.51715080517044,
    "sma_200": 108.88344601354873,
    "ema_12": 110.37101153624073,
    "ema_26": 112.77777058670458,
    "rsi_14": 23.882807179220865,
    "macd": -2.4067590504638474,
    "macd_signal": -0.7537328750877786,
    "macd_histogram": -1.6530261753760689,
    "bollinger_upper": 127.51194159333521,
    "bollinger_middle": 115.27893446632727,
    "bollinger_lower": 103.04592733931933,
    "atr_14": 2.923174559132622,
    "stochastic_k": 7.217619507999046,
    "stochastic_d": 7.133972607751001,
    "obv": -31285.0,
}


def make_bars(seed=7, bars=BARS, start=50.0):
    rng = np.random.default_rng(seed)
    close = start * np.cumprod(1 + rng.normal(0.0004, 0.015, bars))
    high = close * (1 + np.abs(rng.normal(0, 0.006, bars)))
    low = close * (1 - np.abs(rng.normal(0, 0.006, bars)))
    volume = rng.integers(1_000, 50_000, bars).astype(float)
    return high, low, close, volume


def make_fixed_bars():
    t = np.arange(250)
    close = 100 + 10 * np.sin(t / 7) + t / 20 + (t * 37 % 11) / 5
    return close + 1 + (t * 13 % 7) / 10, close - 1 - (t * 17 % 5) / 10, close, 1000.0 + t * 53 % 997


def plain_talib(high, low, close, volume):
    upper, middle, lower = talib.BBANDS(close, 20, 2.0, 2.0, talib.MA_Type.SMA)
    macd, signal, histogram = talib.MACD(close, 12, 26, 9)
    k, d = talib.STOCH(high, low, close, 14, 3, talib.MA_Type.SMA, 3, talib.MA_Type.SMA)
    return {
        "sma_20": talib.SMA(close, 20),
        "sma_50": talib.SMA(close, 50),
        "sma_200": talib.SMA(close, 200),
        "ema_12": talib.EMA(close, 12),
        "ema_26": talib.EMA(close, 26),
        "rsi_14": talib.RSI(close, 14),
        "macd": macd,
        "macd_signal": signal,
        "macd_histogram": histogram,
        "bollinger_upper": upper,
        "bollinger_middle": middle,
        "bollinger_lower": lower,
        "atr_14": talib.ATR(high, low, close, 14),
        "stochastic_k": k,
        "stochastic_d": d,
        "obv": talib.OBV(close, volume),
    }


@pytest.mark.parametrize("name", GOLDEN)
def test_golden_values(name):
    assert indicator_columns(*make_fixed_bars())[name][-1] == pytest.approx(GOLDEN[name], rel=1e-12)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_complete_bars_equal_plain_talib_bit_by_bit(seed):
    bars = make_bars(seed)
    columns = indicator_columns(*bars)
    expected = plain_talib(*bars)
    assert columns.keys() == expected.keys() == INDICATOR_BARS.keys()
    for name, values in expected.items():
        np.testing.assert_array_equal(columns[name], values, err_msg=name)


@pytest.mark.parametrize("name", INDICATOR_BARS)
def test_first_value_comes_with_the_last_bar_of_the_warm_up(name):
    values = indicator_columns(*make_bars())[name]
    assert np.flatnonzero(np.isfinite(values))[0] == INDICATOR_BARS[name] - 1
    assert np.isfinite(values[INDICATOR_BARS[name] - 1 :]).all()


def test_averages_and_bands_equal_pandas():
    high, low, close, volume = make_bars()
    columns = indicator_columns(high, low, close, volume)
    series = pd.Series(close)
    mean, deviation = series.rolling(20).mean(), series.rolling(20).std(ddof=0)
    np.testing.assert_allclose(columns["sma_20"], mean, rtol=1e-12)
    np.testing.assert_allclose(columns["bollinger_upper"], mean + 2 * deviation, rtol=1e-10)
    np.testing.assert_allclose(columns["bollinger_lower"], mean - 2 * deviation, rtol=1e-10)
    seeded = pd.concat([pd.Series([close[:12].mean()]), series[12:]]).ewm(span=12, adjust=False).mean()
    np.testing.assert_allclose(columns["ema_12"][11:], seeded, rtol=1e-12)


def test_wilder_smoothing_equals_its_recursion():
    high, low, close, volume = make_bars()
    columns = indicator_columns(high, low, close, volume)
    true_range = np.maximum(high[1:], close[:-1]) - np.minimum(low[1:], close[:-1])
    moves = np.diff(close)
    state = np.array([true_range[:14].mean(), moves[:14].clip(0).mean(), (-moves[:14]).clip(0).mean()])
    for bar in range(14, BARS):
        atr, gain, loss = state
        assert columns["atr_14"][bar] == pytest.approx(atr, rel=1e-12)
        assert columns["rsi_14"][bar] == pytest.approx(100 * gain / (gain + loss), rel=1e-12)
        if bar < BARS - 1:
            state = (state * 13 + [true_range[bar], max(moves[bar], 0), max(-moves[bar], 0)]) / 14


@pytest.mark.parametrize("bars", [1, 2, 14, 33])
def test_short_histories_are_unknown_not_zero(bars):
    for name, values in indicator_columns(*make_bars(bars=bars)).items():
        assert values.shape == (bars,)
        assert np.isfinite(values).sum() == max(bars - INDICATOR_BARS[name] + 1, 0), name


def test_prices_of_any_size_scale_exactly():
    high, low, close, volume = make_bars()
    plain = indicator_columns(high, low, close, volume)
    tiny = indicator_columns(high * 2.0**-27, low * 2.0**-27, close * 2.0**-27, volume)
    for name in ("rsi_14", "stochastic_k", "stochastic_d", "obv"):
        np.testing.assert_allclose(tiny[name], plain[name], rtol=1e-9, err_msg=name)
    for name in ("ema_26", "macd", "atr_14", "bollinger_upper"):
        np.testing.assert_allclose(tiny[name] * 2.0**27, plain[name], rtol=1e-9, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_a_close_that_is_no_number_is_refused_by_name(wrong):
    high, low, close, volume = make_bars()
    close[100] = wrong
    with pytest.raises(ValueError, match="close of bar 100"):
        indicator_columns(high, low, close, volume)


def test_whole_numbers_and_views_are_accepted():
    high, low, close, volume = (np.rint(x).astype(int) for x in make_bars())
    expected = plain_talib(*(x.astype(float) for x in (high, low, close, volume)))
    wide = np.repeat(close, 2)[::2]
    columns = indicator_columns(high, low, wide, volume)
    np.testing.assert_array_equal(columns["ema_12"], expected["ema_12"])


@pytest.mark.parametrize("side", ["high", "low"])
def test_a_gap_in_the_range_touches_only_its_windows(side):
    high, low, close, volume = make_bars()
    complete = indicator_columns(high, low, close, volume)
    (high if side == "high" else low)[100] = np.nan
    columns = indicator_columns(high, low, close, volume)
    for name in complete.keys() - {"atr_14", "stochastic_k", "stochastic_d"}:
        np.testing.assert_array_equal(columns[name], complete[name], err_msg=name)
    known = np.flatnonzero(np.isnan(columns["atr_14"]) & np.isfinite(complete["atr_14"]))
    np.testing.assert_array_equal(known, np.arange(100, 114))
    for name in ("stochastic_k", "stochastic_d"):
        np.testing.assert_array_equal(columns[name][:100], complete[name][:100])
        assert np.isnan(columns[name][100:118]).all()
        np.testing.assert_allclose(columns[name][118:], complete[name][118:], rtol=1e-9)


def test_atr_after_a_gap_is_seeded_from_the_14_ranges_since():
    high, low, close, volume = make_bars()
    high[100] = np.nan
    atr = indicator_columns(high, low, close, volume)["atr_14"]
    ranges = [max(high[t], close[t - 1]) - min(low[t], close[t - 1]) for t in range(101, 116)]
    assert atr[114] == pytest.approx(np.mean(ranges[:14]), rel=1e-12)
    assert atr[115] == pytest.approx((np.mean(ranges[:14]) * 13 + ranges[14]) / 14, rel=1e-12)


def test_an_asset_without_ranges_keeps_its_other_indicators():
    _, _, close, volume = make_bars()
    nothing = np.full(BARS, np.nan)
    columns = indicator_columns(nothing, nothing, close, volume)
    assert np.isnan(columns["atr_14"]).all()
    assert np.isnan(columns["stochastic_k"]).all()
    np.testing.assert_array_equal(columns["rsi_14"], talib.RSI(close, 14))


def test_a_missing_range_on_the_first_bar_does_not_delay_the_atr():
    high, low, close, volume = make_bars()
    expected = talib.ATR(high, low, close, 14)
    high[0] = np.nan
    np.testing.assert_array_equal(indicator_columns(high, low, close, volume)["atr_14"], expected)


def test_run_lengths_count_complete_bars():
    high = np.array([1.0, 2.0, np.nan, 4.0, 5.0])
    low = np.array([1.0, 2.0, 3.0, 4.0, np.nan])
    assert complete_run_lengths(high, low).tolist() == [1, 2, 0, 1, 0]


def test_obv_starts_with_the_first_known_volume_and_carries_over_unknown_ones():
    close = np.array([10.0, 11.0, 12.0, 11.0, 11.0, 12.0])
    volume = np.array([np.nan, 100.0, 50.0, np.nan, 70.0, 30.0])
    obv = indicator_columns(close, close, close, volume)["obv"]
    np.testing.assert_array_equal(obv, [np.nan, 100.0, 150.0, 150.0, 150.0, 180.0])


def test_obv_without_any_volume_is_unknown():
    high, low, close, _ = make_bars()
    assert np.isnan(indicator_columns(high, low, close, np.full(BARS, np.nan))["obv"]).all()


def test_strength_and_stochastic_of_a_flat_price_are_unknown_not_oversold():
    close = np.r_[np.full(40, 5.0), 5.1, np.full(40, 5.1)]
    columns = indicator_columns(close, close, close, np.ones(81))
    assert np.isnan(columns["rsi_14"][:40]).all()
    assert (columns["rsi_14"][40:] == 100).all()
    # The 14-bar ranges ending on bars 40..52 hold the move; %K averages 3 of them, %D 5.
    np.testing.assert_array_equal(np.flatnonzero(np.isfinite(columns["stochastic_k"])), np.arange(42, 53))
    np.testing.assert_array_equal(np.flatnonzero(np.isfinite(columns["stochastic_d"])), np.arange(44, 53))
    np.testing.assert_array_equal(columns["bollinger_upper"][19:40], 5.0)
    assert (columns["atr_14"][14:40] == 0).all()

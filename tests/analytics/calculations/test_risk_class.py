import numpy as np
import pandas as pd
import pytest

from analytics.calculations.risk_class import friday_returns, risk_classes, risk_levels, weekly_volatility

NAN = np.nan


def days(*texts):
    return np.array(texts, dtype="datetime64[D]")


@pytest.mark.parametrize(
    ("volatility", "expected"),
    [
        (0.0049, 1),
        (0.005, 2),
        (0.0199, 2),
        (0.02, 3),
        (0.05, 4),
        (0.0999, 4),
        (0.10, 5),
        (0.15, 6),
        (0.2499, 6),
        (0.25, 7),
        (3.0, 7),
    ],
)
def test_class_limits(volatility, expected):
    assert risk_classes(np.array([volatility])) == expected


def risk_level(risk_class, hhi, drawdown):
    labels, causes = risk_levels(*(np.array([float(x)]) for x in (risk_class, hhi, drawdown)))
    return labels[0], causes[0]


def test_unknown_volatility_has_no_class_and_no_label():
    assert np.isnan(risk_classes(np.array([NAN])))
    assert risk_level(NAN, 0.9, 0.9) == (None, None)


def test_labels_of_the_seven_classes():
    labels = [risk_level(k, 0.1, 0.0)[0] for k in range(1, 8)]
    assert labels == ["very_low", "very_low", "low", "medium", "high", "high", "very_high"]


def test_concentration_and_drawdown_raise_the_label_by_one_and_say_why():
    assert risk_level(3, 0.26, 0.0) == ("medium", "one level up from low: concentration 0.2600 above 0.25")
    assert risk_level(3, 0.1, 0.3) == ("medium", "one level up from low: current drawdown 0.3000 above 0.25")
    label, cause = risk_level(4, 1.0, 0.5)
    assert label == "high"
    assert cause == (
        "one level up from medium: concentration 1.0000 above 0.25, current drawdown 0.5000 above 0.25"
    )
    assert risk_level(7, 1.0, 0.5)[0] == "very_high"


def test_limits_themselves_and_unknown_figures_raise_nothing():
    assert risk_level(3, 0.25, 0.25) == ("low", None)
    assert risk_level(3, NAN, NAN) == ("low", None)


def test_friday_returns_take_the_last_day_on_or_before_friday():
    # Good Friday 2024-03-29 was no session; the week of 2024-04-08 is missing altogether.
    dates = days(
        "2024-03-21", "2024-03-22", "2024-03-28", "2024-04-01", "2024-04-05", "2024-04-19", "2024-04-22"
    )
    levels = np.array([1.0, 2.0, 3.0, 3.5, 6.0, 9.0, 10.0])
    fridays, starts, returns = friday_returns(dates, levels)
    assert fridays.tolist() == days("2024-03-29", "2024-04-05", "2024-04-19").tolist()
    assert starts.tolist() == [1, 2, 4]
    np.testing.assert_allclose(returns, [0.5, 1.0, 0.5])


def test_history_inside_one_week_has_no_weekly_return():
    for dates in (days("2024-03-25", "2024-03-26"), days("2024-03-29"), days("2024-03-30")):
        assert friday_returns(dates, np.ones(len(dates)))[2].size == 0


def test_weekly_volatility_agrees_with_pandas_and_never_looks_ahead():
    dates = pd.bdate_range("2020-01-01", periods=500)
    levels = np.cumprod(1 + np.random.default_rng(7).normal(0, 0.01, 500)).astype(np.float64)
    starts, ends = np.array([0, 0, 100, 3]), np.array([499, 300, 402, 60])
    found = weekly_volatility(dates.to_numpy().astype("datetime64[D]"), levels, starts, ends)
    for k, (start, end) in enumerate(zip(starts, ends, strict=True)):
        window = pd.Series(levels[start : end + 1], dates[start : end + 1])
        complete = window.resample("W-FRI").last()[lambda x, last=dates[end]: x.index <= last]
        weekly = complete.pct_change().dropna()
        expected = weekly.std() * np.sqrt(52) if len(weekly) >= 20 else NAN
        np.testing.assert_allclose(found[k], expected, rtol=1e-11)

"""Modified Dietz against figures worked out by hand, and against daily time-weighted returns."""

from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.calculations.dietz import DietzReturns, modified_dietz, valuation_days, valued_periodically
from analytics.calculations.twr import Days, Floats, FlowTiming, time_weighted

TIMINGS: list[FlowTiming] = ["start", "midday", "end"]
Flow = tuple[str, float]  # negative: money out


def dietz(
    values: dict[str, float],
    flows: list[Flow] | None = None,
    *,
    between: set[str] | None = None,
    timing: FlowTiming = "end",
    large_flow: float | None = None,
) -> DietzReturns:
    """between: the days with a value that end no regular period."""
    days = [day for day, _ in flows or []]
    amounts = np.array([amount for _, amount in flows or []], dtype=float)
    return modified_dietz(
        np.array(list(values), dtype="datetime64[D]"),
        np.array(list(values.values()), dtype=float),
        np.array(days, dtype="datetime64[D]"),
        np.where(amounts < 0, 0, amounts),
        np.where(amounts < 0, -amounts, 0),
        inflow_timing=timing,
        outflow_timing=timing,
        is_period_end=None if between is None else np.array([day not in between for day in values]),
        large_flow=large_flow,
    )


# January has 31 days. 100 -> 114 with 8 more paid in: 6 were earned.
JANUARY = {"2023-12-31": 100.0, "2024-01-31": 114.0}


@pytest.mark.parametrize(
    ("timing", "days_at_work"),
    [("end", 17), ("midday", 17.5), ("start", 18)],
)
def test_a_flow_is_weighted_with_the_days_it_is_at_work(timing: FlowTiming, days_at_work: float) -> None:
    found = dietz(JANUARY, [("2024-01-14", 8)], timing=timing)
    assert found.returns == pytest.approx([6 / (100 + 8 * days_at_work / 31)], abs=1e-15)
    assert found.reasons == [""]


def test_flows_in_both_directions() -> None:
    found = dietz({"2024-03-31": 1_000.0, "2024-04-30": 1_180.0}, [("2024-04-10", 200), ("2024-04-20", -60)])
    # 1180 - 1000 - 140 = 40 on 1000 + 200 * 20/30 - 60 * 10/30.
    assert found.returns == pytest.approx([40 / (1_000 + 400 / 3 - 20)], abs=1e-15)


def test_a_flow_on_the_first_evening_is_in_the_opening_value_and_one_after_the_end_is_left_out() -> None:
    found = dietz(JANUARY, [("2023-12-31", 50), ("2024-02-01", 50)])
    assert found.returns == pytest.approx([0.14], abs=1e-15)


def test_periods_are_linked() -> None:
    found = dietz({"2023-12-31": 100, "2024-01-31": 110, "2024-02-29": 154}, [("2024-02-29", 33)])
    assert found.returns == pytest.approx([0.1, 0.1], abs=1e-15)
    assert found.index == pytest.approx([1.1, 1.21], abs=1e-15)
    assert found.dates.tolist() == np.array(["2024-01-31", "2024-02-29"], dtype="datetime64[D]").tolist()


# +20 % until the deposit of 60 on the evening of the 14th, then -10 %.
JUMP = {"2023-12-31": 100.0, "2024-01-14": 180.0, "2024-01-31": 162.0}
DEPOSIT: list[Flow] = [("2024-01-14", 60)]


def test_a_large_flow_splits_its_period_where_the_day_is_valued() -> None:
    found = dietz(JUMP, DEPOSIT, between={"2024-01-14"}, large_flow=0.1)
    assert found.returns == pytest.approx([1.2 * 0.9 - 1], abs=1e-15)
    assert found.reasons == [""]


@pytest.mark.parametrize("threshold", [None, 0.6])
def test_a_flow_up_to_the_threshold_leaves_the_period_whole(threshold: float | None) -> None:
    found = dietz(JUMP, DEPOSIT, between={"2024-01-14"}, large_flow=threshold)
    assert found.returns == pytest.approx([2 / (100 + 60 * 17 / 31)], abs=1e-15)
    assert found.reasons == [""]


def test_a_large_flow_without_a_value_is_named_and_the_return_stays() -> None:
    values = {day: value for day, value in JUMP.items() if day != "2024-01-14"}
    found = dietz(values, DEPOSIT, large_flow=0.1)
    assert found.returns == pytest.approx([2 / (100 + 60 * 17 / 31)], abs=1e-15)
    assert found.reasons == ["large flow of 60 on 2024-01-14: no value that day"]


def test_a_large_withdrawal_is_named_too() -> None:
    found = dietz({"2023-12-31": 100, "2024-01-31": 50}, [("2024-01-10", -60)], large_flow=0.1)
    assert found.reasons == ["large flow of 60 on 2024-01-10: no value that day"]


def test_before_a_flow_in_the_morning_the_value_of_the_evening_before_is_the_exact_one() -> None:
    values = {"2023-12-31": 100.0, "2024-01-13": 120.0, "2024-01-31": 162.0}
    found = dietz(values, DEPOSIT, between={"2024-01-13"}, timing="start", large_flow=0.1)
    assert found.returns == pytest.approx([1.2 * 0.9 - 1], abs=1e-15)
    assert found.reasons == [""]
    at_midday = dietz(values, DEPOSIT, between={"2024-01-13"}, timing="midday", large_flow=0.1)
    assert at_midday.reasons == ["large flow of 60 on 2024-01-14: no value that day"]


@pytest.mark.parametrize(
    ("values", "flows", "reason"),
    [
        ({"2023-12-31": np.nan, "2024-01-31": 114}, [], "value unknown on 2023-12-31"),
        ({"2023-12-31": 100, "2024-01-31": np.nan}, [], "value unknown on 2024-01-31"),
        (JANUARY, [("2024-01-14", np.nan)], "flow unknown on 2024-01-14"),
        ({"2023-12-31": 0, "2024-01-31": 0}, [], "no capital"),
        ({"2023-12-31": 100, "2024-01-31": 0}, [("2024-01-01", -110)], "negative capital"),
    ],
)
def test_what_is_unknown_is_unknown_with_a_reason(
    values: dict[str, float], flows: list[Flow], reason: str
) -> None:
    found = dietz(values | {"2024-02-29": 100}, flows)
    assert np.isnan(found.returns[0])
    assert np.isnan(found.index).all()
    assert found.reasons[0] == reason


def test_a_later_period_keeps_its_return_when_an_earlier_one_is_unknown() -> None:
    found = dietz({"2023-12-31": np.nan, "2024-01-31": 100, "2024-02-29": 110})
    assert found.returns[1] == pytest.approx(0.1)
    assert found.reasons[1] == ""
    assert np.isnan(found.index[1])


def test_fewer_than_two_values_are_no_period() -> None:
    found = dietz({"2024-01-31": 100.0})
    assert (len(found.returns), len(found.index), found.reasons) == (0, 0, [])


@pytest.mark.parametrize(
    ("values", "flow", "threshold", "message"),
    [
        ({"2024-01-31": 100, "2023-12-31": 100}, 1.0, None, "ascend"),
        (JANUARY, -1.0, None, "negative"),
        (JANUARY, 1.0, 0.0, "above 0"),
        (JANUARY, 1.0, np.nan, "above 0"),
    ],
)
def test_bad_input_is_refused(
    values: dict[str, float], flow: float, threshold: float | None, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        modified_dietz(
            np.array(list(values), dtype="datetime64[D]"),
            np.array(list(values.values()), dtype=float),
            np.array(["2024-01-14"], dtype="datetime64[D]"),
            np.array([flow]),
            np.array([0.0]),
            large_flow=threshold,
        )


GROWTH = st.lists(st.floats(0.8, 1.25), min_size=4, max_size=12)
AMOUNTS = st.lists(st.integers(-3_000, 6_000).map(lambda cents: cents / 100), min_size=12, max_size=12)


def book(growth: list[float], amounts: list[float], timing: FlowTiming) -> tuple[np.ndarray, ...]:
    """Values of consecutive days, and the flows of each; the first value is 1000, of the evening before."""
    share = {"start": 1.0, "midday": 0.5, "end": 0.0}[timing]
    flows = np.array(amounts[: len(growth)])
    values = [1_000.0]
    for factor, flow in zip(growth, flows, strict=True):
        values.append((values[-1] + share * flow) * factor + (1 - share) * flow)
    return np.array(values), np.where(flows > 0, flows, 0), np.where(flows < 0, -flows, 0)


@given(GROWTH, AMOUNTS, st.sampled_from(TIMINGS))
def test_valued_every_day_it_is_the_time_weighted_return(
    growth: list[float], amounts: list[float], timing: FlowTiming
) -> None:
    values, inflow, outflow = book(growth, amounts, timing)
    days = np.datetime64("2024-01-01") + np.arange(len(values))
    found = modified_dietz(
        days, values, days[1:], inflow, outflow, inflow_timing=timing, outflow_timing=timing
    )
    first = np.concatenate([[1_000.0], inflow]), np.concatenate([[0.0], outflow])
    expected = time_weighted(
        days, np.ones(len(days), dtype=bool), values, *first, inflow_timing=timing, outflow_timing=timing
    )
    np.testing.assert_allclose(found.returns, expected.returns[1:], atol=1e-12)
    np.testing.assert_allclose(found.returns, np.array(growth) - 1, atol=1e-12)


@given(GROWTH, AMOUNTS, st.sampled_from(TIMINGS))
def test_with_every_flow_large_and_every_day_at_hand_one_long_period_is_time_weighted(
    growth: list[float], amounts: list[float], timing: FlowTiming
) -> None:
    values, inflow, outflow = book(growth, amounts, timing)
    days = np.datetime64("2024-01-01") + np.arange(len(values))
    ends = np.zeros(len(days), dtype=bool)
    ends[[0, -1]] = True
    found = modified_dietz(
        days,
        values,
        days[1:],
        inflow,
        outflow,
        inflow_timing=timing,
        outflow_timing=timing,
        is_period_end=ends,
        large_flow=1e-9,
    )
    assert found.returns == pytest.approx([np.prod(growth) - 1], abs=1e-11)
    assert found.reasons == [""]


@given(GROWTH, AMOUNTS, st.floats(1e-3, 1e6))
def test_neither_the_unit_of_money_nor_the_order_of_flows_matters(
    growth: list[float], amounts: list[float], scale: float
) -> None:
    values, inflow, outflow = book(growth, amounts, "end")
    days = np.datetime64("2024-01-01") + np.arange(len(values))
    order = np.argsort(np.sin(np.arange(len(inflow)) * 17.0))
    ends = days[[0, -1]]
    found = modified_dietz(ends, values[[0, -1]], days[1:], inflow, outflow)
    again = modified_dietz(
        ends, values[[0, -1]] * scale, days[1:][order], inflow[order] * scale, outflow[order] * scale
    )
    np.testing.assert_allclose(found.returns, again.returns, atol=1e-11)


# On a timeline


def weekdays(first: str, last: str) -> Days:
    every_day = np.arange(np.datetime64(first), np.datetime64(last) + 1)
    return every_day[np.is_busday(every_day)]


def test_months_and_quarters_end_with_their_last_session() -> None:
    calendar = weekdays("2024-01-29", "2024-04-03")
    monthly = calendar[valuation_days(calendar, "monthly")]
    assert monthly.astype(str).tolist() == ["2024-01-31", "2024-02-29", "2024-03-29"]
    assert calendar[valuation_days(calendar, "quarterly")].astype(str).tolist() == ["2024-03-29"]
    assert valuation_days(calendar[:0], "monthly").tolist() == []


@pytest.mark.parametrize(
    ("last", "is_valued"), [("2024-01-31", True), ("2024-01-30", False), ("2024-08-30", True)]
)
def test_the_last_day_is_a_valuation_when_no_weekday_is_left_in_its_month(last: str, is_valued: bool) -> None:
    calendar = weekdays(last[:8] + "01", last)
    assert bool(valuation_days(calendar, "monthly")[-1]) is is_valued


def test_an_unknown_frequency_is_refused() -> None:
    with pytest.raises(ValueError, match="monthly or quarterly, not weekly"):
        valuation_days(weekdays("2024-01-01", "2024-01-05"), "weekly")


def test_monthly_returns_stand_on_month_ends_and_nowhere_else() -> None:
    """100 from the first day, 5 more in the middle of February (18 of 29 days at work)."""
    timeline = weekdays("2024-01-15", "2024-03-05")
    values = np.linspace(100, 120, len(timeline))
    inflow = np.zeros(len(timeline))
    inflow[0], inflow[timeline == np.datetime64("2024-02-12")] = 100, 5
    found = valued_periodically(
        timeline,
        np.ones(len(timeline), dtype=bool),
        values,
        inflow,
        np.zeros(len(timeline)),
        frequency="monthly",
    )
    known = np.flatnonzero(np.isfinite(found.returns))
    assert timeline[known].astype(str).tolist() == ["2024-01-31", "2024-02-29"]
    january, february = values[known]
    expected = [january / 100 - 1, (february - january - 5) / (january + 5 * 18 / 29)]
    np.testing.assert_allclose(found.returns[known], expected, rtol=1e-12)
    np.testing.assert_allclose(found.index[known], np.cumprod(1 + np.array(expected)), rtol=1e-12)
    assert found.reasons[1]["twr_index"] == "valued monthly: no valuation on this day"
    assert found.reasons[int(known[0])] == {}


def test_a_large_flow_is_revalued_on_its_day() -> None:
    timeline = weekdays("2024-01-01", "2024-02-29")
    rng = np.random.default_rng(3)
    growth = np.cumprod(1 + rng.normal(0, 0.01, len(timeline)), dtype=np.float64)
    values: Floats = 100 * growth
    inflow = np.zeros(len(timeline))
    inflow[0] = 100
    place = int(np.flatnonzero(timeline == np.datetime64("2024-02-12"))[0])
    # At the start of its day: it shares the day's return.
    inflow[place] = 1000
    values[place:] += 1000 * growth[place:] / growth[place - 1]
    nothing = np.zeros(len(timeline))
    measure = partial(
        valued_periodically,
        timeline,
        np.ones(len(timeline), dtype=bool),
        values,
        inflow,
        nothing,
        frequency="monthly",
    )
    true = growth[-1] - 1
    revalued, crude = measure(large_flow=0.1).index[-1] - 1, measure().index[-1] - 1
    np.testing.assert_allclose(revalued, true, atol=1e-12)
    assert abs(crude - true) > 1e-4

"""Price, gross and net returns: one book, four answers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.calculations.return_measures import ReturnMeasures, return_measures
from analytics.calculations.twr import FlowTiming, time_weighted

NAMES = ("price", "gross", "net_of_fees", "net")


def measures(
    values: list[float],
    inflow: dict[int, float],
    outflow: dict[int, float] | None = None,
    timing: FlowTiming = "end",
    *,
    income: dict[int, float] | None = None,
    fees: dict[int, float] | None = None,
    taxes: dict[int, float] | None = None,
    trading_costs: dict[int, float] | None = None,
) -> ReturnMeasures:
    """Consecutive days; flows and amounts by position."""
    days = np.datetime64("2024-01-01") + np.arange(len(values))

    def daily(given: dict[int, float] | None) -> np.ndarray:
        column = np.zeros(len(values))
        for place, amount in (given or {}).items():
            column[place] = amount
        return column

    return return_measures(
        days,
        np.ones(len(values), dtype=bool),
        np.array(values, dtype=float),
        daily(inflow),
        daily(outflow),
        outflow_timing=timing,
        income=daily(income),
        fees=daily(fees),
        taxes=daily(taxes),
        trading_costs=daily(trading_costs),
    )


def cumulative(found: ReturnMeasures) -> dict[str, float]:
    return {name: float(getattr(found, name).index[-1] - 1) for name in NAMES}


# Worked case A11: one share for 298.58 and a fee of 19, then a dividend of 0.62.
PRICES = [89.12, 339.51, 337.22, 331.83]
COST_OF_BUYING = {0: 19.0}


def test_a11_price_return_apart_from_the_total_return_when_the_dividend_stays() -> None:
    values = [PRICES[0], *(price + 0.62 for price in PRICES[1:])]
    found = measures(values, {0: 317.58}, income={1: 0.62}, fees=COST_OF_BUYING, trading_costs=COST_OF_BUYING)
    assert cumulative(found)["net"] == pytest.approx(0.04682284778638457, abs=1e-12)
    # The dividend itself is left out; that it dilutes later changes of the price as cash is not.
    assert cumulative(found)["price"] == pytest.approx(339.51 / 317.58 * 332.45 / 340.13 - 1, abs=1e-12)


def test_a11_price_return_is_that_of_the_share_when_the_dividend_is_paid_out() -> None:
    found = measures(
        PRICES,
        {0: 317.58},
        {1: 0.62},
        income={1: 0.62},
        fees=COST_OF_BUYING,
        trading_costs=COST_OF_BUYING,
    )
    assert cumulative(found)["price"] == pytest.approx(331.83 / 317.58 - 1, abs=1e-12)
    assert cumulative(found)["net"] == pytest.approx(340.13 / 317.58 * 331.83 / 339.51 - 1, abs=1e-12)


def test_trading_costs_count_in_every_measure_and_other_fees_and_taxes_where_they_belong() -> None:
    # 1000 in; on the second day +50 of prices, 20 of income, 3 trading costs, 7 other fees, 10 taxes.
    found = measures(
        [1_000, 1_050],
        {0: 1_000},
        income={1: 20},
        fees={1: 10},
        trading_costs={1: 3},
        taxes={1: 10},
    )
    assert [round(value, 12) for value in cumulative(found).values()] == [0.047, 0.067, 0.06, 0.05]


def test_what_was_paid_earns_nothing_later() -> None:
    found = measures([1_000, 990, 1_089], {0: 1_000}, fees={1: 10})
    assert found.gross.returns == pytest.approx([0, 0, 0.1], abs=1e-15)
    assert found.net.returns == pytest.approx([0, -0.01, 0.1], abs=1e-15)


@pytest.mark.parametrize("timing", ["start", "midday", "end"])
def test_what_is_added_back_is_no_flow_whatever_the_timing_of_flows(timing: FlowTiming) -> None:
    found = measures([1_000, 990], {0: 1_000}, {}, timing, fees={1: 10})
    assert found.gross.returns[1] == pytest.approx(0, abs=1e-15)


def test_an_unknown_fee_leaves_the_net_return_known() -> None:
    found = measures([1_000, 990, 1_089], {0: 1_000}, fees={1: np.nan})
    assert found.net.returns == pytest.approx([0, -0.01, 0.1])
    assert found.net_of_fees.returns == pytest.approx([0, -0.01, 0.1])
    np.testing.assert_allclose(found.gross.returns, [0, np.nan, 0.1], atol=1e-15)
    assert np.isnan(found.gross.index[1:]).all()
    assert found.gross.reasons[1]["daily_return"] == "income, fee or tax unknown"
    assert found.gross.reasons[2]["twr_index"] == "unknown since 2024-01-02: income, fee or tax unknown"
    assert found.net.reasons == [{}, {}, {}]


def test_an_unknown_flow_is_called_by_its_name_in_every_measure() -> None:
    found = measures([1_000, 990], {0: 1_000, 1: np.nan}, fees={1: np.nan})
    for name in NAMES:
        assert getattr(found, name).reasons[1]["daily_return"] == "flow unknown"


def test_a_fee_of_a_day_without_a_value_counts_on_the_next_known_day() -> None:
    found = measures([1_000, np.nan, 990], {0: 1_000}, fees={1: 10})
    np.testing.assert_allclose(found.gross.returns, [0, np.nan, 0], atol=1e-15)


MONEY = st.lists(st.floats(0, 20), min_size=6, max_size=6)
VALUES = st.lists(st.floats(500, 2_000), min_size=6, max_size=6)


@given(VALUES, MONEY, MONEY, MONEY, MONEY, st.floats(1e-3, 1e6))
def test_the_order_of_the_measures_and_their_indifference_to_the_unit(
    values: list[float],
    income: list[float],
    costs: list[float],
    other_fees: list[float],
    taxes: list[float],
    scale: float,
) -> None:
    def measured(unit: float) -> ReturnMeasures:
        def scaled(column: list[float]) -> dict[int, float]:
            return {place: unit * amount for place, amount in enumerate(column)}

        return measures(
            [unit * value for value in values],
            {0: unit * values[0]},
            income=scaled(income),
            fees=scaled([a + b for a, b in zip(costs, other_fees, strict=True)]),
            taxes=scaled(taxes),
            trading_costs=scaled(costs),
        )

    found, scaled = measured(1), measured(scale)
    for name in NAMES:
        ours, theirs = getattr(found, name), getattr(scaled, name)
        np.testing.assert_allclose(ours.returns, theirs.returns, atol=1e-9)
    assert (found.net.returns <= found.net_of_fees.returns + 1e-12).all()
    assert (found.net_of_fees.returns <= found.gross.returns + 1e-12).all()
    assert (found.price.returns <= found.gross.returns + 1e-12).all()
    own = time_weighted(
        np.datetime64("2024-01-01") + np.arange(6),
        np.ones(6, dtype=bool),
        np.array(values),
        np.array([values[0], 0, 0, 0, 0, 0]),
        np.zeros(6),
    )
    np.testing.assert_array_equal(found.net.returns, own.returns)

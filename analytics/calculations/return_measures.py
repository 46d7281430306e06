"""The return of a portfolio four times: of its prices alone, gross, net of fees, and net of taxes too."""

from dataclasses import dataclass

import numpy as np

from analytics.calculations.twr import Days, Flags, Floats, FlowTiming, TimeWeighted, time_weighted

_NO_FLOW, _NO_AMOUNT = "flow unknown", "income, fee or tax unknown"


@dataclass(frozen=True)
class ReturnMeasures:
    """Per calendar day, returns, index and reasons as in TimeWeighted; index - 1 is the cumulative return.

    price: without income, before all fees but trading costs and before taxes. gross: with income, before the
    same (GIPS 2020: gross-of-fees return, reduced by transaction costs). net_of_fees: after all fees, before
    taxes. net: after fees and taxes, the time-weighted return of the portfolio itself.
    """

    price: TimeWeighted
    gross: TimeWeighted
    net_of_fees: TimeWeighted
    net: TimeWeighted


def return_measures(
    timeline: Days,
    is_calendar: Flags,
    values: Floats,
    inflow: Floats,
    outflow: Floats,
    *,
    income: Floats,
    fees: Floats,
    taxes: Floats,
    trading_costs: Floats,
    inflow_timing: FlowTiming = "start",
    outflow_timing: FlowTiming = "end",
) -> ReturnMeasures:
    """Four time-weighted returns on the calendar days of a timeline.

    timeline ... outflow as in `time_weighted`, (T,). income, fees, taxes, trading_costs: (T,) in base
    currency on the day they were booked, already in `values`; fees and taxes net of refunds, positive when
    paid; trading_costs are the part of `fees` that buying and selling cost; NaN = unknown.

    What a measure leaves out is added back to the result of its day, r = (MVE + CFout + left out) /
    (MVB + CFin) - 1, on the capital that was really there: a fee once paid earns nothing any more, as if it
    had been withdrawn in the evening (Bacon 2008, chapter 2). An amount that is unknown makes the returns
    that leave it out unknown, with a reason, and never the others.
    """

    def measured(amounts: Floats) -> TimeWeighted:
        return time_weighted(
            timeline,
            is_calendar,
            values,
            inflow,
            outflow,
            inflow_timing=inflow_timing,
            outflow_timing=outflow_timing,
            added_back=amounts,
        )

    left_out = amounts_left_out(income=income, fees=fees, taxes=taxes, trading_costs=trading_costs)
    net = measured(left_out.pop("net"))
    return ReturnMeasures(
        **{name: _name_cause(measured(amounts), net) for name, amounts in left_out.items()}, net=net
    )


def amounts_left_out(
    *, income: Floats, fees: Floats, taxes: Floats, trading_costs: Floats
) -> dict[str, Floats]:
    """What each measure adds back to the result of a day; arguments as in `return_measures`, (T,)."""
    before_fees = taxes + fees - trading_costs
    return {
        "price": before_fees - income,
        "gross": before_fees,
        "net_of_fees": taxes,
        "net": np.zeros_like(taxes),
    }


def _name_cause(measure: TimeWeighted, net: TimeWeighted) -> TimeWeighted:
    """Where no flow is missing in the net return, it is an amount left out that is."""
    reasons = [
        {
            field: text if _NO_FLOW in known.get(field, "") else text.replace(_NO_FLOW, _NO_AMOUNT)
            for field, text in of_measure.items()
        }
        for of_measure, known in zip(measure.reasons, net.reasons, strict=True)
    ]
    return TimeWeighted(measure.returns, measure.index, reasons)

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.calculations.sale_lots import SoldLot, TaxRates
from analytics.calculations.sale_taxes import (
    above_gain_limit,
    beyond_budget,
    proposal_tax,
    realised_gain,
    sale_tax,
    soon_long_term,
)

DAY = date(2024, 6, 28)
RATES = TaxRates(short=Decimal("0.35"), long=Decimal("0.15"))


def sold(gain: int | None, held: int = 100) -> SoldLot:
    opened = DAY - timedelta(days=held)
    term = RATES.term(opened, DAY)
    known = None if gain is None else Decimal(gain)
    return SoldLot(
        lot=1,
        opened=opened,
        quantity=Decimal(10),
        cost=None if known is None else 1000 - known,
        proceeds=Decimal(1000),
        term=term,
        gain=known,
        tax=None if known is None else known * RATES.rate(term),
    )


def test_gains_by_term_and_the_tax_on_them() -> None:
    parts = [sold(200), sold(-80), sold(400, held=500)]
    assert realised_gain(parts) == 520
    assert (realised_gain(parts, "short"), realised_gain(parts, "long")) == (120, 400)
    assert sale_tax(parts) == 120 * Decimal("0.35") + 400 * Decimal("0.15")


def test_losses_of_one_sale_count_against_gains_of_another_but_are_no_refund() -> None:
    assert proposal_tax([[sold(200)], [sold(-80)]]) == 42
    assert proposal_tax([[sold(20)], [sold(-80)]]) == 0
    assert proposal_tax([]) == 0


def test_what_a_wash_sale_takes_away_does_not_count() -> None:
    loss = replace(sold(-80), disallowed=Decimal(80), tax=Decimal(0))
    assert realised_gain([loss]) == 0
    assert proposal_tax([[sold(200)], [loss]]) == 70


def test_unknown_costs_leave_the_tax_unknown() -> None:
    assert realised_gain([sold(200), sold(None)]) is None
    assert realised_gain([sold(200), sold(None)], "long") == 0
    assert proposal_tax([[sold(200)], [sold(None)]]) is None


@pytest.mark.parametrize(
    ("held", "within", "days"), [(360, 6, 6), (360, 5, None), (365, 1, 1), (366, 30, None)]
)
def test_gains_that_soon_turn_long_term(held: int, within: int, days: int | None) -> None:
    found = soon_long_term([sold(50, held), sold(-50, held), sold(None, held)], DAY, RATES, within)
    assert [(soon.days, soon.turns_on) for soon in found] == (
        [] if days is None else [(days, DAY + timedelta(days=days))]
    )
    assert soon_long_term([sold(50, 365)], DAY, RATES, 0) == []


def test_short_term_gains_above_the_limit() -> None:
    parts = [sold(100), sold(101), sold(500, held=400), sold(None)]
    assert above_gain_limit(parts, Decimal(100)) == [parts[1]]
    assert above_gain_limit(parts, None) == []


def test_the_budget_keeps_losses_and_the_smallest_gains() -> None:
    gains = {1: Decimal(500), 2: Decimal(100), 3: Decimal(-200), 4: Decimal(300)}
    assert beyond_budget(gains, Decimal(600), Decimal(1000)) == [1]
    assert beyond_budget(gains, Decimal(600), Decimal(500)) == [1, 4]
    assert beyond_budget(gains, Decimal(2000), Decimal(1000)) == [1, 2, 4]
    assert beyond_budget({}, Decimal(2000), Decimal(1000)) == []


@given(
    st.dictionaries(st.integers(1, 9), st.integers(-50, 50).map(Decimal)),
    st.integers(-50, 50),
    st.integers(0, 60),
)
def test_what_stays_is_within_the_budget_or_no_gain_at_all(
    gains: dict[int, Decimal], realised: int, budget: int
) -> None:
    left_out = beyond_budget(gains, Decimal(realised), Decimal(budget))
    kept = [gain for asset, gain in gains.items() if asset not in left_out]
    assert sum(kept, Decimal(realised)) <= budget or all(gain <= 0 for gain in kept)
    assert all(gains[asset] > 0 for asset in left_out)

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.calculations.bridge import BRIDGE_LINES, BridgeError, profit_bridge

NOTHING = dict.fromkeys(BRIDGE_LINES, Decimal(0))
MONEY = st.decimals("-1000000", "1000000", places=6)


def lines(**amounts: str | None) -> dict[str, Decimal | None]:
    return {**NOTHING, **{name: None if text is None else Decimal(text) for name, text in amounts.items()}}


def test_the_lines_add_up_with_what_rounding_left() -> None:
    amounts = lines(net_flow="1000.004", realized_pnl="0.004", income="0.004", fees="1.006", taxes="0.5")
    bridge = profit_bridge(Decimal(100), Decimal("1098.506"), amounts, days=1)
    assert bridge.lines == {
        "net_flow": Decimal("1000.00"),
        "realized_pnl": Decimal("0.00"),
        "unrealized_pnl": 0,
        "income": Decimal("0.00"),
        "fx_on_cash": 0,
        "fees": Decimal("1.01"),
        "taxes": Decimal("0.50"),
    }
    assert (bridge.opening, bridge.closing, bridge.rounding) == (100, Decimal("1098.51"), Decimal("0.02"))
    assert bridge.profit == Decimal("-1.49")


def test_a_line_that_does_not_add_up_is_no_rounding() -> None:
    with pytest.raises(BridgeError, match=r"the lines make 100\.02, the closing value is 100\.01"):
        profit_bridge(Decimal(100), Decimal("100.01"), lines(income="0.02"), days=1)


@pytest.mark.parametrize("name", BRIDGE_LINES)
def test_an_unknown_line_leaves_the_rounding_unknown_and_the_rest_as_it_is(name: str) -> None:
    bridge = profit_bridge(Decimal(100), Decimal(100), lines(**{name: None}), days=1)
    assert (bridge.lines[name], bridge.rounding) == (None, None)
    assert all(amount == 0 for line, amount in bridge.lines.items() if line != name)
    assert bridge.profit == (None if name == "net_flow" else 0)


def test_unknown_ends_are_said() -> None:
    bridge = profit_bridge(None, Decimal(100), lines(), days=1)
    assert (bridge.opening, bridge.rounding, bridge.profit) == (None, None, None)


def test_a_currency_without_cents_is_rounded_to_its_unit() -> None:
    bridge = profit_bridge(Decimal("100.4"), Decimal("100.9"), lines(income="0.5"), days=1, minor_units=0)
    assert (bridge.opening, bridge.closing, bridge.lines["income"], bridge.rounding) == (100, 101, 0, 1)


@given(MONEY, st.fixed_dictionaries(dict.fromkeys(BRIDGE_LINES, MONEY)))
def test_what_is_shown_adds_up_to_the_cent(opening: Decimal, amounts: dict[str, Decimal]) -> None:
    closing = opening + sum(sign * amounts[name] for name, sign in BRIDGE_LINES.items())
    bridge = profit_bridge(opening, closing, amounts, days=1)
    shown = [bridge.opening, bridge.rounding]
    shown += [sign * (bridge.lines[name] or Decimal(0)) for name, sign in BRIDGE_LINES.items()]
    assert sum(amount or 0 for amount in shown) == bridge.closing
    # Nine roundings of half a cent at most.
    assert bridge.rounding is not None
    assert abs(bridge.rounding) <= Decimal("0.045")


def test_large_amounts_may_be_off_by_what_float64_loses_and_by_no_cent() -> None:
    """A trillion has four digits after the point in float64, of the six that are stored."""
    opening, closing = Decimal("2000000000000.000244"), Decimal("2000000000001.500000")
    bridge = profit_bridge(opening, closing, lines(income="1.5"), days=1)
    assert (bridge.rounding, bridge.profit) == (0, Decimal("1.50"))
    with pytest.raises(BridgeError):
        profit_bridge(opening, closing, lines(income="1.48"), days=1)

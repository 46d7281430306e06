"""A proposal that breaks a rule at the last check is its portfolio's own problem."""

from collections.abc import Sequence

import pytest

from analytics.calculations.rebalancing import Line, Rules, Trade
from analytics.calculations.rebalancing_check import check_trades
from analytics.models import ProposalVersion, RebalancingEvent
from analytics.services import rebalancing_events
from analytics.services.rebalancing_events import ProposalOutcome, events_propose_if_due
from portfolios.models import Asset, AuditEvent, Portfolio
from tests.analytics.services.test_rebalancing_triggers import make_house, states
from tests.support import factories as make
from tests.support.imports import nothing_written

pytestmark = [pytest.mark.django_db, pytest.mark.once]


def make_houses() -> list[Portfolio]:
    """Three that are out of their bands, each with more cash than the one before."""
    portfolios = [make_house(code, mode="bands") for code in ("ONE", "TWO", "THREE")]
    for number, portfolio in enumerate(portfolios):
        make.make_transaction(portfolio, amount=100 * (number + 1), trade_date=make.DAY)
    assert Asset.objects.count() == 2
    return portfolios


def refuse(monkeypatch: pytest.MonkeyPatch, *numbers: int) -> None:
    """The last check finds the proposals of these houses short of cash."""
    cash = [2000 + 100 * (number + 1) for number in numbers]

    def check(lines: Sequence[Line], rules: Rules, trades: Sequence[Trade]) -> list[str]:
        found = check_trades(lines, rules, trades)
        return [*found, "cash is short", "and late"] if rules.cash in cash else found

    monkeypatch.setattr(rebalancing_events, "check_trades", check)


FAULT = ProposalOutcome(0, ["no proposal: cash is short; and late"])
STORED = ProposalOutcome(1)


@pytest.mark.parametrize("number", [0, 1, 2])
def test_one_that_fails_is_told_of_and_the_others_are_stored(
    number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    portfolios = make_houses()
    refuse(monkeypatch, number)
    outcomes = events_propose_if_due(make.make_run(stage="test"), states(*portfolios))
    assert outcomes == [FAULT if place == number else STORED for place in range(3)]
    sound = {portfolio.pk for place, portfolio in enumerate(portfolios) if place != number}
    assert set(RebalancingEvent.objects.values_list("portfolio", flat=True)) == sound
    assert set(ProposalVersion.objects.values_list("event__portfolio", flat=True)) == sound
    rows = AuditEvent.objects.filter(action="rebalancing.proposed")
    assert sorted(rows.values_list("portfolio", flat=True)) == sorted(sound)


def test_where_all_fail_nothing_is_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    portfolios = make_houses()
    refuse(monkeypatch, 0, 1, 2)
    run = make.make_run(stage="test")
    with nothing_written():
        assert events_propose_if_due(run, states(*portfolios)) == [FAULT] * 3

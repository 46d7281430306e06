"""Proposals for a whole book of portfolios: read, searched for and stored together, some hundred at a time.

The number of queries does not depend on how many portfolios are swept together. What one sweep is given may
be a part of the book: sweeps of different portfolios do not disturb each other, so that several workers can
share it.
"""

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from analytics.calculations.rebalancing_many import propose_many
from analytics.models import AnalyticsRun, EventType, ProposalGear
from analytics.selectors.portfolio_panels import PanelFault, portfolio_panels
from analytics.services.allocation_analysis import AllocationState, allocations_analyse
from analytics.services.rebalancing_events import ProposalFault, events_propose
from analytics.services.rebalancing_recommendation import (
    PolicyOverrides,
    Recommendation,
    recommendations_for,
)
from analytics.services.triggers import Trigger
from portfolio_site.kernel import clock
from portfolios.models import Portfolio
from portfolios.selectors.market_data import latest_trading_day
from portfolios.services.audit import Actor

# Panels of so many portfolios fit into a worker's memory, and more of them at once are not faster.
PORTFOLIOS_TOGETHER = 100


@dataclass
class SweepOutcome:
    """What became of the portfolios: pending events, and by code why there is none.

    `stored`: the ids of the events by portfolio id; where one was open already, it is that one. `left_alone`:
    portfolios that no trade brings closer to their targets.
    """

    stored: dict[int, int] = field(default_factory=dict)
    left_alone: list[str] = field(default_factory=list)
    problems: dict[str, list[str]] = field(default_factory=dict)


def proposals_sweep(
    portfolio_ids: Iterable[int],
    day: dt.date | None = None,
    *,
    trigger: Trigger | None = None,
    overrides: PolicyOverrides | None = None,
    gear: str = ProposalGear.FAST,
    actor: Actor = None,
    run: AnalyticsRun | None = None,
) -> SweepOutcome:
    """Propose to each portfolio what its policy asks for at the end of `day` (default: the last with prices).

    Every proposal is checked again before it is stored; one that fails is reported and keeps back no other.
    An event that is open already is joined by the trigger (default: manual). ValueError without any prices.
    """
    through = day or latest_trading_day(clock.today())
    if through is None:
        raise ValueError("there are no prices yet")
    trigger = trigger or Trigger(EventType.MANUAL, {"date": through.isoformat(), "sweep": True})
    outcome = SweepOutcome()
    ids = sorted(set(portfolio_ids))
    for start in range(0, len(ids), PORTFOLIOS_TOGETHER):
        states = _states(ids[start : start + PORTFOLIOS_TOGETHER], through, outcome)
        ready = []
        for found in recommendations_for(states, overrides, gear=gear, solve_many=propose_many):
            if found.is_storable:
                ready.append(found)
            elif found.status == "in_balance":
                outcome.left_alone.append(found.portfolio.code)
            else:
                outcome.problems[found.portfolio.code] = list(found.reasons)
        _store(ready, trigger, outcome, actor=actor, run=run)
    return outcome


def _states(portfolio_ids: Sequence[int], through: dt.date, outcome: SweepOutcome) -> list[AllocationState]:
    """Where the portfolios stand; those without books or days are reported."""
    portfolios = list(Portfolio.objects.filter(pk__in=portfolio_ids).order_by("pk"))
    panels = []
    unread = {portfolio.pk: portfolio.code for portfolio in portfolios}
    for panel in portfolio_panels(portfolios, through):
        del unread[panel.portfolio.pk]
        if isinstance(panel, PanelFault):
            outcome.problems[panel.portfolio.code] = [panel.reason]
        elif not len(panel.dates):
            reason = f"no trading day between the first transaction and {through}"
            outcome.problems[panel.portfolio.code] = [reason]
        else:
            panels.append(panel)
    for code in unread.values():
        outcome.problems[code] = [f"no settled transaction up to {through}"]
    return allocations_analyse(panels)


def _store(
    ready: Sequence[Recommendation],
    trigger: Trigger,
    outcome: SweepOutcome,
    *,
    actor: Actor,
    run: AnalyticsRun | None,
) -> None:
    """All in one transaction; where one breaks a rule, the others one by one."""
    try:
        events = events_propose([(found, [trigger]) for found in ready], actor=actor, run=run)
    except ProposalFault as fault:
        if len(ready) == 1:
            outcome.problems[ready[0].portfolio.code] = [str(fault)]
            return
        for found in ready:
            _store([found], trigger, outcome, actor=actor, run=run)
    else:
        outcome.stored |= {event.portfolio_id: event.pk for event in events}

"""Proposals for a whole book of portfolios: read, searched for and stored together, some hundred at a time.

The number of queries does not depend on how many portfolios are swept together. What one sweep is given may
be a part of the book: sweeps of different portfolios do not disturb each other, so that several workers can
share it.
"""

import datetime as dt
import gc
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from celery import current_app
from django.conf import settings

from analytics.calculations.rebalancing_many import propose_many
from analytics.models import AnalyticsRun, EventType, ProposalGear
from analytics.selectors.portfolio_panels import PanelFault, portfolio_standings
from analytics.services.allocation_analysis import AllocationState, allocations_analyse
from analytics.services.rebalancing_events import events_propose_sound
from analytics.services.rebalancing_recommendation import (
    PolicyOverrides,
    Recommendation,
    books_missing,
    recommendations_for,
)
from analytics.services.triggers import Trigger
from portfolio_site.kernel import clock
from portfolios.models import Portfolio
from portfolios.selectors.market_data import latest_trading_day
from portfolios.services.audit import Actor

# Proposals of so many portfolios fit into a worker's memory, and more of them at once are not faster.
PORTFOLIOS_TOGETHER = 100
SWEEP_TASK = "analytics.sweep_proposals"


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
    show: Callable[[Recommendation], None] | None = None,
) -> SweepOutcome:
    """Propose to each portfolio what its policy asks for at the end of `day` (default: the last with prices).

    Every proposal is checked again before it is stored; one that fails is reported and keeps back no other.
    An event that is open already is joined by the trigger (default: manual). `show` is given what was found
    for each portfolio, before it is stored. ValueError without any prices.
    """
    through = day or latest_trading_day(clock.today())
    if through is None:
        raise ValueError("there are no prices yet")
    trigger = trigger or Trigger(EventType.MANUAL, {"date": through.isoformat(), "sweep": True})
    outcome = SweepOutcome()
    ids = sorted(set(portfolio_ids))
    for start in range(0, len(ids), PORTFOLIOS_TOGETHER):
        with _collector_paused():
            states, blocked = _states(ids[start : start + PORTFOLIOS_TOGETHER], through)
            ready = []
            solved = recommendations_for(states, overrides, gear=gear, solve_many=propose_many)
            for found in [*blocked, *solved]:
                if show is not None:
                    show(found)
                if found.is_storable:
                    ready.append(found)
                elif found.status == "in_balance":
                    outcome.left_alone.append(found.portfolio.code)
                else:
                    outcome.problems[found.portfolio.code] = list(found.reasons)
            _store(ready, trigger, outcome, actor=actor, run=run)
    return outcome


def sweep_send(portfolio_ids: Iterable[int], day: dt.date | None = None) -> int:
    """Have the workers sweep the portfolios, a chunk a message; returns how many messages were sent."""
    ids = sorted(set(portfolio_ids))
    through = day.isoformat() if day else None
    chunks = [ids[start : start + PORTFOLIOS_TOGETHER] for start in range(0, len(ids), PORTFOLIOS_TOGETHER)]
    for chunk in chunks:
        current_app.send_task(SWEEP_TASK, [chunk, through], queue=settings.COMPUTE_QUEUE)
    return len(chunks)


@contextmanager
def _collector_paused() -> Iterator[None]:
    """Proposals are large and hold no cycles; looking for some among them takes an eighth of the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _states(
    portfolio_ids: Sequence[int], through: dt.date
) -> tuple[list[AllocationState], list[Recommendation]]:
    """Where the portfolios stand; those without books or days are blocked."""
    portfolios = {p.pk: p for p in Portfolio.objects.filter(pk__in=portfolio_ids).order_by("pk")}
    faults = dict.fromkeys(portfolios, f"no settled transaction up to {through}")
    standings = []
    for standing in portfolio_standings(portfolios.values(), through):
        if isinstance(standing, PanelFault):
            faults[standing.portfolio.pk] = standing.reason
        else:
            del faults[standing.portfolio.pk]
            standings.append(standing)
    return allocations_analyse(standings, through), [
        books_missing(portfolios[portfolio_id], through, reason) for portfolio_id, reason in faults.items()
    ]


def _store(
    ready: Sequence[Recommendation],
    trigger: Trigger,
    outcome: SweepOutcome,
    *,
    actor: Actor,
    run: AnalyticsRun | None,
) -> None:
    events, faults = events_propose_sound([(found, [trigger]) for found in ready], actor=actor, run=run)
    outcome.stored |= {event.portfolio_id: event.pk for event in events}
    codes = {found.portfolio.pk: found.portfolio.code for found in ready}
    outcome.problems |= {codes[portfolio_id]: [str(fault)] for portfolio_id, fault in faults.items()}

"""What if: sets of options side by side on one snapshot of a portfolio. Nothing is stored by asking."""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Any

from django.core.exceptions import PermissionDenied, ValidationError

from analytics.models import EventType, ProposalGear, RebalanceMode, RebalancingEvent, RebalancingPolicy
from analytics.services.allocation_analysis import AllocationState
from analytics.services.policies import PERCENTAGES, RATES, SHARES
from analytics.services.rebalancing_events import Trigger, event_propose
from analytics.services.rebalancing_recommendation import (
    Number,
    PolicyOverrides,
    Recommendation,
    portfolio_state,
    recommendation_for,
)
from portfolio_site.kernel.canonical import decimal_text, sha256_of
from portfolios.models import Portfolio, PortfolioRole
from portfolios.selectors.visibility import has_role
from portfolios.services.audit import Actor

MOST_SCENARIOS = 20
FIGURES = ("drift_before", "drift_after", "tracking_distance", "turnover", "cost", "tax", "cash_after")


class WhatIfError(ValueError):
    """Scenarios that cannot be compared, with the reason for the person who asked."""


@dataclass(frozen=True)
class Scenario:
    """A name and the options it stands for."""

    name: str
    overrides: PolicyOverrides


@dataclass(frozen=True)
class Comparison:
    """What each scenario would lead to. `state`: the snapshot they share; None where there is none."""

    portfolio: Portfolio
    day: dt.date | None
    state: AllocationState | None
    scenarios: tuple[Scenario, ...]
    found: tuple[Recommendation, ...]

    @property
    def snapshot(self) -> str | None:
        """A hash of what the scenarios have in common."""
        if self.state is None:
            return None
        lines = [(line.asset.pk, line.quantity, line.price, line.target) for line in self.state.lines]
        return sha256_of([self.portfolio.pk, self.state.day, self.state.cash, lines])

    def as_json(self, number: Number = str) -> dict[str, Any]:
        def figure(text: str | None) -> Any:
            return None if text is None else number(Decimal(text))

        return {
            "portfolio": self.portfolio.code,
            "date": self.day.isoformat() if self.day else None,
            "snapshot": self.snapshot,
            "scenarios": [
                {
                    "name": scenario.name,
                    "options": scenario_options(scenario.overrides),
                    "status": found.status,
                    "mode": found.mode,
                    "trades": len(found.trades),
                    **{name: figure(found.document.get(name)) for name in FIGURES},
                    "reasons": list(found.reasons),
                    "warnings": found.warnings,
                }
                for scenario, found in zip(self.scenarios, self.found, strict=True)
            ],
        }


def scenario_options(overrides: PolicyOverrides) -> dict[str, str]:
    """The options that are set, as text."""
    given = {name: value for name, value in asdict(overrides).items() if value is not None}
    return {name: decimal_text(x) if isinstance(x, Decimal) else str(x) for name, x in sorted(given.items())}


def what_if_compare(
    portfolio: Portfolio,
    scenarios: Sequence[Scenario],
    day: dt.date | None = None,
    *,
    gear: str = ProposalGear.FAST,
) -> Comparison:
    """The best trades of each scenario for the portfolio at the end of `day` (default: the latest one).

    Raises WhatIfError for no scenario, for more than MOST_SCENARIOS, for two of one name and for options that
    no policy could have.
    """
    names = [scenario.name for scenario in scenarios]
    if not 1 <= len(names) <= MOST_SCENARIOS:
        raise WhatIfError(f"scenarios: {len(names)} given, from 1 to {MOST_SCENARIOS} can be compared.")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise WhatIfError(f"scenarios: {', '.join(twice)} is there more than once.")
    for scenario in scenarios:
        _scenario_check(scenario)
    state = portfolio_state(portfolio, day)
    if isinstance(state, Recommendation):
        return Comparison(portfolio, state.day, None, tuple(scenarios), (state,) * len(names))
    found = tuple(recommendation_for(state, scenario.overrides, gear=gear) for scenario in scenarios)
    return Comparison(portfolio, state.day, state, tuple(scenarios), found)


def _scenario_check(scenario: Scenario) -> None:
    """The options against what a policy may be. Raises WhatIfError with every fault."""
    given = {name: value for name, value in asdict(scenario.overrides).items() if value is not None}
    amount, mode = given.pop("raise_amount", None), given.get("mode")
    faults = {}
    if amount is not None and mode not in (None, RebalanceMode.RAISE_CASH):
        faults["raise_amount"] = f"goes with mode {RebalanceMode.RAISE_CASH} only"
    if amount is None and mode == RebalanceMode.RAISE_CASH:
        faults["mode"] = f"{mode} needs a raise_amount"
    for names, is_inside, rule in (
        (RATES, lambda value: value < 1, "must be below 1"),
        (SHARES, lambda value: value <= 1, "must be at most 1"),
        (PERCENTAGES, lambda value: value <= 100, "must be at most 100"),
    ):
        faults |= {
            name: f"{given[name]:f}: {rule}" for name in names if name in given and not is_inside(given[name])
        }
    try:
        RebalancingPolicy(**given).clean_fields(
            exclude={column.name for column in RebalancingPolicy._meta.fields} - given.keys()
        )
    except ValidationError as error:
        faults = {name: " ".join(texts) for name, texts in error.message_dict.items()} | faults
    if faults:
        found = "; ".join(f"{name}: {text}" for name, text in sorted(faults.items()))
        raise WhatIfError(f"{scenario.name}: {found}")


def what_if_promote(comparison: Comparison, name: str, *, actor: Actor = None) -> RebalancingEvent:
    """Propose one scenario: its best trades are found exactly, on the same snapshot, and stored.

    Raises WhatIfError where it cannot be proposed, and PermissionDenied.
    """
    if actor is not None and not has_role(actor, comparison.portfolio, PortfolioRole.MAKER):
        raise PermissionDenied(
            f"{actor.get_username() or 'nobody'} may not propose trades for this portfolio"
        )
    chosen: Mapping[str, Scenario] = {scenario.name: scenario for scenario in comparison.scenarios}
    if name not in chosen:
        raise WhatIfError(f"scenarios: there is no {name}.")
    if comparison.state is None:
        raise WhatIfError(f"{name}: {'; '.join(comparison.found[0].reasons)}")
    overrides = chosen[name].overrides
    recommendation = recommendation_for(comparison.state, overrides, gear=ProposalGear.EXACT)
    if not recommendation.is_storable:
        raise WhatIfError(f"{name}: {recommendation.status}: {'; '.join(recommendation.reasons)}")
    evidence = {"what_if": name, "options": scenario_options(overrides), "snapshot": comparison.snapshot}
    return event_propose(recommendation, Trigger(EventType.MANUAL, evidence), actor=actor)

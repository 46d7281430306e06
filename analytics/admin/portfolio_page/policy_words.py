"""A rebalancing policy and the restrictions in force, said in words."""

from collections.abc import Iterator
from decimal import Decimal

from analytics.models import RebalancingPolicy, TradingRestriction
from analytics.models.policies import BandDestination
from analytics.models.restrictions import RestrictionKind, RestrictionUnit
from portfolio_site.kernel.admin.figures import digits

Rule = tuple[str, str]

UNITS = {RestrictionUnit.PERCENT: "% of the portfolio", RestrictionUnit.UNITS: "units"}


def policy_in_words(policy: RebalancingPolicy, currency: str) -> list[Rule]:
    """What it is about, and the rule; a limit that is not set is left out."""
    return [
        *_way(policy),
        *_cash(policy, currency),
        *_trades(policy, currency),
        *_costs(policy, currency),
        *_taxes(policy, currency),
        *_decisions(policy, currency),
    ]


def _way(policy: RebalancingPolicy) -> Iterator[Rule]:
    yield "Mode", policy.get_mode_display()
    destination = policy.get_band_destination_display()
    if policy.band_destination == BandDestination.INNER:
        destination += f", {_percent(policy.inner_band_fraction)} of the band kept"
    yield "A line outside its band goes to", destination
    if policy.cool_off_days:
        yield "Cool-off", f"{policy.cool_off_days} days after a rebalancing"


def _cash(policy: RebalancingPolicy, currency: str) -> Iterator[Rule]:
    yield "Cash target", f"{_number(policy.cash_target_percentage)}%"
    yield from _larger("Cash reserve", policy.cash_reserve, policy.cash_reserve_percentage, currency)


def _trades(policy: RebalancingPolicy, currency: str) -> Iterator[Rule]:
    yield from _larger("Smallest trade", policy.minimum_trade, policy.minimum_trade_percentage, currency)
    if policy.turnover_cap is not None:
        yield "Largest turnover", f"{_percent(policy.turnover_cap)} of the value"
    yield "Venue", policy.get_venue_display()


def _costs(policy: RebalancingPolicy, currency: str) -> Iterator[Rule]:
    parts = [
        (policy.fee_per_trade, f"{_number(policy.fee_per_trade)} {currency} a trade"),
        (policy.cost_rate, f"commission {_percent(policy.cost_rate)}"),
        (policy.spread_rate, f"half spread {_percent(policy.spread_rate)}"),
        (policy.fx_cost_rate, f"{_percent(policy.fx_cost_rate)} for another currency"),
        (policy.impact_coefficient, f"market impact {_number(policy.impact_coefficient)}"),
    ]
    yield "Assumed costs", ", ".join(words for value, words in parts if value) or "none"
    if policy.cost_limit is not None:
        yield "Largest cost and tax", f"{_percent(policy.cost_limit)} of the value"
    if policy.cost_per_drift is not None:
        yield "Benefit test", f"at most {_percent(policy.cost_per_drift)} for each unit of drift removed"


def _taxes(policy: RebalancingPolicy, currency: str) -> Iterator[Rule]:
    yield "Lots of a sale", policy.get_lot_method_display()
    short, long = _percent(policy.short_term_tax_rate), _percent(policy.long_term_tax_rate)
    yield "Tax on gains", f"{short}, after {policy.long_term_days} days {long}"
    if policy.short_term_gain_limit is not None:
        yield "Largest short-term gain of a lot", f"{_number(policy.short_term_gain_limit)} {currency}"
    if policy.yearly_gain_budget is not None:
        yield "Largest realized gain of a year", f"{_number(policy.yearly_gain_budget)} {currency}"
    yield "Wash sales", policy.get_wash_sale_mode_display()


def _decisions(policy: RebalancingPolicy, currency: str) -> Iterator[Rule]:
    needed = f"{policy.approvals_needed}"
    if policy.large_trade_value is not None:
        large = f"{_number(policy.large_trade_value)} {currency}"
        needed += f"; {policy.approvals_needed_when_large} above {large} traded"
    yield "Approvals needed", needed
    if policy.automatic_approval:
        turnover, value = _percent(policy.automatic_turnover_cap), _number(policy.automatic_value_cap)
        yield "Approved without a person", f"up to {turnover} turnover and {value} {currency} traded"
    yield "A proposal expires after", f"{policy.expiry_hours} hours"
    if policy.price_move_limit is not None:
        yield "or when a traded price moves by more than", _percent(policy.price_move_limit)
    if policy.two_person_changes:
        yield "Changes of targets, policy, restrictions and benchmarks", "need a second person"


def _larger(label: str, amount: Decimal, percentage: Decimal, currency: str) -> Iterator[Rule]:
    """The larger of an amount and a share of the value holds."""
    parts = [f"{_number(amount)} {currency}"] if amount else []
    parts += [f"{_number(percentage)}% of the value"] if percentage else []
    yield label, (" or ".join(parts) + (", the larger" if len(parts) > 1 else "")) if parts else "none"


def subject_in_words(restriction: TradingRestriction) -> str:
    if restriction.asset is not None:
        return restriction.asset.symbol
    if restriction.issuer:
        return f"issuer {restriction.issuer}"
    return f"sector {restriction.sector}" if restriction.sector else "every asset"


def rule_in_words(restriction: TradingRestriction, currency: str) -> str:
    words = restriction.get_kind_display()
    if restriction.kind != RestrictionKind.RANGE:
        return words
    unit = UNITS.get(RestrictionUnit(restriction.unit), currency)
    ends = [
        f"{label} {_number(value)}"
        for label, value in (("at least", restriction.minimum), ("at most", restriction.maximum))
        if value is not None
    ]
    return f"Hold {' and '.join(ends)} {unit}"


def _percent(fraction: Decimal) -> str:
    return f"{_number(fraction * 100)}%"


def _number(value: Decimal) -> str:
    return digits(value, 6, least_places=0)

"""Rebalancing recommendation: the best whole-lot trades for one portfolio, or why there are none.

Nothing is stored here. `rebalancing_events` stores what is to be approved.
"""

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass, fields
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

from django.conf import settings

from analytics.calculations.drift import band_destination
from analytics.calculations.rebalancing import Line, Outcome, Proposal, Rules, Trade, propose
from analytics.models import RebalanceMode, RebalancingPolicy
from analytics.selectors.portfolio_panels import PanelFault, portfolio_panels
from analytics.services.allocation_analysis import AllocationLine, AllocationState, allocation_analyse
from portfolio_site.kernel import clock
from portfolio_site.kernel.canonical import decimal_text
from portfolios.models import Portfolio
from portfolios.selectors.market_data import latest_trading_day

PERCENT = Decimal(100)
CENT = Decimal("0.01")
RATIO_PLACES = Decimal("0.00000001")
Number = Callable[[Decimal], Any]


@dataclass(frozen=True)
class PolicyOverrides:
    """Options of one proposal that take the place of the portfolio's policy; None leaves the policy's."""

    mode: str | None = None
    raise_amount: Decimal | None = None
    minimum_trade: Decimal | None = None
    cash_reserve: Decimal | None = None
    fee_per_trade: Decimal | None = None
    cost_rate: Decimal | None = None


@dataclass(frozen=True)
class Recommendation:
    """What is recommended for one portfolio on one day. status: ready, in_balance or blocked."""

    portfolio: Portfolio
    day: dt.date | None
    status: str
    mode: str
    state: AllocationState | None = None
    rules: Rules | None = None
    proposal: Proposal | None = None
    reasons: tuple[str, ...] = ()

    @property
    def trades(self) -> tuple[Trade, ...]:
        return tuple(self.proposal.trades) if self.proposal else ()

    @property
    def outcomes(self) -> tuple[Outcome, ...]:
        return tuple(self.proposal.outcomes) if self.proposal else ()

    def as_json(self, number: Number = str) -> dict[str, Any]:
        """The published form; `number` says how numbers are written (text, or float for the command line)."""

        def money(value: Decimal | None) -> Any:
            return None if value is None else number(value.quantize(CENT, rounding=ROUND_HALF_EVEN))

        def ratio(value: Decimal | None) -> Any:
            return None if value is None else number(value.quantize(RATIO_PLACES, rounding=ROUND_HALF_EVEN))

        def plain(value: Decimal) -> Any:
            return number(Decimal(decimal_text(value)))

        found = self.proposal
        reason_of = {outcome.symbol: outcome.reason for outcome in self.outcomes}
        return {
            "portfolio": self.portfolio.code,
            "date": self.day.isoformat() if self.day else None,
            "status": self.status,
            "mode": self.mode,
            "value": money(self.state.value if self.state else None),
            "cash_before": money(self.state.cash if self.state else None),
            "cash_after": money(found.cash_after if found else None),
            "tracking_distance": ratio(found.tracking_distance_after if found else None),
            "turnover": ratio(found.turnover if found else None),
            "drift_before": ratio(self.state.drift if self.state else None),
            "drift_after": ratio(found.drift_after if found else None),
            "estimated_cost": money(found.cost if found else None),
            "actions": [
                {
                    "symbol": trade.symbol,
                    "side": trade.side,
                    "quantity": plain(trade.quantity),
                    "price": plain(trade.price),
                    "amount": money(trade.amount),
                    "cost": money(trade.cost),
                    "reason": reason_of[trade.symbol],
                }
                for trade in self.trades
            ],
            "skipped": [
                {"symbol": outcome.symbol, "reason": outcome.reason}
                for outcome in self.outcomes
                if outcome.trade is None
            ],
            "reasons": list(self.reasons),
        }


def rebalancing_recommend(
    portfolio: Portfolio, day: dt.date | None = None, overrides: PolicyOverrides | None = None
) -> Recommendation:
    """Value the portfolio at the end of `day` (default: the latest trading day) and find its best trades."""
    through = day or latest_trading_day(clock.today())
    mode = (overrides.mode if overrides else None) or _mode(portfolio)
    if through is None:
        return Recommendation(portfolio, None, "blocked", mode, reasons=("there are no prices yet",))
    panel = next(portfolio_panels([portfolio], through), None)
    if panel is None:
        reason = f"no settled transaction up to {through}"
        return Recommendation(portfolio, through, "blocked", mode, reasons=(reason,))
    if isinstance(panel, PanelFault):
        return Recommendation(portfolio, through, "blocked", mode, reasons=(panel.reason,))
    if not len(panel.dates):
        reason = f"no trading day between the first transaction and {through}"
        return Recommendation(portfolio, through, "blocked", mode, reasons=(reason,))
    return recommendation_for(allocation_analyse(panel), overrides)


def recommendation_for(state: AllocationState, overrides: PolicyOverrides | None = None) -> Recommendation:
    """The best trades for a portfolio that has been analysed already."""
    policy = _with_overrides(state.policy, overrides)
    blocking = _blocking_reasons(state)
    if blocking:
        return Recommendation(
            state.portfolio, state.day, "blocked", policy.mode, state, reasons=tuple(blocking)
        )
    rules = Rules(
        cash=state.cash or Decimal(0),
        reserve=policy.cash_reserve,
        minimum_trade=policy.minimum_trade,
        fee_per_trade=policy.fee_per_trade,
        cost_rate=policy.cost_rate,
        mode=policy.mode,  # type: ignore[arg-type]
        raise_amount=(overrides.raise_amount if overrides else None) or Decimal(0),
        turnover_cap=policy.turnover_cap,
    )
    names = _names(state)
    proposal = propose([_rebalancing_line(line, names, policy) for line in state.lines], rules)
    status = "blocked" if proposal.status == "infeasible" else proposal.status
    return Recommendation(
        state.portfolio, state.day, status, policy.mode, state, rules, proposal, tuple(proposal.reasons)
    )


def _mode(portfolio: Portfolio) -> str:
    stored = RebalancingPolicy.objects.filter(portfolio=portfolio).values_list("mode", flat=True).first()
    return stored or RebalanceMode.BANDS


def _with_overrides(policy: RebalancingPolicy, overrides: PolicyOverrides | None) -> RebalancingPolicy:
    """A copy that is never saved."""
    changed = RebalancingPolicy(
        **{field.attname: getattr(policy, field.attname) for field in policy._meta.fields}
    )
    for option in fields(overrides) if overrides else ():
        value = getattr(overrides, option.name)
        if value is not None and option.name != "raise_amount":
            setattr(changed, option.name, value)
    return changed


def _blocking_reasons(state: AllocationState) -> list[str]:
    reasons = list(state.reasons)
    if not state.has_targets:
        reasons.append("the portfolio has no targets")
    for line in state.lines:
        if line.price is None:
            if not any(reason.startswith(f"{line.asset.symbol}:") for reason in reasons):
                reasons.append(f"{line.asset.symbol}: no price in {state.portfolio.base_currency_id}")
        elif line.price_age is not None and line.price_age > settings.PRICE_STALE_DAYS:
            reasons.append(f"{line.asset.symbol}: the price is {line.price_age} days old")
    return reasons


def _names(state: AllocationState) -> dict[int, str]:
    """Symbols, with the exchange where two lines share one."""
    symbols = [line.asset.symbol for line in state.lines]
    return {
        line.asset.pk: line.asset.symbol
        if symbols.count(line.asset.symbol) == 1
        else f"{line.asset.symbol}.{line.asset.exchange}"
        for line in state.lines
    }


def _rebalancing_line(line: AllocationLine, names: dict[int, str], policy: RebalancingPolicy) -> Line:
    weight, drift = line.weight, line.drift
    if line.price is None or weight is None or drift is None:
        raise ValueError(f"{line.asset.symbol}: an unpriced line cannot be rebalanced")
    # Where the mode cannot bring a line back inside its limits, it may stay where it is, but not go further.
    stuck_above = policy.mode == RebalanceMode.INVEST_CASH and weight > line.band.maximum
    stuck_below = policy.mode == RebalanceMode.RAISE_CASH and weight < line.band.minimum
    return Line(
        symbol=names[line.asset.pk],
        quantity=line.quantity,
        price=line.price,
        lot=line.asset.lot_size,
        target=line.target / PERCENT,
        minimum=line.band.minimum / PERCENT if line.allocation and not stuck_below else None,
        maximum=line.band.maximum / PERCENT if line.allocation and not stuck_above else None,
        may_buy=not stuck_above,
        may_sell=not stuck_below,
        breached=drift.breached,
        destination=band_destination(weight, line.band, policy.band_destination) / PERCENT,  # type: ignore[arg-type]
    )

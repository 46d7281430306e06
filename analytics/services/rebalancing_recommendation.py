"""Rebalancing recommendation: the best whole-lot trades for one portfolio, or why there are none.

Nothing is stored here. `rebalancing_events` stores what is to be approved.
"""

import datetime as dt
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from decimal import ROUND_CEILING, ROUND_HALF_EVEN, Decimal, localcontext
from functools import cached_property
from math import sqrt
from typing import Any, cast

from django.conf import settings

from analytics.calculations.cash_ladder import settlement_day
from analytics.calculations.constants import ENGINE_VERSION
from analytics.calculations.drift import Destination, band_destination
from analytics.calculations.rebalancing import Gear, Line, Mode, Outcome, Proposal, Rules, Trade, propose
from analytics.models import (
    CashReserve,
    MinimumTrade,
    ProposalGear,
    RebalanceMode,
    RebalancingPolicy,
    TradingRestriction,
)
from analytics.selectors.portfolio_panels import PanelFault, portfolio_standings
from analytics.services import proposal_documents as documents
from analytics.services.allocation_analysis import (
    WORKING_DIGITS,
    AllocationLine,
    AllocationState,
    allocation_analyse,
    decision_day,
)
from analytics.services.tax_review import TaxedTrade, TaxReview, tax_reviews
from analytics.services.trading_limits import (
    LineLimits,
    contradictions,
    freed_by_groups,
    groups_of,
    limits_of,
)
from portfolio_site.kernel import clock
from portfolio_site.kernel.canonical import WrittenDocument, canonical_json, decimal_text
from portfolios.models import Portfolio
from portfolios.selectors.market_data import latest_trading_day

PERCENT = Decimal(100)
NOTHING = Decimal(0)
CENT = Decimal("0.01")
RATIO_PLACES = Decimal("0.00000001")
IMPACT_DIGITS = Decimal("1e-24")
# Lines without a usable price are held; more of the value than this share of it, and nothing is proposed.
PRICE_GUARD_SHARE_PERCENTAGE = Decimal(5)
# A price older than this part of the age at which it is stale is worth a look.
NEARLY_STALE = 0.5
STORABLE = ("ready", "needs_review")
UNPUBLISHED_FIELDS = {"id", "portfolio"}
Number = Callable[[Decimal], Any]
Solver = Callable[[Sequence[tuple[Sequence[Line], Rules]]], list[Proposal]]


@dataclass(frozen=True)
class PolicyOverrides:
    """Options of one proposal that take the place of the portfolio's policy; None leaves the policy's."""

    mode: str | None = None
    raise_amount: Decimal | None = None
    minimum_trade: Decimal | None = None
    cash_reserve: Decimal | None = None
    fee_per_trade: Decimal | None = None
    cost_rate: Decimal | None = None
    minimum_trade_percentage: Decimal | None = None
    cash_reserve_percentage: Decimal | None = None
    band_destination: str | None = None
    inner_band_fraction: Decimal | None = None
    improvement_share: Decimal | None = None
    turnover_cap: Decimal | None = None
    spread_rate: Decimal | None = None
    impact_coefficient: Decimal | None = None
    fx_cost_rate: Decimal | None = None
    cost_limit: Decimal | None = None
    cost_per_drift: Decimal | None = None
    lot_method: str | None = None
    wash_sale_mode: str | None = None
    short_term_tax_rate: Decimal | None = None
    long_term_tax_rate: Decimal | None = None


@dataclass(frozen=True)
class Recommendation:
    """What is recommended for one portfolio on one day.

    status: ready, needs_review (ready, but with warnings), in_balance or blocked. `inputs`, `document`: the
    same as plain documents, of which the second follows from the first.
    """

    portfolio: Portfolio
    day: dt.date | None
    status: str
    mode: str
    state: AllocationState | None = None
    rules: Rules | None = None
    proposal: Proposal | None = None
    reasons: tuple[str, ...] = ()
    codes: tuple[str, ...] = ()
    inputs: dict[str, Any] = field(default_factory=dict)
    document: dict[str, Any] = field(default_factory=dict)
    assets: Mapping[str, int] = field(default_factory=dict)

    @property
    def is_storable(self) -> bool:
        return self.status in STORABLE

    @property
    def trades(self) -> tuple[Trade, ...]:
        return tuple(self.proposal.trades) if self.proposal else ()

    @property
    def outcomes(self) -> tuple[Outcome, ...]:
        return tuple(self.proposal.outcomes) if self.proposal else ()

    @property
    def warnings(self) -> list[str]:
        return list(self.document.get("warnings", []))

    @property
    def tax(self) -> Decimal | None:
        """None where it is unknown, or nothing is proposed."""
        tax = self.document.get("tax")
        return None if tax is None else Decimal(tax)

    @cached_property
    def written(self) -> tuple[WrittenDocument, WrittenDocument]:
        """`inputs` and `document` in canonical form."""
        return WrittenDocument(canonical_json(self.inputs)), WrittenDocument(canonical_json(self.document))

    @cached_property
    def proposal_hash(self) -> str:
        """Over everything that was decided on and the decision itself."""
        if not self.document:
            raise ValueError("a recommendation without a proposal has no hash")
        return documents.written_hash(*self.written)

    def as_json(self, number: Number = str) -> dict[str, Any]:
        """The published form; `number` says how numbers are written (text, or float for the command line)."""

        def money(value: Decimal | None) -> Any:
            return None if value is None else number(value.quantize(CENT, rounding=ROUND_HALF_EVEN))

        def ratio(value: Decimal | None) -> Any:
            return None if value is None else number(value.quantize(RATIO_PLACES, rounding=ROUND_HALF_EVEN))

        def plain(value: Decimal) -> Any:
            return number(Decimal(decimal_text(value)))

        found = self.proposal
        outcomes = {outcome["asset"]: outcome for outcome in self.document.get("outcomes", [])}
        reason_of = {name: outcomes[asset]["reason"] for name, asset in self.assets.items()}
        skipped = [(o.symbol, reason_of[o.symbol]) for o in self.outcomes if o.trade is None]
        skipped += [(o["symbol"], o["reason"]) for o in self.inputs.get("left_out", [])]
        if found is None and self.state is not None:
            skipped = _refused_lines(self.state, self.reasons)
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
            "projected_cash": self._projected_cash(money),
            "estimated_cost": money(found.cost if found else None),
            "estimated_tax": money(self.tax),
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
            "skipped": [{"symbol": symbol, "reason": reason} for symbol, reason in skipped],
            "reasons": list(self.reasons),
            "reason_codes": list(self.codes),
            "warnings": self.warnings,
        }

    def _projected_cash(self, money: Callable[[Decimal | None], Any]) -> list[dict[str, Any]] | None:
        """None where it is unknown, or nothing can be proposed."""
        ladder = self.document.get("projected_cash")
        if ladder is None:
            return None
        amounts = ("cash", "reserve", "change")
        return [rung | {name: money(Decimal(rung[name])) for name in amounts} for rung in ladder]


def rebalancing_recommend(
    portfolio: Portfolio,
    day: dt.date | None = None,
    overrides: PolicyOverrides | None = None,
    gear: str = ProposalGear.EXACT,
) -> Recommendation:
    """Value the portfolio at the end of `day` (default: the latest trading day) and find its best trades."""
    found = portfolio_state(portfolio, day)
    if isinstance(found, AllocationState):
        return recommendation_for(found, overrides, gear=gear)
    mode = (overrides.mode if overrides else None) or _mode(portfolio)
    return replace(found, mode=mode)


def portfolio_state(portfolio: Portfolio, day: dt.date | None = None) -> AllocationState | Recommendation:
    """The portfolio at the end of `day` (default: the latest trading day); or a blocked recommendation."""
    through = day or latest_trading_day(clock.today())
    if through is None:
        missing = books_missing(portfolio, None, "there are no prices yet")
        return replace(missing, codes=(documents.NO_PRICES,))
    standing = next(portfolio_standings([portfolio], through), None)
    if standing is None:
        return books_missing(portfolio, through, f"no settled transaction up to {through}")
    if isinstance(standing, PanelFault):
        return books_missing(portfolio, through, standing.reason)
    return allocation_analyse(standing, through)


def books_missing(portfolio: Portfolio, day: dt.date | None, reason: str) -> Recommendation:
    """Blocked, as there is nothing to start from."""
    return Recommendation(
        portfolio, day, "blocked", RebalanceMode.BANDS, reasons=(reason,), codes=(documents.NO_BOOKS,)
    )


def recommendation_for(
    state: AllocationState, overrides: PolicyOverrides | None = None, *, gear: str = ProposalGear.EXACT
) -> Recommendation:
    """The best trades for a portfolio that has been analysed already."""
    return recommendations_for([state], overrides, gear=gear)[0]


def recommendations_for(
    states: Sequence[AllocationState],
    overrides: PolicyOverrides | None = None,
    *,
    gear: str = ProposalGear.EXACT,
    solve_many: Solver | None = None,
) -> list[Recommendation]:
    """The best trades for each of several portfolios. `solve_many` solves them together."""
    cases = [
        ProposalCase(state, _with_overrides(state.policy, overrides), overrides, gear) for state in states
    ]
    waiting = [case for case in cases if not case.refusal]
    while waiting:
        solved = (solve_many or _solve_each)([case.problem() for case in waiting])
        answered = list(zip(waiting, solved, strict=True))
        reviews = _reviews(answered)
        waiting = [case for case, found in answered if not case.accept(found, reviews[id(case)])]
    return [case.recommendation() for case in cases]


def _reviews(answered: Sequence[tuple["ProposalCase", Proposal]]) -> dict[int, TaxReview]:
    """What the tax rules say of each proposal; those of one day are looked up together."""
    found: dict[int, TaxReview] = {}
    for day in sorted({case.state.day for case, _ in answered}):
        cases = [(case, proposal) for case, proposal in answered if case.state.day == day]
        questions = [
            (case.state.portfolio, case.policy, case.taxed_trades(proposal)) for case, proposal in cases
        ]
        books = {case.state.portfolio.pk: case.state.book for case, _ in cases if case.state.book is not None}
        for (case, _), review in zip(cases, tax_reviews(questions, day, books=books), strict=True):
            found[id(case)] = review
    return found


def _solve_each(cases: Sequence[tuple[Sequence[Line], Rules]]) -> list[Proposal]:
    return [propose(lines, rules) for lines, rules in cases]


class ProposalCase:
    """One portfolio on its way from its state to its recommendation.

    What the review of the sales forbids is barred, and the best trades without it are looked for again.
    """

    def __init__(
        self,
        state: AllocationState,
        policy: RebalancingPolicy,
        overrides: PolicyOverrides | None = None,
        gear: str = ProposalGear.EXACT,
    ) -> None:
        self.state, self.policy, self.gear = state, policy, gear
        self.raise_amount = (overrides.raise_amount if overrides else None) or NOTHING
        self.barred: dict[tuple[int, str], str] = {}
        self.proposal: Proposal | None = None
        self.inputs: dict[str, Any] = {}
        self.minimum_trades = {row.asset_class: row for row in state.minimum_trades}
        self.reserves = state.reserves_due(policy.reserve_horizon_days)
        self.refusal, self.codes = _blocking_reasons(state)
        self.names = _names(state)
        self.asset_of = {name: asset for asset, name in self.names.items()}
        if not self.refusal:
            self.inputs = self._inputs()

    def problem(self) -> tuple[list[Line], Rules]:
        """Read back from the inputs, so that what is solved is exactly what is kept."""
        rules = documents.searched_rules(documents.rules_of(self.inputs))
        return documents.lines_of(self.inputs), rules

    def accept(self, proposal: Proposal, review: TaxReview) -> bool:
        """Take the proposal, unless the review of its trades forbids one of them that was not barred yet."""
        sides = {self.asset_of[trade.symbol]: str(trade.side) for trade in proposal.trades}
        new = {(asset, sides[asset]): why for asset, why in review.blocked.items() if asset in sides}
        if new.keys() - self.barred.keys():
            self.barred |= new
            self.inputs = self._inputs()
            return False
        self.inputs["review"] = self._plain_review(review)
        self.inputs["answer"] = documents.plain_answer(proposal)
        self.proposal = proposal
        return True

    def taxed_trades(self, proposal: Proposal) -> list[TaxedTrade]:
        return [
            TaxedTrade(self.asset_of[trade.symbol], trade.side, trade.quantity, trade.price)
            for trade in proposal.trades
        ]

    def recommendation(self) -> Recommendation:
        state, mode = self.state, self.policy.mode
        if self.refusal or self.proposal is None:
            return Recommendation(
                state.portfolio, state.day, "blocked", mode, state,
                reasons=tuple(self.refusal), codes=tuple(self.codes),
            )  # fmt: skip
        document = documents.proposal_document(self.inputs, self.proposal)
        return Recommendation(
            state.portfolio,
            state.day,
            document["status"],
            mode,
            state,
            documents.rules_of(self.inputs),
            documents.decided(self.inputs, self.proposal)[0],
            tuple(document["reasons"]),
            tuple(document["reason_codes"]),
            self.inputs,
            document,
            {entry["line"]["symbol"]: entry["asset"] for entry in self.inputs["lines"]},
        )

    def _plain_review(self, review: TaxReview) -> dict[str, Any]:
        return {
            "tax": _text(review.tax),
            "sales": {
                self.names[asset]: {
                    "lots": _texts(sale.lots),
                    "tax": _text(sale.tax),
                    "short_gain": _text(sale.short_gain),
                    "long_gain": _text(sale.long_gain),
                    "method": sale.method,
                }
                for asset, sale in review.sales.items()
            },
            "warnings": {self.names[asset]: list(texts) for asset, texts in review.warnings.items()},
            "reasons": list(review.reasons),
            "wash_sales": _texts(review.wash_sales),
        }

    def _inputs(self) -> dict[str, Any]:
        state, policy = self.state, self.policy
        with localcontext(prec=WORKING_DIGITS):
            limits = limits_of(state, policy.mode, self.barred)
            held_back = {line.asset.pk: reason for line, reason in _unpriced(state)}
            traded = {
                line.asset.pk: self.names[line.asset.pk] for line in state.lines if line.price is not None
            }
            groups, warnings = groups_of(state, limits, traded, policy.mode)
            warnings += _cool_off(state, policy)
            warnings += _cash_remarks(state, self.reserves)
            freed = freed_by_groups(state)
            warnings += [
                f"{self.names[asset]}: {text}" for asset, limit in limits.items() for text in limit.warnings
            ]
            warnings += [
                f"{self.names[asset]}: {reason}: it is left as it is" for asset, reason in held_back.items()
            ]
            entries = [
                self._entry(line, limits[line.asset.pk], held_back.get(line.asset.pk), line.asset.pk in freed)
                for line in state.lines
                if line.price is not None
            ]
            left_out = [
                _left_out(line, held_back[line.asset.pk]) for line in state.lines if line.price is None
            ]
            rules = replace(self._rules(), groups=tuple(groups))
            cash_plan = self._cash_plan()
        return {
            "engine_version": ENGINE_VERSION,
            "portfolio": {
                "id": state.portfolio.pk,
                "code": state.portfolio.code,
                "base_currency": state.portfolio.base_currency_id,
                "tax_treatment": state.portfolio.tax_treatment,
            },
            "date": state.day.isoformat(),
            "policy": {
                column.attname: _plain(getattr(policy, column.attname))
                for column in RebalancingPolicy._meta.fields
                if column.name not in UNPUBLISHED_FIELDS
            }
            | {"minimum_trades": {row.asset_class: _plain_minimum(row) for row in state.minimum_trades}},
            "rules": documents.plain_rules(rules),
            "lines": entries,
            "left_out": left_out,
            "restrictions": [_plain_restriction(restriction) for restriction in state.restrictions],
            "barred": [[asset, side, reason] for (asset, side), reason in sorted(self.barred.items())],
            "warnings": warnings,
            "cash_plan": cash_plan,
            "review": {"tax": "0", "sales": {}, "warnings": {}, "reasons": [], "wash_sales": []},
            "answer": None,
        }

    def _rules(self) -> Rules:
        policy = self.policy
        return Rules(
            cash=self.state.cash or NOTHING,
            reserve=self._standing_reserve() + sum((row.amount for row in self.reserves), NOTHING),
            minimum_trade=self._minimum_trade(policy.minimum_trade, policy.minimum_trade_percentage),
            fee_per_trade=policy.fee_per_trade,
            cost_rate=policy.cost_rate,
            mode=cast(Mode, str(policy.mode)),
            raise_amount=self.raise_amount,
            turnover_cap=policy.turnover_cap,
            time_limit=float(policy.solver_seconds),
            improvement_share=policy.improvement_share,
            gear=cast(Gear, str(self.gear)),
            proven_lines=policy.proven_lines,
            cost_limit=policy.cost_limit,
            cost_per_drift=policy.cost_per_drift,
        )

    def _standing_reserve(self) -> Decimal:
        """What stays in cash whatever falls due."""
        policy = self.policy
        return _larger(policy.cash_reserve, policy.cash_reserve_percentage, self.state.value or NOTHING)

    def _minimum_trade(self, amount: Decimal, percentage: Decimal) -> Decimal:
        """The larger of the two, less what a trade may fall short of it by."""
        minimum = _larger(amount, percentage, self.state.value or NOTHING)
        tolerance = self.policy.minimum_trade_tolerance
        if not tolerance:
            return minimum
        least = minimum * (PERCENT - tolerance) / PERCENT
        return min(minimum, least.quantize(CENT, rounding=ROUND_CEILING))

    def _cash_plan(self) -> dict[str, Any]:
        """What the projected cash follows from, with the trades."""
        state = self.state
        return {
            "reserve": _text(self._standing_reserve()),
            "settles_on": settlement_day(state.day, self.policy.settlement_days).isoformat(),
            "unsettled": _texts([vars(cash) for cash in state.unsettled]),
            "reserves": [_plain_reserve(reserve) for reserve in self.reserves],
        }

    def _entry(
        self, line: AllocationLine, limits: LineLimits, held_back: str | None, is_freed: bool
    ) -> dict[str, Any]:
        """One line with all that it depends on: what is solved, and what explains it."""
        quote, asset, costs = line.quote, line.asset, self._cost_rates(line)
        impact, impact_warning = self._impact(line)
        barriers = limits.barriers if held_back is None else {"buy": held_back, "sell": held_back}
        warnings = [impact_warning] if impact_warning else []
        if line.price_age is not None and line.price_age > NEARLY_STALE * settings.PRICE_STALE_DAYS:
            warnings.append(f"the price is {line.price_age} days old")
        rate = sum(costs.values(), NOTHING)
        return {
            "line": documents.plain_line(
                self._line(line, limits, held_back is not None, is_freed, cost_rate=rate, impact=impact)
            ),
            "asset": asset.pk,
            "symbol": asset.symbol,
            "exchange": asset.exchange,
            "sector": asset.sector,
            "currency": asset.currency_id,
            "allocation": _plain_allocation(line),
            "constrained_target": _text(limits.range.clamp(line.target / PERCENT)),
            "costs": {name: _text(rate) for name, rate in costs.items()},
            "barriers": dict(barriers),
            "applied": list(limits.applied) + ([held_back] if held_back else []),
            "trade_warnings": warnings,
            **quote.document,
        }

    def _cost_rates(self, line: AllocationLine) -> dict[str, Decimal]:
        is_foreign = line.asset.currency_id != self.state.portfolio.base_currency_id
        return {
            "commission": self.policy.cost_rate,
            "spread": self.policy.spread_rate,
            "fx": self.policy.fx_cost_rate if is_foreign else NOTHING,
        }

    def _impact(self, line: AllocationLine) -> tuple[Decimal, str | None]:
        """What trading an amount a costs by its effect on the price is impact * a * sqrt(a).

        The square-root law: coefficient * daily volatility * sqrt(a / daily traded value), times a.
        """
        coefficient, quote = self.policy.impact_coefficient, line.quote
        if not coefficient:
            return NOTHING, None
        if quote.daily_volatility is None or not quote.daily_value:
            return NOTHING, "market impact unknown: no volume or volatility"
        impact = float(coefficient) * quote.daily_volatility / sqrt(quote.daily_value)
        return Decimal(repr(impact)).quantize(IMPACT_DIGITS, rounding=ROUND_CEILING), None

    def _line(
        self,
        line: AllocationLine,
        limits: LineLimits,
        is_held_back: bool,
        is_freed: bool,
        *,
        cost_rate: Decimal,
        impact: Decimal,
    ) -> Line:
        weight, drift = line.weight, line.drift
        if line.price is None or weight is None or drift is None:
            raise ValueError(f"{line.asset.symbol}: an unpriced line cannot be rebalanced")
        wanted = band_destination(
            weight,
            line.band,
            cast(Destination, str(self.policy.band_destination)),
            self.policy.inner_band_fraction,
        )
        allowed = limits.range
        own = self.minimum_trades.get(line.asset.asset_class)
        return Line(
            symbol=self.names[line.asset.pk],
            quantity=line.quantity,
            price=line.price,
            lot=line.asset.lot_size,
            target=line.target / PERCENT,
            minimum=None if is_held_back else allowed.minimum,
            maximum=None if is_held_back else allowed.maximum,
            may_buy=limits.may_buy and not is_held_back,
            may_sell=limits.may_sell and not is_held_back,
            breached=drift.breached or limits.is_outside or is_freed,
            destination=allowed.clamp(wanted / PERCENT),
            unassigned=line.allocation is None,
            cost_rate=cost_rate,
            impact=impact,
            minimum_trade=None if own is None else self._minimum_trade(own.amount, own.percentage),
        )


def _mode(portfolio: Portfolio) -> str:
    stored = RebalancingPolicy.objects.filter(portfolio=portfolio).values_list("mode", flat=True).first()
    return stored or RebalanceMode.BANDS


def _with_overrides(policy: RebalancingPolicy, overrides: PolicyOverrides | None) -> RebalancingPolicy:
    """A copy that is never saved."""
    changed = RebalancingPolicy(
        **{column.attname: getattr(policy, column.attname) for column in policy._meta.fields}
    )
    for option in fields(overrides) if overrides else ():
        value = getattr(overrides, option.name)
        if value is not None and option.name != "raise_amount":
            setattr(changed, option.name, value)
    return changed


def _blocking_reasons(state: AllocationState) -> tuple[list[str], list[str]]:
    """Why nothing can be proposed at all, and the codes of that."""
    reasons, codes = list(state.reasons), [documents.NO_VALUE] if state.reasons else []
    if not state.has_targets:
        reasons.append("the portfolio has no targets")
        codes.append(documents.NO_TARGETS)
    unpriced = _unpriced(state)
    share = sum((max(line.weight or NOTHING, line.target) for line, _ in unpriced), NOTHING)
    if share > PRICE_GUARD_SHARE_PERCENTAGE or state.value is None:
        known = set(reasons)
        found = [f"{line.asset.symbol}: {reason}" for line, reason in unpriced]
        reasons += [text for text in found if text not in known]
        codes += [documents.PRICE_GUARD] if found else []
    conflicts = contradictions(state)
    codes += [documents.CONTRADICTION] if conflicts else []
    return reasons + conflicts, codes


def _cool_off(state: AllocationState, policy: RebalancingPolicy) -> list[str]:
    last = state.last_rebalanced
    if last is None or policy.mode != RebalanceMode.BANDS:
        return []
    ends = last + dt.timedelta(days=policy.cool_off_days)
    return [f"the cool-off lasts until {ends}"] if state.day < ends else []


def _cash_remarks(state: AllocationState, reserves: Sequence[CashReserve]) -> list[str]:
    """Reserves whose day has passed, and why the projected cash is unknown."""
    base, decided_on = state.portfolio.base_currency_id, decision_day(state.day)
    overdue = [reserve for reserve in reserves if reserve.due_date < decided_on]
    unknown = sorted({cash.currency for cash in state.unsettled if cash.value is None})
    return [
        f"{reserve.kind} of {decimal_text(reserve.amount)} {base} was due on {reserve.due_date} and is not "
        f"ended: {reserve.note}"
        for reserve in overdue
    ] + [f"projected cash unknown: no rate from {currency} to {base}" for currency in unknown]


def _refused_lines(state: AllocationState, reasons: Sequence[str]) -> list[tuple[str, str]]:
    """Every line where nothing can be proposed: what is wrong with its own price, or with the whole."""
    own, names = {line.asset.pk: reason for line, reason in _unpriced(state)}, _names(state)
    return [(names[line.asset.pk], own.get(line.asset.pk, reasons[0])) for line in state.lines]


def _unpriced(state: AllocationState) -> list[tuple[AllocationLine, str]]:
    """Lines that the price guard keeps from being traded, and why."""
    found, oldest = [], settings.PRICE_STALE_DAYS
    for line in state.lines:
        if line.price is None or line.price <= 0:
            found.append((line, f"no price in {state.portfolio.base_currency_id}"))
        elif line.price_age is not None and line.price_age > oldest:
            found.append((line, f"the price is {line.price_age} days old"))
    return found


def _names(state: AllocationState) -> dict[int, str]:
    """Symbols, with the exchange where two lines share one."""
    count = Counter(line.asset.symbol for line in state.lines)
    return {
        line.asset.pk: line.asset.symbol
        if count[line.asset.symbol] == 1
        else f"{line.asset.symbol}.{line.asset.exchange}"
        for line in state.lines
    }


def _larger(amount: Decimal, percentage: Decimal, value: Decimal) -> Decimal:
    """The larger of an amount and a percentage of the value, in whole cents."""
    if not percentage:
        return amount
    return max(amount, (value * percentage / PERCENT).quantize(CENT, rounding=ROUND_CEILING))


def _left_out(line: AllocationLine, reason: str) -> dict[str, Any]:
    """The outcome of a line that cannot even be weighed."""
    return {
        "asset": line.asset.pk,
        "symbol": line.asset.symbol,
        "exchange": line.asset.exchange,
        "sector": line.asset.sector,
        "target": _text(line.target),
        "constrained_target": None,
        "weight_before": _text(line.weight),
        "weight_after": _text(line.weight),
        "residual": None if line.weight is None else _text(line.weight - line.target),
        "side": None,
        "quantity": None,
        "rules": [reason],
        "barrier": reason,
        "reason": reason,
    }


def _plain_allocation(line: AllocationLine) -> dict[str, Any] | None:
    if line.allocation is None:
        return None
    band = line.band
    return {
        "version": line.allocation.version,
        "target": _text(band.target),
        "min": _text(band.minimum),
        "max": _text(band.maximum),
        "lower": _text(band.lower),
        "upper": _text(band.upper),
        "rule": str(band.rule),
    }


def _plain_restriction(restriction: TradingRestriction) -> dict[str, Any]:
    return {
        column.attname: _plain(getattr(restriction, column.attname))
        for column in TradingRestriction._meta.fields
        if column.name != "created_at"
    }


def _plain_minimum(row: MinimumTrade) -> dict[str, Any]:
    return {"amount": _text(row.amount), "percentage": _text(row.percentage)}


def _plain_reserve(reserve: CashReserve) -> dict[str, Any]:
    names = ("id", "kind", "amount", "due_date", "note", "owner_id")
    return {name: _plain(getattr(reserve, name)) for name in names}


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return decimal_text(value)
    if isinstance(value, dt.date):
        return value.isoformat()
    return str(value) if isinstance(value, str) else value


def _texts(lots: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [{name: _plain(value) for name, value in lot.items()} for lot in lots]


def _text(value: Decimal | None) -> str | None:
    return None if value is None else decimal_text(value)

"""A proposal and what it was made from, as plain documents. From the same inputs comes the same proposal.

The inputs hold all that a proposal depends on: positions, prices and where they come from, targets, what
restrictions leave of them, the policy, and what the review of the sales found. Nothing here reads a table.
"""

import datetime as dt
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import Field, fields, replace
from decimal import ROUND_HALF_EVEN, Context, Decimal, localcontext
from math import isnan
from typing import Any

from analytics.calculations.cash_ladder import CashMove, Rung, cash_ladder, shortfalls
from analytics.calculations.rebalancing import (
    Group,
    Line,
    Outcome,
    Proposal,
    Rules,
    Trade,
    propose,
    propose_found,
    sort_lines,
)
from analytics.calculations.rebalancing_costs import benefit_reasons, split_cost
from analytics.calculations.rebalancing_programme import Move
from analytics.calculations.rebalancing_search import Found
from portfolio_site.kernel.canonical import canonical_json, decimal_text, sha256_of_text
from portfolio_site.kernel.fields import MONEY_PLACES

MONEY = Decimal(1).scaleb(-MONEY_PLACES)
RATIO = Decimal("1e-15")
NOTHING, PERCENT = Decimal(0), Decimal(100)
_EXACT = Context(prec=100)
# Reason codes of a proposal that cannot be stored, and of one that can.
NO_PRICES, NO_BOOKS, NO_TARGETS, NO_VALUE = "no_prices", "no_books", "no_targets", "no_value"
PRICE_GUARD, CONTRADICTION, INFEASIBLE = "price_guard", "contradiction", "infeasible"
UNUSABLE, COST, IN_BALANCE = "unusable_input", "cost_above_benefit", "in_balance"

Document = dict[str, Any]


def plain_line(line: Line) -> Document:
    return {name: _plain(value) for name, value in vars(line).items()}


def plain_rules(rules: Rules) -> Document:
    return {name: _plain(value) for name, value in vars(rules).items()}


def lines_of(inputs: Mapping[str, Any]) -> list[Line]:
    return [Line(**_read(Line, entry["line"])) for entry in inputs["lines"]]


def rules_of(inputs: Mapping[str, Any]) -> Rules:
    return Rules(**_read(Rules, inputs["rules"]))


def searched_rules(rules: Rules) -> Rules:
    """The rules of the search. What a proposal may cost for its benefit is tested when its tax is known."""
    return replace(rules, cost_limit=None, cost_per_drift=None)


def proposal_from_inputs(inputs: Mapping[str, Any]) -> Document:
    """The proposal that follows from the inputs alone, to the last digit the one that was stored."""
    return proposal_document(inputs, proposal_of(inputs))


def proposal_of(inputs: Mapping[str, Any]) -> Proposal:
    """The best trades. Where the search was not carried to a proof, its answer is one of the inputs.

    When it stopped depended on the clock; what it had found by then is checked here like any other answer.
    """
    lines, rules, answer = lines_of(inputs), searched_rules(rules_of(inputs)), inputs["answer"]
    if answer is None:
        return propose(lines, rules)
    lines = sort_lines(lines)
    moves = tuple(_move(line, Decimal(answer["trades"].get(line.symbol, 0))) for line in lines)
    bound, gap = float(answer["bound"]), float(answer["gap"])
    proposal = propose_found(lines, rules, Found(moves, distance=bound + gap, bound=bound))
    return replace(proposal, gear=answer["gear"], bound=bound, gap=gap)


def plain_answer(proposal: Proposal) -> Document | None:
    """What an unproven search found; None for what can be found again."""
    if proposal.proven or proposal.status not in ("ready", "in_balance"):
        return None
    trades = {t.symbol: t.quantity if t.side == "buy" else -t.quantity for t in proposal.trades}
    return {
        "gear": proposal.gear,
        "bound": repr(proposal.bound),
        "gap": repr(proposal.gap),
        "trades": _plain(trades),
    }


def _move(line: Line, traded: Decimal) -> Move:
    return Move(exit=True) if traded and traded == -line.quantity else Move(int(traded / line.lot))


def document_hash(inputs: Mapping[str, Any], document: Mapping[str, Any]) -> str:
    """What approvals are bound to."""
    return written_hash(canonical_json(inputs), canonical_json(document))


def written_hash(inputs: str, document: str) -> str:
    """The same from both in canonical form; together they are one canonical document."""
    return sha256_of_text(f'{{"inputs":{inputs},"proposal":{document}}}')


def document_bytes(document: Mapping[str, Any]) -> bytes:
    return canonical_json(document).encode()


def decided(inputs: Mapping[str, Any], proposal: Proposal) -> tuple[Proposal, list[str]]:
    """The proposal as it is to be put forward, and why nothing is where it is not worth its cost and tax."""
    tax = NOTHING if inputs["review"]["tax"] is None else Decimal(inputs["review"]["tax"])
    refused = benefit_reasons(proposal, rules_of(inputs), tax)
    return (_without_trades(proposal, refused) if refused else proposal), refused


def proposal_document(inputs: Mapping[str, Any], proposal: Proposal) -> Document:
    """The proposal with lots, tax, costs by part, warnings and the reasons for every line."""
    entries = {entry["line"]["symbol"]: entry for entry in inputs["lines"]}
    rules = inputs["rules"]
    proposal, refused = decided(inputs, proposal)
    reasons = {outcome.symbol: outcome.reason for outcome in proposal.outcomes}
    actions = [
        _action(trade, entries[trade.symbol], inputs, reasons[trade.symbol]) for trade in proposal.trades
    ]
    warnings = _warnings(inputs, proposal)
    status, codes = _status(proposal, refused, warnings)
    outcomes = [_outcome(entries[outcome.symbol], outcome) for outcome in proposal.outcomes]
    projected = {"projected_cash": _projected_cash(inputs, proposal)} if "cash_plan" in inputs else {}
    return projected | {
        "status": status,
        "reason_codes": codes,
        "reasons": refused or list(proposal.reasons),
        "warnings": warnings,
        "needs_review": status == "needs_review",
        "mode": rules["mode"],
        "gear": proposal.gear,
        "value": _text(proposal.value, MONEY),
        "cash_before": _text(proposal.cash_before, MONEY),
        "cash_after": _text(proposal.cash_after, MONEY),
        "tracking_distance_before": _text(proposal.tracking_distance_before, RATIO),
        "tracking_distance": _text(proposal.tracking_distance_after, RATIO),
        "distance_bound": _float_text(proposal.bound),
        "gap": _float_text(proposal.gap),
        "proven": proposal.proven,
        "turnover": _text(proposal.turnover, RATIO),
        "drift_before": _text(proposal.drift_before, RATIO),
        "drift_after": _text(proposal.drift_after, RATIO),
        "cost": decimal_text(sum((Decimal(action["cost"]) for action in actions), NOTHING)),
        "tax": inputs["review"]["tax"] if actions else "0",
        "actions": actions,
        "outcomes": sorted(outcomes + list(inputs["left_out"]), key=lambda o: (o["symbol"], o["asset"])),
        "unresolved": _unresolved(outcomes, proposal.value),
    }


def _without_trades(proposal: Proposal, reasons: Sequence[str]) -> Proposal:
    return replace(
        proposal,
        trades=(),
        cash_after=proposal.cash_before,
        tracking_distance_after=proposal.tracking_distance_before,
        turnover=NOTHING,
        cost=NOTHING,
        drift_after=proposal.drift_before,
        outcomes=tuple(
            replace(
                outcome,
                weight_after=outcome.weight_before,
                trade=None,
                reason=reasons[0] if outcome.trade else outcome.reason,
                residual=outcome.weight_before - outcome.target,
            )
            for outcome in proposal.outcomes
        ),
    )


def _status(proposal: Proposal, refused: Sequence[str], warnings: Sequence[str]) -> tuple[str, list[str]]:
    if refused:
        return "blocked", [COST]
    if proposal.status == "infeasible":
        return "blocked", [INFEASIBLE]
    if proposal.status == "blocked":
        return "blocked", [UNUSABLE]
    if proposal.status == "in_balance":
        return "in_balance", [IN_BALANCE]
    return ("needs_review" if warnings else "ready"), []


def _warnings(inputs: Mapping[str, Any], proposal: Proposal) -> list[str]:
    """What a person should look at before approving."""
    warnings = list(inputs["warnings"])
    entries = {entry["line"]["symbol"]: entry for entry in inputs["lines"]}
    for trade in proposal.trades:
        warnings += [f"{trade.symbol}: {text}" for text in _trade_warnings(entries[trade.symbol], inputs)]
    if proposal.trades:
        warnings += inputs["review"]["reasons"]
        if inputs["review"]["tax"] is None:
            warnings.append("the tax is unknown")
        if not proposal.proven:
            warnings.append(f"not proven to be the best: at most {proposal.gap:.6f} nearer to the targets")
    warnings += _cash_warnings(inputs, proposal)
    return list(dict.fromkeys(warnings))


def _cash_warnings(inputs: Mapping[str, Any], proposal: Proposal) -> list[str]:
    """When less cash than the reserve will be there for a while, or for good."""
    return [
        f"from {short.first}{f' until {short.until}' if short.until else ' on'}: projected cash of "
        f"{short.cash:.2f} is below the reserve of {short.reserve:.2f}"
        for short in shortfalls(_cash_ladder(inputs, proposal) or ())
    ]


def _projected_cash(inputs: Mapping[str, Any], proposal: Proposal) -> list[Document] | None:
    """None where a rate that it takes is unknown; the inputs say which."""
    ladder = _cash_ladder(inputs, proposal)
    if ladder is None:
        return None
    return [
        {
            "date": rung.date.isoformat(),
            "cash": _text(rung.cash, MONEY),
            "reserve": _text(rung.reserve, MONEY),
            "change": _text(rung.change, MONEY),
            "what": rung.what,
        }
        for rung in ladder
    ]


def _cash_ladder(inputs: Mapping[str, Any], proposal: Proposal) -> list[Rung] | None:
    """Trades settle first, sells before buys, then what is due is paid."""
    plan = inputs.get("cash_plan")
    if plan is None or any(entry["value"] is None for entry in plan["unsettled"]):
        return None
    with localcontext(_EXACT):
        earlier, payments = list(_settlements(plan)), list(_payments(plan))
        settled = proposal.cash_before - sum((move.amount for move in earlier), NOTHING)
        reserve = Decimal(plan["reserve"]) + sum((move.frees for move in payments), NOTHING)
        moves = [*earlier, *_trade_moves(plan, proposal), *payments]
    return cash_ladder(dt.date.fromisoformat(inputs["date"]), settled, reserve, moves, "settled cash")


def _settlements(plan: Mapping[str, Any]) -> Iterator[CashMove]:
    """Of what was traded before."""
    for entry in plan["unsettled"]:
        yield CashMove(
            dt.date.fromisoformat(entry["date"]), Decimal(entry["value"]), f"{entry['currency']} settles"
        )


def _trade_moves(plan: Mapping[str, Any], proposal: Proposal) -> Iterator[CashMove]:
    """Of what is proposed, with its costs."""
    settles_on = dt.date.fromisoformat(plan["settles_on"])
    for side, what in (("sell", "the sells settle"), ("buy", "the buys settle")):
        trades = [trade for trade in proposal.trades if trade.side == side]
        traded = sum((trade.amount for trade in trades), NOTHING)
        cost = sum((trade.cost for trade in trades), NOTHING)
        if trades:
            yield CashMove(settles_on, (traded if side == "sell" else -traded) - cost, what)


def _payments(plan: Mapping[str, Any]) -> Iterator[CashMove]:
    for entry in plan["reserves"]:
        due, amount = dt.date.fromisoformat(entry["due_date"]), Decimal(entry["amount"])
        yield CashMove(due, -amount, f"{entry['kind']}: {entry['note']}", frees=amount)


def _trade_warnings(entry: Mapping[str, Any], inputs: Mapping[str, Any]) -> list[str]:
    return [*entry["trade_warnings"], *inputs["review"]["warnings"].get(entry["line"]["symbol"], [])]


def _action(trade: Trade, entry: Mapping[str, Any], inputs: Mapping[str, Any], reason: str) -> Document:
    parts = split_cost(
        trade.amount,
        impact=Decimal(entry["line"]["impact"]),
        fee=Decimal(inputs["rules"]["fee_per_trade"]),
        **{name: Decimal(rate) for name, rate in entry["costs"].items()},
    )
    costs = {name: part.quantize(MONEY, rounding=ROUND_HALF_EVEN) for name, part in parts.items()}
    sale = inputs["review"]["sales"].get(trade.symbol) if trade.side == "sell" else None
    return {
        "asset": entry["asset"],
        "symbol": entry["symbol"],
        "exchange": entry["exchange"],
        "side": trade.side,
        "quantity": decimal_text(trade.quantity),
        "price": decimal_text(trade.price),
        "currency": entry["currency"],
        "local_price": entry["local_price"],
        "amount": _text(trade.amount, MONEY),
        "cost": decimal_text(sum(costs.values(), NOTHING)),
        "costs": {name: decimal_text(part) for name, part in costs.items()},
        "tax": sale["tax"] if sale else "0",
        "lots": sale["lots"] if sale else [],
        "warnings": _trade_warnings(entry, inputs),
        "reason": reason,
    }


def _outcome(entry: Mapping[str, Any], outcome: Outcome) -> Document:
    trade, before = outcome.trade, outcome.weight_before
    side = "buy" if before < outcome.target else "sell"
    barrier = entry["barriers"].get(side) if before != outcome.target else None
    return {
        "asset": entry["asset"],
        "symbol": entry["symbol"],
        "exchange": entry["exchange"],
        "sector": entry["sector"],
        "target": _text(outcome.target * PERCENT),
        "constrained_target": _text(Decimal(entry["constrained_target"]) * PERCENT),
        "weight_before": _text(before * PERCENT, MONEY),
        "weight_after": _text(outcome.weight_after * PERCENT, MONEY),
        "residual": _text(outcome.residual * PERCENT, MONEY),
        "side": trade.side if trade else None,
        "quantity": decimal_text(trade.quantity) if trade else None,
        "rules": entry["applied"],
        "barrier": barrier,
        "reason": f"{outcome.reason}: {barrier}" if barrier and trade is None else outcome.reason,
    }


def _unresolved(outcomes: Sequence[Mapping[str, Any]], value: Decimal) -> list[Document]:
    """By sector, what is missing to the targets of lines that may not be bought, in base currency."""
    missing: dict[str, Decimal] = {}
    for outcome in outcomes:
        residual = Decimal(outcome["residual"] or 0)
        if outcome["barrier"] and residual < 0:
            sector = outcome["sector"]
            missing[sector] = missing.get(sector, NOTHING) - residual * value / PERCENT
    return [{"category": sector, "amount": _text(missing[sector], MONEY)} for sector in sorted(missing)]


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return decimal_text(value)
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Group):
        return {name: _plain(item) for name, item in vars(value).items()}
    return value


def _read(shape: type[Any], plain: Mapping[str, Any]) -> dict[str, Any]:
    """What inputs of earlier versions do not have yet keeps its default."""
    return {name: read(plain[name]) for name, read in READERS[shape].items() if name in plain}


def _reader(field: Field[Any]) -> Callable[[Any], Any]:
    """What makes a field of its plain form, whose unknown values stay None."""
    if field.name == "groups":
        return lambda plain: tuple(Group(**_read(Group, group)) for group in plain)
    if field.type in (Decimal, Decimal | None):
        return lambda plain: None if plain is None else Decimal(plain)
    if field.type is float:
        return float
    return lambda plain: tuple(plain) if isinstance(plain, list) else plain


READERS = {shape: {field.name: _reader(field) for field in fields(shape)} for shape in (Line, Rules, Group)}


def _text(value: Decimal | None, places: Decimal | None = None) -> str | None:
    if value is None or not value.is_finite():
        return None
    return decimal_text(value if places is None else value.quantize(places, rounding=ROUND_HALF_EVEN))


def _float_text(value: float) -> str | None:
    return None if isnan(value) else repr(value)

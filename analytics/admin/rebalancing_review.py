"""A proposal as those see it who decide about it: its trades, lines and lots, and what became of them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from analytics.admin.figures import choice_badge
from analytics.models import EventStatus, ProposalVersion, RebalancingEvent, RebalancingOrder
from analytics.selectors.event_changes import price_moves, transactions_since
from analytics.services.approval_rules import MANAGER_LEVEL, quorum_of
from analytics.services.approvals import approvals_of
from analytics.services.event_expiry import expiry_reason, has_moved, policy_of
from analytics.services.event_state import books_changed
from portfolio_site.kernel.admin.figures import badge, digits, figure, money, percent

Document = Mapping[str, Any]
Cell = SafeString | str

ORDER_TONES = {"new": "calm", "sent": "busy", "partly": "fair", "filled": "good", "rejected": "bad"}
SIDE_TONES = {"buy": "good", "sell": "poor"}
DECISION_TONES = {"approved": "good", "rejected": "bad"}
UNDECIDED = (EventStatus.PENDING, EventStatus.APPROVED)
RATIO_PLACES = 6
SHOWN_TRANSACTIONS = 20


@dataclass(frozen=True)
class Column:
    label: str
    is_number: bool = False


@dataclass(frozen=True)
class Table:
    """Rows under a title. The first cell of each names it; the others stand below the columns' labels.

    empty: what is said where there are no rows; nothing is shown then without it.
    """

    title: str
    columns: Sequence[Column]
    cells: Sequence[Sequence[Cell]]
    empty: str = ""
    notes: Sequence[Cell] = ()

    @property
    def rows(self) -> list[tuple[Cell, list[tuple[Column, Cell]]]]:
        return [(first, list(zip(self.columns[1:], others, strict=True))) for first, *others in self.cells]


def columns(*labels: str) -> list[Column]:
    """A label that begins with # is that of a column of numbers."""
    return [Column(label.removeprefix("#"), label.startswith("#")) for label in labels]


def review_tables(event: RebalancingEvent) -> list[Table]:
    """All that there is to look at, in the order in which it is looked at. Queries do not grow with lines."""
    version = ProposalVersion.objects.filter(event=event, version=event.version).first()
    proposal = version.proposal if version else {}
    made_at = version.created_at if version else event.created_at
    orders = list(event.orders.select_related("asset__currency").prefetch_related("fills"))
    tables = [_decisions_table(event)]
    if event.post_state:
        tables.append(_outcome_table(event, event.post_state))
    tables += [trades_table(event), lines_table(event, proposal), _lots_table(event)]
    tables.append(_unresolved_table(event, proposal.get("unresolved", ())))
    tables.append(_cash_table(event, proposal.get("projected_cash") or ()))
    if event.status in UNDECIDED:
        tables += [_prices_table(event), _transactions_table(event, made_at)]
    tables += [_orders_table(orders), _fills_table(orders)]
    return [table for table in tables if table.cells or table.empty]


# What is proposed


def trades_table(event: RebalancingEvent) -> Table:
    code = event.portfolio.base_currency_id
    cells = [
        [
            _name(action),
            badge(action["side"], SIDE_TONES.get(action["side"], "calm")),
            _quantity(action.get("quantity")),
            _price(action, code),
            _money(event, action.get("amount")),
            _cost(event, action),
            _money(event, action.get("tax")),
            _reason(action.get("reason"), action.get("warnings")),
        ]
        for action in event.actions
    ]
    heads = ("Trade", "Side", "#Quantity", f"#Price, {code}", f"#Amount, {code}", "#Cost", "#Tax", "Why")
    return Table("Trades", columns(*heads), cells, "Nothing would be traded.")


def lines_table(event: RebalancingEvent, proposal: Document) -> Table:
    cells = [
        [
            _name(outcome),
            _points(outcome.get("weight_before")),
            _points(outcome.get("weight_after")),
            _target(outcome),
            _off_target(outcome),
            _decision(outcome),
            _reason(outcome.get("reason"), outcome.get("rules")),
        ]
        for outcome in event.outcomes
    ]
    cells += _cash_line(event, proposal)
    heads = ("Line", "#Before", "#After", "#Target", "#Off target after", "Decision", "Why")
    return Table("Every line: before, after, target", columns(*heads), cells, "No line is kept.")


def _lots_table(event: RebalancingEvent) -> Table:
    cells = [
        [
            action["symbol"],
            _lot(lot),
            _quantity(lot.get("quantity")),
            _money(event, lot.get("cost")),
            str(lot.get("term") or ""),
            _money(event, lot.get("gain"), signed=True),
            _money(event, lot.get("tax")),
        ]
        for action in event.actions
        for lot in action.get("lots") or ()
    ]
    heads = ("Sale", "Lot", "#Quantity", "#Book cost", "Term", "#Gain", "#Tax")
    return Table("Lots that the sales take", columns(*heads), cells)


def _unresolved_table(event: RebalancingEvent, unresolved: Iterable[Document]) -> Table:
    cells = [[entry["category"] or "no sector", _money(event, entry["amount"])] for entry in unresolved]
    return Table("Missing, because it may not be bought", columns("Sector", "#Amount"), cells)


def _cash_table(event: RebalancingEvent, ladder: Iterable[Document]) -> Table:
    cells = [
        [
            rung["date"],
            str(rung["what"]),
            _money(event, rung["change"], signed=True),
            _money(event, rung["cash"]),
            _money(event, rung["reserve"]),
        ]
        for rung in ladder
    ]
    return Table("Projected cash", columns("Day", "What", "#Change", "#Cash", "#Reserve"), cells)


def _decisions_table(event: RebalancingEvent) -> Table:
    cells = [
        [
            str(approval.user or "the policy"),
            badge(approval.get_decision_display(), DECISION_TONES[approval.decision]),
            "manager" if approval.level == MANAGER_LEVEL else "checker",
            "the present version" if approval.proposal_hash == event.proposal_hash else "an earlier version",
            f"{approval.created_at:%Y-%m-%d %H:%M} UTC",
            approval.note,
        ]
        for approval in event.approvals.select_related("user").order_by("pk")
    ]
    heads = ("By", "Decision", "As", "About", "At", "Note")
    return Table("Decisions", columns(*heads), cells)


# What has changed since


def _prices_table(event: RebalancingEvent) -> Table:
    limit = policy_of(event.portfolio).price_move_limit
    cells = [
        [
            move.symbol,
            money(move.proposed, move.currency, 2),
            money(move.close, move.currency, 2),
            f"{move.day:%Y-%m-%d}",
            percent(move.change, signed=True),
            badge("more than allowed", "bad")
            if limit is not None and has_moved(move.proposed, move.close, limit)
            else "",
        ]
        for move in price_moves(event.actions, event.valuation_date)
    ]
    notes = [] if limit is None else [f"The proposal expires when a price moves by more than {limit:.2%}."]
    heads = ("Trade", "#Price proposed", "#Last close", "Of", "#Move", "")
    return Table(
        "Prices since the proposal", columns(*heads), cells, "No traded line has a price since.", notes
    )


def _transactions_table(event: RebalancingEvent, made_at: Any) -> Table:
    found = list(transactions_since(event.portfolio, made_at)[: SHOWN_TRANSACTIONS + 1])
    cells = [
        [
            _link("portfolios_transaction", line.pk, f"{line.trade_date:%Y-%m-%d} {line.kind}"),
            line.asset.symbol if line.asset else "",
            _quantity(line.quantity) if line.quantity else "",
            money(line.amount, line.currency.code, line.currency.minor_units),
        ]
        for line in found[:SHOWN_TRANSACTIONS]
    ]
    notes = [f"The first {SHOWN_TRANSACTIONS} of more."] if len(found) > SHOWN_TRANSACTIONS else []
    heads = ("Transaction", "Asset", "#Quantity", "#Amount")
    return Table("Booked since the proposal", columns(*heads), cells, "Nothing was booked since.", notes)


# What became of it


def _orders_table(orders: Sequence[RebalancingOrder]) -> Table:
    cells = [
        [
            _link("analytics_rebalancingorder", order.pk, order.client_order_id),
            order.asset.symbol,
            badge(order.get_side_display(), SIDE_TONES[order.side]),
            _quantity(order.quantity),
            _quantity(order.filled_quantity),
            money(order.price, order.asset.currency.code),
            choice_badge(order.get_status_display(), order.status, ORDER_TONES),
            order.note,
        ]
        for order in orders
    ]
    heads = ("Order", "Asset", "Side", "#Quantity", "#Filled", "#Price proposed", "Status", "Note")
    return Table("Orders", columns(*heads), cells)


def _fills_table(orders: Sequence[RebalancingOrder]) -> Table:
    cells = [
        [
            order.client_order_id,
            fill.venue_fill_id,
            f"{fill.filled_on:%Y-%m-%d}",
            _quantity(fill.quantity),
            money(fill.price, order.asset.currency.code),
            money(fill.fee, order.asset.currency.code, order.asset.currency.minor_units),
            money(fill.tax, order.asset.currency.code, order.asset.currency.minor_units),
            _booking(fill),
        ]
        for order in orders
        for fill in order.fills.all()
    ]
    heads = ("Order", "Fill", "Day", "#Quantity", "#Price", "#Fee", "#Tax", "Booked as")
    return Table("Fills", columns(*heads), cells, "No fill has been reported." if orders else "")


def _outcome_table(event: RebalancingEvent, state: Document) -> Table:
    cells = [
        [
            _name(trade),
            *(_quantity(trade[kind]["quantity"]) for kind in ("estimated", "actual")),
            *(_figure(trade[kind]["price"], 4) for kind in ("estimated", "actual")),
            *(_money(event, trade[kind]["cost"]) for kind in ("estimated", "actual")),
            _money(event, trade["actual"].get("slippage"), signed=True),
            *(_money(event, trade[kind]["tax"]) for kind in ("estimated", "actual")),
        ]
        for trade in state.get("trades", ())
    ]
    total = (event.estimated_cost, event.actual_cost, None, event.estimated_tax, event.actual_tax)
    blanks: list[Cell] = [""] * 4
    cells.append(
        ["All", *blanks, *("" if place == 2 else _money(event, value) for place, value in enumerate(total))]
    )
    heads = (
        "Trade",
        "#Quantity estimated",
        "#Quantity actual",
        "#Price estimated",
        "#Price actual",
        "#Cost estimated",
        "#Cost actual",
        "#Slippage",
        "#Tax estimated",
        "#Tax actual",
    )
    return Table("Estimated and actual", columns(*heads), cells, notes=list(_outcome_notes(state)))


def _outcome_notes(state: Document) -> Iterable[Cell]:
    if state.get("residual") is not None:
        yield f"Left untraded: {Decimal(state['residual']):.4%} of the value before."
    for difference in state.get("differences", ()):
        yield (
            f"{difference['symbol']}: {difference['booked']} in the books, "
            f"{difference['expected']} expected from the state before and the fills."
        )
    yield from state.get("reasons", ())


# In words


def remarks(event: RebalancingEvent) -> list[str]:
    """What should be known before anything is decided."""
    found = list(event.warnings)
    if event.failure:
        found.insert(0, f"failed: {event.failure}")
    outdated = event.status in UNDECIDED and (expiry_reason(event) or books_changed(event))
    if outdated:
        found.insert(0, f"this proposal no longer holds: {outdated}")
    return found


def quality_in_words(event: RebalancingEvent) -> str:
    """How close to the best possible the proposal is known to be."""
    distance, bound, gap = event.tracking_distance, event.distance_bound, event.optimality_gap
    if distance is None:
        return "Its distance from the targets is not known."
    found = f"Distance from the targets after trading: {distance:.{RATIO_PLACES}f} of the value. "
    if gap == 0:
        return found + "Proven: no trades under these rules come closer."
    if bound is None or gap is None:
        return found + "No bound is proven."
    return found + (
        f"Proven bound: {bound:.{RATIO_PLACES}f}; other trades could come closer by at most "
        f"{gap:.{RATIO_PLACES}f} (found by the {event.get_gear_display().lower()} search)."
    )


def approvals_in_words(event: RebalancingEvent) -> str:
    """How many approvals the present version has, and needs."""
    given = approvals_of(event)
    found = f"Approvals of version {event.version}: {len(given)} given"
    is_complete = all("amount" in action for action in event.actions)
    if event.status != EventStatus.PENDING or not is_complete:
        return f"{found}."
    quorum = quorum_of(event)
    level = ", at least one of them by a manager" if quorum.level == MANAGER_LEVEL else ""
    return f"{found} of {quorum.approvals} needed{level}."


def traded_in_words(event: RebalancingEvent) -> str:
    """What would be sold and bought, in short."""
    parts = []
    for side, verb in (("sell", "sold"), ("buy", "bought")):
        trades = [action for action in event.actions if action["side"] == side]
        if trades:
            amount = sum((Decimal(action.get("amount") or 0) for action in trades), Decimal(0))
            count = "one trade" if len(trades) == 1 else f"{len(trades)} trades"
            parts.append(f"{_plain(event, amount)} {verb} in {count}")
    cost, tax = _plain(event, event.estimated_cost), _plain(event, event.estimated_tax)
    return f"{', '.join(parts) or 'nothing traded'}; estimated cost {cost}, tax {tax}."


def _plain(event: RebalancingEvent, amount: Decimal | None) -> str:
    currency = event.portfolio.base_currency
    return "unknown" if amount is None else f"{digits(amount, currency.minor_units)} {currency.code}"


# Cells


def _name(entry: Document) -> Cell:
    if not entry.get("exchange"):
        return str(entry["symbol"])
    return format_html('{} <span class="quiet">{}</span>', entry["symbol"], entry["exchange"])


def _figure(value: Any, places: int, *, signed: bool = False, least_places: int | None = None) -> SafeString:
    number = None if value is None else Decimal(value)
    return figure(number, places, signed=signed, least_places=least_places)


def _quantity(value: Any) -> SafeString:
    return _figure(value, 8, least_places=0)


def _points(value: Any, *, signed: bool = False) -> SafeString:
    return figure(None if value is None else Decimal(value), 2, signed=signed, unit="%")


def _money(event: RebalancingEvent, value: Any, *, signed: bool = False) -> SafeString:
    return _figure(value, event.portfolio.base_currency.minor_units, signed=signed)


def _price(action: Document, code: str) -> SafeString:
    """In base currency, and below it as it is quoted where that is another one."""
    price = _figure(action.get("price"), 4, least_places=2)
    quoted = action.get("currency")
    if not quoted or quoted == code or action.get("local_price") is None:
        return price
    return format_html(
        '{} <span class="quiet aside">{}</span>',
        price,
        f"{digits(Decimal(action['local_price']), 4, least_places=2)} {quoted}",
    )


def _cost(event: RebalancingEvent, action: Document) -> SafeString:
    places = event.portfolio.base_currency.minor_units
    parts = {name: Decimal(part) for name, part in (action.get("costs") or {}).items()}
    shown = ", ".join(f"{name} {digits(part, places)}" for name, part in parts.items() if part)
    total = _money(event, action.get("cost"))
    return format_html('{} <span class="quiet aside">{}</span>', total, shown) if shown else total


def _target(outcome: Document) -> SafeString:
    target = _points(outcome.get("target"))
    constrained = outcome.get("constrained_target")
    if constrained is None or constrained == outcome.get("target"):
        return target
    aside = f"allowed: {digits(Decimal(constrained), 2)}%"
    return format_html('{} <span class="quiet aside">{}</span>', target, aside)


def _off_target(outcome: Document) -> SafeString:
    """How far the line ends from its target, and below it what its destination would still have taken."""
    after, target, undone = (outcome.get(name) for name in ("weight_after", "target", "residual"))
    if after is None or target is None:
        return figure(None)
    off = _points(Decimal(after) - Decimal(target), signed=True)
    if undone is None or Decimal(undone) in (0, Decimal(after) - Decimal(target)):
        return off
    return format_html(
        '{} <span class="quiet aside">left undone: {}%</span>', off, digits(Decimal(undone), 2, signed=True)
    )


def _decision(outcome: Document) -> SafeString:
    side = outcome.get("side")
    if not side:
        return badge("hold", "calm")
    return format_html("{} {}", badge(side, SIDE_TONES.get(side, "calm")), _quantity(outcome.get("quantity")))


def _reason(reason: Any, remarks: Any) -> SafeString:
    texts = remarks if isinstance(remarks, list) else []
    lines = format_html_join("", '<span class="quiet aside">{}</span>', ((str(text),) for text in texts))
    return format_html("{} {}", reason or "", lines) if texts else format_html("{}", reason or "")


def _lot(lot: Document) -> Cell:
    return _link("portfolios_transaction", lot["lot"], str(lot.get("opened") or lot["lot"]))


def _booking(fill: Any) -> Cell:
    if fill.transaction_id is not None:
        return _link("portfolios_transaction", fill.transaction_id, f"transaction {fill.transaction_id}")
    return badge("more than ordered", "bad") if fill.is_excess else "not booked"


def _link(view: str, key: Any, text: str) -> SafeString:
    return format_html('<a href="{}">{}</a>', reverse(f"admin:{view}_change", args=[key]), text)


def _cash_line(event: RebalancingEvent, proposal: Document) -> list[list[Cell]]:
    """What stays in cash, where it is known."""
    before, value = event.pre_state.get("cash"), event.pre_state.get("value")
    if before is None or not value or not Decimal(value):
        return []
    after = proposal.get("cash_after")
    weights = [None if cash is None else Decimal(cash) / Decimal(value) * 100 for cash in (before, after)]
    target = figure(None, reason="what the targets of the lines leave")
    return [["Cash", *map(_points, weights), target, "", "", "what the trades leave"]]

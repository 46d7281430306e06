"""What corporate actions do to the lots of a book: splits, spin-offs, mergers and symbol changes."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from fractions import Fraction

from portfolios.calculations.entries import CorporateAction
from portfolios.calculations.lots import (
    ZERO,
    Lot,
    allocate_costs,
    split_lots,
    total_quantity,
)
from portfolios.calculations.positions import Positions, Side, cost_of, currency_gain
from portfolios.calculations.values import Market, Value

_ORDER = ("split", "spin_off", "merger", "symbol_change")
_ONE = Fraction(1)


@dataclass(kw_only=True)
class Effect:
    """What an action moved besides lots.

    cash: received, in `currency` (negative: paid for a short position); without a currency nothing was
    exchanged for cash. proceeds: the same in base currency.
    realized, currency_gain: of what was exchanged for cash. exchanged: by asset the market value in base
    currency that went into it (positive) or out of it. problem: why the action could not be followed.
    """

    currency: str = ""
    cash: Decimal = ZERO
    proceeds: Value = field(default_factory=lambda: Value(ZERO))
    realized: Value = field(default_factory=lambda: Value(ZERO))
    currency_gain: Value = field(default_factory=lambda: Value(ZERO))
    exchanged: dict[int, Value] = field(default_factory=dict)
    problem: str = ""

    def exchange(self, source: int, target: int, worth: Value) -> None:
        for asset, value in ((source, -worth), (target, worth)):
            self.exchanged[asset] = self.exchanged.get(asset, Value(ZERO)) + value


def action_key(action: CorporateAction) -> tuple[object, ...]:
    """The order of actions within a day: what a company does to its shares, then what becomes of them."""
    place = _ORDER.index(action.kind) if action.kind in _ORDER else len(_ORDER)
    return place, action.asset, action.kind, action.ratio or 0


def in_order(actions: Iterable[CorporateAction]) -> list[CorporateAction]:
    """The actions of one day, so that what turns into another share does so before that one's own actions."""
    waiting = sorted(actions, key=action_key)
    ordered: list[CorporateAction] = []
    while waiting:
        results = {action.new_asset for action in waiting if action.new_asset != action.asset}
        # Shares that turn into each other have no order: then the first is taken.
        following = next((action for action in waiting if action.asset not in results), waiting[0])
        ordered.append(following)
        waiting.remove(following)
    return ordered


def apply_action(action: CorporateAction, positions: Positions, market: Market) -> Effect | None:
    """Change the lots as the action says; None when nothing of it is held or nothing is to be booked.

    Costs and dates of purchase go with the shares. Cash dividends are booked as transactions. The cost of a
    spin-off, or of a merger into shares and cash, is divided as `cost_allocation` says, else by market values
    of the day (US Treas. Reg. 1.358-2); where these are unknown the costs are unknown too. A price of the old
    shares that is carried to the day of a spin-off still contains what was spun off, which is taken from it.
    """
    sides = positions.sides_of(action.asset)
    if not sides or action.kind == "cash_dividend":
        return None
    if _is_incomplete(action):
        kind = f"{action.kind} of {action.date.isoformat()}"
        return Effect(problem=f"{market.name(action.asset)}: the {kind} does not say what becomes of it")
    effect = Effect()
    for side in sides:
        if action.kind == "split":
            positions.open(
                action.asset, side, split_lots(positions.take(action.asset, side), action.ratio or _ONE)
            )
        elif action.kind == "spin_off":
            _spin_off(action, positions, side, market, effect)
        else:
            _exchange(action, positions, side, market, effect)
    return effect


def _is_incomplete(action: CorporateAction) -> bool:
    match action.kind:
        case "split":
            return action.ratio is None
        case "spin_off":
            return action.ratio is None or action.new_asset is None
        case "symbol_change":
            return action.new_asset is None
        case "merger":
            return action.amount is None if action.new_asset is None else action.ratio is None
        case _:
            return True


def _spin_off(
    action: CorporateAction, positions: Positions, side: Side, market: Market, effect: Effect
) -> None:
    old = positions.take(action.asset, side)
    new_quantity = total_quantity(split_lots(old, action.ratio or _ONE))
    child = _new_shares_worth(action, new_quantity, market)
    parent = market.worth(action.asset, total_quantity(old), action.date)
    if not market.traded(action.asset, action.date):
        parent -= child
    kept, moved = allocate_costs(old, _share(action, child, parent))
    positions.open(action.asset, side, kept)
    moved = _open_new_shares(action, positions, side, moved, market)
    _note_exchange(action, moved, child, market, effect)


def _exchange(
    action: CorporateAction, positions: Positions, side: Side, market: Market, effect: Effect
) -> None:
    """A merger or a symbol change: the old shares go, for new ones, for cash, or for both."""
    old = positions.take(action.asset, side)
    quantity = total_quantity(old)
    currency = market.currency_of(action.asset)
    cash = quantity * action.amount if action.amount else ZERO
    proceeds = market.converted(cash, currency, action.date)
    if action.new_asset is None:
        paid_for, moved = old, []
    elif not cash:
        paid_for, moved = [], old
    else:
        new_quantity = total_quantity(split_lots(old, action.ratio or _ONE))
        share = _share(action, _new_shares_worth(action, new_quantity, market), proceeds)
        paid_for, moved = allocate_costs(old, share)
    if moved:
        moved = _open_new_shares(action, positions, side, moved, market)
        worth = _new_shares_worth(action, total_quantity(moved), market)
        if worth.amount is None:
            worth = market.worth(action.asset, quantity, action.date) - proceeds
        _note_exchange(action, moved, worth, market, effect)
    if paid_for:
        name = market.name(action.asset)
        rate = market.rate(currency, action.date) if currency != market.base_currency else None
        gain = currency_gain(market, action.asset, paid_for, currency=currency, rate=rate, name=name)
        effect.currency, effect.cash = currency, effect.cash + cash
        effect.proceeds += proceeds
        effect.realized += proceeds - cost_of(paid_for, name)
        effect.currency_gain += gain
        effect.exchanged[action.asset] = effect.exchanged.get(action.asset, Value(ZERO)) - proceeds


def _share(action: CorporateAction, moved: Value, kept: Value) -> Decimal | None:
    """The share of the cost that moves with the new shares; None where the values say nothing of it."""
    if action.cost_allocation is not None:
        return action.cost_allocation
    total = moved + kept
    if moved.amount is None or not total.amount:
        return None
    share = moved.amount / total.amount
    return share if 0 <= share <= 1 else None


def _new_shares_worth(action: CorporateAction, quantity: Decimal, market: Market) -> Value:
    """At the market; before the new shares trade, at the value that a spin-off states for one of them."""
    new_asset = action.new_asset if action.new_asset is not None else action.asset
    worth = market.worth(new_asset, quantity, action.date)
    if worth.amount is None and action.kind == "spin_off" and action.amount is not None:
        return market.converted(quantity * action.amount, market.currency_of(action.asset), action.date)
    return worth


def _open_new_shares(
    action: CorporateAction, positions: Positions, side: Side, moved: Sequence[Lot], market: Market
) -> list[Lot]:
    new_asset = action.new_asset if action.new_asset is not None else action.asset
    lots = split_lots(moved, action.ratio or _ONE)
    if market.currency_of(new_asset) != market.currency_of(action.asset):
        lots = [replace(lot, local_cost=market.local(new_asset, lot.cost, action.date)) for lot in lots]
    positions.open(new_asset, side, lots)
    return lots


def _note_exchange(
    action: CorporateAction, moved: Sequence[Lot], worth: Value, market: Market, effect: Effect
) -> None:
    if action.new_asset is not None:
        value = cost_of(moved, market.name(action.new_asset)) if worth.amount is None else worth
        effect.exchange(action.asset, action.new_asset, value)

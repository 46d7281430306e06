"""Random books that the ledger accepts: every kind of transaction and of corporate action, two currencies."""

from collections import defaultdict
from dataclasses import dataclass
from decimal import Decimal

from hypothesis import strategies as st

from portfolios.calculations.entries import CorporateAction, Entry
from tests.portfolios.calculations.booking import action, add_days, entry, split

FIRST_DAY, DAYS = "2020-01-01", 14
# In EUR, and may split, turn into the third or bring it forth; in USD, and may be transferred; the heir.
HOME, ABROAD, HEIR = 1, 2, 3
CURRENCY_OF = {HOME: "EUR", ABROAD: "USD", HEIR: "EUR"}
CHANGES: tuple[tuple[str, dict[str, str | int]], ...] = (
    ("symbol_change", {}),
    ("merger", {"ratio": "3/2"}),
    ("merger", {"ratio": "1/2", "amount": 40, "cost_allocation": "0.7"}),
    ("merger", {"amount": 90}),
    ("spin_off", {"ratio": "1/4", "cost_allocation": "0.15"}),
)
# In the order of the day, so that what is sold or covered is there.
KINDS = (
    "deposit", "transfer_in", "currency_exchange", "buy", "short", "cover", "sell", "dividend", "interest",
    "interest_charge", "fee", "fee_refund", "tax", "tax_refund", "withdrawal", "transfer_out",
)  # fmt: skip


@dataclass(frozen=True)
class RandomBook:
    entries: list[Entry]
    actions: list[CorporateAction]
    prices: dict[int, dict[str, float | str]]
    rates: dict[str, dict[str, float | str]]


@st.composite
def random_books(draw: st.DrawFn) -> RandomBook:
    days = [str(add_days(FIRST_DAY, day)) for day in range(DAYS)]
    level = st.integers(20, 300)
    prices: dict[int, dict[str, float | str]] = {
        asset: {day: str(draw(level)) for day in days if draw(st.booleans())} for asset in CURRENCY_OF
    }
    rates: dict[str, dict[str, float | str]] = {
        "USD": {day: str(Decimal(draw(st.integers(50, 150))) / 100) for day in days}
    }
    actions = [
        split(HOME, day, draw(st.sampled_from(["2", "1/3", "7/3"])))
        for day in draw(st.sets(st.sampled_from(days), max_size=2))
    ]
    change = draw(st.sampled_from((None, *CHANGES)))
    if change is not None:
        kind, terms = change
        heir = None if terms.keys() == {"amount"} else HEIR
        actions.append(action(kind, HOME, days[draw(st.integers(3, 10))], heir, **terms))

    steps = st.tuples(
        st.integers(0, DAYS - 1),
        st.sampled_from(KINDS),
        st.integers(1, 40),
        st.sampled_from(list(CURRENCY_OF)),
    )
    held: defaultdict[tuple[str, int], Decimal] = defaultdict(Decimal)
    entries: list[Entry] = []
    waiting = sorted(actions, key=lambda change: (change.date, change.kind != "split"))
    opening = st.tuples(
        st.integers(0, 4), st.sampled_from(["buy", "buy", "short"]), st.integers(1, 40), st.just(HOME)
    )
    chosen = draw(st.lists(steps, max_size=12)) + draw(st.lists(opening, max_size=3))
    for number, kind, size, asset in sorted(chosen, key=lambda step: (step[0], KINDS.index(step[1]))):
        day = days[number]
        while waiting and str(waiting[0].date) <= day:
            change_holdings(held, waiting.pop(0))
        if kind.startswith("transfer"):
            asset = ABROAD
        currency = CURRENCY_OF[asset]
        rate = (
            Decimal(draw(st.integers(50, 150))) / 100 if currency == "USD" and draw(st.booleans()) else None
        )
        fee, tax = draw(st.integers(0, 3)), draw(st.integers(0, 3))
        quantity = Decimal(size)
        if kind in {"sell", "cover", "transfer_out"}:
            side = "short" if kind == "cover" else "long"
            quantity = held[side, asset] * min(size, 20) / 20
            if not quantity:
                continue
            held[side, asset] -= quantity
        elif kind in {"buy", "short", "transfer_in"}:
            held["short" if kind == "short" else "long", asset] += quantity

        if kind in {"buy", "sell", "short", "cover", "transfer_in", "transfer_out"}:
            price = (
                draw(level) if kind != "transfer_in" or draw(st.booleans()) or not prices[ABROAD] else None
            )
            if kind == "transfer_in" and not any(known <= day for known in prices[ABROAD]):
                price = 50
            entries.append(
                entry(
                    kind, day, asset, currency, quantity=quantity, price=price, fx_rate=rate, fee=fee, tax=tax
                )
            )
        elif kind == "currency_exchange":
            entries.append(
                entry(kind, day, None, "USD", "EUR", amount=size, counter_amount=size + 1, fee=fee, tax=tax)
            )
        else:
            entries.append(entry(kind, day, None, currency, amount=size * 10, fx_rate=rate, fee=fee, tax=tax))
    return RandomBook(entries, actions, prices, rates)


def change_holdings(held: defaultdict[tuple[str, int], Decimal], change: CorporateAction) -> None:
    ratio = change.ratio or 1
    for side in ("long", "short"):
        units = held[side, HOME]
        if change.kind != "spin_off":
            held[side, HOME] = Decimal(0)
        target = HOME if change.kind == "split" else change.new_asset
        if target is not None:
            held[side, target] += units * Decimal(ratio.numerator) / ratio.denominator

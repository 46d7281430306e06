"""Random books that the ledger accepts: two assets, two currencies, every kind of transaction."""

from collections import defaultdict
from dataclasses import dataclass
from decimal import Decimal

from hypothesis import strategies as st

from portfolios.calculations.entries import CorporateAction, Entry
from tests.portfolios.calculations.booking import add_days, entry, split

FIRST_DAY, DAYS = "2020-01-01", 14
HOME, ABROAD = 1, 2  # an asset in EUR, which may split, and one in USD, which may be transferred
CURRENCY_OF = {HOME: "EUR", ABROAD: "USD"}
# In the order of the day, so that what is sold or covered is there.
KINDS = (
    "deposit", "transfer_in", "currency_exchange", "buy", "cover", "sell", "short", "dividend", "interest",
    "interest_charge", "fee", "fee_refund", "tax", "tax_refund", "withdrawal", "transfer_out",
)  # fmt: skip


@dataclass(frozen=True)
class RandomBook:
    entries: list[Entry]
    splits: list[CorporateAction]
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
    splits = [
        split(HOME, day, draw(st.sampled_from(["2", "1/3", "7/3"])))
        for day in draw(st.sets(st.sampled_from(days), max_size=2))
    ]

    steps = st.tuples(
        st.integers(0, DAYS - 1), st.sampled_from(KINDS), st.integers(1, 40), st.sampled_from([HOME, ABROAD])
    )
    held: defaultdict[tuple[str, int], Decimal] = defaultdict(Decimal)
    entries: list[Entry] = []
    done_splits: set[str] = set()
    for number, kind, size, asset in sorted(
        draw(st.lists(steps, max_size=15)), key=lambda step: (step[0], KINDS.index(step[1]))
    ):
        day = days[number]
        for action in splits:
            if str(action.date) <= day and str(action.date) not in done_splits and action.ratio:
                done_splits.add(str(action.date))
                for side in ("long", "short"):
                    held[side, HOME] *= Decimal(action.ratio.numerator) / action.ratio.denominator
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
    return RandomBook(entries, splits, prices, rates)

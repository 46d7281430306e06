"""Short ways to write a book down and to value it."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import count
from typing import Any

import numpy as np

from portfolios.calculations.carrying import Days, Floats
from portfolios.calculations.entries import CorporateAction, Entry
from portfolios.calculations.ledger import DayBook, book_walk
from portfolios.calculations.lots import CostMethod
from portfolios.calculations.valuation import Valuation, book_value

Table = Mapping[str, float | str]  # ISO date -> price or rate

_ids = count(1)


def entry(
    kind: str,
    day: str | date,
    asset: int | None = None,
    currency: str = "EUR",
    counter_currency: str | None = None,
    settles: str | None = None,
    **numbers: str | int | float | Decimal | None,
) -> Entry:
    figures: dict[str, Any] = {
        name: None if number is None else Decimal(str(number)) for name, number in numbers.items()
    }
    return Entry(
        id=next(_ids),
        date=date.fromisoformat(day) if isinstance(day, str) else day,
        kind=kind,
        asset=asset,
        currency=currency,
        counter_currency=counter_currency,
        settle_date=date.fromisoformat(settles) if settles else None,
        **figures,
    )


def split(asset: int, day: str | date, ratio: Fraction | str) -> CorporateAction:
    ex_date = date.fromisoformat(day) if isinstance(day, str) else day
    return CorporateAction(asset=asset, date=ex_date, kind="split", ratio=Fraction(ratio))


def action(
    kind: str, asset: int, day: str, new_asset: int | None = None, **terms: str | int
) -> CorporateAction:
    """terms: ratio, amount, cost_allocation."""
    return CorporateAction(
        asset=asset,
        date=date.fromisoformat(day),
        kind=kind,
        new_asset=new_asset,
        ratio=Fraction(terms["ratio"]) if "ratio" in terms else None,
        amount=Decimal(terms["amount"]) if "amount" in terms else None,
        cost_allocation=Decimal(terms["cost_allocation"]) if "cost_allocation" in terms else None,
    )


def last_known(table: Table, day: date) -> Decimal | None:
    known = [published for published in table if date.fromisoformat(published) <= day]
    return Decimal(str(table[max(known)])) if known else None


def walk(
    entries: Iterable[Entry],
    actions: Iterable[CorporateAction] = (),
    *,
    base: str = "EUR",
    method: CostMethod = "fifo",
    rates: Mapping[str, Table] | None = None,
    prices: Mapping[int, Table] | None = None,
    asset_currencies: Mapping[int, str] | None = None,
    names: Mapping[int, str] | None = None,
) -> list[DayBook]:
    return book_walk(
        entries,
        actions,
        base_currency=base,
        cost_method=method,
        rate=lambda currency, day: last_known((rates or {}).get(currency, {}), day),
        market_price=lambda asset, day: last_known((prices or {}).get(asset, {}), day),
        traded=lambda asset, day: day.isoformat() in (prices or {}).get(asset, {}),
        asset_currencies=asset_currencies,
        names=names,
    )


def value(
    books: Sequence[DayBook],
    prices: Mapping[int, Table],
    calendar: Days | None = None,
    *,
    base: str = "EUR",
    asset_currencies: Mapping[int, str] | None = None,
    rates: Mapping[str, Table] | None = None,
    splits: Iterable[CorporateAction] = (),
    names: Mapping[int, str] | None = None,
    max_carry: int = 7,
) -> Valuation:
    """Without a calendar: the days with a price, from the first event on."""
    bar_dates = np.array(sorted({day for table in prices.values() for day in table}), dtype="datetime64[D]")
    closes = np.array(
        [[float(table.get(str(day), np.nan)) for day in bar_dates] for table in prices.values()]
    ).reshape(len(prices), len(bar_dates))
    if calendar is None:
        calendar = bar_dates[bar_dates >= np.datetime64(books[0].date)]
    return book_value(
        books,
        calendar=calendar,
        asset_ids=list(prices),
        asset_currencies=[(asset_currencies or {}).get(asset, base) for asset in prices],
        bar_dates=bar_dates,
        closes=closes,
        fx_rates={
            currency: (
                np.array(sorted(table), dtype="datetime64[D]"),
                np.array([float(table[day]) for day in sorted(table)]),
            )
            for currency, table in (rates or {}).items()
        },
        base_currency=base,
        fx_max_carry_days=max_carry,
        splits=splits,
        names=names,
    )


def every_day(first: str | date, last: str | date) -> Days:
    return np.arange(np.datetime64(first, "D"), np.datetime64(last, "D") + 1)


def add_days(first: str, days: int) -> date:
    return date.fromisoformat(first) + timedelta(days=days)


def at(valuation: Valuation, figures: Floats, day: str) -> float:
    """The figure (T,) of one day."""
    (place,) = np.flatnonzero(valuation.timeline == np.datetime64(day))
    return float(figures[place])


def reasons_at(valuation: Valuation, day: str) -> dict[str, str]:
    (place,) = np.flatnonzero(valuation.timeline == np.datetime64(day))
    return valuation.reasons[place]

"""The reasons beside a valuation, day by day: why a value is unknown, what to know of one that is not."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from portfolios.calculations.carrying import Carried, Days, Floats
from portfolios.calculations.ledger import DayBook

Reasons = list[dict[str, str]]


@dataclass(frozen=True, kw_only=True)
class Holdings:
    """What the values of T days were made of: A assets and C currencies of cash.

    held, costs, positions, prices: (A, T). cash in its currency and cash_base in base currency: (C, T).
    rates: by currency (T,), NaN where missing or too old; their ages are those of the last published rate.
    """

    timeline: Days
    names: Sequence[str]
    asset_currencies: Sequence[str]
    held: NDArray[np.bool_]
    prices: Carried
    costs: Floats
    positions: Floats
    currencies: Sequence[str]
    cash: Floats
    cash_base: Floats
    rates: dict[str, Carried]
    base_currency: str
    fx_max_carry_days: int


def explain_values(
    holdings: Holdings, fx_on_cash: Floats, books: Sequence[DayBook], book_days: NDArray[np.intp]
) -> Reasons:
    """One dictionary per day: the name of an unknown field, or of a mark, and its reason.

    Marks: "prices" (carried, or at cost), "fx" (carried), "overdraft", "positions" (a corporate action
    that could not be followed, as long as its asset is held).
    book_days: where on the timeline each book stands.
    """
    reasons: Reasons = [{} for _ in holdings.timeline]
    next_books = np.append(book_days, len(reasons))[1:]
    for day, next_book, book in zip(book_days, next_books, books, strict=True):
        for unknown in book.unknown:
            field = "fx_on_cash" if unknown.field == "cash_booked" else unknown.field
            # Wrong positions stay wrong; everything else is of the day.
            for place in range(day, next_book if field == "positions" else day + 1):
                _add(reasons[place], field, unknown.reason)
    _mark_prices(holdings, reasons)
    _mark_rates(holdings, reasons)
    _mark_overdrafts(holdings, reasons)
    _explain_values(holdings, reasons)
    _explain_costs(holdings, reasons)
    for day in np.flatnonzero(np.isnan(fx_on_cash)):
        reasons[day].setdefault("fx_on_cash", "the value of cash or of its movements is unknown")
    return reasons


def _add(day_reasons: dict[str, str], field: str, reason: str) -> None:
    known = day_reasons.get(field)
    day_reasons[field] = f"{known}; {reason}" if known else reason


def _mark_prices(holdings: Holdings, reasons: Reasons) -> None:
    carried = holdings.held & (holdings.prices.age > 0)
    for row, day, published, age in _carried_items(carried, holdings.prices.age, holdings.timeline):
        _add(reasons[day], "prices", f"{holdings.names[row]}: price of {published}, {age} old")
    for row, day in np.argwhere(holdings.held & np.isnan(holdings.prices.values)):
        _add(reasons[day], "prices", f"{holdings.names[row]}: at cost")


def _mark_rates(holdings: Holdings, reasons: Reasons) -> None:
    priced = holdings.held & np.isfinite(holdings.prices.values)
    for currency, rates in sorted(holdings.rates.items()):
        assets = [
            row for row, asset_currency in enumerate(holdings.asset_currencies) if asset_currency == currency
        ]
        needed = priced[assets].any(axis=0)
        if currency in holdings.currencies:
            needed |= holdings.cash[holdings.currencies.index(currency)] != 0
        carried = needed & np.isfinite(rates.values) & (rates.age > 0)
        for _, day, published, age in _carried_items(carried[None], rates.age[None], holdings.timeline):
            _add(reasons[day], "fx", f"{currency}: rate of {published}, {age} old")


def _carried_items(
    carried: NDArray[np.bool_], ages: Floats, timeline: Days
) -> Iterator[tuple[int, int, np.datetime64, str]]:
    for row, day in np.argwhere(carried):
        age = int(ages[row, day])
        yield row, day, timeline[day] - np.timedelta64(age, "D"), f"{age} day{'s' if age != 1 else ''}"


def _mark_overdrafts(holdings: Holdings, reasons: Reasons) -> None:
    for row, day in np.argwhere(holdings.cash < 0):
        _add(reasons[day], "overdraft", f"{holdings.currencies[row]} {holdings.cash[row, day]:.2f}")


def _explain_values(holdings: Holdings, reasons: Reasons) -> None:
    positions, cash = holdings.positions, holdings.cash_base
    for day in np.flatnonzero(np.isnan(positions).any(axis=0) | np.isnan(cash).any(axis=0)):
        invested: dict[str, list[str]] = defaultdict(list)
        for row in np.flatnonzero(np.isnan(positions[:, day])).tolist():
            if np.isnan(holdings.prices.values[row, day]):
                invested["no price and no known cost"].append(holdings.names[row])
            else:
                invested[_missing_rate(holdings, holdings.asset_currencies[row])].append(holdings.names[row])
        in_cash: dict[str, list[str]] = {
            _missing_rate(holdings, holdings.currencies[row]): [f"{holdings.currencies[row]} cash"]
            for row in np.flatnonzero(np.isnan(cash[:, day])).tolist()
        }
        everything = {
            cause: invested.get(cause, []) + in_cash.get(cause, []) for cause in {**invested, **in_cash}
        }
        rest = np.nansum(positions[:, day]) + np.nansum(cash[:, day])
        if invested:
            _add(reasons[day], "invested_value", _spell_out(invested))
            _add(reasons[day], "unrealized_pnl", _spell_out(invested))
        if in_cash:
            _add(reasons[day], "cash_value", _spell_out(in_cash))
        _add(
            reasons[day],
            "total_value",
            f"{_spell_out(everything)}; the rest is worth {rest:.2f} {holdings.base_currency}",
        )


def _missing_rate(holdings: Holdings, currency: str) -> str:
    return f"no {holdings.base_currency} rate for {currency} within {holdings.fx_max_carry_days} days"


def _spell_out(causes: dict[str, list[str]]) -> str:
    return "; ".join(f"{', '.join(parts)}: {cause}" for cause, parts in causes.items())


def _explain_costs(holdings: Holdings, reasons: Reasons) -> None:
    for row, day in np.argwhere(np.isnan(holdings.costs)):
        for field in ("cost_basis", "unrealized_pnl"):
            _add(reasons[day], field, f"{holdings.names[row]}: cost unknown")

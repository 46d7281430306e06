"""What a book is worth on every day: steps of quantities and cash, times carried prices and rates."""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from portfolios.calculations.carrying import Carried, Days, Floats, carry_forward
from portfolios.calculations.corporate_actions import action_key
from portfolios.calculations.entries import CorporateAction
from portfolios.calculations.ledger import ASSET_FIGURES, DAY_FIGURES, DayBook
from portfolios.calculations.value_reasons import Holdings, explain_values

# Reasons that belong to what happened on a day, not to how things stood at its end.
_OF_A_DAY = {*DAY_FIGURES, "fx_on_cash"}

Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True, kw_only=True)
class Valuation:
    """A book on its timeline of T days: the calendar and, between its days, the days of other events.

    Money is in base currency, float64; NaN = unknown, with the reason under the field's name in `reasons`.
    quantities, prices, price_age, fx, positions, weights: (A, T) in the order of `asset_ids`. prices: as
    traded, in the asset's currency, carried and adjusted for the splits since; price_age: days since then;
    fx: base per unit of the asset's currency. weights: |value| over the sum of |value|, cash apart; 0 when
    nothing is held. net_purchases, asset_income, asset_costs: (A, T), what was put into an asset that day
    less what was taken out, what it paid, and the fees and taxes of its lines. cash: by currency (T,), in
    that currency. The others are (T,); inflow ... fx_on_cash are of that day, and fx_on_cash = change of
    cash_value - cash movements as booked. After days of unknown cash it covers them all, so that such a day
    between those of the calendar adds nothing. reasons: per day; besides fields it has the marks "prices",
    "fx", "overdraft" and "positions".

    value(t) - value(t-1) = inflow - outflow + realized + change of unrealized_pnl - transferred_pnl + income
    + fx_on_cash - fees - taxes.
    """

    timeline: Days
    is_calendar: NDArray[np.bool_]
    asset_ids: tuple[int, ...]
    quantities: Floats
    prices: Floats
    price_age: Floats
    fx: Floats
    positions: Floats
    weights: Floats
    cash: dict[str, Floats]
    total_value: Floats
    invested_value: Floats
    cash_value: Floats
    cost_basis: Floats
    unrealized_pnl: Floats
    inflow: Floats
    outflow: Floats
    realized: Floats
    realized_fx: Floats
    income: Floats
    fees: Floats
    trading_costs: Floats
    taxes: Floats
    transferred_pnl: Floats
    fx_on_cash: Floats
    net_purchases: Floats
    asset_income: Floats
    asset_costs: Floats
    reasons: list[dict[str, str]]


def book_value(
    books: Sequence[DayBook],
    *,
    calendar: Days,
    asset_ids: Sequence[int],
    asset_currencies: Sequence[str],
    bar_dates: Days,
    closes: Floats,
    fx_rates: Mapping[str, tuple[Days, Floats]],
    base_currency: str,
    fx_max_carry_days: int,
    splits: Iterable[CorporateAction] = (),
    names: Mapping[int, str] | None = None,
) -> Valuation:
    """Value the books on every day of `calendar` and on every day of an event.

    calendar: datetime64[D]. asset_ids, asset_currencies: the A assets, at least all that were ever held.
    closes: (A, N) as traded on `bar_dates` (N,), NaN = no bar. fx_rates: currency -> (dates, base per unit).
    splits: corporate actions; a price carried over a split is divided by its ratio, one carried over a
    spin-off is less what was spun off, and what came of a merger or a symbol change has the price of the old
    shares until it trades itself.

    A price is carried at any age, a rate for at most fx_max_carry_days. Another asset that has had no price
    up to a day stands at its cost. Where a rate is missing the position or cash is unknown, and so is the
    total. Raises ValueError for dates that do not ascend and for a held asset that is not among asset_ids.
    """
    strangers = {asset for book in books for asset in book.quantities}.difference(asset_ids)
    if strangers:
        raise ValueError(f"held, but without prices: assets {sorted(strangers)}")

    event_days = np.array([book.date for book in books], dtype="datetime64[D]")
    timeline = np.union1d(calendar.astype("datetime64[D]"), event_days)
    step = np.searchsorted(event_days, timeline, side="right")

    prices = carry_forward(timeline, bar_dates, closes)
    _follow_actions(prices, timeline, dict(zip(asset_ids, asset_currencies, strict=True)), splits)
    quantities = _steps([book.quantities for book in books], asset_ids, step)
    costs = _steps([_costs_of(book) for book in books], asset_ids, step)
    held = (quantities != 0) | (costs != 0)
    currencies = sorted({currency for book in books for currency in book.cash})
    cash = _steps([book.cash for book in books], currencies, step)

    rates = {
        currency: _carried_rates(currency, timeline, fx_rates, base_currency, fx_max_carry_days)
        for currency in {*currencies, *asset_currencies}
    }
    fx = np.array([rates[currency].values for currency in asset_currencies]).reshape(quantities.shape)
    market = quantities * prices.values * fx
    positions = np.where(held, np.where(np.isnan(prices.values), costs, market), 0.0)
    cash_rates = np.array([rates[currency].values for currency in currencies]).reshape(cash.shape)
    cash_base = np.where(cash != 0, cash * cash_rates, 0.0)

    invested_value, cash_value, cost_basis = positions.sum(0), cash_base.sum(0), costs.sum(0)
    book_days = np.searchsorted(timeline, event_days)
    figures = _day_figures(books, book_days, len(timeline))
    cash_booked = figures.pop("cash_booked")
    fx_on_cash = np.zeros(len(timeline))
    is_calendar = np.isin(timeline, calendar)
    if set(currencies) - {base_currency}:
        gain = _gain_on_cash(cash_value, cash_booked)
        fx_on_cash = np.where(np.isnan(cash_value) & ~is_calendar, 0.0, gain)

    holdings = Holdings(
        timeline=timeline,
        names=[(names or {}).get(asset, f"asset {asset}") for asset in asset_ids],
        asset_currencies=asset_currencies,
        held=held,
        prices=prices,
        costs=costs,
        positions=positions,
        currencies=currencies,
        cash=cash,
        cash_base=cash_base,
        rates=rates,
        base_currency=base_currency,
        fx_max_carry_days=fx_max_carry_days,
    )
    return Valuation(
        timeline=timeline,
        is_calendar=is_calendar,
        asset_ids=tuple(asset_ids),
        quantities=quantities,
        prices=prices.values,
        price_age=prices.age,
        fx=fx,
        positions=positions,
        weights=gross_weights(positions),
        cash=dict(zip(currencies, cash, strict=True)),
        total_value=invested_value + cash_value,
        invested_value=invested_value,
        cash_value=cash_value,
        cost_basis=cost_basis,
        unrealized_pnl=invested_value - cost_basis,
        fx_on_cash=fx_on_cash,
        reasons=explain_values(holdings, fx_on_cash, books, book_days),
        **figures,
        **{name: _asset_figures(books, name, asset_ids, step) for name in ASSET_FIGURES},
    )


def calendar_reasons(valuation: Valuation) -> list[dict[str, str]]:
    """Reasons of the calendar days (M,). What is unknown of a day between them is said on the next one."""
    rows: list[dict[str, str]] = []
    pending: dict[str, str] = {}
    for is_calendar, reasons in zip(valuation.is_calendar, valuation.reasons, strict=True):
        if is_calendar:
            rows.append({**pending, **reasons})
            pending = {}
        else:
            pending |= {field: reason for field, reason in reasons.items() if field in _OF_A_DAY}
    return rows


def gross_weights(positions: Floats) -> Floats:
    """|value| over the sum of |value| per day. (A, T) -> (A, T); 0 when nothing is held, NaN when unknown."""
    gross = np.abs(positions)
    total = gross.sum(axis=0)
    weights = np.zeros_like(gross)
    np.divide(gross, total, out=weights, where=total != 0)
    return weights


def _costs_of(book: DayBook) -> dict[int, Decimal | float]:
    return {asset: book.costs.get(asset, np.nan) for asset in book.quantities}


def _steps(
    events: Sequence[Mapping[Key, Decimal | float]], keys: Sequence[Key], step: NDArray[np.intp]
) -> Floats:
    """(K, T) of what holds on each day, 0 before the first event. step: events on or before the day."""
    rows = {key: row for row, key in enumerate(keys)}
    states = np.zeros((len(keys), len(events) + 1))
    before: Mapping[Key, Decimal | float] = {}
    for column, event in enumerate(events, start=1):
        states[:, column] = states[:, column - 1]
        for key in before.keys() - event.keys():
            states[rows[key], column] = 0.0
        for key, value in event.items():
            # What an event leaves alone is the same object as before.
            if value is not before.get(key):
                states[rows[key], column] = value
        before = event
    return states[:, step]


def _asset_figures(
    books: Sequence[DayBook], name: str, asset_ids: Sequence[int], step: NDArray[np.intp]
) -> Floats:
    """(A, T) of what belongs to single days; NaN where unknown."""
    rows = {asset: row for row, asset in enumerate(asset_ids)}
    figures = np.zeros((len(asset_ids), len(step)))
    # The place on the timeline where each book is reached.
    places = np.searchsorted(step, np.arange(1, len(books) + 1))
    for place, book in zip(places, books, strict=True):
        for asset, value in getattr(book, name).items():
            figures[rows[asset], place] = np.nan if value is None else value
    return figures


def _follow_actions(
    prices: Carried, timeline: Days, currencies: Mapping[int, str], actions: Iterable[CorporateAction]
) -> None:
    """Prices over splits, and those of shares that do not trade yet from what they came of."""
    rows = {asset: row for row, asset in enumerate(currencies)}
    for action in sorted(actions, key=lambda action: (action.date, *action_key(action))):
        row, new_row = rows.get(action.asset), rows.get(action.new_asset or action.asset)
        if row is None or new_row is None:
            continue
        ratio = float(action.ratio or 1)
        days_since = (timeline - np.datetime64(action.date)).astype(np.int64)
        if action.kind == "split":
            carried_over = (days_since >= 0) & (prices.age[row] > days_since)
            prices.values[row, carried_over] /= ratio
        elif action.kind == "spin_off" and _is_in_shares(action, currencies):
            _take_out_new_shares(prices, row, new_row, action, days_since)
        elif action.kind in {"merger", "symbol_change"} and _is_in_shares(action, currencies):
            left = prices.values[row] - float(action.amount or 0)
            waiting = (days_since >= 0) & np.isnan(prices.values[new_row]) & (left > 0)
            prices.values[new_row, waiting] = left[waiting] / ratio
            prices.age[new_row, waiting] = prices.age[row, waiting]


def _take_out_new_shares(
    prices: Carried, row: int, new_row: int, action: CorporateAction, days_since: NDArray[np.int64]
) -> None:
    """New shares have their stated value until they trade; a price of the old ones from before the ex-date
    still contains what they are worth on the first day after it.
    """
    after = days_since >= 0
    if not after.any() or action.ratio is None:
        return
    if action.amount is not None:
        waiting = after & np.isnan(prices.values[new_row])
        prices.values[new_row, waiting] = float(action.amount)
        prices.age[new_row, waiting] = days_since[waiting]
    left = prices.values[row] - float(action.ratio) * prices.values[new_row, np.argmax(after)]
    carried_over = after & (prices.age[row] > days_since) & (left >= 0)
    prices.values[row, carried_over] = left[carried_over]


def _is_in_shares(action: CorporateAction, currencies: Mapping[int, str]) -> bool:
    """Whether new shares came of the old ones whose price is in the same currency."""
    new_asset = action.new_asset
    return new_asset is not None and currencies[action.asset] == currencies[new_asset]


def _carried_rates(
    currency: str,
    timeline: Days,
    fx_rates: Mapping[str, tuple[Days, Floats]],
    base_currency: str,
    max_carry_days: int,
) -> Carried:
    if currency == base_currency:
        return Carried(np.ones(len(timeline)), np.zeros(len(timeline)))
    if currency not in fx_rates:
        return Carried(np.full(len(timeline), np.nan), np.full(len(timeline), np.nan))
    rates = carry_forward(timeline, *fx_rates[currency])
    return Carried(np.where(rates.age <= max_carry_days, rates.values, np.nan), rates.age)


def _day_figures(books: Sequence[DayBook], places: NDArray[np.intp], days: int) -> dict[str, Floats]:
    figures = {}
    for name in DAY_FIGURES:
        figures[name] = np.zeros(days)
        figures[name][places] = [float(getattr(book, name)) for book in books]
    for place, book in zip(places, books, strict=True):
        for unknown in book.unknown:
            if unknown.field in figures:
                figures[unknown.field][place] = np.nan
    return figures


def _gain_on_cash(cash_value: Floats, cash_booked: Floats) -> Floats:
    gain = np.full(len(cash_value), np.nan)
    known = np.flatnonzero(np.isfinite(cash_value))
    if len(known):
        starts = np.concatenate([[0], known[:-1] + 1])
        booked = np.add.reduceat(cash_booked[: known[-1] + 1], starts)
        gain[known] = np.diff(cash_value[known], prepend=0.0) - booked
    return gain

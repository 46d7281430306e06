"""How much of a return the assets earned where they are at home, and how much the exchange rates added."""

from dataclasses import dataclass

import numpy as np

from analytics.calculations.contribution import capital_of_positions, opening_and_closing, position_results
from analytics.calculations.twr import NO_CAPITAL, Floats, SubPeriods


@dataclass(frozen=True)
class CurrencyReturns:
    """Fractions, of any one shape: (1 + local)(1 + fx) - 1 = base. NaN = unknown or nothing at work."""

    local: Floats
    fx: Floats
    base: Floats

    def linked(self) -> "CurrencyReturns":
        """The compound returns along the last axis; unknown as soon as one of them is."""
        return CurrencyReturns(
            *(np.asarray(np.prod(1 + part, axis=-1) - 1) for part in (self.local, self.fx, self.base))
        )


@dataclass(frozen=True)
class PositionReturns(CurrencyReturns):
    """Per asset and sub-period, (A, K). capital: what was at work; result: profit; both in base currency."""

    capital: Floats
    result: Floats

    @property
    def is_at_work(self) -> np.ndarray:
        """Capital that is unknown is no absence of capital."""
        return ~(np.abs(self.capital) < NO_CAPITAL)

    def within(self, periods: slice) -> "PositionReturns":
        """Those of some sub-periods."""
        parts = (self.local, self.fx, self.base, self.capital, self.result)
        return PositionReturns(*(part[:, periods] for part in parts))

    def linked(self) -> CurrencyReturns:
        """Compound returns per asset, (A,), over the sub-periods in which it was at work; NaN if in none."""
        held = self.is_at_work
        parts = (
            np.where(held.any(axis=-1), np.prod(np.where(held, 1 + part, 1.0), axis=-1) - 1, np.nan)
            for part in (self.local, self.fx, self.base)
        )
        return CurrencyReturns(*parts)


def position_returns(
    periods: SubPeriods,
    positions: Floats,
    fx: Floats,
    net_purchases: Floats,
    income: Floats,
    costs: Floats,
) -> PositionReturns:
    """Local, currency and base return of every position.

    periods: the K sub-periods. positions, net_purchases, income, costs: (A, T) in base currency, as in
    `contributions`. fx: (A, T) base currency per unit of the asset's, 1 for an asset in base currency.

        base = profit / capital,    fx = opening value * (rate(t) / rate(t-1) - 1) / capital,
        local = (1 + base) / (1 + fx) - 1

    with the capital of `capital_of_positions`. So fx is the change of the rate, but what is bought during a
    sub-period bears it from its end on: money paid at the day's rate has gained nothing from it. Of a short
    position these are the returns of what is sold short, its capital being negative (Karnosky and Singer
    1994 for the product of the two).

    NaN where nothing is at work, and local and fx where a rate that is needed is unknown.
    """
    opening, _ = opening_and_closing(periods, positions)
    first_rate, last_rate = opening_and_closing(periods, fx)
    capital = capital_of_positions(periods, positions, net_purchases)
    result = position_results(periods, positions, net_purchases, income, costs)
    at_work = np.where(np.abs(capital) >= NO_CAPITAL, capital, np.nan)
    change = np.full_like(capital, np.nan)
    np.divide(last_rate, first_rate, out=change, where=first_rate > 0)
    gain = np.where(opening == 0, 0.0, opening * (change - 1))
    base, by_rates = result / at_work, gain / at_work
    return PositionReturns(_without(base, by_rates), by_rates, base, capital, result)


def portfolio_returns(
    positions: PositionReturns,
    capital: Floats | None = None,
    cash_result: Floats | float = 0.0,
    fx_on_cash: Floats | float = 0.0,
) -> CurrencyReturns:
    """Local, currency and base return of the whole per sub-period, (K,).

    capital: (K,) of the whole, that of the positions by default. cash_result: (K,) what the cash earned, and
    fx_on_cash the part of it that the exchange rates did, in base currency.

    base = sum of all results / capital. local = the positions' local returns weighted by their capital, and
    what the cash earned apart from exchange rates. fx = (1 + base) / (1 + local) - 1 is the rest. The result
    of a position without capital is local.

    Without capital all three are 0, as the time-weighted return is. NaN where the capital is negative, where
    the local return of a position at work is unknown, and, for fx alone, where locally everything was lost.
    """
    own = np.where(positions.is_at_work, positions.capital * positions.local, positions.result)
    if capital is None:
        capital = positions.capital.sum(axis=0)
    at_work = np.where(capital >= NO_CAPITAL, capital, np.nan)
    is_idle = np.abs(capital) < NO_CAPITAL
    base = np.where(is_idle, 0.0, (positions.result.sum(axis=0) + cash_result) / at_work)
    local = np.where(is_idle, 0.0, (own.sum(axis=0) + cash_result - fx_on_cash) / at_work)
    return CurrencyReturns(local, _without(base, local), base)


def _without(whole: Floats, part: Floats) -> Floats:
    """(1 + whole) / (1 + part) - 1; NaN where nothing is left of the part."""
    rest = np.full(np.shape(whole), np.nan)
    np.divide(whole - part, 1 + part, out=rest, where=1 + part > 0)
    return rest

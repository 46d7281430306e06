"""What the sales of a proposal cost in tax, and which limits on gains they meet."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal, localcontext

from analytics.calculations.sale_lots import SoldLot, TaxRates, Term
from portfolios.calculations.lots import EXACT, ZERO


def realised_gain(sold: Iterable[SoldLot], term: Term | None = None) -> Decimal | None:
    """Gain of the lots (of one term), losses that wash sales take away left out; None when one is unknown."""
    total = ZERO
    with localcontext(EXACT):
        for part in sold:
            if term not in (None, part.term):
                continue
            if part.gain is None:
                return None
            total += part.gain + part.disallowed
    return total


def sale_tax(sold: Iterable[SoldLot]) -> Decimal | None:
    """Sum of gain x rate over the lots, negative when losses prevail; None when one is unknown."""
    total = ZERO
    with localcontext(EXACT):
        for part in sold:
            if part.tax is None:
                return None
            total += part.tax
    return total


def proposal_tax(sales: Iterable[Sequence[SoldLot]]) -> Decimal | None:
    """Tax of all sales of one portfolio together: max(0, sum over their lots of gain x rate of the term).

    A loss counts against the gains at the rate of its own term, as its lot shows it, and what is left below
    zero is no refund. So the choice of lots with the least tax for each sale is the least for all of them.
    Losses that wash sales take away do not count. None when the tax of a lot is unknown.
    """
    taxes = [sale_tax(sold) for sold in sales]
    known = [tax for tax in taxes if tax is not None]
    if len(known) < len(taxes):
        return None
    with localcontext(EXACT):
        return max(ZERO, sum(known, ZERO))


@dataclass(frozen=True, slots=True)
class SoonLongTerm:
    """A short-term gain that would be long-term if the sale waited. days: until `turns_on`."""

    sold: SoldLot
    turns_on: date
    days: int


def soon_long_term(
    sold: Iterable[SoldLot], day: date, rates: TaxRates, within_days: int
) -> list[SoonLongTerm]:
    """The gains that turn long-term within so many days after `day`; 0 days: none."""
    found = []
    for part in sold:
        if part.term == "long" or part.gain is None or part.gain <= 0:
            continue
        turns_on = part.opened + timedelta(days=rates.long_term_days + 1)
        days = (turns_on - day).days
        if days <= within_days:
            found.append(SoonLongTerm(part, turns_on, days))
    return found


def above_gain_limit(sold: Iterable[SoldLot], limit: Decimal | None) -> list[SoldLot]:
    """The lots whose short-term gain is above the limit; none without a limit."""
    if limit is None:
        return []
    return [part for part in sold if part.term == "short" and part.gain is not None and part.gain > limit]


def beyond_budget(gains: Mapping[int, Decimal], realised: Decimal, budget: Decimal) -> list[int]:
    """The sales that must go so that the gains of the year stay within the budget; ascending.

    gains: by asset what each sale realises. Losses are kept, then the smallest gains as long as they fit.
    """
    total, left_out = realised, []
    for asset, gain in sorted(gains.items(), key=lambda item: (item[1], item[0])):
        if gain > 0 and total + gain > budget:
            left_out.append(asset)
        else:
            total += gain
    return sorted(left_out)

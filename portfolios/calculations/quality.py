"""How good the values of a book are, day by day, in one word."""

import numpy as np

from portfolios.calculations.valuation import Valuation

# From the best to the worst; what applies last wins.
COMPLETE, CARRIED, AT_COST, MISSING_FX, BLOCKED = "complete", "carried", "at_cost", "missing_fx", "blocked"


def data_quality(valuation: Valuation, *, price_stale_days: int) -> list[str]:
    """The worst that is to be said of each day (T,) of the timeline.

    carried: a price or rate of an earlier day. at_cost: an asset that has had no price yet. missing_fx: a
    position or cash without a rate, so that the total is unknown and the rest is valued. blocked: a held
    price older than `price_stale_days`, a corporate action that could not be followed, or a value that is
    unknown for another reason; no proposal is built on it.
    """
    held = valuation.quantities != 0
    priced = np.isfinite(valuation.prices)
    unconverted = (held & priced & ~np.isfinite(valuation.fx)).any(axis=0) | np.isnan(valuation.cash_value)
    not_followed = np.array(["positions" in reasons for reasons in valuation.reasons], dtype=bool)
    carried_rate = np.array(["fx" in reasons for reasons in valuation.reasons], dtype=bool)
    old = (held & (valuation.price_age > price_stale_days)).any(axis=0)
    days = len(valuation.timeline)
    quality = np.full(days, COMPLETE, dtype=object)
    for word, applies in (
        (CARRIED, (held & (valuation.price_age > 0)).any(axis=0) | carried_rate),
        (AT_COST, (held & ~priced).any(axis=0)),
        (MISSING_FX, unconverted),
        (BLOCKED, old | not_followed | (np.isnan(valuation.total_value) & ~unconverted)),
    ):
        quality[applies] = word
    return [str(word) for word in quality]

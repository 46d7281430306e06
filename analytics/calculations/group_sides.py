"""One side of an attribution by group: what its lines weighed and earned, added up."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analytics.calculations.observations import Floats

# Less of the capital than this is what float arithmetic leaves of none.
NO_WEIGHT = 1e-9


@dataclass(frozen=True)
class GroupSide:
    """weights, earned: (G, K), fractions of the capital at work in each of K sub-periods; NaN = unknown."""

    weights: Floats
    earned: Floats

    @property
    def returns(self) -> Floats:
        """(G, K); NaN without weight."""
        returns = np.full(self.earned.shape, np.nan)
        np.divide(self.earned, self.weights, out=returns, where=np.abs(self.weights) > NO_WEIGHT)
        return returns


def group_side(groups: Sequence[str], labels: Sequence[str], weights: Floats, earned: Floats) -> GroupSide:
    """The lines (L, K) by group, (G, K). labels: the group of each line; one of no group is left out.

    An unknown line makes its own group unknown and no other.
    """
    of_group = [[place for place, label in enumerate(labels) if label == group] for group in groups]
    return GroupSide(
        *(np.stack([lines[places].sum(axis=0) for places in of_group]) for lines in (weights, earned))
    )

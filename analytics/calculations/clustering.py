"""The order in which assets that move together stand side by side."""

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import squareform


def clustered_order(correlations: NDArray[np.float64]) -> NDArray[np.int64]:
    """Positions of the N assets so that the most alike are neighbours, (N, N) symmetric -> (N,).

    Average linkage of the distance √((1 − r) / 2) (Mantegna 1999), its leaves ordered so that neighbours are
    as close as the tree allows (Bar-Joseph et al. 2001). An unknown correlation, NaN, counts as none.
    """
    count = len(correlations)
    if count < 3:
        return np.arange(count)
    known = np.clip(np.nan_to_num(correlations), -1.0, 1.0)
    distances = np.sqrt((1 - known) / 2)
    np.fill_diagonal(distances, 0.0)
    tree = linkage(squareform(distances, checks=False), method="average", optimal_ordering=True)
    return np.asarray(leaves_list(tree), dtype=np.int64)

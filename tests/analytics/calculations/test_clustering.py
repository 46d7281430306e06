"""Assets that move together stand side by side."""

import numpy as np
import pytest

from analytics.calculations.clustering import clustered_order


def test_two_groups_that_were_mixed_are_parted() -> None:
    group = np.array([0, 1, 0, 1, 0, 1])
    correlations = np.where(group[:, None] == group, 0.9, 0.1)
    np.fill_diagonal(correlations, 1.0)
    found = group[clustered_order(correlations)].tolist()
    assert found in ([0, 0, 0, 1, 1, 1], [1, 1, 1, 0, 0, 0])


def test_opposites_are_far_apart() -> None:
    correlations = np.array([[1, -0.9, 0.8], [-0.9, 1, -0.7], [0.8, -0.7, 1]])
    assert clustered_order(correlations).tolist() in ([0, 2, 1], [1, 2, 0])


def test_the_unknown_counts_as_unrelated() -> None:
    unknown = np.full((4, 4), np.nan)
    unknown[0, 3] = unknown[3, 0] = 0.9
    order = clustered_order(unknown).tolist()
    assert sorted(order) == [0, 1, 2, 3]
    assert abs(order.index(0) - order.index(3)) == 1


@pytest.mark.parametrize("count", [0, 1, 2])
def test_up_to_two_have_one_order(count: int) -> None:
    assert clustered_order(np.eye(count)).tolist() == [*range(count)]

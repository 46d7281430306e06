import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from analytics.calculations.fingerprints import joint_fingerprints, pooled_digests, running_fingerprints

TABLES = hnp.arrays(
    np.float64,
    st.tuples(st.integers(1, 12), st.integers(1, 6)),
    elements=st.floats(allow_nan=True, allow_infinity=True),
)


def make_table(rows=300, columns=6, seed=1):
    return np.random.default_rng(seed).normal(size=(rows, columns))


def test_a_row_has_32_hexadecimal_digits():
    prints = running_fingerprints(make_table(), "SPY")
    assert prints.dtype == "S32"
    assert prints.shape == (300,)
    assert all(len(bytes.fromhex(text.decode())) == 16 for text in prints)


def test_no_row_gives_no_fingerprint():
    assert running_fingerprints(make_table()[:0], "SPY").shape == (0,)


@given(table=TABLES, data=st.data())
def test_a_row_is_the_same_however_many_rows_follow(table, data):
    rows = data.draw(st.integers(0, len(table)))
    np.testing.assert_array_equal(
        running_fingerprints(table[:rows], "SPY"), running_fingerprints(table, "SPY")[:rows]
    )


@given(table=TABLES, data=st.data())
def test_they_go_on_from_a_stored_one(table, data):
    whole = running_fingerprints(table, "SPY")
    rows = data.draw(st.integers(1, len(table)))
    rest = running_fingerprints(table[rows:], after=whole[rows - 1])
    np.testing.assert_array_equal(rest, whole[rows:])


@given(table=TABLES, data=st.data())
def test_a_changed_cell_changes_its_row_and_all_later_ones(table, data):
    row = data.draw(st.integers(0, table.shape[0] - 1))
    column = data.draw(st.integers(0, table.shape[1] - 1))
    changed = table.copy()
    # The smallest change there is; to another kind of value where there is no next one.
    changed[row, column] = np.nextafter(table[row, column], 0) if np.isfinite(table[row, column]) else 1.5
    if changed[row, column] == table[row, column]:
        changed[row, column] = 5e-324
    before, after = running_fingerprints(table, "SPY"), running_fingerprints(changed, "SPY")
    np.testing.assert_array_equal(before[:row], after[:row])
    assert (before[row:] != after[row:]).all()


@pytest.mark.parametrize("axis", [0, 1], ids=["rows", "columns"])
def test_the_order_matters(axis):
    table = make_table(rows=2, columns=2)
    before, after = running_fingerprints(table, "SPY"), running_fingerprints(np.flip(table, axis), "SPY")
    assert (before != after).all()


def test_a_row_that_stands_twice_counts_twice():
    prints = running_fingerprints(np.zeros((50, 3)), "SPY")
    assert len(set(prints.tolist())) == 50


def test_another_seed_changes_all_rows():
    table = make_table()
    assert (running_fingerprints(table, "SPY") != running_fingerprints(table, "QQQ")).all()


def test_all_unknowns_are_one_value_and_minus_zero_is_zero():
    other_nan = np.array([0x7FF8000000000123], dtype=np.uint64).view(np.float64)
    table = np.array([[np.nan, 0.0]])
    same = np.array([[other_nan[0], -0.0]])
    assert running_fingerprints(table, "SPY") == running_fingerprints(same, "SPY")
    assert running_fingerprints(table, "SPY") != running_fingerprints(np.zeros((1, 2)), "SPY")
    assert np.isnan(same[0, 0])


def test_the_table_is_left_as_it_was():
    table = np.array([[-0.0, np.nan]])
    running_fingerprints(table, "SPY")
    assert np.signbit(table[0, 0])


def test_many_series_at_once_are_as_each_alone():
    tables = np.stack([make_table(seed=seed) for seed in range(4)])
    together = running_fingerprints(tables, "SPY")
    for table, prints in zip(tables, together, strict=True):
        np.testing.assert_array_equal(prints, running_fingerprints(table, "SPY"))
    rest = running_fingerprints(tables[:, 100:], after=together[:, 99])
    np.testing.assert_array_equal(rest, together[:, 100:])


def test_a_thousand_rows_that_differ_in_one_bit_have_a_thousand_fingerprints():
    values = np.arange(1_000, dtype=np.uint64).view(np.float64)
    prints = running_fingerprints(values[:, None, None], "SPY")
    assert len({text[:16] for text in prints[:, 0].tolist()}) == 1_000
    assert len({text[16:] for text in prints[:, 0].tolist()}) == 1_000


def test_a_text_that_is_no_fingerprint_is_refused():
    with pytest.raises(ValueError, match="fromhex"):
        running_fingerprints(make_table(), after=np.array(b"", dtype="S32"))


def test_two_fingerprints_make_one_and_their_order_counts():
    prints = running_fingerprints(make_table(), "SPY")
    joint = joint_fingerprints(prints[:-1], prints[1:])
    assert joint.dtype == "S32"
    assert len(set(joint.tolist()) | set(prints.tolist())) == 599
    assert (joint != joint_fingerprints(prints[1:], prints[:-1])).all()
    assert joint[7] == joint_fingerprints(prints[7:8], prints[8:9])[0]


def pooled(table, identities, present):
    return pooled_digests(np.array(table, dtype=float), np.array(identities), np.array(present))


def test_pooled_items_count_in_any_order_and_only_where_present():
    first, second = [[1.0, 2.0], [1.0, 3.0]], [[5.0, 6.0], [7.0, np.nan]]
    both = pooled([first, second], [11, 12], [[True, True], [True, False]])
    turned = pooled([second, first], [12, 11], [[True, False], [True, True]])
    np.testing.assert_array_equal(both, turned)
    third = pooled([first, second, first], [11, 12, 13], [[True, True], [True, False], [False, False]])
    np.testing.assert_array_equal(both, third)
    alone = pooled([first], [11], [[True, True]])
    np.testing.assert_array_equal(both[1], alone[1])
    assert (both[0] != alone[0]).any()


@pytest.mark.parametrize("changed", [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_each_number_and_each_identity_of_a_pool_counts(changed):
    table, present = np.arange(4.0).reshape(2, 1, 2), np.ones((2, 1), dtype=bool)
    before = pooled(table, [1, 2], present)
    other = table.copy()
    other[changed[0], 0, changed[1]] += 1e-9
    assert (pooled(other, [1, 2], present) != before).any()
    assert (pooled(table, [1, 3], present) != before).any()
    assert (pooled(table[::-1], [1, 2], present) != before).any()

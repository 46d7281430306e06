"""What is remembered of the lines of a file is what a dict, a counter and a set would say."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portfolios.services.imports import lines
from portfolios.services.imports.lines import FirstLines, LineSet, Occurrences


@given(blocks=st.lists(st.lists(st.integers(0, 20), max_size=8), max_size=12))
def test_first_lines_are_those_of_a_dict(blocks: list[list[int]]) -> None:
    first_lines, known, line = FirstLines(), dict[int, int](), 1
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lines, "MERGED_ROWS", 5)
        for keys in blocks:
            numbers = [line + place for place in range(1, len(keys) + 1)]
            line += len(keys)
            expected = [known.setdefault(key, at) for key, at in zip(keys, numbers, strict=True)]
            assert first_lines.find([(key, "x") for key in keys], numbers) == expected


@given(blocks=st.lists(st.lists(st.sampled_from("abcdef"), max_size=8), max_size=8))
def test_occurrences_are_those_of_a_counter(blocks: list[list[str]]) -> None:
    occurrences, counter = Occurrences(), Counter[str]()
    for contents in blocks:
        expected = []
        for content in contents:
            counter[content] += 1
            expected.append(counter[content])
        assert occurrences.count(contents) == expected


@given(numbers=st.lists(st.integers(1, 40)))
def test_set_of_lines_is_a_set(numbers: list[int]) -> None:
    found = LineSet()
    for number in numbers:
        found.add(number)
    assert {number for number in range(60) if number in found} == set(numbers)

"""Proposals for many portfolios at once, by the fast search."""

from collections.abc import Sequence
from dataclasses import replace

from analytics.calculations.rebalancing import (
    Line,
    Proposal,
    Rules,
    propose,
    propose_found,
    settle_without_search,
    sort_lines,
)
from analytics.calculations.rebalancing_choices import pose
from analytics.calculations.rebalancing_search import find_good_moves


def propose_many(cases: Sequence[tuple[Sequence[Line], Rules]]) -> list[Proposal]:
    """What `propose` finds in gear "fast" for each portfolio, in the given order, searched for together.

    Where the search finds nothing the programme has the last word, which takes as long as it takes.
    """
    fast = [(sort_lines(lines), replace(rules, gear="fast")) for lines, rules in cases]
    proposals = [settle_without_search(*case) for case in fast]
    waiting = [place for place, settled in enumerate(proposals) if settled is None]
    answers = find_good_moves([pose(*fast[place]) for place in waiting])
    for place, found in zip(waiting, answers, strict=True):
        proposals[place] = propose_found(*fast[place], found) if found else propose(*fast[place])
    return [proposal for proposal in proposals if proposal is not None]

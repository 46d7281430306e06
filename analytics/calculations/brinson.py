"""Brinson-Fachler: how much of the active return came from choosing groups, and how much from inside them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analytics.calculations.contribution import linked_effects
from analytics.calculations.twr import Floats

# How far from 1 the weights of a sub-period may add up, in times their gross sum: rounding and no more.
WEIGHT_TOLERANCE = 1e-12


@dataclass(frozen=True)
class Attribution:
    """Effects per group and sub-period, (G, K), fractions; portfolio and benchmark: their returns, (K,).

    In each sub-period the effects of all groups add up to portfolio - benchmark. NaN = unknown; reasons: per
    sub-period the groups whose return is missing, empty when none is.
    """

    groups: tuple[str, ...]
    allocation: Floats
    selection: Floats
    interaction: Floats
    portfolio: Floats
    benchmark: Floats
    reasons: list[str]

    @property
    def active(self) -> Floats:
        return self.portfolio - self.benchmark

    def linked(self) -> "LinkedAttribution":
        """The effects on the whole time, which add up to the difference of the compound returns."""
        return LinkedAttribution(
            groups=self.groups,
            allocation=linked_effects(self.allocation, self.portfolio, self.benchmark),
            selection=linked_effects(self.selection, self.portfolio, self.benchmark),
            interaction=linked_effects(self.interaction, self.portfolio, self.benchmark),
            portfolio=float(np.prod(1 + self.portfolio) - 1),
            benchmark=float(np.prod(1 + self.benchmark) - 1),
        )


@dataclass(frozen=True)
class LinkedAttribution:
    """Effects per group over the whole time, (G,), linked as Carino (1999) does; compound returns."""

    groups: tuple[str, ...]
    allocation: Floats
    selection: Floats
    interaction: Floats
    portfolio: float
    benchmark: float

    @property
    def active(self) -> float:
        return self.portfolio - self.benchmark


def brinson_fachler(
    groups: Sequence[str],
    portfolio_weights: Floats,
    portfolio_returns: Floats,
    benchmark_weights: Floats,
    benchmark_returns: Floats,
    *,
    portfolio_contributions: Floats | None = None,
) -> Attribution:
    """Allocation, selection and interaction of each group in each sub-period.

    All arrays (G, K), fractions. Weights are those at the start of the sub-period; they may be negative and
    add up to 1 on either side. A return may be NaN where its side has no weight.

        allocation  = (wp - wb)(rb - B)
        selection   = wb (rp - rb)
        interaction = (wp - wb)(rp - rb)

    with B = sum of wb rb (Brinson and Fachler 1985; the three effects as in Bacon 2008, chapter 5). A group
    with a return on one side only takes it for both, so that a bet outside the benchmark, or against a part
    of it, is allocation altogether. portfolio_contributions: (G, K), when they are known better than as
    wp rp: a group may have earned something without weight; that is interaction.

    A return that is missing where there is weight makes the effects of that sub-period NaN, with a reason.
    Raises ValueError where the weights of a side are unknown or do not add up to 1.
    """
    for side, weights in (("portfolio", portfolio_weights), ("benchmark", benchmark_weights)):
        _check_weights(side, weights)
    contributed = portfolio_contributions
    if contributed is None:
        contributed = _weighted(portfolio_weights, portfolio_returns)
    of_benchmark = _weighted(benchmark_weights, benchmark_returns)
    portfolio, benchmark = contributed.sum(axis=0), of_benchmark.sum(axis=0)

    theirs = np.where(np.isnan(benchmark_returns), portfolio_returns, benchmark_returns)
    theirs = np.where(np.isnan(theirs), benchmark, theirs)
    ours = np.where(np.isnan(portfolio_returns), theirs, portfolio_returns)
    allocation = (portfolio_weights - benchmark_weights) * (theirs - benchmark)
    selection = benchmark_weights * (ours - theirs)
    interaction = contributed - portfolio_weights * theirs - selection
    is_known = np.isfinite(portfolio - benchmark)
    return Attribution(
        groups=tuple(groups),
        allocation=np.where(is_known, allocation, np.nan),
        selection=np.where(is_known, selection, np.nan),
        interaction=np.where(is_known, interaction, np.nan),
        portfolio=portfolio,
        benchmark=benchmark,
        reasons=_missing_returns(groups, np.isnan(contributed), np.isnan(of_benchmark)),
    )


def _weighted(weights: Floats, returns: Floats) -> Floats:
    return np.where(weights == 0, 0.0, weights * returns)


def _check_weights(side: str, weights: Floats) -> None:
    total, gross = weights.sum(axis=0), np.abs(weights).sum(axis=0)
    # An unknown total fails the comparison too.
    wrong = np.flatnonzero(~(np.abs(total - 1) <= WEIGHT_TOLERANCE * np.maximum(gross, 1)))
    if len(wrong):
        place = int(wrong[0])
        raise ValueError(
            f"the weights of the {side} add up to {total[place]:.12g}, not 1, in sub-period {place + 1}"
        )


def _missing_returns(
    groups: Sequence[str], of_portfolio: NDArray[np.bool_], of_benchmark: NDArray[np.bool_]
) -> list[str]:
    texts = []
    for ours, theirs in zip(of_portfolio.T, of_benchmark.T, strict=True):
        parts = [f"return of {group} unknown" for group, gap in zip(groups, ours, strict=True) if gap]
        parts += [
            f"return of {group} in the benchmark unknown"
            for group, gap in zip(groups, theirs, strict=True)
            if gap
        ]
        texts.append("; ".join(parts))
    return texts

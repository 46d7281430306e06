"""What all writers of computed rows share."""

import datetime as dt
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from django.db.models import Model

from analytics.models import AnalyticsRun
from analytics.services.restatements import Cause, figures_of, restatements_write
from portfolio_site.kernel.bulk_replace import Range, bulk_replace

# Written with a change, but no change by themselves: a row that stays as it was keeps the run that made it.
# One that other code has computed anew names that code, even where it found the same.
PROVENANCE = ("run", "inputs_hash", "calculated_at")
MONEY_PLACES = 6


def rows_replace(
    run: AnalyticsRun,
    model: type[Model],
    columns: Mapping[str, Any],
    *,
    key: tuple[str, str],
    first: Mapping[int, dt.date],
    causes: Mapping[int, Sequence[Cause]],
) -> int:
    """Store the rows of many subjects, each from its `first` day on; return how many changed.

    `key` names the subject and the day, by which the rows ascend. The subjects are those of `first`; one may
    have no rows. Rows of days for which there is nothing to compute any more go. What was published and
    becomes another figure is restated; where nothing is stored yet, nothing is read.
    """
    subject, day = key
    return bulk_replace(
        model,
        columns,
        Range(subject, day, first, run.calculation_date),
        provenance=PROVENANCE,
        watched=[*figures_of(model, columns)],
        before=partial(restatements_write, run, columns=columns, key=key, causes=causes),
    )


def rounded_money(values: np.ndarray) -> np.ndarray:
    """The one rounding of money on its way to the table; minus zero becomes zero."""
    return np.round(values, MONEY_PLACES) + 0.0


def joined_columns(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The rows of several subjects as one set of columns.

    A value that stands for all rows of its part stays one value where all parts have the same.
    """
    lengths = [next(len(values) for values in part.values() if _is_column(values)) for part in parts]
    return {name: _joined([part[name] for part in parts], lengths) for name in (parts[0] if parts else ())}


def _joined(pieces: list[Any], lengths: list[int]) -> Any:
    if not any(_is_column(piece) for piece in pieces) and all(piece == pieces[0] for piece in pieces):
        return pieces[0]
    if all(isinstance(piece, np.ndarray) for piece in pieces):
        return np.concatenate(pieces)
    lists = (
        piece if _is_column(piece) else [piece] * length
        for piece, length in zip(pieces, lengths, strict=True)
    )
    return [value for values in lists for value in values]


def _is_column(values: Any) -> bool:
    return isinstance(values, list | np.ndarray)

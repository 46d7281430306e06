"""Restatements: what a published figure was before it changed, and what had changed before it did."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from math import isnan
from typing import Any

import numpy as np
from django.db.models import BooleanField, CharField, DecimalField, Field, FloatField, IntegerField, QuerySet

from analytics.calculations.constants import ENGINE_VERSION
from analytics.models import AnalyticsRun, Restatement
from analytics.models.computed import ComputedRow
from analytics.selectors.planning import Cause
from portfolio_site.kernel import clock
from portfolio_site.kernel.bulk import bulk_upsert
from portfolio_site.kernel.columns import read_columns
from portfolios.models import ChangeCause

# What an indicator that is computed from another first day may differ by: of its value, and of the largest
# value of its column, for those that are differences near zero.
OF_VALUE = 1e-9
OF_LARGEST = 1e-12
OF_MONEY = 1e-14
# More than a date can be away from 1970.
DAYS_OF_A_SUBJECT = 2**24
NUMBERS = (DecimalField, FloatField, IntegerField)
WORDS = (BooleanField, CharField)
CAUSES = {*ChangeCause.values}
OF_EVERY_ROW = {field.name for field in ComputedRow._meta.get_fields()}
UNEXPLAINED: Cause = {
    "cause": "recomputed",
    "subject": "no change was known when the run was planned",
    "from_date": None,
}


def restatements_write(
    run: AnalyticsRun,
    rows: QuerySet[Any],
    *,
    columns: Mapping[str, Any],
    key: tuple[str, str],
    causes: Mapping[int, Sequence[Cause]],
) -> int:
    """Note which figures of the stored `rows` become others with `columns`; return of how many rows.

    To be called before the rows are written, in the same transaction. `rows`: the stored rows that are not
    equal to the new ones. `columns`: as for `bulk_upsert`, by ascending subject and day. `key` names these
    two. A stored row that is not among the columns goes, and its figures become null. `causes`: by subject,
    what had changed, each from its `from_date` on.
    """
    subject, day = key
    figures = figures_of(rows.model, columns)
    stored = _stored_columns(rows.order_by(*key), key, figures)
    if not len(stored[day]):
        return 0
    becoming = _Becoming(columns, key, stored)
    new = {name: becoming.figure(field, columns[name]) for name, field in figures.items()}
    changed = {
        name: _differs(field, stored[name], new[name], becoming.largest(field, columns[name]))
        for name, field in figures.items()
    }
    restated = np.flatnonzero(np.any(list(changed.values()), axis=0))
    if not len(restated):
        return 0
    subjects, days = stored[subject][restated], stored[day][restated]
    reasons = _reasons(subjects, days, stored["engine_version"][restated], causes)
    return bulk_upsert(
        Restatement,
        {
            subject: subjects,
            "row_date": days,
            "table_name": rows.model._meta.db_table,
            "run": run.pk,
            "changes": _changes(restated, figures, changed, stored, new),
            "cause": [_main_cause(reason) for reason in reasons],
            "causes": reasons,
            "created_at": clock.now(),
        },
        key=(subject, "row_date", "table_name", "run"),
    )


def figures_of(model: Any, columns: Mapping[str, Any]) -> dict[str, Field]:
    """The numbers and words of a row, without its key, its reasons, who wrote it and hidden state."""
    left_out = {*OF_EVERY_ROW, model._meta.pk.name}
    fields = {name: model._meta.get_field(name) for name in columns if name not in left_out}
    return {
        name: field
        for name, field in fields.items()
        if field.editable and isinstance(field, (*NUMBERS, *WORDS))
    }


def _stored_columns(
    rows: QuerySet[Any], key: tuple[str, str], figures: Mapping[str, Field]
) -> dict[str, np.ndarray]:
    many = [name for name, field in figures.items() if isinstance(field, DecimalField | FloatField)]
    stored = read_columns(rows, *key, "engine_version", *many)
    others = [name for name in figures if name not in stored]
    if others and len(stored[key[0]]):
        found = zip(*rows.values_list(*others), strict=True)
        for name, values in zip(others, found, strict=True):
            stored[name] = _plain_column(figures[name], values)
    return stored


class _Becoming:
    """The new rows, seen from the stored ones."""

    def __init__(
        self, columns: Mapping[str, Any], key: tuple[str, str], stored: Mapping[str, np.ndarray]
    ) -> None:
        subject, day = key
        days = np.asarray(columns[day]).astype("datetime64[D]")
        subjects = np.broadcast_to(np.asarray(columns[subject], dtype=np.int64), days.shape)
        new, old = _places(subjects, days), _places(stored[subject], stored[day])
        if np.any(np.diff(new) <= 0):
            raise ValueError(f"the rows do not ascend by {subject} and {day}")
        self.stays = np.isin(old, new)
        self.rows = np.searchsorted(new, old[self.stays])
        self.of_subjects = np.flatnonzero(np.isin(subjects, stored[subject]))
        self.subjects, self.starts = np.unique(subjects[self.of_subjects], return_index=True)
        self.stored_subjects = stored[subject]

    def figure(self, field: Field, values: Any) -> np.ndarray:
        """On the stored days; null on days that have none."""
        staying = _plain_column(field, _taken(values, self.rows))
        of_stored = np.full(len(self.stays), np.nan if isinstance(field, NUMBERS) else None, staying.dtype)
        of_stored[self.stays] = staying
        return of_stored

    def largest(self, field: Field, values: Any) -> np.ndarray:
        """The largest absolute value of the column among the new rows of each stored row's subject."""
        largest = np.zeros(len(self.stays))
        if isinstance(field, FloatField) and len(self.starts):
            sizes = np.abs(_plain_column(field, _taken(values, self.of_subjects)))
            of_each = np.nan_to_num(np.fmax.reduceat(sizes, self.starts))
            places = np.searchsorted(self.subjects, self.stored_subjects).clip(max=len(self.subjects) - 1)
            has_rows = self.subjects[places] == self.stored_subjects
            largest[has_rows] = of_each[places[has_rows]]
        return largest


def _places(subjects: np.ndarray, days: np.ndarray) -> np.ndarray:
    """Subject and day as one number that orders as the two do."""
    return subjects * DAYS_OF_A_SUBJECT + days.astype(np.int64)


def _taken(values: Any, rows: np.ndarray) -> Any:
    if isinstance(values, np.ndarray):
        return values[rows]
    if isinstance(values, list | tuple):
        return [values[row] for row in rows.tolist()]
    return [values] * len(rows)


def _plain_column(field: Field, values: Any) -> np.ndarray:
    """Numbers as the table keeps them, NaN for null; words as objects."""
    if not isinstance(field, NUMBERS):
        return np.array(values, dtype=object)
    numbers = np.asarray(values, dtype=np.float64)
    numbers = np.where(np.isfinite(numbers), numbers, np.nan)
    return np.round(numbers, field.decimal_places) if isinstance(field, DecimalField) else numbers


def _differs(field: Field, old: np.ndarray, new: np.ndarray, largest: np.ndarray) -> np.ndarray:
    if not isinstance(field, NUMBERS):
        return np.array([before != after for before, after in zip(old, new, strict=True)], dtype=bool)
    was_known, is_known = ~np.isnan(old), ~np.isnan(new)
    size = np.fmax(np.abs(old), np.abs(new))
    if isinstance(field, DecimalField):
        # Money is rounded once, so that another figure is another last digit; a float keeps about 16.
        noise = 1.5 * 10.0**-field.decimal_places + OF_MONEY * size
    else:
        noise = np.fmax(OF_VALUE * size, OF_LARGEST * largest)
    with np.errstate(invalid="ignore"):
        moved = np.abs(new - old) > noise
    return (was_known != is_known) | moved


def _changes(
    restated: np.ndarray,
    figures: Mapping[str, Field],
    changed: Mapping[str, np.ndarray],
    stored: Mapping[str, np.ndarray],
    becoming: Mapping[str, np.ndarray],
) -> list[dict[str, list[Any]]]:
    """By figure, what it was and what it is, for each restated row."""
    changes: list[dict[str, list[Any]]] = [{} for _ in restated]
    for name, field in figures.items():
        places = np.flatnonzero(changed[name][restated])
        rows = restated[places]
        old, new = (_values(field, values[name][rows]) for values in (stored, becoming))
        for place, before, after in zip(places.tolist(), old, new, strict=True):
            changes[place][name] = [before, after]
    return changes


def _values(field: Field, column: np.ndarray) -> list[Any]:
    """As the table has them: money as text with all its digits, the unknown as null."""
    values = column.tolist()
    if not isinstance(field, NUMBERS):
        return values
    if isinstance(field, DecimalField):
        digit = Decimal(1).scaleb(-field.decimal_places)
        return [None if isnan(value) else str(Decimal(repr(value)).quantize(digit)) for value in values]
    kind = float if isinstance(field, FloatField) else int
    return [None if isnan(value) else kind(value) for value in values]


def _reasons(
    subjects: np.ndarray,
    days: np.ndarray,
    versions: np.ndarray,
    causes: Mapping[int, Sequence[Cause]],
) -> list[list[Cause]]:
    """For each row the changes on its day or before; rows with the same reasons share one list."""
    shared: dict[tuple[Any, ...], list[Cause]] = {}
    reasons = []
    for subject, date, version in zip(subjects.tolist(), days.tolist(), versions.tolist(), strict=True):
        text, known = date.isoformat(), causes.get(subject, ())
        applies = tuple(_is_before(cause, text) for cause in known)
        if (subject, applies, version) not in shared:
            found = [cause for cause, holds in zip(known, applies, strict=True) if holds]
            if version != ENGINE_VERSION:
                found.append(_code_cause(version))
            shared[subject, applies, version] = found or [UNEXPLAINED]
        reasons.append(shared[subject, applies, version])
    return reasons


def _is_before(cause: Cause, day: str) -> bool:
    """A corporate action rewrites the adjusted prices of all days before it, too."""
    since = cause["from_date"]
    return since is None or since <= day or cause["cause"] == ChangeCause.CORPORATE_ACTION


def _code_cause(version: str) -> Cause:
    subject = f"computed by version {version or 'unknown'}, now by {ENGINE_VERSION}"
    return {"cause": ChangeCause.CODE.value, "subject": subject, "from_date": None}


def _main_cause(reasons: Sequence[Cause]) -> str:
    first = reasons[0]["cause"]
    return first if first in CAUSES else ""

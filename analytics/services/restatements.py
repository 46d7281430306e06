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
    columns: Mapping[str, Any],
    *,
    key: tuple[str, str],
    causes: Sequence[Cause],
) -> int:
    """Note which figures of the stored `rows` become others with `columns`; return of how many rows.

    To be called before the rows are written, in the same transaction. `rows`: the stored rows of one subject.
    `columns`: as for `bulk_upsert`, by ascending day. `key` names the subject and the day. A stored row whose
    day is not among the columns goes, and its figures become null. `causes`: what had changed, each from its
    `from_date` on.
    """
    subject, day = key
    figures = _figures(rows.model, columns)
    rows = rows.order_by(day)
    stored = _stored_columns(rows, day, figures)
    becoming = _columns_on(stored[day], columns, day, figures)
    changed = {name: _differs(field, stored[name], becoming[name]) for name, field in figures.items()}
    restated = np.flatnonzero(np.any(list(changed.values()), axis=0))
    if not len(restated):
        return 0
    days = stored[day][restated]
    reasons = _reasons(rows, day, days, causes)
    return bulk_upsert(
        Restatement,
        {
            subject: columns[subject],
            "row_date": days,
            "table_name": rows.model._meta.db_table,
            "run": run.pk,
            "changes": _changes(restated, figures, changed, stored, becoming),
            "cause": [_main_cause(reason) for reason in reasons],
            "causes": reasons,
            "created_at": clock.now(),
        },
        key=(subject, "row_date", "table_name", "run"),
    )


def _figures(model: Any, columns: Mapping[str, Any]) -> dict[str, Field]:
    """The numbers and words of a row, without its key, its reasons and who wrote it."""
    fields = {name: model._meta.get_field(name) for name in columns if name not in OF_EVERY_ROW}
    return {name: field for name, field in fields.items() if isinstance(field, (*NUMBERS, *WORDS))}


def _stored_columns(rows: QuerySet[Any], day: str, figures: Mapping[str, Field]) -> dict[str, np.ndarray]:
    many = [name for name, field in figures.items() if isinstance(field, DecimalField | FloatField)]
    stored = read_columns(rows, day, *many)
    others = [name for name in figures if name not in stored]
    if others:
        found = zip(*rows.values_list(*others), strict=True)
        for name, values in zip(others, found, strict=True):
            stored[name] = _plain_column(figures[name], values)
    return stored


def _plain_column(field: Field, values: Any) -> np.ndarray:
    """Numbers as the table keeps them, NaN for null; words as objects."""
    if not isinstance(field, NUMBERS):
        return np.array(values, dtype=object)
    numbers = np.array(values, dtype=np.float64)
    numbers = np.where(np.isfinite(numbers), numbers, np.nan)
    return np.round(numbers, field.decimal_places) if isinstance(field, DecimalField) else numbers


def _columns_on(
    stored_days: np.ndarray, columns: Mapping[str, Any], day: str, figures: Mapping[str, Field]
) -> dict[str, np.ndarray]:
    """The new figures on the stored days, null on days that have none."""
    days = np.asarray(columns[day]).astype("datetime64[D]")
    stays = np.isin(stored_days, days)
    places = np.searchsorted(days, stored_days[stays])
    found = {}
    for name, field in figures.items():
        values = np.broadcast_to(_plain_column(field, columns[name]), days.shape)
        on_days = np.full(len(stored_days), None if values.dtype == object else np.nan, dtype=values.dtype)
        on_days[stays] = values[places]
        found[name] = on_days
    return found


def _differs(field: Field, old: np.ndarray, new: np.ndarray) -> np.ndarray:
    if not isinstance(field, NUMBERS):
        return np.array([before != after for before, after in zip(old, new, strict=True)], dtype=bool)
    was_known, is_known = ~np.isnan(old), ~np.isnan(new)
    size = np.fmax(np.abs(old), np.abs(new))
    largest = np.max(size[was_known & is_known], initial=0.0)
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


def _reasons(rows: QuerySet[Any], day: str, days: np.ndarray, causes: Sequence[Cause]) -> list[list[Cause]]:
    """For each day the changes since then or before; rows with the same reasons share one list."""
    older_code = dict(rows.exclude(engine_version=ENGINE_VERSION).values_list(day, "engine_version"))
    shared: dict[tuple[Any, ...], list[Cause]] = {}
    reasons = []
    for date in days.tolist():
        text, version = date.isoformat(), older_code.get(date)
        applies = tuple(_is_before(cause, text) for cause in causes)
        if (applies, version) not in shared:
            found = [cause for cause, holds in zip(causes, applies, strict=True) if holds]
            if version is not None:
                found.append(_code_cause(version))
            shared[applies, version] = found or [UNEXPLAINED]
        reasons.append(shared[applies, version])
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

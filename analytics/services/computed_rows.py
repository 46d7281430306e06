"""What all writers of computed rows share."""

import datetime as dt
from typing import Any

import numpy as np
from django.db.models import QuerySet

# Written with a change, but no change by themselves: a row that stays as it was keeps the run that made it.
PROVENANCE = ("run", "inputs_hash", "engine_version", "calculated_at")
MONEY_PLACES = 6


def rows_drop(rows: QuerySet[Any], date_field: str, first: dt.date, last: dt.date, keep: np.ndarray) -> int:
    """Remove rows between two days for which there is nothing to compute any more."""
    stored = rows.filter(**{f"{date_field}__range": (first, last)})
    wanted = set(keep.astype("datetime64[D]").tolist())
    gone = [day for day in stored.values_list(date_field, flat=True) if day not in wanted]
    if not gone:
        return 0
    return int(rows.filter(**{f"{date_field}__in": gone}).delete()[0])


def rounded_money(values: np.ndarray) -> np.ndarray:
    """The one rounding of money on its way to the table; minus zero becomes zero."""
    return np.round(values, MONEY_PLACES) + 0.0

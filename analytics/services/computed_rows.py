"""What all writers of computed rows share."""

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from django.db.models import Model

from analytics.models import AnalyticsRun
from analytics.services.restatements import Cause, restatements_write
from portfolio_site.kernel.bulk import bulk_upsert

# Written with a change, but no change by themselves: a row that stays as it was keeps the run that made it.
PROVENANCE = ("run", "inputs_hash", "engine_version", "calculated_at")
MONEY_PLACES = 6


def rows_replace(
    run: AnalyticsRun,
    model: type[Model],
    columns: Mapping[str, Any],
    *,
    key: tuple[str, str],
    first: dt.date,
    causes: Sequence[Cause],
) -> int:
    """Store the rows of one subject from `first` to the last day of the run; return how many changed.

    `key` names the subject and the day. Rows of days for which there is nothing to compute any more go. What
    was published and becomes another figure is restated; where nothing is stored yet, nothing is read.
    """
    subject, day = key
    rows = model._default_manager.filter(**{subject: columns[subject]})
    stored = rows.filter(**{f"{day}__range": (first, run.calculation_date)})
    stored_days = set(stored.values_list(day, flat=True))
    dropped = 0
    if stored_days:
        restatements_write(run, stored, columns, key=key, causes=causes)
        gone = stored_days - set(np.asarray(columns[day]).astype("datetime64[D]").tolist())
        if gone:
            dropped = rows.filter(**{f"{day}__in": gone}).delete()[0]
    return dropped + bulk_upsert(model, columns, key=key, provenance=PROVENANCE)


def rounded_money(values: np.ndarray) -> np.ndarray:
    """The one rounding of money on its way to the table; minus zero becomes zero."""
    return np.round(values, MONEY_PLACES) + 0.0

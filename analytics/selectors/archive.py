"""Which history tables there are, and which of their years are in the archive."""

import datetime as dt
from typing import Any

from django.db.models import Model, QuerySet

from analytics.models import (
    AssetCorrelation,
    AssetPerformanceMetrics,
    PortfolioPerformanceHistory,
    PortfolioRiskContribution,
    PortfolioRiskMetrics,
    PortfolioVarBacktest,
)
from portfolios.models import AuditEvent

# The tables that grow with every day, and the date by which they are cut into years.
HISTORY: dict[type[Model], str] = {
    PortfolioPerformanceHistory: "snapshot_date",
    AssetPerformanceMetrics: "calculation_date",
    PortfolioRiskMetrics: "calculation_date",
    PortfolioRiskContribution: "calculation_date",
    PortfolioVarBacktest: "calculation_date",
    AssetCorrelation: "calculation_date",
}
ARCHIVED, RESTORED = "analytics.archived", "analytics.restored"


def first_day(year: int) -> dt.date:
    return dt.date(year, 1, 1)


def rows_of_year(model: type[Model], year: int) -> QuerySet[Any]:
    day = HISTORY[model]
    return model._default_manager.filter(
        **{f"{day}__gte": first_day(year), f"{day}__lt": first_day(year + 1)}
    )


def archived_years(model: type[Model]) -> set[int]:
    """The years whose rows were taken out and not brought back, as the audit trail has it."""
    events = AuditEvent.objects.filter(
        object_type=model._meta.db_table, action__in=(ARCHIVED, RESTORED)
    ).order_by("sequence")
    last = dict(events.values_list("object_id", "action"))
    return {int(year) for year, action in last.items() if action == ARCHIVED}


def archived_through(model: type[Model]) -> dt.date | None:
    """The last day of the archived history; what runs compute begins after it."""
    years = archived_years(model)
    return dt.date(max(years), 12, 31) if years else None


def archive_names(model: type[Model], year: int, sha256: str) -> bool:
    """Whether the audit trail knows this file as one that the year's rows went into."""
    return AuditEvent.objects.filter(
        object_type=model._meta.db_table, object_id=str(year), action=ARCHIVED, after__sha256=sha256
    ).exists()

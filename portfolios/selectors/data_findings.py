"""What the check of the prices found, in short."""

import datetime as dt
from collections.abc import Iterable
from typing import Any

from django.db.models import Count, QuerySet

from portfolios.models import DataFinding, FindingKind, FindingSeverity, FindingStatus


def findings_of(
    asset_ids: Iterable[int] | None = None, from_date: dt.date | None = None
) -> QuerySet[DataFinding]:
    """Of these assets, by default of all, from this day on."""
    findings = DataFinding.objects.select_related("asset")
    if asset_ids is not None:
        findings = findings.filter(asset__in=list(asset_ids))
    return findings if from_date is None else findings.filter(date__gte=from_date)


def open_counts(findings: QuerySet[DataFinding]) -> dict[str, dict[str, int]]:
    """By kind and severity, zeros included."""
    counts: dict[str, dict[str, int]] = {
        kind: dict.fromkeys(FindingSeverity.values, 0) for kind in FindingKind.values
    }
    rows = findings.filter(status=FindingStatus.OPEN).order_by().values_list("kind", "severity")
    for kind, severity, count in rows.annotate(count=Count("pk")):
        counts[kind][severity] = count
    return counts


def newest_open(findings: QuerySet[DataFinding], count: int) -> list[DataFinding]:
    return list(findings.filter(status=FindingStatus.OPEN).order_by("-date", "asset", "kind")[:count])


def finding_as_json(finding: DataFinding) -> dict[str, Any]:
    return {
        "symbol": finding.asset.symbol,
        "exchange": finding.asset.exchange,
        "date": finding.date.isoformat(),
        "kind": finding.kind,
        "severity": finding.severity,
        "detail": finding.detail,
        "measure": finding.measure,
        "related_date": finding.related_date and finding.related_date.isoformat(),
    }

"""Beat's schedules. Defaults live here as data; what an operator edits in the admin is kept.

Times are UTC, after the close of the US exchanges.
"""

import json
from dataclasses import dataclass, field
from typing import Any

from django.db import transaction
from django_celery_beat.models import CrontabSchedule, PeriodicTask
from django_celery_beat.schedulers import DatabaseScheduler


@dataclass(frozen=True)
class DefaultSchedule:
    name: str
    task: str
    description: str
    minute: str = "0"
    hour: str = "*"
    day_of_week: str = "*"
    day_of_month: str = "*"
    arguments: dict[str, Any] = field(default_factory=dict)


DAILY_SECTIONS = ["assets", "performance", "risk", "benchmarks"]
DEFAULT_SCHEDULES = (
    DefaultSchedule(
        "Prices in",
        "portfolios.fetch_prices",
        "Fetches what is new from the feeds of PRICE_FEEDS.",
        minute="0",
        hour="22",
    ),
    DefaultSchedule(
        "Check the stored prices",
        "portfolios.check_data",
        "Looks for what is wrong in the prices and keeps it as findings, after they have come in.",
        minute="15",
        hour="22",
    ),
    DefaultSchedule(
        "Daily figures after the close",
        "analytics.nightly",
        "Asset metrics, performance, risk and benchmarks of whatever is stale.",
        minute="30",
        hour="22",
        arguments={"only": DAILY_SECTIONS},
    ),
    DefaultSchedule(
        "Weekly correlations of all pairs",
        "analytics.nightly",
        "Correlations between all active assets, when the week is over.",
        minute="30",
        hour="1",
        day_of_week="6",
        arguments={"only": ["correlations"]},
    ),
    DefaultSchedule(
        "Drift and proposals",
        "analytics.nightly",
        "Compares every portfolio with its bands and proposes what is due.",
        minute="0",
        hour="23",
        arguments={"only": ["rebalancing"]},
    ),
    DefaultSchedule(
        "Everything that is still stale",
        "analytics.nightly",
        "Closes the night: computes what is left, pairs held together included, and clears the marks.",
        minute="30",
        hour="23",
    ),
    DefaultSchedule(
        "Resume silent runs",
        "analytics.resume_runs",
        "Sends what is left of a run to the workers again when nothing has been heard of it for too long.",
        minute="*/5",
    ),
    DefaultSchedule(
        "Expire stale proposals",
        "analytics.expire_proposals",
        "Closes open proposals that have outlived their policy.",
        minute="5",
    ),
    DefaultSchedule(
        "Apply approved changes",
        "analytics.apply_changes",
        "Sets targets, policies and restrictions that were approved for a later day, when it has come.",
        minute="15",
        hour="0",
    ),
    DefaultSchedule(
        "Resume executions",
        "analytics.resume_executions",
        "Carries on with events that a worker has left in the middle of their execution.",
        minute="2-59/10",
    ),
    DefaultSchedule(
        "Expire unconfirmed uploads",
        "portfolios.expire_uploads",
        "Forgets files that were uploaded and never confirmed.",
        minute="45",
        hour="3",
    ),
    DefaultSchedule(
        "Partitions ahead of time",
        "analytics.make_partitions",
        "Makes the yearly partitions that are missing (PostgreSQL).",
        minute="0",
        hour="4",
        day_of_week="0",
    ),
    DefaultSchedule(
        "Archive old history",
        "analytics.archive",
        "Archives years older than ANALYTICS_RETENTION_YEARS; 0 keeps all.",
        minute="30",
        hour="4",
        day_of_month="1",
    ),
    DefaultSchedule(
        "Check and anchor the audit trail",
        "portfolios.check_audit_trail",
        "Walks the chain of hashes and writes the last one outside the database.",
        minute="15",
        hour="3",
    ),
)


def schedules_ensure() -> int:
    """Add the defaults that are missing by name; never touch one that exists. Returns how many were added."""
    added = 0
    for default in DEFAULT_SCHEDULES:
        if PeriodicTask.objects.filter(name=default.name).exists():
            continue
        with transaction.atomic():
            PeriodicTask.objects.create(
                name=default.name,
                task=default.task,
                crontab=_crontab(default),
                kwargs=json.dumps(default.arguments),
                description=default.description,
            )
        added += 1
    return added


def _crontab(default: DefaultSchedule) -> CrontabSchedule:
    """The one with these times. Nothing keeps operators from having made it more than once."""
    times = {
        "minute": default.minute,
        "hour": default.hour,
        "day_of_week": default.day_of_week,
        "day_of_month": default.day_of_month,
        "month_of_year": "*",
        "timezone": "UTC",
    }
    return CrontabSchedule.objects.filter(**times).first() or CrontabSchedule.objects.create(**times)


class CodeDefaultsScheduler(DatabaseScheduler):
    """django-celery-beat's scheduler, which first adds the defaults that are missing."""

    def setup_schedule(self) -> None:
        schedules_ensure()
        super().setup_schedule()

"""What runs when: the schedules with the last and the next time of each."""

import datetime as dt

from django.contrib import admin
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django_celery_beat.admin import PeriodicTaskAdmin
from django_celery_beat.models import PeriodicTask

from portfolio_site.kernel import clock
from portfolio_site.kernel.admin.figures import badge, figure

admin.site.unregister(PeriodicTask)


@admin.register(PeriodicTask)
class ScheduleAdmin(PeriodicTaskAdmin):
    list_display = ("name", "state", "when", "last_time", "next_time", "total_run_count", "description")
    list_select_related = ("interval", "crontab", "solar", "clocked")
    ordering = ("name",)

    @admin.display(description="status", ordering="enabled")
    def state(self, task: PeriodicTask) -> SafeString:
        return badge("On", "good") if task.enabled else badge("Off", "calm")

    @admin.display(description="when")
    def when(self, task: PeriodicTask) -> str:
        return getattr(task.crontab, "human_readable", "") or str(task.scheduler or "")

    @admin.display(description="last time", ordering="last_run_at")
    def last_time(self, task: PeriodicTask) -> SafeString:
        return _moment(task.last_run_at, "has not run yet")

    @admin.display(description="next time")
    def next_time(self, task: PeriodicTask) -> SafeString:
        if not task.enabled:
            return _moment(None, "it is switched off")
        return _moment(next_run(task), "it runs no more")


def next_run(task: PeriodicTask) -> dt.datetime | None:
    """The next moment of a schedule by the clock, from now on; None where it has none."""
    if task.scheduler is None:
        return None
    now, schedule = clock.now(), task.schedule
    schedule.nowfun = lambda: now
    left = schedule.remaining_estimate(now)
    return None if left is None else now + max(left, dt.timedelta())


def _moment(moment: dt.datetime | None, why_none: str) -> SafeString:
    if moment is None:
        return figure(None, reason=why_none)
    local = timezone.localtime(moment)
    return format_html('<span class="day">{}</span>', f"{local:%Y-%m-%d %H:%M %Z}")

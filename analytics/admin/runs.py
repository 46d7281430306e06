from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.safestring import SafeString

from analytics.admin.figures import RUN_TONES, choice_badge
from analytics.models import AnalyticsRun, RunChunk, RunStatus
from analytics.selectors.run_progress import chunk_progress
from analytics.selectors.visible_runs import visible_runs
from portfolio_site.kernel import clock
from portfolio_site.kernel.admin import DateRangeFilter, ReadOnlyAdmin, document_column
from portfolio_site.kernel.admin.documents import document, objects_table
from portfolio_site.kernel.admin.figures import figure

UNFINISHED = (RunStatus.QUEUED, RunStatus.RUNNING)
REFRESH_SECONDS = 3


@admin.register(AnalyticsRun)
class AnalyticsRunAdmin(ReadOnlyAdmin):
    list_display = (
        "id",
        "state",
        "calculation_date",
        "scope",
        "number_progress",
        "stage",
        "number_seconds",
        "number_rows",
        "number_issues",
        "requested_by",
        "created_at",
    )
    list_filter = ("status", ("calculation_date", DateRangeFilter))
    list_select_related = ("requested_by",)
    search_fields = ("id__exact", "requested_by__username", "error")
    search_help_text = "The number of a run, part of a user name or of an error"
    change_form_template = "admin/analytics/run.html"
    fieldsets = (
        (None, {"fields": ("state", "calculation_date", "from_date", "scope", "sections", "requested_by")}),
        ("Rows written, by table", {"fields": (document_column("rows"),)}),
        ("Work, by kind", {"fields": ("chunks",)}),
        ("Issues", {"fields": (document_column("issues"), "error")}),
        ("When", {"fields": ("created_at", "started_at", "finished_at", "heartbeat_at", "engine_version")}),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[AnalyticsRun]:
        return visible_runs(request.user).order_by("-id")

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        run = self.get_object(request, object_id)
        context: dict[str, Any] = {"run": run, **(extra_context or {})}
        if run is not None:
            context["run_state"] = self.state(run)
            context["run_seconds"] = self.number_seconds(run)
            context["is_unfinished"] = run.status in UNFINISHED
            context["refresh_seconds"] = REFRESH_SECONDS
        return super().change_view(request, object_id, form_url, context)

    @admin.display(description="status", ordering="status")
    def state(self, run: AnalyticsRun) -> SafeString:
        return choice_badge(run.get_status_display(), run.status, RUN_TONES)

    @admin.display(description="portfolios")
    def scope(self, run: AnalyticsRun) -> str:
        return ", ".join(run.portfolio_codes) or "all"

    @admin.display(description="sections")
    def sections(self, run: AnalyticsRun) -> str:
        return ", ".join(run.only) or "all"

    @admin.display(description="progress", ordering="done")
    def number_progress(self, run: AnalyticsRun) -> str:
        return f"{run.done:,} of {run.total:,}"

    @admin.display(description="seconds")
    def number_seconds(self, run: AnalyticsRun) -> SafeString:
        if run.started_at is None:
            return figure(None, reason="not started yet")
        seconds = (clock.now() - run.started_at).total_seconds() if run.seconds is None else run.seconds
        return figure(seconds, 1)

    @admin.display(description="rows")
    def number_rows(self, run: AnalyticsRun) -> SafeString:
        return figure(sum(run.rows.values()), 0)

    @admin.display(description="issues")
    def number_issues(self, run: AnalyticsRun) -> SafeString:
        return figure(len(run.issues), 0)

    @admin.display(description="chunks")
    def chunks(self, run: AnalyticsRun) -> SafeString:
        progress = chunk_progress(run)
        return objects_table(progress) if progress else document(None)


@admin.register(RunChunk)
class RunChunkAdmin(ReadOnlyAdmin):
    list_display = ("run", "number", "kind", "status", "units", "number_rows", "number_issues")
    list_display_links = ("number",)
    list_filter = ("status", "kind")
    list_select_related = ("run",)
    search_fields = ("run__id__exact",)
    search_help_text = "The number of a run"
    ordering = ("-run_id", "number")
    sortable_by = ()
    fieldsets = (
        (None, {"fields": ("run", "number", "kind", "status", "units")}),
        ("Work", {"fields": (document_column("work"),)}),
        ("Rows written, by table", {"fields": (document_column("rows"),)}),
        ("Issues", {"fields": (document_column("issues"),)}),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[RunChunk]:
        return super().get_queryset(request).filter(run__in=visible_runs(request.user))

    @admin.display(description="rows")
    def number_rows(self, chunk: RunChunk) -> SafeString:
        return figure(sum(chunk.rows.values()), 0)

    @admin.display(description="issues")
    def number_issues(self, chunk: RunChunk) -> SafeString:
        return figure(len(chunk.issues), 0)

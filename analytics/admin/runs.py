from dataclasses import asdict
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.safestring import SafeString

from analytics.admin.figures import RUN_TONES, choice_badge
from analytics.models import AnalyticsRun, RunChunk
from analytics.selectors.run_progress import (
    Progress,
    chunk_progress,
    failed_chunks,
    has_failed_chunks,
    progress_of,
)
from analytics.selectors.visible_runs import visible_runs
from analytics.services.runs import RunError, run_retry_request
from portfolio_site.kernel.admin import DateRangeFilter, ReadOnlyAdmin, document_column
from portfolio_site.kernel.admin.documents import document, objects_table
from portfolio_site.kernel.admin.figures import figure


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
            context["progress"] = progress_of(run)
            context["progress_words"] = in_words(context["progress"])
            context["may_retry"] = self.has_retry_permission(request) and has_failed_chunks(run)
        return super().change_view(request, object_id, form_url, context)

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        return [
            path("<int:run_id>/progress/", wrap(self.progress_view), name="analytics_analyticsrun_progress"),
            path("<int:run_id>/retry/", wrap(self.retry_view), name="analytics_analyticsrun_retry"),
            *super().get_urls(),
        ]

    def progress_view(self, request: HttpRequest, run_id: int) -> HttpResponse:
        """What the page asks for again and again while the run goes on."""
        run = self._visible_run(request, run_id)
        progress = progress_of(run)
        return JsonResponse(asdict(progress) | {"state": self.state(run), "words": in_words(progress)})

    def retry_view(self, request: HttpRequest, run_id: int) -> HttpResponse:
        """Ask first; then have the workers do again what failed, and nothing else."""
        run = self._visible_run(request, run_id)
        if not self.has_retry_permission(request):
            raise PermissionDenied
        back = HttpResponseRedirect(reverse("admin:analytics_analyticsrun_change", args=[run.pk]))
        if request.method != "POST":
            context = {
                **self.admin_site.each_context(request),
                "title": f"Retry what failed of run {run.pk}",
                "opts": self.opts,
                "run": run,
                "chunks": failed_chunks(run),
            }
            return TemplateResponse(request, "admin/analytics/run_retry.html", context)
        try:
            run_retry_request(run.pk, actor=request.user)
        except RunError as error:
            self.message_user(request, f"Nothing was started: {error}", messages.ERROR)
        else:
            self.message_user(request, f"The workers do again what failed of run {run.pk}.", messages.SUCCESS)
        return back

    def has_retry_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("analytics.add_analyticsrun")

    def _visible_run(self, request: HttpRequest, run_id: int) -> AnalyticsRun:
        if not self.has_view_permission(request):
            raise PermissionDenied
        return get_object_or_404(self.get_queryset(request), pk=run_id)

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
        return figure(progress_of(run).seconds, 1)

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


def in_words(progress: Progress) -> str:
    words = [f"{progress.done:,} of {progress.total:,} units", f"stage: {progress.stage}"]
    if progress.seconds is not None:
        words.append(f"{progress.seconds:,.0f} s")
    if progress.rate is not None:
        words.append(f"{progress.rate:,.1f} units a second")
    if progress.left is not None:
        words.append(f"about {progress.left:,.0f} s left")
    return ", ".join(words)


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

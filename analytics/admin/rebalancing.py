"""Rebalancing events: a proposal to be reviewed and decided about, and what became of it."""

from typing import Any, cast

from django.contrib import admin
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import URLPattern, path, reverse
from django.utils.safestring import SafeString

from analytics.admin import rebalancing_review as review
from analytics.admin.figures import EVENT_TONES, amounts, choice_badge, percents
from analytics.admin.rebalancing_decisions import decision_page, offers
from analytics.admin.rebalancing_memo import rebalancing_memo
from analytics.models import Approval, RebalancingEvent
from portfolio_site.kernel.admin import (
    AutocompleteFilter,
    DateRangeFilter,
    document_column,
    points_column,
)
from portfolio_site.kernel.admin.documents import document
from portfolio_site.kernel.admin.filters import DateTimeRangeFilter
from portfolios.admin.bound import LongPortfolioTableAdmin, PortfolioBoundAdmin

_drift = (points_column("drift_before"), points_column("drift_after"))
_turnover = percents("turnover")
_estimates = amounts("estimated_cost", "estimated_tax")


@admin.register(RebalancingEvent)
class RebalancingEventAdmin(LongPortfolioTableAdmin):
    change_form_template = "admin/analytics/rebalancing_event.html"
    day = "valuation_date"
    list_display = (
        "id",
        "portfolio",
        "valuation_date",
        "event_type",
        "state",
        "mode",
        "trades",
        *_turnover,
        *_drift,
        *_estimates[:1],
        "created_at",
        "expires_at",
    )
    list_display_links = ("id", "portfolio")
    list_filter = (
        "status",
        "event_type",
        "mode",
        ("portfolio", AutocompleteFilter),
        ("valuation_date", DateRangeFilter),
    )
    list_select_related = ("portfolio__base_currency", "portfolio__rebalancing_policy")
    search_fields = ("portfolio__code", "portfolio__name", "proposal_hash__startswith")
    fieldsets = (
        (
            "In short",
            {
                "classes": ("figures",),
                "fields": (
                    "portfolio",
                    "state",
                    "event_type",
                    "mode",
                    "valuation_date",
                    "requested_by",
                    *_turnover,
                    *_drift,
                    *_estimates,
                    *amounts("actual_cost", "actual_tax"),
                ),
            },
        ),
        ("Why now", {"fields": (document_column("trigger", label="evidence"), "joined")}),
        (
            "When",
            {
                "fields": (
                    "created_at",
                    "expires_at",
                    "approved_at",
                    "approved_by",
                    "execution_started_at",
                    "completed_at",
                )
            },
        ),
        (
            "Before and after",
            {
                "fields": (document_column("pre_state"), document_column("post_state")),
                "classes": ("collapse",),
            },
        ),
        (
            "Origin",
            {
                "fields": ("run", "engine_version", "gear", "venue", "proposal_hash", "version"),
                "classes": ("collapse",),
            },
        ),
    )

    def get_urls(self) -> list[URLPattern]:
        decide = path(
            "<int:event_id>/decide/<str:decision>/",
            self.admin_site.admin_view(self.decide_view),
            name="analytics_rebalancingevent_decide",
        )
        memo = path(
            "<int:event_id>/memo/",
            self.admin_site.admin_view(self.memo_view),
            name="analytics_rebalancingevent_memo",
        )
        return [decide, memo, *super().get_urls()]

    def get_queryset(self, request: HttpRequest) -> QuerySet[RebalancingEvent]:
        rows = super().get_queryset(request)
        return rows.select_related("portfolio__base_currency", "portfolio__rebalancing_policy")

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        event = self.get_object(request, object_id)
        if event is not None and self.has_view_permission(request, event):
            extra_context = self._review(event, cast(User, request.user)) | (extra_context or {})
        return super().change_view(request, object_id, form_url, extra_context)

    def memo_view(self, request: HttpRequest, event_id: int) -> HttpResponse:
        return rebalancing_memo(request, self._visible_event(request, event_id))

    def _visible_event(self, request: HttpRequest, event_id: int) -> RebalancingEvent:
        event = self.get_object(request, str(event_id))
        if event is None:
            raise Http404(f"there is no event {event_id}")
        if not self.has_view_permission(request, event):
            raise PermissionDenied
        return event

    def decide_view(self, request: HttpRequest, event_id: int, decision: str) -> HttpResponse:
        event = self._visible_event(request, event_id)
        context = {**self.admin_site.each_context(request), "opts": self.opts, "media": self.media}
        return decision_page(request, event, decision, context)

    def _review(self, event: RebalancingEvent, user: User) -> dict[str, Any]:
        return {
            "offers": offers(event, user),
            "remarks": review.remarks(event),
            "words": [
                review.traded_in_words(event),
                review.quality_in_words(event),
                review.approvals_in_words(event),
            ],
            "tables": review.review_tables(event),
            "pack_url": reverse("rebalancing-decision-evidence-pack", args=[event.pk]),
            "versions_url": f"{reverse('admin:analytics_proposalversion_changelist')}?event={event.pk}",
        }

    @admin.display(description="status", ordering="status")
    def state(self, event: RebalancingEvent) -> SafeString:
        return choice_badge(event.get_status_display(), event.status, EVENT_TONES)

    @admin.display(description="trades")
    def trades(self, event: RebalancingEvent) -> int:
        return len(event.actions)

    @admin.display(description="joined while open")
    def joined(self, event: RebalancingEvent) -> SafeString:
        return document(event.joined_triggers)


@admin.register(Approval)
class ApprovalAdmin(PortfolioBoundAdmin):
    portfolio_path = "event__portfolio"
    list_display = ("event", "user", "decision", "level", "created_at", "note")
    list_filter = (
        "decision",
        ("event__portfolio", AutocompleteFilter),
        ("user", AutocompleteFilter),
        ("created_at", DateTimeRangeFilter),
    )
    list_select_related = ("event__portfolio", "user")
    search_fields = ("event__portfolio__code", "user__username", "note", "proposal_hash__startswith")
    ordering = ("-id",)
    fields = ("event", "user", "decision", "level", "note", "proposal_hash", "created_at")

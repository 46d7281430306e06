"""Changes that wait for a second person: looked at, then approved or rejected with a note."""

from collections.abc import Callable
from typing import Any, cast

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest
from django.template.response import TemplateResponse
from django.utils.safestring import SafeString

from analytics.admin.figures import choice_badge
from analytics.models import ChangeRequest
from analytics.selectors.change_requests import visible_change_requests
from analytics.services.change_requests import ChangeConflict, change_approve, change_reject
from portfolio_site.kernel.admin import AutocompleteFilter, ReadOnlyAdmin
from portfolio_site.kernel.admin.documents import changes_table
from portfolio_site.kernel.admin.filters import DateTimeRangeFilter

CHANGE_TONES = {"pending": "fair", "approved": "good", "stale": "poor"}
DECISIONS: dict[str, tuple[str, Callable[..., ChangeRequest]]] = {
    "approve": ("Approve", change_approve),
    "reject": ("Reject", change_reject),
}


@admin.register(ChangeRequest)
class ChangeRequestAdmin(ReadOnlyAdmin):
    actions = ("approve", "reject")
    list_display = (
        "id",
        "kind",
        "portfolio",
        "state",
        "requested_by",
        "created_at",
        "effective_from",
        "reason",
        "decided_by",
        "decided_at",
    )
    list_display_links = ("id", "kind")
    list_filter = (
        "status",
        "kind",
        ("portfolio", AutocompleteFilter),
        ("created_at", DateTimeRangeFilter),
    )
    list_select_related = ("portfolio", "requested_by", "decided_by")
    search_fields = (
        "portfolio__code",
        "reason",
        "note",
        "requested_by__username",
        "content_hash__startswith",
    )
    fieldsets = (
        (None, {"fields": ("kind", "portfolio", "state", "requested_by", "created_at", "reason")}),
        ("What would change", {"fields": ("changes",), "classes": ("wide-document",)}),
        ("Decision", {"fields": ("decided_by", "decided_at", "note", "effective_from", "applied_at")}),
        ("Proof", {"fields": ("content_hash",), "classes": ("collapse",)}),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[ChangeRequest]:
        return visible_change_requests(request.user)

    @admin.display(description="status", ordering="status")
    def state(self, change: ChangeRequest) -> SafeString:
        return choice_badge(change.get_status_display(), change.status, CHANGE_TONES)

    @admin.display(description="before and after")
    def changes(self, change: ChangeRequest) -> SafeString:
        return changes_table(change.before, change.payload)

    @admin.action(description="Approve selected changes")
    def approve(self, request: HttpRequest, found: QuerySet[ChangeRequest]) -> TemplateResponse | None:
        return self._decide(request, found, "approve")

    @admin.action(description="Reject selected changes")
    def reject(self, request: HttpRequest, found: QuerySet[ChangeRequest]) -> TemplateResponse | None:
        return self._decide(request, found, "reject")

    def _decide(
        self, request: HttpRequest, found: QuerySet[ChangeRequest], name: str
    ) -> TemplateResponse | None:
        """Show what would change and ask for a note first. Who may decide is the service's to say."""
        if "confirmed" not in request.POST:
            return self._confirmation(request, found, name)
        _, decide = DECISIONS[name]
        for change in found.order_by("pk"):
            try:
                decided = decide(change.pk, actor=cast(User, request.user), note=request.POST.get("note", ""))
            except ValidationError as error:
                messages.error(request, f"{change.pk}: {'; '.join(error.messages)}")
            except (ChangeConflict, PermissionDenied) as error:
                messages.error(request, str(error))
            else:
                messages.success(request, f"Change request {decided.pk} is {decided.status}.")
        return None

    def _confirmation(
        self, request: HttpRequest, found: QuerySet[ChangeRequest], name: str
    ) -> TemplateResponse:
        label, _ = DECISIONS[name]
        context: dict[str, Any] = {
            **self.admin_site.each_context(request),
            "title": f"{label} changes",
            "opts": self.opts,
            "media": self.media,
            "action": name,
            "label": label,
            "changes": [(change, self.changes(change)) for change in found.order_by("pk")],
            "checkbox_name": ACTION_CHECKBOX_NAME,
        }
        return TemplateResponse(request, "admin/analytics/change_confirmation.html", context)

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html_join
from django.utils.safestring import SafeString

from portfolio_site.kernel.admin import AutocompleteFilter, ReadOnlyAdmin
from portfolio_site.kernel.admin.documents import changes_table, document
from portfolio_site.kernel.admin.filters import DateTimeRangeFilter
from portfolios.models import AuditEvent
from portfolios.selectors.audit_words import differences, event_in_words
from portfolios.selectors.visibility import visible_audit_events


@admin.register(AuditEvent)
class AuditEventAdmin(ReadOnlyAdmin):
    list_display = (
        "sequence",
        "occurred_at",
        "actor",
        "action",
        "object_type",
        "object_id",
        "portfolio",
        "reason",
    )
    list_filter = (("portfolio", AutocompleteFilter), ("occurred_at", DateTimeRangeFilter))
    list_select_related = ("portfolio",)
    search_fields = (
        "action__startswith",
        "actor__exact",
        "object_type__exact",
        "object_id__exact",
        "request_id__exact",
        "portfolio__code__exact",
    )
    search_help_text = (
        "How an action begins, or a whole actor, object type, object id, request id or portfolio code"
    )
    sortable_by = ("sequence",)
    fieldsets = (
        (
            None,
            {
                "fields": (
                    "sequence",
                    "occurred_at",
                    "actor",
                    "action",
                    "object_type",
                    "object_id",
                    "portfolio",
                )
            },
        ),
        ("What changed", {"fields": ("what", "lines", "changes", "reason")}),
        ("Proof", {"fields": ("request_id", "previous_hash", "hash")}),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[AuditEvent]:
        return visible_audit_events(request.user).order_by("-sequence")

    @admin.display(description="in words")
    def what(self, event: AuditEvent) -> str:
        return f"{event.actor} {event_in_words(event)}"

    @admin.display(description="differences")
    def lines(self, event: AuditEvent) -> SafeString:
        return format_html_join("", "<div>{}</div>", ((line,) for line in differences(event))) or document(
            None
        )

    @admin.display(description="before and after")
    def changes(self, event: AuditEvent) -> SafeString:
        return changes_table(event.before, event.after)

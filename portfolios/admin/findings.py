from typing import Any, cast

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import ActionForm
from django.contrib.auth.models import User
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString

from portfolio_site.kernel.admin import (
    AutocompleteFilter,
    DateRangeFilter,
    LongTableAdmin,
    number_column,
)
from portfolio_site.kernel.admin.figures import badge
from portfolios.models import DataFinding, FindingSeverity
from portfolios.services.data_findings import MAY_ACCEPT, FindingError, finding_accept

TONES = {FindingSeverity.INFO: "calm", FindingSeverity.WARNING: "fair", FindingSeverity.ERROR: "bad"}


class NoteForm(ActionForm):
    note = forms.CharField(required=False, label="Note", widget=forms.TextInput(attrs={"size": 40}))


@admin.register(DataFinding)
class DataFindingAdmin(LongTableAdmin):
    subject = "asset"
    day = "date"
    action_form = NoteForm
    actions = ("accept",)
    _measure = number_column("measure", 6, least_places=0)
    list_display = ("asset", "date", "kind", "grade", "detail", "status", "note")
    list_display_links = ("asset", "date")
    list_filter = (
        "kind",
        "severity",
        "status",
        ("asset", AutocompleteFilter),
        ("date", DateRangeFilter),
    )
    list_select_related = ("asset",)
    search_fields = ("asset__symbol", "asset__name", "detail", "note")
    fieldsets = (
        (None, {"fields": ("asset", "date", "kind", "grade", "detail", _measure, "related_date")}),
        ("Decision", {"fields": ("status", "note", "decided_by")}),
        ("When", {"fields": ("first_seen_at", "last_seen_at")}),
    )

    @admin.display(description="severity", ordering="severity")
    def grade(self, finding: DataFinding) -> SafeString:
        return badge(finding.get_severity_display(), TONES[FindingSeverity(finding.severity)])

    def has_accept_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm(MAY_ACCEPT)

    @admin.action(description="Accept with note", permissions=["accept"])
    def accept(self, request: HttpRequest, findings: QuerySet[Any]) -> None:
        accepted = 0
        for finding in findings:
            try:
                finding_accept(finding, cast(User, request.user), request.POST.get("note", ""))
            except FindingError as error:
                messages.error(request, str(error))
            else:
                accepted += 1
        if accepted:
            messages.success(request, f"{accepted} accepted.")

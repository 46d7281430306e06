"""Audit: who did what to the portfolio, when, and what is different since."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django import forms
from django.http import Http404, HttpRequest
from django.urls import reverse
from django.utils import timezone

from analytics.admin.portfolio_page.content import Content
from analytics.admin.portfolio_page.paging import day_field, lines_wanted, links
from portfolio_site.kernel.tables import Column, Table
from portfolios.models import AuditEvent, Portfolio
from portfolios.selectors.audit_words import differences, event_in_words, object_in_words
from portfolios.selectors.ledger_pages import audit_page

ON_SCREEN = 50
EMPTY = "No event matches: widen the filter."
NOT_ALLOWED = (
    "You may not read the audit trail: ask an administrator for the permission to view audit events."
)


class EventsForm(forms.Form):
    person = forms.CharField(max_length=150, required=False)
    day = day_field("Day")
    object = forms.CharField(max_length=140, required=False, label="Object (a type, or type and number)")

    def __init__(self, data: Any) -> None:
        super().__init__(data, auto_id="events_%s")


@dataclass(frozen=True)
class Entry:
    """One event as it is read."""

    when: str
    actor: str
    words: str
    about: str
    url: str
    differences: Sequence[str]
    reason: str


def show(request: HttpRequest, portfolio: Portfolio) -> Content:
    if not request.user.has_perm("portfolios.view_auditevent"):
        return Content([Table("audit", "Audit", [Column("When")], [], empty=NOT_ALLOWED)])
    form = EventsForm(request.GET)
    wanted = lines_wanted(request, ON_SCREEN)
    events: list[AuditEvent] = []
    if form.is_valid():
        before = _key(request.GET.get("before", ""))
        events = audit_page(portfolio, request.user, asked=form.cleaned_data, before=before, count=wanted + 1)
    entries = [_entry(event) for event in events[:wanted]]
    older = str(events[wanted - 1].sequence) if len(events) > wanted else None
    return Content(
        template="admin/portfolio_page/audit.html",
        files=[_table(entries)],
        context={"filter_form": form, "links": links(request, older), "entries": entries, "empty": EMPTY},
    )


def _key(text: str) -> int | None:
    if text and not text.isdecimal():
        raise Http404(f"before: {text!r} is not the number of an event")
    return int(text) if text else None


def _entry(event: AuditEvent) -> Entry:
    return Entry(
        when=f"{timezone.localtime(event.occurred_at):%Y-%m-%d %H:%M:%S %Z}",
        actor=event.actor,
        words=event_in_words(event),
        about=object_in_words(event),
        url=reverse("admin:portfolios_auditevent_change", args=[event.pk]),
        differences=differences(event),
        reason=event.reason,
    )


def _table(entries: Sequence[Entry]) -> Table:
    return Table(
        "audit",
        "Audit",
        [Column(name) for name in ("When", "Who", "What", "Object", "Differences", "Reason")],
        [
            [entry.when, entry.actor, entry.words, entry.about, "; ".join(entry.differences), entry.reason]
            for entry in entries
        ],
        empty=EMPTY,
    )

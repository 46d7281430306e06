"""Deciding about a proposal: first a page that says what would happen, then the service."""

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from django import forms
from django.contrib import messages
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse

from analytics.admin import rebalancing_review as review
from analytics.models import EventStatus, RebalancingEvent
from analytics.services.approval_rules import check_maker, deciding_user, level_of, quorum_of
from analytics.services.approvals import approvals_of, event_approve, event_cancel, event_reject
from analytics.services.event_expiry import policy_of
from analytics.services.event_moves import MOVES, EventConflict, event_name
from analytics.services.execution.checks import execution_conflicts
from analytics.services.execution.permissions import check_executor
from analytics.services.execution.run import event_execute
from analytics.services.execution.venues import venue_of
from portfolios.services.request_keys import RequestKeyConflict

Answers = Mapping[str, Any]


@dataclass(frozen=True)
class Decision:
    """allowed: raises PermissionDenied. note: what the service calls it; nothing where it takes none."""

    label: str
    to: EventStatus
    allowed: Callable[[RebalancingEvent, User], object]
    act: Callable[[int, User, Answers], RebalancingEvent]
    effects: Callable[[RebalancingEvent, User], list[str]]
    note: str = "note"


@dataclass(frozen=True)
class Offer:
    """A decision that the state of an event allows, and why this user may not take it."""

    label: str
    url: str
    refusal: str


class DecisionForm(forms.Form):
    proposal_hash = forms.CharField(widget=forms.HiddenInput)
    expected = forms.ChoiceField(choices=EventStatus.choices, widget=forms.HiddenInput)
    key = forms.CharField(widget=forms.HiddenInput, max_length=128)
    note = forms.CharField(
        required=False, widget=forms.Textarea(attrs={"rows": 3, "cols": 80}), max_length=1000
    )

    def __init__(self, decision: Decision, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.fields["note"].label = decision.note.capitalize()
        if not decision.note:
            del self.fields["note"]

    def blame(self, error: ValidationError) -> None:
        """What the service did not accept."""
        for text in error.messages:
            self.add_error("note" if "note" in self.fields else None, text)


def _approve(event_id: int, user: User, answers: Answers) -> RebalancingEvent:
    return event_approve(
        event_id,
        actor=user,
        proposal_hash=answers["proposal_hash"],
        note=answers["note"],
        key=answers["key"],
    )


def _reject(event_id: int, user: User, answers: Answers) -> RebalancingEvent:
    return event_reject(
        event_id,
        actor=user,
        proposal_hash=answers["proposal_hash"],
        note=answers["note"],
        key=answers["key"],
    )


def _cancel(event_id: int, user: User, answers: Answers) -> RebalancingEvent:
    seen = EventStatus(answers["expected"])
    return event_cancel(event_id, actor=user, reason=answers["note"], expected=seen, key=answers["key"])


def _execute(event_id: int, user: User, answers: Answers) -> RebalancingEvent:
    return event_execute(event_id, actor=user, key=answers["key"])


def _effects_of_approving(event: RebalancingEvent, user: User) -> list[str]:
    levels, quorum = [approval.level for approval in approvals_of(event)], quorum_of(event)
    found = [review.approvals_in_words(event)]
    if quorum.is_met([*levels, level_of(user, event.portfolio)]):
        found.append("With yours the event is approved and may be executed.")
    else:
        found.append("With yours it still waits for others.")
    return [
        *found,
        f"Your approval is for version {event.version} only. It is void when the proposal is revised, and "
        "the event expires with age, with new transactions or when prices move too far.",
        "Nothing is traded yet.",
    ]


def _effects_of_rejecting(event: RebalancingEvent, user: User) -> list[str]:
    return [
        "The event ends as rejected, whoever else has approved it.",
        "Its proposal and all decisions are kept. Nothing is traded.",
    ]


def _effects_of_cancelling(event: RebalancingEvent, user: User) -> list[str]:
    return [
        f"The event, which is {event.get_status_display().lower()}, is withdrawn.",
        "Its proposal and all decisions are kept. Nothing is traded.",
    ]


def _effects_of_executing(event: RebalancingEvent, user: User) -> list[str]:
    conflicts = execution_conflicts(event)
    if conflicts:
        return [f"As the books are now, the event would fail: {conflict}." for conflict in conflicts]
    count = len(event.actions)
    orders = "One order is made" if count == 1 else f"{count} orders are made, sales first"
    if venue_of(event, policy_of(event.portfolio)).submits:
        return [
            f"{orders}, filled at the last close and booked as transactions at once.",
            "This cannot be undone here: a booked transaction can only be reversed.",
        ]
    return [
        f"{orders}. They leave in an order file (manage.py export_orders); their fills come back with "
        "manage.py import_fills and are booked then.",
        "From then on the event can no longer be cancelled.",
    ]


DECISIONS: dict[str, Decision] = {
    "approve": Decision("Approve", EventStatus.APPROVED, deciding_user, _approve, _effects_of_approving),
    "reject": Decision("Reject", EventStatus.REJECTED, deciding_user, _reject, _effects_of_rejecting),
    "execute": Decision(
        "Execute",
        EventStatus.EXECUTING,
        lambda event, user: check_executor(event.portfolio, user),
        _execute,
        _effects_of_executing,
        note="",
    ),
    "cancel": Decision(
        "Cancel event", EventStatus.CANCELLED, check_maker, _cancel, _effects_of_cancelling, note="reason"
    ),
}


def offers(event: RebalancingEvent, user: User) -> list[Offer]:
    """What may be decided about the event as it stands."""
    following = MOVES.get(EventStatus(event.status), frozenset())
    return [
        Offer(decision.label, _url(event.pk, name), refusal(decision, event, user))
        for name, decision in DECISIONS.items()
        if decision.to in following
    ]


def refusal(decision: Decision, event: RebalancingEvent, user: User) -> str:
    try:
        decision.allowed(event, user)
    except PermissionDenied as error:
        return str(error)
    return ""


def decision_page(
    request: HttpRequest, event: RebalancingEvent, name: str, context: dict[str, Any]
) -> HttpResponse:
    """Ask, or do what was confirmed. Refusals and conflicts lead back to the event, with a message."""
    if name not in DECISIONS:
        raise Http404(f"there is no decision {name}")
    decision, user = DECISIONS[name], cast(User, request.user)
    form = DecisionForm(decision, request.POST or None, initial=_asked(event))
    if request.method == "POST" and form.is_valid():
        try:
            decided = decision.act(event.pk, user, form.cleaned_data)
        except ValidationError as error:
            form.blame(error)
        except (EventConflict, RequestKeyConflict, PermissionDenied) as error:
            messages.error(request, f"{decision.label}: {error}.")
            return HttpResponseRedirect(event_url(event.pk))
        else:
            messages.success(request, f"{decision.label}: event {decided.pk} is {decided.status}.")
            return HttpResponseRedirect(event_url(event.pk))
    refused = refusal(decision, event, user)
    if refused:
        messages.error(request, f"{decision.label}: {refused}.")
        return HttpResponseRedirect(event_url(event.pk))
    return TemplateResponse(
        request,
        "admin/analytics/event_decision.html",
        context
        | {
            "title": f"{decision.label}: {event_name(event)}",
            "label": decision.label,
            "event": event,
            "event_url": event_url(event.pk),
            "form": form,
            "effects": decision.effects(event, user),
            "words": [review.traded_in_words(event), review.quality_in_words(event)],
            "remarks": review.remarks(event),
            "tables": [review.trades_table(event)],
        },
        status=400 if form.errors else 200,
    )


def event_url(event_id: int) -> str:
    return reverse("admin:analytics_rebalancingevent_change", args=[event_id])


def _url(event_id: int, name: str) -> str:
    return reverse("admin:analytics_rebalancingevent_decide", args=[event_id, name])


def _asked(event: RebalancingEvent) -> dict[str, str]:
    """What was looked at, and under which name the answer is carried out once, however often it is sent."""
    return {
        "proposal_hash": event.proposal_hash,
        "expected": event.status,
        "key": f"console-{secrets.token_urlsafe(16)}",
    }

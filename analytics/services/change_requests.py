"""What becomes of changes that wait for a second person: approved, rejected, cancelled or overtaken."""

from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction

from analytics.models import ChangeKind, ChangeRequest, ChangeStatus
from analytics.selectors.change_requests import MAY_DECIDE
from analytics.services.benchmark_choices import benchmarks_apply, benchmarks_read
from analytics.services.blends import blend_apply, blend_read
from analytics.services.policies import policy_apply, policy_read
from analytics.services.price_changes import price_apply, price_read
from analytics.services.restriction_changes import restriction_apply, restriction_read
from analytics.services.second_person import REASON_LENGTH, content_hash, stored_json
from analytics.services.targets import targets_apply, targets_read
from portfolio_site.kernel import clock
from portfolio_site.kernel.locks import lock_rows
from portfolios.models import Portfolio, PortfolioRole
from portfolios.selectors.visibility import has_role
from portfolios.services.audit import Actor, audit_append

OVERTAKEN = "overtaken: what stood there has changed since it was asked for"


class ChangeConflict(Exception):
    """The request is not what the caller took it for: decided already, overtaken, or altered."""


class Kind(NamedTuple):
    """`read`: what stands now where the request would change it. `apply`: the service of a direct change."""

    read: Callable[[ChangeRequest], Any]
    apply: Callable[[ChangeRequest], None]


def _of_portfolio(
    read: Callable[[Portfolio, Any], Any], apply: Callable[[Portfolio, ChangeRequest], None]
) -> Kind:
    return Kind(
        lambda request: read(_portfolio(request), request.payload),
        lambda request: apply(_portfolio(request), request),
    )


def _portfolio(request: ChangeRequest) -> Portfolio:
    if request.portfolio is None:
        raise ValidationError({"portfolio": f"{request.kind} belong to a portfolio"})
    return request.portfolio


BLENDS = Kind(lambda request: blend_read(request.payload), blend_apply)
KINDS = {
    ChangeKind.TARGETS: _of_portfolio(targets_read, targets_apply),
    ChangeKind.POLICY: _of_portfolio(policy_read, policy_apply),
    ChangeKind.BENCHMARKS: _of_portfolio(benchmarks_read, benchmarks_apply),
    ChangeKind.RESTRICTION: Kind(restriction_read, restriction_apply),
    ChangeKind.PRICE: Kind(lambda request: price_read(request.payload), price_apply),
}


def change_approve(request_id: int, *, actor: User, note: str = "") -> ChangeRequest:
    """Agree to a change, which is made now, or on its day if that is later.

    Raises ChangeConflict when it is decided already, and when what stood there has changed: the request is
    then closed as overtaken and nothing is changed. Raises PermissionDenied for whoever asked for it, and
    ValidationError when it can no longer be made; it then goes on waiting.
    """
    with transaction.atomic():
        request = _locked(request_id, ChangeStatus.PENDING)
        _check_may_decide(request, actor)
        if _is_overtaken(request):
            _close(request, ChangeStatus.STALE, actor, note=OVERTAKEN)
        else:
            _close(request, ChangeStatus.APPROVED, actor, note=note)
            if request.effective_from is None or request.effective_from <= clock.today():
                _apply(request, actor)
    if request.status == ChangeStatus.STALE:
        raise ChangeConflict(f"change request {request.pk} is {request.note}")
    return request


@transaction.atomic
def change_reject(request_id: int, *, actor: User, note: str = "") -> ChangeRequest:
    """Refuse a change; the note must say why. Raises as change_approve does."""
    request = _locked(request_id, ChangeStatus.PENDING)
    _check_may_decide(request, actor)
    if not note.strip():
        raise ValidationError({"note": "must say why the change is rejected"})
    _close(request, ChangeStatus.REJECTED, actor, note=note)
    return request


@transaction.atomic
def change_cancel(request_id: int, *, actor: User, note: str = "") -> ChangeRequest:
    """Take back a request of one's own, also an approved one whose day has not come."""
    request = _locked(request_id, ChangeStatus.PENDING, ChangeStatus.APPROVED)
    if request.requested_by_id != actor.pk:
        raise PermissionDenied(f"Only {request.requested_by} can cancel this change.")
    _close(request, ChangeStatus.CANCELLED, actor, note=note)
    return request


def changes_apply_due() -> Counter[ChangeStatus]:
    """Make the approved changes whose day has come; how many were made and how many were overtaken.

    Each is a transaction of its own. One that can no longer be made is closed with the reason.
    """
    due = ChangeRequest.objects.filter(
        status=ChangeStatus.APPROVED, applied_at__isnull=True, effective_from__lte=clock.today()
    )
    outcomes: Counter[ChangeStatus] = Counter()
    for request_id in list(due.order_by("effective_from", "pk").values_list("pk", flat=True)):
        try:
            outcomes[_apply_due(request_id)] += 1
        except ChangeConflict:
            continue  # cancelled or made by another since the list was read
    return outcomes


@transaction.atomic
def _apply_due(request_id: int) -> ChangeStatus:
    request = _locked(request_id, ChangeStatus.APPROVED)
    reason = OVERTAKEN if _is_overtaken(request) else ""
    if not reason:
        try:
            with transaction.atomic():
                _apply(request, None)
        except (ValidationError, PermissionDenied) as error:
            texts = error.messages if isinstance(error, ValidationError) else [str(error)]
            reason = f"cannot be made: {'; '.join(texts)}"
    if reason:
        _close(request, ChangeStatus.STALE, None, note=reason)
    return ChangeStatus(request.status)


def _locked(request_id: int, *expected: ChangeStatus) -> ChangeRequest:
    """The request under its lock, and before it that of its portfolio. Raises ChangeConflict."""
    portfolio = ChangeRequest.objects.values_list("portfolio", flat=True).get(pk=request_id)
    if portfolio is not None:
        lock_rows(Portfolio, [portfolio])
    lock_rows(ChangeRequest, [request_id])
    related = ChangeRequest.objects.select_related("portfolio", "requested_by", "decided_by")
    request = related.get(pk=request_id)
    if request.status not in expected or request.applied_at is not None:
        by = f" by {request.decided_by}" if request.decided_by else ""
        raise ChangeConflict(f"change request {request_id} was {request.status}{by} already")
    if request.content_hash != content_hash(request):
        raise ChangeConflict(f"change request {request_id} is not what was asked for: its hash differs")
    return request


def _check_may_decide(request: ChangeRequest, actor: User) -> None:
    if request.portfolio is None:
        may_decide = actor.is_active and actor.has_perm(MAY_DECIDE)
    else:
        may_decide = has_role(actor, request.portfolio, PortfolioRole.CHECKER)
    if not may_decide:
        raise PermissionDenied(f"{actor.get_username()} may not decide about this change.")
    if request.requested_by_id == actor.pk:
        raise PermissionDenied(
            f"{actor.get_username()} asked for this change; another person must decide about it."
        )


def _is_overtaken(request: ChangeRequest) -> bool:
    return bool(stored_json(_kind(request).read(request)) != request.before)


def _apply(request: ChangeRequest, actor: Actor) -> None:
    _kind(request).apply(request)
    request.applied_at = clock.now()
    request.save(update_fields=["applied_at"])
    _audit(request, actor, "change.applied", {"applied_at": None}, {"applied_at": request.applied_at})


def _kind(request: ChangeRequest) -> Kind:
    """A benchmark without a portfolio is a blend, which many may share."""
    if request.kind == ChangeKind.BENCHMARKS and request.portfolio is None:
        return BLENDS
    return KINDS[ChangeKind(request.kind)]


def _close(request: ChangeRequest, status: ChangeStatus, actor: Actor, *, note: str) -> None:
    """The system, which makes changes on their day, leaves standing who approved them."""
    before = request.status
    request.status, request.note = status, note.strip()
    if isinstance(actor, User):
        request.decided_by_id, request.decided_at = actor.pk, clock.now()
    request.full_clean()
    request.save()
    _audit(
        request,
        actor,
        f"change.{status}",
        {"status": before},
        {"status": status, "kind": request.kind, "content_hash": request.content_hash},
        reason=request.note,
    )


def _audit(
    request: ChangeRequest, actor: Actor, action: str, before: Any, after: Any, reason: str = ""
) -> None:
    audit_append(
        action=action,
        object_type="change_request",
        object_id=request.pk,
        actor=actor,
        portfolio=request.portfolio,
        before=before,
        after=after,
        reason=reason[:REASON_LENGTH],
    )

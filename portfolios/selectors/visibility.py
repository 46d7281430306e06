"""One rule for who sees which portfolio, used by every face."""

from typing import Any

from django.contrib.auth.models import AbstractUser, AnonymousUser
from django.db.models import Q, QuerySet

from portfolios.models import AuditEvent, FileUpload, Portfolio, PortfolioAccess, PortfolioRole

VIEW_ALL = "portfolios.view_all_portfolios"
User = AbstractUser | AnonymousUser


def sees_everything(user: User) -> bool:
    """Superusers and auditors."""
    return bool(user.is_active and (user.is_superuser or user.has_perm(VIEW_ALL)))


def visible_to(user: User) -> QuerySet[Portfolio]:
    """The portfolios a user may see: those owned, and those granted in person or through a group."""
    if not user.is_authenticated or not user.is_active:
        return Portfolio.objects.none()
    if sees_everything(user):
        return Portfolio.objects.all()
    granted = PortfolioAccess.objects.filter(Q(user=user) | Q(group__in=user.groups.all()))
    return Portfolio.objects.filter(Q(owner=user) | Q(pk__in=granted.values("portfolio")))


def limited_to(user: User, rows: QuerySet[Any], path: str = "portfolio") -> QuerySet[Any]:
    """Only the rows whose portfolio (at `path`) the user may see."""
    if sees_everything(user):
        return rows
    return rows.filter(**{f"{path}__in": visible_to(user)})


def visible_audit_events(user: User) -> QuerySet[AuditEvent]:
    return limited_to(user, AuditEvent.objects.select_related("portfolio"))


def visible_uploads(user: User) -> QuerySet[FileUpload]:
    """Superusers and auditors see all uploads, others their own."""
    uploads = FileUpload.objects.select_related("uploaded_by", "batch")
    return uploads if sees_everything(user) else uploads.filter(uploaded_by=user.pk)


def decidable_by(user: User) -> QuerySet[Portfolio]:
    """The portfolios about which a user may decide: what `has_role` says of a checker, for all at once."""
    if not user.is_authenticated or not user.is_active:
        return Portfolio.objects.none()
    if user.is_superuser:
        return Portfolio.objects.all()
    roles = (PortfolioRole.CHECKER, PortfolioRole.MANAGER)
    granted = PortfolioAccess.objects.filter(Q(user=user) | Q(group__in=user.groups.all()), role__in=roles)
    return Portfolio.objects.filter(Q(owner=user) | Q(pk__in=granted.values("portfolio")))


def has_role(user: User, portfolio: Portfolio, *roles: PortfolioRole) -> bool:
    """Managers may do what makers and checkers do; owners and superusers everything but check themselves."""
    if not user.is_authenticated or not user.is_active:
        return False
    if user.is_superuser or portfolio.owner_id == user.pk:
        return True
    wanted = {*roles, PortfolioRole.MANAGER}
    return (
        PortfolioAccess.objects.filter(portfolio=portfolio, role__in=wanted)
        .filter(Q(user=user) | Q(group__in=user.groups.all()))
        .exists()
    )

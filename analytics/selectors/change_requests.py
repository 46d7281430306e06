"""Who sees which changes that wait, or waited, for a second person."""

from django.db.models import Q, QuerySet

from analytics.models import ChangeRequest
from portfolios.selectors.visibility import User, sees_everything, visible_to

# Decides about what belongs to no portfolio: prices, and restrictions that hold for all.
MAY_DECIDE = "analytics.change_changerequest"


def visible_change_requests(user: User) -> QuerySet[ChangeRequest]:
    """Those of portfolios that the user may see; of others, those asked for by the user."""
    requests = ChangeRequest.objects.select_related("portfolio", "requested_by", "decided_by")
    if not user.is_authenticated or not user.is_active:
        return requests.none()
    if sees_everything(user):
        return requests
    of_portfolios = Q(portfolio__in=visible_to(user))
    if user.has_perm(MAY_DECIDE):
        return requests.filter(of_portfolios | Q(portfolio__isnull=True))
    return requests.filter(of_portfolios | Q(portfolio__isnull=True, requested_by=user.pk))

"""How portfolios are rebalanced: changes of their policies."""

from typing import Any

from django.db import transaction

from analytics.models import RebalancingPolicy
from analytics.services.staleness import mark_targets_changed
from portfolio_site.kernel.locks import lock_rows
from portfolios.models import Portfolio
from portfolios.services.audit import Actor, audit_append

# The cash target is one of the targets, which change together (see import_allocations).
UNEDITABLE_FIELDS = {"id", "portfolio", "version", "cash_target_percentage"}


@transaction.atomic
def policy_update(portfolio: Portfolio, *, actor: Actor = None, **changes: Any) -> RebalancingPolicy:
    """Set fields of a portfolio's policy, which begins with the defaults. Raises ValidationError.

    Values that stand there already change nothing.
    """
    editable = {field.name for field in RebalancingPolicy._meta.fields} - UNEDITABLE_FIELDS
    unknown = changes.keys() - editable
    if unknown:
        raise TypeError(f"a policy has no editable {', '.join(sorted(unknown))}")
    lock_rows(Portfolio, [portfolio.pk])
    stored = RebalancingPolicy.objects.filter(portfolio=portfolio).first()
    policy = stored or RebalancingPolicy(portfolio=portfolio, version=0)
    changed = {
        name: value for name, value in changes.items() if stored is None or getattr(stored, name) != value
    }
    if stored is not None and not changed:
        return policy
    before = {name: getattr(stored, name) for name in changed} if stored else None
    for name, value in changed.items():
        setattr(policy, name, value)
    policy.version += 1
    policy.full_clean()
    policy.save()
    mark_targets_changed(portfolio)
    audit_append(
        action="policy.changed",
        object_type="rebalancing_policy",
        object_id=policy.pk,
        actor=actor,
        portfolio=portfolio,
        before=before,
        after={name: getattr(policy, name) for name in changed},
    )
    return policy

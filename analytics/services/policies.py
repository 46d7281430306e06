"""How portfolios are rebalanced: changes of their policies."""

import datetime as dt
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, NamedTuple, cast

from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.db.models import Field

from analytics.models import ChangeKind, ChangeRequest, MinimumTrade, RebalancingPolicy
from analytics.services.second_person import (
    applied_reason,
    change_draft,
    change_request,
    column_value,
    direct_change_check,
    needs_second_person,
    second_person_check,
)
from analytics.services.staleness import mark_targets_changed
from analytics.services.targets import WHOLE
from portfolio_site.kernel.locks import lock_rows
from portfolios.models import AssetClass, Portfolio
from portfolios.selectors.visibility import has_role
from portfolios.services.audit import Actor, audit_append

# The cash target is one of the targets, which change together (see targets).
UNEDITABLE_FIELDS = {"id", "portfolio", "version", "cash_target_percentage"}
# A rate is a fraction below 1, a share may be 1, an amount has no upper end.
RATES = ("cost_rate", "spread_rate", "fx_cost_rate", "short_term_tax_rate", "long_term_tax_rate")
SHARES = (
    "inner_band_fraction",
    "improvement_share",
    "cost_limit",
    "price_move_limit",
    "residual_tolerance",
    "automatic_turnover_cap",
)
AMOUNTS = (
    "cash_reserve",
    "minimum_trade",
    "turnover_cap",
    "fee_per_trade",
    "impact_coefficient",
    "cost_per_drift",
    "short_term_gain_limit",
    "yearly_gain_budget",
    "large_trade_value",
    "automatic_value_cap",
)
PERCENTAGES = ("cash_reserve_percentage", "minimum_trade_percentage")
SHORTFALLS = ("minimum_trade_tolerance",)
COUNTS = ("approvals_needed", "approvals_needed_when_large")
# Rows of their own, which change with the policy as one value: by asset class its amount and percentage.
MINIMUM_TRADES = "minimum_trades"
MINIMUM_TRADE_FIELDS = ("amount", "percentage")

MinimumTrades = Mapping[str, Mapping[str, Decimal]]


class _Change(NamedTuple):
    """A policy with its new values, not saved yet; `before`: None for one that is not stored."""

    policy: RebalancingPolicy
    before: dict[str, Any] | None
    changed: dict[str, Any]

    @property
    def is_empty(self) -> bool:
        return self.before is not None and not self.changed


@transaction.atomic
def policy_change(
    portfolio: Portfolio,
    *,
    actor: Actor = None,
    reason: str = "",
    effective_from: dt.date | None = None,
    **changes: Any,
) -> RebalancingPolicy | ChangeRequest:
    """Change fields of a policy, or under the two-person rule ask a second person to agree.

    `minimum_trades`: {asset class: {"amount": ..., "percentage": ...}}, all of them; what is left out is 0.

    Without that rule it is made at once, so `effective_from` is refused. What stands there already is no
    change. Raises ValidationError and PermissionDenied.
    """
    lock_rows(Portfolio, [portfolio.pk])
    if actor is not None and not has_role(actor, portfolio):
        raise PermissionDenied(f"{actor.get_username()} may not change {portfolio}.")
    if not needs_second_person(ChangeKind.POLICY, portfolio):
        direct_change_check(effective_from)
        return policy_update(portfolio, actor=actor, reason=reason, **changes)
    change = _checked_change(portfolio, changes)
    if change.is_empty:
        return change.policy
    draft = change_draft(
        ChangeKind.POLICY,
        portfolio=portfolio,
        payload=change.changed,
        before=change.before,
        actor=actor,
        reason=reason,
        effective_from=effective_from,
    )
    return change_request(draft, actor=actor)


@transaction.atomic
def policy_update(
    portfolio: Portfolio,
    *,
    actor: Actor = None,
    reason: str = "",
    approved: ChangeRequest | None = None,
    **changes: Any,
) -> RebalancingPolicy:
    """Set fields of a portfolio's policy, which begins with the defaults. Raises ValidationError.

    Values that stand there already change nothing. Under the two-person rule only an approved request may.
    """
    lock_rows(Portfolio, [portfolio.pk])
    policy, before, changed = change = _checked_change(portfolio, changes)
    if change.is_empty:
        return policy
    second_person_check(ChangeKind.POLICY, portfolio, approved)
    policy.version += 1
    policy.save()
    if MINIMUM_TRADES in changed:
        _write_minimum_trades(policy, changed[MINIMUM_TRADES])
    mark_targets_changed(portfolio)
    audit_append(
        action="policy.changed",
        object_type="rebalancing_policy",
        object_id=policy.pk,
        actor=actor,
        portfolio=portfolio,
        before=before,
        after={name: policy_value(policy, name) for name in changed},
        reason=reason,
    )
    return policy


def _checked_change(portfolio: Portfolio, changes: dict[str, Any]) -> _Change:
    editable = {field.name for field in RebalancingPolicy._meta.fields} - UNEDITABLE_FIELDS
    unknown = changes.keys() - editable - {MINIMUM_TRADES}
    if unknown:
        raise TypeError(f"a policy has no editable {', '.join(sorted(unknown))}")
    if MINIMUM_TRADES in changes:
        changes = changes | {MINIMUM_TRADES: _checked_minimum_trades(changes[MINIMUM_TRADES])}
    stored = RebalancingPolicy.objects.filter(portfolio=portfolio).first()
    policy = stored or RebalancingPolicy(portfolio=portfolio, version=0)
    changed = {
        name: value
        for name, value in changes.items()
        if stored is None or policy_value(stored, name) != value
    }
    before = {name: policy_value(stored, name) for name in changed} if stored else None
    for name in changed.keys() - {MINIMUM_TRADES}:
        setattr(policy, name, changed[name])
    if stored is None or changed:
        policy.clean_fields()
        _check_ranges(policy)
        policy.full_clean()
    return _Change(policy, before, changed)


def _check_ranges(policy: RebalancingPolicy) -> None:
    """Raises ValidationError, by field."""
    errors = {}
    for names, is_inside, rule in (
        (RATES, lambda value: 0 <= value < 1, "must be from 0 to below 1"),
        (SHARES, lambda value: 0 <= value <= 1, "must be from 0 to 1"),
        (AMOUNTS, lambda value: value >= 0, "must not be negative"),
        (PERCENTAGES, lambda value: 0 <= value <= WHOLE, "must be from 0 to 100"),
        (SHORTFALLS, lambda value: 0 <= value < WHOLE, "must be from 0 to below 100"),
        (COUNTS, lambda value: value >= 1, "must be at least 1"),
    ):
        for name in names:
            value = getattr(policy, name)
            if value is not None and not is_inside(value):
                errors[name] = f"{value}: {rule}"
    if errors:
        raise ValidationError(errors)


def policy_value(policy: RebalancingPolicy, name: str) -> Any:
    """What stands in a field of a stored policy, or in the rows that belong to it."""
    if name != MINIMUM_TRADES:
        return getattr(policy, name)
    return {
        row.asset_class: {field: getattr(row, field) for field in MINIMUM_TRADE_FIELDS}
        for row in policy.minimum_trades.order_by("asset_class")
    }


def _checked_minimum_trades(wanted: MinimumTrades) -> MinimumTrades:
    """In their stored form. Raises ValidationError."""
    faults: list[str] = []
    found: dict[str, dict[str, Decimal]] = {}
    for asset_class, figures in sorted(wanted.items()):
        if asset_class not in AssetClass.values:
            faults.append(f"{asset_class}: is no class of assets")
        faults += [f"{asset_class}: has no {name}" for name in sorted({*figures} - {*MINIMUM_TRADE_FIELDS})]
        found[asset_class] = {}
        for name in MINIMUM_TRADE_FIELDS:
            try:
                value = found[asset_class][name] = _minimum_trade_field(name).clean(
                    figures.get(name, 0), None
                )
            except ValidationError as error:
                faults.append(f"{asset_class}: {name}: {' '.join(error.messages)}")
                continue
            if value < 0 or (name == "percentage" and value > WHOLE):
                rule = "must be from 0 to 100" if name == "percentage" else "must not be negative"
                faults.append(f"{asset_class}: {name}: {value}: {rule}")
    if faults:
        raise ValidationError({MINIMUM_TRADES: faults})
    return found


def _minimum_trade_field(name: str) -> "Field[Any, Any]":
    return cast("Field[Any, Any]", MinimumTrade._meta.get_field(name))


def _write_minimum_trades(policy: RebalancingPolicy, wanted: MinimumTrades) -> None:
    policy.minimum_trades.exclude(asset_class__in=list(wanted)).delete()
    for asset_class, figures in wanted.items():
        MinimumTrade.objects.update_or_create(policy=policy, asset_class=asset_class, defaults=dict(figures))


def policy_read(portfolio: Portfolio, payload: dict[str, Any]) -> dict[str, Any] | None:
    """What stands in the fields that a request names; None without a policy."""
    policy = RebalancingPolicy.objects.filter(portfolio=portfolio).first()
    return {name: policy_value(policy, name) for name in payload} if policy else None


def policy_apply(portfolio: Portfolio, request: ChangeRequest) -> None:
    changes = {
        name: stored if name == MINIMUM_TRADES else column_value(RebalancingPolicy, name, stored)
        for name, stored in request.payload.items()
    }
    policy_update(
        portfolio, actor=request.requested_by, reason=applied_reason(request), approved=request, **changes
    )

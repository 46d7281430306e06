"""The targets of a portfolio, which change together: its lines with limits and bands, and its cash target."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, NamedTuple

from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction

from analytics.models import ChangeKind, ChangeRequest, PortfolioAllocation, RebalancingPolicy
from analytics.services.second_person import (
    applied_reason,
    change_draft,
    change_request,
    column_value,
    needs_second_person,
    payload_assets,
    second_person_check,
)
from analytics.services.staleness import mark_targets_changed
from portfolio_site.kernel.canonical import decimal_text, sha256_of
from portfolio_site.kernel.locks import lock_rows
from portfolios.models import Asset, Portfolio, PortfolioStatus
from portfolios.selectors.visibility import User, has_role
from portfolios.services.audit import Actor, audit_append

CASH = "CASH"
WHOLE = Decimal(100)
VALUES = (
    "target_percentage",
    "min_percentage",
    "max_percentage",
    "rebalance_threshold",
    "rebalance_threshold_relative",
    "band_rule",
    "rebalance_frequency",
    "is_active",
)
# Figures of the last run that no longer hold once the target is another one.
OUTDATED = {"drift_percentage": "the target changed", "is_breached": "the target changed"}

Values = Mapping[str, Any]


class TargetsConflict(Exception):
    """Other targets stand there than the ones that the caller has seen."""


class TargetFault(NamedTuple):
    """What is wrong with one field of one line; without an asset, of the cash target."""

    asset: Asset | None
    field: str
    reason: str


class TargetFaults(ValidationError):
    """All that is wrong with a set of targets, line by line."""

    def __init__(self, faults: Sequence[TargetFault]) -> None:
        super().__init__([f"{fault.asset or CASH}: {fault.field} {fault.reason}" for fault in faults])
        self.faults = faults


@dataclass
class TargetChange:
    """What a whole set of targets would change. `cash` is None when the cash target stays as it is."""

    portfolio: Portfolio
    policy: RebalancingPolicy | None
    lines: list[tuple[PortfolioAllocation, Values]] = field(default_factory=list)
    cash: Decimal | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def is_empty(self) -> bool:
        return not self.lines and self.cash is None


class StandingTargets:
    """The targets of some portfolios as they stand. Read them under the lock of the portfolios."""

    def __init__(self, portfolio_ids: Iterable[int]) -> None:
        ids = list(portfolio_ids)
        self.lines: defaultdict[int, dict[int, PortfolioAllocation]] = defaultdict(dict)
        rows = PortfolioAllocation.objects.filter(portfolio__in=ids).order_by("pk")
        for line in rows.select_related("portfolio", "asset"):
            self.lines[line.portfolio_id][line.asset_id] = line
        policies = RebalancingPolicy.objects.filter(portfolio__in=ids)
        self.policies = {policy.portfolio_id: policy for policy in policies}

    def values(self, portfolio: Portfolio, asset: Asset) -> dict[str, Any] | None:
        """What is stored of one line, active or not."""
        line = self.lines[portfolio.pk].get(asset.pk)
        return {name: getattr(line, name) for name in VALUES} if line else None

    def cash(self, portfolio: Portfolio) -> Decimal | None:
        policy = self.policies.get(portfolio.pk)
        return policy.cash_target_percentage if policy else None

    def change(
        self, portfolio: Portfolio, targets: Mapping[Asset, Values], cash: Decimal | None
    ) -> TargetChange:
        """From what stands there to these targets. Lines that they do not name end; no cash means 0."""
        found = TargetChange(portfolio, self.policies.get(portfolio.pk))
        stored = self.lines[portfolio.pk]
        for asset, values in targets.items():
            if self.values(portfolio, asset) != values:
                line = stored.get(asset.pk) or PortfolioAllocation(
                    portfolio=portfolio, asset=asset, version=0
                )
                found.lines.append((line, values))
        named = {asset.pk for asset in targets}
        for line in stored.values():
            if line.is_active and line.asset_id not in named:
                found.lines.append((line, {"is_active": False}))
                found.notes.append(f"{portfolio.code}: {line.asset.symbol} is no target any more")
        standing = self.cash(portfolio)
        if cash is None and standing:
            found.cash = Decimal(0)
            found.notes.append(f"{portfolio.code}: cash is no target any more")
        elif cash != standing:
            found.cash = cash
        return found

    def as_json(self, portfolio: Portfolio) -> dict[str, Any]:
        """The set that stands there, in the form of a change request."""
        active = {line.asset: line for line in self.lines[portfolio.pk].values() if line.is_active}
        values = {asset: {name: getattr(line, name) for name in VALUES} for asset, line in active.items()}
        return targets_json(values, self.cash(portfolio))

    def version(self, portfolio: Portfolio) -> str:
        """Names the set that stands there: another set has another version."""
        return sha256_of(self.as_json(portfolio))


def targets_json(targets: Mapping[Asset, Values], cash: Decimal | None) -> dict[str, Any]:
    """A whole set of targets in the form of a change request, in the order of the assets' ids."""
    lines = [
        {"asset": asset.pk, "symbol": str(asset), **values}
        for asset, values in sorted(targets.items(), key=lambda item: item[0].pk)
    ]
    return {"targets": lines, "cash": cash}


def targets_write(change: TargetChange) -> tuple[dict[str, Any], dict[str, Any]]:
    """Write the change with its stale mark; what stood there and what stands there now, by symbol.

    The audit row is the caller's.
    """
    before: dict[str, Any] = {}
    after: dict[str, Any] = {}
    for line, values in change.lines:
        symbol = line.asset.symbol
        if line.pk:
            before[symbol] = {name: getattr(line, name) for name in values}
            if line.drift_percentage is not None:
                line.drift_percentage, line.is_breached = None, None
                line.quality = {**line.quality, **OUTDATED}
        for name, value in values.items():
            setattr(line, name, value)
        line.version += 1
        line.save()
        after[symbol] = dict(values)
    if change.cash is not None:
        policy = change.policy or RebalancingPolicy(portfolio=change.portfolio, version=0)
        if policy.pk:
            before[CASH] = policy.cash_target_percentage
        policy.cash_target_percentage = after[CASH] = change.cash
        policy.version += 1
        policy.save()
    mark_targets_changed(change.portfolio)
    return before, after


@transaction.atomic
def targets_replace(
    portfolio: Portfolio,
    targets: Mapping[Asset, Values],
    cash: Decimal | None,
    *,
    actor: Actor = None,
    reason: str = "",
    approved: ChangeRequest | None = None,
) -> bool:
    """Make these all of a portfolio's targets; False when they stand there already. Raises ValidationError.

    Under the two-person rule only an approved request may.
    """
    _check_total(portfolio, targets, cash)
    lock_rows(Portfolio, [portfolio.pk])
    change = StandingTargets([portfolio.pk]).change(portfolio, targets, cash)
    if change.is_empty:
        return False
    second_person_check(ChangeKind.TARGETS, portfolio, approved)
    before, after = targets_write(change)
    audit_append(
        action="allocation.changed",
        object_type="portfolio",
        object_id=portfolio.pk,
        actor=actor,
        portfolio=portfolio,
        before=before or None,
        after={"targets": after},
        reason=reason,
    )
    return True


def targets_may_change(user: User, portfolio: Portfolio) -> bool:
    return portfolio.status != PortfolioStatus.CLOSED and has_role(user, portfolio)


@transaction.atomic
def targets_save(
    portfolio: Portfolio,
    targets: Mapping[Asset, Values],
    cash: Decimal,
    *,
    actor: Actor = None,
    reason: str = "",
    expected_version: str | None = None,
) -> ChangeRequest | bool:
    """Make these all of a portfolio's targets, or under the two-person rule ask a second person to agree.

    False when they stand there already. Raises TargetsConflict when the set that stands there is not
    `expected_version`, TargetFaults for what is wrong with single lines, ValidationError, PermissionDenied.
    """
    lock_rows(Portfolio, [portfolio.pk])
    if actor is not None and not targets_may_change(actor, portfolio):
        raise PermissionDenied(f"{actor.get_username()} may not change the targets of {portfolio}.")
    standing = StandingTargets([portfolio.pk])
    if expected_version is not None and standing.version(portfolio) != expected_version:
        raise TargetsConflict(f"the targets of {portfolio.code} were changed by somebody else")
    faults = [*_faults(targets, standing.lines[portfolio.pk])]
    if not 0 <= cash <= WHOLE:
        faults.append(TargetFault(None, "target_percentage", "must be between 0 and 100"))
    if faults:
        raise TargetFaults(faults)
    # A portfolio without a policy has a cash target of 0 already.
    given = None if not cash and standing.cash(portfolio) is None else cash
    if standing.change(portfolio, targets, given).is_empty:
        return False
    if not needs_second_person(ChangeKind.TARGETS, portfolio):
        return targets_replace(portfolio, targets, given, actor=actor, reason=reason)
    _check_total(portfolio, targets, given)
    draft = change_draft(
        ChangeKind.TARGETS,
        portfolio=portfolio,
        payload=targets_json(targets, given),
        before=standing.as_json(portfolio),
        actor=actor,
        reason=reason,
    )
    return change_request(draft, actor=actor)


def _faults(
    targets: Mapping[Asset, Values], standing: Mapping[int, PortfolioAllocation]
) -> Iterator[TargetFault]:
    for asset, values in targets.items():
        target, low, high = (values[f"{name}_percentage"] for name in ("target", "min", "max"))
        stored = standing.get(asset.pk)
        if not asset.is_active and not (stored and stored.is_active):
            yield TargetFault(asset, "asset", "is not active")
        if not 0 <= target <= WHOLE:
            yield TargetFault(asset, "target_percentage", "must be between 0 and 100")
        if low < 0:
            yield TargetFault(asset, "min_percentage", "must not be below 0")
        if low > target:
            yield TargetFault(asset, "min_percentage", f"is above the target, {decimal_text(target)}")
        if high < target:
            yield TargetFault(asset, "max_percentage", f"is below the target, {decimal_text(target)}")
        if high > WHOLE:
            yield TargetFault(asset, "max_percentage", "is above 100")
        for name in ("rebalance_threshold", "rebalance_threshold_relative"):
            if values[name] is not None and values[name] < 0:
                yield TargetFault(asset, name, "must not be below 0")


def _check_total(portfolio: Portfolio, targets: Mapping[Asset, Values], cash: Decimal | None) -> None:
    total = sum((values["target_percentage"] for values in targets.values()), cash or Decimal(0))
    if total != WHOLE:
        raise ValidationError(f"the targets and cash of {portfolio.code} make {decimal_text(total)}, not 100")


def targets_read(portfolio: Portfolio, payload: dict[str, Any]) -> dict[str, Any]:
    return StandingTargets([portfolio.pk]).as_json(portfolio)


def targets_apply(portfolio: Portfolio, request: ChangeRequest) -> None:
    lines, cash = request.payload["targets"], request.payload["cash"]
    assets = payload_assets(line["asset"] for line in lines)
    targets = {
        assets[line["asset"]]: {name: column_value(PortfolioAllocation, name, line[name]) for name in VALUES}
        for line in lines
    }
    targets_replace(
        portfolio,
        targets,
        None if cash is None else Decimal(cash),
        actor=request.requested_by,
        reason=applied_reason(request),
        approved=request,
    )

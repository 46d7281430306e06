"""The targets of a portfolio, which change together: its lines with limits and bands, and its cash target."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction

from analytics.models import ChangeKind, ChangeRequest, PortfolioAllocation, RebalancingPolicy
from analytics.services.second_person import applied_reason, column_value, payload_assets, second_person_check
from analytics.services.staleness import mark_targets_changed
from portfolio_site.kernel.canonical import decimal_text
from portfolio_site.kernel.locks import lock_rows
from portfolios.models import Asset, Portfolio
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
    total = sum((values["target_percentage"] for values in targets.values()), cash or Decimal(0))
    if total != WHOLE:
        raise ValidationError(f"the targets and cash of {portfolio.code} make {decimal_text(total)}, not 100")
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

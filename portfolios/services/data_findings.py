"""Findings: what the checks of the prices say, kept with what people decided about it. No price is changed.

Two passes over the bars. The first goes through all assets a block of days at a time, for the median move
and the open days of each market; it holds one block and one row of closes. The second takes each market a
block of assets at a time. So what is held at once are some 300,000 rows, and the findings themselves.
"""

import datetime as dt
import math
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db import transaction

from portfolio_site.kernel import clock
from portfolio_site.kernel.bulk import bulk_upsert
from portfolio_site.kernel.locks import lock_rows
from portfolios.calculations.data_checks import (
    Finding,
    MarketDays,
    check_prices,
    market_moves,
    session_shares,
)
from portfolios.models import Asset, DataFinding, FindingStatus
from portfolios.selectors.checked_prices import (
    Listing,
    checked_bars,
    closes_by_days,
    listings,
    price_days,
)
from portfolios.services.audit import Actor, audit_append

MAY_ACCEPT = "portfolios.change_datafinding"
ASSETS_A_BLOCK = 100
# The market's median moves a little with every asset that is added; an accepted finding stays accepted.
MEASURE_TOLERANCE = 0.05
KEY = ("asset", "date", "kind")
STORED = ("severity", "detail", "measure", "related_date")


class FindingError(ValueError):
    """Why a finding cannot be accepted."""


@dataclass(frozen=True)
class FindingsReport:
    """What a check did to the table. `reopened`: had been resolved, or accepted with another measure."""

    created: int = 0
    changed: int = 0
    reopened: int = 0
    resolved: int = 0
    unchanged: int = 0

    @property
    def has_changed(self) -> bool:
        return bool(self.created or self.changed or self.reopened or self.resolved)

    def summary(self) -> str:
        return (
            f"{self.created} new, {self.changed} changed, {self.reopened} reopened, "
            f"{self.resolved} resolved, {self.unchanged} unchanged"
        )

    def as_json(self) -> dict[str, int]:
        return dict(vars(self))


class _Market(NamedTuple):
    assets: list[int]
    days: MarketDays


_Key = tuple[int, dt.date, str]


def findings_check(
    asset_ids: Collection[int] | None = None, from_date: dt.date | None = None, actor: Actor = None
) -> FindingsReport:
    """Check the stored prices, by default of all assets and days, and keep what is found.

    What is told of a day never depends on `from_date`: the whole series are read, and only what is found
    from that day on is kept. What no longer holds is resolved. Running it again changes nothing.
    """
    found = _found(asset_ids, from_date)
    checked = _checked_assets(asset_ids)
    with transaction.atomic():
        outcomes: Counter[str] = Counter()
        for start in range(0, len(checked), ASSETS_A_BLOCK):
            outcomes += _settle(checked[start : start + ASSETS_A_BLOCK], found, from_date)
        report = FindingsReport(**outcomes)
        if report.has_changed:
            audit_append(
                action="data_findings.checked",
                object_type="data_findings",
                object_id="all" if asset_ids is None else "some",
                actor=actor,
                after={
                    **report.as_json(),
                    "assets": None if asset_ids is None else checked,
                    "from_date": from_date,
                },
            )
    return report


def _checked_assets(asset_ids: Collection[int] | None) -> list[int]:
    assets = Asset.objects.order_by("pk").values_list("pk", flat=True)
    return list(assets if asset_ids is None else assets.filter(pk__in=list(asset_ids)))


def _found(asset_ids: Collection[int] | None, from_date: dt.date | None) -> dict[int, dict[_Key, Finding]]:
    """By asset id, then by key."""
    wanted = None if asset_ids is None else set(asset_ids)
    found: defaultdict[int, dict[_Key, Finding]] = defaultdict(dict)
    for market in _markets():
        assets = [asset for asset in market.assets if wanted is None or asset in wanted]
        for start in range(0, len(assets), ASSETS_A_BLOCK):
            block = assets[start : start + ASSETS_A_BLOCK]
            for finding in check_prices(checked_bars(block, market.days.days), market.days):
                if from_date is None or finding.date >= from_date:
                    asset = block[finding.asset]
                    found[asset][asset, finding.date, finding.kind] = finding
    return found


def _markets() -> Iterator[_Market]:
    """Every market with the days on which any of its assets has a price."""
    listed = listings()
    days, assets = price_days(), np.array([listing.asset for listing in listed], dtype=np.int64)
    rows: defaultdict[str, list[int]] = defaultdict(list)
    for row, listing in enumerate(listed):
        rows[listing.market].append(row)
    moves = {market: np.zeros(len(days)) for market in rows}
    present = {market: np.zeros(len(days), dtype=np.int64) for market in rows}
    last = np.full((len(assets), 1), np.nan)
    for place, closes in closes_by_days(assets, days):
        with_last = np.concatenate([last, closes], axis=1)
        for market, own in rows.items():
            moves[market][place] = market_moves(with_last[own])[1:]
            present[market][place] = np.isfinite(closes[own]).sum(axis=0)
        for column in closes.T:
            last[:, 0] = np.where(np.isfinite(column), column, last[:, 0])
    for market, own in rows.items():
        is_open = present[market] > 0
        shares = session_shares(present[market], _listed_on(days, [listed[row] for row in own]))
        level = np.cumsum(moves[market][is_open])
        yield _Market([listed[row].asset for row in own], MarketDays(days[is_open], level, shares[is_open]))


def _listed_on(days: np.ndarray, listed: Sequence[Listing]) -> np.ndarray:
    """How many of them have had their first price and not yet had their last, on each day."""
    first = np.sort(np.array([listing.first for listing in listed], dtype="datetime64[D]"))
    last = np.sort(np.array([listing.last for listing in listed], dtype="datetime64[D]"))
    return np.searchsorted(first, days, side="right") - np.searchsorted(last, days, side="left")


def _settle(
    assets: Sequence[int], found: dict[int, dict[_Key, Finding]], from_date: dt.date | None
) -> Counter[str]:
    """Bring what is stored of these assets in line with what was found; how many had which outcome."""
    lock_rows(Asset, assets)
    rows = DataFinding.objects.filter(asset__in=assets)
    if from_date is not None:
        rows = rows.filter(date__gte=from_date)
    stored = {(row.asset_id, row.date, row.kind): row for row in rows}
    outcomes: Counter[str] = Counter()
    now, columns = clock.now(), defaultdict[str, list[Any]](list)
    for asset in assets:
        for key, finding in found.get(asset, {}).items():
            row = stored.pop(key, None)
            outcome = _outcome(row, finding)
            outcomes[outcome] += 1
            if outcome != "unchanged":
                for name, value in _values(key, finding, row, now).items():
                    columns[name].append(value)
    if columns:
        bulk_upsert(DataFinding, columns, key=KEY)
    gone = [row.pk for row in stored.values() if row.status != FindingStatus.RESOLVED]
    DataFinding.objects.filter(pk__in=gone).update(status=FindingStatus.RESOLVED, last_seen_at=now)
    outcomes["resolved"] = len(gone)
    return outcomes


def _outcome(row: DataFinding | None, finding: Finding) -> str:
    if row is None:
        return "created"
    if row.status == FindingStatus.RESOLVED:
        return "reopened"
    if row.status == FindingStatus.ACCEPTED:
        is_same = math.isclose(row.measure, finding.measure, rel_tol=MEASURE_TOLERANCE)
        return "unchanged" if is_same else "reopened"
    is_same = all(getattr(row, name) == getattr(finding, name) for name in STORED)
    return "unchanged" if is_same else "changed"


def _values(key: _Key, finding: Finding, row: DataFinding | None, now: dt.datetime) -> dict[str, Any]:
    """One row to write. A note stays with a finding that is opened again, and so does who wrote it."""
    return {
        **dict(zip(KEY, key, strict=True)),
        **{name: getattr(finding, name) for name in STORED},
        "status": FindingStatus.OPEN,
        "note": row.note if row else "",
        "first_seen_at": row.first_seen_at if row else now,
        "last_seen_at": now,
    }


def finding_accept(finding: DataFinding, actor: User, note: str) -> None:
    """Let an open finding be, with the reason why. Raises PermissionDenied and FindingError."""
    if not (actor.is_active and actor.has_perm(MAY_ACCEPT)):
        raise PermissionDenied(f"{actor.get_username()} may not decide about findings.")
    note = note.strip()
    if not note:
        raise FindingError("A note must say why the finding is accepted.")
    with transaction.atomic():
        is_open = DataFinding.objects.filter(pk=finding.pk, status=FindingStatus.OPEN)
        # Conditional, so that of two who decide at once the second learns of the first.
        if not is_open.update(status=FindingStatus.ACCEPTED, note=note, decided_by=actor):
            raise FindingError(f"{finding} is no longer open.")
        audit_append(
            action="data_finding.accepted",
            object_type="data_finding",
            object_id=finding.pk,
            actor=actor,
            before={"status": FindingStatus.OPEN, "note": finding.note},
            after={
                "status": FindingStatus.ACCEPTED,
                "note": note,
                "asset": finding.asset.symbol,
                "date": finding.date,
                "kind": finding.kind,
                "measure": finding.measure,
            },
            reason=note,
        )
    finding.refresh_from_db()

"""Allocation analysis: what a portfolio holds against what it should hold, line by line, and the drift."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, localcontext
from typing import Any

from analytics.calculations.constants import ENGINE_VERSION
from analytics.calculations.drift import Band, LineDrift, line_drift, portfolio_drift
from analytics.models import AnalyticsRun, PortfolioAllocation, RebalancingPolicy
from analytics.selectors.portfolio_panels import PortfolioPanel
from analytics.services.computed_rows import PROVENANCE
from portfolio_site.kernel.bulk import bulk_upsert
from portfolios.models import Asset, Portfolio
from portfolios.selectors.market_data import bars_of

TABLE = PortfolioAllocation._meta.db_table
CASH = "CASH"
NOTHING = Decimal(0)
# Prices in base currency are kept to this many decimals; shares and cents follow exactly from them.
PRICE_PLACES = Decimal("0.0000000001")
WORKING_DIGITS = 50


@dataclass(frozen=True)
class AllocationLine:
    """One asset that is held, or should be. Price and value are in base currency, None when unknown."""

    asset: Asset
    quantity: Decimal
    price: Decimal | None
    price_age: int | None
    allocation: PortfolioAllocation | None
    value: Decimal | None
    weight: Decimal | None
    drift: LineDrift | None

    @property
    def band(self) -> Band:
        return _band(self.allocation)

    @property
    def target(self) -> Decimal:
        return self.allocation.target_percentage if self.allocation else NOTHING


@dataclass(frozen=True)
class AllocationState:
    """A portfolio against its targets at the end of a day. Weights, targets and drift are in percent.

    `reasons`: why the value is unknown; then weights and drift are, too.
    """

    portfolio: Portfolio
    policy: RebalancingPolicy
    day: dt.date
    lines: tuple[AllocationLine, ...]
    cash: Decimal | None
    value: Decimal | None
    drift: Decimal | None
    reasons: tuple[str, ...]

    @property
    def has_targets(self) -> bool:
        return any(line.allocation for line in self.lines)

    @property
    def cash_weight(self) -> Decimal | None:
        return self.cash / self.value * 100 if self.cash is not None and self.value else None

    @property
    def breaches(self) -> list[AllocationLine]:
        return [line for line in self.lines if line.allocation and line.drift and line.drift.breached]


def allocation_analyse(panel: PortfolioPanel) -> AllocationState:
    """The state of the portfolio at the end of the panel's last day."""
    portfolio = panel.portfolio
    day = panel.dates[-1].item()
    policy = RebalancingPolicy.objects.filter(portfolio=portfolio).first() or RebalancingPolicy(
        portfolio=portfolio
    )
    rows = PortfolioAllocation.objects.filter(portfolio=portfolio, is_active=True).select_related("asset")
    allocations = {row.asset_id: row for row in rows}
    with localcontext(prec=WORKING_DIGITS):
        holdings, cash, reasons = _holdings(panel)
        assets = {asset_id: panel.assets[asset_id] for asset_id in holdings}
        assets |= {asset_id: row.asset for asset_id, row in allocations.items()}
        prices = _prices(panel, assets)
        value = cash
        for asset_id, quantity in holdings.items():
            price, _ = prices[asset_id]
            if price is None:
                reasons.append(f"{assets[asset_id].symbol}: no price in {portfolio.base_currency_id}")
            value = value + quantity * price if value is not None and price is not None else None
        if value is not None and value <= 0:
            reasons.append(f"the portfolio is worth {value:.2f}")
            value = None
        lines = tuple(
            _line(
                assets[asset_id],
                holdings.get(asset_id, NOTHING),
                prices[asset_id],
                allocations.get(asset_id),
                value,
            )
            for asset_id in sorted(assets, key=lambda asset_id: (assets[asset_id].symbol, asset_id))
        )
        drift = None
        if value is not None and cash is not None:
            weights = {str(line.asset.pk): line.weight or NOTHING for line in lines} | {
                CASH: cash / value * 100
            }
            targets = {str(line.asset.pk): line.target for line in lines} | {
                CASH: policy.cash_target_percentage
            }
            drift = portfolio_drift(weights, targets)
    return AllocationState(portfolio, policy, day, lines, cash, value, drift, tuple(reasons))


def _holdings(panel: PortfolioPanel) -> tuple[dict[int, Decimal], Decimal | None, list[str]]:
    """Quantities and cash in base currency at the end of the last day, and what is missing."""
    past = [book for book in panel.books if book.date <= panel.dates[-1].item()]
    if not past:
        return {}, NOTHING, []
    book = past[-1]
    reasons = [unknown.reason for unknown in book.unknown if unknown.field == "positions"]
    cash: Decimal | None = NOTHING
    for currency, amount in sorted(book.cash.items()):
        rate = panel.rate_on_last_day(currency) if amount else NOTHING
        if rate is None:
            reasons.append(f"cash: no rate from {currency} to {panel.portfolio.base_currency_id}")
        cash = cash + amount * rate if cash is not None and rate is not None else None
    return {asset_id: quantity for asset_id, quantity in book.quantities.items() if quantity}, cash, reasons


def _prices(
    panel: PortfolioPanel, assets: Mapping[int, Asset]
) -> dict[int, tuple[Decimal | None, int | None]]:
    """Price in base currency and its age in days on the last day."""
    day = panel.dates[-1]
    bars = bars_of(assets, day.item())
    prices: dict[int, tuple[Decimal | None, int | None]] = {}
    for asset_id, asset in assets.items():
        rate = panel.rate_on_last_day(asset.currency_id)
        carried = bars[asset_id].carried_close(day) if asset_id in bars else None
        if carried is None or rate is None:
            prices[asset_id] = None, None
        else:
            close, age = carried
            prices[asset_id] = (Decimal(repr(close)) * rate).quantize(PRICE_PLACES), age
    return prices


def _line(
    asset: Asset,
    quantity: Decimal,
    price: tuple[Decimal | None, int | None],
    allocation: PortfolioAllocation | None,
    total: Decimal | None,
) -> AllocationLine:
    amount, age = price
    value = quantity * amount if amount is not None else (NOTHING if not quantity else None)
    weight = value / total * 100 if value is not None and total is not None else None
    drift = line_drift(weight, _band(allocation)) if weight is not None else None
    return AllocationLine(asset, quantity, amount, age, allocation, value, weight, drift)


def _band(allocation: PortfolioAllocation | None) -> Band:
    """What is held without a target should not be held."""
    if allocation is None:
        return Band(target=NOTHING, maximum=Decimal(100))
    return Band(
        target=allocation.target_percentage,
        minimum=allocation.min_percentage,
        maximum=allocation.max_percentage,
        absolute=allocation.rebalance_threshold,
        relative=allocation.rebalance_threshold_relative,
    )


def drift_write(run: AnalyticsRun, state: AllocationState, inputs_hash: str) -> int:
    """Store where each target line stands; return how many rows changed."""
    lines = [line for line in state.lines if line.allocation]
    if not lines:
        return 0
    unknown = {"current_percentage": "; ".join(state.reasons) or "value unknown"}
    columns: dict[str, Any] = {
        "current_value": [line.value for line in lines],
        "current_percentage": [None if line.weight is None else float(line.weight) for line in lines],
        "drift_percentage": [None if line.drift is None else float(line.drift.deviation) for line in lines],
        "is_breached": [None if line.drift is None else line.drift.breached for line in lines],
        "quality": [unknown if line.weight is None else {} for line in lines],
    }
    return bulk_upsert(
        PortfolioAllocation,
        {
            "portfolio": state.portfolio.pk,
            "asset": [line.asset.pk for line in lines],
            "calculation_date": state.day,
            **columns,
            "run": run.pk,
            "inputs_hash": inputs_hash,
            "engine_version": ENGINE_VERSION,
        },
        key=("portfolio", "asset"),
        provenance=PROVENANCE,
        insert=False,
    )

"""Which amounts to trade per holding so that asset classes, sectors, countries or currencies meet targets."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Any

import numpy as np

from analytics.calculations.trade_equations import look_through_trades
from analytics.selectors.attribution.labels import asset_labels
from analytics.selectors.portfolio_panels import PanelFault, portfolio_panels
from portfolios.models import Asset, Portfolio

# The field of an asset that says what it belongs to.
CLASSES = {"asset_class": "asset_class", "sector": "sector", "country": "country", "currency": "currency_id"}
WHOLE = Decimal(100)


class TradeSolutionError(Exception):
    """The question cannot be answered as it is asked, and why."""


@dataclass(frozen=True)
class TradeLine:
    """One holding: its value and what to trade of it (negative: to sell), in base currency.

    is_exact: the target of its class is met. is_unique: no other trades meet the targets as well; where
    several holdings share a class only their sum is determined, and it is spread evenly.
    """

    symbol: str
    group: str
    value: float
    amount: float
    is_exact: bool
    is_unique: bool


@dataclass(frozen=True)
class TradeSolution:
    portfolio: Portfolio
    day: dt.date
    lines: tuple[TradeLine, ...]

    def as_json(self) -> dict[str, Any]:
        return {
            "portfolio": self.portfolio.code,
            "date": self.day.isoformat(),
            "base_currency": self.portfolio.base_currency_id,
            "trades": [asdict(line) for line in self.lines],
        }


def trade_solution(
    portfolio: Portfolio, day: dt.date, targets: Mapping[str, Decimal], *, by: str, change: Decimal
) -> TradeSolution:
    """What to trade at the values of `day`, with `change` of base currency to put in (negative: to take out).

    targets: percent of what is held in the classes named, 100 altogether; a holding in none of them is left
    alone. Raises TradeSolutionError for targets that make something else, for a class without a holding, and
    where a value is unknown.
    """
    total = sum(targets.values(), Decimal(0))
    if total != WHOLE:
        raise TradeSolutionError(f"the targets make {total.normalize():f}, not 100")
    panel = next(iter(portfolio_panels([portfolio], day)), None)
    if panel is None or isinstance(panel, PanelFault):
        said = panel.reason if panel else f"no settled transactions up to {day}"
        raise TradeSolutionError(f"{portfolio.code}: {said}")
    last = panel.dates[-1].item()
    values = panel.valuation.positions[:, panel.days[-1]]
    held = np.flatnonzero(values != 0)
    assets = [panel.assets[panel.valuation.asset_ids[row]] for row in held]
    symbols = asset_labels(assets)
    unknown = [symbol for symbol, value in zip(symbols, values[held], strict=True) if np.isnan(value)]
    if unknown:
        raise TradeSolutionError(f"{portfolio.code}: value of {', '.join(unknown)} unknown on {last}")
    groups = [_group(asset, by) for asset in assets]
    missing = [group for group in targets if group not in groups]
    if missing:
        raise TradeSolutionError(f"{portfolio.code} holds nothing of {', '.join(missing)} by {by} on {last}")
    found = look_through_trades(
        values[held],
        np.array([[group == target for target in targets] for group in groups], dtype=float),
        np.array([float(weight / WHOLE) for weight in targets.values()]),
        float(change),
    )
    lines = (
        TradeLine(symbol, group, float(value), round(float(amount), 2) + 0.0, bool(exact), bool(unique))
        for symbol, group, value, amount, exact, unique in zip(
            symbols, groups, values[held], found.amounts, found.is_exact, found.is_unique, strict=True
        )
    )
    return TradeSolution(portfolio, last, tuple(sorted(lines, key=lambda line: (line.group, line.symbol))))


def _group(asset: Asset, by: str) -> str:
    return str(getattr(asset, CLASSES[by]))

"""Models of risk as of the latest day: value at risk three ways with backtests, and what each position adds.

Both rest on today's positions, frozen: the returns they would have had on the days all of them have one.
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from django.db.models import Model, Q

from analytics.calculations.constants import (
    ENGINE_VERSION,
    MIN_RISK_ROW,
    RISK_WINDOW,
    ROUNDING_NOISE,
    SESSIONS_PER_YEAR,
)
from analytics.calculations.covariance import Covariance, covariance_estimate
from analytics.calculations.observations import known_where
from analytics.calculations.risk_contributions import historical_var_contributions, volatility_contributions
from analytics.calculations.tails import MIN_RETURNS
from analytics.calculations.var_backtest import (
    BASEL_DAYS,
    BASEL_LEVEL,
    CASES,
    MIN_FORECAST_RETURNS,
    MIN_TESTED_DAYS,
    Case,
    VarBacktest,
    var_backtests,
)
from analytics.calculations.var_models import CORNISH_FISHER, HISTORICAL, Tails, model_tails
from analytics.models import AnalyticsRun, PortfolioRiskContribution, PortfolioVarBacktest
from analytics.selectors.portfolio_panels import PortfolioPanel
from analytics.services.computed_rows import PROVENANCE
from portfolio_site.kernel.bulk import bulk_upsert

BACKTESTS = PortfolioVarBacktest._meta.db_table
CONTRIBUTIONS = PortfolioRiskContribution._meta.db_table
CONTRIBUTION_LEVEL = 0.95
TESTS = ("kupiec_lr", "kupiec_p", "christoffersen_lr", "christoffersen_p", "joint_lr", "joint_p")
LOSSES = ("marginal_var", "component_var", "component_var_percentage")

Row = dict[str, Any]


@dataclass(frozen=True)
class FrozenPositions:
    """What is held on the last day: weights (A,) of the portfolio's value, daily returns (A, T).

    `problem`: why the portfolio as a whole has no figures; empty when it may have some. `note`: what they
    leave out.
    """

    asset_ids: list[int]
    weights: np.ndarray
    returns: np.ndarray
    scarcest: str
    problem: str = ""
    note: str = ""

    @property
    def common_returns(self) -> np.ndarray:
        """Returns of the assets on the days that all of them have one, (A, n)."""
        if self.problem:
            return self.returns[:, :0]
        return self.returns[:, ~np.isnan(self.returns).any(axis=0)]

    def shortage(self, days: int, needed: int) -> str:
        return f"insufficient data: {days} of {needed} common returns{self.scarcest}"


def risk_models_write(run: AnalyticsRun, panels: Sequence[PortfolioPanel]) -> dict[str, int]:
    """Store backtests and contributions of each panel's last day; return by table how many rows changed."""
    backtests, contributions = [], []
    for panel in panels:
        positions = _frozen_positions(panel)
        origin = {
            "portfolio": panel.portfolio.pk,
            "calculation_date": panel.dates[-1].item(),
            "run": run.pk,
            "inputs_hash": panel.last_hash,
            "engine_version": ENGINE_VERSION,
        }
        backtests += [row | origin for row in _backtest_rows(positions)]
        if positions.asset_ids:
            window = _risk_window(panel, positions)
            contributions += [row | origin for row in _contribution_rows(positions, window)]
    removed = _remove_positions(panels, {(row["portfolio"], row["asset"]) for row in contributions})
    return {
        BACKTESTS: _upsert(
            PortfolioVarBacktest, backtests, ("portfolio", "calculation_date", "method", "level")
        ),
        CONTRIBUTIONS: removed
        + _upsert(PortfolioRiskContribution, contributions, ("portfolio", "asset", "calculation_date")),
    }


def _remove_positions(panels: Sequence[PortfolioPanel], held: set[tuple[int, int]]) -> int:
    """What an earlier run of the day wrote of positions that are none any more."""
    on_day = Q(pk__in=[])
    for day in {panel.dates[-1].item() for panel in panels}:
        portfolios = [panel.portfolio.pk for panel in panels if panel.dates[-1].item() == day]
        on_day |= Q(portfolio__in=portfolios, calculation_date=day)
    stored = PortfolioRiskContribution.objects.filter(on_day).values_list("pk", "portfolio", "asset")
    gone = [pk for pk, portfolio, asset in stored if (portfolio, asset) not in held]
    return PortfolioRiskContribution.objects.filter(pk__in=gone).delete()[0] if gone else 0


def _upsert(model: type[Model], rows: Sequence[Row], key: tuple[str, ...]) -> int:
    if not rows:
        return 0
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    return bulk_upsert(model, columns, key=key, provenance=PROVENANCE)


def risk_models_drop(portfolio_id: int, first: dt.date) -> dict[str, int]:
    """Remove the rows from `first` on of a portfolio that has nothing left; return by table how many."""
    return {
        model._meta.db_table: model._default_manager.filter(
            portfolio=portfolio_id, calculation_date__gte=first
        ).delete()[0]
        for model in (PortfolioVarBacktest, PortfolioRiskContribution)
    }


def _frozen_positions(panel: PortfolioPanel) -> FrozenPositions:
    valuation, today = panel.valuation, panel.days[-1]
    values, total = valuation.positions[:, today], float(valuation.total_value[today])
    held = np.flatnonzero(values)
    asset_ids = [valuation.asset_ids[k] for k in held]
    returns = panel.asset_returns[held]
    problem = ""
    if not panel.is_valued_daily:
        problem = f"valued {panel.portfolio.valuation_frequency}: there are no daily returns"
    elif not asset_ids:
        problem = "no positions"
    elif np.isnan(total):
        problem = valuation.reasons[today].get("total_value", "the value of the portfolio is unknown")
    elif total <= 0:
        problem = "the portfolio has no value to take shares of"
    known = np.count_nonzero(~np.isnan(returns), axis=-1)
    scarcest = f"; {panel.assets[asset_ids[known.argmin()]].symbol} has {known.min()}" if asset_ids else ""
    base = panel.portfolio.base_currency_id
    foreign = [
        currency for currency, cash in sorted(valuation.cash.items()) if cash[today] and currency != base
    ]
    return FrozenPositions(
        asset_ids=asset_ids,
        weights=values[held] / total if total > 0 else np.full(len(held), np.nan),
        returns=returns,
        scarcest=scarcest,
        problem=problem,
        note=f"without the exchange-rate risk of the cash in {', '.join(foreign)}" if foreign else "",
    )


def _backtest_rows(positions: FrozenPositions) -> list[Row]:
    returns = positions.weights @ positions.common_returns
    tails, tests = model_tails(returns[-RISK_WINDOW:]), var_backtests(returns)
    return [_backtest_row(positions, case, tails[case], tests[case], len(returns)) for case in CASES]


def _backtest_row(positions: FrozenPositions, case: Case, tails: Tails, test: VarBacktest, days: int) -> Row:
    is_tested = test.observations > 0
    row: Row = {
        "method": case[0],
        "level": case[1],
        "var": float(tails[0]),
        "cvar": float(tails[1]),
        "window": min(days, RISK_WINDOW),
        "observations": int(test.observations),
        "exceptions": int(test.exceptions) if is_tested else None,
        "expected": float(test.expected) if is_tested else None,
        **{name: float(getattr(test, name)) for name in TESTS},
        "zone": test.zone.item(),
        "zone_exceptions": float(test.zone_exceptions),
    }
    return row | {"quality": _backtest_reasons(positions, row, days, int(test.left_out))}


def _backtest_reasons(positions: FrozenPositions, row: Row, days: int, left_out: int) -> dict[str, str]:
    level, tested, problem = row["level"], row["observations"], positions.problem
    reasons = {}
    for name in ("var", "cvar"):
        if not np.isfinite(row[name]):
            reasons[name] = problem or _no_figure(positions, row, name, days)
    if not tested:
        if days < MIN_FORECAST_RETURNS + 1:
            untested = problem or positions.shortage(days, MIN_FORECAST_RETURNS + 1)
        else:
            untested = "no day has a forecast"
        reasons |= dict.fromkeys(("exceptions", "expected", *TESTS), untested)
    elif tested < MIN_TESTED_DAYS:
        reasons |= dict.fromkeys(TESTS, f"insufficient data: {tested} of {MIN_TESTED_DAYS} days tested")
    if row["zone"] is None:
        no_zone = (
            problem or f"insufficient data: not all of the last {BASEL_DAYS} days are tested"
            if level == BASEL_LEVEL
            else f"zones are defined at {BASEL_LEVEL:.0%} only"
        )
        reasons |= dict.fromkeys(("zone", "zone_exceptions"), no_zone)
    if left_out:
        reasons["observations"] = f"days left out, no forecast: {left_out}"
    if positions.note:
        reasons["positions"] = positions.note
    return reasons


def _no_figure(positions: FrozenPositions, row: Row, name: str, days: int) -> str:
    needed = MIN_RETURNS[row["level"]]
    if days < needed:
        return positions.shortage(days, needed)
    if row["method"] == HISTORICAL and name == "cvar":
        return "insufficient data: too few returns in the tail"
    if row["method"] == CORNISH_FISHER:
        return "skewness and kurtosis are outside the domain of the expansion, or the returns are constant"
    return "insufficient data: constant returns"


def _risk_window(panel: PortfolioPanel, positions: FrozenPositions) -> np.ndarray:
    """The returns behind the covariance: on the days of the risk row, so that both rest on one matrix."""
    observed = ~np.isnan(panel.daily_series.returns)
    return positions.returns[:, observed][:, -RISK_WINDOW:]


def _contribution_rows(positions: FrozenPositions, window: np.ndarray) -> list[Row]:
    weights, common = positions.weights, positions.common_returns[:, -RISK_WINDOW:]
    losses = historical_var_contributions(weights, common, CONTRIBUTION_LEVEL)
    covariance = None if positions.problem else covariance_estimate(window)
    unknown = np.full(len(weights), np.nan)
    volatility, component_volatility = unknown, unknown
    if covariance is not None:
        spread = np.sqrt(np.diagonal(covariance.matrix) * SESSIONS_PER_YEAR)
        volatility = known_where(spread > ROUNDING_NOISE, spread)
        component_volatility = volatility_contributions(weights, covariance.matrix).component
    figures = {
        "weight": weights,
        "volatility": volatility,
        "marginal_var": losses.marginal,
        "component_var": losses.component,
        "component_var_percentage": losses.percentage,
        "component_volatility": component_volatility,
    }
    rows = []
    for k, asset_id in enumerate(positions.asset_ids):
        row: Row = {name: float(figure[k]) for name, figure in figures.items()}
        quality = _contribution_reasons(positions, row, common.shape[-1], covariance)
        rows.append(row | {"asset": asset_id, "method": HISTORICAL, "quality": quality})
    return rows


def _contribution_reasons(
    positions: FrozenPositions, row: Row, days: int, covariance: Covariance | None
) -> dict[str, str]:
    missing = {name for name, figure in row.items() if not np.isfinite(figure)}
    if positions.problem:
        return dict.fromkeys(sorted(missing), positions.problem)
    needed = MIN_RETURNS[CONTRIBUTION_LEVEL]
    no_loss = positions.shortage(days, needed) if days < needed else "the tail is no loss on average"
    no_spread = "insufficient data: constant returns"
    if covariance is None:
        no_spread = f"insufficient data: fewer than {MIN_RISK_ROW} common returns{positions.scarcest}"
    reasons = {name: no_loss if name in LOSSES else no_spread for name in sorted(missing)}
    if covariance is not None:
        reasons["covariance"] = f"{covariance.in_words}, {covariance.observations} common returns"
    if positions.note:
        reasons["positions"] = positions.note
    return reasons

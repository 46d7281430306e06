"""Rows for tests, made by plain functions: what a test does not name is filled in with something valid."""

import datetime as dt
from collections.abc import Mapping
from decimal import Decimal
from itertools import count
from typing import Any

from django.contrib.auth.models import Permission, User
from django.db import transaction

from analytics.models import (
    AnalyticsRun,
    AssetCorrelation,
    AssetPerformanceMetrics,
    BlendComponent,
    BlendedBenchmark,
    EventType,
    PortfolioAllocation,
    PortfolioBenchmark,
    PortfolioPerformanceHistory,
    PortfolioRiskContribution,
    PortfolioRiskMetrics,
    PortfolioVarBacktest,
    RebalanceMode,
    RebalancingEvent,
    VarMethod,
)
from portfolios.models import (
    Asset,
    AssetClass,
    AuditEvent,
    Currency,
    DataFinding,
    ExchangeRate,
    FindingKind,
    FindingSeverity,
    Portfolio,
    PortfolioAccess,
    PortfolioRole,
    PriceBar,
    Transaction,
    TransactionKind,
)
from portfolios.services.audit import audit_append

DAY = dt.date(2024, 3, 28)
ENGINE = "test"
_numbers = count(1)


def make_user(username: str = "", **fields: Any) -> User:
    return User.objects.create_user(username or f"user{next(_numbers)}", **fields)


def make_superuser(username: str = "") -> User:
    return make_user(username, is_staff=True, is_superuser=True)


def make_auditor(username: str = "") -> User:
    user = make_user(username)
    user.user_permissions.add(Permission.objects.get(codename="view_all_portfolios"))
    return user


def make_currency(code: str = "USD") -> Currency:
    return Currency.objects.get_or_create(code=code, defaults={"name": code})[0]


def make_asset(symbol: str = "", **fields: Any) -> Asset:
    symbol = symbol or f"AST{next(_numbers)}"
    currency = make_currency(fields.pop("currency", "USD"))
    defaults = {"name": f"{symbol} Inc.", "asset_class": AssetClass.EQUITY}
    return Asset.objects.create(symbol=symbol, currency=currency, **defaults | fields)


def make_portfolio(code: str = "", **fields: Any) -> Portfolio:
    code = code or f"BOOK{next(_numbers)}"
    currency = make_currency(fields.pop("base_currency", "USD"))
    return Portfolio.objects.create(code=code, base_currency=currency, **{"name": f"Book {code}"} | fields)


def grant(user: User, portfolio: Portfolio, role: PortfolioRole = PortfolioRole.VIEWER) -> PortfolioAccess:
    return PortfolioAccess.objects.create(user=user, portfolio=portfolio, role=role)


def make_price(asset: Asset, date: dt.date = DAY, close: Any = Decimal(100), **fields: Any) -> PriceBar:
    return PriceBar.objects.create(asset=asset, date=date, close=close, **fields)


def make_finding(asset: Asset, date: dt.date = DAY, **fields: Any) -> DataFinding:
    seen = dt.datetime.combine(date, dt.time(22, 15), dt.UTC)
    defaults = {
        "kind": FindingKind.SUSPECT_CLOSE,
        "severity": FindingSeverity.WARNING,
        "detail": "close 110, +10.00% against the market",
        "measure": 0.1,
        "first_seen_at": seen,
        "last_seen_at": seen,
    }
    return DataFinding.objects.create(asset=asset, date=date, **defaults | fields)


def make_exchange_rate(
    base: str = "EUR", quote: str = "USD", date: dt.date = DAY, rate: Any = Decimal("1.08")
) -> ExchangeRate:
    return ExchangeRate.objects.create(
        base=make_currency(base), quote=make_currency(quote), date=date, rate=rate, source="test"
    )


def make_transaction(portfolio: Portfolio, **fields: Any) -> Transaction:
    defaults = {
        "kind": TransactionKind.DEPOSIT,
        "trade_date": DAY,
        "amount": Decimal(1000),
        "currency": portfolio.base_currency,
        "external_id": f"t{next(_numbers)}",
    }
    return Transaction.objects.create(portfolio=portfolio, **defaults | fields)


def make_audit_event(portfolio: Portfolio | None = None, **fields: Any) -> AuditEvent:
    defaults: dict[str, Any] = {"action": "test.happened", "object_type": "test", "object_id": next(_numbers)}
    with transaction.atomic():
        return audit_append(portfolio=portfolio, **defaults | fields)


def make_run(*portfolio_codes: str, **fields: Any) -> AnalyticsRun:
    defaults = {"calculation_date": DAY, "engine_version": ENGINE}
    return AnalyticsRun.objects.create(portfolio_codes=list(portfolio_codes), **defaults | fields)


def make_performance(
    portfolio: Portfolio, snapshot_date: dt.date = DAY, **fields: Any
) -> PortfolioPerformanceHistory:
    return PortfolioPerformanceHistory.objects.create(
        portfolio=portfolio, snapshot_date=snapshot_date, **fields
    )


def make_asset_metrics(
    asset: Asset, calculation_date: dt.date = DAY, **fields: Any
) -> AssetPerformanceMetrics:
    return AssetPerformanceMetrics.objects.create(asset=asset, calculation_date=calculation_date, **fields)


def make_risk(portfolio: Portfolio, calculation_date: dt.date = DAY, **fields: Any) -> PortfolioRiskMetrics:
    return PortfolioRiskMetrics.objects.create(
        portfolio=portfolio, calculation_date=calculation_date, **fields
    )


def make_var_backtest(
    portfolio: Portfolio, calculation_date: dt.date = DAY, **fields: Any
) -> PortfolioVarBacktest:
    defaults = {"method": VarMethod.HISTORICAL, "level": 0.99}
    return PortfolioVarBacktest.objects.create(
        portfolio=portfolio, calculation_date=calculation_date, **defaults | fields
    )


def make_risk_contribution(
    portfolio: Portfolio, asset: Asset, calculation_date: dt.date = DAY, **fields: Any
) -> PortfolioRiskContribution:
    defaults = {"method": VarMethod.HISTORICAL}
    return PortfolioRiskContribution.objects.create(
        portfolio=portfolio, asset=asset, calculation_date=calculation_date, **defaults | fields
    )


def make_correlation(
    one: Asset, other: Asset, calculation_date: dt.date = DAY, **fields: Any
) -> AssetCorrelation:
    first, second = sorted((one, other), key=lambda asset: asset.pk)
    return AssetCorrelation.objects.create(
        asset1=first, asset2=second, calculation_date=calculation_date, **fields
    )


def make_allocation(portfolio: Portfolio, asset: Asset, target: Any, **fields: Any) -> PortfolioAllocation:
    return PortfolioAllocation.objects.create(
        portfolio=portfolio, asset=asset, target_percentage=target, **fields
    )


def make_benchmark(portfolio: Portfolio, asset: Asset, **fields: Any) -> PortfolioBenchmark:
    return PortfolioBenchmark.objects.create(portfolio=portfolio, asset=asset, **fields)


def make_blend(weights: Mapping[Asset, Any], symbol: str = "", **fields: Any) -> BlendedBenchmark:
    """A blend of the assets with these weights in percent."""
    asset = make_asset(symbol, asset_class=AssetClass.INDEX)
    blend = BlendedBenchmark.objects.create(asset=asset, **fields)
    for component, weight in weights.items():
        BlendComponent.objects.create(blend=blend, asset=component, weight_percentage=weight)
    return blend


def make_event(portfolio: Portfolio, **fields: Any) -> RebalancingEvent:
    defaults = {
        "event_type": EventType.MANUAL,
        "mode": RebalanceMode.FULL,
        "valuation_date": DAY,
        "proposal_hash": "0" * 64,
    }
    return RebalancingEvent.objects.create(portfolio=portfolio, **defaults | fields)

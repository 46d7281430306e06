"""The shipped demo: real prices, four invented portfolios, and three users to look at them."""

import json
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

from django.contrib.auth import get_user_model

from analytics.services.import_allocations import allocations_import
from analytics.services.import_benchmarks import benchmarks_import
from analytics.services.policies import policy_update
from portfolios.imports.report import ImportReport
from portfolios.models import Portfolio, PortfolioRole
from portfolios.services.access import access_grant
from portfolios.services.import_assets import assets_import
from portfolios.services.import_corporate_actions import corporate_actions_import
from portfolios.services.import_exchange_rates import exchange_rates_import
from portfolios.services.import_interest_rates import interest_rates_import
from portfolios.services.import_prices import prices_import
from portfolios.services.import_transactions import transactions_import
from portfolios.services.portfolios import portfolio_update

RISK_FREE_SERIES = "DTB3"
SUPERUSER = "demo"
ROLES = {"maker": PortfolioRole.MAKER, "checker": PortfolioRole.CHECKER}
# The policy's fields by their names in portfolios.json; amounts are texts there.
POLICY_AMOUNTS = {
    "cash_reserve": "cash_reserve",
    "min_trade": "minimum_trade",
    "fee_per_trade": "fee_per_trade",
    "cost_rate": "cost_rate",
}


class DemoError(Exception):
    """A demo file was refused; the text says why."""


def demo_load(folder: Path, *, password: str) -> Iterator[tuple[str, ImportReport]]:
    """Import every demo file in the order that they need each other; yields each with its report.

    Loading again changes nothing, and leaves passwords that were changed meanwhile.
    """
    portfolios = json.loads((folder / "portfolios.json").read_text(encoding="utf-8"))
    for name, import_file in _imports(folder, portfolios):
        report = import_file(folder / name)
        if report.rejected:
            raise DemoError(f"{name}, {report.rejected[0]}")
        yield name, report
    for code, described in portfolios.items():
        _describe(Portfolio.objects.get(code=code), described)
    _create_users(password)


def _imports(
    folder: Path, portfolios: dict[str, Any]
) -> Iterator[tuple[str, Callable[[Path], ImportReport]]]:
    yield "assets.csv", assets_import
    yield "prices_adjusted.csv.gz", lambda path: prices_import(path, source="S&P 500", split_adjusted=True)
    yield "prices_as_traded.csv.gz", lambda path: prices_import(path, source="WIKI")
    yield "prices_indices.csv.gz", lambda path: prices_import(path, source="Indices")
    yield "fx_ecb.csv.gz", lambda path: exchange_rates_import(path, source="ECB")
    yield "dtb3.csv", lambda path: interest_rates_import(path, name=RISK_FREE_SERIES)
    yield "corporate_actions.csv", corporate_actions_import
    for code, described in portfolios.items():
        currency = described["base_currency"]
        yield (
            f"transactions/{code}.csv",
            lambda path, currency=currency: transactions_import(  # type: ignore[misc]
                path, create_portfolios=True, base_currency=currency
            ),
        )
    yield "allocations.csv", allocations_import
    yield "benchmarks.csv", benchmarks_import


def _describe(portfolio: Portfolio, described: dict[str, Any]) -> None:
    policy = described["policy"]
    amounts: dict[str, Any] = {
        field: Decimal(policy[name]) for name, field in POLICY_AMOUNTS.items() if name in policy
    }
    portfolio_update(portfolio, name=described["name"])
    policy_update(portfolio, mode=policy["mode"], **amounts)


def _create_users(password: str) -> None:
    users = get_user_model()._default_manager
    if not users.filter(username=SUPERUSER).exists():
        users.create_superuser(SUPERUSER, password=password)
    for name, role in ROLES.items():
        user = users.filter(username=name).first() or users.create_user(
            name, password=password, is_staff=True
        )
        for portfolio in Portfolio.objects.order_by("code"):
            access_grant(user, portfolio, role)

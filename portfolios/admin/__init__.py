"""The facts in the console: all can be found and read, nothing is changed behind the services' back."""

from portfolios.admin import (
    access,
    assets,
    audit,
    findings,
    households,
    imports,
    market_data,
    portfolios,
    tokens,
    transactions,
    users,
)

__all__ = [
    "access",
    "assets",
    "audit",
    "findings",
    "households",
    "imports",
    "market_data",
    "portfolios",
    "tokens",
    "transactions",
    "users",
]

"""What the cells of a file may name: assets, currencies and portfolios that exist."""

from typing import cast

from portfolios.imports.cells import CellError, Row
from portfolios.models import Asset, Currency, Portfolio, PortfolioRole, PortfolioStatus
from portfolios.selectors.visibility import User, has_role, visible_to
from portfolios.services.audit import Actor


class AssetLookup:
    """Assets by symbol. A symbol that stands for several assets names none of them."""

    def __init__(self) -> None:
        self._assets: dict[str, list[Asset]] = {}
        for asset in Asset.objects.all():
            self._assets.setdefault(asset.symbol, []).append(asset)

    def find(self, row: Row, column: str = "symbol") -> Asset:
        symbol = row.cell(column)
        if not symbol:
            raise row.error(column, "must not be blank")
        found = self._assets.get(symbol, [])
        if not found:
            raise row.error(column, "unknown symbol")
        if len(found) > 1:
            exchanges = ", ".join(asset.exchange or "no exchange" for asset in found)
            raise row.error(column, f"ambiguous symbol: {exchanges}")
        return found[0]


class CurrencyLookup:
    def __init__(self) -> None:
        self.codes = set(Currency.objects.values_list("code", flat=True))

    def find(self, row: Row, column: str, default: str = "") -> str:
        code = row.cell(column) or default
        if not code:
            raise row.error(column, "must not be blank")
        if code not in self.codes:
            raise row.error(column, "unknown currency")
        return code


class PortfolioLookup:
    """Portfolios by code that the actor may change; without an actor the system acts, and may change all."""

    def __init__(self, actor: Actor, *roles: PortfolioRole) -> None:
        self._actor = cast(User | None, actor)
        self._roles = roles
        self._portfolios = {portfolio.code: portfolio for portfolio in Portfolio.objects.all()}
        self._refusals: dict[str, str] = {}

    def __contains__(self, code: str) -> bool:
        return code in self._portfolios

    def find(self, code: str) -> Portfolio:
        if not code:
            raise CellError("portfolio", code, "must not be blank")
        if code not in self._refusals:
            self._refusals[code] = self._refusal(code)
        if self._refusals[code]:
            raise CellError("portfolio", code, self._refusals[code])
        return self._portfolios[code]

    def _refusal(self, code: str) -> str:
        portfolio = self._portfolios.get(code)
        if portfolio is None or not (self._actor is None or visible_to(self._actor).contains(portfolio)):
            return "unknown portfolio"
        if portfolio.status == PortfolioStatus.CLOSED:
            return "this portfolio is closed"
        if self._actor is not None and not has_role(self._actor, portfolio, *self._roles):
            return f"{self._actor.get_username()} may not change this portfolio"
        return ""

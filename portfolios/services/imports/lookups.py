"""What the cells of a file may name: assets, currencies and portfolios that exist."""

import datetime as dt
from collections import defaultdict
from collections.abc import Container, Iterable
from typing import cast

from portfolios.imports.cells import CellError, Row
from portfolios.models import Asset, CorporateAction, Currency, Portfolio, PortfolioRole, PortfolioStatus
from portfolios.selectors.visibility import User, has_role, visible_to
from portfolios.services.audit import Actor

# A broker shows a corporate action when it booked it, which may be some days from its ex-date.
ACTION_DAYS = dt.timedelta(days=5)


class AssetLookup:
    """Assets by ISIN where a row has one, else by symbol. A name that stands for several assets names none.

    `isin` and `exchange` are columns that layouts of other programs may have.
    """

    def __init__(self) -> None:
        self._by_symbol: defaultdict[str, list[Asset]] = defaultdict(list)
        self._by_isin: defaultdict[str, list[Asset]] = defaultdict(list)
        self._by_cusip: defaultdict[str, list[Asset]] = defaultdict(list)
        for asset in Asset.objects.all():
            self._by_symbol[asset.symbol].append(asset)
            if asset.isin:
                self._by_isin[asset.isin].append(asset)
                # An American ISIN is the country, the CUSIP and a check digit.
                self._by_cusip[asset.isin[2:-1]].append(asset)

    def find(self, row: Row, column: str = "symbol") -> Asset:
        symbol, isin = row.cell(column), row.cell("isin").upper()
        if isin in self._by_isin:
            return self._only(row, "isin", self._by_isin[isin], symbol)
        if not symbol:
            raise row.error("isin", "unknown ISIN") if isin else row.error(column, "must not be blank")
        found = self._by_symbol.get(symbol, [])
        if not found:
            raise row.error(column, "unknown symbol")
        asset = self._only(row, column, found, symbol)
        if isin and asset.isin:
            raise row.error("isin", f"unknown ISIN; {symbol} has {asset.isin} here")
        return asset

    def named(self, name: str) -> list[Asset]:
        """All assets of this symbol, ISIN or CUSIP, if any."""
        return self._by_symbol.get(name) or self._by_isin.get(name) or self._by_cusip.get(name) or []

    def _only(self, row: Row, column: str, found: list[Asset], symbol: str) -> Asset:
        """One listing of several is told by its symbol or its exchange."""
        exchange = row.cell("exchange").upper()
        if len(found) > 1 and exchange:
            found = [asset for asset in found if asset.exchange == exchange] or found
        if len(found) > 1 and column == "isin" and symbol:
            found = [asset for asset in found if asset.symbol == symbol] or found
        if len(found) > 1:
            exchanges = ", ".join(asset.exchange or "no exchange" for asset in found)
            raise row.error(column, f"ambiguous {'ISIN' if column == 'isin' else 'symbol'}: {exchanges}")
        return found[0]


class CorporateActionLookup:
    """Corporate actions that are known, by the assets that they take from and give."""

    def __init__(self) -> None:
        self._actions: defaultdict[int, list[tuple[str, dt.date]]] = defaultdict(list)
        rows = CorporateAction.objects.values_list("asset", "new_asset", "kind", "ex_date")
        for asset, new_asset, kind, ex_date in rows:
            self._actions[asset].append((kind, ex_date))
            if new_asset is not None:
                self._actions[new_asset].append((kind, ex_date))

    def find(self, assets: Iterable[Asset], kinds: Container[str], day: dt.date) -> dt.date | None:
        """The nearest ex-date of an action of these kinds, at most ACTION_DAYS from the day."""
        ex_dates = [
            ex_date
            for asset in assets
            for kind, ex_date in self._actions.get(asset.pk, [])
            if kind in kinds and abs(ex_date - day) <= ACTION_DAYS
        ]
        return min(ex_dates, key=lambda ex_date: abs(ex_date - day), default=None)


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

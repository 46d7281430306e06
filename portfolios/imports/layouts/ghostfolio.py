"""Ghostfolio's JSON of activities. It carries no deposits and withdrawals."""

from collections.abc import Iterable

from portfolios.imports.cells import EXACT
from portfolios.imports.layouts.base import ISO_DAY, POINT, ColumnLayout, Item, Source, plus
from portfolios.imports.table import Table

WITH_ASSET = {"buy", "sell", "dividend"}


class GhostfolioLayout(ColumnLayout):
    name = "ghostfolio"
    required = ("currency", "date", "symbol", "type", "quantity", "unitprice", "fee")
    optional = ("comment", "id")
    unused = ("accountid", "datasource", "tags")
    names = {
        "trade_date": "date",
        "kind": "type",
        "price": "unitprice",
        "amount": "unitprice",
        "external_id": "id",
        "note": "comment",
    }
    style = POINT

    def remarks(self, table: Table) -> list[str]:
        nothing_else = "only activities are read: no accounts, balances, deposits and withdrawals"
        return [*super().remarks(table), f"layout {self.name}: {nothing_else}"]

    def translate(self, source: Source) -> Iterable[Item]:
        kind = source.text("type").lower()
        # The day as it is written, which is the one in UTC.
        day = source.day("date", ISO_DAY)
        quantity, price = source.from_zero("quantity"), source.from_zero("unitprice")
        fee = source.from_zero("fee")
        common = {
            "currency": source.text("currency"),
            "external_id": source.text("id"),
            "note": source.text("comment"),
        }
        if kind in WITH_ASSET:
            yield source.booking(
                kind, day, symbol=source.text("symbol"), quantity=quantity, price=price, fee=fee, **common
            )
        elif kind in {"fee", "interest"}:
            # What stands as symbol here is a label.
            common["note"] = common["note"] or source.text("symbol")
            amount = EXACT.multiply(
                source.row.given("quantity", quantity), source.row.given("unitprice", price)
            )
            if kind == "fee":
                total = plus(amount, fee)
                yield source.called(amount="fee").booking(kind, day, amount=total, **common)
            else:
                yield source.booking(kind, day, amount=amount, fee=fee, **common)
        elif kind in {"item", "liability"}:
            raise source.error(
                "type", f"a {kind} moves neither money nor shares of an asset; nothing to book"
            )
        else:
            raise source.error("type", "must be one of buy, sell, dividend, fee, interest")

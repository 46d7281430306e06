"""Portfolio Performance's export of all transactions, in English or German.

The value is what moved on the account: fees and taxes are inside it, and purchases are negative. The numbers
follow the language of the program, which the header tells.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal

from portfolios.imports.cells import Reading
from portfolios.imports.errors import TableError
from portfolios.imports.layouts.base import (
    ENGLISH,
    GERMAN,
    ISO_DAY,
    ColumnLayout,
    Item,
    Note,
    NumberStyle,
    Source,
    plus,
    unit_price,
)
from portfolios.imports.report import Reject
from portfolios.imports.table import Table

# Kind, and the sign of its value.
KINDS = {
    "deposit": 1,
    "withdrawal": -1,
    "buy": -1,
    "sell": 1,
    "dividend": 1,
    "interest": 1,
    "interest_charge": -1,
    "fee": -1,
    "fee_refund": 1,
    "tax": -1,
    "tax_refund": 1,
}
DELIVERIES = {"transfer_in", "transfer_out"}
BETWEEN_ACCOUNTS = "between accounts"
ENGLISH_TYPES = {
    "deposit": "deposit",
    "removal": "withdrawal",
    "buy": "buy",
    "sell": "sell",
    "dividend": "dividend",
    "interest": "interest",
    "interest charge": "interest_charge",
    "fees": "fee",
    "fees refund": "fee_refund",
    "taxes": "tax",
    "tax refund": "tax_refund",
    "delivery (inbound)": "transfer_in",
    "delivery (outbound)": "transfer_out",
    "transfer (inbound)": BETWEEN_ACCOUNTS,
    "transfer (outbound)": BETWEEN_ACCOUNTS,
}
GERMAN_TYPES = {
    "einlage": "deposit",
    "entnahme": "withdrawal",
    "kauf": "buy",
    "verkauf": "sell",
    "dividende": "dividend",
    "zinsen": "interest",
    "zinsbelastung": "interest_charge",
    "gebühren": "fee",
    "gebührenerstattung": "fee_refund",
    "steuern": "tax",
    "steuerrückerstattung": "tax_refund",
    "einlieferung": "transfer_in",
    "auslieferung": "transfer_out",
    "umbuchung (eingang)": BETWEEN_ACCOUNTS,
    "umbuchung (ausgang)": BETWEEN_ACCOUNTS,
}
# Ours, English, German; the others are called alike or are not read.
COLUMNS = (
    ("trade_date", "date", "datum"),
    ("kind", "type", "typ"),
    ("amount", "value", "wert"),
    ("currency", "transaction currency", "buchungswährung"),
    ("fee", "fees", "gebühren"),
    ("tax", "taxes", "steuern"),
    ("quantity", "shares", "stück"),
    ("isin", "isin", "isin"),
    ("symbol", "ticker symbol", "ticker-symbol"),
    ("note", "note", "notiz"),
)


@dataclass(frozen=True)
class Language:
    word: str
    style: NumberStyle
    types: Mapping[str, str]
    names: Mapping[str, str]
    unread: tuple[str, ...]


LANGUAGES = (
    Language(
        "English",
        ENGLISH,
        ENGLISH_TYPES,
        {ours: english for ours, english, _ in COLUMNS},
        ("gross amount", "currency gross amount", "exchange rate", "wkn", "security name"),
    ),
    Language(
        "German",
        GERMAN,
        GERMAN_TYPES,
        {ours: german for ours, _, german in COLUMNS},
        ("bruttobetrag", "währung bruttobetrag", "wechselkurs", "wkn", "wertpapiername"),
    ),
)


class PortfolioPerformanceLayout:
    """Both languages are one source: a book imported from one knows its rows in the other."""

    name = "portfolio_performance"
    names: Mapping[str, str] = {}

    def misfit(self, table: Table) -> str:
        faults = [_Rows(language).misfit(table) for language in LANGUAGES]
        if not all(faults):
            return ""
        return ", ".join(
            f"in {language.word} {fault}" for language, fault in zip(LANGUAGES, faults, strict=True)
        )

    def check_header(self, table: Table) -> None:
        self._rows_of(table).check_header(table)

    def remarks(self, table: Table) -> list[str]:
        return self._rows_of(table).remarks(table)

    def rows(self, table: Table, reading: Reading) -> Iterator[Item]:
        return self._rows_of(table).rows(table, reading)

    def _rows_of(self, table: Table) -> "_Rows":
        """The language that shares most columns with the header."""
        shared = {
            language.word: len(set(language.names.values()) & set(table.header)) for language in LANGUAGES
        }
        language = max(LANGUAGES, key=lambda language: shared[language.word])
        if not shared[language.word]:
            raise TableError(Reject(1, "", "", f"not of this layout: {self.misfit(table)}"))
        self.names = language.names
        return _Rows(language)


class _Rows(ColumnLayout):
    name = PortfolioPerformanceLayout.name

    def __init__(self, language: Language) -> None:
        self.language = language
        self.style = language.style
        self.names = language.names
        self.required = tuple(language.names.values())
        self.unused = language.unread

    def translate(self, source: Source) -> Iterable[Item]:
        names = self.names
        kind = self.language.types.get(source.text(names["kind"]).lower())
        if kind is None:
            raise source.error(names["kind"], f"must be one of {', '.join(self.language.types)}")
        if kind == BETWEEN_ACCOUNTS:
            reason = (
                "moves something between two accounts of yours: nothing to book when both are in this "
                "portfolio; otherwise book a deposit, withdrawal or transfer"
            )
            raise source.error(names["kind"], reason)
        day = source.day(names["trade_date"], ISO_DAY)
        quantity = source.from_zero(names["quantity"])
        fee, tax = source.from_zero(names["fee"]), source.from_zero(names["tax"])
        price: Decimal | None = None
        amount: Decimal | None
        if kind in DELIVERIES:
            # No account takes part, so what it cost to deliver is part of the cost of the shares.
            value = abs(source.needed(names["amount"]))
            if quantity and kind == "transfer_in":
                price = unit_price(value, quantity)
            elif plus(fee, tax):
                yield Note(source.line, "fees and taxes of a delivery are not booked: no money moves")
            amount = fee = tax = None
        else:
            sign = KINDS[kind]
            value = source.signed(names["amount"], sign, kind)
            # Received is what is left after fees and taxes, paid is what it came to with them.
            charges = plus(fee, tax)
            amount = plus(value, charges if sign > 0 else -charges)
        has_asset = kind in DELIVERIES or kind in {"buy", "sell", "dividend"}
        yield source.booking(
            kind,
            day,
            symbol=source.text(names["symbol"]),
            isin=source.text(names["isin"]),
            quantity=quantity if has_asset else None,
            price=price,
            amount=amount,
            fee=fee,
            tax=tax,
            currency=source.text(names["currency"]),
            note=source.text(names["note"]),
        )

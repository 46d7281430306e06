"""One row of a file, its cells read as what they should be; anything else raises CellError."""

import datetime as dt
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import ROUND_HALF_EVEN, Context, Decimal
from functools import lru_cache
from typing import Any, NamedTuple, TypeVar

from portfolio_site.kernel import fields

Value = TypeVar("Value")

# More decimals than this are not a measurement any more.
MAX_DECIMALS = 18
MAX_NUMBER_LENGTH = 64
# An earlier year is a slip of the keyboard.
FIRST_YEAR = 1900
TRUE_WORDS = {"1", "true", "yes", "y"}
FALSE_WORDS = {"0", "false", "no", "n", ""}

# Wide enough for the product of any two numbers that can be read.
EXACT = Context(prec=2 * MAX_NUMBER_LENGTH, rounding=ROUND_HALF_EVEN)
# The common case: nothing to round, nothing to refuse in any column of prices, quantities or money.
_SHORT_NUMBER = re.compile(r"\d{1,9}(\.\d{1,6})?", re.ASCII)
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


class Digits(NamedTuple):
    """How many digits a column keeps before and after the point."""

    whole: int
    places: int
    # Prices repeat: equal cells then share one Decimal, which saves time and most of the memory.
    repeats: bool = False


MONEY = Digits(fields.MONEY_DIGITS - fields.MONEY_PLACES, fields.MONEY_PLACES)
PRICE = Digits(fields.PRICE_DIGITS - fields.PRICE_PLACES, fields.PRICE_PLACES, repeats=True)
QUANTITY = Digits(fields.QUANTITY_DIGITS - fields.QUANTITY_PLACES, fields.QUANTITY_PLACES)
PERCENT = Digits(fields.PERCENT_DIGITS - fields.PERCENT_PLACES, fields.PERCENT_PLACES)


class CellError(ValueError):
    def __init__(self, column: str, value: str, reason: str) -> None:
        super().__init__(reason)
        self.column, self.value, self.reason = column, value, reason


@dataclass
class Reading:
    """What holds for all rows of one file: the digits its database can keep, and what had to be rounded."""

    significant: int | None = None
    rounded: Counter[tuple[str, int]] = field(default_factory=Counter)
    remarks: Counter[str] = field(default_factory=Counter)

    def notes(self) -> list[str]:
        return [
            f"column {column}: {count} rounded half-even to {places} decimals"
            + (f" or {self.significant} digits" if self.significant else "")
            for (column, places), count in sorted(self.rounded.items())
        ] + [f"{remark}: {count} rows" for remark, count in sorted(self.remarks.items())]


@dataclass(slots=True)
class Row:
    """`names`, `origin`: of a translated row, what our columns were called, and the row that it was."""

    line: int
    cells: dict[str, str]
    reading: Reading
    names: Mapping[str, str] | None = None
    origin: "Row | None" = None

    def cell(self, column: str) -> str:
        return self.cells.get(column, "").strip()

    def name(self, column: str) -> str:
        return self.names.get(column, column) if self.names else column

    def error(self, column: str, reason: str) -> CellError:
        name = self.name(column)
        written = self.origin.cell(name) if self.origin else ""
        return CellError(name, written or self.cell(column), reason)

    def text(self, column: str, max_length: int, *, needed: bool = False) -> str:
        text = self.cell(column)
        if not text:
            if needed:
                raise self.error(column, "must not be blank")
            return text
        if len(text) > max_length:
            raise self.error(column, f"longer than {max_length} characters")
        if text.startswith("="):
            raise self.error(column, "a formula, not a text")
        if not text.isprintable() and any(unicodedata.category(letter).startswith("C") for letter in text):
            raise self.error(column, "holds a control character")
        return text

    def number(self, column: str, digits: Digits) -> Decimal | None:
        """The number, or None when the cell is blank."""
        text = self.cell(column)
        if not text:
            return None
        try:
            read = read_repeated_number if digits.repeats else read_number
            value, was_rounded = read(text, digits, self.reading.significant)
        except ValueError as error:
            raise self.error(column, str(error)) from error
        if was_rounded:
            self.reading.rounded[self.name(column), digits.places] += 1
        return value

    def number_from_zero(self, column: str, digits: Digits) -> Decimal | None:
        value = self.number(column, digits)
        if value is not None and value < 0:
            raise self.error(column, "must not be negative")
        return value

    def positive_number(self, column: str, digits: Digits) -> Decimal | None:
        value = self.number(column, digits)
        if value is not None and value <= 0:
            raise self.error(column, "must be above 0")
        return value

    def given(self, column: str, value: Value | None) -> Value:
        """The value, which must not be blank."""
        if value is None:
            raise self.error(column, "must not be blank")
        return value

    def date(self, column: str) -> dt.date | None:
        text = self.cell(column)
        if not text:
            return None
        try:
            return read_date(text)
        except ValueError as error:
            raise self.error(column, str(error)) from error

    def past_date(self, column: str, today: dt.date) -> dt.date:
        day = self.given(column, self.date(column))
        if day > today:
            raise self.error(column, "lies in the future")
        return day

    def choice(self, column: str, choices: Iterable[str], default: str = "") -> str:
        """One of the choices, in any case."""
        word = self.cell(column).lower() or default
        if word not in choices:
            reason = f"must be one of {', '.join(choices)}" if word else "must not be blank"
            raise self.error(column, reason)
        return word

    def flag(self, column: str) -> bool:
        word = self.cell(column).lower()
        if word in TRUE_WORDS:
            return True
        if word in FALSE_WORDS:
            return False
        raise self.error(column, "must be 1 or 0")


@lru_cache(maxsize=1 << 14)
def read_date(text: str) -> dt.date:
    if not _DATE.fullmatch(text):
        raise ValueError("not a date as YYYY-MM-DD")
    try:
        day = dt.date.fromisoformat(text)
    except ValueError as error:
        raise ValueError("no such day") from error
    if day.year < FIRST_YEAR:
        raise ValueError(f"before {FIRST_YEAR}")
    return day


def read_number(text: str, digits: Digits, significant: int | None) -> tuple[Decimal, bool]:
    """The number as the column keeps it, and whether it had to be rounded. Raises ValueError with the reason.

    Exponents are read where all digits stand there (5e-05); 1.2E+11 hides some, as spreadsheets do.
    """
    if _SHORT_NUMBER.fullmatch(text) and digits.whole >= 9:
        return Decimal(text), False
    if len(text) > MAX_NUMBER_LENGTH:
        raise ValueError("too long for a number")
    if not _NUMBER.fullmatch(text):
        raise ValueError(number_fault(text))
    value = Decimal(text)
    if not value:
        return Decimal(0), False
    if int(value.as_tuple().exponent) > 0:
        raise ValueError("an exponent that hides digits")
    if -int(EXACT.normalize(value).as_tuple().exponent) > MAX_DECIMALS:
        raise ValueError(f"more than {MAX_DECIMALS} decimals")
    kept = round_number(value, digits, significant)
    if not kept:
        raise ValueError(f"would round to 0 at {digits.places} decimals")
    return kept, kept != value


# Some 400 bytes a number, kept as long as the process lives.
read_repeated_number = lru_cache(maxsize=1 << 16)(read_number)


def round_number(value: Decimal, digits: Digits, significant: int | None) -> Decimal:
    """Half-even to what the column keeps and to so many significant digits. ValueError without room."""
    if value.adjusted() >= digits.whole:
        raise ValueError(f"more than {digits.whole} digits before the point")
    kept = EXACT.quantize(value, Decimal(1).scaleb(-digits.places))
    if significant is not None and len(kept.as_tuple().digits) > significant:
        kept = Context(prec=significant, rounding=ROUND_HALF_EVEN).plus(EXACT.normalize(kept))
    if kept.adjusted() >= digits.whole:
        raise ValueError(f"more than {digits.whole} digits before the point")
    return kept


def number_fault(
    text: str, rule: str = "write a point before the decimals and nothing between thousands"
) -> str:
    """Why a text is no number; `rule` is how numbers are written where it stands."""
    if text.startswith("="):
        return "a formula, not a number"
    if text.lstrip("+-").lower() in {"nan", "inf", "infinity"}:
        return "not a finite number"
    if re.fullmatch(r"[+-]?[0-9][0-9.,' \u00a0\u202f]*", text):
        return f"not a number: {rule}"
    return "not a number"


def typed_text(value: Any) -> str:
    """A typed value as it would stand in a CSV file; null and NaN are blank."""
    if value is None or value != value:
        return ""
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, float):
        number = Decimal(repr(value))
        return format(number, "f") if number.is_finite() else repr(value)
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, dt.datetime):
        return value.date().isoformat() if value.time() == dt.time() else value.isoformat()
    return value.isoformat() if isinstance(value, dt.date) else str(value)

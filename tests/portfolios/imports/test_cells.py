from decimal import Decimal

import pytest

from portfolios.imports.cells import MONEY, PRICE, QUANTITY, CellError, Reading, Row, read_date, read_number


def row(**cells: str) -> Row:
    return Row(2, cells, Reading())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1.5", "1.5"),
        ("-0.25", "-0.25"),
        (".5", "0.5"),
        ("7.", "7"),
        ("+3", "3"),
        ("5e-05", "0.00005"),
        ("1.25e1", "12.5"),
        ("0", "0"),
        ("12345678901234.0123456789", "12345678901234.0123456789"),
        ("0.1000000000000000000000", "0.1"),
    ],
)
def test_number_is_kept_as_written(text: str, expected: str) -> None:
    assert read_number(text, PRICE, None) == (Decimal(expected), False)


@pytest.mark.parametrize(
    ("text", "digits", "expected"),
    [
        ("0.1234567890125", QUANTITY, "0.123456789012"),  # half to even: 2 stays
        ("0.1234567890135", QUANTITY, "0.123456789014"),  # half to even: 3 goes up
        ("1.00000000005", PRICE, "1.0000000000"),
        ("1.123456789012345678", MONEY, "1.123457"),
    ],
)
def test_up_to_18_decimals_are_rounded_half_even(text: str, digits: object, expected: str) -> None:
    assert read_number(text, digits, None) == (Decimal(expected), True)  # type: ignore[arg-type]


def test_sqlite_keeps_15_digits_and_says_so() -> None:
    assert read_number("123456789.1234567891", PRICE, 15) == (Decimal("123456789.123457"), True)
    assert read_number("123456789.1234567891", PRICE, None) == (Decimal("123456789.1234567891"), False)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("0.1234567890123456789", "more than 18 decimals"),
        ("0.00000000001", "would round to 0 at 10 decimals"),
        ("123456789012345", "more than 14 digits before the point"),
        ("99999999999999.99999999999", "more than 14 digits before the point"),
        ("NaN", "not a finite number"),
        ("-inf", "not a finite number"),
        ("Infinity", "not a finite number"),
        ("1e30", "an exponent that hides digits"),
        ("1.23457E+11", "an exponent that hides digits"),
        ("1e-99", "more than 18 decimals"),
        ("1e", "not a number"),
        ("1e5e5", "not a number"),
        ("1e99999", "not a number"),
        ("1,234.50", "not a number: write a point before the decimals and nothing between thousands"),
        ("12,5", "not a number: write a point before the decimals and nothing between thousands"),
        ("1 234", "not a number: write a point before the decimals and nothing between thousands"),
        ("=1+1", "a formula, not a number"),
        ("0x10", "not a number"),
        ("1_000", "not a number"),
        ("\u0661\u0662", "not a number"),
        ("$5", "not a number"),
        ("9" * 65, "too long for a number"),
    ],
)
def test_bad_number_is_refused_with_its_reason(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match="^" + reason.replace("(", r"\(") + "$"):
        read_number(text, PRICE, None)


@pytest.mark.parametrize(
    "text",
    ["2024-13-01", "2023-02-29", "20240105", "2024-W01-1", "05.01.2024", "2024-01-05T00:00:00", "1899-12-31"],
)
def test_bad_date_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"day|date|before"):
        read_date(text)


def test_signs() -> None:
    assert row(price="0").number_from_zero("price", PRICE) == 0
    assert row(price="").positive_number("price", PRICE) is None
    for text in ("0", "-1"):
        with pytest.raises(CellError, match="must be above 0"):
            row(price=text).positive_number("price", PRICE)
    with pytest.raises(CellError, match="must not be negative"):
        row(price="-0.01").number_from_zero("price", PRICE)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "must not be blank"),
        ("=cmd()", "formula"),
        ("a\u202eb", "control character"),
        ("abcdefgh", "longer than 7"),
    ],
)
def test_bad_text_is_refused(text: str, reason: str) -> None:
    with pytest.raises(CellError, match=reason) as caught:
        row(name=text).text("name", 7, needed=True)
    assert (caught.value.column, caught.value.value) == ("name", text)


def test_rounding_is_counted_by_column() -> None:
    reading = Reading()
    for text in ("1.00000000005", "1", "2.00000000005"):
        Row(2, {"price": text}, reading).number("price", PRICE)
    assert reading.notes() == ["column price: 2 rounded half-even to 10 decimals"]


def test_words() -> None:
    assert row(kind="BUY").choice("kind", ["buy", "sell"]) == "buy"
    assert row(kind="").choice("kind", ["buy", "sell"], default="sell") == "sell"
    with pytest.raises(CellError, match="must be one of buy, sell"):
        row(kind="hold").choice("kind", ["buy", "sell"])
    assert [row(flag=word).flag("flag") for word in ("1", "Yes", "0", "")] == [True, True, False, False]
    with pytest.raises(CellError, match="must be 1 or 0"):
        row(flag="maybe").flag("flag")

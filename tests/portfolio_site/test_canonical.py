"""Equal values have one text, different values have different ones."""

import datetime as dt
import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portfolio_site.kernel.canonical import canonical_json, decimal_text, sha256_of

decimals = st.decimals(
    allow_nan=False, allow_infinity=False, places=12, min_value=-(10**15), max_value=10**15
)
zones = st.timedeltas(dt.timedelta(hours=-14), dt.timedelta(hours=14)).map(dt.timezone)
moments = st.datetimes(timezones=zones, min_value=dt.datetime(1900, 1, 2), max_value=dt.datetime(2100, 1, 1))
scalars = st.none() | st.booleans() | st.integers() | st.text() | decimals | st.dates() | moments
values = st.recursive(
    scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=5
)


@given(decimals)
def test_the_text_of_a_decimal_is_the_same_number(value: Decimal) -> None:
    text = decimal_text(value)
    assert Decimal(text) == value
    assert "E" not in text
    assert not text.startswith("-0") or Decimal(text) != 0


@given(decimals, st.integers(0, 10))
def test_trailing_zeros_and_exponents_do_not_matter(value: Decimal, zeros: int) -> None:
    longer = value.scaleb(zeros).scaleb(-zeros)
    assert decimal_text(longer) == decimal_text(value)
    assert decimal_text(value.normalize()) == decimal_text(value)


@given(st.lists(decimals, min_size=2, max_size=2, unique=True))
def test_different_decimals_have_different_texts(pair: list[Decimal]) -> None:
    assert decimal_text(pair[0]) != decimal_text(pair[1])


@pytest.mark.parametrize(
    ("value", "text"),
    [("1.50", "1.5"), ("1E+3", "1000"), ("-0.00", "0"), ("100", "100"), ("1E-12", "0.000000000001")],
)
def test_decimals_by_hand(value: str, text: str) -> None:
    assert decimal_text(Decimal(value)) == text


@given(st.dictionaries(st.text(), values, max_size=5))
def test_the_order_of_keys_does_not_matter(value: dict[str, Any]) -> None:
    turned = dict(reversed(list(value.items())))
    assert canonical_json(turned) == canonical_json(value)
    assert sha256_of(turned) == sha256_of(value)


@given(values)
def test_reading_it_back_and_writing_it_again_is_the_same(value: Any) -> None:
    text = canonical_json(value)
    assert canonical_json(json.loads(text)) == text


@given(moments, zones)
def test_one_moment_has_one_text_in_every_time_zone(moment: dt.datetime, zone: dt.tzinfo) -> None:
    assert canonical_json(moment.astimezone(zone)) == canonical_json(moment)


def test_the_text_and_its_hash_by_hand() -> None:
    value = {"b": [Decimal("1.10"), dt.date(2024, 3, 28)], "a": "é"}
    assert canonical_json(value) == '{"a":"é","b":["1.1","2024-03-28"]}'
    assert sha256_of({}) == "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"


@pytest.mark.parametrize("number", ["nan", "inf", "-inf"])
@pytest.mark.parametrize("kind", [float, Decimal])
def test_what_is_no_number_is_refused(kind: type[float] | type[Decimal], number: str) -> None:
    with pytest.raises(ValueError, match=r"canonical form|not JSON compliant"):
        canonical_json({"value": [kind(number)]})


def test_other_types_are_refused() -> None:
    with pytest.raises(TypeError, match="set has no canonical form"):
        canonical_json({"value": {1}})

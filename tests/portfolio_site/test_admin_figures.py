"""Figures and documents of the console."""

from decimal import Decimal
from typing import Any

import pytest

from portfolio_site.kernel.admin.documents import changes_table, document, objects_table
from portfolio_site.kernel.admin.figures import digits, figure, money, percent


@pytest.mark.parametrize(
    ("value", "options", "text"),
    [
        (Decimal("1234567.895"), {"places": 2}, "1,234,567.90"),
        (-1234.5, {"places": 2}, "−1,234.50"),
        (-0.001, {"places": 2}, "0.00"),
        (0.5, {"places": 1, "signed": True}, "+0.5"),
        (0, {"places": 1, "signed": True}, "0.0"),
        (Decimal("12.500000000000"), {"places": 12, "least_places": 0}, "12.5"),
        (Decimal("12.000000000000"), {"places": 12, "least_places": 0}, "12"),
        (Decimal("1.5000000000"), {"places": 10, "least_places": 2}, "1.50"),
        (Decimal("100"), {"places": 0, "least_places": 0}, "100"),
    ],
)
def test_digits(value: Any, options: dict[str, Any], text: str) -> None:
    assert digits(value, **options) == text


def test_a_negative_is_signed_and_marked() -> None:
    assert percent(-0.0123) == '<span class="figure negative">−1.23%</span>'


def test_money_names_its_currency() -> None:
    assert money(5, "JPY", 0) == '<span class="figure">5 <span class="unit">JPY</span></span>'


def test_the_unknown_says_why_and_is_escaped() -> None:
    assert figure(None, reason='<b>"') == ('<span class="figure unknown" title="&lt;b&gt;&quot;">–</span>')


def test_a_column_of_numbers_shares_its_decimals() -> None:
    table = objects_table([{"price": "7179.3"}, {"price": "12"}, {"price": None}])
    assert '<td class="number">7,179.30</td>' in table
    assert '<td class="number">12.00</td>' in table


@pytest.mark.parametrize("name", ["symbol", "external_id", "code", "proposal_hash"])
def test_names_stay_as_they_are(name: str) -> None:
    assert "<td>123456</td>" in objects_table([{name: "123456"}])


def test_what_is_stored_is_escaped() -> None:
    stored = {"<i>": ["<script>", {"x": "<b>"}]}
    for html in (document(stored), objects_table([stored]), changes_table(stored, None)):
        assert "<script>" not in html
        assert "<b>" not in html
        assert "<i>" not in html


def test_headings_come_first() -> None:
    table = objects_table([{"note": "x", "symbol": "A", "target": 1}], {"symbol": "", "target": "Target %"})
    assert table.index(">Symbol<") < table.index(">Target %<") < table.index(">Note<")


@pytest.mark.parametrize("nothing", [None, "", [], {}])
def test_nothing_is_a_dash(nothing: Any) -> None:
    assert document(nothing) == '<span class="unknown">–</span>'


def test_changes_of_plain_values() -> None:
    assert '<tr class="changed"><th scope="row">Value</th><td class="number">1</td>' in changes_table(1, 2)

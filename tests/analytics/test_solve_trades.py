"""The command that solves for trades: what it answers, what it says of bad input, and that it only reads."""

import json
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from portfolios.models import AuditEvent, Transaction
from tests.support import factories as make
from tests.support.house import LAST_DAY, House, computed_tables, make_house

pytestmark = pytest.mark.django_db


@pytest.fixture
def house() -> House:
    return make_house()


def printed(*arguments: str) -> str:
    output = StringIO()
    call_command("solve_trades", *arguments, "--date", LAST_DAY.isoformat(), stdout=output)
    return output.getvalue()


def trades(*arguments: str) -> dict[str, Any]:
    answer = json.loads(printed(*arguments, "--format", "json"))
    return {trade["symbol"]: trade for trade in answer["trades"]}


def test_two_currencies_meet_their_targets(house: House) -> None:
    found = trades(
        "ABROAD", "--by", "currency", "--target", "USD=30", "--target", "EUR=70", "--amount", "-5000"
    )
    assert found["ACME"]["amount"] + found["RHEIN"]["amount"] == pytest.approx(-5000, abs=0.01)
    after = {symbol: trade["value"] + trade["amount"] for symbol, trade in found.items()}
    assert after["RHEIN"] / sum(after.values()) == pytest.approx(0.7, abs=1e-6)
    assert all(trade["is_exact"] and trade["is_unique"] for trade in found.values())


def test_holdings_of_one_class_share_what_it_needs(house: House) -> None:
    found = trades("ABROAD", "--target", "equity=100", "--amount", "1000")
    assert [trade["amount"] for trade in found.values()] == [500, 500]
    assert [(trade["is_exact"], trade["is_unique"]) for trade in found.values()] == [(True, False)] * 2


def test_a_holding_in_no_class_named_is_left_alone(house: House) -> None:
    found = trades("ABROAD", "--by", "currency", "--target", "EUR=100", "--amount", "1000")
    assert (found["ACME"]["amount"], found["RHEIN"]["amount"]) == (0, 1000)


def test_the_answer_for_people(house: House) -> None:
    lines = printed("ABROAD", "--target", "equity=100", "--amount", "1000").splitlines()
    assert lines[0] == f"ABROAD  {LAST_DAY}  in USD"
    assert [line.split()[0] for line in lines[1:]] == ["ACME", "RHEIN"]
    assert all(line.endswith("+500.00  shared evenly within its class") for line in lines[1:])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("NOBODY", "--target", "equity=100"), "there is no portfolio NOBODY"),
        (("EMPTY", "--target", "equity=100"), "EMPTY: no settled transactions up to 2024-05-31"),
        (("HOME", "--target", "equity=90"), "the targets make 90, not 100"),
        (
            ("HOME", "--target", "bond=40", "--target", "equity=60"),
            "HOME holds nothing of bond by asset_class",
        ),
        (("HOME", "--target", "equity=50", "--target", "equity=50"), "one --target only"),
        (("HOME", "--target", "equity"), "'equity' is not a target like equity=60"),
        (("HOME", "--target", "equity=many"), "'many' is not a number"),
        (("HOME", "--target", "equity=nan"), "'nan' is not a finite number"),
        (("HOME", "--target", "equity=-5"), "a target must not be negative"),
        (("HOME", "--target", "equity=100", "--by", "colour"), "invalid choice: 'colour'"),
        (("HOME",), "the following arguments are required: --target"),
    ],
)
def test_bad_arguments_are_named(house: House, arguments: tuple[str, ...], message: str) -> None:
    make.make_portfolio("EMPTY")
    with pytest.raises(CommandError, match=message):
        printed(*arguments)


def test_a_value_that_is_unknown_is_named(house: House) -> None:
    unpriced = make.make_asset("GHOST", currency="GBP")
    make.make_transaction(
        house.home, kind="buy", asset=unpriced, quantity=1, price=10, amount=None, trade_date=LAST_DAY,
        currency=make.make_currency("GBP"),
    )  # fmt: skip
    with pytest.raises(CommandError, match=f"HOME: value of GHOST unknown on {LAST_DAY}"):
        printed("HOME", "--target", "equity=100")


def test_solving_writes_nothing(house: House) -> None:
    before = (computed_tables(), Transaction.objects.count(), AuditEvent.objects.count())
    trades("ABROAD", "--target", "equity=100", "--amount", "1000")
    assert (computed_tables(), Transaction.objects.count(), AuditEvent.objects.count()) == before

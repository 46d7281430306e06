"""Proposals through the commands, from files to the answer, against every combination of whole lots."""

import csv
import datetime as dt
import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from analytics.models import EventStatus, RebalancingPolicy, TradingRestriction
from portfolios.models import Asset, Portfolio
from tests.support.factories import make_event

pytestmark = [pytest.mark.django_db, pytest.mark.once]
FIRST_DAY, DAY = "2024-03-01", "2024-03-14"
DOLLARS = {"USD": Fraction(1), "EUR": Fraction("1.25")}
COLUMNS = {
    "assets": "symbol,name,asset_class,currency",
    "fx": "date,base,quote,rate",
    "prices": "symbol,date,open,high,low,close,volume",
    "transactions": "portfolio,trade_date,kind,symbol,quantity,price,amount,fee,tax,currency,status,"
    "external_id",
    "allocations": "portfolio,symbol,target_percentage,min_percentage,max_percentage,rebalance_threshold,"
    "rebalance_frequency",
}


@dataclass(frozen=True)
class Row:
    """One asset of a portfolio. `target` None: held without one; `price` None: there is none."""

    symbol: str
    price: str | None
    quantity: str
    target: str | None
    low: str = ""
    high: str = ""
    threshold: str = ""
    currency: str = "USD"
    asset_class: str = "equity"
    priced_on: str = DAY


@dataclass(frozen=True)
class Found:
    """What trades lead to, with the rules they break. Distance and turnover are fractions."""

    faults: list[str]
    distance: Fraction
    turnover: Fraction


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def load(
    folder: Path,
    rows: Sequence[Row],
    cash: int = 0,
    *,
    cash_target: str = "",
    code: str = "BOOK",
    backwards: bool = False,
) -> None:
    """The portfolio from files alone, in the given order of rows or backwards."""
    files: dict[str, list[list[Any]]] = {name: [] for name in COLUMNS}
    files["fx"] = [[DAY, "EUR", "USD", "1.25"]]
    files["transactions"] = [
        [code, FIRST_DAY, kind, "", "", "", max(amount, 0) + 1, "", "", "USD", "settled", f"{code}-{kind}"]
        for kind, amount in (("deposit", cash), ("withdrawal", -cash))
    ]
    if cash_target:
        files["allocations"].append([code, "CASH", cash_target, "", "", "", "none"])
    for row in rows:
        symbol, price = row.symbol, row.price
        files["assets"].append([symbol, symbol, row.asset_class, row.currency])
        if price is not None:
            days = dict.fromkeys((FIRST_DAY, row.priced_on))
            files["prices"] += [[symbol, day, price, price, price, price, 1000] for day in days]
        if Decimal(row.quantity):
            files["transactions"].append(
                [code, FIRST_DAY, "transfer_in", symbol, row.quantity, 1, "", "", "", row.currency, "settled",
                 f"{code}-{symbol}"]
            )  # fmt: skip
        if row.target is not None:
            files["allocations"].append([code, symbol, row.target, row.low, row.high, row.threshold, "none"])
    for name, content in files.items():
        path = folder / f"{name}.csv"
        with path.open("w", newline="") as file:
            csv.writer(file).writerows([COLUMNS[name].split(","), *content[:: -1 if backwards else 1]])
        options = ["--create-portfolios", "--base-currency", "USD"] if name == "transactions" else []
        call_command(f"import_{name}", str(path), *options, stdout=StringIO(), stderr=StringIO())


def printed(*options: str, code: str = "BOOK", day: str = DAY) -> str:
    out = StringIO()
    arguments = ("--portfolio", code, "--date", day, "--format", "json", "--dry-run", *options)
    call_command("propose_rebalancing", *arguments, stdout=out)
    return out.getvalue()


def propose(*options: str, code: str = "BOOK", day: str = DAY) -> dict[str, Any]:
    (answer,) = json.loads(printed(*options, code=code, day=day))
    return dict(answer)


def traded(answer: dict[str, Any]) -> dict[str, float]:
    sign = {"buy": 1, "sell": -1}
    return {action["symbol"]: sign[action["side"]] * action["quantity"] for action in answer["actions"]}


def judged(
    rows: Sequence[Row],
    trades: Sequence[Fraction],
    cash: int,
    *,
    fee: int = 0,
    rate: str = "0",
    minimum: int = 0,
    reserve: int = 0,
    sides: str = "buy sell",
) -> Found:
    """Trades against the rules, from the definitions: quantities signed, in the order of the rows."""
    prices = [Fraction(row.price or 0) * DOLLARS[row.currency] for row in rows]
    value = cash + sum(Fraction(row.quantity) * price for row, price in zip(rows, prices, strict=True))
    faults, left, distance, turnover = [], Fraction(cash), Fraction(0), Fraction(0)
    for row, price, trade in zip(rows, prices, trades, strict=True):
        after, amount = Fraction(row.quantity) + trade, abs(trade) * price
        weight = after * price / value
        if trade:
            left -= trade * price + fee + Fraction(rate) * amount
            if after and (trade.denominator != 1 or amount < minimum):
                faults.append(f"{row.symbol}: size")
            if ("buy" if trade > 0 else "sell") not in sides:
                faults.append(f"{row.symbol}: side")
        if after < 0 or not Fraction(row.low or 0) <= weight * 100 <= Fraction(row.high or 1000):
            faults.append(f"{row.symbol}: weight")
        distance += abs(weight - Fraction(row.target or 0) / 100)
        turnover += amount / value
    return Found(faults + (["cash"] if left < reserve else []), distance, turnover)


def best_of_all(rows: Sequence[Row], cash: int, **rules: Any) -> Found | None:
    """Every combination of whole lots and exits."""
    value = cash + sum(Fraction(r.quantity) * Fraction(r.price or 0) * DOLLARS[r.currency] for r in rows)

    def moves(row: Row) -> Iterator[Fraction]:
        held = Fraction(row.quantity)
        yield from sorted({Fraction(-n) for n in range(int(held) + 1)} | {-held})
        yield from map(Fraction, range(1, int(value / Fraction(row.price or 0) / DOLLARS[row.currency]) + 1))

    found = (judged(rows, trades, cash, **rules) for trades in itertools.product(*map(moves, rows)))
    allowed = (answer for answer in found if not answer.faults)
    return min(allowed, key=lambda answer: (answer.distance, answer.turnover), default=None)


CASES: dict[str, tuple[list[Row], int, dict[str, Any]]] = {
    "few expensive shares": (
        [Row("A", "1210.50", "4", "35"), Row("B", "2904.25", "1", "40"), Row("C", "1675.10", "0", "25")],
        3100,
        {"fee": 5, "rate": "0.001"},
    ),
    "tight limits": (
        [
            Row("A", "807", "6", "33", "27", "40"),
            Row("B", "1255", "1", "41", "36", "46"),
            Row("C", "1019", "3", "26", "20", "32"),
        ],
        850,
        {"fee": 5, "reserve": 50},
    ),
    "exits without cash": (
        [Row("A", "450.40", "5", "70"), Row("B", "801", "1", "30"), Row("C", "320.15", "1.5", None)],
        0,
        {"fee": 5},
    ),
    "a minimum trade, and an exit below it": (
        [Row("A", "605", "4", "60"), Row("B", "810", "1", "40"), Row("C", "290", "2", "0")],
        1200,
        {"minimum": 700, "reserve": 100},
    ),
    "an overdraft": (
        [Row("A", "505", "6", "45"), Row("B", "733", "3", "55")],
        -900,
        {"fee": 10, "rate": "0.002"},
    ),
    "a currency never held before": (
        [Row("A", "310", "3", "40"), Row("B", "220", "0", "60", currency="EUR")],
        2500,
        {"rate": "0.001"},
    ),
    "bought for spare cash": (
        [Row("A", "310", "8", "40"), Row("B", "220", "4", "60")],
        1300,
        {"sides": "buy", "fee": 3},
    ),
    "cash to raise": (
        [Row("A", "310", "8", "40"), Row("B", "220", "9", "60")],
        100,
        {"sides": "sell", "reserve": 1600, "fee": 3},
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_no_combination_of_lots_is_better(folder: Path, case: str) -> None:
    rows, cash, rules = CASES[case]
    load(folder, rows, cash)
    mode = {"buy": "invest_cash", "sell": "raise_cash"}.get(rules.get("sides", ""), "full")
    options = ["--mode", mode, "--fee-per-trade", str(rules.get("fee", 0)), "--min-trade"]
    options += [str(rules.get("minimum", 0)), "--cost-rate", rules.get("rate", "0")]
    reserve = rules.get("reserve", 0)
    options += ["--amount", str(reserve - cash)] if mode == "raise_cash" else ["--cash-reserve", str(reserve)]
    answer = propose(*options)
    trades = traded(answer)
    found = judged(rows, [Fraction(str(trades.get(row.symbol, 0))) for row in rows], cash, **rules)
    best = best_of_all(rows, cash, **rules)
    assert best is not None
    assert (answer["status"], found.faults) == ("ready", [])
    assert (found.distance, found.turnover) == (best.distance, best.turnover)
    assert answer["tracking_distance"] == pytest.approx(float(best.distance), abs=1e-8)
    assert {line["symbol"] for line in answer["actions"] + answer["skipped"]} == {row.symbol for row in rows}
    assert all(line["reason"] for line in answer["actions"] + answer["skipped"])


@pytest.mark.parametrize(
    ("rows", "cash", "options", "trades"),
    [
        ("A:1:100:50 B:1:0:50", 0, "--mode full", {"A": -50, "B": 50}),
        ("A:1:100:50 B:1:0:50", 100, "--mode invest_cash", {"B": 100}),
        ("A:1:100:50 B:1:0:50", 0, "--mode raise_cash --amount 100", {"A": -100}),
        ("A:1:200:50 B:1:100:50", 0, "--mode full", {"A": -50, "B": 50}),
        ("A:1:30:25:5 B:1:20:25:5 C:1:30:25:5 D:1:20:25:5", 0, "--mode bands", {}),
        ("A:1:30:25:4 B:1:21:25:4 C:1:24:25:4 D:1:25:25:4", 0, "--mode bands", {"A": -5}),
        ("A:1:72000:60:12 B:1:28000:40:12", 0, "--mode bands", {}),
        ("A:1:73000:60:12 B:1:27000:40:12", 0, "--mode bands", {"A": -13000, "B": 13000}),
    ],
)
def test_worked_cases(folder: Path, rows: str, cash: int, options: str, trades: dict[str, int]) -> None:
    """A row reads symbol:price:quantity:target:threshold."""
    lines = []
    for text in rows.split():
        symbol, price, quantity, target, threshold = [*text.split(":"), ""][:5]
        lines.append(Row(symbol, price, quantity, target, threshold=threshold))
    load(folder, lines, cash)
    answer = propose(*options.split())
    assert traded(answer) == trades
    assert answer["status"] == ("ready" if trades else "in_balance")


@pytest.mark.parametrize(
    ("destination", "fraction", "shares", "threshold", "sold"),
    [
        ("edge", "0.5", 73000, "12", 1000),
        ("inner", "0.5", 73000, "12", 7000),
        ("inner", "0.875", 62100, "2", 350),
    ],
)
def test_trades_lead_back_into_the_band(
    folder: Path, destination: str, fraction: str, shares: int, threshold: str, sold: int
) -> None:
    """Only the first line has a band; what is sold of it stays in cash."""
    rows = [Row("A", "1", str(shares), "60", threshold=threshold), Row("B", "1", str(100_000 - shares), "40")]
    load(folder, rows)
    RebalancingPolicy.objects.create(
        portfolio=Portfolio.objects.get(), band_destination=destination, inner_band_fraction=Decimal(fraction)
    )
    assert traded(propose()) == {"A": -sold}


def test_fractional_lots_of_funds_and_coins(folder: Path) -> None:
    rows = [
        Row("FUND", "101.37", "10.1234", "40", asset_class="fund"),
        Row("COIN", "43210.5", "0.12345678", "60", asset_class="crypto"),
    ]
    load(folder, rows, 1000)
    trades = traded(propose("--mode", "full", "--cost-rate", "0.001"))
    for symbol, lots in (("FUND", 10**4), ("COIN", 10**8)):
        assert (Fraction(str(trades[symbol])) * lots).denominator == 1


@pytest.mark.parametrize(
    ("rows", "cash", "options", "binding"),
    [
        (
            [Row("A", "700", "1", "50", "49", "51"), Row("B", "1", "300", "50")],
            0,
            "--mode full",
            "weight of A",
        ),
        ([Row("A", "50", "10", "100")], 500, "--mode full --cash-reserve 5000", "the cash reserve of 5000"),
        ([Row("A", "50", "10", "100")], 0, "--mode raise_cash --amount 900", "the cash to be raised of 900"),
        ([Row("A", "50", "100", "100")], -900, "--mode invest_cash", "only buys invest cash"),
    ],
)
def test_what_is_impossible_names_the_rules(
    folder: Path, rows: list[Row], cash: int, options: str, binding: str
) -> None:
    load(folder, rows, cash)
    answer = propose(*options.split())
    assert (answer["status"], answer["reason_codes"], answer["actions"]) == ("blocked", ["infeasible"], [])
    assert any(binding in reason for reason in answer["reasons"])
    assert [line["symbol"] for line in answer["skipped"]] == [row.symbol for row in rows]


def test_two_listings_of_one_symbol_are_told_apart(folder: Path) -> None:
    load(folder, [Row("A", "100", "10", "50"), Row("B", "50", "0", "50")])
    Asset.objects.filter(symbol="A").update(exchange="XNAS")
    Asset.objects.filter(symbol="B").update(symbol="A", exchange="XLON")
    assert traded(propose("--mode", "full")) == {"A.XNAS": -5, "A.XLON": 10}


def test_the_order_of_rows_does_not_matter_and_the_bytes_stay_the_same(folder: Path) -> None:
    rows = [Row(f"S{n}", "300", "10" if n % 2 else "0", "20") for n in range(5)]
    load(folder, rows, 1000)
    load(folder, rows, 1000, code="KOOB", backwards=True)
    options = ("--mode", "full", "--fee-per-trade", "1", "--cash-reserve", "100")
    answer = printed(*options)
    assert answer == printed(*options)
    assert json.loads(printed(*options, code="KOOB").replace("KOOB", "BOOK")) == json.loads(answer)


def test_forty_lines_have_an_outcome_each(folder: Path) -> None:
    rows = [Row(f"S{n:02}", str(20 + 7 * n), str(5 * (n % 4)), "2.5") for n in range(40)]
    load(folder, rows, 9000)
    answer = propose("--mode", "full", "--gear", "fast", "--fee-per-trade", "2", "--min-trade", "100")
    outcomes = answer["actions"] + answer["skipped"]
    assert sorted(line["symbol"] for line in outcomes) == [row.symbol for row in rows]
    assert all(line["reason"] for line in outcomes)


def test_one_stale_line_of_little_weight_is_left_as_it_is(folder: Path) -> None:
    load(folder, [Row("A", "10", "20", "4", priced_on=FIRST_DAY), Row("B", "20", "200", "96")], 1000)
    answer = propose("--mode", "full")
    assert answer["status"] == "needs_review"
    assert answer["skipped"] == [{"symbol": "A", "reason": "may not be bought: the price is 13 days old"}]


def test_a_portfolio_of_which_all_prices_are_old_is_blocked(folder: Path) -> None:
    load(folder, [Row("A", "10", "50", "100", priced_on=FIRST_DAY)], 1000)
    answer = propose("--mode", "full")
    assert (answer["status"], answer["reason_codes"]) == ("blocked", ["price_guard"])


@pytest.mark.parametrize(
    ("rows", "cash"),
    [
        ([Row("A", "10", "50", "50", priced_on=FIRST_DAY), Row("B", "20", "20", "50")], 100),
        ([Row("A", None, "50", "50"), Row("B", "20", "20", "50")], 100),
        ([Row("A", "10", "0", "50"), Row("B", "20", "0", "50")], 0),
    ],
)
def test_every_line_has_an_outcome_also_where_nothing_can_be_proposed(
    folder: Path, rows: list[Row], cash: int
) -> None:
    load(folder, rows, cash)
    answer = propose("--mode", "full")
    assert answer["status"] == "blocked"
    assert [line["symbol"] for line in answer["skipped"]] == ["A", "B"]
    assert all(line["reason"] for line in answer["skipped"])


def test_an_overdraft_is_no_balance_even_inside_the_bands(folder: Path) -> None:
    rows = [Row("A", "50", "500", "50", threshold="20"), Row("B", "20", "1250", "50", threshold="20")]
    load(folder, rows, -3000)
    answer = propose("--mode", "bands")
    assert (answer["status"], answer["reason_codes"]) == ("blocked", ["infeasible"])
    assert "the cash reserve of 0" in answer["reasons"]


def test_a_sale_that_a_group_asks_for_says_so(folder: Path) -> None:
    rows = [Row("A", "300", "20", "40"), Row("B", "100", "30", "35"), Row("C", "100", "0", "25")]
    load(folder, rows, 1000)
    Asset.objects.filter(symbol__in=["A", "B"]).update(issuer="Acme")
    call_command(
        "restrict_trading", "--kind", "range", "--issuer", "Acme", "--maximum", "40", "--reason", "house",
        "--from", FIRST_DAY, stdout=StringIO(),
    )  # fmt: skip
    answer = propose("--mode", "full")
    below = [action for action in answer["actions"] if action["reason"].startswith("under target")]
    sales = [action["reason"] for action in below if action["side"] == "sell"]
    assert sales
    assert all("Acme" in reason for reason in sales)


def test_what_has_no_target_is_not_said_to_be_inside_a_band(folder: Path) -> None:
    load(
        folder,
        [Row("A", "1", "730", "60", threshold="5"), Row("B", "1", "240", "40"), Row("C", "1", "30", None)],
    )
    held = {line["symbol"]: line["reason"] for line in propose("--mode", "bands")["skipped"]}
    assert held == {"B": "inside its band", "C": "without a target: bands leave it as it is"}


def test_a_trade_away_from_the_target_says_what_it_is_for(folder: Path) -> None:
    load(folder, [Row("A", "1", "320", "30"), Row("B", "1", "680", "70")])
    call_command(
        "restrict_trading", "--kind", "range", "--symbol", "A", "--minimum", "35", "--reason", "mandate",
        "--from", FIRST_DAY, stdout=StringIO(),
    )  # fmt: skip
    answer = propose("--mode", "full")
    assert [action["reason"] for action in answer["actions"]] == [
        "under target by 2.0 points: sell 30 to free cash",
        "over target by 2.0 points: buy 30 to reach a minimum weight",
    ]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("--kind range --symbol A --minimum 60 --maximum 40", "the minimum of 60 is above the maximum of 40"),
        ("--kind do_not_buy --symbol A --from 2024-05-02 --until 2024-05-01", "the last day, 2024-05-01"),
        ("--kind do_not_buy --exchange XNAS", "--exchange goes with --symbol"),
        ("--lift 1 --kind do_not_buy", "--kind does not go with --lift"),
    ],
)
def test_a_restriction_that_contradicts_itself(folder: Path, arguments: str, words: str) -> None:
    load(folder, [Row("A", "10", "50", "100")])
    with pytest.raises(CommandError, match=words):
        call_command("restrict_trading", *arguments.split(), "--reason", "mandate", stdout=StringIO())
    assert not TradingRestriction.objects.exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("mode=full,cost_rate=2", "cost_rate: 2: must be below 1"),
        ("short_term_tax_rate=1.5", "short_term_tax_rate: 1.5: must be below 1"),
        ("inner_band_fraction=3", "inner_band_fraction: 3: must be at most 1"),
        ("cash_reserve_percentage=500", "cash_reserve_percentage: 500: must be at most 100"),
        ("fee_per_trade=1e400", "fee_per_trade: "),
        ("mode=raise_cash", "mode: raise_cash needs a raise_amount"),
        ("mode=full,raise_amount=5", "raise_amount: goes with mode raise_cash only"),
    ],
)
def test_a_scenario_that_no_policy_allows(folder: Path, options: str, words: str) -> None:
    load(folder, [Row("A", "10", "50", "100")], 1000)
    with pytest.raises(CommandError, match=words):
        call_command(
            "compare_rebalancing", "BOOK", "--date", DAY, "--scenario", f"odd:{options}", stdout=StringIO()
        )


def test_a_proposal_within_the_cool_off_is_to_be_looked_at(folder: Path) -> None:
    load(folder, [Row("A", "1", "730", "60", threshold="5"), Row("B", "1", "270", "40", threshold="5")])
    portfolio = Portfolio.objects.get()
    RebalancingPolicy.objects.create(portfolio=portfolio, cool_off_days=30)
    completed_at = dt.datetime(2024, 3, 10, tzinfo=dt.UTC)
    make_event(portfolio, status=EventStatus.COMPLETED, completed_at=completed_at)
    answer = propose("--mode", "bands")
    assert answer["status"] == "needs_review"
    assert any("2024-04-09" in warning for warning in answer["warnings"])


def test_an_amount_that_no_money_field_holds_is_refused(folder: Path) -> None:
    load(folder, [Row("A", "10", "50", "100")], 1000)
    with pytest.raises(CommandError):
        propose("--mode", "full", "--cash-reserve", "1e400")

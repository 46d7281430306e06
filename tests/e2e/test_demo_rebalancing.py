"""Where every line stands against its target, and the proposals, judged anew."""

from decimal import Decimal
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.support import demo_files
from tests.support.demo_files import CODES
from tests.support.demo_house import DEMO_MARKS, DemoHouse
from tests.support.oracle_ledger import Close, walk

pytestmark = DEMO_MARKS

CENT = Decimal("0.01")
# Money is stored to so many decimals.
MONEY = Decimal("0.000001")
TRIGGERS = {"TECH": "threshold", "NEW": "cash_flow", "EURO": "scheduled"}
BREACHES = {
    "BALANCED": set(),
    "TECH": {"AAPL", "MSFT", "NVDA"},
    "EURO": {"AMZN"},
    "NEW": {"AAPL", "AMGN", "CVX", "FB", "INTC", "MCD"},
}
# Lots to and fro around each proposed trade that are tried for something better.
REACH = 2


@pytest.mark.parametrize("code", CODES)
def test_weights_drift_and_breaches(demo_house: DemoHouse, code: str) -> None:
    stored = demo_house.of("allocations", portfolio=code).set_index("asset")
    close, wanted = walk(code)[-1], targets(code)
    assert set(stored.index) == set(wanted)
    for symbol, row in wanted.items():
        weight = close.values.get(symbol, Decimal(0)) / close.figures["total_value"] * 100
        target, band = Decimal(row["target_percentage"]), Decimal(row["rebalance_threshold"])
        lower = max(Decimal(row["min_percentage"]), target - band)
        upper = min(Decimal(row["max_percentage"]), target + band)
        line = stored.loc[symbol]
        assert line["current_value"] == pytest.approx(
            close.values.get(symbol, Decimal(0)), abs=Decimal("2e-6")
        )
        assert line["current_percentage"] == pytest.approx(float(weight), rel=1e-9)
        assert line["drift_percentage"] == pytest.approx(float(weight - target), rel=1e-9, abs=1e-9)
        assert line["is_breached"] == (not lower <= weight <= upper)
        assert line["calculation_date"] == demo_files.LAST_DAY.date()
    assert set(stored.index[stored["is_breached"].astype(bool)]) == BREACHES[code]


def test_which_portfolios_have_a_proposal_and_why(demo_house: DemoHouse) -> None:
    events = demo_house.tables["events"]
    assert dict(zip(events["portfolio"], events["event_type"], strict=True)) == TRIGGERS
    assert set(events["status"]) == {"pending"}
    assert set(events["valuation_date"]) == {demo_files.LAST_DAY.date()}
    assert events["requested_by"].isna().all()
    assert events["approved_by"].isna().all()
    assert events["proposal_hash"].str.fullmatch("[0-9a-f]{64}").all()
    assert events["proposal_hash"].is_unique


def test_the_evidence_of_the_triggers(demo_house: DemoHouse) -> None:
    tech, new = (event_of(demo_house, code)["trigger"] for code in ("TECH", "NEW"))
    assert {breach["symbol"] for breach in tech["breaches"]} == BREACHES["TECH"]
    close = walk("NEW")[-1]
    wanted = max(Decimal("1000"), close.figures["total_value"] * Decimal("0.04"))
    assert Decimal(new["cash"]) == close.figures["cash_value"].quantize(CENT)
    assert Decimal(new["excess"]) == (close.figures["cash_value"] - wanted).quantize(CENT)


@pytest.mark.parametrize("code", TRIGGERS)
def test_every_trade_obeys_the_policy(demo_house: DemoHouse, code: str) -> None:
    event, close, policy = event_of(demo_house, code), walk(code)[-1], demo_files.portfolios()[code]["policy"]
    wanted = targets(code)
    assert event["mode"] == policy["mode"]
    assert event["actions"]
    for action in event["actions"]:
        symbol, quantity, price = action["symbol"], Decimal(action["quantity"]), Decimal(action["price"])
        held = close.quantities.get(symbol, Decimal(0))
        assert symbol in wanted
        assert quantity > 0
        assert quantity == int(quantity), "whole shares"
        assert price == pytest.approx(price_of(close, code, symbol), rel=Decimal("1e-9"))
        assert Decimal(action["amount"]) == (quantity * price).quantize(MONEY)
        assert Decimal(action["cost"]) == cost_of(policy, quantity * price).quantize(MONEY)
        if action["side"] == "sell":
            assert quantity <= held
        if not (action["side"] == "sell" and quantity == held):
            assert quantity * price >= Decimal(policy["min_trade"])
        if policy["mode"] == "invest_cash":
            assert action["side"] == "buy"
        if policy["mode"] == "bands":
            assert symbol in BREACHES[code]
        # Never beyond the target by more than the share that crosses it.
        before, after = held * price, (held + signed(action)) * price
        target = Decimal(wanted[symbol]["target_percentage"]) / 100 * close.figures["total_value"]
        assert abs(after - target) < abs(before - target)
        assert abs(after - target) < price
    assert len({action["symbol"] for action in event["actions"]}) == len(event["actions"])


@pytest.mark.parametrize("code", TRIGGERS)
def test_cash_reserve_cost_and_turnover(demo_house: DemoHouse, code: str) -> None:
    event, close, policy = event_of(demo_house, code), walk(code)[-1], demo_files.portfolios()[code]["policy"]
    amounts = [signed(action) * Decimal(action["price"]) for action in event["actions"]]
    cost = sum(cost_of(policy, abs(amount)) for amount in amounts)
    cash = close.figures["cash_value"] - sum(amounts) - cost
    assert cash >= Decimal(policy["cash_reserve"])
    assert event["estimated_cost"] == pytest.approx(cost, abs=Decimal("2e-6"))
    value = close.figures["total_value"]
    assert event["turnover"] == pytest.approx(float(sum(map(abs, amounts)) / value), rel=1e-9)


@pytest.mark.parametrize("code", TRIGGERS)
def test_weights_after_and_the_drift(demo_house: DemoHouse, code: str) -> None:
    event, close, policy = event_of(demo_house, code), walk(code)[-1], demo_files.portfolios()[code]["policy"]
    wanted, value = targets(code), close.figures["total_value"]
    moves = {action["symbol"]: signed(action) * Decimal(action["price"]) for action in event["actions"]}
    cost = sum(cost_of(policy, abs(move)) for move in moves.values())
    after = {
        symbol: close.values.get(symbol, Decimal(0)) + moves.get(symbol, Decimal(0)) for symbol in wanted
    }
    weights = {symbol: amount / value * 100 for symbol, amount in after.items()}
    distance = sum(abs(weights[symbol] - Decimal(row["target_percentage"])) for symbol, row in wanted.items())
    assert event["tracking_distance"] == pytest.approx(float(distance / 100), rel=1e-7)
    for symbol, row in wanted.items():
        assert Decimal(row["min_percentage"]) <= weights[symbol] <= Decimal(row["max_percentage"]), symbol
    cash = close.figures["cash_value"] - sum(moves.values())
    assert event["drift_before"] == pytest.approx(
        drift(code, close.values, close.figures["cash_value"]), rel=1e-7
    )
    assert event["drift_after"] == pytest.approx(drift(code, after, cash - cost), rel=1e-6)
    outcomes = {outcome["symbol"]: outcome for outcome in event["outcomes"]}
    assert set(outcomes) == set(wanted)
    for symbol, outcome in outcomes.items():
        assert float(outcome["weight_after"]) == pytest.approx(float(weights[symbol]), abs=2e-6)
        assert outcome["reason"]


@pytest.mark.parametrize("code", TRIGGERS)
def test_no_neighbouring_set_of_trades_is_better(demo_house: DemoHouse, code: str) -> None:
    """Two shares more or less of every line that may be traded, in all combinations."""
    event, close, policy = event_of(demo_house, code), walk(code)[-1], demo_files.portfolios()[code]["policy"]
    wanted, value = targets(code), float(close.figures["total_value"])
    symbols = [symbol for symbol in wanted if policy["mode"] != "bands" or symbol in BREACHES[code]]
    prices = np.array([float(price_of(close, code, symbol)) for symbol in symbols])
    held = np.array([float(close.quantities.get(symbol, 0)) for symbol in symbols])
    target = np.array([float(wanted[symbol]["target_percentage"]) / 100 for symbol in symbols])
    moves = {action["symbol"]: float(signed(action)) for action in event["actions"]}
    proposed = np.array([moves.get(symbol, 0.0) for symbol in symbols])
    trades = proposed + np.array(list(product(range(-REACH, REACH + 1), repeat=len(symbols))))
    traded = np.abs(trades) * prices
    costs = ((trades != 0) * float(policy["fee_per_trade"]) + traded * float(policy["cost_rate"])).sum(axis=1)
    cash = float(close.figures["cash_value"]) - trades @ prices - costs
    allowed = (
        (cash >= float(policy["cash_reserve"]))
        & (held + trades >= 0).all(axis=1)
        & ((traded >= float(policy["min_trade"])) | (trades == 0) | (trades == -held)).all(axis=1)
    )
    if policy["mode"] == "invest_cash":
        allowed &= (trades >= 0).all(axis=1)
    distances = np.abs((held + trades) * prices / value - target).sum(axis=1)
    own = np.flatnonzero((trades == proposed).all(axis=1))[0]
    assert allowed[own]
    assert allowed.sum() > 1
    best = distances[allowed].min()
    assert distances[own] <= best + 1e-12
    as_good = allowed & (distances <= best + 1e-12)
    assert traded.sum(axis=1)[own] <= traded.sum(axis=1)[as_good].min() + 1e-6


def targets(code: str) -> dict[str, demo_files.Row]:
    rows = demo_files.read_rows("allocations.csv")
    return {row["symbol"]: row for row in rows if row["portfolio"] == code and row["symbol"] != "CASH"}


def cash_target(code: str) -> Decimal:
    rows = demo_files.read_rows("allocations.csv")
    return next(
        Decimal(row["target_percentage"])
        for row in rows
        if (row["portfolio"], row["symbol"]) == (code, "CASH")
    )


def event_of(demo_house: DemoHouse, code: str) -> pd.Series:
    rows = demo_house.of("events", portfolio=code)
    assert len(rows) == 1
    return rows.iloc[0]


def price_of(close: Close, code: str, symbol: str) -> Decimal:
    """In base currency."""
    rate = demo_files.rate_to_base("USD", demo_files.base_currency(code), close.date)
    return demo_files.traded_closes()[symbol][close.date] * rate


def cost_of(policy: dict[str, Any], amount: Decimal) -> Decimal:
    return Decimal(policy["fee_per_trade"]) + Decimal(policy["cost_rate"]) * amount


def signed(action: dict[str, Any]) -> Decimal:
    return Decimal(action["quantity"]) * (1 if action["side"] == "buy" else -1)


def drift(code: str, values: dict[str, Decimal], cash: Decimal) -> float:
    """Half the sum of all deviations, cash included, in percent of what is there."""
    total = sum(values.values(), cash)
    deviations = [abs(cash / total * 100 - cash_target(code))]
    for symbol, row in targets(code).items():
        weight = values.get(symbol, Decimal(0)) / total * 100
        deviations.append(abs(weight - Decimal(row["target_percentage"])))
    return float(sum(deviations) / 2)

"""Foreign trades on paper: no overdraft of theirs stays in any currency."""

from decimal import Decimal

import pytest

from analytics.models import EventStatus, RebalancingPolicy
from analytics.services.execution.exchanges import overdrafts_cover
from analytics.services.execution.fills import fill_book
from analytics.services.execution.run import event_execute, event_resume
from portfolios.models import Portfolio
from tests.analytics.services.execution import stage
from tests.support import factories as make

pytestmark = pytest.mark.django_db
RATE = Decimal("1.08")


@pytest.fixture
def portfolio() -> Portfolio:
    """RHEIN costs 50 euros, at 1.08 dollars each."""
    portfolio = stage.make_portfolio()
    rhein = make.make_asset("RHEIN", currency="EUR")
    stage.make_prices(rhein, 50)
    for day in (stage.DAY_BEFORE, stage.DAY):
        make.make_exchange_rate(date=day, rate=RATE)
    return portfolio


def test_a_foreign_purchase_is_paid_from_the_base_currency(portfolio: Portfolio) -> None:
    event = stage.approved_event(portfolio, stage.action("RHEIN", "buy", 10, 50, RATE))
    done = event_execute(event.pk, actor=None)
    assert done.status == EventStatus.COMPLETED
    purchase, exchange = stage.booked()
    assert (purchase.currency_id, purchase.amount, purchase.fee) == ("EUR", 500, Decimal("0.925926"))
    assert (exchange.kind, exchange.external_id) == ("currency_exchange", f"RB-{event.pk}-1/exchange-1")
    assert (exchange.amount, exchange.currency_id) == (Decimal("500.93"), "EUR")
    assert (exchange.counter_amount, exchange.counter_currency_id) == (Decimal("541.00"), "USD")
    assert stage.cash(portfolio) == {"USD": 2000 - 541, "EUR": Decimal("0.004074")}
    assert done.actual_cost == Decimal("1.000000")


def test_euros_there_are_go_first(portfolio: Portfolio) -> None:
    make.make_transaction(
        portfolio,
        kind="deposit",
        amount=300,
        currency=make.make_currency("EUR"),
        trade_date=stage.DAY_BEFORE,
    )
    event_execute(stage.approved_event(portfolio, stage.action("RHEIN", "buy", 10, 50, RATE)).pk, actor=None)
    exchange = stage.booked()[-1]
    assert exchange.amount == Decimal("200.93")


def test_a_purchase_at_home_is_paid_from_the_proceeds_abroad(portfolio: Portfolio) -> None:
    stage.hold(portfolio, stage.Asset.objects.get(symbol="RHEIN"), 100, 50)
    event = stage.approved_event(
        portfolio,
        stage.action("RHEIN", "sell", 100, 50, RATE),
        stage.action("AAA", "buy", 30, 100),
    )
    event_execute(event.pk, actor=None)
    exchange = stage.booked()[-1]
    assert (exchange.currency_id, exchange.amount) == ("USD", Decimal("1001.00"))
    assert (exchange.counter_currency_id, exchange.counter_amount) == ("EUR", Decimal("926.85"))
    cash = stage.cash(portfolio)
    assert cash["EUR"] > 4000
    assert "USD" not in cash


def test_an_overdraft_that_was_there_before_stays(portfolio: Portfolio) -> None:
    make.make_transaction(
        portfolio,
        kind="withdrawal",
        amount=100,
        currency=make.make_currency("EUR"),
        trade_date=stage.DAY_BEFORE,
    )
    event = stage.approved_event(portfolio, stage.action("RHEIN", "buy", 2, 50, RATE))
    event_execute(event.pk, actor=None)
    assert -100 <= stage.cash(portfolio)["EUR"] < Decimal("-99.98")


def test_covering_again_finds_nothing_to_do(portfolio: Portfolio) -> None:
    event = stage.approved_event(portfolio, stage.action("RHEIN", "buy", 10, 50, RATE))
    event_execute(event.pk, actor=None)
    before = stage.footprint(portfolio)
    assert overdrafts_cover(event.pk) == 0
    assert stage.footprint(portfolio) == before


def test_home_trades_need_no_exchange(portfolio: Portfolio) -> None:
    event_execute(stage.approved_event(portfolio).pk, actor=None)
    assert {row.kind for row in stage.booked()} == {"buy", "sell"}


def test_without_a_rate_the_event_fails_and_nothing_is_done(portfolio: Portfolio) -> None:
    event = stage.approved_event(portfolio, stage.action("RHEIN", "buy", 10, 50, RATE))
    stage.forget_rates()
    failed = event_execute(event.pk, actor=None)
    assert failed.status == EventStatus.FAILED
    assert "RHEIN: no recent price in USD" in failed.failure
    assert not stage.booked()


def test_what_cannot_be_converted_is_unknown_and_said(portfolio: Portfolio) -> None:
    RebalancingPolicy.objects.update(venue="order_file")
    event = stage.approved_event(portfolio, stage.action("RHEIN", "buy", 10, 50, RATE))
    order = event_execute(event.pk, actor=None).orders.get()
    fill_book(stage.fill(order, "f1", 10, fee=Decimal(1)))
    stage.forget_rates()
    done = event_resume(event.pk)
    assert (done.status, done.actual_cost, done.actual_tax) == (EventStatus.COMPLETED, None, None)
    state = done.post_state or {}
    assert (state["value"], state["cash"]) == (None, None)
    assert "RHEIN: no recent rate from EUR on 2024-03-28" in state["reasons"]


def test_a_broker_exchanges_for_itself(portfolio: Portfolio) -> None:
    RebalancingPolicy.objects.update(venue="order_file")
    event = stage.approved_event(portfolio, stage.action("RHEIN", "buy", 10, 50, RATE))
    order = event_execute(event.pk, actor=None).orders.get()
    fill_book(stage.fill(order, "f1", 10))
    event_resume(event.pk)
    assert [row.kind for row in stage.booked()] == ["buy"]

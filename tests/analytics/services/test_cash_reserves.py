"""Cash that is spoken for: dated reserves, unsettled trades, and the cash a proposal leaves by date."""

import datetime as dt
import json
from decimal import Decimal
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext

from analytics.models import (
    CashReserve,
    EventType,
    ProposalVersion,
    RebalancingEvent,
    RebalancingPolicy,
)
from analytics.selectors.portfolio_panels import PortfolioPanel, portfolio_panels, portfolio_standings
from analytics.services import proposal_documents as documents
from analytics.services.allocation_analysis import allocations_analyse
from analytics.services.cash_reserves import reserve_add, reserve_end
from analytics.services.rebalancing_events import event_propose
from analytics.services.rebalancing_recommendation import (
    PolicyOverrides,
    Recommendation,
    rebalancing_recommend,
)
from analytics.services.rebalancing_sweep import proposals_sweep
from analytics.services.triggers import Trigger
from portfolio_site.kernel import clock
from portfolios.models import Asset, AuditEvent, Portfolio, PortfolioRole
from tests.support import factories as make
from tests.support.imports import nothing_written

pytestmark = pytest.mark.django_db
DAY = make.DAY  # a Thursday
DAY_BEFORE = DAY - dt.timedelta(days=1)
# Trades of the next weekday, the 29th, settle two weekdays later.
SETTLED = dt.date(2024, 4, 2)


def later(days: int) -> dt.date:
    return DAY + dt.timedelta(days=days)


@pytest.fixture(autouse=True)
def _today(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "today", lambda: DAY)


def make_home(code: str = "HOME", **policy: Any) -> Portfolio:
    """10,000: 60 AAA at 100, 10 BBB at 200 and 2,000 in cash; wanted are 50 %, 40 % and 10 %."""
    portfolio = make.make_portfolio(code, owner=make.make_user())
    make.make_transaction(portfolio, amount=10000, trade_date=DAY_BEFORE)
    for symbol, price, quantity, target in (("AAA", 100, 60, 50), ("BBB", 200, 10, 40)):
        asset = Asset.objects.filter(symbol=symbol).first()
        if asset is None:
            asset = make.make_asset(symbol)
            for day in (DAY_BEFORE, DAY):
                make.make_price(asset, day, close=Decimal(price))
        make.make_transaction(
            portfolio, kind="buy", asset=asset, quantity=quantity, price=price, amount=price * quantity,
            trade_date=DAY_BEFORE,
        )  # fmt: skip
        make.make_allocation(portfolio, asset, target, rebalance_threshold=5)
    given = {"mode": "full", "cash_target_percentage": 10} | policy
    RebalancingPolicy.objects.create(portfolio=portfolio, **given)
    return portfolio


@pytest.fixture
def portfolio() -> Portfolio:
    return make_home()


def reserve(portfolio: Portfolio, amount: int, due: dt.date, kind: str = "withdrawal") -> CashReserve:
    return reserve_add(portfolio, kind=kind, amount=Decimal(amount), due_date=due, note="as agreed")


def set_policy(portfolio: Portfolio, **changes: Any) -> None:
    RebalancingPolicy.objects.filter(portfolio=portfolio).update(**changes)


def trades(found: Recommendation) -> dict[str, Decimal]:
    return {t.symbol: t.quantity if t.side == "buy" else -t.quantity for t in found.trades}


def kept(portfolio: Portfolio) -> Decimal:
    found = rebalancing_recommend(portfolio, DAY)
    assert found.rules
    return found.rules.reserve


def ladder(found: Recommendation) -> list[tuple[str, str, str, str, str]]:
    return [
        (rung["date"][5:], rung["change"], rung["cash"], rung["reserve"], rung["what"])
        for rung in found.document["projected_cash"]
    ]


# What is kept back


def test_dated_reserves_come_on_top_of_the_larger_of_amount_and_percentage(portfolio: Portfolio) -> None:
    set_policy(portfolio, cash_reserve=400, cash_reserve_percentage=5)
    reserve(portfolio, 300, later(10), "fee")
    reserve(portfolio, 1200, later(30))
    found = rebalancing_recommend(portfolio, DAY)
    assert found.rules
    assert found.rules.reserve == 500 + 300 + 1200
    assert found.proposal
    assert found.proposal.cash_after >= 2000


@pytest.mark.parametrize(("days", "counts"), [(0, True), (30, True), (31, False), (-1, True), (-400, True)])
def test_what_is_due_within_the_horizon_counts_and_what_is_overdue(
    portfolio: Portfolio, days: int, counts: bool
) -> None:
    reserve(portfolio, 700, later(days))
    assert kept(portfolio) == (700 if counts else 0)
    warnings = rebalancing_recommend(portfolio, DAY).warnings
    overdue = f"withdrawal of 700 USD was due on {later(days)} and is not ended: as agreed"
    assert (overdue in warnings) == (days < 0)


def test_the_horizon_is_the_policys(portfolio: Portfolio) -> None:
    reserve(portfolio, 700, later(31))
    set_policy(portfolio, reserve_horizon_days=31)
    assert kept(portfolio) == 700


def test_an_ended_reserve_no_longer_counts_and_stays(
    portfolio: Portfolio, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = reserve(portfolio, 700, later(3))
    reserve_end(found, reason="paid")
    assert kept(portfolio) == 0
    assert CashReserve.objects.get().ended_on == DAY
    monkeypatch.setattr(clock, "today", lambda: later(1))
    other = reserve(portfolio, 500, later(3))
    reserve_end(other, reason="paid")
    monkeypatch.setattr(clock, "today", lambda: DAY)
    assert kept(portfolio) == 500


def test_reserves_of_others_do_not_count(portfolio: Portfolio) -> None:
    reserve(make.make_portfolio(), 700, later(3))
    assert kept(portfolio) == 0


def test_an_override_of_the_reserve_leaves_the_dated_ones(portfolio: Portfolio) -> None:
    reserve(portfolio, 700, later(3))
    found = rebalancing_recommend(portfolio, DAY, PolicyOverrides(cash_reserve=Decimal(100)))
    assert found.rules
    assert found.rules.reserve == 800


def test_a_reserve_that_cannot_be_kept_is_named(portfolio: Portfolio) -> None:
    reserve(portfolio, 20_000, later(3))
    found = rebalancing_recommend(portfolio, DAY)
    assert (found.status, found.codes) == ("blocked", (documents.INFEASIBLE,))
    assert "the cash reserve of 20000" in found.reasons


# Cash by date


def test_the_cash_of_a_proposal_by_date(portfolio: Portfolio) -> None:
    set_policy(portfolio, cash_reserve=500, cost_rate="0.001")
    reserve(portfolio, 300, later(12), "fee")
    found = rebalancing_recommend(portfolio, DAY)
    assert trades(found) == {"AAA": -10, "BBB": 10}
    assert ladder(found) == [
        ("03-28", "0", "2000", "800", "settled cash"),
        ("04-02", "999", "2999", "800", "the sells settle"),
        ("04-02", "-2002", "997", "800", "the buys settle"),
        ("04-09", "-300", "697", "500", "fee: as agreed"),
    ]
    assert (found.status, found.warnings) == ("ready", [])
    assert found.as_json(number=float)["projected_cash"][1] == {
        "date": "2024-04-02", "change": 999.0, "cash": 2999.0, "reserve": 800.0, "what": "the sells settle",
    }  # fmt: skip


def test_without_a_proposal_there_is_no_projection(portfolio: Portfolio) -> None:
    empty = make.make_portfolio()
    assert rebalancing_recommend(empty, DAY).as_json()["projected_cash"] is None


def test_the_days_to_settlement_are_the_policys(portfolio: Portfolio) -> None:
    set_policy(portfolio, settlement_days=0)
    assert [rung[0] for rung in ladder(rebalancing_recommend(portfolio, DAY))] == ["03-28", "03-29", "03-29"]


def sell_unsettled(portfolio: Portfolio, settles: dt.date, **fields: Any) -> None:
    """5 BBB for 1,000, of which 10 go in fees."""
    make.make_transaction(
        portfolio, kind="sell", asset=Asset.objects.get(symbol="BBB"), quantity=5, price=200, amount=1000,
        fee=10, trade_date=DAY_BEFORE, settle_date=settles, **fields,
    )  # fmt: skip


def test_what_was_traded_before_settles_on_its_day(portfolio: Portfolio) -> None:
    sell_unsettled(portfolio, later(1))
    found = rebalancing_recommend(portfolio, DAY, PolicyOverrides(mode="hold"))
    assert ladder(found) == [
        ("03-28", "0", "2000", "0", "settled cash"),
        ("03-29", "990", "2990", "0", "USD settles"),
    ]
    assert found.document["cash_before"] == "2990"


@pytest.mark.parametrize("settles", [DAY_BEFORE, DAY])
def test_what_has_settled_by_the_day_is_settled(portfolio: Portfolio, settles: dt.date) -> None:
    sell_unsettled(portfolio, settles)
    found = rebalancing_recommend(portfolio, DAY, PolicyOverrides(mode="hold"))
    assert ladder(found) == [("03-28", "0", "2990", "0", "settled cash")]


def test_buys_that_settle_before_the_money_is_there_need_a_review(portfolio: Portfolio) -> None:
    """Cash counts by trade date: the proposal spends what comes two weeks later."""
    make.make_transaction(portfolio, kind="withdrawal", amount=2000, trade_date=DAY_BEFORE)
    make.make_transaction(portfolio, amount=2000, trade_date=DAY_BEFORE, settle_date=later(14))
    found = rebalancing_recommend(portfolio, DAY)
    assert ladder(found)[0] == ("03-28", "0", "0", "0", "settled cash")
    assert found.status == "needs_review"
    assert found.warnings == [
        "from 2024-04-02 until 2024-04-11: projected cash of -1000.00 is below the reserve of 0.00"
    ]


def test_a_payment_before_the_sells_settle_needs_a_review(portfolio: Portfolio) -> None:
    reserve(portfolio, 3000, later(1))
    found = rebalancing_recommend(portfolio, DAY)
    assert found.proposal
    assert found.proposal.cash_after >= 3000
    assert found.warnings == [
        "from 2024-03-29 until 2024-04-02: projected cash of -1000.00 is below the reserve of 0.00"
    ]
    CashReserve.objects.update(due_date=SETTLED)
    assert rebalancing_recommend(portfolio, DAY).warnings == []


def test_unsettled_cash_in_another_currency_counts_at_the_rate_of_the_day(portfolio: Portfolio) -> None:
    euro = {"currency": make.make_currency("EUR"), "trade_date": DAY_BEFORE}
    make.make_exchange_rate("EUR", "USD", DAY_BEFORE, Decimal("1.25"))
    make.make_transaction(portfolio, amount=400, settle_date=later(1), **euro)
    found = rebalancing_recommend(portfolio, DAY, PolicyOverrides(mode="hold"))
    assert ladder(found) == [
        ("03-28", "0", "2000", "0", "settled cash"),
        ("03-29", "500", "2500", "0", "EUR settles"),
    ]


def test_without_a_rate_the_projection_is_unknown_and_says_so(portfolio: Portfolio) -> None:
    """What was spent and what came in cancel out, so that the value is known and only the days are not."""
    euro = {"currency": make.make_currency("EUR"), "trade_date": DAY_BEFORE, "fx_rate": Decimal("1.25")}
    make.make_transaction(portfolio, amount=400, settle_date=later(1), **euro)
    make.make_transaction(portfolio, kind="withdrawal", amount=400, **euro)
    found = rebalancing_recommend(portfolio, DAY)
    assert found.document["projected_cash"] is None
    assert found.warnings == ["projected cash unknown: no rate from EUR to USD"]
    assert found.as_json()["projected_cash"] is None


def test_a_panel_tells_of_the_same_unsettled_cash_as_a_standing(portfolio: Portfolio) -> None:
    sell_unsettled(portfolio, later(1))
    sell_unsettled(portfolio, later(6), external_id="second")
    (panel,), (standing,) = portfolio_panels([portfolio], DAY), portfolio_standings([portfolio], DAY)
    assert isinstance(panel, PortfolioPanel)
    (one,), (other,) = allocations_analyse([panel]), allocations_analyse([standing])  # type: ignore[list-item]
    assert [(cash.date, cash.value) for cash in one.unsettled] == [(later(1), 990), (later(6), 990)]
    assert one.unsettled == other.unsettled


@pytest.mark.parametrize("mode", ["full", "bands", "raise_cash"])
def test_the_proposal_with_its_cash_follows_from_the_stored_inputs(portfolio: Portfolio, mode: str) -> None:
    set_policy(portfolio, mode=mode, cost_rate="0.00137")
    sell_unsettled(portfolio, later(9))
    reserve(portfolio, 4123, later(1))
    reserve(portfolio, 10, later(-1), "tax")
    found = rebalancing_recommend(portfolio, DAY)
    event_propose(found, Trigger(EventType.MANUAL, {}))
    version = ProposalVersion.objects.get()
    inputs = json.loads(json.dumps(version.inputs))
    again = documents.document_bytes(documents.proposal_from_inputs(inputs))
    assert again == documents.document_bytes(version.proposal)
    assert len(version.proposal["projected_cash"]) >= 5
    assert RebalancingEvent.objects.get().needs_review
    inputs["cash_plan"]["reserves"][1]["amount"] = "4124"
    assert documents.proposal_from_inputs(inputs) != version.proposal


def test_the_same_proposal_on_the_next_day_has_the_same_hash(
    portfolio: Portfolio, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that one that was rejected does not come back over a weekend."""
    reserve(portfolio, 700, later(3))
    first = rebalancing_recommend(portfolio, DAY).proposal_hash
    monkeypatch.setattr(clock, "today", lambda: later(1))
    assert rebalancing_recommend(portfolio, DAY).proposal_hash == first


def test_reserves_and_settlements_of_many_are_read_in_as_many_queries_as_of_few() -> None:
    books = [make_home(f"HOME{number}") for number in range(7)]
    for book in books:
        reserve(book, 100, later(3))
        sell_unsettled(book, later(1))
    with CaptureQueriesContext(connection) as for_few:
        assert len(proposals_sweep([book.pk for book in books[:2]]).stored) == 2
    with CaptureQueriesContext(connection) as for_many:
        assert len(proposals_sweep([book.pk for book in books[2:]]).stored) == 5
    assert len(for_few) == len(for_many)
    version = ProposalVersion.objects.filter(event__portfolio=books[6]).get()
    assert [rung["what"] for rung in version.proposal["projected_cash"]][:2] == [
        "settled cash",
        "USD settles",
    ]


# How they are entered and ended


def test_a_reserve_is_entered_and_ended_with_its_audit_rows(portfolio: Portfolio) -> None:
    ann, bob = make.make_user("ann"), make.make_user("bob")
    for user in (ann, bob):
        make.grant(user, portfolio, PortfolioRole.MANAGER)
    found = reserve_add(
        portfolio, kind="tax", amount=Decimal("12.5"), due_date=later(9), note=" second rate ", actor=ann
    )
    assert (found.owner, found.note, found.ended_on, found.ended_by) == (ann, "second rate", None, None)
    reserve_end(found, reason="paid", actor=bob, ended_on=DAY_BEFORE)
    stored = CashReserve.objects.get()
    assert (stored.owner, stored.ended_on, stored.ended_by) == (ann, DAY_BEFORE, bob)
    added, ended = AuditEvent.objects.filter(object_type="cash_reserve").order_by("sequence")
    assert (added.action, added.actor, added.portfolio) == ("cash_reserve.added", "ann", portfolio)
    assert added.before is None
    assert added.after is not None
    assert (added.after["amount"], added.after["due_date"]) == ("12.5", later(9).isoformat())
    assert (ended.action, ended.actor, ended.reason) == ("cash_reserve.ended", "bob", "paid")
    assert ended.before is not None
    assert ended.after is not None
    assert (ended.before["ended_on"], ended.after["ended_on"]) == (None, DAY_BEFORE.isoformat())


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"amount": Decimal(0)}, "amount"),
        ({"amount": Decimal(-1)}, "amount"),
        ({"amount": Decimal("NaN")}, "amount"),
        ({"amount": Decimal("0.0000001")}, "amount"),
        ({"note": "  "}, "note"),
        ({"note": "x" * 501}, "note"),
        ({"kind": "party"}, "kind"),
        ({"due_date": None}, "due_date"),
    ],
)
def test_a_reserve_that_cannot_be_is_refused_by_its_field(
    portfolio: Portfolio, fields: dict[str, Any], named: str
) -> None:
    usual = {"kind": "fee", "amount": Decimal(1), "due_date": later(1), "note": "as agreed"}
    given: dict[str, Any] = usual | fields
    with nothing_written(), pytest.raises(ValidationError) as refused:
        reserve_add(portfolio, **given)
    assert list(refused.value.message_dict) == [named]


def test_ending_needs_a_reason_a_day_that_has_come_and_an_open_reserve(portfolio: Portfolio) -> None:
    found = reserve(portfolio, 700, later(3))
    with nothing_written():
        with pytest.raises(ValidationError, match="needs a reason"):
            reserve_end(found, reason=" ")
        with pytest.raises(ValidationError, match="still to come"):
            reserve_end(found, reason="paid", ended_on=later(1))
    reserve_end(found, reason="paid")
    with nothing_written(), pytest.raises(ValidationError, match=f"ended on {DAY}"):
        reserve_end(found, reason="paid")


@pytest.mark.parametrize("role", [None, PortfolioRole.VIEWER, PortfolioRole.MAKER, PortfolioRole.CHECKER])
def test_only_managers_keep_back_cash(portfolio: Portfolio, role: PortfolioRole | None) -> None:
    found, user = reserve(portfolio, 700, later(3)), make.make_user()
    if role:
        make.grant(user, portfolio, role)
    with nothing_written():
        with pytest.raises(PermissionDenied):
            reserve_add(portfolio, kind="fee", amount=Decimal(1), due_date=DAY, note="as agreed", actor=user)
        with pytest.raises(PermissionDenied):
            reserve_end(found, reason="paid", actor=user)


@pytest.mark.parametrize("wrong", [{"amount": 0}, {"note": ""}, {"ended_by": 1}])
def test_the_database_refuses_what_no_reserve_can_be(portfolio: Portfolio, wrong: dict[str, Any]) -> None:
    if "ended_by" in wrong:
        wrong = {"ended_by": portfolio.owner}
    given = {"kind": "fee", "amount": 1, "due_date": DAY, "note": "as agreed"} | wrong
    with pytest.raises(IntegrityError), transaction.atomic():
        CashReserve.objects.create(portfolio=portfolio, **given)
    assert not CashReserve.objects.exists()

"""When proposals no longer hold: age, bookings, what happened to the shares, prices."""

import datetime as dt
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from hypothesis import given
from hypothesis import strategies as st

from analytics.models import EventStatus, ProposalVersion, RebalancingEvent, RebalancingPolicy
from analytics.services import event_expiry
from analytics.services.event_expiry import events_expire, expiry_reason, policy_of
from analytics.services.event_moves import event_move
from analytics.services.restrictions import restriction_add
from portfolio_site.kernel import clock
from portfolios.models import Asset, AuditEvent, CorporateAction, Portfolio, Transaction, TransactionStatus
from portfolios.services.transactions import transaction_create, transaction_move, transaction_reverse
from tests.support import factories as make

pytestmark = pytest.mark.django_db
DAY = make.DAY
NEXT_DAY = DAY + dt.timedelta(days=1)
LATER = dt.timedelta(hours=1)
LONG_AGO = dt.timedelta(days=100)


@pytest.fixture
def portfolio() -> Portfolio:
    portfolio = make.make_portfolio("HOME")
    make.make_transaction(portfolio, amount=10_000)
    return portfolio


@pytest.fixture
def asset() -> Asset:
    asset = make.make_asset("AAA")
    make.make_price(asset, DAY, close=Decimal(100))
    return asset


@pytest.fixture
def event(portfolio: Portfolio, asset: Asset) -> RebalancingEvent:
    """Approved, good for another hour, buying `asset` at 100."""
    action = {"asset": asset.pk, "symbol": "AAA", "side": "buy", "local_price": "100", "amount": "1000"}
    return make.make_event(
        portfolio, status=EventStatus.APPROVED, actions=[action], expires_at=clock.now() + LATER
    )


def limit_moves(portfolio: Portfolio, limit: Decimal | None) -> None:
    RebalancingPolicy.objects.update_or_create(portfolio=portfolio, defaults={"price_move_limit": limit})


def reason() -> str:
    """Of the only event, as it is stored."""
    return expiry_reason(RebalancingEvent.objects.get())


def expired_for(text: str) -> None:
    """The sweep closes the event, with one audit row that says why."""
    assert text in reason()
    told = reason()
    assert (events_expire(), events_expire()) == (1, 0)
    found = RebalancingEvent.objects.get()
    assert found.status == EventStatus.EXPIRED
    row = AuditEvent.objects.get(action="rebalancing.expired")
    assert (row.actor, row.reason, row.object_id) == ("system", told, str(found.pk))
    assert (row.before, row.after) == ({"status": "approved"}, {"status": "expired"})


def still_holds() -> None:
    before = list(RebalancingEvent.objects.values())
    assert reason() == ""
    assert events_expire() == 0
    assert list(RebalancingEvent.objects.values()) == before
    assert not AuditEvent.objects.filter(action="rebalancing.expired").exists()


# Age


def test_a_proposal_holds_until_its_hour_and_no_longer(
    event: RebalancingEvent, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert event.expires_at is not None
    end = event.expires_at
    monkeypatch.setattr(clock, "now", lambda: end - dt.timedelta(microseconds=1))
    still_holds()
    monkeypatch.setattr(clock, "now", lambda: end)
    expired_for("it was valid until")


def test_a_proposal_without_an_hour_does_not_age(event: RebalancingEvent) -> None:
    RebalancingEvent.objects.update(expires_at=None)
    still_holds()


@pytest.mark.parametrize("status", sorted(set(EventStatus) - {"pending", "approved"}))
def test_what_is_executing_or_over_never_expires(
    event: RebalancingEvent, portfolio: Portfolio, status: str
) -> None:
    RebalancingEvent.objects.update(status=status, expires_at=clock.now() - LATER)
    make.make_transaction(portfolio)
    still_holds()


def test_an_event_that_moved_on_a_moment_ago_keeps_what_it_became(
    event: RebalancingEvent, monkeypatch: pytest.MonkeyPatch
) -> None:
    RebalancingEvent.objects.update(expires_at=clock.now() - LATER)

    find = event_expiry.expiry_reasons

    def reasons_found_too_late(found: list[RebalancingEvent]) -> dict[int, str]:
        event_move(found[0].pk, EventStatus.EXECUTING, actor=None)
        return find(found)

    monkeypatch.setattr(event_expiry, "expiry_reasons", reasons_found_too_late)
    assert events_expire() == 0
    assert RebalancingEvent.objects.get().status == EventStatus.EXECUTING
    assert not AuditEvent.objects.filter(action="rebalancing.expired").exists()


def test_every_event_that_no_longer_holds_is_closed_and_no_other(event: RebalancingEvent) -> None:
    old = make.make_event(make.make_portfolio(), expires_at=clock.now() - LATER)
    young = make.make_event(make.make_portfolio(), expires_at=clock.now() + LATER)
    assert events_expire() == 1
    statuses = dict(RebalancingEvent.objects.values_list("pk", "status"))
    assert statuses == {event.pk: "approved", old.pk: "expired", young.pk: "pending"}


# Bookings


def test_a_line_booked_since_ends_the_proposal(event: RebalancingEvent, portfolio: Portfolio) -> None:
    line = make.make_transaction(portfolio, amount=1)
    expired_for(f"transaction {line.pk} was booked")


def test_what_was_booked_before_or_elsewhere_or_not_settled_does_not(
    event: RebalancingEvent, portfolio: Portfolio
) -> None:
    make.make_transaction(make.make_portfolio())
    for status in set(TransactionStatus) - {TransactionStatus.SETTLED}:
        make.make_transaction(portfolio, status=status)
    still_holds()


def test_a_reversal_ends_the_proposal(portfolio: Portfolio, event: RebalancingEvent) -> None:
    reversal = transaction_reverse(Transaction.objects.get(), reason="wrong account")
    expired_for(f"transaction {reversal.pk} was booked")


def test_a_line_that_waited_and_is_settled_ends_the_proposal(portfolio: Portfolio, asset: Asset) -> None:
    line = transaction_create(portfolio, status="pending", kind="deposit", trade_date=DAY, amount=Decimal(5))
    make.make_event(portfolio, status=EventStatus.APPROVED)
    assert reason() == ""
    transaction_move(line, TransactionStatus.SETTLED)
    expired_for(f"transaction {line.pk} was settled")


def test_what_was_booked_before_the_present_version_was_made_is_known_to_it(
    event: RebalancingEvent, portfolio: Portfolio
) -> None:
    make.make_transaction(portfolio)
    RebalancingEvent.objects.update(version=2)
    ProposalVersion.objects.create(event=event, version=2, inputs={}, proposal={}, proposal_hash="c" * 64)
    still_holds()
    line = make.make_transaction(portfolio)
    expired_for(f"transaction {line.pk} was booked")


# Shares


def test_a_split_since_the_valuation_ends_the_proposal(event: RebalancingEvent, asset: Asset) -> None:
    CorporateAction.objects.create(asset=asset, ex_date=NEXT_DAY, kind="split", ratio_new=2, ratio_old=1)
    expired_for(f"AAA: split on {NEXT_DAY} since the valuation")


def test_a_dividend_and_what_happened_before_or_will_happen_do_not(
    event: RebalancingEvent, asset: Asset
) -> None:
    tomorrow = clock.today() + dt.timedelta(days=1)
    for ex_date in (DAY, tomorrow):
        CorporateAction.objects.create(asset=asset, ex_date=ex_date, kind="split", ratio_new=2, ratio_old=1)
    CorporateAction.objects.create(asset=asset, ex_date=NEXT_DAY, kind="cash_dividend", amount=Decimal(1))
    CorporateAction.objects.create(
        asset=make.make_asset(), ex_date=NEXT_DAY, kind="split", ratio_new=2, ratio_old=1
    )
    still_holds()


# Prices


@pytest.mark.parametrize("close", ["105.0001", "94.9999"])
def test_a_price_that_moved_beyond_the_limit_ends_the_proposal(
    event: RebalancingEvent, portfolio: Portfolio, asset: Asset, close: str
) -> None:
    limit_moves(portfolio, Decimal("0.05"))
    make.make_price(asset, NEXT_DAY, close=Decimal(close))
    expired_for(f"AAA: the close went from 100 to {close}, more than 5 %")


@pytest.mark.parametrize("close", ["105", "95"])
def test_a_move_of_exactly_the_limit_does_not(
    event: RebalancingEvent, portfolio: Portfolio, asset: Asset, close: str
) -> None:
    limit_moves(portfolio, Decimal("0.05"))
    make.make_price(asset, NEXT_DAY, close=Decimal(close))
    still_holds()


def test_without_a_limit_prices_may_move(event: RebalancingEvent, portfolio: Portfolio, asset: Asset) -> None:
    make.make_price(asset, NEXT_DAY, close=Decimal(1000))
    still_holds()
    limit_moves(portfolio, None)
    still_holds()


def test_only_the_last_close_counts_and_only_of_what_is_traded(
    event: RebalancingEvent, portfolio: Portfolio, asset: Asset
) -> None:
    limit_moves(portfolio, Decimal("0.05"))
    make.make_price(asset, NEXT_DAY, close=Decimal(150))
    make.make_price(asset, NEXT_DAY + dt.timedelta(days=1), close=Decimal(101))
    other = make.make_asset()
    make.make_price(other, NEXT_DAY, close=Decimal(1000))
    still_holds()


def test_a_price_that_was_corrected_since_counts_as_a_move(
    event: RebalancingEvent, portfolio: Portfolio, asset: Asset
) -> None:
    limit_moves(portfolio, Decimal(0))
    still_holds()
    asset.price_bars.update(close=Decimal("100.01"))
    expired_for("AAA: the close went from 100 to 100.01, more than 0 %")


def test_an_asset_without_a_price_since_holds(event: RebalancingEvent, portfolio: Portfolio) -> None:
    limit_moves(portfolio, Decimal("0.05"))
    RebalancingEvent.objects.update(valuation_date=NEXT_DAY)
    still_holds()


@given(
    cents=st.integers(1, 10**6),
    after=st.integers(1, 10**6),
    limit=st.decimals("0", "0.99", places=4),
)
def test_the_limit_is_kept_to_the_last_digit(cents: int, after: int, limit: Decimal) -> None:
    price, close = Decimal(cents) / 100, Decimal(after) / 100
    assert event_expiry.has_moved(price, close, limit) == (abs(after - cents) > limit * cents)


def test_a_portfolio_without_a_stored_policy_has_the_defaults(portfolio: Portfolio) -> None:
    assert policy_of(portfolio).pk is None
    limit_moves(portfolio, Decimal(1))
    assert policy_of(Portfolio.objects.get()).price_move_limit == 1


# Restrictions


def restrict(portfolio: Portfolio | None, asset: Asset, kind: str, **fields: Any) -> None:
    restriction_add(portfolio, asset=asset, kind=kind, reason="sanctions", **{"starts_on": DAY} | fields)


def whole_action(asset: Asset, side: str) -> dict[str, Any]:
    return {
        "asset": asset.pk,
        "symbol": asset.symbol,
        "exchange": "",
        "side": side,
        "quantity": "10",
        "price": "100",
        "local_price": "100",
        "amount": "1000",
    }


@pytest.mark.parametrize("for_all", [True, False], ids=["restricted list", "of the portfolio"])
@pytest.mark.parametrize(
    ("side", "kind"), [("buy", "do_not_buy"), ("sell", "do_not_sell"), ("buy", "do_not_trade")]
)
def test_a_restriction_that_came_since_ends_a_proposal_that_trades_against_it(
    event: RebalancingEvent, portfolio: Portfolio, asset: Asset, side: str, kind: str, for_all: bool
) -> None:
    RebalancingEvent.objects.update(actions=[whole_action(asset, side)])
    still_holds()
    restrict(None if for_all else portfolio, asset, kind)
    expired_for(f"AAA: {side} against")


@pytest.mark.parametrize(("side", "kind"), [("buy", "do_not_sell"), ("sell", "do_not_buy")])
def test_a_restriction_of_the_other_side_or_of_something_else_does_not(
    event: RebalancingEvent, portfolio: Portfolio, asset: Asset, side: str, kind: str
) -> None:
    RebalancingEvent.objects.update(actions=[whole_action(asset, side)])
    restrict(portfolio, asset, kind)
    restrict(portfolio, make.make_asset("BBB"), "do_not_trade")
    restrict(portfolio, asset, "do_not_trade", starts_on=DAY - LONG_AGO, ends_on=DAY - dt.timedelta(days=1))
    restrict(make.make_portfolio(), asset, "do_not_trade")
    still_holds()


@pytest.mark.parametrize(("maximum", "holds"), [("50", False), ("60", True)])
def test_a_range_that_came_since_is_held_against_the_state_before_trading(
    event: RebalancingEvent, portfolio: Portfolio, asset: Asset, maximum: str, holds: bool
) -> None:
    """5,000 of 10,000 are held, and 1,000 more would be bought."""
    line = {"symbol": "AAA", "exchange": "", "quantity": "50", "price": "100", "value": "5000"}
    RebalancingEvent.objects.update(
        actions=[whole_action(asset, "buy")], pre_state={"value": "10000", "cash": "5000", "lines": [line]}
    )
    restrict(portfolio, asset, "range", maximum=Decimal(maximum), unit="percent")
    if holds:
        still_holds()
    else:
        expired_for("AAA: leads out of at most 50 %")


# The sweep


def make_young_events(count: int, asset: Asset) -> None:
    for _ in range(count):
        portfolio = make.make_portfolio()
        limit_moves(portfolio, Decimal("0.5"))
        make.make_event(portfolio, expires_at=clock.now() + LATER, actions=[whole_action(asset, "buy")])


def test_how_many_events_there_are_costs_the_sweep_no_query(
    asset: Asset, django_assert_num_queries: Any
) -> None:
    restrict(None, asset, "do_not_sell")
    make_young_events(2, asset)
    with CaptureQueriesContext(connection) as few:
        assert events_expire() == 0
    make_young_events(20, asset)
    with django_assert_num_queries(len(few)):
        assert events_expire() == 0


def test_the_sweep_goes_on_through_all_chunks(asset: Asset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_expiry, "EVENTS_PER_CHUNK", 2)
    make_young_events(5, asset)
    RebalancingEvent.objects.update(expires_at=clock.now() - LATER)
    assert events_expire() == 5

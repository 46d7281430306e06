"""The review of a proposal in the console: what is shown, what may be decided, and what becomes of it."""

import re
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils.html import escape, strip_tags

from analytics.models import Approval, EventStatus, ProposalVersion, RebalancingEvent, RebalancingPolicy
from analytics.services.evidence_packs import pack_check
from analytics.services.execution.run import event_execute
from portfolios.models import Portfolio, PortfolioRole, PriceBar
from portfolios.services.audit import audit_verify
from tests.analytics.services.execution import stage
from tests.support import factories as make
from tests.support.admin import change_url, client_of, make_reader, queries_of, url_of
from tests.support.imports import nothing_written

pytestmark = [pytest.mark.django_db, pytest.mark.once]
LOT = {
    "lot": 7,
    "opened": "2020-05-04",
    "quantity": "10",
    "cost": "812.5",
    "term": "long",
    "gain": "187.5",
    "tax": "28.13",
}


@pytest.fixture
def portfolio() -> Portfolio:
    return stage.make_portfolio()


@pytest.fixture
def event(portfolio: Portfolio) -> RebalancingEvent:
    """A sale with a lot, costs and a warning, a purchase, and a line that is kept."""
    costs = {"commission": "1.25", "spread": "0.50", "impact": "0", "fx": "0", "fee": "1"}
    sale = stage.action("AAA", "sell", 10, 100, lots=[LOT], tax="28.13", cost="2.75", costs=costs)
    sale["warnings"] = ["<long-term> in 3 days"]
    fields = {
        "proposal_hash": stage.HASH,
        "pre_state": {"value": "10000", "cash": "2000"},
        "estimated_cost": Decimal(2),
        "requested_by": member(portfolio, PortfolioRole.MAKER),
        "outcomes": [outcome("AAA", "60", "50", "40", side="sell", quantity="10"), outcome("BBB")],
        "warnings": ["AAA: <long-term> in 3 days"],
        "needs_review": True,
        "tracking_distance": 0.105,
        "distance_bound": 0.1,
        "optimality_gap": 0.005,
        "estimated_tax": Decimal("28.13"),
    }
    return make.make_event(portfolio, actions=[sale, stage.action("BBB", "buy", 5, 200)], **fields)


def outcome(symbol: str, before: str = "20", after: str = "20", target: str = "20", **fields: Any) -> Any:
    found: dict[str, Any] = {"symbol": symbol, "exchange": "", "weight_before": before, "weight_after": after}
    found |= {"target": target, "constrained_target": target, "residual": "0", "side": None}
    return found | {"rules": [], "reason": f"why {symbol}"} | fields


def member(portfolio: Portfolio, role: PortfolioRole) -> User:
    user = make_reader()
    make.grant(user, portfolio, role)
    return user


@pytest.fixture
def checker(portfolio: Portfolio) -> User:
    return member(portfolio, PortfolioRole.CHECKER)


def decide_url(event: RebalancingEvent, name: str) -> str:
    return url_of(RebalancingEvent, "decide", event.pk, name)


def page_of(client: Client, address: str) -> str:
    return client.get(address).content.decode()


def confirm(client: Client, event: RebalancingEvent, name: str, **answers: str) -> Any:
    """Fill in the page that asks, as it was sent, and follow to where it leads."""
    fields = dict(
        re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', page_of(client, decide_url(event, name)))
    )
    return client.post(decide_url(event, name), {**fields, **answers}, follow=True)


def words(html: str) -> str:
    return " ".join(strip_tags(html.replace("<", " <")).split())


def row_of(page: str, title: str, name: str) -> str:
    """One row of the table with this title, in words."""
    table = page.split(f">{title}</h2>")[1].split("</section>")[0]
    return next(found for row in table.split("<tr>")[2:] if (found := words(row)).startswith(name))


# Looking at it


def test_the_proposal_is_shown_whole(event: RebalancingEvent, checker: User) -> None:
    page = page_of(client_of(checker), change_url(event))
    sale = row_of(page, "Trades", "AAA")
    assert sale == (
        "AAA sell 10 100.00 1,000.00 2.75 commission 1.25, spread 0.50, fee 1.00 28.13 "
        "to its target &lt;long-term&gt; in 3 days"
    )
    assert row_of(page, "Trades", "BBB").startswith("BBB buy 5 200.00 1,000.00")
    lines = "Every line: before, after, target"
    assert row_of(page, lines, "AAA") == "AAA 60.00% 50.00% 40.00% +10.00% sell 10 why AAA"
    assert row_of(page, lines, "BBB") == "BBB 20.00% 20.00% 20.00% 0.00% hold why BBB"
    assert row_of(page, lines, "Cash").startswith("Cash 20.00%")
    lots = "Lots that the sales take"
    assert row_of(page, lots, "AAA") == "AAA 2020-05-04 10 812.50 long +187.50 28.13"
    for said in (
        "Needs review",
        "Distance from the targets after trading: 0.105000 of the value. Proven bound: 0.100000; "
        "other trades could come closer by at most 0.005000",
        "1,000.00 USD sold in one trade, 1,000.00 USD bought in one trade; estimated cost 2.00 USD, "
        "tax 28.13 USD.",
        "Approvals of version 1: 0 given of 1 needed.",
    ):
        assert said in words(page)
    assert "<long-term>" not in page
    assert page.count("<script") == page.count("<script src=") + page.count('<script id="django-')


def test_a_foreign_price_stands_beside_the_one_in_base_currency(portfolio: Portfolio) -> None:
    make.make_exchange_rate(rate=Decimal("1.08"))
    make.make_asset("RHEIN", currency="EUR")
    event = stage.approved_event(portfolio, stage.action("RHEIN", "buy", 5, 50, rate="1.08"))
    page = page_of(client_of(make.make_superuser()), change_url(event))
    assert row_of(page, "Trades", "RHEIN").startswith("RHEIN buy 5 54.00 50.00 EUR 270.00")


def test_a_constrained_target_and_what_is_left_undone_are_shown(portfolio: Portfolio) -> None:
    line = outcome("AAA", "60", "50", "40", constrained_target="45", residual="5")
    event = stage.approved_event(portfolio, outcomes=[line])
    page = page_of(client_of(make.make_superuser()), change_url(event))
    shown = row_of(page, "Every line: before, after, target", "AAA")
    assert "40.00% allowed: 45.00% +10.00% left undone: +5.00% hold" in shown


def test_what_has_changed_since_is_shown(event: RebalancingEvent, checker: User) -> None:
    client = client_of(checker)
    page = page_of(client, change_url(event))
    assert row_of(page, "Prices since the proposal", "AAA") == "AAA 100.00 USD 100.00 USD 2024-03-28 0.00%"
    assert "Nothing was booked since." in page
    RebalancingPolicy.objects.update(price_move_limit=Decimal("0.05"))
    PriceBar.objects.filter(asset__symbol="AAA", date=stage.DAY).update(close=Decimal(112))
    make.make_transaction(event.portfolio, amount=Decimal("777.5"))
    page = page_of(client, change_url(event))
    moved = row_of(page, "Prices since the proposal", "AAA")
    assert moved == "AAA 100.00 USD 112.00 USD 2024-03-28 +12.00% more than allowed"
    assert "more than allowed" not in row_of(page, "Prices since the proposal", "BBB")
    assert "777.50 USD" in row_of(page, "Booked since the proposal", "2024-03-28 deposit")
    assert "this proposal no longer holds: transaction" in words(page)


def test_books_that_say_something_else_are_noticed(event: RebalancingEvent, checker: User) -> None:
    client = client_of(checker)
    state = {
        "value": "10000",
        "cash": "2000",
        "lines": [stage.line("AAA", 60, 100), stage.line("BBB", 10, 200)],
    }
    RebalancingEvent.objects.update(pre_state=state)
    assert "no longer holds" not in page_of(client, change_url(event))
    state["lines"] = [stage.line("AAA", 61, 100), stage.line("BBB", 10, 200)]
    RebalancingEvent.objects.update(pre_state=state)
    for address in (change_url(event), decide_url(event, "approve")):
        assert "no longer holds: AAA: the books hold 60" in words(page_of(client, address))


def test_what_is_decided_is_not_held_against_later_prices(event: RebalancingEvent, checker: User) -> None:
    RebalancingEvent.objects.update(status=EventStatus.REJECTED)
    page = page_of(client_of(checker), change_url(event))
    assert "since the proposal" not in page
    assert decide_url(event, "approve") not in page


def test_after_execution_the_estimate_stands_beside_what_came_of_it(portfolio: Portfolio) -> None:
    event = event_execute(stage.approved_event(portfolio).pk, actor=None)
    page = page_of(client_of(make.make_superuser()), change_url(event))
    assert row_of(page, "Estimated and actual", "AAA") == "AAA 10 10 100.0000 100.0000 1.00 1.00 0.00 – 0.00"
    assert row_of(page, "Estimated and actual", "All") == "All 2.00 2.00 – 0.00"
    assert "Left untraded: 0.0000% of the value before." in page
    order = f"RB-{event.pk}-1-1"
    assert row_of(page, "Orders", order) == f"{order} AAA Sell 10 10 100.00 USD Filled"
    fill = event.orders.get(position=1).fills.get()
    assert row_of(page, "Fills", order) == (
        f"{order} {fill.venue_fill_id} 2024-03-28 10 100.00 USD 1.00 USD 0.00 USD "
        f"transaction {fill.transaction_id}"
    )


def test_the_page_takes_as_many_queries_for_many_lines(portfolio: Portfolio) -> None:
    client = client_of(make.make_superuser())
    few = event_execute(stage.approved_event(portfolio).pk, actor=None)
    symbols = [f"S{number}" for number in range(8)]
    for symbol in symbols:
        stage.make_prices(make.make_asset(symbol), 10)
    trades = [stage.action(symbol, "buy", 5, 10) for symbol in symbols]
    lines = [outcome(symbol) for symbol in symbols]
    many = stage.approved_event(portfolio, *trades, outcomes=lines, pre_state={})
    pending = [queries_of(client, change_url(many)), queries_of(client, decide_url(many, "cancel"))]
    RebalancingEvent.objects.filter(pk=many.pk).update(actions=trades[:1], outcomes=[])
    assert [queries_of(client, change_url(many)), queries_of(client, decide_url(many, "cancel"))] == pending
    RebalancingEvent.objects.filter(pk=many.pk).update(actions=trades)
    many = event_execute(many.pk, actor=None)
    assert (few.status, many.status) == ("completed", "completed")
    assert queries_of(client, change_url(few)) == queries_of(client, change_url(many))


# Deciding


def test_a_checker_looks_and_approves(event: RebalancingEvent, checker: User) -> None:
    client = client_of(checker)
    assert decide_url(event, "approve") in page_of(client, change_url(event))
    with nothing_written():
        asked = words(page_of(client, decide_url(event, "approve")))
    assert "With yours the event is approved and may be executed." in asked
    assert "<long-term>".replace("<", "&lt;").replace(">", "&gt;") in asked
    answer = confirm(client, event, "approve", note="as <discussed>")
    assert answer.redirect_chain == [(change_url(event), 302)]
    page = answer.content.decode()
    assert f"Approve: event {event.pk} is approved." in page
    approval = Approval.objects.get()
    assert (approval.user, approval.note, approval.proposal_hash) == (checker, "as <discussed>", stage.HASH)
    assert row_of(page, "Decisions", checker.username).endswith(escape("as <discussed>"))
    assert audit_verify().is_intact


def test_the_first_of_two_is_told_so(event: RebalancingEvent, checker: User) -> None:
    RebalancingPolicy.objects.update(approvals_needed=2)
    client = client_of(checker)
    assert "With yours it still waits for others." in page_of(client, decide_url(event, "approve"))
    page = confirm(client, event, "approve", note="yes").content.decode()
    assert f"Approve: event {event.pk} is pending." in page
    assert "Approvals of version 1: 1 given of 2 needed" in page


def test_a_missing_note_is_asked_for_and_nothing_is_lost(event: RebalancingEvent, checker: User) -> None:
    client = client_of(checker)
    for name, complaint in (
        ("approve", "an approval needs a note"),
        ("reject", "needs a note that says why"),
    ):
        with nothing_written():
            answer = confirm(client, event, name, note=" ")
            assert (answer.status_code, answer.redirect_chain) == (400, [])
            assert complaint in answer.content.decode()
    assert "is rejected" in confirm(client, event, "reject", note="too dear").content.decode()
    assert Approval.objects.get().decision == "rejected"


def test_the_same_form_sent_twice_decides_once(event: RebalancingEvent, checker: User) -> None:
    client = client_of(checker)
    form = {"proposal_hash": stage.HASH, "expected": "pending", "key": "k1", "note": "yes"}
    for _ in range(2):
        page = client.post(decide_url(event, "approve"), form, follow=True).content.decode()
        assert f"Approve: event {event.pk} is approved." in page
    assert Approval.objects.count() == 1
    page = client.post(decide_url(event, "approve"), {**form, "note": "no"}, follow=True).content.decode()
    assert "with another body" in page
    assert Approval.objects.count() == 1


def test_a_form_without_what_was_looked_at_decides_nothing(event: RebalancingEvent, checker: User) -> None:
    client = client_of(checker)
    with nothing_written():
        answer = client.post(decide_url(event, "reject"), {"note": "no", "expected": "open"})
        assert answer.status_code == 400
        assert answer.content.decode().count("This field is required.") == 2
        assert "Select a valid choice" in answer.content.decode()


def test_conflicts_are_told(event: RebalancingEvent, checker: User) -> None:
    client, maker = client_of(checker), client_of(make.make_superuser())
    stale = {"note": "yes", "proposal_hash": "b" * 64}
    for who, name, answers, complaint in (
        (client, "approve", stale, "another proposal than the one looked at"),
        (maker, "cancel", {"note": "no", "expected": "approved"}, "does not become cancelled"),
    ):
        answer = confirm(who, event, name, **answers)
        assert complaint in answer.content.decode()
        assert answer.redirect_chain == [(change_url(event), 302)]
    event.refresh_from_db()
    assert (event.status, Approval.objects.count()) == ("pending", 0)


def test_makers_cancel_and_do_not_approve(event: RebalancingEvent) -> None:
    assert event.requested_by is not None
    make.grant(event.requested_by, event.portfolio, PortfolioRole.MANAGER)
    client = client_of(event.requested_by)
    page = page_of(client, change_url(event))
    assert "made this proposal; a second person decides about it" in page
    assert decide_url(event, "approve") not in page
    form = {"proposal_hash": stage.HASH, "expected": "pending", "key": "k1", "note": "yes"}
    refused = client.post(decide_url(event, "approve"), form, follow=True).content.decode()
    assert "Approve: " in refused
    assert "a second person decides" in refused
    assert not Approval.objects.exists()
    done = confirm(client, event, "cancel", note="the client called").content.decode()
    assert f"Cancel event: event {event.pk} is cancelled." in done


@pytest.mark.parametrize("name", ["approve", "reject", "cancel", "execute"])
def test_who_only_looks_on_is_refused(event: RebalancingEvent, portfolio: Portfolio, name: str) -> None:
    viewer, stranger = (client_of(user) for user in (member(portfolio, PortfolioRole.VIEWER), make_reader()))
    form = {"proposal_hash": stage.HASH, "expected": "pending", "key": "k1", "note": "yes"}
    for answer in (
        viewer.get(decide_url(event, name), follow=True),
        viewer.post(decide_url(event, name), form, follow=True),
    ):
        assert "may not" in answer.content.decode()
    assert stranger.get(decide_url(event, name)).status_code == 404
    assert stranger.post(decide_url(event, name), form).status_code == 404
    assert Client().post(decide_url(event, name), form).status_code == 302
    event.refresh_from_db()
    assert (event.status, Approval.objects.count(), event.orders.count()) == ("pending", 0, 0)


def test_there_are_no_other_decisions(event: RebalancingEvent, checker: User) -> None:
    assert client_of(checker).get(decide_url(event, "forget")).status_code == 404


def test_a_forged_form_needs_the_token_of_the_session(event: RebalancingEvent, checker: User) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(checker)
    form = {"proposal_hash": stage.HASH, "expected": "pending", "key": "k1", "note": "yes"}
    assert client.post(decide_url(event, "approve"), form).status_code == 403
    assert not Approval.objects.exists()


def test_what_is_approved_is_executed(portfolio: Portfolio, checker: User) -> None:
    event = stage.approved_event(portfolio)
    client = client_of(checker)
    with nothing_written():
        asked = page_of(client, decide_url(event, "execute"))
    assert "2 orders are made, sales first, filled at the last close and booked" in asked
    assert 'name="note"' not in asked
    page = confirm(client, event, "execute").content.decode()
    assert f"Execute: event {event.pk} is completed." in page
    assert len(stage.booked()) == 2


def test_before_execution_it_is_said_that_it_would_fail(portfolio: Portfolio, checker: User) -> None:
    event = stage.approved_event(portfolio, stage.action("AAA", "sell", 61, 100))
    asked = page_of(client_of(checker), decide_url(event, "execute"))
    assert "As the books are now, the event would fail: AAA: 61 to sell, 60 held." in asked


def test_the_order_file_is_announced(checker: User, portfolio: Portfolio) -> None:
    RebalancingPolicy.objects.update(venue="order_file")
    event = stage.approved_event(portfolio)
    assert "They leave in an order file" in page_of(client_of(checker), decide_url(event, "execute"))


def test_the_evidence_pack_is_one_click_away(event: RebalancingEvent, checker: User) -> None:
    client = client_of(checker)
    found = re.search(r'href="([^"]*/evidence-pack/)"', page_of(client, change_url(event)))
    assert found is not None
    assert pack_check(client.get(found[1]).content).about["event"] == event.pk


def test_versions_and_earlier_decisions_stay_in_sight(event: RebalancingEvent, checker: User) -> None:
    Approval.objects.create(event=event, user=checker, decision="approved", proposal_hash="b" * 64, level=1)
    ProposalVersion.objects.create(
        event=event,
        version=1,
        inputs={},
        proposal={"cash_after": "1000", "unresolved": [{"category": "Energy", "amount": "500"}]},
        proposal_hash=stage.HASH,
    )
    page = page_of(client_of(checker), change_url(event))
    assert "an earlier version" in row_of(page, "Decisions", checker.username)
    assert "Approvals of version 1: 0 given of 1 needed." in page
    assert row_of(page, "Missing, because it may not be bought", "Energy") == "Energy 500.00"
    assert row_of(page, "Every line: before, after, target", "Cash").startswith("Cash 20.00% 10.00%")
    assert f"{url_of(ProposalVersion, 'changelist')}?event={event.pk}" in page

"""The command that keeps back cash, and what the console shows of reserves and minimums."""

import datetime as dt
import json
from decimal import Decimal
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from analytics.models import CashReserve, ProposalVersion, RebalancingPolicy
from analytics.services.cash_reserves import reserve_add
from analytics.services.policies import policy_update
from portfolio_site.kernel import clock
from portfolios.models import Portfolio
from tests.support import factories as make
from tests.support.admin import change_url, client_of, make_reader, queries_of, url_of
from tests.support.imports import nothing_written

pytestmark = [pytest.mark.django_db, pytest.mark.once]
DAY = make.DAY


@pytest.fixture(autouse=True)
def _today(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "today", lambda: DAY)
    monkeypatch.setattr("analytics.admin.reserves.today", lambda: DAY)


@pytest.fixture
def portfolio() -> Portfolio:
    return make.make_portfolio("HOME", owner=make.make_user("olga"))


def call(*arguments: str) -> Any:
    printed = StringIO()
    call_command("reserve_cash", *arguments, "--format", "json", stdout=printed)
    return json.loads(printed.getvalue())


NEW = ("--portfolio", "HOME", "--kind", "withdrawal", "--amount", "2500.50", "--due", "2024-04-30")


def test_cash_is_kept_back_and_let_go(portfolio: Portfolio) -> None:
    answer = call(*NEW, "--note", "for the roof", "--user", "olga")
    reserve = CashReserve.objects.get()
    assert answer == {
        "reserve": reserve.pk,
        "portfolio": "HOME",
        "kind": "withdrawal",
        "amount": "2500.5",
        "due_date": "2024-04-30",
        "note": "for the roof",
        "ended_on": None,
    }
    assert (reserve.amount, reserve.owner) == (Decimal("2500.5"), portfolio.owner)
    ended = call("--end", str(reserve.pk), "--note", "paid", "--on", "2024-03-20")
    assert ended["ended_on"] == "2024-03-20"
    reserve.refresh_from_db()
    assert (reserve.ended_on, reserve.ended_by) == (dt.date(2024, 3, 20), None)


def test_it_says_in_words_what_was_done(portfolio: Portfolio) -> None:
    printed = StringIO()
    call_command("reserve_cash", *NEW, "--note", "for the roof", stdout=printed)
    assert "kind withdrawal, amount 2500.5, due_date 2024-04-30" in printed.getvalue()
    assert "None" not in printed.getvalue()


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (NEW[2:], "--portfolio or --end is needed"),
        (NEW[:-2], "--due or --end is needed"),
        ((*NEW, "--on", "2024-04-01"), "--on goes with --end only"),
        ((*NEW, "--user", "nobody"), "there is no user nobody"),
        ((*NEW, "--user", "stranger"), "stranger may not keep back cash of HOME"),
        (("--portfolio", "NONE", *NEW[2:]), "there is no portfolio NONE"),
        ((*NEW, "--amount", "0"), "0 is not above 0"),
        ((*NEW, "--amount", "-5"), "not negative"),
        ((*NEW, "--kind", "party"), "invalid choice"),
        (("--end", "99"), "there is no reserve 99"),
        (("--end", "99", "--kind", "fee"), "--kind does not go with --end"),
    ],
)
def test_what_cannot_be_kept_back(portfolio: Portfolio, arguments: tuple[str, ...], reason: str) -> None:
    make.make_user("stranger")
    with nothing_written(), pytest.raises(CommandError, match=reason):
        call(*arguments, "--note", "as agreed")
    assert not CashReserve.objects.exists()


def test_a_reserve_ends_once(portfolio: Portfolio) -> None:
    reserve = call(*NEW, "--note", "for the roof")["reserve"]
    call("--end", str(reserve), "--note", "paid")
    with nothing_written(), pytest.raises(CommandError, match="ended on 2024-03-28"):
        call("--end", str(reserve), "--note", "paid")


# In the console


def make_reserve(portfolio: Portfolio, due: dt.date = DAY) -> CashReserve:
    return reserve_add(portfolio, kind="fee", amount=Decimal("159.5"), due_date=due, note="quarter")


def test_a_reserve_says_how_it_stands(portfolio: Portfolio) -> None:
    client = client_of(make.make_superuser())
    one_day = dt.timedelta(days=1)
    for due, ended_on, state in (
        (DAY, None, "kept back"),
        (DAY - one_day, None, "overdue"),
        (DAY - one_day, DAY, "ended"),
    ):
        reserve = make_reserve(portfolio, due)
        CashReserve.objects.filter(pk=reserve.pk).update(ended_on=ended_on)
        page = client.get(change_url(reserve)).content.decode()
        assert f">{state}</span>" in page
        assert '159.50 <span class="unit">USD</span>' in page


def test_reserves_of_a_foreign_portfolio_are_hidden_and_a_list_takes_no_more_queries(
    portfolio: Portfolio,
) -> None:
    reader = make_reader()
    own = make.make_portfolio(owner=reader)
    mine, foreign = make_reserve(own), make_reserve(portfolio)
    client = client_of(reader)
    url = url_of(mine, "changelist")
    assert [row.pk for row in client.get(url).context["cl"].result_list] == [mine.pk]
    assert client.get(change_url(foreign)).status_code == 302
    before = queries_of(client, url)
    for _ in range(4):
        make_reserve(own)
    assert queries_of(client, url) == before


def test_nobody_changes_a_reserve_by_hand(portfolio: Portfolio) -> None:
    reserve = make_reserve(portfolio)
    client = client_of(make.make_superuser())
    for url in (url_of(reserve, "add"), change_url(reserve), url_of(reserve, "delete", reserve.pk)):
        with nothing_written():
            assert client.post(url, {"amount": "1", "post": "yes"}).status_code == 403


def test_a_policy_shows_its_minimums_by_class(portfolio: Portfolio) -> None:
    policy_update(
        portfolio,
        minimum_trades={"bond": {"amount": "1234.5", "percentage": "2.5"}},
        minimum_trade_tolerance=Decimal("7.25"),
        settlement_days=3,
    )
    policy = RebalancingPolicy.objects.get()
    client = client_of(make.make_superuser())
    page = client.get(change_url(policy)).content.decode()
    assert "Bond" in page
    assert '1,234.50 <span class="unit">USD</span>' in page
    for points in ("2.50", "7.25"):
        assert points in page
    with nothing_written():
        assert client.post(change_url(policy), {"minimum_trades-0-amount": "1"}).status_code == 403


def test_the_review_page_shows_the_projected_cash(portfolio: Portfolio) -> None:
    event = make.make_event(portfolio)
    rung = {"date": "2024-04-02", "cash": "2999", "reserve": "800", "change": "999"}
    proposal: dict[str, Any] = {"projected_cash": [rung | {"what": "tax: <second> rate"}]}
    version = ProposalVersion.objects.create(
        event=event, version=event.version, inputs={}, proposal=proposal, proposal_hash=event.proposal_hash
    )
    page = client_of(make.make_superuser()).get(change_url(event)).content.decode()
    assert "Projected cash" in page
    assert "tax: &lt;second&gt; rate" in page
    assert "2,999.00" in page
    other = make.make_event(make.make_portfolio())
    ProposalVersion.objects.create(
        event=other, version=other.version, inputs={}, proposal={}, proposal_hash=version.proposal_hash
    )
    page = client_of(make.make_superuser()).get(change_url(other)).content.decode()
    assert "Projected cash" not in page

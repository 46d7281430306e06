"""Order, totals, alerts and what waits for whom, on the front page."""

import datetime as dt
from decimal import Decimal

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext

from analytics.models import Approval, ChangeRequest, Decision, EventStatus, RunStatus
from analytics.selectors.dashboard import dashboard
from analytics.selectors.run_progress import progress_of
from portfolio_site.kernel import clock
from portfolios.models import DataFinding, Portfolio, PortfolioAccess, PortfolioRole
from tests.support import factories as make

pytestmark = pytest.mark.django_db

DAY = make.DAY


@pytest.fixture(autouse=True)
def _today(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "today", lambda: DAY)


@pytest.fixture
def books() -> list[Portfolio]:
    """Worth 300, 100 and 200, the last of them in another currency; a fourth was never valued."""
    books = [make.make_portfolio(code) for code in ("A", "B", "C", "D")]
    books[2].base_currency = make.make_currency("EUR")
    books[2].save()
    for book, value, daily in zip(books, (300, 100, 200), (0.01, None, -0.02), strict=False):
        make.make_performance(book, DAY, total_value=value, daily_return=daily, data_quality="complete")
    return books


def codes(user: User, **query: str) -> list[str]:
    return [row.portfolio.code for row in dashboard(user, query).standings]


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ("", "ABCD"),
        ("-code", "DCBA"),
        ("value", "BCAD"),
        ("-value", "ACBD"),
        ("-day", "ACBD"),
        ("day", "CABD"),
        ("password", "ABCD"),
    ],
)
def test_what_is_unknown_comes_last_in_either_order(
    books: list[Portfolio], order: str, expected: str
) -> None:
    assert "".join(codes(make.make_superuser(), order=order)) == expected


def test_totals_are_not_added_up_across_currencies(books: list[Portfolio]) -> None:
    totals = {
        total.currency: (total.value, total.portfolios, total.unknown)
        for total in dashboard(make.make_superuser()).totals
    }
    assert totals == {"EUR": (Decimal(200), 1, 0), "USD": (Decimal(400), 3, 1)}


def test_the_benchmark_is_counted_from_the_same_days_as_the_portfolio() -> None:
    book = make.make_portfolio()
    levels = {dt.date(2023, 12, 29): 0.10, dt.date(2024, 2, 28): 0.21, DAY: 0.331}
    for day, level in levels.items():
        make.make_performance(book, day, total_value=1, benchmark_cumulative_return=level)
    (row,) = dashboard(make.make_superuser()).standings
    assert row.benchmark_month == pytest.approx(0.1)
    assert row.benchmark_year == pytest.approx(0.21)


def test_a_benchmark_that_did_not_stand_then_has_no_return() -> None:
    book = make.make_portfolio()
    make.make_performance(book, DAY, total_value=1, benchmark_cumulative_return=0.3)
    (row,) = dashboard(make.make_superuser()).standings
    assert (row.benchmark_month, row.benchmark_year) == (None, None)


def test_as_many_queries_for_many_portfolios_as_for_few(books: list[Portfolio]) -> None:
    user = make.make_superuser()
    with CaptureQueriesContext(connection) as few:
        dashboard(user)
    for number in range(12):
        book = make.make_portfolio()
        make.make_performance(book, DAY, total_value=number, benchmark_cumulative_return=0.1)
        make.make_allocation(book, make.make_asset(), 50, is_breached=True)
        make.make_event(book)
    with CaptureQueriesContext(connection) as many:
        assert len(dashboard(user).standings) == 16
    assert len(many) == len(few)


# --- alerts -------------------------------------------------------------------------------------------


def alerts(user: User) -> list[str]:
    return [alert.text for alert in dashboard(user).alerts]


def test_a_quiet_morning_has_no_alerts() -> None:
    make.make_performance(make.make_portfolio(), DAY, total_value=1, data_quality="complete")
    assert alerts(make.make_superuser()) == []


def test_alerts_name_what_is_wrong_worst_first(books: list[Portfolio]) -> None:
    make.make_price(make.make_asset("X"), DAY, 1)
    make.make_run(status=RunStatus.FAILED, error="no disk")
    make.make_performance(make.make_portfolio("LATE"), DAY - dt.timedelta(days=1), total_value=1)
    make.make_performance(make.make_portfolio("BLIND"), DAY, total_value=None)
    make.make_allocation(books[0], make.make_asset("Y"), 50, is_breached=True)
    found = alerts(make.make_superuser())
    assert [text.split(":")[0] for text in found] == [
        "Runs failed in the last week",
        "Value unknown or in doubt",
        f"Not valued as of {DAY} yet",
        "Never valued",
        "Outside of their bands",
    ]
    assert found[1].endswith(": BLIND")
    assert found[2].endswith(": LATE")
    assert found[3].endswith(": D")
    assert found[4].endswith(": A")


def test_nobody_is_told_of_portfolios_that_are_not_theirs(books: list[Portfolio]) -> None:
    make.make_allocation(books[0], make.make_asset("Y"), 50, is_breached=True)
    make.make_event(books[0], status=EventStatus.FAILED, completed_at=clock.now())
    DataFinding.objects.create(
        asset=make.make_asset("Z"), date=DAY, kind="blank", severity="error", detail="x", measure=0,
        first_seen_at=clock.now(), last_seen_at=clock.now(),
    )  # fmt: skip
    stranger = make.make_user()
    PortfolioAccess.objects.create(portfolio=books[1], user=stranger, role=PortfolioRole.VIEWER)
    found = dashboard(stranger)
    assert found.alerts == []
    assert [total.portfolios for total in found.totals] == [1]
    assert len(alerts(make.make_superuser())) == 4


# --- what waits -----------------------------------------------------------------------------------------


def grant(portfolio: Portfolio, role: PortfolioRole) -> User:
    user = make.make_user()
    PortfolioAccess.objects.create(portfolio=portfolio, user=user, role=role)
    return user


def test_a_proposal_waits_for_checkers_and_managers_only() -> None:
    book = make.make_portfolio()
    event = make.make_event(book)
    for role in PortfolioRole:
        waits = [each.pk for each in dashboard(grant(book, role)).waiting]
        assert waits == ([event.pk] if role in (PortfolioRole.CHECKER, PortfolioRole.MANAGER) else [])
    assert dashboard(make.make_user()).waiting == []


def test_nothing_waits_for_its_own_maker_or_for_who_has_spoken() -> None:
    book = make.make_portfolio()
    maker, checker = grant(book, PortfolioRole.MANAGER), grant(book, PortfolioRole.CHECKER)
    event = make.make_event(book, requested_by=maker)
    assert dashboard(maker).waiting == []
    assert len(dashboard(checker).waiting) == 1
    Approval.objects.create(
        event=event, user=checker, decision=Decision.APPROVED, proposal_hash=event.proposal_hash
    )
    assert dashboard(checker).waiting == []


def test_changes_wait_beside_proposals_the_oldest_first() -> None:
    book = make.make_portfolio()
    maker, checker = grant(book, PortfolioRole.MAKER), grant(book, PortfolioRole.CHECKER)
    change = ChangeRequest.objects.create(
        kind="policy", portfolio=book, payload={}, content_hash="0" * 64, requested_by=maker,
        created_at=clock.now() - dt.timedelta(hours=1),
    )  # fmt: skip
    event = make.make_event(book, status=EventStatus.PENDING)
    waiting = dashboard(checker).waiting
    assert [(each.kind, each.pk) for each in waiting] == [("change", change.pk), ("event", event.pk)]
    assert dashboard(maker).waiting == []


# --- how far a run is -----------------------------------------------------------------------------------


def test_a_run_says_how_fast_it_goes_and_when_it_will_be_done(monkeypatch: pytest.MonkeyPatch) -> None:
    now = clock.now()
    run = make.make_run(status=RunStatus.RUNNING, done=30, total=120)
    run.started_at = now - dt.timedelta(seconds=60)
    monkeypatch.setattr(clock, "now", lambda: now)
    progress = progress_of(run)
    assert (progress.rate, progress.left, progress.is_finished) == (0.5, 180.0, False)


def test_a_run_that_has_not_begun_promises_nothing() -> None:
    progress = progress_of(make.make_run(status=RunStatus.QUEUED, total=10))
    assert (progress.rate, progress.left) == (None, None)

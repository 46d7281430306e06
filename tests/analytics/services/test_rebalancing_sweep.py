"""Sweeps over many portfolios: what is stored, what joins, what is left out, and in how many queries."""

import datetime as dt
import json
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext

from analytics.calculations import rebalancing_many
from analytics.calculations.rebalancing import Line, Proposal, Rules, Trade
from analytics.calculations.rebalancing_check import check_trades
from analytics.management.commands import propose_rebalancing
from analytics.models import (
    EventStatus,
    EventType,
    ProposalGear,
    ProposalVersion,
    RebalancingEvent,
    RebalancingPolicy,
)
from analytics.selectors.portfolio_panels import (
    PortfolioPanel,
    PortfolioStanding,
    portfolio_panels,
    portfolio_standings,
)
from analytics.services import rebalancing_events, rebalancing_sweep
from analytics.services import rebalancing_recommendation as recommendation
from analytics.services.allocation_analysis import allocations_analyse
from analytics.services.proposal_documents import proposal_from_inputs
from analytics.services.rebalancing_sweep import proposals_sweep
from analytics.services.tax_review import TaxReview
from analytics.services.triggers import Trigger
from analytics.tasks import sweep_proposals
from portfolio_site.kernel import clock
from portfolios.models import Asset, AuditEvent, Portfolio, TransactionKind
from tests.support import factories as make

pytestmark = pytest.mark.django_db
DAY = dt.date(2024, 3, 28)
BEFORE = dt.date(2024, 3, 27)


@pytest.fixture(autouse=True)
def _today(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "today", lambda: DAY)


@pytest.fixture
def assets() -> list[Asset]:
    assets = [make.make_asset(symbol) for symbol in ("ALPHA", "BETA", "GAMMA")]
    for asset, price in zip(assets, ("10", "25.5", "41.25"), strict=True):
        for day in (BEFORE, DAY):
            make.make_price(asset, day, Decimal(price))
    return assets


def make_book(assets: Sequence[Asset], number: int = 0, targets: Sequence[int] = (50, 30, 20)) -> Portfolio:
    """Cash and too much of the first asset."""
    portfolio = make.make_portfolio()
    make.make_transaction(portfolio, amount=Decimal(10_000 + 100 * number), trade_date=BEFORE)
    make.make_transaction(
        portfolio,
        kind=TransactionKind.BUY,
        asset=assets[0],
        quantity=700,
        price=10,
        amount=None,
        trade_date=BEFORE,
    )
    for asset, target in zip(assets, targets, strict=True):
        make.make_allocation(portfolio, asset, target)
    RebalancingPolicy.objects.create(portfolio=portfolio, mode="full", fee_per_trade=1)
    return portfolio


def test_every_portfolio_gets_a_pending_event_with_version_and_audit_row(assets: list[Asset]) -> None:
    books = [make_book(assets, number) for number in range(3)]
    outcome = proposals_sweep([book.pk for book in books])
    assert outcome.problems == {}
    assert outcome.left_alone == []
    events = RebalancingEvent.objects.order_by("portfolio")
    assert {event.portfolio_id: event.pk for event in events} == outcome.stored
    assert {event.portfolio_id for event in events} == {book.pk for book in books}
    for event in events:
        assert event.status == EventStatus.PENDING
        assert event.event_type == EventType.MANUAL
        assert event.valuation_date == DAY
        assert event.gear == ProposalGear.FAST
        version = ProposalVersion.objects.get(event=event)
        assert version.version == 1
        assert version.proposal_hash == event.proposal_hash
        row = AuditEvent.objects.get(object_type="rebalancing_event", object_id=str(event.pk))
        assert row.after is not None
        assert row.after["proposal_hash"] == event.proposal_hash


def test_as_many_queries_for_many_portfolios_as_for_few(assets: list[Asset]) -> None:
    few = [make_book(assets, number).pk for number in range(2)]
    many = [make_book(assets, number).pk for number in range(9)]
    with CaptureQueriesContext(connection) as for_few:
        assert len(proposals_sweep(few).stored) == len(few)
    with CaptureQueriesContext(connection) as for_many:
        assert len(proposals_sweep(many).stored) == len(many)
    assert len(for_many) == len(for_few)


def test_a_second_sweep_joins_the_open_events_and_proposes_nothing_new(assets: list[Asset]) -> None:
    book = make_book(assets)
    first = proposals_sweep([book.pk])
    again = proposals_sweep([book.pk], trigger=Trigger(EventType.TARGETS, {"asset": "ALPHA"}))
    assert again.stored == first.stored
    event = RebalancingEvent.objects.get()
    assert [entry["event_type"] for entry in event.joined_triggers] == [EventType.TARGETS]


def test_a_portfolio_on_its_targets_is_left_alone(assets: list[Asset]) -> None:
    book = make_book(assets, targets=(70, 0, 0))
    outcome = proposals_sweep([book.pk])
    assert outcome.left_alone == [book.code]
    assert outcome.stored == {}
    assert not RebalancingEvent.objects.exists()


def test_portfolios_that_cannot_be_proposed_to_are_named_and_keep_back_no_other(assets: list[Asset]) -> None:
    book, empty = make_book(assets), make.make_portfolio()
    aimless = make_book(assets)
    aimless.allocations.all().delete()
    outcome = proposals_sweep([book.pk, empty.pk, aimless.pk])
    assert list(outcome.stored) == [book.pk]
    assert outcome.problems == {
        empty.code: [f"no settled transaction up to {DAY}"],
        aimless.code: ["the portfolio has no targets"],
    }


def test_a_search_that_breaks_a_rule_is_found_out_and_keeps_back_no_other(
    assets: list[Asset], monkeypatch: pytest.MonkeyPatch
) -> None:
    good, bad = make_book(assets), make_book(assets)

    def spoiled(cases: Sequence[tuple[Sequence[Line], Rules]]) -> list[Proposal]:
        proposals = rebalancing_many.propose_many(cases)
        sale, *buys = proposals[-1].trades
        return [*proposals[:-1], replace(proposals[-1], trades=(replace(sale, quantity=Decimal(701)), *buys))]

    monkeypatch.setattr(rebalancing_sweep, "propose_many", spoiled)
    monkeypatch.setattr(recommendation, "tax_reviews", lambda cases, day, books: [TaxReview() for _ in cases])
    outcome = proposals_sweep([good.pk, bad.pk])
    assert list(outcome.stored) == [good.pk]
    assert "sells 701 but holds 700" in outcome.problems[bad.code][0]
    assert [event.portfolio_id for event in RebalancingEvent.objects.all()] == [good.pk]
    assert ProposalVersion.objects.count() == 1


def test_what_fails_the_last_check_is_not_stored_and_keeps_back_no_other(
    assets: list[Asset], monkeypatch: pytest.MonkeyPatch
) -> None:
    good, bad = make_book(assets), make_book(assets, number=1)

    def check(lines: Sequence[Line], rules: Rules, trades: Sequence[Trade]) -> list[str]:
        return ["cash is short"] if rules.cash == 3100 else check_trades(lines, rules, trades)

    monkeypatch.setattr(rebalancing_events, "check_trades", check)
    outcome = proposals_sweep([good.pk, bad.pk])
    assert list(outcome.stored) == [good.pk]
    assert outcome.problems == {bad.code: [f"{bad.code}: cash is short"]}
    assert [event.portfolio_id for event in RebalancingEvent.objects.all()] == [good.pk]
    assert (
        ProposalVersion.objects.count()
        == AuditEvent.objects.filter(action="rebalancing.proposed").count()
        == 1
    )


def test_a_sweep_needs_prices() -> None:
    with pytest.raises(ValueError, match="there are no prices yet"):
        proposals_sweep([make.make_portfolio().pk])


def test_more_portfolios_than_are_swept_together_are_all_proposed_to(
    assets: list[Asset], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rebalancing_sweep, "PORTFOLIOS_TOGETHER", 2)
    books = [make_book(assets, number) for number in range(5)]
    assert sorted(proposals_sweep([book.pk for book in books]).stored) == sorted(book.pk for book in books)


def test_a_standing_is_what_a_panel_ends_with(assets: list[Asset]) -> None:
    books = [make_book(assets, number) for number in range(2)]
    later = DAY + dt.timedelta(days=2)  # without prices of its own
    panels = [panel for panel in portfolio_panels(books, later) if isinstance(panel, PortfolioPanel)]
    standings = [found for found in portfolio_standings(books, later) if isinstance(found, PortfolioStanding)]
    assert [standing.last_day for standing in standings] == [panel.last_day for panel in panels] == [DAY] * 2
    for short, long in zip(allocations_analyse(standings), allocations_analyse(panels), strict=True):
        lines = tuple(replace(line, highest_drift=None) for line in long.lines)
        assert replace(long, lines=lines) == short


def test_bound_and_gap_of_a_search_are_kept_with_its_proposal(assets: list[Asset]) -> None:
    RebalancingPolicy.objects.filter(portfolio=make_book(assets, targets=(33, 33, 33)).pk).update(
        cash_reserve_percentage=Decimal("2.9")
    )
    proposals_sweep(Portfolio.objects.values_list("pk", flat=True))
    event, version = RebalancingEvent.objects.get(), ProposalVersion.objects.get()
    assert event.optimality_gap is not None
    assert event.distance_bound is not None
    assert event.distance_bound + event.optimality_gap == pytest.approx(event.tracking_distance, abs=1e-12)
    assert event.tracking_distance is not None
    assert proposal_from_inputs(version.inputs) == version.proposal


def test_a_worker_sweeps_the_chunk_it_is_given(assets: list[Asset]) -> None:
    books = [make_book(assets, number) for number in range(3)]
    chunk = [books[0].pk, books[2].pk]
    counts = {"stored": 2, "left_alone": 0, "problems": 0}
    assert sweep_proposals(chunk, DAY.isoformat()) == counts
    assert sweep_proposals(chunk, DAY.isoformat()) == counts
    assert sorted(RebalancingEvent.objects.values_list("portfolio", flat=True)) == chunk


def test_the_command_sweeps_many_portfolios_in_the_fast_gear(
    assets: list[Asset], monkeypatch: pytest.MonkeyPatch
) -> None:
    codes = [make_book(assets, number).code for number in range(2)] + [make.make_portfolio().code]
    swept: list[list[int]] = []

    def sweep(ids: list[int], *args: Any, **options: Any) -> rebalancing_sweep.SweepOutcome:
        swept.append(ids)
        return proposals_sweep(ids, *args, **options)

    monkeypatch.setattr(propose_rebalancing, "proposals_sweep", sweep)
    out = StringIO()
    options = [f"--portfolio={code}" for code in codes]
    call_command("propose_rebalancing", "--gear=fast", "--format=json", *options, stdout=out)
    answer = json.loads(out.getvalue())
    assert len(swept) == 1
    assert [found["portfolio"] for found in answer] == codes
    assert [found["status"] for found in answer][2] == "blocked"
    assert sorted(RebalancingEvent.objects.values_list("portfolio__code", flat=True)) == sorted(codes[:2])
    assert {event.trigger["command"] for event in RebalancingEvent.objects.all()} == {"propose_rebalancing"}

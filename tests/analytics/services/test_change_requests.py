"""Changes that need a second person: kept aside, decided by another, made as a direct change is made."""

import datetime as dt
from decimal import Decimal
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.core.exceptions import PermissionDenied, ValidationError
from django.core.management import CommandError, call_command
from django.db import IntegrityError, transaction

from analytics.models import (
    ChangeKind,
    ChangeRequest,
    ChangeStatus,
    PortfolioAllocation,
    PortfolioBenchmark,
    RebalancingPolicy,
    TradingRestriction,
)
from analytics.selectors.change_requests import visible_change_requests
from analytics.services.blends import blend_save
from analytics.services.change_requests import (
    ChangeConflict,
    change_approve,
    change_cancel,
    change_reject,
    changes_apply_due,
)
from analytics.services.import_allocations import allocations_import
from analytics.services.import_benchmarks import benchmarks_import
from analytics.services.import_blends import blends_import
from analytics.services.policies import policy_change, policy_update
from analytics.services.price_changes import price_change
from analytics.services.rebalancing_recommendation import rebalancing_recommend
from analytics.services.restriction_changes import (
    restriction_add_or_ask,
    restriction_change_or_ask,
    restriction_lift_or_ask,
)
from analytics.services.restrictions import restriction_add, restriction_change, restriction_lift
from analytics.services.runs import BEGINNING
from analytics.services.second_person import content_hash
from portfolio_site.kernel import clock
from portfolios.models import Asset, AuditEvent, Portfolio, PortfolioRole, PriceBar, StaleMark
from portfolios.services.audit import audit_verify
from tests.support import factories as make
from tests.support.house import LAST_DAY, computed_tables, make_house, run
from tests.support.imports import counts, nothing_written, refusals, write_file
from tests.support.threads import together

pytestmark = pytest.mark.django_db

TARGETS = (
    "portfolio,symbol,target_percentage,min_percentage,max_percentage,rebalance_threshold,rebalance_frequency"
)
BENCHMARKS = "portfolio,symbol,is_primary,start_date"


@pytest.fixture
def ann() -> User:
    return make.make_user("ann")


@pytest.fixture
def bob() -> User:
    return make.make_user("bob")


@pytest.fixture
def portfolio(ann: User, bob: User) -> Portfolio:
    """Ann may change it, Bob may check; both are needed."""
    return guarded(make.make_portfolio("P1"), ann, bob)


def guarded(portfolio: Portfolio, maker: User, checker: User) -> Portfolio:
    make.grant(maker, portfolio, PortfolioRole.MANAGER)
    make.grant(checker, portfolio, PortfolioRole.CHECKER)
    policy_update(portfolio, two_person_changes=True, cost_rate=Decimal("0.001"))
    return portfolio


def asked(portfolio: Portfolio, actor: User, **changes: Any) -> ChangeRequest:
    found = policy_change(portfolio, actor=actor, **changes)
    assert isinstance(found, ChangeRequest)
    return found


def policy_of(portfolio: Portfolio) -> RebalancingPolicy:
    return RebalancingPolicy.objects.get(portfolio=portfolio)


def audit_of(action: str) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """Actor, before and after of the one audit row of that action."""
    event = AuditEvent.objects.get(action=action)
    return event.actor, event.before or {}, event.after or {}


def at(monkeypatch: pytest.MonkeyPatch, day: dt.date) -> None:
    moment = dt.datetime.combine(day, dt.time(12), dt.UTC)
    monkeypatch.setattr(clock, "now", lambda: moment)
    monkeypatch.setattr(clock, "today", lambda: day)


# --- asking -------------------------------------------------------------------------------------------


def test_a_change_of_the_policy_waits(portfolio: Portfolio, ann: User) -> None:
    request = asked(portfolio, ann, cost_rate=Decimal("0.0020"), mode="full", reason="new broker")
    assert (request.kind, request.status) == (ChangeKind.POLICY, ChangeStatus.PENDING)
    assert request.payload == {"cost_rate": "0.002", "mode": "full"}
    assert request.before == {"cost_rate": "0.001", "mode": "bands"}
    assert (policy_of(portfolio).cost_rate, policy_of(portfolio).version) == (Decimal("0.001"), 1)
    event = AuditEvent.objects.order_by("-sequence")[0]
    assert (event.action, event.actor, event.reason) == ("change.requested", "ann", "new broker")


def test_the_same_change_waits_once(portfolio: Portfolio, ann: User) -> None:
    request = asked(portfolio, ann, mode="full")
    with nothing_written():
        assert asked(portfolio, ann, mode="full") == request


def test_what_stands_there_already_is_no_change(portfolio: Portfolio, ann: User) -> None:
    with nothing_written():
        found = policy_change(portfolio, actor=ann, cost_rate=Decimal("0.001"))
    assert isinstance(found, RebalancingPolicy)


def test_the_direct_write_is_refused_and_so_is_leaving_the_rule(portfolio: Portfolio, ann: User) -> None:
    with nothing_written():
        for changes in ({"mode": "full"}, {"two_person_changes": False}):
            with pytest.raises(ValidationError, match="two-person rule"):
                policy_update(portfolio, actor=ann, **changes)
    request = asked(portfolio, ann, two_person_changes=False)
    with nothing_written(), pytest.raises(ValidationError, match="two-person rule"):
        policy_update(portfolio, two_person_changes=False, approved=request)  # it is not approved yet


def test_an_approval_serves_once_and_for_its_own_portfolio(
    portfolio: Portfolio, ann: User, bob: User
) -> None:
    other = guarded(make.make_portfolio("P2"), ann, bob)
    request = asked(portfolio, ann, mode="full", effective_from=dt.date(2999, 1, 1))
    change_approve(request.pk, actor=bob)
    with nothing_written(), pytest.raises(ValidationError, match="two-person rule"):
        policy_update(other, mode="full", approved=request)
    ChangeRequest.objects.filter(pk=request.pk).update(applied_at=clock.now())
    with nothing_written(), pytest.raises(ValidationError, match="two-person rule"):
        policy_update(portfolio, mode="full", approved=request)


def test_without_the_rule_a_change_is_made_at_once(ann: User) -> None:
    portfolio = make.make_portfolio(owner=ann)
    policy = policy_change(portfolio, actor=ann, mode="full", reason="as agreed")
    assert isinstance(policy, RebalancingPolicy)
    assert (policy.mode, AuditEvent.objects.get().reason) == ("full", "as agreed")
    with nothing_written(), pytest.raises(ValidationError, match="effective_from"):
        policy_change(portfolio, actor=ann, mode="bands", effective_from=dt.date(2999, 1, 1))


def test_bad_values_are_refused_when_they_are_asked_for(portfolio: Portfolio, ann: User) -> None:
    with nothing_written():
        with pytest.raises(ValidationError, match="cost_rate"):
            policy_change(portfolio, actor=ann, cost_rate=Decimal(2))
        with pytest.raises(TypeError, match="cash_target_percentage"):
            policy_change(portfolio, actor=ann, cash_target_percentage=Decimal(5))
        with pytest.raises(ValidationError, match="reason"):
            policy_change(portfolio, actor=ann, mode="full", reason="x" * 501)


def test_only_who_may_change_the_portfolio_asks(portfolio: Portfolio, bob: User) -> None:
    with nothing_written():
        with pytest.raises(PermissionDenied, match="bob may not change P1"):
            policy_change(portfolio, actor=bob, mode="full")
        with pytest.raises(ValidationError, match="who asks"):
            policy_change(portfolio, mode="full")


# --- deciding -----------------------------------------------------------------------------------------


def test_approved_change_is_made_with_its_audit_rows(portfolio: Portfolio, ann: User, bob: User) -> None:
    make.make_performance(portfolio)
    request = asked(portfolio, ann, cost_rate=Decimal("0.002"), turnover_cap=Decimal("0.25"), reason="broker")
    first = AuditEvent.objects.count()
    approved = change_approve(request.pk, actor=bob, note="seen")
    policy = policy_of(portfolio)
    assert (policy.cost_rate, policy.turnover_cap, policy.version) == (Decimal("0.002"), Decimal("0.25"), 2)
    assert (approved.status, approved.decided_by, approved.note) == ("approved", bob, "seen")
    assert approved.applied_at is not None
    rows = AuditEvent.objects.order_by("sequence")[first:]
    assert [(row.action, row.actor) for row in rows] == [
        ("change.approved", "bob"),
        ("policy.changed", "ann"),
        ("change.applied", "bob"),
    ]
    assert rows[1].reason == f"change request {request.pk}, approved by bob: broker"
    assert rows[1].after == {"cost_rate": "0.002", "turnover_cap": "0.25"}
    assert StaleMark.objects.filter(portfolio=portfolio).exists()
    assert audit_verify().is_intact


def test_the_rule_itself_is_left_by_two_persons(portfolio: Portfolio, ann: User, bob: User) -> None:
    change_approve(asked(portfolio, ann, two_person_changes=False).pk, actor=bob)
    assert not policy_of(portfolio).two_person_changes
    assert policy_update(portfolio, mode="full").mode == "full"


def test_who_asked_does_not_decide(portfolio: Portfolio, ann: User) -> None:
    boss = make.make_superuser()
    for maker in (ann, boss):
        request = asked(portfolio, maker, expiry_hours=maker.pk)
        with nothing_written():
            for decide in (change_approve, change_reject):
                with pytest.raises(PermissionDenied, match="another person"):
                    decide(request.pk, actor=maker, note="mine")


def test_who_may_not_check_does_not_decide(portfolio: Portfolio, ann: User) -> None:
    maker, stranger, gone = make.make_user(), make.make_user(), make.make_superuser()
    make.grant(maker, portfolio, PortfolioRole.MAKER)
    gone.is_active = False
    request = asked(portfolio, ann, mode="full")
    with nothing_written():
        for actor in (maker, stranger, gone):
            with pytest.raises(PermissionDenied, match="may not decide"):
                change_approve(request.pk, actor=actor)


def test_the_database_refuses_a_checker_who_is_the_maker(portfolio: Portfolio, ann: User) -> None:
    request = asked(portfolio, ann, mode="full")
    rows = ChangeRequest.objects.filter(pk=request.pk)
    for status in ("approved", "rejected"):
        with pytest.raises(IntegrityError), transaction.atomic():
            rows.update(status=status, decided_by=ann)


def test_rejected_change_keeps_why_and_changes_nothing(portfolio: Portfolio, ann: User, bob: User) -> None:
    request = asked(portfolio, ann, mode="full")
    with nothing_written(), pytest.raises(ValidationError, match="why"):
        change_reject(request.pk, actor=bob, note=" ")
    rejected = change_reject(request.pk, actor=bob, note="too early")
    assert (rejected.status, rejected.decided_by, rejected.note) == ("rejected", bob, "too early")
    assert (policy_of(portfolio).mode, policy_of(portfolio).version) == ("bands", 1)
    with nothing_written(), pytest.raises(ChangeConflict, match="rejected by bob already"):
        change_approve(request.pk, actor=bob)
    assert asked(portfolio, ann, mode="full").pk != request.pk  # it may be asked for again


def test_only_who_asked_cancels(portfolio: Portfolio, ann: User, bob: User) -> None:
    request = asked(portfolio, ann, mode="full")
    with nothing_written(), pytest.raises(PermissionDenied, match="Only ann"):
        change_cancel(request.pk, actor=bob)
    assert change_cancel(request.pk, actor=ann).status == ChangeStatus.CANCELLED
    with nothing_written():
        with pytest.raises(ChangeConflict, match="cancelled"):
            change_approve(request.pk, actor=bob)
        with pytest.raises(ChangeConflict, match="cancelled"):
            change_cancel(request.pk, actor=ann)


def test_overtaken_change_is_closed_and_not_made(portfolio: Portfolio, ann: User, bob: User) -> None:
    one = asked(portfolio, ann, cost_rate=Decimal("0.002"))
    two = asked(portfolio, ann, cost_rate=Decimal("0.003"), mode="full")
    apart = asked(portfolio, ann, cash_reserve=Decimal(500))
    change_approve(one.pk, actor=bob)
    with pytest.raises(ChangeConflict, match="overtaken"):
        change_approve(two.pk, actor=bob)
    two.refresh_from_db()
    assert (two.status, two.applied_at) == (ChangeStatus.STALE, None)
    assert (policy_of(portfolio).cost_rate, policy_of(portfolio).mode) == (Decimal("0.002"), "bands")
    change_approve(apart.pk, actor=bob)  # of other fields
    assert policy_of(portfolio).cash_reserve == 500


def test_altered_request_is_not_approved(portfolio: Portfolio, ann: User, bob: User) -> None:
    request = asked(portfolio, ann, cost_rate=Decimal("0.002"))
    ChangeRequest.objects.filter(pk=request.pk).update(payload={"cost_rate": "0.5"})
    with nothing_written(), pytest.raises(ChangeConflict, match="hash"):
        change_approve(request.pk, actor=bob)


def test_nothing_stays_of_an_approval_whose_change_fails(
    portfolio: Portfolio, ann: User, bob: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = asked(portfolio, ann, mode="full")

    def fail(portfolio: Portfolio) -> None:
        raise RuntimeError("the disk is full")

    monkeypatch.setattr("analytics.services.policies.mark_targets_changed", fail)
    with nothing_written(), pytest.raises(RuntimeError):
        change_approve(request.pk, actor=bob)


# --- on a later day -----------------------------------------------------------------------------------


def test_approved_change_begins_on_its_day(
    portfolio: Portfolio, ann: User, bob: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    at(monkeypatch, dt.date(2024, 3, 28))
    request = asked(portfolio, ann, mode="full", effective_from=dt.date(2024, 4, 1))
    assert change_approve(request.pk, actor=bob).applied_at is None
    with nothing_written():
        assert not changes_apply_due()
    at(monkeypatch, dt.date(2024, 4, 1))
    assert changes_apply_due() == {ChangeStatus.APPROVED: 1}
    request.refresh_from_db()
    assert (policy_of(portfolio).mode, request.decided_by, request.applied_at) == ("full", bob, clock.now())
    assert [row.actor for row in AuditEvent.objects.order_by("-sequence")[:2]] == ["system", "ann"]
    with nothing_written():
        assert not changes_apply_due()


def test_change_overtaken_before_its_day_is_closed_then(
    portfolio: Portfolio, ann: User, bob: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    at(monkeypatch, dt.date(2024, 3, 28))
    later = asked(portfolio, ann, mode="full", effective_from=dt.date(2024, 4, 1))
    kept = asked(portfolio, ann, cash_reserve=Decimal(5), effective_from=dt.date(2024, 4, 1))
    withdrawn = asked(portfolio, ann, minimum_trade=Decimal(5), effective_from=dt.date(2024, 4, 1))
    for request in (later, kept, withdrawn):
        change_approve(request.pk, actor=bob)
    change_cancel(withdrawn.pk, actor=ann)
    change_approve(asked(portfolio, ann, mode="hold").pk, actor=bob)
    at(monkeypatch, dt.date(2024, 4, 2))
    assert changes_apply_due() == {ChangeStatus.STALE: 1, ChangeStatus.APPROVED: 1}
    later.refresh_from_db()
    assert (later.status, later.decided_by) == (ChangeStatus.STALE, bob)
    policy = policy_of(portfolio)
    assert (policy.mode, policy.cash_reserve, policy.minimum_trade) == ("hold", 5, 0)


def test_change_that_can_no_longer_be_made_is_closed_with_the_reason(
    tmp_path: Path, portfolio: Portfolio, ann: User, bob: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    at(monkeypatch, dt.date(2024, 3, 28))
    asset = make.make_asset("AAA")
    allocations_import(write_file(tmp_path, TARGETS, "P1,AAA,100,,,,"), actor=ann)
    request = ChangeRequest.objects.get()
    # As an import does not ask for a later day: the hash is made again for the one given here.
    request.effective_from = dt.date(2024, 4, 1)
    request.content_hash = content_hash(request)
    request.save()
    change_approve(request.pk, actor=bob)
    asset.delete()
    at(monkeypatch, dt.date(2024, 4, 1))
    assert changes_apply_due() == {ChangeStatus.STALE: 1}
    request.refresh_from_db()
    assert "there is no asset" in request.note
    assert not PortfolioAllocation.objects.exists()


# --- targets ------------------------------------------------------------------------------------------


def target_file(folder: Path, *lines: str) -> Path:
    return write_file(folder, TARGETS + ",rebalance_threshold_relative,band_rule", *lines)


def test_targets_of_a_file_wait_and_other_portfolios_change(
    tmp_path: Path, portfolio: Portfolio, ann: User, bob: User
) -> None:
    for symbol in ("AAA", "BBB"):
        make.make_asset(symbol)
    free = make.make_portfolio("P2", owner=ann)
    path = target_file(
        tmp_path,
        "P1,AAA,60.5,50,70,5,monthly,25,both",
        "P1,BBB,35,,,,,,",
        "P1,CASH,4.5,,,,,,",
        "P2,AAA,100,,,,,,",
    )
    report = allocations_import(path, actor=ann)
    assert counts(report) == (4, 1, 0, 0, 0)
    assert report.notes == ["P1: the targets wait for a second person"]
    assert list(PortfolioAllocation.objects.values_list("portfolio", flat=True)) == [free.pk]
    assert (policy_of(portfolio).cash_target_percentage, policy_of(portfolio).version) == (0, 1)
    request = ChangeRequest.objects.get()
    with nothing_written():
        assert allocations_import(path, actor=ann).notes == [
            "P1: these targets wait for a second person already"
        ]
    change_approve(request.pk, actor=bob)
    line = PortfolioAllocation.objects.get(portfolio=portfolio, asset__symbol="AAA")
    assert (line.target_percentage, line.min_percentage, line.max_percentage) == (Decimal("60.5"), 50, 70)
    assert (line.rebalance_threshold, line.rebalance_threshold_relative, line.band_rule) == (5, 25, "both")
    assert (line.rebalance_frequency, line.is_active, line.version) == ("monthly", True, 1)
    assert (policy_of(portfolio).cash_target_percentage, policy_of(portfolio).version) == (Decimal("4.5"), 2)
    with nothing_written():
        report = allocations_import(path, actor=ann)
    assert (counts(report), report.notes) == ((4, 0, 0, 4, 0), [])


def test_approved_targets_end_those_that_they_do_not_name(
    tmp_path: Path, portfolio: Portfolio, ann: User, bob: User
) -> None:
    old, new = make.make_asset("OLD"), make.make_asset("NEW")
    make.make_allocation(portfolio, old, 90, drift_percentage=1.5)
    RebalancingPolicy.objects.update(cash_target_percentage=10)
    allocations_import(write_file(tmp_path, TARGETS, "P1,NEW,100,,,,"), actor=ann)
    request = ChangeRequest.objects.get()
    standing = request.before or {}
    assert standing["cash"] == "10"
    assert [line["symbol"] for line in standing["targets"]] == ["OLD"]
    change_approve(request.pk, actor=bob)
    lines = PortfolioAllocation.objects.values_list("asset", "is_active", "drift_percentage")
    assert set(lines) == {(old.pk, False, None), (new.pk, True, None)}
    assert policy_of(portfolio).cash_target_percentage == 0
    _, before, after = audit_of("allocation.changed")
    assert before == {"OLD": {"is_active": True}, "CASH": "10"}
    assert after["targets"]["OLD"] == {"is_active": False}
    assert after["targets"]["NEW"]["target_percentage"] == "100"
    assert after["targets"]["CASH"] == "0"


def test_targets_overtaken_by_others_are_not_made(
    tmp_path: Path, portfolio: Portfolio, ann: User, bob: User
) -> None:
    for symbol in ("AAA", "BBB"):
        make.make_asset(symbol)
    for lines in (["P1,AAA,100,,,,"], ["P1,AAA,50,,,,", "P1,BBB,50,,,,"]):
        allocations_import(write_file(tmp_path, TARGETS, *lines), actor=ann)
    first, second = ChangeRequest.objects.order_by("pk")
    change_approve(second.pk, actor=bob)
    with pytest.raises(ChangeConflict, match="overtaken"):
        change_approve(first.pk, actor=bob)
    assert sorted(PortfolioAllocation.objects.values_list("target_percentage", flat=True)) == [50, 50]


def test_targets_under_the_rule_need_someone_who_asks(tmp_path: Path, portfolio: Portfolio) -> None:
    make.make_asset("AAA")
    path = write_file(tmp_path, TARGETS, "P1,AAA,100,,,,")
    with nothing_written():
        report = allocations_import(path)
    [(line, column, value, reason)] = refusals(report)
    assert (line, column, value) == (2, "portfolio", "P1")
    assert "who asks" in reason


def test_a_preview_asks_for_nothing(tmp_path: Path, portfolio: Portfolio, ann: User) -> None:
    make.make_asset("AAA")
    with nothing_written():
        report = allocations_import(write_file(tmp_path, TARGETS, "P1,AAA,100,,,,"), actor=ann, preview=True)
    assert report.notes == ["P1: the targets wait for a second person"]


def test_the_command_says_that_the_targets_wait(
    tmp_path: Path, portfolio: Portfolio, ann: User, bob: User
) -> None:
    make.make_asset("AAA")
    make.make_user("eve")
    path, out = write_file(tmp_path, TARGETS, "P1,AAA,100,,,,"), StringIO()
    call_command("import_allocations", str(path), user="ann", stdout=out)
    assert "P1: the targets wait for a second person" in out.getvalue()
    request = ChangeRequest.objects.get()
    out = StringIO()
    call_command("decide_change", user="bob", stdout=out)
    assert out.getvalue() == f"{request.pk}  P1  Targets and bands  by ann: pending\n"
    with nothing_written():
        for user, decision, note, reason in [
            ("ann", "approve", "", "another person"),
            ("bob", "reject", "", "must say why"),
            ("eve", "approve", "", "there is no change request"),
        ]:
            with pytest.raises(CommandError, match=reason):
                call_command("decide_change", str(request.pk), decision, user=user, note=note)
        with pytest.raises(CommandError, match="--user"):
            call_command("decide_change", str(request.pk), "approve")
    out = StringIO()
    call_command("decide_change", str(request.pk), "approve", user="bob", stdout=out)
    assert out.getvalue() == f"{request.pk}  P1  Targets and bands  by ann: made\n"
    assert PortfolioAllocation.objects.get().target_percentage == 100


# --- benchmarks ---------------------------------------------------------------------------------------


def test_benchmarks_wait_and_are_made(tmp_path: Path, portfolio: Portfolio, ann: User, bob: User) -> None:
    old, new = make.make_asset("OLD"), make.make_asset("NEW")
    make.make_transaction(portfolio)
    make.make_benchmark(portfolio, old, is_primary=True)
    path = write_file(tmp_path, BENCHMARKS, "P1,NEW,1,2024-01-02")
    report = benchmarks_import(path, actor=ann)
    assert (counts(report), report.notes) == (
        (1, 0, 0, 0, 0),
        ["P1: the benchmarks wait for a second person"],
    )
    assert list(PortfolioBenchmark.objects.values_list("asset", "is_primary")) == [(old.pk, True)]
    with nothing_written():
        benchmarks_import(path, actor=ann)
        assert benchmarks_import(path).rejected_count == 1  # nobody asks
    change_approve(ChangeRequest.objects.get().pk, actor=bob)
    standing = PortfolioBenchmark.objects.values_list("asset", "is_primary", "start_date")
    assert set(standing) == {(old.pk, False, None), (new.pk, True, dt.date(2024, 1, 2))}
    assert StaleMark.objects.get().from_date == make.DAY


def test_overtaken_benchmarks_are_not_made(
    tmp_path: Path, portfolio: Portfolio, ann: User, bob: User
) -> None:
    make.make_asset("NEW")
    benchmarks_import(write_file(tmp_path, BENCHMARKS, "P1,NEW,1,"), actor=ann)
    other = make.make_benchmark(portfolio, make.make_asset(), is_primary=True)
    with pytest.raises(ChangeConflict, match="overtaken"):
        change_approve(ChangeRequest.objects.get().pk, actor=bob)
    assert list(PortfolioBenchmark.objects.all()) == [other]


def test_a_blend_waits_when_a_portfolio_under_the_rule_is_measured_against_it(
    tmp_path: Path, portfolio: Portfolio, bob: User
) -> None:
    one, two = make.make_asset("ONE"), make.make_asset("TWO")
    blend = make.make_blend({one: 60, two: 40})
    symbol = blend.asset.symbol
    header = "blend,symbol,weight_percentage,rebalance_frequency"
    path = write_file(tmp_path, header, f"{symbol},ONE,100,monthly")
    make.make_benchmark(portfolio, blend.asset, is_primary=True)
    boss, other = make.make_superuser(), make.make_superuser()
    with nothing_written():
        assert "who asks" in blends_import(path).rejected[0].reason
    report = blends_import(path, actor=boss)
    assert (counts(report), report.notes) == (
        (1, 0, 0, 0, 0),
        [f"{symbol}: the blend waits for a second person"],
    )
    assert blend.components.count() == 2
    with nothing_written():
        blends_import(path, actor=boss)
        with pytest.raises(ValidationError, match="two-person rule"):
            blend_save(
                symbol=symbol,
                name="Mine",
                currency="USD",
                components={one: Decimal(100)},
                rebalance_frequency="monthly",
            )
    request = ChangeRequest.objects.get()
    with nothing_written(), pytest.raises(PermissionDenied, match="may not decide"):
        change_approve(request.pk, actor=bob)
    change_approve(request.pk, actor=other)
    assert list(blend.components.values_list("asset", "weight_percentage")) == [(one.pk, 100)]
    with nothing_written():
        assert counts(blends_import(path, actor=boss)) == (1, 0, 0, 1, 0)


# --- restrictions -------------------------------------------------------------------------------------


def asked_restriction(portfolio: Portfolio | None, actor: User, **fields: Any) -> ChangeRequest:
    given = {"kind": "do_not_buy", "reason": "asked for by the client", **fields}
    found = restriction_add_or_ask(portfolio, actor=actor, **given)
    assert isinstance(found, ChangeRequest)
    return found


def test_restrictions_wait_and_are_made_changed_and_lifted(
    portfolio: Portfolio, ann: User, bob: User
) -> None:
    asset = make.make_asset("AAA")
    request = asked_restriction(
        portfolio, ann, asset=asset, kind="range", maximum=Decimal("12.5"), starts_on=make.DAY
    )
    assert request.payload["about"] == "P1: range AAA"
    assert not TradingRestriction.objects.exists()
    with nothing_written(), pytest.raises(ValidationError, match="two-person rule"):
        restriction_add(portfolio, actor=ann, kind="do_not_buy", reason="as told")
    change_approve(request.pk, actor=bob)
    restriction = TradingRestriction.objects.get()
    assert (restriction.asset, restriction.maximum, restriction.starts_on) == (
        asset,
        Decimal("12.5"),
        make.DAY,
    )
    assert (restriction.owner, restriction.reason) == (ann, "asked for by the client")
    changed = restriction_change_or_ask(restriction, actor=ann, reason="more room", maximum=Decimal(15))
    assert isinstance(changed, ChangeRequest)
    assert restriction.maximum == Decimal("12.5")
    with nothing_written():
        assert restriction_change_or_ask(restriction, actor=ann, maximum=Decimal("12.5")) == restriction
        with pytest.raises(ValidationError, match="two-person rule"):
            restriction_change(restriction, actor=ann, maximum=Decimal(15))
        with pytest.raises(ValidationError, match="more than 100"):
            restriction_change_or_ask(restriction, actor=ann, maximum=Decimal(150))
    change_approve(changed.pk, actor=bob)
    restriction.refresh_from_db()
    assert (restriction.maximum, restriction.version) == (15, 2)
    lifted = restriction_lift_or_ask(restriction, actor=ann, reason="no more need")
    assert isinstance(lifted, ChangeRequest)
    restriction.refresh_from_db()
    assert restriction.ends_on is None
    with nothing_written(), pytest.raises(ValidationError, match="two-person rule"):
        restriction_lift(restriction, actor=ann, reason="as told")
    change_approve(lifted.pk, actor=bob)
    restriction.refresh_from_db()
    assert restriction.ends_on == clock.today() - dt.timedelta(days=1)


def test_restriction_changed_meanwhile_is_not_changed_again(
    portfolio: Portfolio, ann: User, bob: User
) -> None:
    change_approve(asked_restriction(portfolio, ann).pk, actor=bob)
    restriction = TradingRestriction.objects.get()
    requests = [
        restriction_change_or_ask(restriction, actor=ann, ends_on=dt.date(2999, 1, day)) for day in (1, 2)
    ]
    first, second = (found for found in requests if isinstance(found, ChangeRequest))
    change_approve(first.pk, actor=bob)
    with pytest.raises(ChangeConflict, match="overtaken"):
        change_approve(second.pk, actor=bob)
    restriction.refresh_from_db()
    assert restriction.ends_on == dt.date(2999, 1, 1)


def test_the_restricted_list_needs_two_when_one_portfolio_does(portfolio: Portfolio, ann: User) -> None:
    one, two = make.make_superuser(), make.make_superuser()
    request = asked_restriction(None, one)
    with nothing_written(), pytest.raises(PermissionDenied, match="another person"):
        change_approve(request.pk, actor=one)
    with nothing_written(), pytest.raises(PermissionDenied, match="all portfolios"):
        restriction_add_or_ask(None, actor=ann, kind="do_not_buy", reason="as told")
    change_approve(request.pk, actor=two)
    assert TradingRestriction.objects.get().portfolio is None


def test_bad_restrictions_are_refused_when_they_are_asked_for(portfolio: Portfolio, ann: User) -> None:
    with nothing_written():
        with pytest.raises(ValidationError, match="limits"):
            asked_restriction(portfolio, ann, maximum=Decimal(5))
        with pytest.raises(TypeError, match="portfolio_id"):
            asked_restriction(portfolio, ann, portfolio_id=1)


def test_without_the_rule_restrictions_are_made_at_once(ann: User) -> None:
    portfolio = make.make_portfolio(owner=ann)
    made = restriction_add_or_ask(portfolio, actor=ann, kind="do_not_buy", reason="as told")
    assert isinstance(made, TradingRestriction)
    restriction_change_or_ask(made, actor=ann, ends_on=dt.date(2999, 1, 1))
    restriction_lift_or_ask(made, actor=ann, reason="no more need", last_day=clock.today())
    made.refresh_from_db()
    assert made.ends_on == clock.today()


# --- prices -------------------------------------------------------------------------------------------


@pytest.fixture
def traders(settings: Any, ann: User, bob: User) -> tuple[User, User]:
    """Ann may enter prices, Bob may agree."""
    settings.TWO_PERSON_PRICES = True
    ann.user_permissions.add(Permission.objects.get(codename="add_pricebar"))
    bob.user_permissions.add(Permission.objects.get(codename="change_changerequest"))
    return User.objects.get(pk=ann.pk), User.objects.get(pk=bob.pk)


def asked_price(asset: Asset, actor: User, close: str, reason: str = "the feed was down") -> ChangeRequest:
    found = price_change(asset, make.DAY, close=Decimal(close), actor=actor, reason=reason)
    assert isinstance(found, ChangeRequest)
    return found


def test_a_price_waits_and_is_made(traders: tuple[User, User]) -> None:
    ann, bob = traders
    asset = make.make_asset("AAA")
    make.make_price(asset, close="9.5", source="feed")
    request = asked_price(asset, ann, "10.25")
    assert request.payload["close"] == "10.25"
    assert (request.before or {})["close"] == "9.5"
    assert PriceBar.objects.get().close == Decimal("9.5")
    with nothing_written(), pytest.raises(PermissionDenied, match="may not decide"):
        change_approve(request.pk, actor=ann)
    change_approve(request.pk, actor=bob)
    bar = PriceBar.objects.get()
    assert (bar.close, bar.source) == (Decimal("10.25"), "manual")
    actor, _, after = audit_of("price.entered")
    assert (actor, after["second_person"]) == ("ann", "bob")
    assert StaleMark.objects.get().asset == asset


def test_a_price_that_a_feed_brought_meanwhile_overtakes(traders: tuple[User, User]) -> None:
    ann, bob = traders
    asset = make.make_asset("AAA")
    request = asked_price(asset, ann, "10.25")
    make.make_price(asset, close="11")
    with pytest.raises(ChangeConflict, match="overtaken"):
        change_approve(request.pk, actor=bob)
    assert PriceBar.objects.get().close == 11


def test_prices_without_the_rule_are_entered_at_once(ann: User) -> None:
    asset = make.make_asset("AAA")
    with nothing_written(), pytest.raises(PermissionDenied, match="may not enter prices"):
        price_change(asset, make.DAY, close=Decimal(10), actor=ann, reason="the feed was down")
    bar = price_change(
        asset, make.DAY, close=Decimal(10), actor=make.make_superuser(), reason="the feed was down"
    )
    assert isinstance(bar, PriceBar)


def test_who_sees_which_requests(portfolio: Portfolio, traders: tuple[User, User]) -> None:
    ann, bob = traders
    own = asked(portfolio, ann, mode="full")
    price = asked_price(make.make_asset("AAA"), ann, "10")
    eve, auditor = make.make_user("eve"), make.make_auditor()
    seen = {user: set(visible_change_requests(user)) for user in (ann, bob, eve, auditor)}
    assert seen == {ann: {own, price}, bob: {own, price}, eve: set(), auditor: {own, price}}
    viewer = make.make_user()
    make.grant(viewer, portfolio)
    assert set(visible_change_requests(viewer)) == {own}


# --- what calculations read ---------------------------------------------------------------------------


def test_figures_and_proposals_are_the_same_with_a_change_that_waits(
    tmp_path: Path, traders: tuple[User, User]
) -> None:
    ann, bob = traders
    house = make_house()
    home = guarded(house.home, ann, bob)
    run()
    tables = computed_tables()
    proposal = rebalancing_recommend(home, LAST_DAY).as_json()
    rhein = house.rhein
    lines = ["HOME,ACME,50,,,1,", f"HOME,{rhein.symbol},50,,,1,"]
    allocations_import(write_file(tmp_path, TARGETS, *lines), actor=ann)
    benchmarks_import(write_file(tmp_path, BENCHMARKS, f"HOME,{rhein.symbol},1,"), actor=ann)
    asked_restriction(home, ann, kind="do_not_trade", asset=house.acme, starts_on=LAST_DAY)
    asked(home, ann, mode="full", cost_rate=Decimal("0.01"), cash_reserve=Decimal(1000))
    found = price_change(house.acme, LAST_DAY, close=Decimal(1000), actor=ann, reason="as told")
    assert isinstance(found, ChangeRequest)
    assert ChangeRequest.objects.filter(status=ChangeStatus.PENDING).count() == 5
    run(from_date=BEGINNING)
    assert computed_tables() == tables
    assert rebalancing_recommend(home, LAST_DAY).as_json() == proposal
    for request in ChangeRequest.objects.all():
        change_approve(request.pk, actor=bob)
    assert rebalancing_recommend(home, LAST_DAY).as_json() != proposal


# --- at the same time ---------------------------------------------------------------------------------


def outcome(decide: Any, request: ChangeRequest, actor: User) -> str:
    try:
        return str(decide(request.pk, actor=actor, note="now").status)
    except ChangeConflict as conflict:
        return f"conflict: {conflict}"


@pytest.mark.servers
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("turn", range(3))
def test_two_approvals_at_once_make_the_change_once(
    portfolio: Portfolio, ann: User, bob: User, turn: int
) -> None:
    cat = make.make_user("cat")
    make.grant(cat, portfolio, PortfolioRole.CHECKER)
    request = asked(portfolio, ann, mode="full")
    first, second = sorted(
        together(lambda: outcome(change_approve, request, bob), lambda: outcome(change_approve, request, cat))
    )
    assert first == "approved"
    assert second.startswith("conflict: ")
    assert (policy_of(portfolio).mode, policy_of(portfolio).version) == ("full", 2)
    for action in ("change.approved", "change.applied"):
        assert AuditEvent.objects.filter(action=action).count() == 1
    assert audit_verify().is_intact


@pytest.mark.servers
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("turn", range(3))
def test_of_approve_and_cancel_at_once_one_wins(
    portfolio: Portfolio, ann: User, bob: User, turn: int
) -> None:
    request = asked(portfolio, ann, mode="full")
    outcomes = together(
        lambda: outcome(change_approve, request, bob), lambda: outcome(change_cancel, request, ann)
    )
    request.refresh_from_db()
    assert sum(found.startswith("conflict: ") for found in outcomes) == 1
    assert request.status in outcomes
    assert policy_of(portfolio).mode == ("full" if request.status == "approved" else "bands")


@pytest.mark.servers
@pytest.mark.django_db(transaction=True)
def test_of_two_changes_of_one_thing_approved_at_once_one_is_overtaken(
    portfolio: Portfolio, ann: User, bob: User
) -> None:
    one, two = (asked(portfolio, ann, expiry_hours=hours) for hours in (10, 20))
    outcomes = together(lambda: outcome(change_approve, one, bob), lambda: outcome(change_approve, two, bob))
    assert sorted(found[:10] for found in outcomes) == ["approved", "conflict: "]
    assert sorted(ChangeRequest.objects.values_list("status", flat=True)) == ["approved", "stale"]
    assert policy_of(portfolio).version == 2

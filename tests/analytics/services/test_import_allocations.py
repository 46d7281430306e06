from decimal import Decimal
from pathlib import Path

import pytest

from analytics.models import PortfolioAllocation, RebalancingPolicy
from analytics.services.import_allocations import allocations_import
from portfolios.models import AuditEvent, Portfolio, PortfolioRole
from tests.support.factories import grant, make_asset, make_portfolio, make_user
from tests.support.imports import Refusal, counts, last_event, nothing_written, refusals, write_file

pytestmark = pytest.mark.django_db

HEADER = (
    "portfolio,symbol,target_percentage,min_percentage,max_percentage,rebalance_threshold,rebalance_frequency"
)
GOOD = (HEADER, "P1,AAA,60.5,50,70,5,Quarterly", "P1,BBB,35,,,,", "P1,CASH,4.5,0,10,2,quarterly")


@pytest.fixture(autouse=True)
def portfolio() -> Portfolio:
    for symbol in ("AAA", "BBB", "CCC"):
        make_asset(symbol)
    return make_portfolio("P1")


def targets() -> dict[str, tuple[Decimal, bool, int]]:
    rows = PortfolioAllocation.objects.values_list(
        "asset__symbol", "target_percentage", "is_active", "version"
    )
    return {symbol: (target, is_active, version) for symbol, target, is_active, version in rows}


def test_targets_and_cash_are_stored(tmp_path: Path, portfolio: Portfolio) -> None:
    assert counts(allocations_import(write_file(tmp_path, *GOOD))) == (3, 3, 0, 0, 0)
    line = PortfolioAllocation.objects.get(asset__symbol="AAA")
    assert (line.min_percentage, line.max_percentage, line.rebalance_threshold) == (50, 70, 5)
    assert line.rebalance_frequency == "quarterly"
    blank = PortfolioAllocation.objects.get(asset__symbol="BBB")
    assert (blank.min_percentage, blank.max_percentage, blank.rebalance_threshold) == (0, 100, None)
    assert blank.rebalance_frequency == "none"
    policy = RebalancingPolicy.objects.get()
    assert (policy.cash_target_percentage, policy.mode, policy.version) == (Decimal("4.5"), "bands", 1)
    event = AuditEvent.objects.get()
    assert (event.action, event.portfolio, event.before) == ("allocation.changed", portfolio, None)
    assert last_event()[2]["targets"]["CASH"] == "4.5"


def test_same_file_again_changes_nothing(tmp_path: Path) -> None:
    path = write_file(tmp_path, *GOOD)
    allocations_import(path)
    with nothing_written():
        assert counts(allocations_import(path)) == (3, 0, 0, 3, 0)


def test_file_replaces_the_whole_set(tmp_path: Path) -> None:
    allocations_import(write_file(tmp_path, *GOOD))
    PortfolioAllocation.objects.update(drift_percentage=1.5, is_breached=False)
    report = allocations_import(
        write_file(tmp_path, HEADER, "P1,AAA,60.5,50,70,5,quarterly", "P1,CCC,39.5,,,,")
    )
    assert counts(report) == (2, 1, 0, 1, 0)
    assert report.notes == ["P1: BBB is no target any more", "P1: cash is no target any more"]
    assert targets() == {
        "AAA": (Decimal("60.5"), True, 1),
        "BBB": (35, False, 2),
        "CCC": (Decimal("39.5"), True, 1),
    }
    policy = RebalancingPolicy.objects.get()
    assert (policy.cash_target_percentage, policy.version) == (0, 2)
    _, before, after = last_event()
    assert before == {"BBB": {"is_active": True}, "CASH": "4.5"}
    assert after["targets"]["BBB"] == {"is_active": False}
    # What was computed against the old target is not shown beside the new one.
    ended = PortfolioAllocation.objects.get(asset__symbol="BBB")
    assert (ended.drift_percentage, ended.is_breached) == (None, None)
    assert set(ended.quality) == {"drift_percentage", "is_breached"}
    assert PortfolioAllocation.objects.get(asset__symbol="AAA").drift_percentage == 1.5


def test_file_that_only_ends_targets_is_a_change_too(tmp_path: Path) -> None:
    allocations_import(write_file(tmp_path, HEADER, "P1,AAA,100,,,,", "P1,BBB,0,,,,"))
    path = write_file(tmp_path, HEADER, "P1,AAA,100,,,,")
    assert counts(allocations_import(path)) == (1, 0, 0, 1, 0)
    assert targets()["BBB"] == (Decimal(0), False, 2)
    assert AuditEvent.objects.count() == 2
    with nothing_written():
        allocations_import(path)


def test_other_portfolios_keep_their_targets(tmp_path: Path) -> None:
    make_portfolio("P2")
    allocations_import(write_file(tmp_path, *GOOD))
    allocations_import(write_file(tmp_path, HEADER, "P2,AAA,100,,,,"))
    assert PortfolioAllocation.objects.filter(portfolio__code="P1", is_active=True).count() == 2


@pytest.mark.parametrize(
    ("line", "refusal"),
    [
        ("P9,CCC,1,,,,", (5, "portfolio", "P9", "unknown portfolio")),
        ("P1,ZZZ,1,,,,", (5, "symbol", "ZZZ", "unknown symbol")),
        ("P1,CCC,,,,,", (5, "target_percentage", "", "must not be blank")),
        ("P1,CCC,-1,,,,", (5, "target_percentage", "-1", "must not be negative")),
        ("P1,CCC,5 %,,,,", (5, "target_percentage", "5 %", "not a number")),
        ("P1,CCC,5,6,,,", (5, "min_percentage", "6", "above the target, 5")),
        ("P1,CCC,5,,4,,", (5, "max_percentage", "4", "below the target, 5")),
        ("P1,CCC,5,,101,,", (5, "max_percentage", "101", "above 100")),
        ("P1,CCC,5,,,-2,", (5, "rebalance_threshold", "-2", "must not be negative")),
        ("P1,CCC,5,,,,often", (5, "rebalance_frequency", "often", "must be one of daily, weekly, monthly")),
        ("P1,AAA,5,,,,", (5, "symbol", "AAA", "repeats portfolio and symbol of line 2")),
    ],
)
def test_bad_row_stops_the_file(tmp_path: Path, line: str, refusal: Refusal) -> None:
    with nothing_written():
        [found] = refusals(allocations_import(write_file(tmp_path, *GOOD, line)))
    assert found[:3] == refusal[:3]
    assert found[3].startswith(refusal[3])


@pytest.mark.parametrize(("cash", "total"), [("4.4", "99.9"), ("4.500001", "100.000001")])
def test_targets_and_cash_make_exactly_100(tmp_path: Path, cash: str, total: str) -> None:
    path = write_file(tmp_path, *GOOD[:3], f"P1,CASH,{cash},,,,")
    for on_error in ("abort", "skip"):
        with nothing_written():
            report = allocations_import(path, on_error=on_error)
        assert [reject.line for reject in report.rejected] == [2, 3, 4]
        assert {reject.reason for reject in report.rejected} == {
            f"the targets and cash of P1 make {total}, not 100"
        }


def test_skip_leaves_out_the_whole_portfolio_of_a_bad_row(tmp_path: Path) -> None:
    make_portfolio("P2")
    path = write_file(tmp_path, *GOOD, "P1,CCC,0,1,,,", "P2,AAA,100,,,,")
    report = allocations_import(path, on_error="skip")
    assert counts(report) == (5, 1, 0, 0, 4)
    assert report.rejected[0].reason == "left out: another row of P1 is rejected"
    assert set(PortfolioAllocation.objects.values_list("portfolio__code", flat=True)) == {"P2"}


def test_actor_needs_the_manager_role(tmp_path: Path, portfolio: Portfolio) -> None:
    actor = make_user("ann")
    grant(actor, portfolio, PortfolioRole.MAKER)
    with nothing_written():
        report = allocations_import(write_file(tmp_path, *GOOD), actor=actor)
    assert {reject.reason for reject in report.rejected} == {"ann may not change this portfolio"}
    grant(actor, portfolio, PortfolioRole.MANAGER)
    assert allocations_import(write_file(tmp_path, *GOOD), actor=actor).created == 3

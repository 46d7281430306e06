"""manage.py explain_change"""

import json
from decimal import Decimal
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from analytics.models import PortfolioPerformanceHistory, PublishedTable, Restatement
from portfolios.models import ChangeCause, PriceBar
from portfolios.services.staleness import mark_assets_stale
from tests.support import factories as make
from tests.support.house import DAYS, House, make_computed_house, run

pytestmark = pytest.mark.django_db
CHANGED = DAYS[70]


@pytest.fixture
def corrected() -> House:
    house = make_computed_house()
    PriceBar.objects.filter(asset=house.rhein, date=CHANGED).update(close=Decimal(52))
    mark_assets_stale({house.rhein.pk: CHANGED}, ChangeCause.PRICE)
    run()
    return house


def explain(capsys: pytest.CaptureFixture[str], *arguments: Any) -> str:
    call_command("explain_change", *map(str, arguments))
    return capsys.readouterr().out


def test_it_says_what_a_figure_was_what_it_is_and_why(
    corrected: House, capsys: pytest.CaptureFixture[str]
) -> None:
    row = Restatement.objects.get(
        portfolio=corrected.abroad, row_date=CHANGED, table_name=PublishedTable.PERFORMANCE
    )
    now = PortfolioPerformanceHistory.objects.get(portfolio=corrected.abroad, snapshot_date=CHANGED)
    before, after = row.changes["total_value"]
    assert after == str(now.total_value) != before
    out = explain(capsys, "portfolio_performance_history", "ABROAD", CHANGED, "total_value")
    moment, reason, figure = out.splitlines()
    assert moment == f"{row.created_at.isoformat(sep=' ', timespec='seconds')}  run {row.run_id}"
    assert reason == f"  because of price: RHEIN from {CHANGED}"
    assert figure.split() == ["total_value", before, "->", after]
    answer = explain(
        capsys, "portfolio_performance_history", "ABROAD", CHANGED, "total_value", "--format", "json"
    )
    assert json.loads(answer) == [
        {
            "changed_at": row.created_at.isoformat(),
            "field": "total_value",
            "old": before,
            "new": after,
            "causes": [{"cause": "price", "subject": "RHEIN", "from_date": CHANGED.isoformat()}],
            "run": row.run_id,
        }
    ]


def test_without_a_figure_it_tells_all_of_the_row(
    corrected: House, capsys: pytest.CaptureFixture[str]
) -> None:
    row = Restatement.objects.get(asset=corrected.rhein, row_date=CHANGED)
    out = explain(capsys, "asset_performance_metrics", "RHEIN", CHANGED)
    assert len(row.changes) > 1
    assert [line.split()[0] for line in out.splitlines()[2:]] == sorted(row.changes)
    assert explain(capsys, "asset_performance_metrics", "RHEIN@", CHANGED) == out


def test_a_figure_that_never_changed(corrected: House, capsys: pytest.CaptureFixture[str]) -> None:
    out = explain(capsys, "portfolio_risk_metrics", "HOME", CHANGED)
    assert out == f"No published figure of HOME on {CHANGED} is known to have changed.\n"
    assert explain(capsys, "portfolio_risk_metrics", "HOME", CHANGED, "--format", "json") == "[]\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("portfolio_risk_metrics", "NONE", CHANGED), "there is no portfolio NONE"),
        (("asset_performance_metrics", "NONE", CHANGED), "there is no asset NONE"),
        (("asset_performance_metrics", "TWO", CHANGED), "TWO stands for several assets: TWO@XETR, TWO@XNYS"),
        (("asset_performance_metrics", "TWO@XPAR", CHANGED), "there is no asset TWO@XPAR"),
        (("portfolio_risk_metrics", "HOME", CHANGED, "luck"), "portfolio_risk_metrics has no column luck"),
        (("portfolio_risk_metrics", "HOME", "Monday"), "'Monday' is not a date"),
        (("portfolios", "HOME", CHANGED), "invalid choice: 'portfolios'"),
    ],
)
def test_what_it_cannot_look_up_it_says(arguments: tuple[Any, ...], message: str) -> None:
    make.make_portfolio("HOME")
    for exchange in ("XNYS", "XETR"):
        make.make_asset("TWO", exchange=exchange)
    with pytest.raises(CommandError, match=message):
        call_command("explain_change", *map(str, arguments))

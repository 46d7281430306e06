"""The analyses of one portfolio, on hand-made rows."""

import datetime as dt
from typing import Any

import pytest
from django.contrib.auth.models import User

from analytics.models import RebalancingPolicy
from portfolios.models import Portfolio
from tests.support.api import ANALYSES, client_of, pointers, portfolio_url, queries_of
from tests.support.factories import (
    DAY,
    make_allocation,
    make_asset,
    make_benchmark,
    make_event,
    make_performance,
    make_portfolio,
    make_risk,
    make_risk_contribution,
    make_run,
    make_user,
    make_var_backtest,
)

pytestmark = [pytest.mark.django_db, pytest.mark.once]
DAY_BEFORE = DAY - dt.timedelta(days=1)


@pytest.fixture
def portfolio() -> Portfolio:
    return make_portfolio("GROWTH", name="Growing", owner=make_user())


def ask(portfolio: Portfolio, analysis: str, **query: str) -> Any:
    response = client_of(portfolio.owner).get(portfolio_url(portfolio, analysis), query)
    assert response.status_code == 200, response.content
    return response.json()


def add_line(portfolio: Portfolio, symbol: str, target: float, current: float | None, **fields: Any) -> None:
    figures = {} if current is None else {"current_percentage": current, "drift_percentage": current - target}
    defaults = {"calculation_date": DAY, "is_breached": False, "name": symbol}
    options = defaults | figures | fields
    make_allocation(portfolio, make_asset(symbol, name=options.pop("name")), target, **options)


@pytest.fixture
def analysed(portfolio: Portfolio) -> Portfolio:
    """10,000 in value: 55 % and 30 % in two lines, 10 % in cash, 5 % in what has no target."""
    run = make_run("GROWTH")
    RebalancingPolicy.objects.create(portfolio=portfolio, cash_target_percentage=5)
    make_performance(portfolio, DAY_BEFORE, total_value=9000, cash_value=4500, cumulative_return=0.1)
    make_performance(
        portfolio,
        total_value=10_000,
        invested_value=9000,
        cash_value=1000,
        daily_return=0.012,
        cumulative_return=0.25,
        return_1y=None,
        sharpe_ratio=1.5,
        benchmark=make_asset("SPX"),
        excess_return=0.05,
        quality={"return_1y": "history starts 2023-09-01"},
        run=run,
    )
    add_line(
        portfolio,
        "AAPL",
        60,
        55.0,
        name="Apple",
        min_percentage=40,
        max_percentage=70,
        rebalance_threshold=4,
        rebalance_threshold_relative=25,
        is_breached=True,
        current_value=5500,
        run=run,
    )
    add_line(portfolio, "BOND", 35, 30.0, current_value=3000, run=run)
    add_line(portfolio, "OLD", 50, 5.0, is_active=False, current_value=500, run=run)
    return portfolio


def test_allocation_analysis_to_the_point(analysed: Portfolio) -> None:
    answer = ask(analysed, "allocation-analysis")
    run = answer["run"]
    assert answer.pop("run_url") == f"http://testserver/api/v1/runs/{run}/"
    assert answer == {
        "portfolio": "GROWTH",
        "calculation_date": "2024-03-28",
        "run": run,
        "quality": {},
        "total_value": "10000.000000",
        "lines": [
            {
                "symbol": "AAPL",
                "name": "Apple",
                "target": "60.000000",
                "min": "40.000000",
                "max": "70.000000",
                "band": {"absolute": "4.000000", "relative": "25.000000"},
                "current": 55.0,
                "drift": -5.0,
                "breached": True,
                "value": "5500.000000",
            },
            {
                "symbol": "BOND",
                "name": "BOND",
                "target": "35.000000",
                "min": "0.000000",
                "max": "100.000000",
                "band": {"absolute": None, "relative": None},
                "current": 30.0,
                "drift": -5.0,
                "breached": False,
                "value": "3000.000000",
            },
        ],
        "cash": {"target": "5.000000", "current": 10.0, "drift": 5.0, "value": "1000.000000"},
        "unassigned_percentage": 5.0,
        "drift": 10.0,
        "breached_lines": 1,
    }


def test_weights_are_not_carried_back_to_an_earlier_day(analysed: Portfolio) -> None:
    answer = ask(analysed, "allocation-analysis", date=DAY_BEFORE.isoformat())
    assert answer["calculation_date"] == "2024-03-27"
    assert [line["current"] for line in answer["lines"]] == [None, None]
    assert [line["breached"] for line in answer["lines"]] == [None, None]
    assert answer["cash"] == {"target": "5.000000", "current": 50.0, "drift": 45.0, "value": "4500.000000"}
    assert (answer["unassigned_percentage"], answer["drift"]) == (None, None)
    assert answer["quality"] == {
        "AAPL": "weights are kept for 2024-03-28 only",
        "BOND": "weights are kept for 2024-03-28 only",
    }


def test_a_line_without_a_weight_leaves_the_drift_unknown(analysed: Portfolio) -> None:
    add_line(analysed, "NEW", 0, None, calculation_date=None, is_breached=None)
    add_line(analysed, "LOST", 0, None, quality={"current_percentage": "no price"}, is_breached=None)
    answer = ask(analysed, "allocation-analysis")
    assert (answer["unassigned_percentage"], answer["drift"]) == (None, None)
    assert answer["quality"] == {"NEW": "not computed yet", "LOST": "no price"}


def test_weights_without_a_value_of_that_day(analysed: Portfolio) -> None:
    analysed.performance_history.filter(snapshot_date=DAY).delete()
    answer = ask(analysed, "allocation-analysis")
    assert answer["calculation_date"] == "2024-03-28"
    assert answer["cash"] == {"target": "5.000000", "current": None, "drift": None, "value": None}
    assert (answer["total_value"], answer["drift"]) == (None, None)
    assert answer["quality"] == {"cash": "no portfolio value on that day"}


def test_no_targets_no_drift(portfolio: Portfolio) -> None:
    make_performance(portfolio, total_value=100, cash_value=40)
    answer = ask(portfolio, "allocation-analysis")
    assert answer["lines"] == []
    assert answer["unassigned_percentage"] == 60.0
    assert answer["drift"] is None
    assert answer["quality"] == {"lines": "no targets are set"}


@pytest.mark.parametrize("total", [0, -50])
def test_no_weights_of_a_portfolio_worth_nothing(portfolio: Portfolio, total: int) -> None:
    make_performance(portfolio, total_value=total, cash_value=-100)
    assert ask(portfolio, "allocation-analysis")["cash"]["current"] is None


def test_performance_analysis(analysed: Portfolio) -> None:
    make_benchmark(
        analysed,
        make_asset("NDX"),
        is_primary=True,
        beta=1.1,
        window=250,
        calculation_date=DAY,
        quality={"alpha": "insufficient data: 50 of 60"},
    )
    make_benchmark(analysed, make_asset("DAX"))
    make_benchmark(analysed, make_asset("GONE"), is_active=False)
    answer = ask(analysed, "performance-analysis")
    assert (answer["portfolio"], answer["calculation_date"]) == ("GROWTH", "2024-03-28")
    assert answer["run_url"] == f"http://testserver/api/v1/runs/{answer['run']}/"
    assert (answer["total_value"], answer["cash_value"]) == ("10000.000000", "1000.000000")
    assert (answer["daily_return"], answer["cumulative_return"], answer["return_1y"]) == (0.012, 0.25, None)
    assert (answer["benchmark"], answer["excess_return"]) == ("SPX", 0.05)
    assert answer["quality"] == {"return_1y": "history starts 2023-09-01"}
    primary, second = answer["benchmarks"]
    assert (primary["symbol"], primary["is_primary"], primary["beta"]) == ("NDX", True, 1.1)
    assert (primary["window"], primary["calculation_date"]) == (250, "2024-03-28")
    assert (primary["alpha"], primary["quality"]) == (None, {"alpha": "insufficient data: 50 of 60"})
    assert (second["symbol"], second["beta"]) == ("DAX", None)


def test_risk_analysis(portfolio: Portfolio) -> None:
    run = make_run("GROWTH")
    make_risk(portfolio, DAY_BEFORE, risk_level="low", observations=99)
    make_risk(
        portfolio,
        risk_level="high",
        risk_class=6,
        var_95_1d=0.021,
        max_drawdown_duration=41,
        observations=100,
        run=run,
        quality={"var_99_1d": "insufficient data: 100 of 250"},
    )
    answer = ask(portfolio, "risk-analysis")
    assert (answer["portfolio"], answer["calculation_date"], answer["run"]) == (
        "GROWTH",
        "2024-03-28",
        run.pk,
    )
    assert (answer["risk_level"], answer["risk_class"], answer["var_95_1d"]) == ("high", 6, 0.021)
    assert (answer["max_drawdown_duration"], answer["observations"]) == (41, 100)
    assert answer["var_99_1d"] is None
    assert answer["quality"] == {
        "var_99_1d": "insufficient data: 100 of 250",
        "methods": "no run ended on this day",
    }
    earlier = ask(portfolio, "risk-analysis", date=DAY_BEFORE.isoformat())
    assert (earlier["risk_level"], earlier["observations"], earlier["run_url"]) == ("low", 99, None)


def test_risk_analysis_with_methods_and_contributions(portfolio: Portfolio) -> None:
    make_risk(portfolio, effective_bets=1.25)
    make_var_backtest(portfolio, DAY_BEFORE, var=0.9)
    make_var_backtest(portfolio, level=0.99, var=0.031, exceptions=6, zone="yellow", zone_exceptions=6)
    make_var_backtest(portfolio, level=0.95, method="normal", quality={"zone": "at 99% only"})
    make_risk_contribution(portfolio, make_asset("SMALL"), component_var_percentage=20.0)
    make_risk_contribution(portfolio, make_asset("UNKNOWN"), quality={"component_var": "no price"})
    make_risk_contribution(
        portfolio, make_asset("LARGE"), weight=0.7, component_var=0.02, component_var_percentage=80.0
    )
    make_risk_contribution(make_portfolio(), make_asset("OTHER"))
    answer = ask(portfolio, "risk-analysis")
    assert (answer["effective_bets"], answer["quality"]) == (1.25, {})
    first, second = answer["methods"]
    assert (first["method"], first["level"], first["quality"]) == ("normal", 0.95, {"zone": "at 99% only"})
    assert (second["method"], second["level"], second["var"]) == ("historical", 0.99, 0.031)
    assert (second["exceptions"], second["zone"], second["zone_exceptions"]) == (6, "yellow", 6)
    assert [line["symbol"] for line in answer["contributions"]] == ["LARGE", "SMALL", "UNKNOWN"]
    assert (answer["contributions"][0]["weight"], answer["contributions"][0]["component_var"]) == (0.7, 0.02)
    assert answer["contributions"][2]["quality"] == {"component_var": "no price"}
    later = ask(portfolio, "risk-analysis", date="2030-01-01")
    assert later["methods"] == answer["methods"]


def test_more_contributions_take_no_more_queries(portfolio: Portfolio) -> None:
    make_risk(portfolio)
    make_risk_contribution(portfolio, make_asset())
    url, owner = portfolio_url(portfolio, "risk-analysis"), User.objects.get(portfolios=portfolio)
    few = queries_of(owner, url)
    for _ in range(3):
        make_risk_contribution(portfolio, make_asset())
    assert queries_of(owner, url) == few


def test_summary(analysed: Portfolio) -> None:
    make_risk(analysed, DAY_BEFORE, risk_level="medium", risk_class=4, var_95_1d=0.02, cvar_95_1d=0.03)
    event = make_event(analysed)
    make_event(analysed, status="rejected")
    answer = ask(analysed, "summary")
    assert answer["name"] == "Growing"
    assert answer["base_currency"] == "USD"
    assert (answer["total_value"], answer["cumulative_return"]) == ("10000.000000", 0.25)
    assert (answer["sharpe_ratio"], answer["benchmark"]) == (1.5, "SPX")
    assert (answer["risk_date"], answer["risk_level"], answer["risk_class"]) == ("2024-03-27", "medium", 4)
    assert (answer["var_95_1d"], answer["cvar_95_1d"]) == (0.02, 0.03)
    assert (answer["allocation_date"], answer["drift"], answer["breached_lines"]) == ("2024-03-28", 10.0, 1)
    assert answer["open_event"] == event.pk
    assert answer["quality"] == {"performance": {"return_1y": "history starts 2023-09-01"}}


def test_the_latest_row_on_or_before_the_day_counts(analysed: Portfolio) -> None:
    assert ask(analysed, "summary", date="2024-03-27")["cumulative_return"] == 0.1
    assert ask(analysed, "summary", date="2024-03-28")["cumulative_return"] == 0.25
    assert ask(analysed, "summary", date="2030-01-01")["calculation_date"] == "2024-03-28"


@pytest.mark.parametrize("analysis", ["summary", "performance-analysis", "risk-analysis"])
def test_before_the_first_row_all_is_unknown_and_says_so(analysed: Portfolio, analysis: str) -> None:
    answer = ask(analysed, analysis, date="2020-01-01")
    assert (answer["calculation_date"], answer["run"], answer["run_url"]) == (None, None, None)
    assert answer["max_drawdown"] is None
    assert "nothing computed on or before 2020-01-01" in str(answer["quality"])


def test_a_new_portfolio_has_answers_too(portfolio: Portfolio) -> None:
    for analysis in ANALYSES:
        answer = ask(portfolio, analysis)
        assert answer["portfolio"] == "GROWTH"
        assert answer["run"] is None
        assert answer["quality"]


@pytest.mark.parametrize("analysis", [name for name in ANALYSES if name != "rebalancing-recommendation"])
def test_more_lines_take_no_more_queries(analysed: Portfolio, analysis: str) -> None:
    make_benchmark(analysed, make_asset())
    url = portfolio_url(analysed, analysis)
    owner = User.objects.get(portfolios=analysed)
    few = queries_of(owner, url)
    for number in range(4):
        make_benchmark(analysed, make_asset())
        add_line(analysed, f"MORE{number}", 0, 0.0)
    assert queries_of(owner, url) == few


@pytest.mark.parametrize("analysis", ANALYSES)
@pytest.mark.parametrize("day", ["2024-02-30", "yesterday", "28.03.2024"])
def test_a_day_that_is_none_is_a_bad_request(portfolio: Portfolio, analysis: str, day: str) -> None:
    response = client_of(portfolio.owner).get(portfolio_url(portfolio, analysis), {"date": day})
    assert response.status_code == 400
    assert pointers(response) == ["#/date"]

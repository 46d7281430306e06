"""The risk tab: stored figures, their parts and their tests, as charts, tables and files."""

import datetime as dt

import pytest
from django.test import Client
from django.urls import reverse

from portfolio_site.kernel.tables import Unknown
from portfolios.models import Portfolio
from tests.support import factories as make
from tests.support.admin import client_of, make_reader, queries_of

pytestmark = [pytest.mark.django_db, pytest.mark.once]

DAYS = [make.DAY - dt.timedelta(days=back) for back in (3, 2, 1, 0)]


@pytest.fixture
def console() -> Client:
    return client_of(make.make_superuser())


@pytest.fixture
def portfolio() -> Portfolio:
    """Loses 3 % and 1 % on its last days, after a value at risk of 0.5 % at 95 % and 2 % at 99 %."""
    portfolio = make.make_portfolio("RISKY")
    market = make.make_asset("MKT")
    for day, daily in zip(DAYS, (0.0, 0.004, -0.03, -0.01), strict=True):
        make.make_performance(
            portfolio, day, total_value=1000, daily_return=daily, beta=0.9, benchmark=market
        )
        make.make_risk(
            portfolio, day, volatility=0.12, var_95_1d=0.005, var_99_1d=0.02, cvar_95_1d=0.008,
            max_drawdown=0.2, risk_level="high", risk_class=5, effective_bets=1.5, observations=300,
            quality={"cvar_99_1d": "insufficient data: 61 of 250"},
        )  # fmt: skip
    make.make_var_backtest(
        portfolio, level=0.95, var=0.006, cvar=0.009, window=300, observations=100, exceptions=12,
        expected=5.0, kupiec_p=0.004, christoffersen_p=0.6, joint_p=0.01,
        quality={"zone": "zones are defined at 99% only"},
    )  # fmt: skip
    make.make_var_backtest(
        portfolio, level=0.99, var=0.02, zone="yellow", zone_exceptions=6, observations=300, exceptions=6,
        expected=3.0, kupiec_p=0.3, christoffersen_p=0.01, joint_p=0.02,
    )  # fmt: skip
    parts = {"AAA": (0.6, 0.007), "BBB": (0.3, -0.001)}
    assets = []
    for symbol, (weight, component) in parts.items():
        assets.append(make.make_asset(symbol))
        make.make_risk_contribution(
            portfolio, assets[-1], weight=weight, volatility=0.2, marginal_var=component / weight,
            component_var=component, component_var_percentage=component / 0.006 * 100,
        )  # fmt: skip
    make.make_correlation(
        assets[0],
        assets[1],
        correlation_1y=0.5,
        q_value_1y=0.01,
        observations_1y=252,
        rolling_20d=-0.2,
        p_value_20d=0.4,
    )
    return portfolio


def address(portfolio: Portfolio, query: str = "") -> str:
    return reverse("admin:portfolios_portfolio_risk", args=[portfolio.pk]) + query


def table_of(client: Client, portfolio: Portfolio, slug: str, query: str = "") -> list[list[object]]:
    content = client.get(address(portfolio, query)).context["content"]
    return next([list(row) for row in table.rows] for table in content.tables if table.slug == slug)


def csv_of(client: Client, portfolio: Portfolio, slug: str) -> list[str]:
    response = client.get(address(portfolio, f"?table={slug}&format=csv"))
    assert response.status_code == 200
    return response.content.decode("utf-8-sig").splitlines()


def test_the_headline_is_that_of_the_last_risk_row(console: Client, portfolio: Portfolio) -> None:
    page = console.get(address(portfolio))
    shown = {label: str(figure) for label, figure in page.context["content"].figures}
    assert "12.00%" in shown["Volatility, annualized"]
    assert "0.50%" in shown["VaR 95%, 1 day"]
    assert "0.90" in shown["Beta against MKT"]
    assert "High" in shown["Risk level"]
    assert "insufficient data: 61 of 250" in shown["CVaR 99%, 1 day"]
    assert "class 5 of 7" in page.content.decode()


def test_the_methods_say_what_the_loss_is_in_money(console: Client, portfolio: Portfolio) -> None:
    first, second = table_of(console, portfolio, "var-methods")
    assert first[:3] == ["95%", "Historical", 0.006]
    assert first[3] == 6
    assert isinstance(second[4], Unknown)


def test_the_backtest_has_a_verdict_and_a_zone_in_words(console: Client, portfolio: Portfolio) -> None:
    rows = csv_of(console, portfolio, "backtest")
    assert rows[1].split(",")[2:5] == ["100", "12", "5.0"]
    assert rows[1].endswith("too many,")
    assert rows[2].endswith('"as many as expected, but in clusters",Yellow: 6 of 250')
    page = console.get(address(portfolio)).content.decode()
    assert '<span class="badge badge-fair">Yellow: 6 of 250</span>' in page


def test_a_loss_beyond_the_figure_of_the_evening_before_is_marked(
    console: Client, portfolio: Portfolio
) -> None:
    rows = table_of(console, portfolio, "var-days")
    assert [(row[0], row[1], row[4]) for row in rows] == [
        (DAYS[3], -0.01, "beyond 95%"),
        (DAYS[2], -0.03, "beyond 99%"),
        (DAYS[1], 0.004, ""),
    ]
    assert "2 of 3 days lost more than the VaR at 95%" in console.get(address(portfolio)).content.decode()


def test_the_contributions_add_up_to_the_whole(console: Client, portfolio: Portfolio) -> None:
    *parts, whole = table_of(console, portfolio, "contributions")
    assert [row[0] for row in parts] == ["AAA", "BBB"]
    assert whole[0] == "Together"
    assert whole[1] == pytest.approx(0.9)
    assert whole[4:] == [pytest.approx(0.006), pytest.approx(100)]
    assert "which is the VaR of the whole at 95%" in console.get(address(portfolio)).content.decode()


def test_the_window_of_the_correlations_is_chosen(console: Client, portfolio: Portfolio) -> None:
    assert table_of(console, portfolio, "correlations") == [["AAA and BBB", 0.5, 0.01, 252.0, "yes"]]
    (row,) = table_of(console, portfolio, "correlations", "?window=20d")
    assert row[1:3] == [-0.2, 0.4]
    assert row[4] == "no"
    page = console.get(address(portfolio, "?window=20d")).content.decode()
    assert '?window=20d#correlations-title" aria-current="true"' in page
    assert table_of(console, portfolio, "correlations", "?window=1') OR 1=1") == table_of(
        console, portfolio, "correlations"
    )


@pytest.mark.parametrize(
    "slug",
    ["var-methods", "var-days", "backtest", "contributions", "diversification", "volatility", "beta",
     "correlations"],
)  # fmt: skip
def test_every_table_is_a_file(console: Client, portfolio: Portfolio, slug: str) -> None:
    assert len(csv_of(console, portfolio, slug)) > 1
    assert "<" not in "".join(csv_of(console, portfolio, slug))


def test_no_symbol_is_a_formula(console: Client, portfolio: Portfolio) -> None:
    make.make_risk_contribution(portfolio, make.make_asset("=1+1"), weight=0.1)
    assert csv_of(console, portfolio, "contributions")[3].startswith("'=1+1,")


def test_nothing_computed_yet_is_said(console: Client) -> None:
    page = console.get(address(make.make_portfolio()))
    assert page.status_code == 200
    assert "Nothing is computed yet" in page.content.decode()


def test_a_risk_row_alone_is_a_page(console: Client) -> None:
    portfolio = make.make_portfolio()
    make.make_risk(portfolio)
    page = console.get(address(portfolio))
    assert page.status_code == 200
    assert "No contributions are stored for this day" in page.content.decode()


def test_others_do_not_see_it(portfolio: Portfolio) -> None:
    reader = make_reader()
    assert client_of(reader).get(address(portfolio)).status_code == 404
    make.grant(reader, portfolio)
    assert client_of(reader).get(address(portfolio)).status_code == 200


def test_more_positions_and_days_take_no_more_queries(console: Client, portfolio: Portfolio) -> None:
    console.get(address(portfolio))
    few = queries_of(console, address(portfolio))
    for day in (DAYS[0] - dt.timedelta(days=back) for back in range(1, 6)):
        make.make_performance(portfolio, day, daily_return=0.001)
        make.make_risk(portfolio, day, var_95_1d=0.01)
    for _ in range(6):
        make.make_risk_contribution(portfolio, make.make_asset(), weight=0.01)
    assert queries_of(console, address(portfolio)) == few

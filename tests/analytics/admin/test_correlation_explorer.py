"""The correlation explorer: the map of many assets, and one pair over time."""

import datetime as dt
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from portfolios.models import Asset
from tests.support import factories as make
from tests.support.admin import client_of, make_reader, queries_of

pytestmark = [pytest.mark.django_db, pytest.mark.once]

STRONG: dict[str, Any] = {
    "correlation_1y": 0.8,
    "p_value_1y": 0.0,
    "q_value_1y": 0.001,
    "observations_1y": 252,
}
WEAK: dict[str, Any] = {"correlation_1y": 0.05, "p_value_1y": 0.4, "q_value_1y": 0.5, "observations_1y": 252}


def url(**query: Any) -> str:
    return reverse("admin:correlation_explorer", query=query)


def make_assets(*symbols: str) -> list[Asset]:
    assets = [make.make_asset(symbol) for symbol in symbols]
    for asset in assets:
        make.make_price(asset)
        make.make_asset_metrics(asset)
    return assets


def lines_of(client: Client, **query: Any) -> list[str]:
    answer = client.get(url(**query, format="csv"))
    assert answer.status_code == 200
    return answer.content.decode("utf-8-sig").splitlines()


def test_nothing_stored_is_said() -> None:
    answer = client_of(make_reader()).get(url())
    assert answer.status_code == 200
    assert "No correlations over 1 year are stored" in answer.content.decode()


def test_pairs_stand_in_the_table_with_their_evidence() -> None:
    one, two, three = make_assets("AAA", "BBB", "CCC")
    make.make_correlation(one, two, **WEAK)
    make.make_correlation(one, three, **STRONG)
    lines = lines_of(client_of(make_reader()), table="correlations")
    assert lines[0] == "Pair,Correlation,p-value,Adjusted p-value,Observations,Significant"
    assert sorted(sorted(line.split(",")[0].split(" and ")) for line in lines[1:]) == [
        ["AAA", "BBB"],
        ["AAA", "CCC"],
    ]
    assert lines[1].endswith(",0.8,0.0,0.001,252.0,yes")
    assert lines[2].endswith(",0.05,0.4,0.5,252.0,no")


def test_what_moves_together_stands_side_by_side() -> None:
    assets = make_assets("AAA", "BBB", "CCC", "DDD")
    for one, other in ((0, 2), (1, 3)):
        make.make_correlation(assets[one], assets[other], correlation_1y=0.9)
    chart = client_of(make_reader()).get(url()).context["content"].sections[0]
    order = list(chart.traces[0]["x"])
    assert abs(order.index("AAA") - order.index("CCC")) == 1
    assert abs(order.index("BBB") - order.index("DDD")) == 1


def test_the_insignificant_is_grey_and_in_brackets() -> None:
    one, two, three = make_assets("AAA", "BBB", "CCC")
    make.make_correlation(one, two, **WEAK)
    make.make_correlation(one, three, **STRONG)
    client = client_of(make_reader())
    plain = client.get(url()).context["content"].sections[0]
    grey = client.get(url(significant=1)).context["content"].sections[0]
    assert len(plain.traces) == 1
    assert {text for row in grey.traces[0]["text"] for text in row} == {"", "(0.05)"}
    assert {text for row in grey.traces[1]["text"] for text in row} == {"", "0.80", "1.00"}


def test_other_windows_are_adjusted_for_the_pairs_shown() -> None:
    one, two = make_assets("AAA", "BBB")
    make.make_correlation(one, two, correlation_3m=0.5, p_value_3m=0.04, observations_3m=63, q_value_1y=0.9)
    (line,) = lines_of(client_of(make_reader()), table="correlations", window="3m")[1:]
    assert line.endswith(",0.5,0.04,0.04,63.0,yes")


def test_a_portfolio_narrows_the_map_and_a_foreign_one_is_refused() -> None:
    one, two, three = make_assets("AAA", "BBB", "CCC")
    make.make_correlation(one, two, **STRONG)
    make.make_correlation(one, three, **STRONG)
    reader, mine, theirs = make_reader(), make.make_portfolio(), make.make_portfolio("THEIRS")
    make.grant(reader, mine)
    for portfolio in (mine, theirs):
        make.make_allocation(portfolio, one, 50)
        make.make_allocation(portfolio, two, 50)
    client = client_of(reader)
    (line,) = lines_of(client, table="correlations", portfolio=mine.pk)[1:]
    assert "CCC" not in line
    refused = client.get(url(portfolio=theirs.pk))
    assert refused.context["map_form"].errors["portfolio"]
    assert "THEIRS" not in refused.content.decode()


def test_a_pair_is_shown_over_time_whichever_comes_first() -> None:
    one, two = make_assets("AAA", "BBB")
    for age in range(3):
        make.make_correlation(one, two, make.DAY - dt.timedelta(days=age), rolling_60d=0.1 * age, **STRONG)
    client = client_of(make_reader())
    for first, second in (("AAA", "BBB"), ("bbb", "aaa")):
        lines = lines_of(client, first=first, second=second, table="rolling")
        assert [line.split(",")[2] for line in lines[1:]] == ["0.0", "0.1", "0.2"]
    (year,) = (
        line for line in lines_of(client, first="AAA", second="BBB", table="windows") if "1 year" in line
    )
    assert year == "1 year,0.8,0.0,0.001,252"


@pytest.mark.parametrize(
    ("first", "second", "words"),
    [
        ("AAA", "ZZZ", "There is no asset ZZZ."),
        ("AAA", "AAA", "The pair needs two different assets."),
        ("AAA", "", "This field is required."),
        ("AAA", "TWIN", "Several assets are called TWIN"),
    ],
)
def test_a_pair_that_cannot_be_shown_says_why(first: str, second: str, words: str) -> None:
    make.make_asset("AAA")
    make.make_asset("TWIN", exchange="XNAS")
    make.make_asset("TWIN", exchange="XNYS")
    answer = client_of(make_reader()).get(url(first=first, second=second))
    assert answer.status_code == 200
    assert words in answer.content.decode()


def test_queries_do_not_grow_with_pairs() -> None:
    assets = make_assets("AAA", "BBB")
    make.make_correlation(assets[0], assets[1], **STRONG)
    client = client_of(make.make_superuser())
    few = queries_of(client, url())
    assets += make_assets("CCC", "DDD", "EEE")
    for place, one in enumerate(assets):
        for other in assets[max(place + 1, 2) :]:
            make.make_correlation(one, other, **WEAK)
    assert queries_of(client, url()) == few


def test_the_list_leads_to_it_and_it_asks_for_the_permission() -> None:
    changelist = reverse("admin:analytics_assetcorrelation_changelist")
    assert url() in client_of(make_reader()).get(changelist).content.decode()
    assert client_of(make.make_user(is_staff=True)).get(url()).status_code == 403

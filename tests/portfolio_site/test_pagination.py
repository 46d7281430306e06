import base64
import datetime as dt
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from portfolio_site.kernel.pagination import CappedCountPaginator
from portfolios.models import Asset, PriceBar
from tests.support.api import client_of, list_url, pointers
from tests.support.factories import DAY, make_asset, make_price, make_user

pytestmark = pytest.mark.django_db
PRICES = list_url("prices")


@pytest.fixture
def client() -> APIClient:
    return client_of(make_user())


@pytest.fixture
def three_days_of_four() -> list[PriceBar]:
    assets = [make_asset() for _ in range(4)]
    return [make_price(asset, DAY + dt.timedelta(days=day)) for day in (2, 0, 1) for asset in assets]


def walk(client: APIClient, url: str, link: str = "next") -> list[dict[str, Any]]:
    pages = []
    next_url: str | None = url
    while next_url:
        pages.append(client.get(next_url).json())
        next_url = pages[-1][link]
        assert len(pages) < 50
    return pages


def ids(pages: list[dict[str, Any]]) -> list[int]:
    return [row["id"] for page in pages for row in page["results"]]


@pytest.mark.parametrize("page_size", [1, 3, 4, 5, 11, 12, 13])
@pytest.mark.parametrize("ordering", ["date", "-date"])
def test_a_cursor_meets_every_row_once_and_in_order(
    client: APIClient, three_days_of_four: list[PriceBar], page_size: int, ordering: str
) -> None:
    rows = sorted(three_days_of_four, key=lambda row: (row.date, row.pk), reverse=ordering == "-date")
    pages = walk(client, f"{PRICES}?page_size={page_size}&ordering={ordering}")
    assert ids(pages) == [row.pk for row in rows]
    assert all(len(page["results"]) == page_size for page in pages[:-1])
    assert pages[0]["previous"] is None


def test_a_cursor_leads_back_over_the_same_pages(
    client: APIClient, three_days_of_four: list[PriceBar]
) -> None:
    forward = walk(client, f"{PRICES}?page_size=5")
    backward = walk(client, forward[-1]["previous"], link="previous")
    assert [page["results"] for page in backward] == [page["results"] for page in forward[-2::-1]]
    again = client.get(backward[0]["next"]).json()
    assert again["results"] == forward[-1]["results"]


def test_rows_that_arrive_meanwhile_do_not_shift_the_pages(
    client: APIClient, three_days_of_four: list[PriceBar]
) -> None:
    first = client.get(f"{PRICES}?page_size=6").json()
    make_price(make_asset(), DAY + dt.timedelta(days=9))
    second = client.get(first["next"]).json()
    assert sorted(ids([first, second])) == sorted(row.pk for row in three_days_of_four)


def test_more_equal_dates_than_rest_framework_could_step_over(client: APIClient) -> None:
    currency = make_asset().currency
    assets = Asset.objects.bulk_create(
        Asset(symbol=f"T{number}", name="T", asset_class="equity", currency=currency)
        for number in range(2100)
    )
    PriceBar.objects.bulk_create(PriceBar(asset=asset, date=DAY, close=1) for asset in assets)
    seen = ids(walk(client, f"{PRICES}?page_size=500"))
    assert len(seen) == len(set(seen)) == 2100


def token(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    "cursor",
    [
        "x",
        "€",
        token("next|2024-01-01"),
        token("next|2024-13-01|1"),
        token("next|None|1"),
        token("next|2024-01-01|one"),
        token("sideways|2024-01-01|1"),
        token("\x00|\x00|\x00"),
    ],
)
def test_a_broken_cursor_is_a_bad_request(client: APIClient, cursor: str) -> None:
    response = client.get(PRICES, {"cursor": cursor})
    assert response.status_code == 400
    assert pointers(response) == ["#/cursor"]


def test_a_cursor_beyond_every_key_ends_the_list(
    client: APIClient, three_days_of_four: list[PriceBar]
) -> None:
    page = client.get(PRICES, {"cursor": token(f"next|1900-01-01|{10**30}")}).json()
    assert page == {"next": None, "previous": None, "results": []}


@pytest.mark.parametrize("url", [PRICES, list_url("assets")])
def test_a_page_is_never_larger_than_500(client: APIClient, url: str) -> None:
    currency = make_asset().currency
    assets = Asset.objects.bulk_create(
        Asset(symbol=f"T{number}", name="T", asset_class="equity", currency=currency) for number in range(501)
    )
    PriceBar.objects.bulk_create(PriceBar(asset=asset, date=DAY, close=1) for asset in assets)
    assert len(client.get(url, {"page_size": "1000000"}).json()["results"]) == 500
    assert len(client.get(url).json()["results"]) == 100


@pytest.mark.parametrize("url", [PRICES, list_url("assets")])
@pytest.mark.parametrize("size", ["0", "-1", "many", "1.5", ""])
def test_a_page_size_that_is_no_size_is_a_bad_request(client: APIClient, url: str, size: str) -> None:
    response = client.get(url, {"page_size": size})
    assert response.status_code == 400
    assert pointers(response) == ["#/page_size"]


def test_numbered_pages_meet_equal_rows_once(client: APIClient) -> None:
    assets = [make_asset(name="The same") for _ in range(7)]
    pages = walk(client, f"{list_url('assets')}?page_size=2&ordering=name")
    assert ids(pages) == [asset.pk for asset in assets]
    assert {page["count"] for page in pages} == {7}


@pytest.mark.parametrize("page", ["0", "99", "two"])
def test_a_page_that_does_not_exist_is_not_found(client: APIClient, page: str) -> None:
    response = client.get(list_url("assets"), {"page": page})
    assert response.status_code == 404
    assert pointers(response) == []


class CountsToThree(CappedCountPaginator):
    count_limit = 3


@pytest.mark.parametrize(("rows", "counted"), [(0, 0), (2, 2), (3, 3), (4, 4), (6, 4)])
def test_the_capped_count_stops_one_above_its_limit(rows: int, counted: int) -> None:
    for _ in range(rows):
        make_asset()
    paginator = CountsToThree(Asset.objects.order_by("name"), per_page=2)
    with CaptureQueriesContext(connection) as captured:
        assert paginator.count == counted
        assert paginator.num_pages == max(1, (counted + 1) // 2)
    (query,) = captured.captured_queries
    assert "LIMIT 4" in query["sql"]
    assert "ORDER BY" not in query["sql"]


def test_the_capped_count_takes_plain_lists() -> None:
    assert CountsToThree([1, 2, 3, 4, 5], per_page=2).count == 5

"""Every table of the console: found, read, never changed by hand, and shown only to those who may see it."""

import re

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from rest_framework.authtoken.models import Token

from analytics.models import PortfolioAllocation, RebalancingPolicy
from tests.support import factories as make
from tests.support.admin import (
    BOUND_ROWS,
    PUBLIC_ROWS,
    change_url,
    client_of,
    make_reader,
    make_row,
    our_models,
    queries_of,
    url_of,
)

pytestmark = [pytest.mark.django_db, pytest.mark.once]

INDEX = "/admin/"
TABLES = sorted({*PUBLIC_ROWS, *BOUND_ROWS})
INLINE_SCRIPT = re.compile(r"<script(?![^>]*\ssrc=)[^>]*>|\son\w+=|javascript:", re.IGNORECASE)


@pytest.fixture
def superuser() -> User:
    return make.make_superuser()


@pytest.fixture
def console(superuser: User) -> Client:
    return client_of(superuser)


def test_every_table_has_a_row_in_these_tests() -> None:
    assert set(our_models()) == set(TABLES)


@pytest.mark.parametrize("name", TABLES)
def test_list_search_and_detail_answer(name: str, console: Client) -> None:
    row = make_row(name, make.make_portfolio())
    assert console.get(url_of(row, "changelist")).context["cl"].result_count >= 1
    for term in ("x", "0"):
        assert console.get(url_of(row, "changelist"), {"q": term}).status_code == 200
    detail = console.get(change_url(row))
    assert detail.status_code == 200
    assert not INLINE_SCRIPT.search(detail.content.decode())


@pytest.mark.parametrize("name", TABLES)
def test_nothing_is_added_changed_or_deleted_by_hand(name: str, console: Client) -> None:
    row = make_row(name, make.make_portfolio())
    before = type(row).objects.filter(pk=row.pk).values().get()  # type: ignore[attr-defined]
    count = type(row).objects.count()  # type: ignore[attr-defined]
    assert console.get(url_of(row, "add")).status_code == 403
    values = {field: value for field, value in before.items() if value is not None}
    assert console.post(url_of(row, "add"), values).status_code == 403
    assert console.post(change_url(row), {"code": "CHANGED", "name": "changed"}).status_code == 403
    assert console.post(url_of(row, "delete", row.pk), {"post": "yes"}).status_code == 403
    console.post(
        url_of(row, "changelist"), {"action": "delete_selected", "_selected_action": [row.pk], "post": "yes"}
    )
    assert type(row).objects.filter(pk=row.pk).values().get() == before  # type: ignore[attr-defined]
    assert type(row).objects.count() == count  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", sorted(BOUND_ROWS))
def test_rows_of_a_foreign_portfolio_are_hidden(name: str) -> None:
    reader = make_reader()
    own = make.make_portfolio(owner=reader)
    mine, foreign = make_row(name, own), make_row(name, make.make_portfolio())
    client = client_of(reader)
    shown = {row.pk for row in client.get(url_of(foreign, "changelist")).context["cl"].result_list}
    assert mine.pk in shown
    assert foreign.pk not in shown
    assert client.get(change_url(mine)).status_code == 200
    # Django answers a row that the queryset does not hold with a redirect to the front page.
    assert client.get(change_url(foreign)).status_code == 302


@pytest.mark.parametrize("name", TABLES)
def test_queries_of_a_list_do_not_grow(name: str, console: Client) -> None:
    url = url_of(make_row(name, make.make_portfolio(owner=make.make_user())), "changelist")
    console.get(url)  # content types and the like are cached now
    one = queries_of(console, url)
    for _ in range(4):
        make_row(name, make.make_portfolio(owner=make.make_user()))
    assert queries_of(console, url) == one


@pytest.mark.parametrize("name", TABLES)
def test_filters_never_list_a_growing_table(name: str, console: Client) -> None:
    symbols = [f"GROWS{number}" for number in range(3)]
    portfolio = make.make_portfolio(symbols[0])
    for symbol in symbols:
        make.make_asset(symbol)
    make_row(name, portfolio)
    page = console.get(url_of(our_models()[name], "changelist")).content.decode()
    filters = page.partition('id="changelist-filter"')[2]
    assert not any(symbol in filters for symbol in symbols)


def test_autocomplete_offers_only_visible_portfolios() -> None:
    reader = make_reader()
    make.make_portfolio("MINE", owner=reader)
    make.make_portfolio("THEIRS")
    answer = client_of(reader).get(
        reverse("admin:autocomplete"),
        {"app_label": "portfolios", "model_name": "transaction", "field_name": "portfolio", "term": ""},
    )
    assert [choice["text"] for choice in answer.json()["results"]] == ["MINE"]


def test_a_filter_by_a_foreign_portfolio_shows_nothing_of_it() -> None:
    reader = make_reader()
    foreign = make.make_transaction(make.make_portfolio("THEIRS"))
    answer = client_of(reader).get(
        url_of(foreign, "changelist"), {"portfolio": foreign.portfolio_id}, follow=True
    )
    assert "THEIRS" not in answer.content.decode()


def test_filters_narrow_a_list(console: Client) -> None:
    one, other = (make.make_price(make.make_asset()) for _ in range(2))
    url = url_of(one, "changelist")

    def shown(**query: str | int) -> list[int]:
        return [row.pk for row in console.get(url, query).context["cl"].result_list]

    assert shown(asset=one.asset_id) == [one.pk]
    assert shown(date__gte="2024-03-28", date__lte="2024-03-28") == [other.pk, one.pk]
    assert shown(date__gte="2024-03-29") == []
    assert console.get(url, {"date__gte": "yesterday"}).status_code == 302


def test_a_count_beyond_its_limit_is_not_given_as_a_number(
    console: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("portfolio_site.kernel.pagination.CappedCountPaginator.count_limit", 2)
    bars = [make.make_price(make.make_asset()) for _ in range(4)]
    page = console.get(url_of(bars[0], "changelist")).content.decode()
    assert "More than 2 price bars" in page
    assert "3 results" not in page


def test_keys_of_api_tokens_are_not_shown(console: Client, superuser: User) -> None:
    token = Token.objects.create(user=superuser)
    shown = console.get("/admin/authtoken/tokenproxy/")
    assert superuser.username in shown.content.decode()
    assert token.key not in shown.content.decode()
    for page in ("change", "history", "delete"):
        answer = console.get(f"/admin/authtoken/tokenproxy/{superuser.pk}/{page}/")
        assert answer.status_code == 403
        assert token.key not in answer.content.decode()


# --- the front page -------------------------------------------------------------------------------


def test_empty_front_page_says_what_to_do(console: Client) -> None:
    page = console.get(INDEX).content.decode()
    assert "import_transactions" in page
    assert "Nothing has run yet" in page
    assert not INLINE_SCRIPT.search(page)


def _standing(owner: User) -> None:
    portfolio = make.make_portfolio(owner=owner)
    RebalancingPolicy.objects.create(portfolio=portfolio)
    make.make_performance(portfolio, total_value=1000, cash_value=100, daily_return=0.01)
    make.make_risk(portfolio, risk_level="low")
    make.make_event(portfolio)
    for target in (60, 40):
        make.make_allocation(portfolio, make.make_asset(), target, current_percentage=45, drift_percentage=5)
    make.make_run(portfolio.code, requested_by=owner)


@pytest.mark.parametrize("is_superuser", [True, False])
def test_queries_of_the_front_page_do_not_grow(is_superuser: bool) -> None:
    user = make.make_superuser() if is_superuser else make_reader()
    client = client_of(user)
    _standing(user)
    client.get(INDEX)
    one = queries_of(client, INDEX)
    for _ in range(4):
        _standing(user)
    assert queries_of(client, INDEX) == one
    assert len(client.get(INDEX).context["dashboard"].standings) == 5


def test_front_page_shows_stored_figures(console: Client) -> None:
    portfolio = make.make_portfolio("TECH", base_currency="EUR")
    make.make_performance(
        portfolio, total_value="1234567.891", cash_value=0, daily_return=-0.0123, return_ytd=0.05
    )
    make.make_risk(portfolio, risk_level="very_high")
    event = make.make_event(portfolio, actions=[{"symbol": "X"}])
    page = console.get(INDEX).content.decode()
    assert '1,234,567.89 <span class="unit">EUR</span>' in page
    assert '<span class="figure negative">−1.23%</span>' in page
    assert "+5.00%" in page
    assert '<span class="badge badge-bad">Very high</span>' in page
    assert change_url(event) in page
    assert "1 trade<" in page


def test_front_page_gives_the_reason_for_what_is_unknown(console: Client) -> None:
    portfolio = make.make_portfolio()
    make.make_performance(portfolio, quality={"total_value": "no rate from JPY to USD"})
    assert 'title="no rate from JPY to USD">–<' in console.get(INDEX).content.decode()


def test_front_page_hides_foreign_portfolios_and_runs() -> None:
    reader = make_reader()
    _standing(make.make_user())
    run = make.make_run()
    PortfolioAllocation.objects.update(is_breached=True)
    answer = client_of(reader).get(INDEX)
    assert answer.context["dashboard"].standings == []
    assert answer.context["dashboard"].runs == []
    assert change_url(run) not in answer.content.decode()

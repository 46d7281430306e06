"""The search in the head of every page."""

import pytest
from django.test import Client

from portfolios.models import PortfolioAccess, PortfolioRole
from tests.support import factories as make
from tests.support.admin import client_of

pytestmark = [pytest.mark.django_db, pytest.mark.once]

SEARCH = "/admin/search/"


@pytest.fixture
def console() -> Client:
    return client_of(make.make_superuser())


def test_what_is_called_exactly_so_is_gone_to(console: Client) -> None:
    portfolio, asset = make.make_portfolio("GROWTH"), make.make_asset("MSFT")
    make.make_portfolio("GROWTH2")
    event = make.make_event(portfolio)
    pages = {
        term: console.get(SEARCH, {"q": term})["Location"] for term in ("growth", "MSFT", f"#{event.pk}")
    }
    assert pages == {
        "growth": f"/admin/portfolios/portfolio/{portfolio.pk}/overview/",
        "MSFT": f"/admin/portfolios/asset/{asset.pk}/overview/",
        f"#{event.pk}": f"/admin/analytics/rebalancingevent/{event.pk}/change/",
    }


def test_what_is_alike_is_listed_the_closest_first(console: Client) -> None:
    for code in ("OLDGROWTH", "GROWTH1", "GROWTH2", "INCOME"):
        make.make_portfolio(code)
    page = console.get(SEARCH, {"q": "growth"}).content.decode()
    places = [page.index(code) for code in ("GROWTH1", "GROWTH2", "OLDGROWTH")]
    assert places == sorted(places)
    assert "INCOME" not in page


@pytest.mark.parametrize("term", ["", "nothing", "\0", "%", "9" * 40, "' OR 1=1 --", "x" * 5000])
def test_any_term_is_answered(console: Client, term: str) -> None:
    make.make_portfolio("GROWTH")
    answer = console.get(SEARCH, {"q": term})
    assert answer.status_code == 200
    assert "GROWTH" not in answer.content.decode()


def test_nobody_finds_what_is_not_theirs() -> None:
    own, foreign = make.make_portfolio("GROWTH1"), make.make_portfolio("GROWTH2")
    event = make.make_event(foreign)
    user = make.make_user(is_staff=True)
    PortfolioAccess.objects.create(portfolio=own, user=user, role=PortfolioRole.VIEWER)
    client = client_of(user)
    page = client.get(SEARCH, {"q": "GROWTH"}).content.decode()
    assert "GROWTH1" in page
    assert "GROWTH2" not in page
    for term in ("GROWTH2", f"#{event.pk}"):
        answer = client.get(SEARCH, {"q": term})
        assert answer.status_code == 200
        assert "Nothing that you may see" in answer.content.decode()


def test_the_search_is_for_staff_only() -> None:
    assert client_of(make.make_user()).get(SEARCH, {"q": "x"}).status_code == 302

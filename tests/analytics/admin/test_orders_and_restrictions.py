"""Versions, orders, fills and restrictions in the console."""

import datetime as dt

import pytest

from tests.support import factories as make
from tests.support.admin import (
    change_url,
    client_of,
    make_fill,
    make_reader,
    make_restriction,
    make_version,
    url_of,
)

pytestmark = pytest.mark.django_db


def test_an_order_shows_its_fills() -> None:
    fill = make_fill(make.make_portfolio("P1"))
    page = client_of(make.make_superuser()).get(change_url(fill.order)).content.decode()
    assert fill.order.client_order_id in page
    assert fill.venue_fill_id in page
    assert '159.50 <span class="unit">USD</span>' in page


def test_a_version_shows_what_it_was_made_from() -> None:
    version = make_version(make.make_portfolio("P1"))
    page = client_of(make.make_superuser()).get(change_url(version)).content.decode()
    assert version.proposal_hash in page
    assert "above its band" in page


def test_the_restricted_list_is_for_everyone_and_others_are_not() -> None:
    reader = make_reader()
    for_all, foreign = make_restriction(None), make_restriction(make.make_portfolio())
    answer = client_of(reader).get(url_of(for_all, "changelist"))
    assert [row.pk for row in answer.context["cl"].result_list] == [for_all.pk]
    assert client_of(reader).get(change_url(foreign)).status_code == 302


def test_a_restriction_says_whether_it_is_in_force(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("analytics.admin.restrictions.today", lambda: dt.date(2024, 6, 3))
    for fields, state in (
        ({"starts_on": dt.date(2024, 6, 4)}, "to come"),
        ({"starts_on": dt.date(2024, 6, 3)}, "in force"),
        ({"ends_on": dt.date(2024, 6, 3)}, "in force"),
        ({"ends_on": dt.date(2024, 6, 2)}, "ended"),
    ):
        row = make_restriction(None, **fields)
        page = client_of(make.make_superuser()).get(change_url(row)).content.decode()
        assert f">{state}</span>" in page


def test_a_restriction_names_what_it_is_about() -> None:
    client = client_of(make.make_superuser())
    for fields, subject in (
        ({"asset": None}, "every asset"),
        ({"asset": None, "issuer": "ACME Corp", "sector": "Energy"}, "issuer ACME Corp, sector Energy"),
    ):
        listed = client.get(url_of(make_restriction(None, **fields), "changelist")).content.decode()
        assert subject in listed

"""The audit trail of a portfolio as a timeline in words."""

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from analytics.admin.portfolio_page import audit
from portfolios.models import Portfolio
from portfolios.selectors.audit_words import differences, event_in_words
from tests.support import factories as make
from tests.support.admin import change_url, client_of, make_reader, queries_of

pytestmark = [pytest.mark.django_db, pytest.mark.once]


def url(portfolio: Portfolio, **query: Any) -> str:
    return reverse("admin:portfolios_portfolio_audit", args=[portfolio.pk], query=query)


def entries_of(client: Client, portfolio: Portfolio, **query: Any) -> list[audit.Entry]:
    answer = client.get(url(portfolio, **query))
    assert answer.status_code == 200
    return answer.context["entries"]


def test_differences_are_lines_that_people_read() -> None:
    event = make.make_audit_event(
        action="allocation.changed",
        before={"targets": {"AAPL": {"target_percentage": "25.000000", "is_active": True}}, "same": 1},
        after={
            "targets": {"AAPL": {"target_percentage": "28", "is_active": False}},
            "same": 1,
            "notes": ["a", "b"],
            "joined": [],
            "hash": "ab" * 32,
            "rows": [{"x": 1}, {"x": 2}],
        },
    )
    assert event_in_words(event) == "changed the targets"
    assert sorted(differences(event)) == [
        "hash: abababababab\N{HORIZONTAL ELLIPSIS}",
        "notes: a, b",
        "rows: 2 entries",
        "targets, AAPL, is active: yes \N{RIGHTWARDS ARROW} no",
        "targets, AAPL, target percentage: 25 \N{RIGHTWARDS ARROW} 28",
    ]


def test_an_action_without_words_of_its_own_is_still_read() -> None:
    event = make.make_audit_event(action="stale_mark.cleared_away", before=None, after=[1, 2])
    assert event_in_words(event) == "stale mark: cleared away"
    assert differences(event) == ["value: 1, 2"]


def test_only_the_portfolio_s_events_are_shown_and_a_foreign_one_has_no_page() -> None:
    reader, mine, theirs = make_reader(), make.make_portfolio(), make.make_portfolio()
    make.grant(reader, mine)
    client = client_of(reader)
    assert audit.EMPTY in client.get(url(mine)).content.decode()
    make.make_audit_event(theirs)
    make.make_audit_event(None)
    own = make.make_audit_event(mine, reason="yearly review", actor=reader)
    (entry,) = entries_of(client, mine)
    assert entry.url == change_url(own)
    assert entry.actor == reader.username
    assert entry.when.endswith(" UTC")
    assert "yearly review" in client.get(url(mine)).content.decode()
    assert client.get(url(theirs)).status_code == 404


def test_without_the_permission_the_trail_is_not_read() -> None:
    user, portfolio = make_reader(), make.make_portfolio()
    make.grant(user, portfolio)
    group = user.groups.get()
    group.permissions.remove(group.permissions.get(codename="view_auditevent"))
    make.make_audit_event(portfolio, reason="secret")
    page = client_of(user).get(url(portfolio)).content.decode()
    assert "secret" not in page
    assert audit.NOT_ALLOWED in page


def test_filters_are_by_person_day_and_object() -> None:
    portfolio, person = make.make_portfolio(), make.make_user("anna")
    event = make.make_audit_event(portfolio, actor=person, object_type="rebalancing_event", object_id=3)
    make.make_audit_event(portfolio, object_type="rebalancing_event", object_id=4)
    client, day = client_of(make.make_superuser()), event.occurred_at.date()
    assert [entry.actor for entry in entries_of(client, portfolio, person="anna")] == ["anna"]
    assert len(entries_of(client, portfolio, object="rebalancing event")) == 2
    assert len(entries_of(client, portfolio, object="rebalancing event 3")) == 1
    assert len(entries_of(client, portfolio, day=day)) == 2
    assert entries_of(client, portfolio, day="2001-01-01") == []


def test_older_events_follow_by_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "ON_SCREEN", 2)
    portfolio, client = make.make_portfolio(), client_of(make.make_superuser())
    made = [make.make_audit_event(portfolio) for _ in range(3)]
    answer = client.get(url(portfolio))
    assert len(answer.context["entries"]) == 2
    assert dict(answer.context["links"])["Older"] == f"?before={made[1].sequence}"
    (oldest,) = entries_of(client, portfolio, before=made[1].sequence)
    assert oldest.url == change_url(made[0])
    assert client.get(url(portfolio, before="x")).status_code == 404


def test_the_file_is_safe_and_has_the_differences() -> None:
    portfolio = make.make_portfolio()
    make.make_audit_event(portfolio, before={"name": "Old"}, after={"name": "New"}, reason="=1+1")
    answer = client_of(make.make_superuser()).get(url(portfolio, table="audit", format="csv"))
    line = answer.content.decode("utf-8-sig").splitlines()[1]
    assert line.endswith(",name: Old \N{RIGHTWARDS ARROW} New,'=1+1")


def test_queries_do_not_grow_with_events() -> None:
    portfolio, client = make.make_portfolio(), client_of(make.make_superuser())
    make.make_audit_event(portfolio)
    few = queries_of(client, url(portfolio))
    for _ in range(5):
        make.make_audit_event(portfolio, before={"a": 1}, after={"a": 2})
    assert queries_of(client, url(portfolio)) == few


def test_the_record_of_an_event_has_the_same_words() -> None:
    event = make.make_audit_event(action="policy.changed", before={"mode": "full"}, after={"mode": "bands"})
    page = client_of(make.make_superuser()).get(change_url(event)).content.decode()
    assert "system changed the rebalancing policy" in page
    assert "mode: full \N{RIGHTWARDS ARROW} bands" in page

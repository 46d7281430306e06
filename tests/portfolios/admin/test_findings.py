"""Findings in the console: narrowed down by filters, accepted with a note, and by those who may."""

from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client

from portfolios.models import AuditEvent, DataFinding, FindingKind
from tests.support import factories as make
from tests.support.admin import change_url, client_of, make_reader, url_of
from tests.support.imports import nothing_written

pytestmark = pytest.mark.django_db


@pytest.fixture
def findings() -> list[DataFinding]:
    asset = make.make_asset("ACME")
    return [
        make.make_finding(asset),
        make.make_finding(asset, kind=FindingKind.UNADJUSTED_ACTION, severity="error"),
        make.make_finding(make.make_asset("RHEIN"), severity="info"),
    ]


def accept(client: Client, rows: list[DataFinding], note: str) -> str:
    answer = client.post(
        url_of(DataFinding, "changelist"),
        {"action": "accept", "note": note, "_selected_action": [row.pk for row in rows]},
        follow=True,
    )
    return answer.content.decode()


def reload(rows: list[DataFinding]) -> list[tuple[str, str]]:
    for row in rows:
        row.refresh_from_db()
    return [(row.status, row.note) for row in rows]


def test_filters_narrow_the_list(findings: list[DataFinding]) -> None:
    client = client_of(make.make_superuser())

    def shown(**query: Any) -> set[int]:
        result = client.get(url_of(DataFinding, "changelist"), query).context["cl"].result_list
        return {row.pk for row in result}

    first, second, third = (row.pk for row in findings)
    assert shown() == {first, second, third}
    assert shown(kind__exact="unadjusted_action") == {second}
    assert shown(severity__exact="info") == {third}
    assert shown(status__exact="resolved") == set()
    assert shown(asset=findings[0].asset_id) == {first, second}
    assert shown(date__gte="2024-03-29") == set()


def test_some_are_accepted_with_a_note(findings: list[DataFinding]) -> None:
    boss = make.make_superuser()
    page = accept(client_of(boss), findings[:2], "spin-off, known")
    assert "2 accepted." in page
    assert reload(findings) == [("accepted", "spin-off, known")] * 2 + [("open", "")]
    assert findings[0].decided_by == boss
    assert AuditEvent.objects.filter(action="data_finding.accepted", actor=boss.username).count() == 2


def test_without_a_note_or_when_closed_nothing_is_accepted(findings: list[DataFinding]) -> None:
    client = client_of(make.make_superuser())
    DataFinding.objects.filter(pk=findings[0].pk).update(status="resolved")
    with nothing_written():
        assert "must say why" in accept(client, findings[1:2], " ")
        assert "is no longer open" in accept(client, findings[:1], "fine")


def test_readers_see_findings_and_only_who_may_change_them_accepts(findings: list[DataFinding]) -> None:
    reader = make_reader()
    client = client_of(reader)
    assert "Accept with note" not in client.get(url_of(DataFinding, "changelist")).content.decode()
    with nothing_written():
        accept(client, findings, "fine")
    reader.user_permissions.add(Permission.objects.get(codename="change_datafinding"))
    client = client_of(User.objects.get(pk=reader.pk))
    page = client.get(url_of(DataFinding, "changelist")).content.decode()
    assert "Accept with note" in page
    assert "Delete selected" not in page
    assert "1 accepted." in accept(client, findings[:1], "fine")


def test_an_asset_leads_to_its_findings(findings: list[DataFinding]) -> None:
    client = client_of(make_reader())
    DataFinding.objects.filter(pk=findings[0].pk).update(status="resolved")
    page = client.get(change_url(findings[0].asset)).content.decode()
    url = f"{url_of(DataFinding, 'changelist')}?asset={findings[0].asset_id}"
    assert f'<a href="{url}">1 open</a>' in page
    assert client.get(url).status_code == 200

"""The audit ledger as people read it."""

import datetime as dt

import pytest

from tests.support import factories as make
from tests.support.admin import change_url, client_of, make_reader, url_of

pytestmark = pytest.mark.django_db


def test_what_changed_is_marked() -> None:
    event = make.make_audit_event(
        before={"target": "25", "band": "5"}, after={"target": "28", "band": "5"}, reason="yearly review"
    )
    page = client_of(make.make_superuser()).get(change_url(event)).content.decode()
    assert (
        '<tr class="changed"><th scope="row">Target</th><td class="number">25</td><td class="number">28</td>'
        in page
    )
    assert '<tr class=""><th scope="row">Band</th>' in page
    assert "yearly review" in page


@pytest.mark.parametrize(
    ("term", "found"), [("allocation", 1), ("allocation.changed", 1), ("changed", 0), ("77", 1)]
)
def test_search_is_by_beginning_or_whole(term: str, found: int) -> None:
    event = make.make_audit_event(action="allocation.changed", object_id="77")
    make.make_audit_event(action="portfolio.created", object_id="78")
    answer = client_of(make.make_superuser()).get(url_of(event, "changelist"), {"q": term})
    assert answer.context["cl"].result_count == found


def test_events_without_a_portfolio_are_for_auditors() -> None:
    event = make.make_audit_event(None)
    assert client_of(make_reader()).get(url_of(event, "changelist")).context["cl"].result_count == 0


def test_both_days_of_a_range_are_included() -> None:
    event = make.make_audit_event()
    client, day = client_of(make.make_superuser()), event.occurred_at.date()

    def shown(first: dt.date, last: dt.date) -> int:
        query = {"occurred_at__gte": first.isoformat(), "occurred_at__lte": last.isoformat()}
        return client.get(url_of(event, "changelist"), query).context["cl"].result_count

    one = dt.timedelta(days=1)
    assert shown(day, day) == 1
    assert shown(day - one, day - one) == 0
    assert shown(day + one, day + one) == 0

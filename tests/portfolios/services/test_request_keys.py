"""Requests under a key: done once, answered the same ever after."""

import datetime as dt
import threading
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from hypothesis import given
from hypothesis import strategies as st

from portfolios.models import AuditEvent, RequestKey
from portfolios.services.audit import audit_append
from portfolios.services.request_keys import RequestKeyConflict, request_once
from tests.support import factories as make
from tests.support.threads import in_thread, together

BODY = {"event": 7, "note": "as discussed"}


class Counted:
    """Work that can be counted: each time it leaves an audit row and another answer."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self) -> dict[str, Any]:
        self.times += 1
        audit_append(action="test.done", object_type="test", object_id=self.times)
        return {"time": self.times}


def works_done() -> int:
    return AuditEvent.objects.filter(action="test.done").count()


@pytest.mark.django_db
def test_the_same_request_gets_the_first_answer_and_is_not_done_again() -> None:
    user, work = make.make_user(), Counted()
    first = request_once("k1", user, "test", BODY, work)
    again = request_once("k1", user, "test", {"note": "as discussed", "event": 7}, work)
    assert first == again == {"time": 1}
    assert (work.times, works_done()) == (1, 1)
    stored = RequestKey.objects.get()
    assert (stored.user, stored.key, stored.action, stored.answer) == (user, "k1", "test", {"time": 1})


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("action", "body", "message"),
    [
        ("test", {**BODY, "event": 8}, "the key k1 was used before, for test with another body"),
        ("other", BODY, "the key k1 was used before, for test"),
    ],
)
def test_the_same_key_for_another_request_is_a_conflict_that_changes_nothing(
    action: str, body: dict[str, Any], message: str
) -> None:
    user, work = make.make_user(), Counted()
    request_once("k1", user, "test", BODY, work)
    before = list(RequestKey.objects.values())
    with pytest.raises(RequestKeyConflict) as conflict:
        request_once("k1", user, action, body, work)
    assert str(conflict.value) == message
    assert (work.times, works_done()) == (1, 1)
    assert list(RequestKey.objects.values()) == before


@pytest.mark.django_db
def test_a_key_belongs_to_its_user() -> None:
    work = Counted()
    callers = [make.make_user(), make.make_user(), None]
    assert [request_once("k1", user, "test", BODY, work)["time"] for user in callers] == [1, 2, 3]
    # Who is not signed in is not the system, and gets none of its answers.
    with pytest.raises(PermissionDenied, match="must say whose it is"):
        request_once("k1", AnonymousUser(), "test", BODY, work)
    assert RequestKey.objects.count() == 3


@pytest.mark.django_db
def test_what_fails_leaves_the_key_free() -> None:
    user, work = make.make_user(), Counted()

    def fail() -> None:
        work()
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        request_once("k1", user, "test", BODY, fail)
    assert (RequestKey.objects.count(), works_done()) == (0, 0)
    assert request_once("k1", user, "test", BODY, work) == {"time": 2}


@pytest.mark.django_db
@pytest.mark.parametrize(("key", "message"), [("", "blank"), ("k" * 129, "at most 128")])
def test_a_key_without_text_or_with_too_much_is_refused(key: str, message: str) -> None:
    work = Counted()
    with pytest.raises(ValidationError, match=message) as error:
        request_once(key, None, "test", BODY, work)
    assert set(error.value.message_dict) == {"key"}
    assert (work.times, RequestKey.objects.count()) == (0, 0)


@pytest.mark.django_db
def test_the_first_answer_reads_like_every_later_one() -> None:
    answer = {"amount": Decimal("1.50"), "day": dt.date(2024, 3, 28), "lines": (1, 2)}
    first = request_once("k1", None, "test", BODY, lambda: answer)
    assert first == {"amount": "1.5", "day": "2024-03-28", "lines": [1, 2]}
    assert request_once("k1", None, "test", BODY, lambda: answer) == first
    assert request_once("k2", None, "test", BODY, lambda: None) is None
    assert request_once("k2", None, "test", BODY, lambda: 1) is None


@pytest.mark.django_db
@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 2)), max_size=8))
def test_whatever_comes_in_whatever_order_each_key_is_done_once(requests: list[tuple[str, int]]) -> None:
    def ask(key: str, body: int, place: int) -> Any:
        return request_once(key, None, "test", body, lambda: [body, place])

    with transaction.atomic():
        first: dict[str, int] = {}
        for place, (key, body) in enumerate(requests):
            if requests[first.setdefault(key, place)] == (key, body):
                assert ask(key, body, place) == [body, first[key]]
            else:
                with pytest.raises(RequestKeyConflict):
                    ask(key, body, place)
        assert RequestKey.objects.count() == len(first)
        transaction.set_rollback(True)


@pytest.mark.servers
@pytest.mark.django_db(transaction=True)
def test_sent_four_times_at_once_it_is_done_once_and_all_get_the_answer() -> None:
    user, work = make.make_user(), Counted()
    answers = together(*[lambda: request_once("k1", user, "test", BODY, work)] * 4)
    assert answers == [{"time": 1}] * 4
    assert (work.times, works_done(), RequestKey.objects.count()) == (1, 1, 1)


@pytest.mark.servers
@pytest.mark.django_db(transaction=True)
def test_another_request_under_the_key_waits_for_the_first_and_conflicts() -> None:
    user, work = make.make_user(), Counted()
    started, may_end = threading.Event(), threading.Event()

    def slowly() -> dict[str, Any]:
        answer = work()
        started.set()
        assert may_end.wait(30)
        return answer

    first = in_thread(lambda: request_once("k1", user, "test", BODY, slowly))
    assert started.wait(30)
    second = in_thread(lambda: request_once("k1", user, "test", "another", work))
    with pytest.raises(TimeoutError):
        second.result(timeout=0.3)
    may_end.set()
    assert first.result(timeout=30) == {"time": 1}
    assert isinstance(second.exception(timeout=30), RequestKeyConflict)
    assert (work.times, works_done()) == (1, 1)


@pytest.mark.servers
@pytest.mark.django_db(transaction=True)
def test_who_waited_for_one_that_failed_does_the_work() -> None:
    user, work = make.make_user(), Counted()
    started, may_end = threading.Event(), threading.Event()

    def fail() -> None:
        started.set()
        assert may_end.wait(30)
        raise ValueError("no")

    first = in_thread(lambda: request_once("k1", user, "test", BODY, fail))
    assert started.wait(30)
    second = in_thread(lambda: request_once("k1", user, "test", BODY, work))
    may_end.set()
    assert isinstance(first.exception(timeout=30), ValueError)
    assert second.result(timeout=30) == {"time": 1}
    assert (works_done(), RequestKey.objects.count()) == (1, 1)

"""Locks hold others back where there are others, and ask for a transaction everywhere."""

import threading
from collections.abc import Callable

import pytest
from django.db import connection, transaction

from portfolio_site.kernel.locks import lock_rows, wait_for_writers
from portfolios.models import ChangeCause, StaleMark
from tests.support import factories as make
from tests.support.threads import in_thread


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("lock", [lambda: lock_rows(StaleMark, [1]), lambda: wait_for_writers(StaleMark)])
def test_a_lock_outside_a_transaction_is_refused(lock: Callable[[], object]) -> None:
    assert not connection.in_atomic_block
    with pytest.raises(RuntimeError, match="inside a transaction"):
        lock()


@pytest.mark.django_db
def test_only_rows_that_exist_are_named_in_their_order() -> None:
    first, second = make.make_asset(), make.make_asset()
    assert lock_rows(type(first), [second.pk, first.pk, second.pk + 1000]) == [first.pk, second.pk]
    assert lock_rows(type(first), []) == []


@pytest.mark.servers
@pytest.mark.django_db(transaction=True)
def test_a_locked_row_holds_back_the_next_locker_and_lets_lines_point_at_it() -> None:
    portfolio = make.make_portfolio()
    locked = threading.Event()

    def lock() -> None:
        with transaction.atomic():
            lock_rows(type(portfolio), [portfolio.pk])
            locked.set()

    with transaction.atomic():
        lock_rows(type(portfolio), [portfolio.pk])
        other = in_thread(lock)
        in_thread(lambda: make.make_transaction(portfolio)).result(timeout=10)
        assert not locked.wait(0.3)
    other.result(timeout=10)
    assert locked.is_set()


@pytest.mark.servers
@pytest.mark.django_db(transaction=True)
def test_after_waiting_for_writers_no_smaller_id_is_to_come() -> None:
    asset = make.make_asset()
    found: list[int] = []

    def mark() -> StaleMark:
        return StaleMark.objects.create(asset=asset, from_date=make.DAY, cause=ChangeCause.PRICE)

    def read() -> None:
        with transaction.atomic():
            wait_for_writers(StaleMark)
            found.extend(StaleMark.objects.order_by("pk").values_list("pk", flat=True))

    with transaction.atomic():
        early = mark()
        late = in_thread(mark).result(timeout=10)
        assert late.pk > early.pk
        reader = in_thread(read)
        with pytest.raises(TimeoutError):
            reader.result(timeout=0.3)
    reader.result(timeout=10)
    assert found == [early.pk, late.pk]

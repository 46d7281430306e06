"""The demo, loaded and computed once for all tests of its figures."""

import pytest
from django.core.management import call_command
from django.db import connection, transaction
from pytest_django.plugin import DjangoDbBlocker

from tests.support.demo_house import DemoHouse, fingerprints, read_tables


@pytest.fixture(scope="package")
def demo_house(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> DemoHouse:
    """Load and compute twice, keep what was stored, and leave the database as it was.

    Foreign keys are checked at the end, all at once: row by row within one long transaction, SQLite takes
    minutes in memory.
    """
    with (
        pytest.MonkeyPatch.context() as patch,
        django_db_blocker.unblock(),
        connection.constraint_checks_disabled(),
        transaction.atomic(),
    ):
        patch.setenv("DEMO_PASSWORD", "only-for-these-tests-0123456789")
        call_command("load_demo")
        call_command("run_analytics")
        connection.check_constraints()
        tables, not_finite = read_tables()
        first = fingerprints()
        call_command("load_demo")
        call_command("run_analytics")
        second = fingerprints()
        transaction.set_rollback(True)
    return DemoHouse(tables, not_finite, first, second)

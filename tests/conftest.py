"""What all tests share."""

import hypothesis
import pytest
from django.conf import settings
from django.test import TransactionTestCase

from tests.support.flush import flushable_database

__all__ = ["flushable_database"]

# How long an example takes depends on the machine and on its neighbours.
hypothesis.settings.register_profile("house", deadline=None, max_examples=50)
hypothesis.settings.load_profile("house")

# Each keeps one worker busy for so long that the others would wait for it at the end.
LONGEST = ("test_migrations.py", "test_restatement_migration.py", "test_killed_workers.py")
DATABASE_FIXTURES = {"db", "transactional_db", "live_server"}


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "once: rules that no engine changes; not run again on PostgreSQL")
    config.addinivalue_line("markers", "servers: needs a real PostgreSQL and Redis; not collected elsewhere")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark what must also hold on PostgreSQL and Redis, before `-m services` selects by it."""
    for item in items:
        again = uses_database(item) or item.get_closest_marker("broker")
        if again and not item.get_closest_marker("once"):
            item.add_marker("services")
    items.sort(key=lambda item: not item.path.name.endswith(LONGEST))
    if not has_servers():
        elsewhere = [item for item in items if item.get_closest_marker("servers")]
        config.hook.pytest_deselected(items=elsewhere)
        items[:] = [item for item in items if item not in elsewhere]


def has_servers() -> bool:
    return bool(settings.REDIS_URL) and settings.DATABASES["default"]["ENGINE"].endswith("postgresql")


def uses_database(item: pytest.Item) -> bool:
    test_class = getattr(item, "cls", None)
    return (
        item.get_closest_marker("django_db") is not None
        or not DATABASE_FIXTURES.isdisjoint(getattr(item, "fixturenames", ()))
        or (isinstance(test_class, type) and issubclass(test_class, TransactionTestCase))
    )

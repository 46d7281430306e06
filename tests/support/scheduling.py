"""Which tests xdist sends to the same worker.

All tests of the demo's figures share one load of the demo. Their group is told by their folder: the mark
`xdist_group` says nothing to xdist 3.8 under pytest 9.2, which builds node ids from another attribute.
"""

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadGroupScheduling

DEMO_TESTS = "tests/e2e/test_demo_"


class DemoScheduling(LoadGroupScheduling):
    """One test at a time to whichever worker is free, but the demo's all to one."""

    def _split_scope(self, nodeid: str) -> str:
        return DEMO_TESTS if nodeid.startswith(DEMO_TESTS) else super()._split_scope(nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> DemoScheduling | None:
    return DemoScheduling(config, log) if config.getvalue("dist") == "loadgroup" else None

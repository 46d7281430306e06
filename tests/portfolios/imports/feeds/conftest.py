from collections.abc import Iterator

import pytest

from tests.support.market import Market, open_market


@pytest.fixture
def market(monkeypatch: pytest.MonkeyPatch) -> Iterator[Market]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with open_market() as found:
        yield found

import pytest

from tests.support import factories as make
from tests.support.admin import change_url, client_of, make_full_event

pytestmark = pytest.mark.django_db


def test_an_event_shows_its_trades_and_every_line() -> None:
    event = make_full_event(make.make_portfolio())
    page = client_of(make.make_superuser()).get(change_url(event)).content.decode()
    assert '<th scope="row">AAPL</th>' in page
    assert '<span class="figure">4,500</span>' in page
    assert "above its band" in page
    assert '<span class="figure">27.50%</span>' in page
    assert "{&#x27;" not in page
    assert "[{" not in page

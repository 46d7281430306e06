"""Households in the console: shown with the portfolios that one may see, and no others."""

import pytest

from portfolios.models import Household
from tests.support import factories as make
from tests.support.admin import change_url, client_of, make_reader, url_of

pytestmark = pytest.mark.django_db


def test_a_household_names_only_portfolios_that_one_may_see() -> None:
    reader = make_reader()
    both = Household.objects.create(code="SMITH", name="Smith")
    other = Household.objects.create(code="OTHER", name="Other")
    make.make_portfolio("HERS", owner=reader, household=both)
    make.make_portfolio("HIS", household=both)
    make.make_portfolio("THEIRS", household=other)
    client = client_of(reader)
    listed = client.get(url_of(both, "changelist"))
    assert [row.code for row in listed.context["cl"].result_list] == ["SMITH"]
    for page in (listed, client.get(change_url(both))):
        assert "HERS" in page.content.decode()
        assert "HIS<" not in page.content.decode()
        assert "HERS, HIS" not in page.content.decode()
    everything = client_of(make.make_superuser()).get(url_of(both, "changelist")).content.decode()
    assert "HERS, HIS" in everything

import pytest
from django.core.exceptions import ValidationError

from portfolios.models import AuditEvent, StaleMark
from portfolios.services.households import household_create, household_join
from portfolios.services.portfolios import portfolio_update
from tests.support import factories as make
from tests.support.imports import nothing_written

pytestmark = pytest.mark.django_db


def test_a_household_is_created_once() -> None:
    user = make.make_user("smith")
    household = household_create(code="SMITH", name="The Smiths", actor=user)
    event = AuditEvent.objects.get()
    assert (event.action, event.actor, event.object_id) == ("household.created", "smith", str(household.pk))
    assert event.after == {"code": "SMITH", "name": "The Smiths"}
    with nothing_written(), pytest.raises(ValidationError, match="already exists"):
        household_create(code="SMITH", name="Others")


def test_a_portfolio_joins_and_leaves_a_household() -> None:
    portfolio = make.make_portfolio("P1")
    household = household_create(code="SMITH", name="The Smiths")
    household_join(portfolio, household)
    assert list(household.portfolios.all()) == [portfolio]
    event = AuditEvent.objects.latest("sequence")
    assert (event.action, event.before, event.after) == (
        "portfolio.changed",
        {"household_id": None},
        {"household_id": household.pk},
    )
    household_join(portfolio, None)
    assert not household.portfolios.exists()
    assert not StaleMark.objects.exists()


def test_the_tax_treatment_is_one_of_those_that_exist() -> None:
    portfolio = make.make_portfolio("P1")
    portfolio_update(portfolio, tax_treatment="deferred")
    with nothing_written(), pytest.raises(ValidationError):
        portfolio_update(portfolio, tax_treatment="offshore")

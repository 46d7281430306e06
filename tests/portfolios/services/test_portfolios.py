import datetime as dt

import pytest
from django.core.exceptions import ValidationError

from portfolios.models import AuditEvent, StaleMark
from portfolios.services.portfolios import portfolio_create, portfolio_update
from tests.support.factories import make_portfolio, make_transaction
from tests.support.imports import nothing_written

pytestmark = pytest.mark.django_db


def test_name_is_changed_and_audited() -> None:
    portfolio = make_portfolio("P1", name="Old")
    portfolio_update(portfolio, name="New")
    event = AuditEvent.objects.get()
    assert (event.action, event.before, event.after) == (
        "portfolio.changed",
        {"name": "Old"},
        {"name": "New"},
    )
    assert not StaleMark.objects.exists()
    with nothing_written():
        portfolio_update(portfolio, name="New")


def test_parameter_of_figures_makes_the_history_stale() -> None:
    portfolio = make_portfolio("P1")
    make_transaction(portfolio, trade_date=dt.date(2024, 1, 2))
    portfolio_update(portfolio, risk_free="ESTR")
    mark = StaleMark.objects.get()
    assert (mark.portfolio, mark.from_date, mark.cause) == (portfolio, dt.date(2024, 1, 2), "parameter")


def test_impossible_values_are_refused() -> None:
    portfolio = make_portfolio("P1")
    with nothing_written():
        with pytest.raises(ValidationError):
            portfolio_update(portfolio, cost_method="lofo")
        with pytest.raises(TypeError, match="code"):
            portfolio_update(portfolio, code="P2")
        with pytest.raises(ValidationError):
            portfolio_create(code="P1", name="again", base_currency="USD")

"""Why did this figure change? Told in order, and only to those who may see the figure."""

import datetime as dt
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser

from analytics.models import PublishedTable, Restatement
from analytics.selectors.restatements import FigureChange, figure_history, visible_restatements
from portfolios.models import Asset, Portfolio
from tests.support import factories as make

pytestmark = pytest.mark.django_db
NEXT_DAY = make.DAY + dt.timedelta(days=1)


def restate(subject: Portfolio | Asset, changes: dict[str, Any], **fields: Any) -> Restatement:
    if isinstance(subject, Portfolio):
        fields |= {"portfolio": subject, "table_name": PublishedTable.PERFORMANCE}
    else:
        fields |= {"asset": subject, "table_name": PublishedTable.ASSETS}
    defaults = {"row_date": make.DAY, "cause": "price", "causes": [{"cause": "price", "subject": "ACME"}]}
    return Restatement.objects.create(changes=changes, **defaults | fields)


def told(subject: Portfolio | Asset, field: str = "", day: dt.date = make.DAY) -> list[FigureChange]:
    table = PublishedTable.PERFORMANCE if isinstance(subject, Portfolio) else PublishedTable.ASSETS
    return figure_history(Restatement.objects.all(), subject, table, day, field)


def test_the_changes_of_a_figure_are_told_in_order() -> None:
    portfolio = make.make_portfolio()
    run = make.make_run()
    first = restate(portfolio, {"total_value": ["1.000000", "2.000000"], "beta": [None, 0.5]}, run=run)
    second = restate(portfolio, {"total_value": ["2.000000", None]}, causes=[])
    assert told(portfolio, "total_value") == [
        FigureChange(first.created_at, "total_value", "1.000000", "2.000000", first.causes, run.pk),
        FigureChange(second.created_at, "total_value", "2.000000", None, [], None),
    ]
    assert [change.field for change in told(portfolio)] == ["beta", "total_value", "total_value"]
    assert told(portfolio, "alpha") == []
    assert told(portfolio, day=NEXT_DAY) == []


def test_a_figure_is_of_one_subject_and_one_table() -> None:
    portfolio, asset = make.make_portfolio(), make.make_asset()
    restate(make.make_portfolio(), {"beta": [1.0, 2.0]})
    restate(make.make_asset(), {"close": [1.0, 2.0]})
    restate(portfolio, {"beta": [3.0, 4.0]})
    restate(asset, {"close": [5.0, 6.0]})
    assert [change.old for change in told(portfolio)] == [3.0]
    assert [change.old for change in told(asset)] == [5.0]
    assert figure_history(Restatement.objects.all(), portfolio, PublishedTable.RISK, make.DAY) == []


def test_figures_of_assets_are_for_all_those_of_portfolios_for_whom_may_see_them() -> None:
    viewer, stranger = make.make_user(), make.make_user()
    portfolio = make.make_portfolio(owner=make.make_user())
    make.grant(viewer, portfolio)
    of_portfolio = restate(portfolio, {"beta": [1.0, 2.0]})
    of_asset = restate(make.make_asset(), {"close": [1.0, 2.0]})
    for user in (viewer, make.make_superuser(), make.make_auditor()):
        assert set(visible_restatements(user)) == {of_portfolio, of_asset}
    assert set(visible_restatements(stranger)) == {of_asset}
    assert (
        figure_history(visible_restatements(stranger), portfolio, PublishedTable.PERFORMANCE, make.DAY) == []
    )
    stranger.is_active = False
    for nobody in (stranger, AnonymousUser()):
        assert set(visible_restatements(nobody)) == set()

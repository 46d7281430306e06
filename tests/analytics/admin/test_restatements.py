"""Restatements in the console: found by what is asked for, with both values and the causes."""

import datetime as dt

import pytest
from django.test import Client

from analytics.models import PublishedTable, Restatement
from tests.support import factories as make
from tests.support.admin import change_url, client_of, make_reader, make_restatement, url_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def console() -> Client:
    return client_of(make.make_superuser())


def shown(client: Client, **query: str | int) -> set[int]:
    page = client.get(url_of(Restatement, "changelist"), query)
    return {row.pk for row in page.context["cl"].result_list}


def test_filters_by_table_subject_cause_and_day(console: Client) -> None:
    portfolio = make.make_portfolio()
    of_portfolio, of_asset = make_restatement(portfolio), make_restatement(None)
    later = make_restatement(portfolio)
    later.row_date += dt.timedelta(days=1)
    later.cause = "fx"
    later.save()
    assert shown(console) == {of_portfolio.pk, of_asset.pk, later.pk}
    assert shown(console, table_name__exact=PublishedTable.ASSETS.value) == {of_asset.pk}
    assert shown(console, portfolio=portfolio.pk) == {of_portfolio.pk, later.pk}
    assert shown(console, asset=of_asset.asset_id or 0) == {of_asset.pk}
    assert shown(console, cause__exact="fx") == {later.pk}
    assert shown(console, row_date__gte=later.row_date.isoformat()) == {later.pk}


def test_figures_before_and_after_stand_side_by_side(console: Client) -> None:
    row = make_restatement(make.make_portfolio())
    page = console.get(change_url(row)).content.decode()
    assert (
        '<tr class="changed"><th scope="row">Total value</th>'
        '<td class="number">1,000.25</td><td class="number">990.50</td></tr>'
    ) in page
    assert "AAPL" in page
    assert "2015-03-02" in page


def test_the_list_names_the_first_cause_and_counts_the_others(console: Client) -> None:
    row = make_restatement(make.make_portfolio())
    Restatement.objects.update(causes=[*row.causes, *row.causes, *row.causes])
    assert "Price: AAPL and 2 more" in console.get(url_of(row, "changelist")).content.decode()
    Restatement.objects.update(
        cause="", causes=[{"cause": "recomputed", "subject": "no change was known", "from_date": None}]
    )
    assert "recomputed: no change was known" in console.get(url_of(row, "changelist")).content.decode()


def test_figures_of_assets_are_for_every_reader_those_of_foreign_portfolios_are_not() -> None:
    reader = make_reader()
    of_asset, foreign = make_restatement(None), make_restatement(make.make_portfolio())
    assert shown(client_of(reader)) == {of_asset.pk}
    assert client_of(reader).get(change_url(foreign)).status_code == 302

"""What the nightly job makes of reversals and corporate actions."""

import datetime as dt
from decimal import Decimal

import pytest

from analytics.models import PortfolioPerformanceHistory, PortfolioRiskMetrics, Restatement
from analytics.selectors.planning import held_assets
from portfolios.models import ChangeCause, CorporateAction, Transaction
from portfolios.services.staleness import mark_assets_stale
from portfolios.services.transactions import transaction_create, transaction_rebook, transaction_reverse
from tests.support import factories as make
from tests.support.house import DAYS, House, make_computed_house, make_prices, run

pytestmark = pytest.mark.django_db


@pytest.fixture
def house() -> House:
    return make_computed_house()


def history(house: House) -> dict[dt.date, PortfolioPerformanceHistory]:
    rows = PortfolioPerformanceHistory.objects.filter(portfolio=house.home)
    return {row.snapshot_date: row for row in rows}


def test_a_corrected_fill_restates_from_its_day_on_and_says_why(house: House) -> None:
    before = history(house)
    purchase = Transaction.objects.get(portfolio=house.home, kind="buy")
    transaction_rebook(purchase, reason="fill was 101", price=Decimal(101))
    run()
    after = history(house)
    day = purchase.trade_date
    assert after[day].total_value == (before[day].total_value or 0) - 500
    assert after[DAYS[0]].run_id == before[DAYS[0]].run_id
    restated = Restatement.objects.get(
        portfolio=house.home, row_date=day, table_name=after[day]._meta.db_table
    )
    assert restated.cause == ChangeCause.TRANSACTION
    assert [Decimal(value) for value in restated.changes["total_value"]] == [
        before[day].total_value,
        after[day].total_value,
    ]


def test_a_reversed_first_line_takes_the_days_before_the_next_one_with_it(house: House) -> None:
    deposit = Transaction.objects.filter(portfolio=house.home).earliest("trade_date", "pk")
    assert (deposit.kind, deposit.trade_date) == ("deposit", DAYS[0])
    transaction_reverse(deposit, reason="never arrived")
    run()
    assert min(history(house)) == DAYS[1]


def test_a_book_whose_lines_are_all_reversed_has_no_figures_any_more(house: House) -> None:
    for line in Transaction.objects.booked().filter(portfolio=house.home).order_by("-trade_date", "-pk"):
        transaction_reverse(line, reason="wrong client")
    run()
    assert history(house) == {}
    assert not PortfolioRiskMetrics.objects.filter(portfolio=house.home).exists()
    gone = Restatement.objects.filter(portfolio=house.home, table_name="portfolio_performance_history")
    assert gone.count() == len(DAYS)
    assert PortfolioPerformanceHistory.objects.filter(portfolio=house.abroad).count() == len(DAYS)
    run()
    assert gone.count() == len(DAYS)


def test_a_symbol_change_moves_the_position_and_prices_of_the_new_symbol_count(house: House) -> None:
    heir = make.make_asset("HEIR")
    make_prices(heir, 110.0, 11, DAYS)
    change_day = DAYS[40]
    CorporateAction.objects.create(
        asset=house.acme, ex_date=change_day, kind="symbol_change", new_asset=heir, ratio_new=1, ratio_old=1
    )
    mark_assets_stale({house.acme.pk: change_day}, ChangeCause.CORPORATE_ACTION)
    run()
    last = history(house)[DAYS[-1]]
    assert last.invested_value == 500 * heir.price_bars.get(date=DAYS[-1]).close
    assert (last.cost_basis, last.data_quality) == (50_000, "complete")

    heir.price_bars.filter(date=DAYS[-1]).update(close=200)
    mark_assets_stale({heir.pk: DAYS[-1]}, ChangeCause.PRICE)
    run()
    assert history(house)[DAYS[-1]].invested_value == 100_000


def test_pairs_held_together_follow_a_symbol_change(house: House) -> None:
    heir = make.make_asset("HEIR")
    CorporateAction.objects.create(asset=house.acme, ex_date=DAYS[40], kind="symbol_change", new_asset=heir)
    held = held_assets(DAYS[-1])
    assert held.together_on(DAYS[39]) == {tuple(sorted((house.acme.pk, house.rhein.pk)))}
    assert held.together_on(DAYS[40]) == {tuple(sorted((heir.pk, house.rhein.pk)))}


def test_a_day_says_how_good_its_values_are(house: House) -> None:
    house.acme.price_bars.filter(date=DAYS[50]).delete()
    mark_assets_stale({house.acme.pk: DAYS[50]}, ChangeCause.PRICE)
    run()
    quality = {day: row.data_quality for day, row in history(house).items()}
    # The market asset traded, so the day is in the calendar.
    assert quality[DAYS[50]] == "carried"
    assert {quality[day] for day in DAYS if day != DAYS[50]} == {"complete"}


def test_figures_of_a_book_that_now_begins_after_its_last_session_go(house: House) -> None:
    """All lines are reversed, and what is booked instead comes on a day on which its asset did not trade."""
    for line in Transaction.objects.booked().filter(portfolio=house.home).order_by("-trade_date", "-pk"):
        transaction_reverse(line, reason="wrong client")
    late = make.make_asset("LATE")
    make.make_price(late, DAYS[0])
    house.home.benchmarks.all().delete()
    transaction_create(
        house.home,
        status="settled",
        kind="transfer_in",
        asset=late,
        quantity=Decimal(1),
        price=Decimal(100),
        trade_date=DAYS[-1],
    )
    run()
    assert history(house) == {}

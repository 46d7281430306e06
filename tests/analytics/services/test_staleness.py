"""A changed fact makes stale what was computed from it, no less and no more."""

import datetime as dt
from decimal import Decimal
from typing import Any

import pytest

from analytics.models import (
    AssetCorrelation,
    AssetPerformanceMetrics,
    PortfolioPerformanceHistory,
    RunStatus,
)
from analytics.services.planning import SECTIONS
from analytics.services.runs import BEGINNING, run_create, run_execute
from portfolios.models import (
    ChangeCause,
    CorporateAction,
    ExchangeRate,
    InterestRate,
    Portfolio,
    PriceBar,
    StaleMark,
    Transaction,
    TransactionKind,
)
from portfolios.services.staleness import (
    mark_assets_stale,
    mark_currencies_stale,
    mark_portfolio_stale,
    mark_series_stale,
)
from tests.support import factories as make
from tests.support.house import (
    DAYS,
    FIRST_DAY,
    LAST_DAY,
    RATE_SERIES,
    House,
    computed_tables,
    make_computed_house,
    run,
    undisturbed_tables,
    writers,
)

pytestmark = pytest.mark.django_db
CHANGED = DAYS[70]


@pytest.fixture
def house() -> House:
    """Everything is computed, by one run."""
    return make_computed_house()


def days_written_by(rows: Any, field: str, number: int) -> set[dt.date]:
    return {day for day, writer in writers(rows, field).items() if writer == number}


def history_of(portfolio: Portfolio) -> Any:
    return PortfolioPerformanceHistory.objects.filter(portfolio=portfolio)


def change_price(house: House, day: dt.date = CHANGED) -> None:
    PriceBar.objects.filter(asset=house.rhein, date=day).update(close=Decimal(52))
    mark_assets_stale({house.rhein.pk: day}, ChangeCause.PRICE)


def test_a_changed_price_restates_its_asset_and_its_holders_from_that_day_on(house: House) -> None:
    change_price(house)
    done = run()
    since = {day for day in DAYS if day >= CHANGED}
    for asset, days in ((house.rhein, since), (house.acme, set()), (house.market, set())):
        rows = AssetPerformanceMetrics.objects.filter(asset=asset)
        assert days_written_by(rows, "calculation_date", done.pk) == days
    for portfolio, days in ((house.abroad, since), (house.home, set())):
        assert days_written_by(history_of(portfolio), "snapshot_date", done.pk) == days
        assert days_written_by(portfolio.risk_metrics, "calculation_date", done.pk) == days
    pair = AssetCorrelation.objects.filter(asset1=house.acme, asset2=house.rhein)
    assert min(days_written_by(pair, "calculation_date", done.pk)) == CHANGED
    assert not StaleMark.objects.exists()
    assert computed_tables() == undisturbed_tables(from_date=BEGINNING)


def test_a_mark_that_arrives_during_a_run_waits_for_the_next(house: House) -> None:
    change_price(house)
    planned = run_create()
    assert planned is not None
    mark_portfolio_stale(house.home, CHANGED, ChangeCause.TRANSACTION)
    assert run_execute(planned).status == RunStatus.SUCCEEDED
    (left,) = StaleMark.objects.all()
    assert left.portfolio == house.home
    run()
    assert not StaleMark.objects.exists()


def test_a_run_over_a_part_consumes_no_mark(house: House) -> None:
    change_price(house)
    parts: list[dict[str, Any]] = [
        {"only": ["assets"]},
        {"only": SECTIONS},
        {"portfolio_codes": ["ABROAD"]},
        {"portfolio_codes": ["ABROAD", "HOME"]},
        {"from_date": DAYS[71]},
        {"calculation_date": DAYS[80]},
        {"calculation_date": DAYS[80], "from_date": FIRST_DAY},
    ]
    for options in parts:
        assert run(**options).status == RunStatus.SUCCEEDED
        assert StaleMark.objects.count() == 1, options
    run()
    assert not StaleMark.objects.exists()


def test_a_run_up_to_an_earlier_day_leaves_the_later_ones_to_the_next(house: House) -> None:
    change_price(house)
    run(calculation_date=DAYS[80])
    run()
    assert computed_tables() == undisturbed_tables(from_date=BEGINNING)


def test_a_run_from_a_day_on_consumes_what_changed_since(house: House) -> None:
    change_price(house)
    mark_portfolio_stale(house.home, DAYS[50], ChangeCause.TRANSACTION)
    run(from_date=CHANGED)
    (left,) = StaleMark.objects.all()
    assert left.portfolio == house.home


def test_marks_of_days_to_come_are_left(house: House) -> None:
    mark_assets_stale({house.acme.pk: LAST_DAY + dt.timedelta(days=1)}, ChangeCause.PRICE)
    run(from_date=FIRST_DAY)
    assert StaleMark.objects.count() == 1


def split(house: House) -> None:
    CorporateAction.objects.create(asset=house.acme, ex_date=CHANGED, kind="split", ratio_new=2, ratio_old=1)
    mark_assets_stale({house.acme.pk: CHANGED}, ChangeCause.CORPORATE_ACTION)


def test_a_split_restates_the_whole_series_of_its_asset_alone(house: House) -> None:
    split(house)
    done = run()
    for asset, days in ((house.acme, set(DAYS)), (house.rhein, set())):
        rows = AssetPerformanceMetrics.objects.filter(asset=asset)
        assert days_written_by(rows, "calculation_date", done.pk) == days
    # Prices as traded do not change: the books differ from the ex-date on, when there are twice the shares.
    since = {day for day in DAYS if day >= CHANGED}
    assert days_written_by(history_of(house.home), "snapshot_date", done.pk) == since
    assert computed_tables() == undisturbed_tables(from_date=BEGINNING)


def test_a_split_in_prices_that_contain_it_restates_its_holders_from_the_beginning(house: House) -> None:
    PriceBar.objects.filter(asset=house.acme).update(adjusted_through=LAST_DAY)
    split(house)
    done = run()
    # What the source published as 100 had been traded at 200, so the first buy was at half its value.
    second = history_of(house.home).get(snapshot_date=DAYS[1])
    assert second.run_id == done.pk
    assert second.unrealized_pnl is not None
    assert second.unrealized_pnl > 40_000
    assert computed_tables() == undisturbed_tables(from_date=BEGINNING)


def test_a_run_from_a_later_day_on_leaves_the_mark_of_a_split(house: House) -> None:
    split(house)
    run(from_date=CHANGED)
    assert StaleMark.objects.count() == 1
    run(from_date=BEGINNING)
    assert not StaleMark.objects.exists()
    assert computed_tables() == undisturbed_tables(from_date=BEGINNING)


def test_a_changed_rate_of_exchange_touches_only_who_has_that_currency(house: House) -> None:
    ExchangeRate.objects.filter(date=CHANGED).update(rate=Decimal("1.5"))
    mark_currencies_stale({"EUR": CHANGED})
    planned = run_create()
    assert planned is not None
    (chunk,) = planned.chunks.all()
    assert chunk.work["portfolios"] == [[house.abroad.pk, CHANGED.isoformat()]]
    run_execute(planned)
    assert min(days_written_by(history_of(house.abroad), "snapshot_date", planned.pk)) == CHANGED
    assert days_written_by(history_of(house.home), "snapshot_date", planned.pk) == set()
    assert computed_tables() == undisturbed_tables(from_date=BEGINNING)


def test_a_changed_risk_free_rate_touches_assets_and_portfolios_but_no_correlations(house: House) -> None:
    InterestRate.objects.create(name=RATE_SERIES, date=CHANGED, annual_rate=Decimal("0.01"))
    mark_series_stale(RATE_SERIES, CHANGED)
    done = run()
    assert done.rows["portfolio_performance_history"] > 0
    assert set(days_written_by(history_of(house.home), "snapshot_date", done.pk)) == {
        day for day in DAYS if day >= CHANGED
    }
    assert "asset_correlations" not in done.rows
    assert computed_tables() == undisturbed_tables(from_date=BEGINNING)


def test_a_booking_in_the_past_restates_its_book_from_that_day_on(house: House) -> None:
    make.make_transaction(
        house.home, kind=TransactionKind.SELL, asset=house.acme, quantity=50, price=110, trade_date=CHANGED
    )
    mark_portfolio_stale(house.home, CHANGED, ChangeCause.TRANSACTION)
    done = run()
    assert days_written_by(history_of(house.home), "snapshot_date", done.pk) == {
        day for day in DAYS if day >= CHANGED
    }
    assert days_written_by(history_of(house.abroad), "snapshot_date", done.pk) == set()


def test_a_new_portfolio_is_computed_from_its_first_booking_on(house: House) -> None:
    other = make.make_portfolio("LATER", risk_free=RATE_SERIES)
    make.make_transaction(other, amount=1_000, trade_date=DAYS[60])
    make.make_transaction(
        other, kind=TransactionKind.BUY, asset=house.acme, quantity=5, price=100, trade_date=DAYS[61]
    )
    done = run()
    assert sorted(days_written_by(history_of(other), "snapshot_date", done.pk)) == DAYS[60:]
    assert not history_of(house.home).filter(run=done.pk).exists()


def test_a_later_price_never_values_an_earlier_day(house: House) -> None:
    def values() -> dict[dt.date, Decimal | None]:
        return dict(history_of(house.abroad).values_list("snapshot_date", "total_value"))

    with_all_prices = values()
    PriceBar.objects.filter(asset=house.rhein, date__lt=CHANGED).delete()
    mark_assets_stale({house.rhein.pk: FIRST_DAY}, ChangeCause.PRICE)
    run()
    late = values()
    PriceBar.objects.filter(asset=house.rhein).update(close=Decimal(5_000))
    mark_assets_stale({house.rhein.pk: FIRST_DAY}, ChangeCause.PRICE)
    run()
    for day, value in values().items():
        if day < CHANGED:
            assert value == late[day]
        else:
            assert late[day] == with_all_prices[day] != value
    before = history_of(house.abroad).get(snapshot_date=DAYS[69])
    assert before.quality["prices"] == "RHEIN: at cost"


def test_a_missing_rate_of_exchange_is_carried_a_week_and_then_unknown(house: House) -> None:
    last_rate = DAYS[40]
    ExchangeRate.objects.filter(date__gt=last_rate).delete()
    mark_currencies_stale({"EUR": last_rate})
    run()
    for row in history_of(house.abroad):
        known = row.snapshot_date <= last_rate + dt.timedelta(days=7)
        assert (row.total_value is not None) == known
        if not known:
            assert "EUR" in row.quality["total_value"]
            assert row.daily_return is None
    assert not history_of(house.home).filter(total_value=None).exists()


def test_without_any_rate_of_exchange_nothing_is_taken_for_one(house: House) -> None:
    ExchangeRate.objects.all().delete()
    mark_currencies_stale({"EUR": FIRST_DAY})
    assert run().status == RunStatus.SUCCEEDED
    values = dict(history_of(house.abroad).values_list("snapshot_date", "total_value"))
    assert values[FIRST_DAY] == 100_000
    assert {values[day] for day in DAYS[1:]} == {None}
    assert Transaction.objects.filter(portfolio=house.abroad).count() == 4

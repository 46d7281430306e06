"""What the database itself refuses, whoever writes."""

from collections.abc import Callable

import pytest
from django.contrib.auth.models import Group
from django.db import IntegrityError, connection, models, transaction
from django.db.models import F
from django.db.utils import DatabaseError

from analytics.models import (
    Approval,
    AssetCorrelation,
    BlendComponent,
    Decision,
    EventStatus,
    PortfolioAllocation,
    PortfolioBenchmark,
    RebalancingEvent,
    RebalancingPolicy,
    RunChunk,
)
from portfolios.models import (
    AuditEvent,
    ChangeCause,
    CorporateAction,
    Currency,
    ExchangeRate,
    InterestRate,
    PortfolioAccess,
    PriceBar,
    StaleMark,
    Transaction,
)
from tests.support import factories as make

BadRow = tuple[type[models.Model], Callable[[], object]]


def allocation(**fields: object) -> Callable[[], object]:
    defaults = {"min_percentage": 10, "target_percentage": 20, "max_percentage": 30}
    return lambda: PortfolioAllocation.objects.create(
        portfolio=make.make_portfolio(), asset=make.make_asset(), **defaults | fields
    )


def action(kind: str, **fields: object) -> Callable[[], object]:
    return lambda: CorporateAction.objects.create(
        asset=make.make_asset(), ex_date=make.DAY, kind=kind, **fields
    )


def booking(**fields: object) -> Callable[[], object]:
    return lambda: make.make_transaction(make.make_portfolio(), **fields)


def trade_without(name: str) -> Callable[[], object]:
    def book() -> object:
        fields = {"asset": make.make_asset(), "quantity": 1} | {name: None}
        return make.make_transaction(make.make_portfolio(), kind="buy", **fields)

    return book


def policy(**fields: object) -> Callable[[], object]:
    return lambda: RebalancingPolicy.objects.create(portfolio=make.make_portfolio(), **fields)


def access(*, user: bool, group: bool) -> Callable[[], object]:
    return lambda: PortfolioAccess.objects.create(
        portfolio=make.make_portfolio(),
        user=make.make_user() if user else None,
        group=Group.objects.create(name="desk") if group else None,
        role="viewer",
    )


def correlation(first: int, second: int) -> Callable[[], object]:
    def correlate() -> object:
        assets = [make.make_asset(), make.make_asset()]
        return AssetCorrelation.objects.create(
            asset1=assets[first], asset2=assets[second], calculation_date=make.DAY
        )

    return correlate


def component(weight: int) -> Callable[[], object]:
    return lambda: make.make_blend({make.make_asset(): weight})


def own_check() -> object:
    user = make.make_user()
    return make.make_event(make.make_portfolio(), requested_by=user, approved_by=user)


BAD_ROWS: dict[str, BadRow] = {
    "minimum above target": (PortfolioAllocation, allocation(min_percentage=21)),
    "target above maximum": (PortfolioAllocation, allocation(max_percentage=19)),
    "negative minimum": (PortfolioAllocation, allocation(min_percentage=-1)),
    "maximum above 100": (PortfolioAllocation, allocation(max_percentage=101)),
    "negative threshold": (PortfolioAllocation, allocation(rebalance_threshold=-1)),
    "negative relative threshold": (PortfolioAllocation, allocation(rebalance_threshold_relative=-1)),
    "pair in the wrong order": (AssetCorrelation, correlation(1, 0)),
    "pair of one": (AssetCorrelation, correlation(0, 0)),
    "maker is checker": (RebalancingEvent, own_check),
    "access of nobody": (PortfolioAccess, access(user=False, group=False)),
    "access of a user and a group": (PortfolioAccess, access(user=True, group=True)),
    "split without a ratio": (CorporateAction, action("split")),
    "split with half a ratio": (CorporateAction, action("split", ratio_new=2)),
    "split to nothing": (CorporateAction, action("split", ratio_new=0, ratio_old=1)),
    "dividend without an amount": (CorporateAction, action("cash_dividend")),
    "dividend of nothing": (CorporateAction, action("cash_dividend", amount=0)),
    "price of nothing": (PriceBar, lambda: make.make_price(make.make_asset(), close=0)),
    "rate of nothing": (ExchangeRate, lambda: make.make_exchange_rate(rate=0)),
    "rate of a currency to itself": (ExchangeRate, lambda: make.make_exchange_rate("USD", "USD")),
    "negative quantity": (Transaction, booking(quantity=-1)),
    "negative price": (Transaction, booking(price=-1)),
    "negative amount": (Transaction, booking(amount=-1)),
    "trade without an asset": (Transaction, trade_without("asset")),
    "trade without a quantity": (Transaction, trade_without("quantity")),
    "exchange without a counter": (Transaction, booking(kind="currency_exchange")),
    "lots of nothing": (make.Asset, lambda: make.make_asset(lot_size=0)),
    "cash target above 100": (RebalancingPolicy, policy(cash_target_percentage=101)),
    "component without a weight": (BlendComponent, component(0)),
    "component above 100": (BlendComponent, component(101)),
    "negative reserve": (RebalancingPolicy, policy(cash_reserve=-1)),
    "cost of everything": (RebalancingPolicy, policy(cost_rate=1)),
    "nobody approves": (RebalancingPolicy, policy(approvals_needed=0)),
    "mark of nothing": (
        StaleMark,
        lambda: StaleMark.objects.create(from_date=make.DAY, cause=ChangeCause.PRICE),
    ),
}


@pytest.mark.django_db
@pytest.mark.parametrize("name", BAD_ROWS)
def test_a_bad_row_is_refused(name: str) -> None:
    model, create = BAD_ROWS[name]
    with pytest.raises(IntegrityError, match=r"(?i)check constraint"), transaction.atomic():
        create()
    assert not model._default_manager.exists()


@pytest.mark.django_db
def test_good_rows_next_to_the_bad_ones_are_accepted() -> None:
    for create in (
        allocation(),
        allocation(min_percentage=20, max_percentage=20, rebalance_threshold=0),
        access(user=True, group=False),
        access(user=False, group=True),
        action("split", ratio_new=1, ratio_old=3),
        action("cash_dividend", amount=1),
        correlation(0, 1),
        policy(),
        component(100),
    ):
        create()


def twice(make_row: Callable[[], models.Model]) -> BadRow:
    row = make_row()
    values = {
        field.attname: getattr(row, field.attname)
        for field in row._meta.concrete_fields
        if not field.primary_key
    }
    return type(row), lambda: type(row)._default_manager.create(**values)


def approval() -> Approval:
    event = make.make_event(make.make_portfolio())
    return Approval.objects.create(
        event=event, user=make.make_user(), decision=Decision.APPROVED, proposal_hash=event.proposal_hash
    )


UNIQUE_ROWS: dict[str, Callable[[], models.Model]] = {
    "asset": make.make_asset,
    "price": lambda: make.make_price(make.make_asset()),
    "exchange rate": make.make_exchange_rate,
    "interest rate": lambda: InterestRate.objects.create(name="DTB3", date=make.DAY, annual_rate=0),
    "corporate action": lambda: CorporateAction.objects.create(
        asset=make.make_asset(), ex_date=make.DAY, kind="split", ratio_new=2, ratio_old=1
    ),
    "portfolio": make.make_portfolio,
    "transaction": lambda: make.make_transaction(make.make_portfolio()),
    "access": lambda: make.grant(make.make_user(), make.make_portfolio()),
    "performance": lambda: make.make_performance(make.make_portfolio()),
    "risk": lambda: make.make_risk(make.make_portfolio()),
    "asset metrics": lambda: make.make_asset_metrics(make.make_asset()),
    "correlation": lambda: make.make_correlation(make.make_asset(), make.make_asset()),
    "allocation": lambda: make.make_allocation(make.make_portfolio(), make.make_asset(), 50),
    "benchmark": lambda: make.make_benchmark(make.make_portfolio(), make.make_asset()),
    "blend": lambda: make.make_blend({}),
    "component": lambda: make.make_blend({make.make_asset(): 60}).components.get(),
    "policy": lambda: RebalancingPolicy.objects.create(portfolio=make.make_portfolio()),
    "chunk": lambda: RunChunk.objects.create(run=make.make_run(), number=1, kind="assets", work={}),
    "voice": approval,
}


@pytest.mark.django_db
@pytest.mark.parametrize("name", UNIQUE_ROWS)
def test_a_second_row_with_the_same_key_is_refused(name: str) -> None:
    model, create_again = twice(UNIQUE_ROWS[name])
    with pytest.raises(IntegrityError, match=r"(?i)unique"), transaction.atomic():
        create_again()
    assert model._default_manager.count() == 1


@pytest.mark.django_db
def test_a_portfolio_has_one_primary_benchmark_and_any_number_of_others() -> None:
    portfolio = make.make_portfolio()
    for is_primary in (True, False, False):
        make.make_benchmark(portfolio, make.make_asset(), is_primary=is_primary)
    with pytest.raises(IntegrityError, match=r"(?i)unique"), transaction.atomic():
        make.make_benchmark(portfolio, make.make_asset(), is_primary=True)
    make.make_benchmark(make.make_portfolio(), make.make_asset(), is_primary=True)
    assert PortfolioBenchmark.objects.filter(portfolio=portfolio).count() == 3


@pytest.mark.django_db
@pytest.mark.parametrize("status", [EventStatus.PENDING, EventStatus.APPROVED, EventStatus.EXECUTING])
def test_a_portfolio_has_one_open_event_and_any_number_of_closed_ones(status: EventStatus) -> None:
    portfolio = make.make_portfolio()
    make.make_event(portfolio, status=EventStatus.COMPLETED)
    make.make_event(portfolio, status=EventStatus.EXPIRED)
    make.make_event(portfolio, status=status)
    with pytest.raises(IntegrityError, match=r"(?i)unique"), transaction.atomic():
        make.make_event(portfolio)
    assert RebalancingEvent.objects.count() == 3


@pytest.mark.django_db
@pytest.mark.parametrize(
    "change",
    [
        lambda rows: rows.update(actor="somebody else"),
        lambda rows: rows.delete(),
        lambda rows: rows.update(sequence=F("sequence")),
    ],
    ids=["change", "delete", "no change at all"],
)
def test_the_audit_trail_only_grows(change: Callable[[models.QuerySet[AuditEvent]], object]) -> None:
    make.make_audit_event()
    before = list(AuditEvent.objects.values())
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        change(AuditEvent.objects.all())
    assert list(AuditEvent.objects.values()) == before


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("attempt", [1, 2])
def test_emptying_the_test_database_leaves_the_triggers_and_the_currencies(attempt: int) -> None:
    """Both attempts find what the test before left: the first end of this test empties the database."""
    assert not AuditEvent.objects.exists()
    assert Currency.objects.filter(code="USD", name="US dollar").exists()
    make.make_audit_event()
    table = connection.ops.quote_name(AuditEvent._meta.db_table)
    emptying = "TRUNCATE {} CASCADE" if connection.vendor == "postgresql" else "DELETE FROM {}"
    with pytest.raises(DatabaseError, match="append-only"), connection.cursor() as cursor:
        cursor.execute(emptying.format(table))
    assert AuditEvent.objects.count() == 1

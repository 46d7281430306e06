"""What the tests of the console share: one row of every table, and who looks at it."""

from collections.abc import Callable, Mapping
from typing import Any

from django.contrib import admin
from django.contrib.auth.models import Group, Permission, User
from django.db import connection
from django.db.models import Model
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from analytics.models import (
    Approval,
    CashReserve,
    ChangeRequest,
    Decision,
    OrderFill,
    ProposalVersion,
    PublishedTable,
    RebalancingOrder,
    RebalancingPolicy,
    Restatement,
    RunChunk,
    TradingRestriction,
)
from portfolios.models import (
    ChangeCause,
    CorporateAction,
    CorporateActionKind,
    Currency,
    Household,
    ImportBatch,
    InterestRate,
    Portfolio,
    StaleMark,
    TransactionKind,
)
from tests.support import factories as make

OUR_APPS = {"analytics", "portfolios"}


def make_chunk(portfolio: Portfolio) -> RunChunk:
    run = make.make_run(portfolio.code, requested_by=make.make_user())
    return RunChunk.objects.create(run=run, number=1, kind="assets", work={"assets": [1, 2]}, rows={"t": 3})


def make_approval(portfolio: Portfolio) -> Approval:
    event = make_full_event(portfolio)
    return Approval.objects.create(
        event=event, user=make.make_user(), decision=Decision.APPROVED, proposal_hash=event.proposal_hash
    )


def make_full_event(portfolio: Portfolio) -> Any:
    action = {
        "symbol": "AAPL",
        "side": "sell",
        "quantity": "4500",
        "price": "159.54",
        "reason": "above its band",
    }
    outcome = {
        "symbol": "PG",
        "target": "28",
        "weight_before": "27.5",
        "weight_after": "27.5",
        "reason": "inside",
    }
    return make.make_event(
        portfolio, actions=[action], outcomes=[outcome], requested_by=make.make_user(), turnover=0.074
    )


def make_change_request(portfolio: Portfolio) -> ChangeRequest:
    return ChangeRequest.objects.create(
        kind="policy",
        portfolio=portfolio,
        payload={"cost_rate": "0.002"},
        before={"cost_rate": "0.001"},
        content_hash="0" * 64,
        requested_by=make.make_user(),
    )


def make_order(portfolio: Portfolio) -> RebalancingOrder:
    event = make.make_event(portfolio, status="executing")
    return RebalancingOrder.objects.create(
        event=event,
        position=1,
        asset=make.make_asset(),
        side="sell",
        quantity=12,
        price="159.54",
        lots=[{"lot": 1, "quantity": "12"}],
        venue="paper",
        client_order_id=f"{event.pk}-1",
    )


def make_fill(portfolio: Portfolio) -> OrderFill:
    return OrderFill.objects.create(
        order=make_order(portfolio), venue_fill_id="F1", quantity=12, price="159.5", filled_on=make.DAY
    )


def make_version(portfolio: Portfolio) -> ProposalVersion:
    event = make_full_event(portfolio)
    return ProposalVersion.objects.create(
        event=event,
        version=1,
        inputs={"lines": [{"symbol": "AAPL", "target": "28"}]},
        proposal={"trades": event.actions},
        proposal_hash=event.proposal_hash,
        created_by=make.make_user(),
    )


def make_restriction(portfolio: Portfolio | None, **fields: Any) -> TradingRestriction:
    defaults = {"kind": "do_not_buy", "starts_on": make.DAY, "reason": "asked for by the client"}
    defaults |= {"asset": make.make_asset(), "owner": make.make_user()}
    return TradingRestriction.objects.create(portfolio=portfolio, **defaults | fields)


def make_household(portfolio: Portfolio) -> Household:
    portfolio.household = Household.objects.create(code=f"H{portfolio.pk}", name="Both and their heirs")
    portfolio.save()
    return portfolio.household


def make_import_batch() -> ImportBatch:
    return ImportBatch.objects.create(
        target="prices",
        file_name="prices.csv",
        sha256="0" * 64,
        layout="own",
        rejects=[{"line": 3, "reason": "no"}],
    )


def make_restatement(portfolio: Portfolio | None) -> Restatement:
    return Restatement.objects.create(
        table_name=PublishedTable.PERFORMANCE if portfolio else PublishedTable.ASSETS,
        portfolio=portfolio,
        asset=None if portfolio else make.make_asset(),
        row_date=make.DAY,
        changes={"total_value": ["1000.250000", "990.500000"], "daily_return": [0.01, None]},
        cause=ChangeCause.PRICE,
        causes=[{"cause": "price", "subject": "AAPL", "from_date": "2015-03-02"}],
    )


# Tables that everyone may read who may read them at all.
PUBLIC_ROWS: Mapping[str, Callable[[], Model]] = {
    "asset": make.make_asset,
    "corporateaction": lambda: CorporateAction.objects.create(
        asset=make.make_asset(), ex_date=make.DAY, kind=CorporateActionKind.CASH_DIVIDEND, amount="0.63"
    ),
    "currency": lambda: Currency.objects.create(code=_free_code(), name="A currency"),
    "datafinding": lambda: make.make_finding(make.make_asset()),
    "exchangerate": lambda: make.make_exchange_rate(base=_free_code()),
    "importbatch": make_import_batch,
    "interestrate": lambda: InterestRate.objects.create(
        name=f"R{InterestRate.objects.count()}", date=make.DAY, annual_rate="0.01"
    ),
    "pricebar": lambda: make.make_price(make.make_asset()),
    "blendedbenchmark": lambda: make.make_blend({make.make_asset(): 60, make.make_asset(): 40}),
    "assetcorrelation": lambda: make.make_correlation(
        make.make_asset(), make.make_asset(), correlation_1m=-0.5
    ),
    "assetperformancemetrics": lambda: make.make_asset_metrics(
        make.make_asset(), close=100.0, return_1d=-0.01
    ),
}
# Tables whose rows belong to a portfolio.
BOUND_ROWS: Mapping[str, Callable[[Portfolio], Model]] = {
    "portfolio": lambda portfolio: portfolio,
    "auditevent": lambda portfolio: make.make_audit_event(portfolio, before={"a": "1"}, after={"a": "2"}),
    "portfolioaccess": lambda portfolio: make.grant(make.make_user(), portfolio),
    "stalemark": lambda portfolio: StaleMark.objects.create(
        portfolio=portfolio, from_date=make.DAY, cause=ChangeCause.TRANSACTION
    ),
    "transaction": lambda portfolio: make.make_transaction(
        portfolio, kind=TransactionKind.BUY, asset=make.make_asset(), quantity=12, price=10, fee=1
    ),
    "analyticsrun": lambda portfolio: make.make_run(portfolio.code, requested_by=make.make_user()),
    "approval": make_approval,
    "cashreserve": lambda portfolio: CashReserve.objects.create(
        portfolio=portfolio, kind="fee", amount=1, due_date=make.DAY, note="of the year"
    ),
    "changerequest": make_change_request,
    "household": make_household,
    "orderfill": make_fill,
    "portfolioallocation": lambda portfolio: make.make_allocation(portfolio, make.make_asset(), 50),
    "portfoliobenchmark": lambda portfolio: make.make_benchmark(portfolio, make.make_asset(), beta=1.1),
    "portfolioperformancehistory": lambda portfolio: make.make_performance(
        portfolio, total_value=1000, daily_return=-0.0123, benchmark=make.make_asset()
    ),
    "portfolioriskcontribution": lambda portfolio: make.make_risk_contribution(portfolio, make.make_asset()),
    "portfoliovarbacktest": lambda portfolio: make.make_var_backtest(portfolio, var=0.02, zone="yellow"),
    "portfolioriskmetrics": lambda portfolio: make.make_risk(portfolio, risk_level="high", var_95_1d=0.02),
    "proposalversion": make_version,
    "rebalancingevent": make_full_event,
    "rebalancingorder": make_order,
    "rebalancingpolicy": lambda portfolio: RebalancingPolicy.objects.create(portfolio=portfolio),
    "restatement": make_restatement,
    "runchunk": make_chunk,
    "tradingrestriction": make_restriction,
}


def _free_code() -> str:
    taken = set(Currency.objects.values_list("code", flat=True))
    return next(code for letter in "ABCDEFGHIJ" if (code := f"X{letter}Q") not in taken)


def make_row(model_name: str, portfolio: Portfolio) -> Model:
    public = PUBLIC_ROWS.get(model_name)
    return public() if public else BOUND_ROWS[model_name](portfolio)


def our_models() -> dict[str, type[Model]]:
    return {m._meta.model_name or "": m for m in admin.site._registry if m._meta.app_label in OUR_APPS}


def url_of(row: Model | type[Model], page: str, *args: Any) -> str:
    return reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_{page}", args=args)


def change_url(row: Model) -> str:
    return url_of(row, "change", row.pk)


def make_reader() -> User:
    """On the staff, may read every table of ours, but sees no portfolio of others."""
    group = Group.objects.get_or_create(name="Readers")[0]
    group.permissions.set(
        Permission.objects.filter(content_type__app_label__in=OUR_APPS, codename__startswith="view_").exclude(
            codename="view_all_portfolios"
        )
    )
    reader = make.make_user(is_staff=True)
    reader.groups.add(group)
    return reader


def client_of(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def queries_of(client: Client, url: str) -> int:
    with CaptureQueriesContext(connection) as captured:
        response = client.get(url)
    assert response.status_code == 200
    return len(captured)

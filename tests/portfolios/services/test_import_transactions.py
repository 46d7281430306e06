import datetime as dt
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from portfolios.models import (
    Asset,
    AuditEvent,
    CorporateAction,
    ImportBatch,
    Portfolio,
    PortfolioRole,
    PortfolioStatus,
    StaleMark,
    Transaction,
)
from portfolios.services.audit import audit_verify
from portfolios.services.import_transactions import transactions_import
from tests.support.factories import grant, make_asset, make_portfolio, make_user
from tests.support.imports import Refusal, counts, last_event, nothing_written, refusals, write_file

pytestmark = pytest.mark.django_db

HEADER = (
    "portfolio,trade_date,kind,symbol,quantity,price,amount,fee,tax,currency,status,external_id,"
    "settle_date,fx_rate,counter_amount,counter_currency,note"
)
DEPOSIT = "P1,2024-01-02,deposit,,,,10000,,,,,D1,,,,,"
BUY = "P1,2024-01-03,buy,AAA,100,10.005,,1.5,,USD,settled,B1,2024-01-05,,,,first"


@pytest.fixture(autouse=True)
def portfolio() -> Portfolio:
    make_asset("AAA")
    make_asset("EUB", currency="EUR")
    return make_portfolio("P1")


def run(folder: Path, *lines: str, **options: Any) -> Any:
    return transactions_import(write_file(folder, HEADER, *lines), **options)


def marks() -> list[tuple[str, dt.date, str]]:
    return list(StaleMark.objects.values_list("portfolio__code", "from_date", "cause"))


def test_rows_are_stored_with_batch_marks_and_audit(tmp_path: Path, portfolio: Portfolio) -> None:
    assert counts(run(tmp_path, BUY, DEPOSIT)) == (2, 2, 0, 0, 0)
    buy = Transaction.objects.get(external_id="B1")
    assert (buy.kind, buy.status, buy.quantity, buy.price) == ("buy", "settled", 100, Decimal("10.005"))
    assert (buy.amount, buy.fee, buy.tax, buy.note) == (Decimal("1000.5"), Decimal("1.5"), 0, "first")
    assert (buy.settle_date, buy.source, buy.batch) == (dt.date(2024, 1, 5), "own", ImportBatch.objects.get())
    deposit = Transaction.objects.get(external_id="D1")
    assert (deposit.currency_id, deposit.status, deposit.asset) == ("USD", "settled", None)
    assert marks() == [("P1", dt.date(2024, 1, 2), "transaction")]
    assert AuditEvent.objects.get().portfolio == portfolio
    action, _, after = last_event()
    assert action == "transactions.imported"
    assert (after["created"], after["first_day"], after["last_day"]) == (
        2,
        "2024-01-02",
        "2024-01-03",
    )
    assert audit_verify().is_intact


def test_same_file_again_in_any_order_changes_nothing(tmp_path: Path) -> None:
    run(tmp_path, DEPOSIT, BUY)
    with nothing_written():
        assert counts(run(tmp_path, DEPOSIT, BUY)) == (2, 0, 0, 2, 0)
        assert counts(run(tmp_path, BUY, DEPOSIT)) == (2, 0, 0, 2, 0)


def test_rows_without_id_are_known_by_content_and_occurrence(tmp_path: Path) -> None:
    row = "P1,2024-01-02,deposit,,,,100,,,,,,,,,,"
    assert counts(run(tmp_path, row, row, row.replace("100", "100.00"))) == (3, 3, 0, 0, 0)
    assert Transaction.objects.values("external_id").distinct().count() == 3
    with nothing_written():
        assert counts(run(tmp_path, row, row + "other note", row)) == (3, 0, 0, 3, 0)
    assert counts(run(tmp_path, row, row, row, row)) == (4, 1, 0, 3, 0)


def test_each_kind_takes_what_it_needs(tmp_path: Path) -> None:
    report = run(
        tmp_path,
        DEPOSIT,
        BUY,
        "P1,2024-01-04,SELL,AAA,10,11,110.01,,,,,k1,,,,,",
        "P1,2024-01-04,short,AAA,5,,55,,,,,k2,,,,,",
        "P1,2024-01-05,cover,AAA,5,11,,,,,,k3,,,,,",
        "P1,2024-01-05,dividend,AAA,,,12,,1.8,,,k4,,,,,",
        "P1,2024-01-05,dividend,AAA,90,0.1,,,,,,k5,,,,,",
        "P1,2024-01-05,interest,,,,3,,,,,k6,,,,,",
        "P1,2024-01-05,interest_charge,,,,3,,,,,k7,,,,,",
        "P1,2024-01-05,fee,,,,3,,,,,k8,,,,,",
        "P1,2024-01-05,fee_refund,,,,3,,,,,k9,,,,,",
        "P1,2024-01-05,tax,AAA,,,3,,,,,k10,,,,,",
        "P1,2024-01-05,tax_refund,,,,3,,,,,k11,,,,,",
        "P1,2024-01-05,currency_exchange,,,,100,,,EUR,,k12,,,109.5,USD,",
        "P1,2024-01-05,transfer_in,EUB,10,,,,,,,k13,,1.09,,,",
        "P1,2024-01-05,transfer_out,EUB,4,5,20,,,,,k14,,,,,",
        "P1,2024-01-05,withdrawal,,,,50,,,,,k15,,,,,",
        "P1,2999-01-05,buy,AAA,1,1,,,,,pending,k16,,,,,",
    )
    assert refusals(report) == []
    assert report.created == 18
    # Currency left blank: the asset's where there is one, else the portfolio's.
    currencies = dict(Transaction.objects.values_list("external_id", "currency"))
    assert (currencies["k13"], currencies["k10"], currencies["k6"]) == ("EUR", "USD", "USD")
    assert Transaction.objects.get(external_id="k5").amount == 9
    assert Transaction.objects.get(external_id="k13").amount is None


REFUSED: list[tuple[str, Refusal]] = [
    ("P9,2024-01-04,deposit,,,,1,,,,,x,,,,,", (4, "portfolio", "P9", "unknown portfolio")),
    (",2024-01-04,deposit,,,,1,,,,,x,,,,,", (4, "portfolio", "", "must not be blank")),
    ("P1,2024-01-04,gift,,,,1,,,,,x,,,,,", (4, "kind", "gift", "must be one of deposit, withdrawal")),
    (
        "P1,2024-01-04,deposit,,,,1,,,,done,x,,,,,",
        (4, "status", "done", "must be one of draft, pending, settled"),
    ),
    ("P1,,deposit,,,,1,,,,,x,,,,,", (4, "trade_date", "", "must not be blank")),
    ("P1,2999-01-04,deposit,,,,1,,,,,x,,,,,", (4, "trade_date", "2999-01-04", "lies in the future")),
    ("P1,2024-01-04,deposit,,,,,,,,,x,,,,,", (4, "amount", "", "must not be blank")),
    ("P1,2024-01-04,deposit,,,,0,,,,,x,,,,,", (4, "amount", "0", "must be above 0")),
    ("P1,2024-01-04,deposit,,,,-5,,,,,x,,,,,", (4, "amount", "-5", "must be above 0")),
    ("P1,2024-01-04,deposit,AAA,,,5,,,,,x,,,,,", (4, "symbol", "AAA", "must be blank for a deposit")),
    ("P1,2024-01-04,fee,,2,,5,,,,,x,,,,,", (4, "quantity", "2", "must be blank for a fee")),
    ("P1,2024-01-04,deposit,,,,5,,,,,x,,,4,EUR,", (4, "counter_amount", "4", "must be blank for a deposit")),
    ("P1,2024-01-04,deposit,,,,1,,,XXX,,x,,,,,", (4, "currency", "XXX", "unknown currency")),
    ("P1,2024-01-04,deposit,,,,1,-1,,,,x,,,,,", (4, "fee", "-1", "must not be negative")),
    (
        "P1,2024-01-04,deposit,,,,1,,,USD,,x,,1.1,,,",
        (4, "fx_rate", "1.1", "must be blank or 1: USD is the base currency"),
    ),
    (
        "P1,2024-01-04,deposit,,,,1,,,,,x,2024-01-03,,,,",
        (4, "settle_date", "2024-01-03", "before the trade date"),
    ),
    ("P1,2024-01-04,deposit,,,,1,,,,,x,,,,,=SUM(A1)", (4, "note", "=SUM(A1)", "a formula, not a text")),
    ("P1,2024-01-04,buy,,1,1,,,,,,x,,,,,", (4, "symbol", "", "must not be blank")),
    ("P1,2024-01-04,buy,ZZZ,1,1,,,,,,x,,,,,", (4, "symbol", "ZZZ", "unknown symbol")),
    ("P1,2024-01-04,buy,AAA,,1,1,,,,,x,,,,,", (4, "quantity", "", "must not be blank")),
    ("P1,2024-01-04,buy,AAA,-1,1,,,,,,x,,,,,", (4, "quantity", "-1", "must be above 0")),
    ("P1,2024-01-04,buy,AAA,1,-1,,,,,,x,,,,,", (4, "price", "-1", "must not be negative")),
    (
        "P1,2024-01-04,buy,AAA,1,,,,,,,x,,,,,",
        (4, "amount", "", "a buy needs an amount, or a quantity and a price"),
    ),
    (
        "P1,2024-01-04,buy,AAA,3,10,30.011,,,,,x,,,,,",
        (4, "amount", "30.011", "differs from quantity x price = 30 by more"),
    ),
    (
        "P1,2024-01-04,buy,AAA,0.0000000000001,1,,,,,,x,,,,,",
        (4, "quantity", "0.0000000000001", "would round to 0 at 12"),
    ),
    (
        "P1,2024-01-04,buy,AAA,0.000001,0.0001,,,,,,x,,,,,",
        (4, "amount", "", "quantity x price would round to 0"),
    ),
    ("P1,2024-01-04,dividend,,,,5,,,,,x,,,,,", (4, "symbol", "", "must not be blank")),
    (
        "P1,2024-01-04,dividend,AAA,,,,,,,,x,,,,,",
        (4, "amount", "", "a dividend needs an amount, or a quantity"),
    ),
    (
        "P1,2024-01-04,transfer_in,AAA,5,,50,,,,,x,,,,,",
        (4, "amount", "50", "a transfer is valued at the market"),
    ),
    ("P1,2024-01-04,currency_exchange,,,,5,,,EUR,,x,,,,USD,", (4, "counter_amount", "", "must not be blank")),
    ("P1,2024-01-04,currency_exchange,,,,5,,,EUR,,x,,,4,,", (4, "counter_currency", "", "must not be blank")),
    (
        "P1,2024-01-04,currency_exchange,,,,5,,,EUR,,x,,,4,EUR,",
        (4, "counter_currency", "EUR", "the same as currency"),
    ),
    (
        "P1,2024-01-04,deposit,,,,1,,,,,D1,,,,,",
        (4, "external_id", "D1", "repeats portfolio and external_id of line 2"),
    ),
    (
        "P1,2024-01-04,sell,AAA,100.000001,1,,,,,,x,,,,,",
        (4, "quantity", "100.000001", "only 100 held on 2024-01-04"),
    ),
    ("P1,2024-01-02,sell,AAA,1,1,,,,,,x,,,,,", (4, "quantity", "1", "only 0 held on 2024-01-02")),
    ("P1,2024-01-04,cover,AAA,1,1,,,,,,x,,,,,", (4, "quantity", "1", "only 0 held on 2024-01-04")),
]


@pytest.mark.parametrize(("line", "refusal"), REFUSED)
def test_bad_row_stops_the_file(tmp_path: Path, line: str, refusal: Refusal) -> None:
    with nothing_written():
        [found] = refusals(run(tmp_path, DEPOSIT, BUY, line))
    assert found[:3] == refusal[:3]
    assert found[3].startswith(refusal[3])


def test_skip_writes_the_good_rows(tmp_path: Path) -> None:
    lines = (DEPOSIT, BUY, *(line for line, _ in REFUSED[:30]))
    assert counts(run(tmp_path, *lines, on_error="skip")) == (32, 2, 0, 0, 30)
    assert ImportBatch.objects.get().rejected == 30
    with nothing_written():
        assert counts(run(tmp_path, *lines, on_error="skip")) == (32, 0, 0, 2, 30)


class TestHoldings:
    SELL_ALL = "P1,2024-01-04,sell,AAA,100,11,,,,,,S1,,,,,"

    def test_sale_and_purchase_of_one_day_fit_in_any_order(self, tmp_path: Path) -> None:
        report = run(tmp_path, "P1,2024-01-03,sell,AAA,100,11,,,,,,S1,,,,,", BUY)
        assert report.created == 2

    def test_complete_exit_may_exceed_by_a_billionth(self, tmp_path: Path) -> None:
        sale = "P1,2024-01-04,sell,AAA,100.000000001,11,,,,,,S1,,,,,"
        assert run(tmp_path, BUY, sale).created == 2

    def test_split_counts(self, tmp_path: Path) -> None:
        asset = Asset.objects.get(symbol="AAA")
        CorporateAction.objects.create(
            asset=asset, ex_date="2024-01-04", kind="split", ratio_new=2, ratio_old=1, ratio=2
        )
        assert run(tmp_path, BUY, "P1,2024-01-04,sell,AAA,200,5,,,,,,S1,,,,,").created == 2

    def test_earlier_sale_that_starves_a_booked_one_is_refused(self, tmp_path: Path) -> None:
        run(tmp_path, DEPOSIT, BUY, self.SELL_ALL)
        with nothing_written():
            report = run(tmp_path, "P1,2024-01-03,sell,AAA,30,11,,,,,,S2,,,,,")
        reason = "leaves only 70 for the sell of 100 booked on 2024-01-04"
        assert refusals(report) == [(2, "quantity", "30", reason)]

    def test_each_oversold_row_is_named_and_only_those(self, tmp_path: Path) -> None:
        lines = [f"P1,2024-01-0{day},sell,AAA,60,11,,,,,,S{day},,,,," for day in (4, 5, 6)]
        report = run(tmp_path, BUY, *lines, on_error="skip")
        assert [(reject.line, reject.reason) for reject in report.rejected] == [
            (4, "only 40 held on 2024-01-05"),
            (5, "only 40 held on 2024-01-06"),
        ]
        assert report.created == 2

    def test_pending_sale_is_not_counted(self, tmp_path: Path) -> None:
        report = run(tmp_path, "P1,2024-01-04,sell,AAA,60,11,,,,,pending,S1,,,,,")
        assert report.created == 1
        assert not StaleMark.objects.exists()


class TestBookedLines:
    def test_settled_line_is_never_edited(self, tmp_path: Path) -> None:
        run(tmp_path, DEPOSIT, BUY)
        number = Transaction.objects.get(external_id="B1").pk
        with nothing_written():
            report = run(tmp_path, DEPOSIT, BUY.replace("10.005", "10.006"))
        [(line, column, value, reason)] = refusals(report)
        assert (line, column, value) == (3, "price", "10.006")
        assert reason.startswith(f"B1 is booked already as transaction {number}, with 10.005;")

    def test_pending_line_settles_once(self, tmp_path: Path) -> None:
        run(tmp_path, BUY.replace("settled", "pending"))
        assert not StaleMark.objects.exists()
        assert counts(run(tmp_path, BUY)) == (1, 0, 1, 0, 0)
        line = Transaction.objects.get()
        assert line.status == "settled"
        assert marks() == [("P1", dt.date(2024, 1, 3), "transaction")]
        _, before, after = last_event()
        assert before == {"B1": {"status": "pending"}}
        assert after["changed"] == {"B1": {"status": "settled"}}
        with nothing_written():
            assert run(tmp_path, BUY).unchanged == 1

    def test_pending_line_without_id_settles_too(self, tmp_path: Path) -> None:
        row = "P1,2024-01-02,deposit,,,,100,,,,pending,,,,,,"
        run(tmp_path, row)
        assert counts(run(tmp_path, row.replace("pending", "settled"))) == (1, 0, 1, 0, 0)


class TestPortfolios:
    ROW = "NEW,2024-01-03,deposit,,,,5,,,,,N2,,,,,"
    EARLIER = "NEW,2024-01-02,deposit,,,,5,,,,,N1,,,,,"

    def test_created_only_when_asked(self, tmp_path: Path) -> None:
        with nothing_written():
            assert refusals(run(tmp_path, self.ROW)) == [(2, "portfolio", "NEW", "unknown portfolio")]
            [found] = refusals(run(tmp_path, self.ROW, create_portfolios=True))
            assert found[3] == "does not exist; to create it, its base currency must be given"
            [found] = refusals(
                run(tmp_path, self.ROW.replace("NEW", "N W"), create_portfolios=True, base_currency="EUR")
            )
            assert found == (2, "portfolio", "N W", "not a portfolio code")

    def test_created_with_the_defaults(self, tmp_path: Path, settings: Any) -> None:
        settings.DEFAULT_RISK_FREE = "ESTR"
        owner = make_user()
        run(tmp_path, self.ROW, self.EARLIER, create_portfolios=True, base_currency="EUR", owner=owner)
        new = Portfolio.objects.get(code="NEW")
        assert (new.name, new.base_currency_id, new.cost_method, new.risk_free) == (
            "NEW",
            "EUR",
            "fifo",
            "ESTR",
        )
        assert (new.inflow_timing, new.outflow_timing, new.owner) == ("start", "end", owner)
        assert new.inception_date == dt.date(2024, 1, 2)
        assert set(Transaction.objects.values_list("currency", flat=True)) == {"EUR"}
        assert list(AuditEvent.objects.order_by("sequence").values_list("action", flat=True)) == [
            "portfolio.created",
            "transactions.imported",
        ]

    def test_nothing_is_created_for_a_refused_file(self, tmp_path: Path) -> None:
        sale = "NEW,2024-01-03,sell,AAA,1,1,,,,,,N3,,,,,"
        with nothing_written():
            assert run(tmp_path, self.ROW, sale, create_portfolios=True, base_currency="EUR").rejected

    def test_file_without_portfolio_column(self, tmp_path: Path) -> None:
        path = write_file(tmp_path, HEADER.partition(",")[2], DEPOSIT.partition(",")[2])
        with nothing_written():
            assert refusals(transactions_import(path)) == [(1, "portfolio", "", "this column is missing")]
        assert transactions_import(path, portfolio="P1").created == 1

    def test_file_of_another_portfolio(self, tmp_path: Path) -> None:
        with nothing_written():
            report = run(tmp_path, self.ROW, portfolio="P1")
        assert refusals(report) == [(2, "portfolio", "NEW", "not the portfolio asked for, P1")]

    def test_closed_portfolio_takes_nothing(self, tmp_path: Path) -> None:
        Portfolio.objects.update(status=PortfolioStatus.CLOSED)
        with nothing_written():
            assert refusals(run(tmp_path, DEPOSIT)) == [(2, "portfolio", "P1", "this portfolio is closed")]

    @pytest.mark.parametrize(
        ("role", "reason"),
        [
            (None, "unknown portfolio"),
            (PortfolioRole.VIEWER, "may not change this portfolio"),
            (PortfolioRole.MAKER, ""),
        ],
    )
    def test_actor_needs_the_maker_role(
        self, tmp_path: Path, portfolio: Portfolio, role: PortfolioRole | None, reason: str
    ) -> None:
        actor = make_user("ann")
        if role:
            grant(actor, portfolio, role)
        report = run(tmp_path, DEPOSIT, actor=actor, create_portfolios=True, base_currency="USD")
        assert [reject.reason.removeprefix("ann ") for reject in report.rejected] == (
            [reason] if reason else []
        )
        if not reason:
            assert AuditEvent.objects.get().actor == "ann"
            assert ImportBatch.objects.get().imported_by == actor


def test_one_audit_row_and_mark_for_each_portfolio(tmp_path: Path) -> None:
    make_portfolio("P2")
    run(tmp_path, DEPOSIT, DEPOSIT.replace("P1", "P2").replace("01-02", "01-09"))
    assert marks() == [("P1", dt.date(2024, 1, 2), "transaction"), ("P2", dt.date(2024, 1, 9), "transaction")]
    assert list(AuditEvent.objects.order_by("sequence").values_list("portfolio__code", flat=True)) == [
        "P1",
        "P2",
    ]

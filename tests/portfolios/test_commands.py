import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from rest_framework.authtoken.models import Token

from portfolios.models import Asset, AuditEvent, Portfolio, PortfolioAccess, PriceBar
from tests.support.factories import make_asset, make_audit_event, make_portfolio, make_user
from tests.support.imports import nothing_written, write_file

pytestmark = [pytest.mark.django_db, pytest.mark.once]

ASSETS = "symbol,name,asset_class,currency"
PRICES = "symbol,date,open,high,low,close,volume"
TRANSACTIONS = "portfolio,trade_date,kind,symbol,quantity,price,amount,fee,tax,currency,status,external_id"
ALLOCATIONS = (
    "portfolio,symbol,target_percentage,min_percentage,max_percentage,rebalance_threshold,rebalance_frequency"
)
# Command, its options, its header, a good row and a bad one with what is wrong.
IMPORTS: list[tuple[str, list[str], str, str, str, tuple[str, str]]] = [
    ("import_assets", [], ASSETS, "BBB,B,equity,USD", "CCC,C,equity,XXX", ("currency", "unknown currency")),
    (
        "import_prices",
        [],
        PRICES,
        "AAA,2024-01-02,,,,5,",
        "AAA,2024-01-03,,,,0,",
        ("close", "must be above 0"),
    ),
    (
        "import_fx",
        [],
        "date,base,quote,rate",
        "2024-01-02,EUR,USD,1.1",
        "2024-01-03,EUR,USD,-1.1",
        ("rate", "must be above 0"),
    ),
    (
        "import_rates",
        ["--name", "DTB3"],
        "date,annual_rate",
        "2024-01-02,0.05",
        "2024-01-03,x",
        ("annual_rate", "not a number"),
    ),
    (
        "import_corporate_actions",
        [],
        "symbol,ex_date,kind,ratio,amount",
        "AAA,2024-01-02,split,2:1,",
        "AAA,2024-01-03,split,,",
        ("ratio", "must not be blank for a split"),
    ),
    (
        "import_transactions",
        [],
        TRANSACTIONS,
        "P1,2024-01-02,deposit,,,,100,,,,,",
        "P1,2024-01-02,sell,AAA,1,1,,,,,,",
        ("quantity", "only 0 held on 2024-01-02"),
    ),
    (
        "import_allocations",
        [],
        ALLOCATIONS,
        "P1,AAA,100,,,,",
        "P2,AAA,99,,,,",
        ("target_percentage", "the targets and cash of P2 make 99, not 100"),
    ),
    (
        "import_benchmarks",
        [],
        "portfolio,symbol,is_primary",
        "P1,AAA,1",
        "P1,BBB,0",
        ("symbol", "unknown symbol"),
    ),
    (
        "import_blends",
        [],
        "blend,symbol,weight_percentage,rebalance_frequency",
        "MIX,AAA,100,monthly",
        "MAX,BBB,100,monthly",
        ("symbol", "unknown symbol"),
    ),
]


@pytest.fixture(autouse=True)
def facts() -> None:
    make_asset("AAA")
    make_portfolio("P1")
    make_portfolio("P2")


def run(*arguments: str) -> tuple[str, str, str]:
    """Standard output, standard error, and the message of the failure."""
    out, err, failure = StringIO(), StringIO(), ""
    try:
        call_command(*arguments, stdout=out, stderr=err)
    except CommandError as error:
        failure = str(error)
    return out.getvalue(), err.getvalue(), failure


@pytest.mark.parametrize(("command", "options", "header", "good", "bad", "wrong"), IMPORTS)
class TestImports:
    def test_good_file_and_again(
        self, tmp_path: Path, command: str, options: list[str], header: str, good: str, bad: str, wrong: Any
    ) -> None:
        path = str(write_file(tmp_path, header, good))
        out, err, failure = run(command, path, *options, "--format", "json")
        assert json.loads(out) == {"read": 1, "created": 1, "unchanged": 0, "rejected": []}
        assert (err, failure) == ("", "")
        with nothing_written():
            out, err, failure = run(command, path, *options)
        assert (out, err, failure) == ("1 read, 0 created, 0 updated, 1 unchanged, 0 rejected\n", "", "")

    def test_bad_row(
        self, tmp_path: Path, command: str, options: list[str], header: str, good: str, bad: str, wrong: Any
    ) -> None:
        path = str(write_file(tmp_path, header, good, bad))
        column, reason = wrong
        with nothing_written():
            out, _, failure = run(command, path, *options, "--format", "json")
            [reject] = json.loads(out)["rejected"]
            assert set(reject) == {"line", "column", "value", "reason"}
            assert (reject["line"], reject["column"], reject["reason"]) == (3, column, reason)
            assert failure == "1 rejected, nothing was written"
            out, err, failure = run(command, path, *options)
            assert err.startswith(f"line 3, column {column}: {reason}")
            assert failure == "1 rejected, nothing was written"
        out, err, failure = run(command, path, *options, "--on-error", "skip", "--format", "json")
        assert (json.loads(out)["created"], len(json.loads(out)["rejected"]), failure) == (1, 1, "")

    def test_preview_says_what_would_be_and_writes_nothing(
        self, tmp_path: Path, command: str, options: list[str], header: str, good: str, bad: str, wrong: Any
    ) -> None:
        path = str(write_file(tmp_path, header, good))
        with nothing_written():
            out, err, failure = run(command, path, *options, "--preview")
            first, *_, summary, last = out.splitlines()
            assert first.startswith("would be created: line 2, ")
            assert summary == "1 read, 1 created, 0 updated, 0 unchanged, 0 rejected"
            assert (last, err, failure) == ("a preview: nothing was written", "", "")
            [row] = json.loads(run(command, path, *options, "--preview", "--format", "json")[0])["samples"][
                "created"
            ]
            assert row["line"] == "2"
            bad_path = str(write_file(tmp_path, header, good, bad, name="bad.csv"))
            _, err, failure = run(command, bad_path, *options, "--preview")
            assert err.startswith(f"line 3, column {wrong[0]}: {wrong[1]}")
            assert failure == "1 rejected, nothing was written"

    def test_missing_and_headless_files(
        self, tmp_path: Path, command: str, options: list[str], header: str, good: str, bad: str, wrong: Any
    ) -> None:
        with nothing_written():
            assert run(command, str(tmp_path / "absent.csv"), *options)[2].endswith(
                "No such file or directory"
            )
            headless = write_file(tmp_path, *(["nothing"] * 2))
            out, _, failure = run(command, str(headless), *options, "--format", "json", "--on-error", "skip")
            assert {(reject["line"], reject["reason"]) for reject in json.loads(out)["rejected"]} == {
                (1, "this column is missing"),
                (1, "unknown column"),
            }
            assert failure


def test_large_file_is_refused(tmp_path: Path, settings: Any) -> None:
    settings.IMPORT_MAX_BYTES = 20
    with nothing_written():
        failure = run("import_assets", str(write_file(tmp_path, ASSETS)))[2]
    assert failure.endswith("33 bytes, more than the 20 that an import may have")


def test_user_is_the_actor(tmp_path: Path) -> None:
    make_user("ann")
    path = str(write_file(tmp_path, ASSETS, "BBB,B,equity,USD"))
    with nothing_written():
        assert run("import_assets", path, "--user", "bob")[2] == "there is no active user bob"
    run("import_assets", path, "--user", "ann")
    assert AuditEvent.objects.get().actor == "ann"


def test_options_reach_the_services(tmp_path: Path) -> None:
    prices = str(write_file(tmp_path, PRICES, "AAA,2024-01-02,,,,5,"))
    run("import_prices", prices, "--source", "EOD", "--split-adjusted")
    bar = PriceBar.objects.get()
    assert (bar.source, bar.adjusted_through) == ("EOD", bar.date)
    owner = make_user("ann")
    deposit = ",2024-01-02,deposit,,,,100,,,,,"
    file = str(write_file(tmp_path, TRANSACTIONS, deposit))
    options = ["--portfolio", "P3", "--create-portfolios", "--base-currency", "CHF", "--owner", "ann"]
    assert run("import_transactions", file, *options)[2] == ""
    portfolio = Portfolio.objects.get(code="P3")
    assert (portfolio.base_currency_id, portfolio.owner) == ("CHF", owner)


def test_notes_are_printed(tmp_path: Path) -> None:
    path = str(write_file(tmp_path, PRICES, "AAA,2024-01-02,,,,5.00000000001,"))
    assert run("import_prices", path)[0].startswith("column close: 1 rounded half-even to 10 decimals")


class TestAuditTrail:
    @pytest.fixture(autouse=True)
    def anchors(self, tmp_path: Path, settings: Any) -> Path:
        settings.AUDIT_ANCHOR_FILE = tmp_path / "anchors.jsonl"
        return tmp_path / "anchors.jsonl"

    def test_intact_chain(self, anchors: Path) -> None:
        make_audit_event()
        assert run("verify_audit_trail")[0].startswith("intact: 1 rows")
        assert run("anchor_audit_trail")[0].startswith("anchored sequence 1 in")
        assert run("anchor_audit_trail") == ("nothing new to anchor\n", "", "")
        assert json.loads(run("verify_audit_trail", "--format", "json")[0])["is_intact"] is True

    def test_broken_chain_names_the_row_and_fails(self, anchors: Path) -> None:
        make_audit_event()
        anchor = json.loads(run("anchor_audit_trail", "--format", "json")[0])
        anchors.write_text(json.dumps({**anchor, "hash": "f" * 64}))
        failure = "broken at sequence 1: the hash differs from the anchored one"
        assert run("verify_audit_trail") == ("", "", failure)
        out, _, failed = run("verify_audit_trail", "--format", "json")
        assert (json.loads(out)["is_intact"], json.loads(out)["broken_at"], failed) == (False, 1, failure)

    def test_damaged_anchors_are_named(self, anchors: Path) -> None:
        make_audit_event()
        anchors.write_text('{"sequence": 1, "ha')
        for command in ("verify_audit_trail", "anchor_audit_trail"):
            assert run(command)[2] == f"{anchors}, line 1: not an anchor"


class TestGrantAccess:
    def test_role_is_granted_once(self) -> None:
        ann = make_user("ann")
        assert run("grant_access", "ann", "P1", "maker") == ("ann is now maker of P1\n", "", "")
        access = PortfolioAccess.objects.get()
        assert (access.user, access.portfolio.code, access.role) == (ann, "P1", "maker")
        event = AuditEvent.objects.get()
        assert (event.action, event.portfolio) == ("access.granted", access.portfolio)
        with nothing_written():
            out, _, _ = run("grant_access", "ann", "P1", "maker", "--format", "json")
        assert json.loads(out) == {"user": "ann", "portfolio": "P1", "role": "maker", "is_new": False}

    @pytest.mark.parametrize(
        ("arguments", "reason"),
        [
            (("bob", "P1", "maker"), "there is no active user bob"),
            (("ann", "P9", "maker"), "there is no portfolio P9"),
            (("ann", "P1", "boss"), "invalid choice: 'boss'"),
        ],
    )
    def test_bad_arguments(self, arguments: tuple[str, ...], reason: str) -> None:
        make_user("ann")
        with nothing_written():
            assert reason in run("grant_access", *arguments)[2]


def test_api_token_is_printed_once_and_replaces_the_old_one() -> None:
    ann = make_user("ann")
    first = run("issue_api_token", "ann")[0].strip()
    assert Token.objects.get(user=ann).key == first
    second = json.loads(run("issue_api_token", "ann", "--format", "json")[0])
    assert second == {"user": "ann", "token": Token.objects.get(user=ann).key}
    assert second["token"] != first
    events = AuditEvent.objects.order_by("sequence")
    assert [event.after for event in events] == [
        {"user": "ann", "replaced": False},
        {"user": "ann", "replaced": True},
    ]
    with nothing_written():
        assert run("issue_api_token", "bob")[2] == "there is no active user bob"


def test_assets_stay_as_they_are_without_rows(tmp_path: Path) -> None:
    with nothing_written():
        out, _, failure = run("import_assets", str(write_file(tmp_path, ASSETS)))
    assert (out, failure) == ("0 read, 0 created, 0 updated, 0 unchanged, 0 rejected\n", "")
    assert Asset.objects.count() == 1

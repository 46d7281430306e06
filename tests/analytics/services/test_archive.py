"""History leaves the tables for Parquet files only as a whole and verified, and comes back the same."""

import datetime as dt
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from decimal import Decimal
from io import StringIO
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from django.core.management import CommandError, call_command
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analytics.models import PortfolioPerformanceHistory, PortfolioRiskMetrics
from analytics.selectors.archive import ARCHIVED, HISTORY, RESTORED, archived_through, archived_years
from analytics.services import archive, archive_files
from analytics.services.archive import YearOutcome, archive_before, archive_restore, archive_retire
from analytics.services.archive_files import (
    ArchiveError,
    file_batches,
    file_columns,
    file_hash,
    manifest_path,
    table_schema,
)
from portfolio_site.kernel import clock
from portfolios.models import AuditEvent
from portfolios.services.audit import audit_verify
from tests.support import factories as make
from tests.support.history import audited, make_history, partitions_put_back, stored_rows, stored_years

# Partitions are neither made nor dropped while rows of the same transaction wait for their checks.
pytestmark = pytest.mark.django_db(transaction=True)

TODAY = dt.date(2024, 6, 15)
BEFORE = dt.date(2023, 3, 1)
OLD_DAYS = [dt.date(2021, 1, 1), dt.date(2021, 7, 1), dt.date(2021, 12, 31), dt.date(2022, 1, 1)]
LATER_DAYS = [dt.date(2023, 1, 1), dt.date(2023, 2, 28), dt.date(2024, 6, 14)]
TABLES = [model._meta.db_table for model in HISTORY]
PERFORMANCE = PortfolioPerformanceHistory._meta.db_table
FINITE = st.floats(allow_nan=False, allow_infinity=False) | st.none()
# SQLite keeps 15 digits.
MONEY = st.integers(-(10**14), 10**14).map(lambda units: Decimal(units).scaleb(-6)) | st.none()
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive_files, "BATCH_ROWS", 2)
    monkeypatch.setattr(clock, "today", lambda: TODAY)


@pytest.fixture(autouse=True)
def same_partitions(transactional_db: None) -> Iterator[None]:
    with partitions_put_back():
        yield


def archived(directory: Path, before: dt.date = BEFORE, **options: Any) -> list[YearOutcome]:
    return list(archive_before(before, directory, **options))


def restored(target: Path) -> list[YearOutcome]:
    return list(archive_restore(target))


def files_below(directory: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()
    }


def test_whole_years_before_the_date_go_into_files_and_come_back_the_same(tmp_path: Path) -> None:
    make_history(OLD_DAYS + LATER_DAYS)
    before = stored_rows()
    outcomes = archived(tmp_path)
    assert [(o.table, o.year, o.rows, o.changed) for o in outcomes] == [
        (table, year, rows, True) for table in TABLES for year, rows in ((2021, 3), (2022, 1))
    ]
    assert stored_years() == {2023, 2024}
    assert stored_rows() == {table: rows[len(OLD_DAYS) :] for table, rows in before.items()}
    assert audited(ARCHIVED) == [(ARCHIVED, o.table, str(o.year)) for o in outcomes]

    assert [(o.table, o.year, o.changed) for o in restored(tmp_path)] == [
        (table, year, True) for table in sorted(TABLES) for year in (2021, 2022)
    ]
    assert stored_rows() == before
    assert len(audited(RESTORED)) == len(outcomes)
    assert audit_verify().is_intact


def test_the_manifest_says_what_is_in_the_file(tmp_path: Path) -> None:
    make_history(OLD_DAYS)
    archived(tmp_path)
    path = tmp_path / PERFORMANCE / "2021.parquet"
    manifest = json.loads(manifest_path(path).read_text())
    totals = manifest["totals"]
    assert (manifest["table"], manifest["year"], manifest["sha256"]) == (PERFORMANCE, 2021, file_hash(path))
    assert (totals["rows"], totals["first"], totals["last"]) == (3, "2021-01-01", "2021-12-31")
    assert (totals["sums"]["total_value"], totals["sums"]["fees"]) == ("740740734.740742", "-0.000003")
    assert (totals["values"]["fees"], totals["values"]["benchmark_id"], totals["values"]["taxes"]) == (
        3,
        2,
        0,
    )
    assert [batch.num_rows for batch in file_batches(path)] == [2, 1]
    event = AuditEvent.objects.get(object_type=PERFORMANCE, object_id="2021")
    assert event.after == {"rows": 3, "file": f"{PERFORMANCE}/2021.parquet", "sha256": manifest["sha256"]}


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(MONEY, FINITE, st.dictionaries(TEXTS, TEXTS | FINITE)), min_size=1, max_size=5))
def test_any_row_survives_the_round_trip(
    tmp_path_factory: pytest.TempPathFactory, values: list[tuple[Any, Any, Any]]
) -> None:
    portfolio = make.make_portfolio()
    for number, (money, figure, quality) in enumerate(values):
        day = dt.date(2021, 1, 1) + dt.timedelta(days=100 * number)
        fields = {"total_value": money, "beta": figure, "quality": quality}
        make.make_performance(portfolio, day, **fields)
    before = stored_rows()
    directory = tmp_path_factory.mktemp("archive")
    archived(directory)
    assert stored_years() == set()
    restored(directory)
    assert stored_rows() == before
    PortfolioPerformanceHistory.objects.all().delete()


def test_restoring_twice_changes_nothing(tmp_path: Path) -> None:
    make_history(OLD_DAYS)
    archived(tmp_path)
    restored(tmp_path)
    before, events = stored_rows(), AuditEvent.objects.count()
    assert {outcome.changed for outcome in restored(tmp_path)} == {False}
    assert stored_rows() == before
    assert AuditEvent.objects.count() == events


def flip_a_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def forge(path: Path) -> None:
    """Change the file, and the manifest with it."""
    flip_a_byte(path)
    rewrite(path, sha256=file_hash(path))


def rewrite(path: Path, **changes: Any) -> None:
    manifest = json.loads(manifest_path(path).read_text())
    manifest_path(path).write_text(json.dumps(manifest | changes))


def other_sum(path: Path) -> None:
    totals = json.loads(manifest_path(path).read_text())["totals"]
    rewrite(path, totals=totals | {"sums": totals["sums"] | {"fees": "0"}})


BAD_FILES: dict[str, tuple[Callable[[Path], object], str]] = {
    "changed": (flip_a_byte, "it was changed since it was written"),
    "forged": (forge, "the audit trail knows of no such file"),
    "cut short": (lambda path: path.write_bytes(path.read_bytes()[:-9]), "it was changed since"),
    "without a manifest": (lambda path: manifest_path(path).unlink(), r"its manifest 2021\.json is missing"),
    "with a torn manifest": (lambda path: manifest_path(path).write_text("{"), "is not a manifest"),
    "with an empty manifest": (lambda path: manifest_path(path).write_text("{}"), "is not a manifest"),
    "of a later format": (lambda path: rewrite(path, format=2), "format 2 is not known here"),
    "of another year": (lambda path: rewrite(path, year=2020), "the audit trail knows of no such file"),
    "of another table": (lambda path: rewrite(path, table="assets"), "'assets' is not a history table"),
    "with another sum": (other_sum, "is not what its manifest says"),
    "gone": (lambda path: path.unlink(), "there is no such file"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_file_that_is_not_the_archived_one_is_refused(tmp_path: Path, name: str) -> None:
    make_history(OLD_DAYS)
    archived(tmp_path)
    path = tmp_path / PERFORMANCE / "2021.parquet"
    spoil, reason = BAD_FILES[name]
    spoil(path)
    before, events = stored_rows(), AuditEvent.objects.count()
    with pytest.raises(ArchiveError, match=reason):
        restored(path)
    assert stored_rows() == before
    assert AuditEvent.objects.count() == events


def test_a_folder_without_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match="there is no archived file"):
        restored(tmp_path)


class Killed(BaseException):
    """As if the process had ended there."""


@pytest.mark.parametrize(
    "step", ["file_write", "file_totals", "_check_totals", "manifest_write", "year_drop", "audit_append"]
)
@pytest.mark.parametrize("moment", ["before", "after"])
def test_killed_at_any_step_nothing_is_lost_and_running_again_finishes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, moment: str
) -> None:
    make_history(OLD_DAYS + LATER_DAYS)
    before = stored_rows()
    original = getattr(archive, step)

    def killed(*arguments: Any, **options: Any) -> None:
        if moment == "after":
            original(*arguments, **options)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(archive, step, killed)
        with pytest.raises(Killed):
            archived(tmp_path)
    assert stored_rows() == before
    assert audited(ARCHIVED) == []

    assert len(archived(tmp_path)) == 2 * len(TABLES)
    assert stored_years() == {2023, 2024}
    assert {Path(name).stem for name in files_below(tmp_path)} == {"2021", "2022"}
    restored(tmp_path)
    assert stored_rows() == before


def test_killed_while_writing_leaves_no_file_of_that_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_history(OLD_DAYS)
    before = stored_rows()

    def torn(rows: Any, schema: pa.Schema, sizes: Any = None) -> Iterator[pa.RecordBatch]:
        yield next(archive_files.table_batches(rows, schema))
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(archive, "table_batches", torn)
        with pytest.raises(Killed):
            archived(tmp_path)
    assert {Path(name).suffix for name in files_below(tmp_path)} == {".part"}
    assert stored_rows() == before
    archived(tmp_path)
    assert {Path(name).suffix for name in files_below(tmp_path)} == {".parquet", ".json"}


def test_rows_stay_when_one_value_in_the_file_differs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_history(OLD_DAYS)
    before = stored_rows()
    original = archive.file_write

    def written_wrong(path: Path, schema: pa.Schema, batches: Iterator[pa.RecordBatch]) -> None:
        table = pa.Table.from_batches(batches, schema).to_pylist()
        table[-1]["twr_index"] = table[-1]["twr_index"] + 1e-16
        original(path, schema, pa.Table.from_pylist(table, schema).to_batches(max_chunksize=2))

    monkeypatch.setattr(archive, "file_write", written_wrong)
    with pytest.raises(ArchiveError, match="does not read back as it was written"):
        archived(tmp_path)
    assert stored_rows() == before
    assert audited(ARCHIVED) == []


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda totals: replace(totals, rows=totals.rows + 1), "rows"),
        (lambda totals: replace(totals, last="2021-12-30"), "last"),
        (lambda totals: replace(totals, values=totals.values | {"beta": 1}), "count_beta"),
    ],
)
def test_rows_stay_when_the_database_counts_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[Any], Any], named: str
) -> None:
    make_history(OLD_DAYS)
    before = stored_rows()
    original = archive.file_totals
    monkeypatch.setattr(archive, "file_totals", lambda path, rows: change(original(path, rows)))
    with pytest.raises(ArchiveError, match=f"differ in {named};"):
        archived(tmp_path)
    assert stored_rows() == before
    assert audited(ARCHIVED) == []


@pytest.mark.servers
def test_rows_stay_when_the_database_adds_up_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_history(OLD_DAYS)
    before = stored_rows()
    original = archive.file_totals

    def other_sums(path: Path, rows: Any) -> Any:
        totals = original(path, rows)
        assert totals is not None
        return replace(totals, sums=totals.sums | {"fees": "-0.000002"})

    monkeypatch.setattr(archive, "file_totals", other_sums)
    with pytest.raises(ArchiveError, match="differ in sum_fees;"):
        archived(tmp_path)
    assert stored_rows() == before


def test_the_last_year_stays_unless_it_is_forced(tmp_path: Path) -> None:
    make_history(OLD_DAYS + LATER_DAYS)
    before = stored_rows()
    too_late = TODAY - dt.timedelta(days=364)
    with pytest.raises(ArchiveError, match="the last year stays"):
        archived(tmp_path, too_late)
    assert stored_rows() == before
    assert files_below(tmp_path) == {}
    archived(tmp_path, dt.date(2024, 1, 1), force=True)
    assert stored_years() == {2024}


def test_a_dry_run_says_what_would_go_and_changes_nothing(tmp_path: Path) -> None:
    make_history(OLD_DAYS + LATER_DAYS)
    before = stored_rows()
    outcomes = archived(tmp_path, dry_run=True)
    assert [(o.year, o.rows, o.changed) for o in outcomes] == [(2021, 3, False), (2022, 1, False)] * len(
        TABLES
    )
    assert stored_rows() == before
    assert files_below(tmp_path) == {}
    assert audited(ARCHIVED) == []


def test_a_year_that_was_written_again_gets_a_file_of_its_own(tmp_path: Path) -> None:
    portfolio, _ = make_history(OLD_DAYS)
    first_rows = stored_rows()[PERFORMANCE]
    archived(tmp_path)
    first_files = files_below(tmp_path)
    make.make_performance(portfolio, OLD_DAYS[0], total_value=Decimal(7))
    again = stored_rows()
    assert [Path(outcome.file).name for outcome in archived(tmp_path)] == ["2021-2.parquet"]
    second_files = files_below(tmp_path)
    assert {name: second_files[name] for name in first_files} == first_files
    assert stored_years() == set()

    first, second = tmp_path / PERFORMANCE / "2021.parquet", tmp_path / PERFORMANCE / "2021-2.parquet"
    restored(second)
    assert stored_rows() == again
    with pytest.raises(ArchiveError, match="has other rows of 2021; archive these first"):
        restored(first)
    assert stored_rows() == again
    assert [outcome.file for outcome in archived(tmp_path)] == [str(second)]
    restored(first)
    assert stored_rows()[PERFORMANCE] == first_rows[:3]


def test_rows_of_what_is_gone_are_refused(tmp_path: Path) -> None:
    portfolio, _ = make_history(OLD_DAYS)
    archived(tmp_path)
    portfolio.delete()
    with pytest.raises(ArchiveError, match=r"(?i)foreign key"):
        restored(tmp_path / PERFORMANCE / "2021.parquet")
    assert not PortfolioPerformanceHistory.objects.exists()
    assert audited(RESTORED) == []


def test_a_column_that_is_newer_than_the_file_gets_its_default() -> None:
    schema = table_schema(PortfolioRiskMetrics)
    older = pa.schema([column for column in schema if column.name not in {"observations", "quality", "beta"}])
    batch = pa.RecordBatch.from_pylist([dict.fromkeys(older.names)] * 2, older)
    columns = file_columns(batch, PortfolioRiskMetrics)
    assert columns["observations"] == [0, 0]
    assert columns["quality"] == [{}, {}]


def test_what_is_archived_is_known_until_it_is_back(tmp_path: Path) -> None:
    make_history(OLD_DAYS)
    assert archived_through(PortfolioPerformanceHistory) is None
    archived(tmp_path)
    assert archived_years(PortfolioPerformanceHistory) == {2021, 2022}
    assert archived_through(PortfolioPerformanceHistory) == dt.date(2022, 12, 31)
    restored(tmp_path / PERFORMANCE / "2022.parquet")
    assert archived_through(PortfolioPerformanceHistory) == dt.date(2021, 12, 31)
    restored(tmp_path / PERFORMANCE / "2021.parquet")
    assert archived_through(PortfolioPerformanceHistory) is None
    assert archived_years(PortfolioRiskMetrics) == {2021, 2022}


def test_retention_keeps_everything_by_default_and_whole_years_when_asked(
    tmp_path: Path, settings: Any
) -> None:
    make_history(OLD_DAYS + LATER_DAYS)
    settings.ARCHIVE_DIR = tmp_path
    settings.ANALYTICS_RETENTION_YEARS = 0
    before = stored_rows()
    assert archive_retire() == []
    assert stored_rows() == before
    settings.ANALYTICS_RETENTION_YEARS = 2
    assert {outcome.year for outcome in archive_retire()} == {2021}
    assert stored_years() == {2022, 2023, 2024}
    assert (tmp_path / PERFORMANCE / "2021.parquet").exists()


def answer(command: str, *arguments: object) -> str:
    output = StringIO()
    call_command(command, *map(str, arguments), stdout=output)
    return output.getvalue()


def test_the_commands_answer_people_and_programs(tmp_path: Path) -> None:
    make_history(OLD_DAYS)
    archive_2021 = ["--before", "2022-06-30", "--directory", tmp_path]
    assert f"{PERFORMANCE}  2021             3 rows would be archived\n" in answer(
        "archive_analytics", *archive_2021, "--dry-run"
    )
    found = json.loads(answer("archive_analytics", *archive_2021, "--format", "json"))
    assert [line["table"] for line in found] == TABLES
    path = tmp_path / PERFORMANCE / "2021.parquet"
    assert found[0] == {
        "table": PERFORMANCE,
        "year": 2021,
        "rows": 3,
        "file": str(path),
        "sha256": file_hash(path),
        "changed": True,
    }
    assert answer("archive_analytics", *archive_2021) == "There is nothing to do.\n"
    assert f"3 rows restored  {path}\n" in answer("restore_archive", tmp_path)
    assert f"3 rows is there already  {path}\n" in answer("restore_archive", path)


def test_the_commands_say_what_is_wrong_and_by_whom_they_were_called(tmp_path: Path) -> None:
    make_history(OLD_DAYS)
    before = stored_rows()
    with pytest.raises(CommandError, match="the last year stays"):
        answer("archive_analytics", "--before", TODAY, "--directory", tmp_path)
    with pytest.raises(CommandError, match="is not a date"):
        answer("archive_analytics", "--before", "2021", "--directory", tmp_path)
    with pytest.raises(CommandError, match="there is no active user nobody"):
        answer("archive_analytics", "--before", BEFORE, "--directory", tmp_path, "--user", "nobody")
    with pytest.raises(CommandError, match="there is no archived file"):
        answer("restore_archive", tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(CommandError, match=r"(?i)not a directory"):
        answer("archive_analytics", "--before", BEFORE, "--directory", tmp_path / "file")
    assert stored_rows() == before
    make.make_superuser("archivist")
    answer("archive_analytics", "--before", BEFORE, "--directory", tmp_path, "--user", "archivist")
    assert set(AuditEvent.objects.values_list("actor", flat=True)) == {"archivist"}

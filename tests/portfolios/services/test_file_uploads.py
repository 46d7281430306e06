"""Files that come in by hand: nothing is written before the confirmation, and then once."""

import datetime as dt
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.core.exceptions import PermissionDenied

from portfolio_site.kernel import clock
from portfolios import tasks
from portfolios.models import (
    AuditEvent,
    FileUpload,
    ImportBatch,
    PortfolioRole,
    PriceBar,
    Transaction,
    UploadStatus,
)
from portfolios.selectors.visibility import visible_uploads
from portfolios.services import file_uploads
from portfolios.services.audit import audit_verify
from portfolios.services.file_uploads import (
    UploadError,
    UploadProgress,
    upload_confirm,
    upload_discard,
    upload_preview,
    upload_preview_start,
    upload_progress,
    upload_receive,
    upload_run,
    uploads_expire,
)
from portfolios.services.import_prices import PriceImport
from portfolios.services.imports import flow
from tests.support.factories import (
    grant,
    make_asset,
    make_auditor,
    make_portfolio,
    make_superuser,
    make_user,
)
from tests.support.imports import nothing_written
from tests.support.threads import together

pytestmark = pytest.mark.django_db

GOOD = b"symbol,date,open,high,low,close,volume\nAAA,2024-01-02,,,,10,\nAAA,2024-01-03,,,,11,\n"
BAD = GOOD + b"AAA,2024-01-04,,,,0,\n"
TRANSACTIONS = (
    b"portfolio,trade_date,kind,symbol,quantity,price,amount,fee,tax,currency,status,external_id\n"
    b"P1,2024-01-02,deposit,,,,100,,,USD,settled,D1\n"
)

Sent = list[tuple[str, list[int]]]


@pytest.fixture
def folder(tmp_path: Path, settings: Any) -> Path:
    settings.IMPORT_UPLOAD_DIR = tmp_path / "uploads"
    return tmp_path / "uploads"


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> Sent:
    messages: Sent = []
    monkeypatch.setattr(
        file_uploads.current_app, "send_task", lambda name, arguments: messages.append((name, arguments))
    )
    return messages


@pytest.fixture
def user() -> User:
    make_asset("AAA")
    return make_importer()


def make_importer() -> User:
    user = make_user(is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="add_importbatch"))
    return User.objects.get(pk=user.pk)


def receive(user: User, content: bytes = GOOD, target: str = "prices", **options: Any) -> FileUpload:
    return upload_receive(
        actor=user, target=target, file_name="a file.csv", chunks=[content[:9], content[9:]], options=options
    )


def previewed(user: User, *arguments: Any, **options: Any) -> FileUpload:
    upload = receive(user, *arguments, **options)
    upload_preview(upload.pk)
    return fresh(upload)


def queued(user: User, *arguments: Any, **options: Any) -> FileUpload:
    upload = previewed(user, *arguments, **options)
    upload_confirm(upload, actor=user)
    return fresh(upload)


def fresh(upload: FileUpload) -> FileUpload:
    return FileUpload.objects.get(pk=upload.pk)


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def actions() -> list[str]:
    return list(AuditEvent.objects.order_by("sequence").values_list("action", flat=True))


@pytest.mark.usefixtures("sent")
class TestReceive:
    def test_file_waits_under_a_random_name_for_its_owner_only(self, folder: Path, user: User) -> None:
        upload = receive(user, source="TEST", split_adjusted=False)
        path = folder / upload.path
        assert path.read_bytes() == GOOD
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert (upload.status, upload.size, upload.uploaded_by) == ("uploaded", len(GOOD), user)
        assert upload.options == {"on_error": "abort", "source": "TEST"}
        assert "csv" not in upload.path
        assert receive(user).path != upload.path
        assert actions() == ["file_upload.received"] * 2

    def test_name_is_no_path(self, folder: Path, user: User) -> None:
        upload = upload_receive(
            actor=user, target="prices", file_name="../../etc/x.csv", chunks=[GOOD], options={}
        )
        assert upload.file_name == "x.csv"
        assert files(folder) == [upload.path]

    def test_too_large_a_file_leaves_nothing(self, folder: Path, user: User, settings: Any) -> None:
        settings.IMPORT_MAX_BYTES = len(GOOD) - 1
        with nothing_written(), pytest.raises(UploadError, match="larger than"):
            receive(user)
        assert files(folder) == []

    @pytest.mark.parametrize(
        ("target", "options", "reason"),
        [
            ("users", {}, "target must be one of assets, prices"),
            ("prices", {"on_error": "ignore"}, "on_error must be one of abort, skip"),
            ("interest_rates", {}, "name must be given"),
        ],
    )
    def test_unknown_request_leaves_nothing(
        self, folder: Path, user: User, target: str, options: Any, reason: str
    ) -> None:
        with nothing_written(), pytest.raises(UploadError, match=reason):
            receive(user, GOOD, target, **options)
        assert not folder.exists()

    def test_needs_the_permission(self, folder: Path, user: User) -> None:
        other = make_user()
        with nothing_written(), pytest.raises(PermissionDenied):
            receive(other)
        assert not folder.exists()


class TestPreview:
    def test_says_what_would_be_and_writes_no_row(self, folder: Path, user: User, sent: Sent) -> None:
        upload = previewed(user)
        assert upload.status == UploadStatus.PREVIEWED
        assert {name: upload.preview[name] for name in ("read", "created", "rejected")} == {
            "read": 2,
            "created": 2,
            "rejected": 0,
        }
        assert upload.preview["samples"]["created"][0]["symbol"] == "AAA"
        assert (PriceBar.objects.count(), ImportBatch.objects.count()) == (0, 0)
        assert actions() == ["file_upload.received", "file_upload.previewed"]
        assert sent == []

    def test_large_file_is_left_to_a_worker(
        self,
        folder: Path,
        user: User,
        sent: Sent,
        monkeypatch: pytest.MonkeyPatch,
        django_capture_on_commit_callbacks: Any,
    ) -> None:
        monkeypatch.setattr(file_uploads, "PREVIEW_NOW_BYTES", 1)
        upload = receive(user)
        with django_capture_on_commit_callbacks(execute=True):
            upload_preview_start(upload, actor=user)
        assert sent == [("portfolios.preview_upload", [upload.pk])]
        assert fresh(upload).status == UploadStatus.UPLOADED
        tasks.preview_upload(upload.pk)
        assert fresh(upload).status == UploadStatus.PREVIEWED

    def test_refused_file_cannot_be_confirmed(self, folder: Path, user: User, sent: Sent) -> None:
        upload = previewed(user, BAD)
        assert upload.preview["rejects"] == [
            {"line": 4, "column": "close", "value": "0", "reason": "must be above 0"}
        ]
        with nothing_written(), pytest.raises(UploadError):
            upload_confirm(upload, actor=user)
        assert sent == []

    def test_fault_is_told_without_the_path(
        self, folder: Path, user: User, settings: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        upload = receive(user)
        settings.IMPORT_MAX_BYTES = 10
        upload_preview(upload.pk)
        upload = fresh(upload)
        assert upload.status == UploadStatus.FAILED
        assert upload.error.startswith("a file.csv: ")
        assert str(folder) not in upload.error
        assert files(folder) == []

    def test_of_what_is_confirmed_changes_nothing(self, folder: Path, user: User, sent: Sent) -> None:
        upload = queued(user)
        with nothing_written():
            upload_preview(upload.pk)


class TestConfirm:
    def test_hands_the_id_to_a_worker_after_the_commit(
        self, folder: Path, user: User, sent: Sent, django_capture_on_commit_callbacks: Any
    ) -> None:
        upload = previewed(user)
        with django_capture_on_commit_callbacks() as callbacks:
            upload_confirm(upload, actor=user)
            assert sent == []
        [callback] = callbacks
        callback()
        assert sent == [("portfolios.run_upload", [upload.pk])]
        assert (fresh(upload).status, fresh(upload).rows_total) == ("queued", 2)
        assert actions()[-1] == "file_upload.confirmed"

    def test_second_click_is_no_second_import(self, folder: Path, user: User, sent: Sent) -> None:
        upload = previewed(user)
        upload_confirm(upload, actor=user)
        with nothing_written(), pytest.raises(UploadError):
            upload_confirm(upload, actor=user)

    @pytest.mark.parametrize("decide", [upload_confirm, upload_discard])
    def test_others_may_not_decide(
        self, folder: Path, user: User, sent: Sent, decide: Callable[..., None]
    ) -> None:
        upload, other, former = previewed(user), make_importer(), make_user()
        for actor in (other, former, make_auditor()):
            with nothing_written(), pytest.raises(PermissionDenied):
                decide(upload, actor=actor)
        decide(upload, actor=make_superuser())
        assert fresh(upload).status in ("queued", "discarded")


class TestDiscard:
    def test_removes_the_file(self, folder: Path, user: User) -> None:
        upload = previewed(user)
        upload_discard(upload, actor=user)
        assert (fresh(upload).status, files(folder)) == ("discarded", [])
        assert actions()[-1] == "file_upload.discarded"

    def test_of_one_that_is_in_changes_nothing(self, folder: Path, user: User, sent: Sent) -> None:
        upload = queued(user)
        upload_run(upload.pk)
        with nothing_written(), pytest.raises(UploadError):
            upload_discard(upload, actor=user)

    def test_while_it_runs_stops_the_import(
        self, folder: Path, user: User, sent: Sent, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        upload, survey = queued(user), PriceImport.survey

        def discard_meanwhile(self: PriceImport, records: Any) -> None:
            upload_discard(fresh(upload), actor=user)
            survey(self, records)

        monkeypatch.setattr(PriceImport, "survey", discard_meanwhile)
        upload_run(upload.pk)
        assert (fresh(upload).status, PriceBar.objects.count()) == ("discarded", 0)


@pytest.mark.usefixtures("sent")
class TestRun:
    def test_imports_the_file_with_its_batch(self, folder: Path, user: User) -> None:
        upload = queued(user, source="TEST")
        tasks.run_upload(upload.pk)
        upload, batch = fresh(upload), ImportBatch.objects.get()
        assert (upload.status, upload.batch, upload.rows_done, upload.rows_total) == (
            "succeeded",
            batch,
            2,
            2,
        )
        assert (batch.file_name, batch.sha256, batch.imported_by) == ("a file.csv", upload.sha256, user)
        assert set(PriceBar.objects.values_list("source", flat=True)) == {"TEST"}
        assert upload.finished_at is not None
        assert files(folder) == []
        assert actions()[-2:] == ["prices.imported", "file_upload.imported"]
        assert audit_verify().is_intact

    def test_delivered_twice_imports_once(self, folder: Path, user: User) -> None:
        upload = queued(user)
        upload_run(upload.pk)
        with nothing_written():
            upload_run(upload.pk)

    def test_killed_in_the_middle_and_delivered_again_imports_once(
        self, folder: Path, user: User, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        upload = queued(user)
        with monkeypatch.context() as patch:

            def die(self: PriceImport) -> None:
                raise SystemExit

            patch.setattr(PriceImport, "finish", die)
            with pytest.raises(SystemExit):
                upload_run(upload.pk)
        assert (fresh(upload).status, PriceBar.objects.count()) == ("running", 0)
        upload_run(upload.pk)
        assert (fresh(upload).status, PriceBar.objects.count()) == ("succeeded", 2)
        assert ImportBatch.objects.count() == 1

    def test_file_that_is_in_already_succeeds_without_a_batch(self, folder: Path, user: User) -> None:
        for _ in range(2):
            upload = queued(user)
            upload_run(upload.pk)
        upload = fresh(upload)
        assert (upload.status, upload.batch, upload.report["unchanged"]) == ("succeeded", None, 2)

    def test_what_became_bad_since_the_preview_writes_nothing(self, folder: Path, user: User) -> None:
        upload = queued(user)
        make_asset("AAA", exchange="XNYS")  # now the symbol means two assets
        upload_run(upload.pk)
        upload = fresh(upload)
        assert (upload.status, upload.error) == ("failed", "2 rows are rejected, so nothing was written.")
        assert upload.report["rejects"][0]["column"] == "symbol"
        assert (PriceBar.objects.count(), files(folder)) == (0, [])

    def test_skip_writes_the_good_rows(self, folder: Path, user: User) -> None:
        upload = queued(user, BAD, on_error="skip")
        upload_run(upload.pk)
        upload = fresh(upload)
        assert (upload.status, upload.report["created"], upload.report["rejected"]) == ("succeeded", 2, 1)

    def test_error_is_noted_and_takes_everything_back(
        self, folder: Path, user: User, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        upload = queued(user)

        def fail(self: PriceImport) -> None:
            raise RuntimeError("the disk is full")

        monkeypatch.setattr(PriceImport, "finish", fail)
        upload_run(upload.pk)
        upload = fresh(upload)
        assert upload.status == "failed"
        assert upload.error.startswith("An unexpected RuntimeError stopped it")
        assert "disk" not in upload.error  # what the machine says stays in its log
        assert (PriceBar.objects.count(), upload.report, files(folder)) == (0, {}, [])
        assert actions()[-1] == "file_upload.failed"

    def test_other_bytes_on_disk_are_not_imported(self, folder: Path, user: User) -> None:
        upload = queued(user)
        (folder / upload.path).write_bytes(GOOD.replace(b"10", b"99"))
        upload_run(upload.pk)
        assert (fresh(upload).status, PriceBar.objects.count()) == ("failed", 0)

    def test_permission_that_was_taken_back_counts(self, folder: Path, user: User) -> None:
        upload = queued(user)
        user.user_permissions.clear()
        upload_run(upload.pk)
        assert (fresh(upload).status, PriceBar.objects.count()) == ("failed", 0)

    def test_user_who_is_gone_imports_nothing(self, folder: Path, user: User) -> None:
        upload = queued(user)
        User.objects.filter(pk=user.pk).delete()
        upload_run(upload.pk)
        assert (fresh(upload).status, PriceBar.objects.count()) == ("failed", 0)

    def test_progress_is_seen_before_the_commit(
        self, folder: Path, user: User, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(flow, "BLOCK_ROWS", 1)
        upload, seen, finish = queued(user), [], PriceImport.finish

        def look(self: PriceImport) -> None:
            seen.append(upload_progress(upload))
            finish(self)

        monkeypatch.setattr(PriceImport, "finish", look)
        upload_run(upload.pk)
        assert seen == [UploadProgress(2, 2)]
        assert upload_progress(fresh(upload)) == UploadProgress(2, 2)
        assert files(folder) == []


@pytest.mark.usefixtures("sent")
class TestTransactions:
    def test_role_on_the_portfolio_is_needed(self, folder: Path, user: User) -> None:
        portfolio = make_portfolio("P1")
        upload = previewed(user, TRANSACTIONS, "transactions")
        assert upload.preview["rejects"][0]["reason"] == "unknown portfolio"
        grant(user, portfolio, PortfolioRole.MAKER)
        upload = queued(user, TRANSACTIONS, "transactions")
        upload_run(upload.pk)
        assert fresh(upload).status == UploadStatus.SUCCEEDED
        assert Transaction.objects.get().portfolio == portfolio

    def test_portfolios_are_not_opened(self, folder: Path, user: User) -> None:
        upload = previewed(make_superuser(), TRANSACTIONS, "transactions")
        assert upload.preview["created"] == 0


def test_users_see_their_own_uploads_and_auditors_all(folder: Path, user: User) -> None:
    upload = receive(user)
    assert list(visible_uploads(make_importer())) == []
    for viewer in (user, make_auditor(), make_superuser()):
        assert list(visible_uploads(viewer)) == [upload]


class TestExpiry:
    AGE = dt.timedelta(7)

    def received(self, user: User, days: int, status: str = "previewed") -> FileUpload:
        upload = receive(user)
        created = clock.now() - dt.timedelta(days)
        FileUpload.objects.filter(pk=upload.pk).update(created_at=created, status=status)
        return fresh(upload)

    def test_what_nobody_confirmed_is_forgotten_with_its_file(self, folder: Path, user: User) -> None:
        old = [self.received(user, 8, status) for status in ("uploaded", "previewed")]
        young = self.received(user, 6)
        assert uploads_expire(self.AGE) == 2
        assert {fresh(upload).status for upload in old} == {UploadStatus.DISCARDED}
        assert all(fresh(upload).finished_at for upload in old)
        assert fresh(young).status == UploadStatus.PREVIEWED
        assert files(folder) == [young.path]
        events = AuditEvent.objects.filter(action="file_upload.expired")
        assert {event.object_id for event in events} == {str(upload.pk) for upload in old}
        assert {event.actor for event in events} == {"system"}
        with nothing_written():
            assert uploads_expire(self.AGE) == 0

    @pytest.mark.parametrize("status", ["queued", "running", "succeeded", "failed", "discarded"])
    def test_what_was_decided_is_left_alone(self, folder: Path, user: User, status: str) -> None:
        self.received(user, 100, status)
        with nothing_written():
            assert uploads_expire(self.AGE) == 0
        assert len(files(folder)) == 1

    def test_task_takes_the_age_from_the_settings(self, folder: Path, user: User, settings: Any) -> None:
        self.received(user, 3)
        settings.IMPORT_UPLOAD_DAYS = 4
        assert tasks.expire_uploads() == 0
        settings.IMPORT_UPLOAD_DAYS = 2
        assert tasks.expire_uploads() == 1


@pytest.mark.servers
@pytest.mark.django_db(transaction=True)
def test_two_workers_with_the_same_message_import_once(folder: Path, user: User, sent: Sent) -> None:
    upload = queued(user)
    together(*[lambda: upload_run(upload.pk)] * 4)
    assert fresh(upload).status == UploadStatus.SUCCEEDED
    assert (ImportBatch.objects.count(), actions().count("file_upload.imported")) == (1, 1)
    assert files(folder) == []

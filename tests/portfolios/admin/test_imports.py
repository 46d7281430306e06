"""The way of a file through the console: uploaded, previewed, confirmed."""

from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from portfolios.admin.imports import SizeLimit
from portfolios.models import FileUpload, ImportBatch, PriceBar, UploadStatus
from portfolios.services import file_uploads
from portfolios.services.file_uploads import upload_preview, upload_run
from tests.support.admin import client_of, make_reader
from tests.support.factories import make_asset, make_auditor, make_superuser
from tests.support.imports import nothing_written

pytestmark = pytest.mark.django_db

UPLOAD_URL = reverse("admin:portfolios_importbatch_upload")
LIST_URL = reverse("admin:portfolios_importbatch_changelist")
HEADER = "symbol,date,open,high,low,close,volume\n"
GOOD = HEADER + "AAA,2024-01-02,,,,10,\nAAA,2024-01-03,,,,11,\n"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Path:
    settings.IMPORT_UPLOAD_DIR = tmp_path / "uploads"
    monkeypatch.setattr(file_uploads.current_app, "send_task", lambda name, arguments: None)
    make_asset("AAA")
    return tmp_path / "uploads"


def make_importer() -> User:
    """A reader who may import files, too."""
    user = make_reader()
    user.user_permissions.add(Permission.objects.get(codename="add_importbatch"))
    return user


@pytest.fixture
def user() -> User:
    return make_importer()


@pytest.fixture
def client(user: User) -> Client:
    return client_of(user)


def post(client: Client, content: str, **values: Any) -> Any:
    file = SimpleUploadedFile("prices.csv", content.encode())
    fields = {"target": "prices", "on_error": "abort", "layout": "", "file": file}
    return client.post(UPLOAD_URL, fields | values)


def page(client: Client, upload: FileUpload) -> str:
    return client.get(reverse("admin:portfolios_importbatch_uploaded", args=[upload.pk])).content.decode()


def decide(client: Client, upload: FileUpload, decision: str) -> Any:
    return client.post(
        reverse("admin:portfolios_importbatch_uploaded", args=[upload.pk]), {decision: "yes"}, follow=True
    )


def test_file_goes_from_the_form_to_its_batch(client: Client, user: User) -> None:
    assert UPLOAD_URL in client.get(LIST_URL).content.decode()
    answer = post(client, GOOD, source="TEST", split_adjusted="on")
    upload = FileUpload.objects.get()
    assert answer["Location"] == reverse("admin:portfolios_importbatch_uploaded", args=[upload.pk])
    assert upload.options == {"on_error": "abort", "source": "TEST", "split_adjusted": True}
    preview = page(client, upload)
    assert "Would be created: 2" in preview
    assert "The source is noted as TEST." in preview
    assert "Prices have been divided by later splits." in preview
    assert 'http-equiv="refresh"' not in preview
    assert PriceBar.objects.count() == 0

    decide(client, upload, "confirm")
    assert 'http-equiv="refresh"' in page(client, upload)
    upload_run(upload.pk)
    result, batch = page(client, upload), ImportBatch.objects.get()
    assert reverse("admin:portfolios_importbatch_change", args=[batch.pk]) in result
    assert "What the import did" in result
    assert "Confirm" not in result
    assert client.get(reverse("admin:portfolios_importbatch_change", args=[batch.pk])).status_code == 200
    assert "prices.csv" in client.get(UPLOAD_URL).content.decode()


def test_refused_file_can_only_be_discarded(client: Client) -> None:
    post(client, GOOD + "AAA,2024-01-04,,,,<b>,\n")
    upload = FileUpload.objects.get()
    shown = page(client, upload)
    assert "&lt;b&gt;" in shown
    assert "Nothing of this file would be written: 1 row rejected." in shown
    assert 'name="confirm"' not in shown
    with nothing_written():
        answer = decide(client, upload, "confirm")
    assert "Nothing of this file could be written." in answer.content.decode()
    decide(client, upload, "discard")
    assert FileUpload.objects.get().status == UploadStatus.DISCARDED


def test_rejects_are_no_formulas_in_a_spreadsheet(client: Client) -> None:
    cells = ["=1+1", "+1", "-2", "@SUM(A1)"]
    rows = "".join(f"{cell},2024-01-04,,,,1,\n" for cell in cells)
    post(client, GOOD + rows, on_error="skip")
    answer = client.get(reverse("admin:portfolios_importbatch_rejects", args=[FileUpload.objects.get().pk]))
    assert answer["Content-Type"].startswith("text/csv")
    assert answer["Content-Disposition"].startswith("attachment")
    lines = answer.content.decode().splitlines()
    assert lines[0] == "line,column,value,reason"
    assert [line.split(",")[2] for line in lines[1:]] == [f"'{cell}" for cell in cells]


class TestSize:
    def test_announced_size_is_refused_before_the_body_is_read(
        self, user: User, folder: Path, settings: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        settings.IMPORT_MAX_BYTES = 10_000
        read: list[object] = []

        def note(self: object, *size: int) -> bytes:
            read.append(self)
            return b""

        monkeypatch.setattr("django.test.client.FakePayload.read", note)
        client = Client(enforce_csrf_checks=True)
        client.force_login(user)
        with nothing_written():
            answer = post(client, "x" * 100_000)
        assert answer.status_code == 413
        assert "larger than the 10,000 bytes" in answer.content.decode()
        assert (read, folder.exists()) == ([], False)

    def test_file_that_grows_beyond_the_limit_ends_there(
        self, client: Client, folder: Path, settings: Any
    ) -> None:
        settings.IMPORT_MAX_BYTES = 10_000
        with nothing_written():
            answer = post(client, "x" * 20_000)
        assert answer.context["form"].errors
        assert "larger than the 10,000 bytes" in answer.content.decode()
        assert not folder.exists()

    def test_limit_itself_is_allowed(self, settings: Any) -> None:
        settings.IMPORT_MAX_BYTES = 10
        assert SizeLimit().receive_data_chunk(b"x" * 4, 6) == b"x" * 4


class TestAccess:
    def test_token_is_checked(self, user: User) -> None:
        client = Client(enforce_csrf_checks=True)
        client.force_login(user)
        with nothing_written():
            assert post(client, GOOD).status_code == 403

    def test_reader_may_not_upload(self) -> None:
        client = client_of(make_reader())
        assert UPLOAD_URL not in client.get(LIST_URL).content.decode()
        assert client.get(UPLOAD_URL).status_code == 403
        with nothing_written():
            assert post(client, GOOD).status_code == 403

    def test_visitor_is_sent_to_the_login(self) -> None:
        with nothing_written():
            assert post(Client(), GOOD).status_code == 302

    def test_uploads_of_others_are_not_there(self, client: Client) -> None:
        post(client, GOOD)
        upload = FileUpload.objects.get()
        other = client_of(make_importer())
        for name in ("uploaded", "rejects"):
            url = reverse(f"admin:portfolios_importbatch_{name}", args=[upload.pk])
            assert other.get(url).status_code == 404
        with nothing_written():
            assert decide(other, upload, "confirm").status_code == 404
        assert "prices.csv" not in other.get(UPLOAD_URL).content.decode()

    def test_auditor_sees_but_decides_nothing(self, client: Client) -> None:
        post(client, GOOD)
        upload, auditor = FileUpload.objects.get(), make_auditor()
        User.objects.filter(pk=auditor.pk).update(is_staff=True)
        looker = client_of(auditor)
        shown = page(looker, upload)
        assert "Would be created: 2" in shown
        assert 'name="confirm"' not in shown
        assert 'name="discard"' not in shown
        with nothing_written():
            assert decide(looker, upload, "discard").status_code == 403

    def test_superuser_decides_for_others(self, client: Client) -> None:
        post(client, GOOD)
        boss = client_of(make_superuser())
        decide(boss, FileUpload.objects.get(), "confirm")
        assert FileUpload.objects.get().status == UploadStatus.QUEUED


def test_large_file_shows_that_it_is_being_read(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_uploads, "PREVIEW_NOW_BYTES", 1)
    post(client, GOOD)
    upload = FileUpload.objects.get()
    assert 'http-equiv="refresh"' in page(client, upload)
    upload_preview(upload.pk)
    assert "Would be created: 2" in page(client, upload)


@pytest.mark.parametrize(
    ("values", "field"),
    [({"target": "users"}, "target"), ({"file": ""}, "file"), ({"on_error": "x"}, "on_error")],
)
def test_form_says_what_is_wrong(client: Client, values: Any, field: str) -> None:
    with nothing_written():
        assert field in post(client, GOOD, **values).context["form"].errors


def test_series_needs_its_name(client: Client) -> None:
    with nothing_written():
        answer = post(client, "date,annual_rate\n2024-01-02,0.05\n", target="interest_rates")
    assert "name must be given for interest rates." in answer.content.decode()

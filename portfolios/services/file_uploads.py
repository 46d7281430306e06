"""Files that come in by hand: received, previewed, then confirmed or discarded, and imported by a worker.

The import's own transaction settles the upload, too: by a conditional UPDATE it says that the file is in, and
that becomes true together with the rows. A worker that is killed leaves the upload running and no rows, so
the message that is delivered again imports them; a message delivered twice finds it settled.
"""

import datetime as dt
import hashlib
import json
import logging
import os
import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from celery import current_app
from django.conf import settings
from django.contrib.auth.models import AbstractUser, User
from django.core.exceptions import PermissionDenied
from django.db import transaction

from portfolio_site.kernel import clock
from portfolios.imports.layouts import AUTO, known_layouts
from portfolios.imports.table import FileError
from portfolios.models import FileUpload, UploadStatus
from portfolios.services.audit import audit_append
from portfolios.services.import_assets import AssetImport
from portfolios.services.import_corporate_actions import CorporateActionImport
from portfolios.services.import_exchange_rates import ExchangeRateImport
from portfolios.services.import_interest_rates import InterestRateImport
from portfolios.services.import_prices import PriceImport
from portfolios.services.import_transactions import TransactionImport
from portfolios.services.imports.flow import FileImport, ImportWatch
from portfolios.services.imports.reports import FileReport

logger = logging.getLogger(__name__)

MAY_UPLOAD = "portfolios.add_importbatch"
# By name: the tasks live in a face and call this module.
RUN_TASK = "portfolios.run_upload"
PREVIEW_TASK = "portfolios.preview_upload"
# A smaller file is previewed while the browser waits, a second or two; a larger one by a worker.
PREVIEW_NOW_BYTES = 1_000_000
ON_ERROR = ("abort", "skip")
WAITING = (UploadStatus.UPLOADED, UploadStatus.PREVIEWED)
UNFINISHED = (*WAITING, UploadStatus.QUEUED, UploadStatus.RUNNING)


class UploadError(ValueError):
    """What was asked cannot be done with this upload, with the reason for the person who asked."""


class UploadSettledError(Exception):
    """Another delivery of the same message has imported the file, or it was discarded meanwhile."""


@dataclass(frozen=True)
class UploadTarget:
    """One kind of file. `importer` takes path, actor and on_error, and these options as text or bool.

    `required` are options without which the file cannot be read.
    """

    name: str
    label: str
    importer: Callable[..., FileImport[Any]]
    options: tuple[str, ...] = ()
    required: tuple[str, ...] = ()


@dataclass(frozen=True)
class UploadProgress:
    done: int
    total: int | None


_targets: dict[str, UploadTarget] = {}


def upload_target_register(target: UploadTarget) -> None:
    """Offer a kind of file. Other apps call this when they are ready."""
    _targets[target.name] = target


def upload_targets() -> list[UploadTarget]:
    return list(_targets.values())


def upload_layouts() -> tuple[str, ...]:
    return (AUTO, *known_layouts())


def _transaction_import(
    path: Path, *, portfolio: str = "", layout: str = AUTO, **common: Any
) -> TransactionImport:
    """Into portfolios that exist: opening one is a decision of its own."""
    return TransactionImport(
        path,
        portfolio=portfolio,
        layout=layout,
        create_portfolios=False,
        base_currency="",
        owner=None,
        **common,
    )


for _target in (
    UploadTarget("assets", "Assets", AssetImport),
    UploadTarget("prices", "Prices", PriceImport, ("source", "split_adjusted")),
    UploadTarget("exchange_rates", "Exchange rates", ExchangeRateImport, ("source",)),
    UploadTarget("interest_rates", "Interest rates", InterestRateImport, ("name",), ("name",)),
    UploadTarget("corporate_actions", "Corporate actions", CorporateActionImport),
    UploadTarget(
        "transactions", "Transactions", _transaction_import, ("portfolio", "layout", "decimal_comma")
    ),
):
    upload_target_register(_target)


def upload_receive(
    *, actor: User, target: str, file_name: str, chunks: Iterable[bytes], options: Mapping[str, Any]
) -> FileUpload:
    """Keep a file until it is confirmed or discarded. Raises UploadError, PermissionDenied."""
    _check_may_upload(actor)
    on_error = options.get("on_error", "abort")
    if on_error not in ON_ERROR:
        raise UploadError(f"on_error must be one of {', '.join(ON_ERROR)}.")
    wanted = {"on_error": on_error, **_target_options(target, options)}
    name = secrets.token_hex(16)
    path = _upload_dir() / name
    try:
        sha256, size = _store(path, chunks)
        with transaction.atomic():
            upload = FileUpload.objects.create(
                target=target,
                file_name=Path(file_name).name[:255],
                path=name,
                sha256=sha256,
                size=size,
                options=wanted,
                uploaded_by=actor,
            )
            _audit("received", upload, actor, {"size": size, "options": wanted})
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return upload


def upload_preview_start(upload: FileUpload, *, actor: User) -> None:
    """Preview a small file at once and hand a large one to a worker."""
    _check_may_change(upload, actor)
    if upload.size <= PREVIEW_NOW_BYTES:
        upload_preview(upload.pk)
    else:
        transaction.on_commit(lambda: current_app.send_task(PREVIEW_TASK, [upload.pk]))


def upload_preview(upload_id: int) -> None:
    """Note what the import would do, on behalf of whoever uploaded the file; it changes no other table."""
    upload = FileUpload.objects.select_related("uploaded_by").get(pk=upload_id)
    if upload.status not in WAITING:
        return
    try:
        importer = _importer(upload)
        report = importer.run(preview=True, watch=_ProgressFile(upload))
    except Exception as error:
        # The page shows what it ran into, whether a worker or the page itself asked.
        logger.exception("upload %s cannot be previewed", upload.pk)
        _fail(upload, WAITING, _reason(upload, error))
        _remove_files(upload)
        return
    preview = {**_report_json(report), "layout": importer.layout, "samples": report.samples}
    with transaction.atomic():
        is_noted = FileUpload.objects.filter(pk=upload.pk, status__in=WAITING).update(
            status=UploadStatus.PREVIEWED, preview=preview, heartbeat_at=clock.now()
        )
        if is_noted:
            _audit("previewed", upload, upload.uploaded_by, {"preview": _counts(report)})
    _progress_path(upload).unlink(missing_ok=True)


def upload_confirm(upload: FileUpload, *, actor: User) -> None:
    """Hand the file to a worker. Raises UploadError when there is nothing to confirm."""
    _check_may_change(upload, actor)
    if is_refused(upload):
        raise UploadError("Nothing of this file could be written.")
    with transaction.atomic():
        # Two clicks on the button are one import.
        is_first = FileUpload.objects.filter(pk=upload.pk, status=UploadStatus.PREVIEWED).update(
            status=UploadStatus.QUEUED, rows_total=upload.preview["read"]
        )
        if not is_first:
            raise UploadError("This upload is not waiting for a confirmation.")
        _audit("confirmed", upload, actor)
        transaction.on_commit(lambda: current_app.send_task(RUN_TASK, [upload.pk]))


def upload_discard(upload: FileUpload, *, actor: User) -> None:
    """Forget the file. One that runs stops before it writes; what is written stays. Raises UploadError."""
    _check_may_change(upload, actor)
    with transaction.atomic():
        is_first = FileUpload.objects.filter(pk=upload.pk, status__in=UNFINISHED).update(
            status=UploadStatus.DISCARDED, finished_at=clock.now()
        )
        if not is_first:
            raise UploadError("This upload is finished already.")
        _audit("discarded", upload, actor)
    _remove_files(upload)


def uploads_expire(age: dt.timedelta) -> int:
    """Forget the files that nobody has confirmed since they came in, longer ago than `age`; their number."""
    expired = 0
    for upload in FileUpload.objects.filter(status__in=WAITING, created_at__lt=clock.now() - age):
        with transaction.atomic():
            # It may be confirmed at this moment; whoever is first decides.
            is_waiting = FileUpload.objects.filter(pk=upload.pk, status__in=WAITING).update(
                status=UploadStatus.DISCARDED, finished_at=clock.now()
            )
            if is_waiting:
                _audit("expired", upload, None)
        if is_waiting:
            _remove_files(upload)
            expired += 1
    return expired


def upload_run(upload_id: int) -> None:
    """Import a confirmed file, once, however often and wherever this is called."""
    upload = FileUpload.objects.select_related("uploaded_by").get(pk=upload_id)
    startable = (UploadStatus.QUEUED, UploadStatus.RUNNING)
    FileUpload.objects.filter(pk=upload.pk, status__in=startable).update(
        status=UploadStatus.RUNNING, heartbeat_at=clock.now()
    )
    upload.refresh_from_db(fields=["status"])
    if upload.status == UploadStatus.RUNNING:
        _run(upload)
        upload.refresh_from_db(fields=["status"])
    if upload.status not in UNFINISHED:
        _remove_files(upload)


def upload_progress(upload: FileUpload) -> UploadProgress:
    """How far the import is, in rows."""
    try:
        noted = json.loads(_progress_path(upload).read_text())
        return UploadProgress(noted["done"], noted["total"])
    except (OSError, ValueError):
        return UploadProgress(upload.rows_done, upload.rows_total)


def is_refused(upload: FileUpload) -> bool:
    """Whether the preview says that nothing of the file would be written."""
    preview = upload.preview
    if not preview.get("rejected"):
        return False
    usable = preview["created"] or preview["updated"] or preview["unchanged"]
    return upload.options["on_error"] == "abort" or not usable


class _ProgressFile(ImportWatch):
    """Notes progress in a file beside the upload's own.

    The row cannot tell: what the import's transaction writes nobody sees before its end, and on SQLite no
    other connection may write meanwhile. Nor can the cache, which without Redis is one a process. But the
    folder is one that web and worker share in any case.
    """

    def __init__(self, upload: FileUpload) -> None:
        self.upload = upload
        self._path = _progress_path(upload)

    def progress(self, done: int, total: int | None) -> None:
        draft = self._path.with_suffix(".draft")
        draft.write_text(json.dumps({"done": done, "total": total}))
        draft.replace(self._path)


class _UploadWatch(_ProgressFile):
    def begin(self) -> None:
        # Another delivery waits here until this one has committed, and then finds no row to update.
        is_first = FileUpload.objects.filter(pk=self.upload.pk, status=UploadStatus.RUNNING).update(
            status=UploadStatus.SUCCEEDED, finished_at=clock.now()
        )
        if not is_first:
            raise UploadSettledError

    def finish(self, report: FileReport) -> None:
        FileUpload.objects.filter(pk=self.upload.pk).update(
            report=_report_json(report),
            batch=report.batch_id,
            rows_done=report.read,
            rows_total=report.read,
            heartbeat_at=clock.now(),
        )
        _audit("imported", self.upload, self.upload.uploaded_by, _counts(report))


def _run(upload: FileUpload) -> None:
    try:
        report = _importer(upload).run(watch=_UploadWatch(upload))
    except UploadSettledError:
        logger.info("upload %s was settled meanwhile", upload.pk)
    except Exception as error:
        # The worker must live on, whatever a file ran into; its rows are rolled back and the upload says so.
        logger.exception("upload %s failed", upload.pk)
        _fail(upload, (UploadStatus.RUNNING,), _reason(upload, error))
    else:
        # Refused: otherwise the import has settled the upload, and this changes nothing.
        words = f"{report.rejected_count:,} rows are rejected, so nothing was written."
        _fail(upload, (UploadStatus.RUNNING,), words, report)


def _importer(upload: FileUpload) -> FileImport[Any]:
    actor = upload.uploaded_by
    if actor is None:
        raise PermissionDenied("The user who uploaded this file is gone.")
    _check_may_upload(actor)
    path = _upload_dir() / upload.path
    with _opened(path) as stream:
        if hashlib.file_digest(stream, "sha256").hexdigest() != upload.sha256:
            raise UploadError("The file on disk is not the one that was uploaded.")
    importer = _targets[upload.target].importer(path, actor=actor, **upload.options)
    importer.file_name = upload.file_name
    return importer


def _opened(path: Path) -> Any:
    try:
        return path.open("rb")
    except OSError as error:
        raise UploadError("The file is no longer on disk; upload it again.") from error


def _fail(
    upload: FileUpload, statuses: Iterable[UploadStatus], error: str, report: FileReport | None = None
) -> None:
    with transaction.atomic():
        has_failed = FileUpload.objects.filter(pk=upload.pk, status__in=statuses).update(
            status=UploadStatus.FAILED,
            error=error,
            report=_report_json(report) if report else {},
            finished_at=clock.now(),
        )
        if has_failed:
            _audit("failed", upload, upload.uploaded_by, {"error": error})


def _reason(upload: FileUpload, error: Exception) -> str:
    """In the words of the person who uploaded the file, who never saw its path on this machine."""
    if isinstance(error, UploadError | PermissionDenied | FileError):
        return str(error).replace(str(_upload_dir() / upload.path), upload.file_name)
    return f"An unexpected {type(error).__name__} stopped it; the log says more, under upload {upload.pk}."


def _target_options(target: str, options: Mapping[str, Any]) -> dict[str, Any]:
    found = _targets.get(target)
    if found is None:
        raise UploadError(f"target must be one of {', '.join(_targets)}.")
    for name in found.required:
        if not options.get(name):
            raise UploadError(f"{name} must be given for {found.label.lower()}.")
    return {name: options[name] for name in found.options if options.get(name)}


def _check_may_upload(actor: User) -> None:
    if not (actor.is_active and actor.has_perm(MAY_UPLOAD)):
        raise PermissionDenied(f"{actor.get_username()} may not import files.")


def _check_may_change(upload: FileUpload, actor: User) -> None:
    _check_may_upload(actor)
    if upload.uploaded_by_id != actor.pk and not actor.is_superuser:
        raise PermissionDenied("This file was uploaded by someone else.")


def _store(path: Path, chunks: Iterable[bytes]) -> tuple[str, int]:
    """Write the file for this user only; its SHA-256 and size."""
    digest, size = hashlib.sha256(), 0
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
        for chunk in chunks:
            size += len(chunk)
            if size > settings.IMPORT_MAX_BYTES:
                raise UploadError(too_large())
            digest.update(chunk)
            stream.write(chunk)
    return digest.hexdigest(), size


def too_large() -> str:
    return f"The file is larger than the {settings.IMPORT_MAX_BYTES:,} bytes that an import may have."


def _upload_dir() -> Path:
    folder = Path(settings.IMPORT_UPLOAD_DIR)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def _progress_path(upload: FileUpload) -> Path:
    return _upload_dir() / f"{upload.path}.progress"


def _remove_files(upload: FileUpload) -> None:
    for path in (_upload_dir() / upload.path, _progress_path(upload)):
        path.unlink(missing_ok=True)


def _counts(report: FileReport) -> dict[str, int]:
    return {
        "read": report.read,
        "created": report.created,
        "updated": report.updated,
        "unchanged": report.unchanged,
        "rejected": report.rejected_count,
    }


def _report_json(report: FileReport) -> dict[str, Any]:
    return {
        **_counts(report),
        "notes": report.notes,
        "rejects": [reject.as_json() for reject in report.rejected],
    }


def _audit(
    event: str, upload: FileUpload, actor: User | AbstractUser | None, after: dict[str, Any] | None = None
) -> None:
    audit_append(
        action=f"file_upload.{event}",
        object_type="file_upload",
        object_id=upload.pk,
        actor=actor if isinstance(actor, User) else None,
        after={
            "target": upload.target,
            "file": upload.file_name,
            "sha256": upload.sha256,
            **(after or {}),
        },
    )

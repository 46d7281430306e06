"""Import batches, and the way to one by hand: upload a file, look at what it would do, confirm it."""

import csv
import io
from collections.abc import Iterable
from typing import Any, cast

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.core.files.uploadhandler import FileUploadHandler, StopUpload
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.views.decorators.csrf import csrf_exempt, csrf_protect
from django.views.decorators.http import require_GET

from portfolio_site.kernel.admin import ReadOnlyAdmin, document_column
from portfolio_site.kernel.admin.filters import DateTimeRangeFilter
from portfolios.models import FileUpload, ImportBatch, UploadStatus
from portfolios.selectors.visibility import sees_everything, visible_uploads
from portfolios.services.file_uploads import (
    MAY_UPLOAD,
    UNFINISHED,
    UploadError,
    is_refused,
    too_large,
    upload_confirm,
    upload_discard,
    upload_layouts,
    upload_preview_start,
    upload_progress,
    upload_receive,
    upload_targets,
)

# What a form takes besides its file: fields, boundaries, headers of the parts.
FORM_BYTES = 64_000
REFRESH_SECONDS = 3
LATEST_UPLOADS = 20
SHOWN_REJECTS = 50
SHOWN_NOTES = 50
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
TONES = {
    UploadStatus.UPLOADED: "calm",
    UploadStatus.PREVIEWED: "fair",
    UploadStatus.QUEUED: "busy",
    UploadStatus.RUNNING: "busy",
    UploadStatus.SUCCEEDED: "good",
    UploadStatus.FAILED: "bad",
    UploadStatus.DISCARDED: "calm",
}
SAMPLE_TITLES = {
    "created": "Would be created",
    "updated": "Would be changed",
    "unchanged": "Stand there already",
}


class SizeLimit(FileUploadHandler):
    """Ends an upload that grows beyond the limit, whatever length it announced."""

    is_exceeded = False

    def receive_data_chunk(self, raw_data: bytes, start: int) -> bytes:
        if start + len(raw_data) > settings.IMPORT_MAX_BYTES:
            self.is_exceeded = True
            raise StopUpload(connection_reset=True)
        return raw_data

    def file_complete(self, file_size: int) -> None:
        """The next handler keeps the file."""


class UploadForm(forms.Form):
    target = forms.ChoiceField(label="What the rows are")
    file = forms.FileField(
        help_text="CSV, CSV.GZ, Parquet, Excel or JSON, with the columns of this kind of file"
    )
    on_error = forms.ChoiceField(
        label="Rejected rows",
        choices=[("abort", "stop the whole file"), ("skip", "are left out, the others are written")],
        initial="abort",
    )
    source = forms.CharField(
        max_length=64, required=False, help_text="Prices, exchange rates: who published them"
    )
    split_adjusted = forms.BooleanField(
        required=False,
        help_text="Prices: the source has divided them by every split up to the last day in the file",
    )
    name = forms.CharField(
        label="Series", max_length=32, required=False, help_text="Interest rates: their name, such as DTB3"
    )
    portfolio = forms.CharField(
        max_length=32,
        required=False,
        help_text="Transactions: the code of the portfolio, if the file names none",
    )
    layout = forms.ChoiceField(required=False, help_text="Transactions: whose columns these are")
    decimal_comma = forms.BooleanField(
        required=False,
        help_text="Transactions, own and generic layout: numbers are written as 1234,56 in the file",
    )

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        targets = [(target.name, target.label) for target in upload_targets()]
        cast(forms.ChoiceField, self.fields["target"]).choices = targets
        layouts = [(layout, layout) for layout in upload_layouts()]
        cast(forms.ChoiceField, self.fields["layout"]).choices = layouts


@admin.register(ImportBatch)
class ImportBatchAdmin(ReadOnlyAdmin):
    """A file may hold rows of many portfolios: auditors see every batch, others their own."""

    change_list_template = "admin/portfolios/import_batches.html"
    list_display = (
        "id",
        "target",
        "file_name",
        "read",
        "created",
        "updated",
        "unchanged",
        "rejected",
        "created_at",
        "imported_by",
    )
    list_display_links = ("id", "file_name")
    list_filter = ("target", "layout", ("created_at", DateTimeRangeFilter))
    list_select_related = ("imported_by",)
    search_fields = ("file_name", "sha256__startswith")
    fieldsets = (
        (None, {"fields": ("target", "file_name", "layout", "sha256", "imported_by", "created_at")}),
        (
            "Rows",
            {"fields": ("read", "created", "updated", "unchanged", "rejected"), "classes": ("figures",)},
        ),
        ("Rejects", {"fields": (document_column("rejects"),)}),
        ("Notes", {"fields": (document_column("notes"),)}),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[ImportBatch]:
        batches = super().get_queryset(request)
        return batches if sees_everything(request.user) else batches.filter(imported_by=request.user.pk)

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        return [
            path("upload/", view(self.upload_view), name="portfolios_importbatch_upload"),
            path("upload/<int:pk>/", view(self.uploaded_view), name="portfolios_importbatch_uploaded"),
            path(
                "upload/<int:pk>/rejects.csv",
                view(require_GET(self.rejects_view)),
                name="portfolios_importbatch_rejects",
            ),
            *super().get_urls(),
        ]

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        context = {"may_upload": request.user.has_perm(MAY_UPLOAD), **(extra_context or {})}
        return super().changelist_view(request, context)

    # Whoever looks for the token reads the whole body; its length is checked before, and the token then.
    @csrf_exempt
    def upload_view(self, request: HttpRequest) -> HttpResponse:
        _check_may_upload(request)
        if int(request.META.get("CONTENT_LENGTH") or 0) > settings.IMPORT_MAX_BYTES + FORM_BYTES:
            form = UploadForm()
            messages.error(request, too_large())
            return self._upload_page(request, form, status=413)
        request.upload_handlers.insert(0, SizeLimit(request))
        return csrf_protect(self._upload)(request)

    def _upload(self, request: HttpRequest) -> HttpResponse:
        if request.method != "POST":
            return self._upload_page(request, UploadForm(initial={"target": request.GET.get("target")}))
        form = UploadForm(request.POST, request.FILES)
        if any(getattr(handler, "is_exceeded", False) for handler in request.upload_handlers):
            form.add_error("file", too_large())
        if not form.is_valid():
            return self._upload_page(request, form)
        values = dict(form.cleaned_data)
        target, file, actor = values.pop("target"), values.pop("file"), cast(User, request.user)
        try:
            upload = upload_receive(
                actor=actor, target=target, file_name=file.name, chunks=file.chunks(), options=values
            )
        except UploadError as error:
            form.add_error(None, str(error))
            return self._upload_page(request, form)
        upload_preview_start(upload, actor=actor)
        return HttpResponseRedirect(_upload_url(upload))

    def uploaded_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """The page of one upload, from its preview to its result."""
        upload = self._upload_or_404(request, pk)
        if request.method == "POST":
            return self._decide(request, upload)
        preview, report = upload.preview, upload.report or upload.preview
        is_confirmable = upload.status == UploadStatus.PREVIEWED and not is_refused(upload)
        return self._page(
            request,
            "admin/portfolios/uploaded.html",
            upload.file_name,
            upload=upload,
            tone=TONES[UploadStatus(upload.status)],
            report=report,
            rules=_rules(upload),
            notes=report.get("notes", [])[:SHOWN_NOTES],
            rejects=report.get("rejects", [])[:SHOWN_REJECTS],
            samples=[
                (title, preview[kind], list(rows[0]), [row.values() for row in rows])
                for kind, title in SAMPLE_TITLES.items()
                if (rows := preview.get("samples", {}).get(kind))
            ],
            is_preview=not upload.report,
            is_refused=is_refused(upload),
            may_confirm=is_confirmable and self._may_decide(request, upload),
            may_discard=upload.status in UNFINISHED and self._may_decide(request, upload),
            progress=upload_progress(upload),
            is_waiting=upload.status in (UploadStatus.UPLOADED, UploadStatus.QUEUED, UploadStatus.RUNNING),
            refresh_seconds=REFRESH_SECONDS,
        )

    def rejects_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        upload = self._upload_or_404(request, pk)
        rejects = (upload.report or upload.preview).get("rejects", [])
        answer = HttpResponse(_rejects_csv(rejects), content_type="text/csv; charset=utf-8")
        answer["Content-Disposition"] = f'attachment; filename="rejects-{upload.pk}.csv"'
        return answer

    def _decide(self, request: HttpRequest, upload: FileUpload) -> HttpResponse:
        decide = upload_confirm if "confirm" in request.POST else upload_discard
        try:
            decide(upload, actor=cast(User, request.user))
        except UploadError as error:
            messages.error(request, str(error))
        return HttpResponseRedirect(_upload_url(upload))

    def _upload_or_404(self, request: HttpRequest, pk: int) -> FileUpload:
        if not sees_everything(request.user):
            _check_may_upload(request)
        return get_object_or_404(visible_uploads(request.user), pk=pk)

    def _may_decide(self, request: HttpRequest, upload: FileUpload) -> bool:
        owns = upload.uploaded_by_id == request.user.pk
        return request.user.has_perm(MAY_UPLOAD) and (owns or bool(request.user.is_superuser))

    def _upload_page(self, request: HttpRequest, form: UploadForm, status: int = 200) -> TemplateResponse:
        uploads = [
            (upload, TONES[UploadStatus(upload.status)], _upload_url(upload))
            for upload in visible_uploads(request.user)[:LATEST_UPLOADS]
        ]
        return self._page(
            request, "admin/portfolios/upload.html", "Upload a file", status, form=form, uploads=uploads
        )

    def _page(
        self, request: HttpRequest, template: str, title: str, status: int = 200, **context: Any
    ) -> TemplateResponse:
        common = {**self.admin_site.each_context(request), "title": title, "opts": self.opts}
        return TemplateResponse(request, template, {**common, "media": self.media, **context}, status=status)


def _check_may_upload(request: HttpRequest) -> None:
    if not request.user.has_perm(MAY_UPLOAD):
        raise PermissionDenied


def _upload_url(upload: FileUpload) -> str:
    return reverse("admin:portfolios_importbatch_uploaded", args=[upload.pk])


def _rules(upload: FileUpload) -> list[str]:
    """How the file is read, in words."""
    options = upload.options
    comma = options.get("decimal_comma")
    rules = [
        f"Numbers have a decimal {'comma' if comma else 'point'}; dates are read as YYYY-MM-DD.",
        "Rejected rows are left out; the others are written."
        if options["on_error"] == "skip"
        else "One rejected row stops the whole file.",
    ]
    layout = upload.preview.get("layout", options.get("layout", "own"))
    if layout != "own":
        rules = [f"The layout is that of {layout}.", *rules[1:]]
    if upload.target == "prices":
        adjusted = "have been divided by" if options.get("split_adjusted") else "are as traded, before"
        rules.append(f"Prices {adjusted} later splits.")
    words = {"source": "The source is noted as", "name": "The series is", "portfolio": "The portfolio is"}
    return rules + [f"{text} {options[name]}." for name, text in words.items() if options.get(name)]


def _rejects_csv(rejects: Iterable[dict[str, Any]]) -> str:
    columns = ("line", "column", "value", "reason")
    text = io.StringIO()
    lines = csv.writer(text)
    lines.writerow(columns)
    lines.writerows([_harmless(str(reject[name])) for name in columns] for reject in rejects)
    return text.getvalue()


def _harmless(cell: str) -> str:
    """A spreadsheet would take such a cell for a formula."""
    return f"'{cell}" if cell.startswith(FORMULA_STARTS) else cell

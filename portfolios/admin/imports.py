from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from portfolio_site.kernel.admin import ReadOnlyAdmin, document_column
from portfolio_site.kernel.admin.filters import DateTimeRangeFilter
from portfolios.models import ImportBatch
from portfolios.selectors.visibility import sees_everything


@admin.register(ImportBatch)
class ImportBatchAdmin(ReadOnlyAdmin):
    """A file may hold rows of many portfolios: auditors see every batch, others their own."""

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

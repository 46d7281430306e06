"""Pages for paper: as HTML to print from a browser, or as PDF where WeasyPrint is installed."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string

STYLES = Path(settings.BASE_DIR) / "static" / "portfolio_site" / "report.css"


def report_response(request: HttpRequest, template: str, context: dict[str, Any], name: str) -> HttpResponse:
    """The report; with `?format=pdf` as a file, where that can be made, else as a page that prints well."""
    write_pdf = pdf_writer()
    is_pdf = request.GET.get("format") == "pdf" and write_pdf is not None
    context |= {"has_pdf": write_pdf is not None, "is_pdf": is_pdf, "styles": STYLES.read_text()}
    page = render_to_string(template, context, request)
    if write_pdf is None or not is_pdf:
        return HttpResponse(page)
    response = HttpResponse(write_pdf(page), content_type="application/pdf")
    response["Content-Disposition"] = f'attachment; filename="{name}.pdf"'
    return response


@cache
def pdf_writer() -> Callable[[str], bytes] | None:
    """Makes a file of a page; None where WeasyPrint, or the Pango that it draws with, is missing."""
    try:
        from weasyprint import HTML  # type: ignore[import-untyped, unused-ignore]
    except (ImportError, OSError):
        return None
    return lambda page: bytes(HTML(string=page, url_fetcher=_refuse).write_pdf())


def _refuse(url: str, *arguments: Any, **options: Any) -> Any:
    """A report holds all that it shows: whatever it names elsewhere is not fetched."""
    raise ValueError(f"{url} is not part of the report")

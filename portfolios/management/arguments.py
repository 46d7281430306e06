"""Arguments and answers that the commands share."""

import json
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError, CommandParser

from portfolios.imports.report import ImportReport
from portfolios.imports.table import FileError


def add_format_argument(parser: CommandParser) -> None:
    parser.add_argument(
        "--format",
        choices=["text", "json"],
        default="text",
        help="text for people (default), json for programs",
    )


def add_user_argument(parser: CommandParser) -> None:
    parser.add_argument(
        "--user", metavar="NAME", help="who acts, as the audit trail will say (default: the system)"
    )


def named_user(name: str | None) -> User | None:
    """The active user of that name; None without a name."""
    if not name:
        return None
    user = get_user_model()._default_manager.filter(username=name, is_active=True).first()
    if user is None:
        raise CommandError(f"there is no active user {name}")
    return user


class ImportCommand(BaseCommand):
    """Reads a file through the one service that `import_file` calls, and answers with its report."""

    file_help = ""

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", metavar="FILE", help=self.file_help)
        parser.add_argument(
            "--on-error",
            choices=["abort", "skip"],
            default="abort",
            help="abort (default): a bad row, and nothing is written; skip: the good rows are written",
        )
        parser.add_argument(
            "--preview", action="store_true", help="say what the import would do and write nothing"
        )
        add_format_argument(parser)
        add_user_argument(parser)

    def import_file(self, path: str, **common: Any) -> ImportReport:
        raise NotImplementedError

    def handle(self, *args: Any, **options: Any) -> None:
        self.options = options
        actor = named_user(options["user"])
        try:
            report = self.import_file(
                options["file"], actor=actor, on_error=options["on_error"], preview=options["preview"]
            )
        except FileError as error:
            raise CommandError(str(error)) from error
        if options["format"] == "json":
            samples = {"samples": report.samples} if options["preview"] else {}
            self.stdout.write(json.dumps({**report.as_json(), **samples}, ensure_ascii=False))
        else:
            self._write_text(report)
        has_failed = report.rejected and (options["on_error"] == "abort" or not report.is_usable)
        if has_failed:
            raise CommandError(f"{report.rejected_count} rejected, nothing was written")

    def _write_text(self, report: ImportReport) -> None:
        for reject in report.rejected:
            self.stderr.write(str(reject))
        for note in report.notes:
            self.stdout.write(note)
        for kind, rows in report.samples.items():
            for row in rows:
                cells = (f"{name} {cell}" for name, cell in row.items() if cell)
                self.stdout.write(f"would be {kind}: {', '.join(cells)}")
        self.stdout.write(report.summary())
        if self.options["preview"]:
            self.stdout.write("a preview: nothing was written")

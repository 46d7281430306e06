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
        add_format_argument(parser)
        add_user_argument(parser)

    def import_file(self, path: str, **common: Any) -> ImportReport:
        raise NotImplementedError

    def handle(self, *args: Any, **options: Any) -> None:
        self.options = options
        actor = named_user(options["user"])
        try:
            report = self.import_file(options["file"], actor=actor, on_error=options["on_error"])
        except FileError as error:
            raise CommandError(str(error)) from error
        if options["format"] == "json":
            self.stdout.write(json.dumps(report.as_json(), ensure_ascii=False))
        else:
            for reject in report.rejected:
                self.stderr.write(str(reject))
            for note in report.notes:
                self.stdout.write(note)
            self.stdout.write(report.summary())
        has_failed = report.rejected and (options["on_error"] == "abort" or not report.is_usable)
        if has_failed:
            raise CommandError(f"{len(report.rejected)} rejected, nothing was written")

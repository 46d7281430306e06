"""manage.py archive_analytics --before DATE"""

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from analytics.management.commands._archive import outcomes_report
from analytics.management.commands._output import date_argument
from analytics.services.archive import archive_before
from portfolios.management.arguments import add_format_argument, add_user_argument, named_user


class Command(BaseCommand):
    help = (
        "Take whole years before a date out of the history tables into Parquet files. A year leaves its "
        "table only when its file was read back and equals it. restore_archive brings it back."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--before", type=date_argument, required=True, metavar="DATE", help="archive the years before it"
        )
        parser.add_argument(
            "--directory", type=Path, metavar="DIR", help="where the files go (default: ARCHIVE_DIR)"
        )
        parser.add_argument("--dry-run", action="store_true", help="only say what would be archived")
        parser.add_argument("--force", action="store_true", help="even if the date is within the last year")
        add_format_argument(parser)
        add_user_argument(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        outcomes = archive_before(
            options["before"],
            options["directory"],
            dry_run=options["dry_run"],
            force=options["force"],
            actor=named_user(options["user"]),
        )
        done, undone = ("archived", "would be archived")
        outcomes_report(self, outcomes, options["format"], done=done, undone=undone)

"""manage.py restore_archive FILE|DIRECTORY"""

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from analytics.management.commands._archive import outcomes_report
from analytics.services.archive import archive_restore
from portfolios.management.arguments import add_format_argument, add_user_argument, named_user


class Command(BaseCommand):
    help = (
        "Put archived years back into their tables: one file, or all below a directory. A file that was "
        "changed since it was written is refused; what is back already stays as it is."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "target", type=Path, metavar="FILE|DIRECTORY", help="what archive_analytics wrote"
        )
        add_format_argument(parser)
        add_user_argument(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        outcomes = archive_restore(options["target"], named_user(options["user"]))
        outcomes_report(self, outcomes, options["format"], done="restored", undone="is there already")

from typing import Any

from django.core.management.base import CommandError, CommandParser

from analytics.management.commands.run_analytics import Command as RunAnalytics
from analytics.services.runs import BEGINNING, RunError, run_create


class Command(RunAnalytics):
    help = "Compute the whole history of everything. Rows that come out as they are stored are left alone."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--format", choices=("text", "json"), default="text")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            run = run_create(from_date=BEGINNING, keep_empty=False)
        except RunError as error:
            raise CommandError(str(error)) from error
        self.execute_run(run, options["format"])

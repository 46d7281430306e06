"""manage.py make_partitions"""

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connection

from analytics.services.partitions import PartitionError, partitions_ensure
from portfolios.management.arguments import add_format_argument


class Command(BaseCommand):
    help = (
        "Make the yearly partitions of the history tables that are missing, from the year of the first price "
        "on, and move the rows there that had to wait in the default ones. Only PostgreSQL has partitions."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--through", type=int, metavar="YEAR", help="the last year (default: the next)")
        add_format_argument(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            made = partitions_ensure(options["through"])
        except PartitionError as error:
            raise CommandError(str(error)) from error
        if options["format"] == "json":
            self.stdout.write(json.dumps({"made": made}))
        elif connection.vendor != "postgresql":
            self.stdout.write(f"{connection.display_name} has no partitions; there is nothing to do.")
        elif made:
            self.stdout.write("\n".join(f"made {name}" for name in made))
        else:
            self.stdout.write("All partitions are there.")

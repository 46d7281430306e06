"""manage.py import_prices FILE"""

from typing import Any

from django.core.management.base import CommandParser

from portfolios.imports.report import ImportReport
from portfolios.management.arguments import ImportCommand
from portfolios.services.import_prices import prices_import


class Command(ImportCommand):
    help = "Adds and corrects daily price bars."
    file_help = "CSV symbol,date,open,high,low,close,volume; also packed with gzip, as Parquet or as .xlsx"

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--source", metavar="NAME", default="", help="who published the prices")
        parser.add_argument(
            "--split-adjusted",
            action="store_true",
            help="the source has divided the prices by every split up to the last day in the file",
        )

    def import_file(self, path: str, **common: Any) -> ImportReport:
        return prices_import(
            path, source=self.options["source"], split_adjusted=self.options["split_adjusted"], **common
        )

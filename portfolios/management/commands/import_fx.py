"""manage.py import_fx FILE"""

from typing import Any

from django.core.management.base import CommandParser

from portfolios.imports.report import ImportReport
from portfolios.management.arguments import ImportCommand
from portfolios.services.import_exchange_rates import exchange_rates_import


class Command(ImportCommand):
    help = "Adds and corrects exchange rates."
    file_help = "CSV date,base,quote,rate (quote per 1 base), or the ECB's own wide file (units per 1 EUR)"

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--source", metavar="NAME", default="", help="who published the rates")

    def import_file(self, path: str, **common: Any) -> ImportReport:
        return exchange_rates_import(path, source=self.options["source"], **common)

"""manage.py import_rates FILE --name DTB3"""

from typing import Any

from django.core.management.base import CommandParser

from portfolios.imports.report import ImportReport
from portfolios.management.arguments import ImportCommand
from portfolios.services.import_interest_rates import interest_rates_import


class Command(ImportCommand):
    help = "Adds and corrects the annual rates of one risk-free series."
    file_help = "CSV date,annual_rate (fraction per year: 0.05 is 5 %%)"

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--name", required=True, help="name of the series, such as DTB3")

    def import_file(self, path: str, **common: Any) -> ImportReport:
        return interest_rates_import(path, name=self.options["name"], **common)

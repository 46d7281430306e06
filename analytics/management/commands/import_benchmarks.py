"""manage.py import_benchmarks FILE"""

from typing import Any

from analytics.services.import_benchmarks import benchmarks_import
from portfolios.imports.report import ImportReport
from portfolios.management.arguments import ImportCommand


class Command(ImportCommand):
    help = "Adds and changes benchmarks. A new primary benchmark takes the place of the old one."
    file_help = "CSV portfolio,symbol,is_primary[,start_date]"

    def import_file(self, path: str, **common: Any) -> ImportReport:
        return benchmarks_import(path, **common)

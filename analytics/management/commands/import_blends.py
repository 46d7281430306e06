"""manage.py import_blends FILE"""

from typing import Any

from analytics.services.import_blends import blends_import
from portfolios.imports.report import ImportReport
from portfolios.management.arguments import ImportCommand


class Command(ImportCommand):
    help = (
        "Makes and changes blended benchmarks. The rows of a blend are all of its components, and their "
        "weights must make exactly 100. import_benchmarks then takes the blend's symbol like any other."
    )
    file_help = (
        "CSV blend,symbol,weight_percentage,rebalance_frequency[,name,currency,start_date]; "
        "the frequency is daily, weekly, monthly, quarterly, semiannual, annual or none"
    )

    def import_file(self, path: str, **common: Any) -> ImportReport:
        return blends_import(path, **common)

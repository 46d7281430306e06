"""manage.py import_allocations FILE"""

from typing import Any

from analytics.services.import_allocations import allocations_import
from portfolios.imports.report import ImportReport
from portfolios.management.arguments import ImportCommand


class Command(ImportCommand):
    help = (
        "Replaces the target allocations of the portfolios in the file. Targets that the file does not name "
        "become inactive; the symbol CASH is the cash target, 0 without such a row. Together they must make "
        "exactly 100."
    )
    file_help = (
        "CSV portfolio,symbol,target_percentage,min_percentage,max_percentage,rebalance_threshold,"
        "rebalance_frequency; the threshold is in percentage points"
    )

    def import_file(self, path: str, **common: Any) -> ImportReport:
        return allocations_import(path, **common)

"""manage.py import_corporate_actions FILE"""

from typing import Any

from portfolios.imports.report import ImportReport
from portfolios.management.arguments import ImportCommand
from portfolios.services.import_corporate_actions import corporate_actions_import


class Command(ImportCommand):
    help = "Adds and corrects splits, dividends and other corporate actions."
    file_help = (
        "CSV symbol,ex_date,kind,ratio,amount[,new_symbol,cost_allocation]; ratio is new:old (7:1) or a "
        "decimal, cost_allocation the share of the cost that goes to the new shares, 0 to 1"
    )

    def import_file(self, path: str, **common: Any) -> ImportReport:
        return corporate_actions_import(path, **common)

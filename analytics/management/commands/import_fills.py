"""manage.py import_fills FILE"""

from typing import Any

from analytics.services.execution.import_fills import fills_import
from portfolios.imports.report import ImportReport
from portfolios.management.arguments import ImportCommand


class Command(ImportCommand):
    help = (
        "Books what a broker did of exported orders. Fills that were delivered before change nothing; what "
        "goes beyond an order is kept and marked, but not booked. An event whose orders are done is closed."
    )
    file_help = (
        "CSV client_order_id,fill_id,quantity,price,fee,tax,filled_on[,side,symbol,currency]; price, fee and "
        "tax in the currency of the asset"
    )

    def import_file(self, path: str, **common: Any) -> ImportReport:
        return fills_import(path, **common)

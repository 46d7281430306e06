"""manage.py import_assets FILE"""

from typing import Any

from portfolios.imports.report import ImportReport
from portfolios.management.arguments import ImportCommand
from portfolios.services.import_assets import assets_import


class Command(ImportCommand):
    help = "Adds and changes assets. A blank optional cell leaves what is stored."
    file_help = "CSV symbol,name,asset_class,currency[,exchange,isin,sector,country,lot_size,is_total_return]"

    def import_file(self, path: str, **common: Any) -> ImportReport:
        return assets_import(path, **common)

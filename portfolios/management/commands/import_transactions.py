"""manage.py import_transactions FILE"""

from typing import Any

from django.core.management.base import CommandParser

from portfolios.imports.layouts import AUTO
from portfolios.imports.report import ImportReport
from portfolios.management.arguments import ImportCommand, named_user
from portfolios.services.import_transactions import LAYOUTS, transactions_import


class Command(ImportCommand):
    help = "Adds transactions. Booked lines are never edited: reverse them and book them again."
    file_help = (
        "CSV portfolio,trade_date,kind,symbol,quantity,price,amount,fee,tax,currency,status,external_id"
        "[,settle_date,fx_rate,counter_amount,counter_currency,note], or the export of a broker; "
        "also packed with gzip, as Parquet or as .xlsx"
    )

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--portfolio", metavar="CODE", default="", help="the portfolio of every row")
        parser.add_argument(
            "--layout",
            metavar="NAME",
            default=AUTO,
            help=f"layout of the file: {', '.join(LAYOUTS)}, or an added one (default: known by its header)",
        )
        parser.add_argument(
            "--decimal-comma",
            action="store_true",
            help="numbers have a decimal comma (own and generic layout; the others have their own rule)",
        )
        parser.add_argument(
            "--create-portfolios", action="store_true", help="create portfolios that do not exist yet"
        )
        parser.add_argument(
            "--base-currency", metavar="CODE", default="", help="base currency of created ones"
        )
        parser.add_argument("--owner", metavar="USER", help="owner of created ones (default: none)")

    def import_file(self, path: str, **common: Any) -> ImportReport:
        return transactions_import(
            path,
            portfolio=self.options["portfolio"],
            layout=self.options["layout"],
            decimal_comma=self.options["decimal_comma"],
            create_portfolios=self.options["create_portfolios"],
            base_currency=self.options["base_currency"],
            owner=named_user(self.options["owner"]),
            **common,
        )

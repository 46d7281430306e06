"""manage.py import_transactions FILE"""

from typing import Any

from django.core.management.base import CommandParser

from portfolios.imports.report import ImportReport
from portfolios.management.arguments import ImportCommand, named_user
from portfolios.services.import_transactions import LAYOUTS, transactions_import


class Command(ImportCommand):
    help = "Adds transactions. Booked lines are never edited: reverse them and book them again."
    file_help = (
        "CSV portfolio,trade_date,kind,symbol,quantity,price,amount,fee,tax,currency,status,external_id"
        "[,settle_date,fx_rate,counter_amount,counter_currency,note]"
    )

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--portfolio", metavar="CODE", default="", help="the portfolio of every row")
        parser.add_argument("--layout", choices=LAYOUTS, default=LAYOUTS[0], help="layout of the file")
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
            create_portfolios=self.options["create_portfolios"],
            base_currency=self.options["base_currency"],
            owner=named_user(self.options["owner"]),
            **common,
        )

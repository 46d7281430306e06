"""Transactions from a file.

`reading` makes rows of our own layout of whatever the file holds, `importer` books them; `booked` is what
stands there already and what an import adds to it, `shortages` whether the books can take it, `named_lots`
whether they still can give each sale the lots that it names.
"""

from portfolios.services.import_transactions.importer import TransactionImport, transactions_import
from portfolios.services.import_transactions.reading import LAYOUTS

__all__ = ["LAYOUTS", "TransactionImport", "transactions_import"]

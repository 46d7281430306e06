"""Books for many portfolios: twenty positions each, about a hundred lines over five years."""

import datetime as dt
from typing import Any

import numpy as np

from analytics.models import PortfolioBenchmark
from portfolio_site.kernel.bulk import bulk_insert
from portfolios.models import Portfolio, Transaction, TransactionKind
from tests.benchmarks.market import Market

POSITIONS = 20
SESSIONS_A_MONTH = 21
START_CASH, DEPOSIT, FEE = 1_000_000.0, 5_000.0, 120.0
SHARE_PER_POSITION = 0.04
LATER_BUYS, SELLS, DIVIDENDS, FEES = 12, 6, 8, 4
DIVIDEND_PER_SHARE = 0.35
LINE = ("kind", "trade_date", "asset", "quantity", "price", "amount")

Line = tuple[str, Any, int | None, float | None, float | None, float]


def load_books(market: Market, count: int) -> None:
    """Store portfolios in dollars, each with its lines and the index as its benchmark."""
    Portfolio.objects.bulk_create(
        Portfolio(code=f"P{number:06}", name=f"Book {number}", base_currency_id="USD")
        for number in range(count)
    )
    portfolios = list(Portfolio.objects.order_by("code").values_list("pk", flat=True))
    PortfolioBenchmark.objects.bulk_create(
        PortfolioBenchmark(portfolio_id=pk, asset_id=int(market.ids[-1]), is_primary=True)
        for pk in portfolios
    )
    random = np.random.default_rng(11)
    traded = np.flatnonzero(np.isfinite(market.closes[:-1]).all(axis=1))
    books = [(pk, _lines(market, traded, random)) for pk in portfolios]
    lines = [line for _, book in books for line in book]
    columns: dict[str, Any] = dict(zip(LINE, map(list, zip(*lines, strict=True)), strict=True))
    bulk_insert(
        Transaction,
        {
            "portfolio": np.repeat(portfolios, [len(book) for _, book in books]),
            "external_id": [str(number) for _, book in books for number in range(len(book))],
            **columns,
            "status": "settled",
            "fee": 0.0,
            "tax": 0.0,
            "currency": "USD",
            "source": "bench",
            "note": "",
            "created_at": dt.datetime.now(dt.UTC),
        },
    )


def _lines(market: Market, traded: np.ndarray, random: np.random.Generator) -> list[Line]:
    """Cash in, twenty purchases, then monthly deposits with a few trades, dividends and fees between."""
    last = len(market.days) - 1
    held = random.choice(traded, min(POSITIONS, len(traded)), replace=False)
    lines: list[Line] = [(TransactionKind.DEPOSIT, market.days[0], None, None, None, START_CASH)]
    shares = np.floor(START_CASH * SHARE_PER_POSITION / market.closes[held, 0]) + 1
    lines += [_trade(market, TransactionKind.BUY, asset, 0, n) for asset, n in zip(held, shares, strict=True)]
    lines += [
        (TransactionKind.DEPOSIT, market.days[session], None, None, None, DEPOSIT)
        for session in range(SESSIONS_A_MONTH, last, SESSIONS_A_MONTH)
    ]
    for kind, count in ((TransactionKind.BUY, LATER_BUYS), (TransactionKind.SELL, SELLS)):
        for session in random.integers(1, last, count):
            place = int(random.integers(len(held)))
            # A tenth of the first purchase, so that all sales together leave something.
            lines.append(_trade(market, kind, held[place], session, np.floor(shares[place] / 10) or 0.1))
    for session in random.integers(1, last, DIVIDENDS):
        place = int(random.integers(len(held)))
        amount = round(float(shares[place]) * DIVIDEND_PER_SHARE, 2)
        lines.append(
            (TransactionKind.DIVIDEND, market.days[session], int(market.ids[held[place]]), None, None, amount)
        )
    lines += [
        (TransactionKind.FEE, market.days[session], None, None, None, FEE)
        for session in random.integers(1, last, FEES)
    ]
    return lines


def _trade(market: Market, kind: TransactionKind, asset: int, session: int, shares: float) -> Line:
    price = float(market.closes[asset, session])
    amount = round(float(shares) * price, 2)
    return kind, market.days[session], int(market.ids[asset]), float(shares), price, amount

"""A generated house of any size, whose figures depend on nothing but its sizes."""

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from django.conf import settings

from analytics.models import PortfolioAllocation, PortfolioBenchmark
from portfolio_site.kernel.bulk import bulk_upsert
from portfolios.models import Asset, ChangeCause, Currency, InterestRate, Portfolio, PriceBar, Transaction
from portfolios.services.staleness import mark_assets_stale

LAST_DAY = dt.date(2025, 6, 30)
CURRENCY = "USD"
HELD = 20
DEPOSIT = 1_000_000
# A round of purchases on the second day, then a tenth of the lines anew every so many sessions.
SESSIONS_PER_TRADE = 63


@dataclass(frozen=True)
class Sizes:
    assets: int
    portfolios: int
    days: int

    def __str__(self) -> str:
        return f"{self.assets:,} assets, {self.portfolios:,} portfolios, {self.days:,} days"


def make_growth_house(sizes: Sizes) -> None:
    """Assets with prices on all days but the next one, and portfolios of twenty lines each."""
    Currency.objects.get_or_create(code=CURRENCY, defaults={"name": CURRENCY})
    symbols = [settings.MARKET_ASSET, *(f"A{number:05}" for number in range(1, sizes.assets))]
    assets = Asset.objects.bulk_create(
        Asset(symbol=symbol, name=symbol, asset_class="equity", currency_id=CURRENCY) for symbol in symbols
    )
    days = sessions(sizes.days)
    InterestRate.objects.create(name=settings.DEFAULT_RISK_FREE, date=days[0].item(), annual_rate="0.03")
    prices_write(assets, days, seed=1)
    portfolios = Portfolio.objects.bulk_create(
        Portfolio(code=f"P{number:06}", name=f"Book {number}", base_currency_id=CURRENCY)
        for number in range(sizes.portfolios)
    )
    Transaction.objects.bulk_create(_lines(portfolios, assets, days), batch_size=5_000)
    PortfolioBenchmark.objects.bulk_create(
        PortfolioBenchmark(portfolio=portfolio, asset=assets[0], is_primary=True) for portfolio in portfolios
    )
    PortfolioAllocation.objects.bulk_create(
        PortfolioAllocation(portfolio=portfolio, asset=asset, target_percentage=100 / HELD)
        for portfolio in portfolios
        for asset in _held(portfolio, assets)
    )


def sessions(count: int) -> np.ndarray:
    """So many weekdays, the last one before `LAST_DAY`."""
    days: np.ndarray = np.busday_offset(np.datetime64(LAST_DAY), np.arange(-count, 0))
    return days


def prices_write(assets: list[Asset], days: np.ndarray, seed: int) -> None:
    random = np.random.default_rng(seed)
    for asset in assets:
        closes = 100 * np.exp(np.cumsum(random.normal(0.0003, 0.012, len(days))))
        columns = {
            "asset": asset.pk,
            "date": days,
            "open": closes,
            "high": closes * 1.01,
            "low": closes * 0.99,
            "close": closes,
            "volume": random.integers(1_000, 9_000, len(days)).astype(float),
            "source": "generated",
        }
        bulk_upsert(PriceBar, columns, key=("asset", "date"))


def next_day_write() -> None:
    """The ordinary new day: one bar an asset, marked as an import marks it."""
    assets = list(Asset.objects.order_by("pk"))
    prices_write(assets, np.array([LAST_DAY], dtype="datetime64[D]"), seed=2)
    mark_assets_stale(dict.fromkeys((asset.pk for asset in assets), LAST_DAY), ChangeCause.PRICE)


def _held(portfolio: Portfolio, assets: list[Asset]) -> list[Asset]:
    random = np.random.default_rng(int(portfolio.code[1:]))
    chosen = random.choice(np.arange(1, len(assets)), size=min(HELD, len(assets) - 1), replace=False)
    return [assets[place] for place in sorted(chosen)]


def _lines(portfolios: list[Portfolio], assets: list[Asset], days: np.ndarray) -> Iterator[Transaction]:
    for portfolio in portfolios:
        common = {"portfolio": portfolio, "currency_id": CURRENCY, "source": "generated"}
        yield Transaction(
            **common, kind="deposit", trade_date=days[0].item(), amount=DEPOSIT, external_id="deposit"
        )
        held = _held(portfolio, assets)
        for number, day in enumerate(days[1::SESSIONS_PER_TRADE]):
            for asset in held if number == 0 else held[number % 10 :: 10]:
                yield Transaction(
                    **common,
                    kind="buy",
                    trade_date=day.item(),
                    asset=asset,
                    quantity=300 if number == 0 else 5,
                    price=100,
                    external_id=f"{number}/{asset.pk}",
                )

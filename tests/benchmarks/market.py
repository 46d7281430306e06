"""The market that the benchmarks compute: real daily bars where they are at hand, else made-up ones."""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from django.conf import settings

from portfolio_site.kernel.bulk import bulk_insert
from portfolios.models import Asset, Currency, InterestRate, PriceBar

ASSETS = int(os.environ.get("BENCH_ASSETS", "505"))
DAYS = int(os.environ.get("BENCH_DAYS", "1259"))
PORTFOLIOS = int(os.environ.get("BENCH_PORTFOLIOS", "1000"))
RUNS = int(os.environ.get("BENCH_RUNS", "5"))
DATA = Path(os.environ.get("BENCH_DATA", "../shared/data"))
STOCKS = DATA / "stocks_ohlcv_2013_2018.csv.gz"
PRICES = ("open", "high", "low", "close")
FIRST_DAY = np.datetime64("2013-02-08")
RATE = 0.01


@dataclass(frozen=True)
class Market:
    """Closes (assets, days), NaN where there is no bar; the last asset is the market's index."""

    ids: np.ndarray
    days: np.ndarray
    closes: np.ndarray


def load_market() -> Market:
    """Store assets, bars and the risk-free rate, the index last."""
    bars = _real_bars() if STOCKS.exists() else _made_up_bars()
    bars = _with_index(bars)
    symbols, numbers = np.unique(bars["symbol"].to_numpy(dtype=str), return_inverse=True)
    Currency.objects.get_or_create(code="USD", defaults={"name": "US dollar"})
    Asset.objects.bulk_create(
        Asset(symbol=symbol, name=symbol, asset_class="equity", currency_id="USD") for symbol in symbols
    )
    of_symbol = dict(Asset.objects.values_list("symbol", "pk"))
    ids = np.array([of_symbol[symbol] for symbol in symbols])
    days = bars["date"].to_numpy(dtype="datetime64[D]")
    insert_bars(ids[numbers], days, {name: bars[name].to_numpy() for name in (*PRICES, "volume")})
    InterestRate.objects.create(name=settings.DEFAULT_RISK_FREE, date=days.min().item(), annual_rate=RATE)
    calendar = np.unique(days)
    closes = np.full((len(ids), len(calendar)), np.nan)
    closes[numbers, np.searchsorted(calendar, days)] = bars["close"].to_numpy()
    index = int(np.flatnonzero(symbols == settings.MARKET_ASSET)[0])
    order = [*np.delete(np.arange(len(ids)), index).tolist(), index]
    return Market(ids[order], calendar, closes[order])


def insert_bars(assets: np.ndarray, days: np.ndarray, values: dict[str, np.ndarray]) -> None:
    bulk_insert(PriceBar, {"asset": assets, "date": days, **values, "source": "bench"})


def prepend_mirrored_history() -> None:
    """Give every asset as many bars again before its first one: its own, backwards."""
    stored = pd.DataFrame.from_records(
        PriceBar.objects.order_by("asset", "-date").values_list("asset", *PRICES, "volume"),
        columns=["asset", *PRICES, "volume"],
    )
    first = np.datetime64(PriceBar.objects.earliest("date").date)
    before = stored.groupby("asset").cumcount().to_numpy()
    size = stored.groupby("asset")["asset"].transform("size").to_numpy()
    days = np.busday_offset(first, before - size, roll="forward")
    values = {name: stored[name].to_numpy(dtype=np.float64) for name in (*PRICES, "volume")}
    insert_bars(stored["asset"].to_numpy(), days, values)


def _real_bars() -> pd.DataFrame:
    bars = pd.read_csv(STOCKS, parse_dates=["date"], keep_default_na=False, na_values=[""])
    symbols = sorted(bars["symbol"].unique())[:ASSETS]
    last_days = sorted(bars["date"].unique())[-DAYS:]
    return bars[bars["symbol"].isin(symbols) & (bars["date"] >= last_days[0])]


def _made_up_bars() -> pd.DataFrame:
    random = np.random.default_rng(7)
    days = np.busday_offset(FIRST_DAY, np.arange(DAYS), roll="forward")
    closes = 100 * np.cumprod(1 + random.normal(0.0004, 0.015, (ASSETS, DAYS)), axis=1)
    return pd.DataFrame(
        {
            "symbol": np.repeat([f"A{number:04}" for number in range(ASSETS)], DAYS),
            "date": np.tile(days, ASSETS).astype("datetime64[s]"),
            "open": closes.ravel().round(4),
            "high": (closes * 1.01).ravel().round(4),
            "low": (closes * 0.99).ravel().round(4),
            "close": closes.ravel().round(4),
            "volume": random.integers(10_000, 9_000_000, ASSETS * DAYS),
        }
    )


def _with_index(bars: pd.DataFrame) -> pd.DataFrame:
    """The mean of all relative closes as the market's index."""
    closes = bars.pivot(index="date", columns="symbol", values="close").ffill()
    level = (1000 * closes.pct_change(fill_method=None).mean(axis=1).fillna(0).add(1).cumprod()).round(4)
    index = pd.DataFrame({"symbol": settings.MARKET_ASSET, "date": level.index, "volume": 0.0})
    for name in PRICES:
        index[name] = level.to_numpy()
    return pd.concat([bars, index], ignore_index=True)

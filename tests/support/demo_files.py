"""The demo's files as they lie on the disk: what the tests of its figures start from."""

import csv
import gzip
import json
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

FOLDER = Path(__file__).resolve().parents[2] / "portfolio_site" / "demo"
CODES = ("BALANCED", "TECH", "EURO", "NEW")
# Sessions of the exchange from the first line of each book to the last day of prices.
SESSIONS = {"BALANCED": 1244, "TECH": 1179, "EURO": 1030, "NEW": 148}
PRICE_FILES = ("prices_adjusted.csv.gz", "prices_as_traded.csv.gz", "prices_indices.csv.gz")
LAST_DAY = pd.Timestamp("2018-02-07")
# AAPL is shipped as traded; every other price is as it was.
SPLIT_SYMBOL, SPLIT_DAY, SPLIT_RATIO = "AAPL", pd.Timestamp("2014-06-09"), 7
FX_MAX_CARRY_DAYS = 7

Row = dict[str, str]


def read_rows(name: str) -> list[Row]:
    path = FOLDER / name
    if path.suffix == ".gz":
        with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@cache
def portfolios() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = json.loads((FOLDER / "portfolios.json").read_text(encoding="utf-8"))
    return found


def base_currency(code: str) -> str:
    return str(portfolios()[code]["base_currency"])


@cache
def settled(code: str) -> list[Row]:
    """The lines of one book that count."""
    return [row for row in read_rows(f"transactions/{code}.csv") if row["status"] == "settled"]


@cache
def benchmark_symbols(code: str) -> dict[str, bool]:
    """Symbols of the portfolio's benchmarks; the value tells the primary one."""
    rows = read_rows("benchmarks.csv")
    return {row["symbol"]: row["is_primary"] == "1" for row in rows if row["portfolio"] == code}


def primary_benchmark(code: str) -> str:
    return next(symbol for symbol, is_primary in benchmark_symbols(code).items() if is_primary)


@cache
def traded_closes() -> dict[str, dict[pd.Timestamp, Decimal]]:
    """Closes as they were paid, by symbol and day, exact."""
    closes: dict[str, dict[pd.Timestamp, Decimal]] = {}
    for name in PRICE_FILES:
        for row in read_rows(name):
            closes.setdefault(row["symbol"], {})[pd.Timestamp(row["date"])] = Decimal(row["close"])
    return closes


@cache
def bars() -> dict[str, pd.DataFrame]:
    """Bars by symbol, adjusted for AAPL's split: prices before it divided by seven, volumes times seven."""
    table = pd.concat([pd.read_csv(FOLDER / name, parse_dates=["date"]) for name in PRICE_FILES])
    prices = ["open", "high", "low", "close"]
    before = (table["symbol"] == SPLIT_SYMBOL) & (table["date"] < SPLIT_DAY)
    table["volume"] = table["volume"].astype(float)
    table.loc[before, prices] /= SPLIT_RATIO
    table.loc[before, "volume"] *= SPLIT_RATIO
    return {
        str(symbol): rows.set_index("date").sort_index()[[*prices, "volume"]]
        for symbol, rows in table.groupby("symbol")
    }


@cache
def trading_days() -> pd.DatetimeIndex:
    """Days on which anything of the demo has a price."""
    return pd.DatetimeIndex(sorted(set().union(*(frame.index for frame in bars().values()))))


@cache
def units_per_euro(currency: str) -> dict[pd.Timestamp, Decimal]:
    rows = read_rows("fx_ecb.csv.gz")
    return {pd.Timestamp(row["date"]): Decimal(row[currency]) for row in rows if row[currency]}


@cache
def rate_to_base(currency: str, base: str, day: pd.Timestamp) -> Decimal:
    """Base currency for one unit, by the last ECB rate of at most seven days ago."""
    if currency == base:
        return Decimal(1)
    if base != "EUR":
        raise ValueError(f"the demo has no book in {base} with {currency}")
    rates = units_per_euro(currency)
    for age in range(FX_MAX_CARRY_DAYS + 1):
        published = day - pd.Timedelta(days=age)
        if published in rates:
            return 1 / rates[published]
    raise ValueError(f"no rate for {currency} on {day:%Y-%m-%d}")


@cache
def risk_free_rates() -> pd.Series:
    """Rate of one session, (1 + y)^(1/252) - 1, on the days the annual rate was published."""
    rows = read_rows("dtb3.csv")
    annual = pd.Series(
        [float(row["annual_rate"]) for row in rows], index=pd.DatetimeIndex([row["date"] for row in rows])
    )
    return (1 + annual) ** (1 / 252) - 1


def risk_free_on(days: pd.DatetimeIndex) -> np.ndarray:
    """The session's rate in force on each day."""
    return risk_free_rates().reindex(days, method="ffill").to_numpy()


def returns_in(base: str, symbol: str, days: pd.DatetimeIndex) -> np.ndarray:
    """Price returns in a currency from one bar of the asset to its next, on `days`; NaN without a bar."""
    closes = bars()[symbol]["close"]
    rates = np.array([float(rate_to_base("USD", base, day)) for day in closes.index])
    return (closes * rates).pct_change().reindex(days).to_numpy()

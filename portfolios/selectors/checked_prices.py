"""Every stored bar, for the checks that look at all of them: day by day, and a block of assets at a time."""

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from django.db.models import Max, Min

from portfolio_site.kernel.columns import read_columns
from portfolios.calculations.data_checks import CheckedBars
from portfolios.models import CorporateAction, CorporateActionKind, PriceBar
from portfolios.selectors.market_data import Split, splits_of

# About 100 MB while they are read, however many assets and years are stored.
ROWS_A_BLOCK = 300_000
FIGURES = ("open", "high", "low", "close", "volume")
# What they do to the price is not known from the action alone.
UNMEASURED = (CorporateActionKind.SPIN_OFF, CorporateActionKind.MERGER, CorporateActionKind.SYMBOL_CHANGE)


class Listing(NamedTuple):
    """An asset with prices. Its market is its exchange, or without one all of its class and currency."""

    asset: int
    market: str
    first: dt.date
    last: dt.date


def listings() -> list[Listing]:
    """In the order of the assets' ids."""
    rows = (
        PriceBar.objects.order_by("asset")
        .values("asset", "asset__exchange", "asset__currency", "asset__asset_class")
        .annotate(first=Min("date"), last=Max("date"))
    )
    return [
        Listing(
            row["asset"],
            row["asset__exchange"] or f"{row['asset__currency']} {row['asset__asset_class']}",
            row["first"],
            row["last"],
        )
        for row in rows
    ]


def price_days() -> np.ndarray:
    """Every day on which anything has a price, ascending."""
    days = PriceBar.objects.order_by("date").values_list("date", flat=True).distinct()
    return np.array(list(days), dtype="datetime64[D]")


def closes_by_days(assets: np.ndarray, days: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """All closes as stored, a block of days at a time: its place in `days`, and (A, its days) with NaN."""
    step = max(1, ROWS_A_BLOCK // max(1, len(assets)))
    for start in range(0, len(days), step):
        block = days[start : start + step]
        rows = PriceBar.objects.filter(date__range=(block[0].astype(object), block[-1].astype(object)))
        data = read_columns(rows.order_by(), "asset", "date", "close")
        closes = np.full((len(assets), len(block)), np.nan)
        _place(closes, data["close"], data["asset"], data["date"], assets, block)
        yield slice(start, start + len(block)), closes


def checked_bars(assets: Sequence[int], days: np.ndarray) -> CheckedBars:
    """The bars (A, T) of these assets, ids ascending, on these days."""
    ids = np.array(assets, dtype=np.int64)
    rows = PriceBar.objects.filter(asset__in=list(assets)).order_by()
    data = read_columns(rows, "asset", "date", *FIGURES, "adjusted_through")
    shape = (len(ids), len(days))
    figures = {name: np.full(shape, np.nan) for name in FIGURES}
    adjusted_through = np.full(shape, np.datetime64("NaT", "D"))
    for name, matrix in {**figures, "adjusted_through": adjusted_through}.items():
        _place(matrix, data[name], data["asset"], data["date"], ids, days)
    splits = splits_of(assets)
    divisor = np.ones(shape)
    for row, asset in enumerate(assets):
        for split in splits.get(asset, []):
            inside = adjusted_through[row] >= split.ex_date  # False for NaT: prices as traded hold no split
            divisor[row, (days < split.ex_date) & ~inside] *= split.ratio
    dividends, explained = _known_actions(ids, days, splits)
    return CheckedBars(**figures, divisor=divisor, dividends=dividends, explained=explained)


def _known_actions(
    ids: np.ndarray, days: np.ndarray, splits: Mapping[int, list[Split]]
) -> tuple[np.ndarray, np.ndarray]:
    """Dividends in today's shares, and where an action of another kind is known, both (A, T)."""
    dividends = np.zeros((len(ids), len(days)))
    explained = np.zeros((len(ids), len(days)), dtype=bool)
    actions = CorporateAction.objects.filter(asset__in=ids.tolist())
    for asset, ex_date, kind, amount in actions.values_list("asset", "ex_date", "kind", "amount"):
        row, here = np.searchsorted(ids, asset), days == np.datetime64(ex_date)
        if kind in UNMEASURED:
            explained[row] |= here
        elif kind == CorporateActionKind.CASH_DIVIDEND:
            later = [split.ratio for split in splits.get(asset, []) if split.ex_date > np.datetime64(ex_date)]
            dividends[row, here] += float(amount or 0) / np.prod(later)
    return dividends, explained


def _place(
    matrix: np.ndarray,
    values: np.ndarray,
    asset: np.ndarray,
    date: np.ndarray,
    assets: np.ndarray,
    days: np.ndarray,
) -> None:
    """Put rows where they belong; what was stored after `assets` and `days` were read is left out."""
    known = np.isin(asset, assets) & np.isin(date, days)
    matrix[np.searchsorted(assets, asset[known]), np.searchsorted(days, date[known])] = values[known]

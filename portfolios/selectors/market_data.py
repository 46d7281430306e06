"""Prices, exchange rates and interest rates as arrays."""

import datetime as dt
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from django.db.models import OuterRef, Q, QuerySet, Subquery

from portfolio_site.kernel.columns import read_columns
from portfolios.models import (
    Asset,
    CorporateAction,
    CorporateActionKind,
    ExchangeRate,
    InterestRate,
    PriceBar,
)

Series = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Split:
    ex_date: np.datetime64
    ratio: float


@dataclass(frozen=True)
class Bars:
    """One asset's own bars, ascending. Prices are adjusted for splits, `traded_close` is as it was paid.

    NaN: the source published no open, high, low or volume.
    """

    dates: np.ndarray
    high: np.ndarray
    low: np.ndarray
    close: np.ndarray
    volume: np.ndarray
    traded_close: np.ndarray
    splits: tuple[Split, ...]

    def carried_close(self, day: np.datetime64) -> tuple[float, int] | None:
        """The last close on or before the day, in that day's shares, and its age in days; None without one.

        A close that is carried over a split is divided by its ratio, as the shares were multiplied by it.
        """
        place = int(np.searchsorted(self.dates, day, side="right")) - 1
        if place < 0:
            return None
        close, traded_on = float(self.traded_close[place]), self.dates[place]
        for split in self.splits:
            if traded_on < split.ex_date <= day:
                close /= split.ratio
        return close, int((day - traded_on).astype(int))


def splits_of(asset_ids: Iterable[int]) -> dict[int, list[Split]]:
    """Every known split, so that a row never depends on the day up to which a run computes."""
    splits: dict[int, list[Split]] = {}
    rows = CorporateAction.objects.filter(
        asset__in=list(asset_ids), kind=CorporateActionKind.SPLIT
    ).values_list("asset", "ex_date", "ratio_new", "ratio_old")
    for asset_id, ex_date, new, old in rows:
        if new and old:  # a constraint of the table: a split has both
            splits.setdefault(asset_id, []).append(Split(np.datetime64(ex_date), new / old))
    return splits


def bars_of(asset_ids: Iterable[int], through: dt.date) -> dict[int, Bars]:
    """The bars of each asset up to a day; assets without any are left out."""
    rows = _bar_rows(asset_ids).filter(date__lte=through)
    return _bars_by_asset(
        read_columns(rows, "asset", "date", "high", "low", "close", "volume", "adjusted_through")
    )


def recent_bars_of(
    asset_ids: Iterable[int],
    through: dt.date,
    *,
    since: dt.date,
    figures_since: dt.date,
    days: Collection[dt.date] = (),
) -> dict[int, Bars]:
    """Of each asset the bars from `since` on, and those of single earlier `days`.

    High, low and volume are read from `figures_since` on and unknown before.
    """
    rows = _bar_rows(asset_ids).filter(Q(date__gte=since) | Q(date__in=days), date__lte=through)
    return _bars_by_asset(_with_figures(rows, rows.filter(date__gte=figures_since)))


def closes_of(asset_ids: Iterable[int], through: dt.date) -> dict[int, Bars]:
    """The bars of each asset up to a day, of which only the closes are read."""
    rows = _bar_rows(asset_ids).filter(date__lte=through)
    data = read_columns(rows, "asset", "date", "close", "adjusted_through")
    unread = np.full(len(data["close"]), np.nan)
    return _bars_by_asset({**data, "high": unread, "low": unread, "volume": unread})


def _with_figures(rows: QuerySet[PriceBar], with_figures: QuerySet[PriceBar]) -> dict[str, np.ndarray]:
    """The columns of `rows`, where only those `with_figures` have a high, low and volume."""
    data = read_columns(rows, "asset", "date", "close", "adjusted_through")
    figures = read_columns(with_figures, "asset", "date", "high", "low", "volume")
    known, given = (x["asset"] << 32 | x["date"].astype(np.int64) for x in (data, figures))
    places = np.searchsorted(known, given)
    # Between the two queries a bar may have come.
    stays = np.append(known, -1)[places] == given
    for name in ("high", "low", "volume"):
        data[name] = np.full(len(known), np.nan)
        data[name][places[stays]] = figures[name][stays]
    return data


def first_bar_days(asset_ids: Iterable[int]) -> dict[int, dt.date]:
    """The day of each asset's first bar; assets without any are left out."""
    bars = PriceBar.objects.filter(asset=OuterRef("pk")).order_by("date").values("date")
    assets = Asset.objects.filter(pk__in=list(asset_ids)).annotate(first=Subquery(bars[:1]))
    return dict(assets.filter(first__isnull=False).values_list("pk", "first"))


def last_bar_days(asset_ids: Iterable[int], days: Sequence[dt.date]) -> set[dt.date]:
    """The days of the assets' last bars on or before each of `days`."""
    bars = PriceBar.objects.filter(asset=OuterRef("pk")).order_by("-date").values("date")
    lasts = {f"last_{place}": Subquery(bars.filter(date__lte=day)[:1]) for place, day in enumerate(days)}
    found = Asset.objects.filter(pk__in=list(asset_ids)).annotate(**lasts).values_list(*lasts)
    return {day for row in found for day in row if day is not None}


def latest_bar_days(asset_ids: Iterable[int], through: dt.date) -> dict[int, dt.date]:
    """The day of each asset's last bar up to a day; assets without any are left out."""
    bars = PriceBar.objects.filter(asset=OuterRef("pk"), date__lte=through).order_by("-date").values("date")
    assets = Asset.objects.filter(pk__in=list(asset_ids)).annotate(last=Subquery(bars[:1]))
    return dict(assets.filter(last__isnull=False).values_list("pk", "last"))


def _bar_rows(asset_ids: Iterable[int]) -> QuerySet[PriceBar]:
    return PriceBar.objects.filter(asset__in=sorted(set(asset_ids))).order_by("asset_id", "date")


def _bars_by_asset(data: Mapping[str, np.ndarray]) -> dict[int, Bars]:
    assets, dates = data["asset"], data["date"]
    is_next = assets[1:] > assets[:-1]
    if not (is_next | ((assets[1:] == assets[:-1]) & (dates[1:] > dates[:-1]))).all():
        raise ValueError("bars must ascend by asset and date")
    edges = [0, *(np.flatnonzero(is_next) + 1).tolist(), len(assets)] if len(assets) else [0]
    ids = assets[edges[:-1]].tolist()
    splits = splits_of(ids)
    return {
        asset_id: _bars({name: values[start:end] for name, values in data.items()}, splits.get(asset_id, []))
        for asset_id, start, end in zip(ids, edges[:-1], edges[1:], strict=True)
    }


def _bars(data: Mapping[str, np.ndarray], splits: list[Split]) -> Bars:
    dates, known = data["date"], data["adjusted_through"]
    divisor, multiplier = np.ones(len(dates)), np.ones(len(dates))
    for split in splits:
        before = dates < split.ex_date
        inside = known >= split.ex_date  # False for NaT: prices as traded contain no split
        divisor[before & ~inside] *= split.ratio
        multiplier[before & inside] *= split.ratio
    return Bars(
        dates=dates,
        high=data["high"] / divisor,
        low=data["low"] / divisor,
        close=data["close"] / divisor,
        volume=data["volume"] * divisor,
        traded_close=data["close"] * multiplier,
        splits=tuple(splits),
    )


def exchange_rates_to(base_currency: str, currencies: Iterable[str], through: dt.date) -> dict[str, Series]:
    """For each currency the dates and the units of the base currency for one unit of it.

    A pair that is not published directly comes from its inverse, or from two rates of one day against a third
    currency. A currency for which no rate is known is left out.
    """
    wanted = sorted(set(currencies) - {base_currency})
    if not wanted:
        return {}
    rows = ExchangeRate.objects.filter(date__lte=through).order_by("base_id", "quote_id", "date")
    data = read_columns(rows, "base", "quote", "date", "rate")
    pairs: dict[tuple[str, str], Series] = {}
    for base, quote in sorted(set(zip(data["base"].tolist(), data["quote"].tolist(), strict=True))):
        rows_of_pair = (data["base"] == base) & (data["quote"] == quote)
        pairs[base, quote] = data["date"][rows_of_pair], data["rate"][rows_of_pair]
    series = {currency: _rate_series(pairs, currency, base_currency) for currency in wanted}
    return {currency: found for currency, found in series.items() if found is not None}


def _rate_series(pairs: Mapping[tuple[str, str], Series], unit: str, base: str) -> Series | None:
    if (unit, base) in pairs:
        return pairs[unit, base]
    if (base, unit) in pairs:
        dates, rates = pairs[base, unit]
        return dates, 1.0 / rates
    for pivot in sorted({first for first, _ in pairs}):
        if (pivot, unit) in pairs and (pivot, base) in pairs:
            unit_dates, unit_rates = pairs[pivot, unit]
            base_dates, base_rates = pairs[pivot, base]
            dates, left, right = np.intersect1d(unit_dates, base_dates, return_indices=True)
            if len(dates):
                return dates, base_rates[right] / unit_rates[left]
    return None


def interest_rate_series(name: str, through: dt.date) -> Series:
    """Dates and annual rates as fractions; empty when the series is unknown."""
    rows = InterestRate.objects.filter(name=name, date__lte=through).order_by("date")
    data = read_columns(rows, "date", "annual_rate")
    return data["date"], data["annual_rate"]


def latest_trading_day(today: dt.date) -> dt.date | None:
    """The last day up to today on which an active asset has a price."""
    return (
        PriceBar.objects.filter(date__lte=today, asset__is_active=True)
        .order_by("-date")
        .values_list("date", flat=True)
        .first()
    )

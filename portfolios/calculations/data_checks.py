"""What looks wrong in stored prices. Nothing here repairs: each check names what it found, and where.

Figures are arrays (..., T) along `days`, the days (T,) on which the market had any price: a matrix of assets
or one asset, by the same code. NaN: no such figure that day; a day without a close is a day without a bar.
No check raises. docs/data-quality.md tells how the constants were chosen and what they find in real data.
"""

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Days = NDArray[np.datetime64]
Positions = NDArray[np.int64]

MISSING_OHLC, INCONSISTENT_OHLC, MISSING_SESSION = "missing_ohlc", "inconsistent_ohlc", "missing_session"
SUSPECT_CLOSE, UNADJUSTED_ACTION, STALE_PRICE = "suspect_close", "unadjusted_action", "stale_price"
KINDS = (MISSING_OHLC, INCONSISTENT_OHLC, MISSING_SESSION, SUSPECT_CLOSE, UNADJUSTED_ACTION, STALE_PRICE)
INFO, WARNING, ERROR = "info", "warning", "error"

# As measures are told: stable from run to run, whatever the last bits of a logarithm do.
MEASURE_PLACES = 6
# A figure that fewer than half of an asset's bars have is one that its source does not publish.
PUBLISHED_SHARE = 0.5
# An exchange was open when half of what was listed has a price; two assets alone cannot tell.
SESSION_SHARE = 0.5
MIN_MARKET_ASSETS = 3
# Half a year: short enough to follow calm and turmoil, long enough for a median.
SPREAD_SESSIONS = 120
MIN_SPREAD_MOVES = 20
# Standard deviation of a normal distribution over its median absolute deviation (Rousseeuw and Croux 1993).
MAD_TO_DEVIATION = 1.4826
SUSPECT_DEVIATIONS, WARNING_DEVIATIONS, ERROR_DEVIATIONS = 4.0, 5.0, 10.0
# Of a calm asset even a small move is many deviations.
MIN_SUSPECT_MOVE = 0.02
# Undone: what is left of the move after the next bar is at most this share of it.
UNDONE_SHARE = 0.4
# The price by 3/4 or less, or by 4/3 or more: what a split 4:3 would do.
ACTION_MOVE = float(np.log(4 / 3))
SPLIT_RATIOS = ((4, 3), (3, 2), (5, 3), (2, 1), (5, 2), (3, 1), (4, 1), (5, 1), (7, 1), (10, 1), (20, 1))
SPLIT_TOLERANCE = 0.03
STALE_SESSIONS = 5
_PRICES = ("open", "high", "low")


@dataclass(frozen=True)
class CheckedBars:
    """Bars of one market as they are stored, each array (..., T).

    divisor: takes a stored price to today's shares, 1 where the source has done so. dividends: cash for one
    of today's shares that went ex that day, 0 for none. explained: an action is known that day which moves
    the price by an unknown amount (a spin-off, a merger).
    """

    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats
    divisor: Floats
    dividends: Floats
    explained: Bools

    @property
    def adjusted_close(self) -> Floats:
        return self.close / self.divisor


@dataclass(frozen=True)
class MarketDays:
    """A market day by day, (T,). level: sum of the median log moves, 0 before the first.

    share: how many of the assets listed that day have a bar, as a fraction; NaN with too few to tell.
    """

    days: Days
    level: Floats
    share: Floats


class Finding(NamedTuple):
    """asset: row of the arrays, 0 for one asset alone. measure and related_date are told by each check."""

    asset: int
    date: dt.date
    kind: str
    severity: str
    detail: str
    measure: float
    related_date: dt.date | None = None


def check_prices(bars: CheckedBars, market: MarketDays) -> list[Finding]:
    """All that the checks find, in the order of `KINDS`, then of assets and days."""
    moves = moves_against(bars, market)
    return [
        *missing_ohlc(bars, market.days),
        *inconsistent_ohlc(bars, market.days),
        *missing_session(bars.close, market),
        *suspect_close(bars, moves, market.days),
        *unadjusted_action(bars, moves, market.days),
        *stale_price(bars, market.days),
    ]


def missing_ohlc(bars: CheckedBars, days: Days) -> list[Finding]:
    """Bars without open, high or low, or without volume, of an asset whose other bars have them.

    A volume of 0 counts as none, and is only information. measure: how many of the four are missing.
    """
    figures = {name: getattr(bars, name) for name in _PRICES}
    figures["volume"] = np.where(bars.volume > 0, bars.volume, np.nan)
    has_bar = np.isfinite(bars.close)
    blank = np.stack(
        [has_bar & np.isnan(values) & _is_published(values, has_bar) for values in figures.values()]
    )

    def tell(place: tuple[int, ...]) -> tuple[str, str, float]:
        missing = [name for name, is_blank in zip(figures, _column(blank, place), strict=True) if is_blank]
        prices = [name for name in missing if name != "volume"]
        volume = f"volume {_figure(bars.volume[place])}"
        said = f"{_listed(prices)} blank; {volume}" if prices else volume
        return WARNING if prices else INFO, said, float(len(missing))

    return _findings(MISSING_OHLC, np.asarray(blank.any(axis=0)), days, tell)


def _is_published(values: Floats, has_bar: Bools) -> Bools:
    known = (has_bar & np.isfinite(values)).sum(axis=-1, keepdims=True)
    return np.asarray(known >= PUBLISHED_SHARE * has_bar.sum(axis=-1, keepdims=True))


def inconsistent_ohlc(bars: CheckedBars, days: Days) -> list[Finding]:
    """Bars with the high below the low, or with open or close outside of them; what is blank is not judged.

    An error if it is the close, by which books are valued. measure: the widest gap, a fraction of the close.
    """
    with np.errstate(invalid="ignore"):
        gaps = np.stack(
            [
                bars.low - bars.high,
                *(np.fmax(bars.low - price, price - bars.high) for price in (bars.open, bars.close)),
            ]
        )
    wrong = gaps > 0

    def tell(place: tuple[int, ...]) -> tuple[str, str, float]:
        crossed, opened, closed = _column(wrong, place)
        names = [name for name, is_wrong in (("open", opened), ("close", closed)) if is_wrong]
        said = ["high below low"] if crossed else []
        said += [f"{_listed(names)} outside low to high"] if names else []
        quoted = ", ".join(f"{name} {_figure(getattr(bars, name)[place])}" for name in (*_PRICES, "close"))
        measure = float(np.nanmax(_column(gaps, place)) / bars.close[place])
        return ERROR if closed else WARNING, f"{'; '.join(said)}: {quoted}", measure

    return _findings(INCONSISTENT_OHLC, np.asarray(wrong.any(axis=0)), days, tell)


def missing_session(close: Floats, market: MarketDays) -> list[Finding]:
    """Weekdays without a bar, between an asset's first and last, on which its exchange was open.

    It was open when at least `SESSION_SHARE` of the assets then listed have a bar. measure: that share.
    """
    has_bar = np.isfinite(close)
    is_listed = (_previous(has_bar) >= 0) & (_next(has_bar) < len(market.days))
    is_session = np.is_busday(market.days) & (market.share >= SESSION_SHARE)

    def tell(place: tuple[int, ...]) -> tuple[str, str, float]:
        share = float(market.share[place[-1]])
        return WARNING, f"no bar, while {share:.0%} of the assets listed then have one", share

    return _findings(MISSING_SESSION, ~has_bar & is_listed & is_session, market.days, tell)


@dataclass(frozen=True)
class Moves:
    """How closes move against their market, each array (..., T); NaN without a bar or without one before.

    excess: log move since the asset's bar before, dividend included, less that of the market over the same
    days. following: the excess of the asset's next bar. spread: robust standard deviation of such a move, by
    the moves before it. deviations: |excess| / spread. previous, next: positions of the bars before and
    after; -1 and T for none.
    """

    excess: Floats
    following: Floats
    deviations: Floats
    spread: Floats
    previous: Positions
    next: Positions

    @property
    def is_undone(self) -> Bools:
        """False while there is no next bar."""
        with np.errstate(invalid="ignore"):
            return np.asarray(np.abs(self.excess + self.following) <= UNDONE_SHARE * np.abs(self.excess))

    @property
    def is_large(self) -> Bools:
        return np.asarray(np.abs(self.excess) >= ACTION_MOVE)

    @property
    def is_suspect(self) -> Bools:
        stands_out = (self.deviations > SUSPECT_DEVIATIONS) & (np.abs(self.excess) >= MIN_SUSPECT_MOVE)
        return np.asarray((stands_out | self.is_large) & self.is_undone)


def moves_against(bars: CheckedBars, market: MarketDays) -> Moves:
    """Moves of the closes against the market.

    One session's robust standard deviation is 1.4826 times the median of |excess| over the last
    `SPREAD_SESSIONS` sessions before the day, NaN with fewer than `MIN_SPREAD_MOVES` moves among them. It
    grows with the root of the sessions since the bar before.
    """
    has_bar = np.isfinite(bars.close)
    previous, following = _previous(has_bar), _next(has_bar)
    level = np.where(has_bar, market.level, np.nan)
    close = bars.adjusted_close
    move = np.log(close + bars.dividends) - _at(np.log(close), previous)
    excess = move - (level - _at(level, previous))
    elapsed = np.sqrt(np.arange(len(market.days)) - previous)
    spread = robust_spread(excess / elapsed)
    with np.errstate(invalid="ignore", divide="ignore"):
        deviations = np.where(spread > 0, np.abs(excess) / (spread * elapsed), np.nan)
    return Moves(excess, _at(excess, following), deviations, spread * elapsed, previous, following)


def robust_spread(moves: Floats) -> Floats:
    """Robust standard deviation about 0 of the moves before each day, (..., T) -> (..., T)."""
    days = moves.shape[-1]
    columns = pd.DataFrame(np.abs(moves).reshape(-1, days).T)
    medians = columns.rolling(SPREAD_SESSIONS, min_periods=MIN_SPREAD_MOVES).median().shift(1)
    return MAD_TO_DEVIATION * medians.to_numpy().T.reshape(moves.shape)


def suspect_close(bars: CheckedBars, moves: Moves, days: Days) -> list[Finding]:
    """Closes that jump away from the market and come back with the next bar, as a wrong figure does.

    The move is beyond `SUSPECT_DEVIATIONS` and `MIN_SUSPECT_MOVE`, or as large as an action, and at most
    `UNDONE_SHARE` of it is left the bar after. A true move may do the same: the finding is a suspicion, and
    of two moves that undo each other in turn both are named. measure: the move against the market as a
    fraction. related_date: the bar that undoes it.
    """

    def tell(place: tuple[int, ...]) -> tuple[str, str, float, dt.date | None]:
        deviations = float(moves.deviations[place])
        undone_on, measure = days[moves.next[place]], float(np.expm1(moves.excess[place]))
        said = (
            f"close {_figure(bars.close[place])}, {measure:+.2%} against the market since "
            f"{days[moves.previous[place]]}{_deviations_text(moves, place)}; "
            f"{np.expm1(moves.following[place]):+.2%} on {undone_on}"
        )
        return _suspect_severity(deviations), said, measure, undone_on.astype(object)

    return _findings(SUSPECT_CLOSE, moves.is_suspect, days, tell)


def _suspect_severity(deviations: float) -> str:
    if deviations >= ERROR_DEVIATIONS:
        return ERROR
    return INFO if deviations < WARNING_DEVIATIONS else WARNING


def _deviations_text(moves: Moves, place: tuple[int, ...]) -> str:
    deviations = moves.deviations[place]
    if np.isnan(deviations):
        return ""
    return f" ({deviations:.1f} robust standard deviations of {moves.spread[place]:.2%})"


def unadjusted_action(bars: CheckedBars, moves: Moves, days: Days) -> list[Finding]:
    """Jumps of at least `ACTION_MOVE` against the market that stay, and that no known action explains.

    The last bar of a series counts as staying until there is a next one. The bar that undoes a suspect close
    is not one. measure: the move against the market as a fraction. related_date: the bar before.
    """
    brings_back = _at(moves.is_suspect.astype(float), moves.previous) == 1
    stays = moves.is_large & ~moves.is_undone & ~brings_back & ~bars.explained

    def tell(place: tuple[int, ...]) -> tuple[str, str, float, dt.date | None]:
        before, measure = moves.previous[place], float(np.expm1(moves.excess[place]))
        then = bars.close[(*place[:-1], before)]
        said = (
            f"close {_figure(then)} on {days[before]}, then {_figure(bars.close[place])}: {measure:+.2%} "
            f"against the market, not undone, and no corporate action is known"
        )
        return ERROR, said + _ratio_text(moves.excess[place]), measure, days[before].astype(object)

    return _findings(UNADJUSTED_ACTION, stays, days, tell)


def _ratio_text(excess: float) -> str:
    new, old = min(SPLIT_RATIOS, key=lambda ratio: abs(np.log(ratio[0] / ratio[1]) - abs(excess)))
    if abs(np.log(new / old) - abs(excess)) > SPLIT_TOLERANCE:
        return ""
    return f"; near a split of {new}:{old}" if excess < 0 else f"; near a reverse split of {old}:{new}"


def stale_price(bars: CheckedBars, days: Days) -> list[Finding]:
    """Runs of at least `STALE_SESSIONS` bars with the close of the bar before and a volume of 0.

    A volume that is not published says nothing. The finding stands on the first bar of the run. measure: the
    bars in the run. related_date: the last of them.
    """
    has_bar = np.isfinite(bars.close)
    previous = _previous(has_bar)
    close = bars.adjusted_close
    repeats = has_bar & (bars.volume == 0) & (close == _at(close, previous))
    starts = repeats & ~(_at(repeats.astype(float), previous) == 1)
    # Bars of the run up to each day: repeats so far, less those before the run began.
    counted = np.cumsum(repeats, axis=-1)
    ends = _next(has_bar & ~repeats)
    through = np.take_along_axis(counted, np.minimum(ends, len(days)) - 1, axis=-1)
    length = through - counted + repeats

    def tell(place: tuple[int, ...]) -> tuple[str, str, float, dt.date | None]:
        run = np.flatnonzero(repeats[place[:-1]])
        last = days[run[run < ends[place]][-1]]
        said = f"close {_figure(bars.close[place])} and volume 0 on {length[place]} bars to {last}"
        return WARNING, said, float(length[place]), last.astype(object)

    return _findings(STALE_PRICE, starts & (length >= STALE_SESSIONS), days, tell)


def market_moves(closes: Floats) -> Floats:
    """Median over assets of the log moves since each asset's bar before, (A, T) -> (T,).

    0 on days with fewer than `MIN_MARKET_ASSETS` moves: a market of one or two is none.
    """
    logs = np.log(closes)
    moves = logs - _at(logs, _previous(np.isfinite(closes)))
    enough = np.isfinite(moves).sum(axis=0) >= MIN_MARKET_ASSETS
    medians = np.zeros(closes.shape[-1])
    medians[enough] = np.nanmedian(moves[:, enough], axis=0)
    return medians


def session_shares(has_bar: NDArray[np.integer], listed: NDArray[np.integer]) -> Floats:
    """Share of the listed assets that have a bar, (T,); NaN with fewer than `MIN_MARKET_ASSETS` listed."""
    enough = listed >= MIN_MARKET_ASSETS
    return np.where(enough, has_bar / np.where(enough, listed, 1), np.nan)


def _previous(known: Bools) -> Positions:
    """Position of the last known day before each day; -1 for none."""
    last = np.maximum.accumulate(np.where(known, np.arange(known.shape[-1]), -1), axis=-1)
    return np.concatenate([np.full((*known.shape[:-1], 1), -1), last[..., :-1]], axis=-1)


def _next(known: Bools) -> Positions:
    """Position of the first known day after each day; T for none."""
    days = known.shape[-1]
    return days - 1 - _previous(known[..., ::-1])[..., ::-1]


def _at(values: Floats, positions: Positions) -> Floats:
    """The values at these positions of the last axis; NaN outside of it."""
    days = values.shape[-1]
    inside = (positions >= 0) & (positions < days)
    taken = np.take_along_axis(values, np.clip(positions, 0, days - 1), axis=-1)
    return np.where(inside, taken, np.nan)


def _column(stacked: NDArray[Any], place: tuple[int, ...]) -> NDArray[Any]:
    """What the stacked arrays hold at one place."""
    index: Any = (slice(None), *place)
    return np.asarray(stacked[index])


def _findings(
    kind: str, mask: Bools, days: Days, tell: Callable[[tuple[int, ...]], tuple[Any, ...]]
) -> list[Finding]:
    """One finding a place in the mask; `tell` gives severity, detail, measure and the related date."""
    found = []
    for place in map(tuple, np.argwhere(mask).tolist()):
        severity, detail, measure, *related = tell(place)
        asset = int(np.ravel_multi_index(place[:-1], mask.shape[:-1])) if len(place) > 1 else 0
        found.append(
            Finding(
                asset,
                days[place[-1]].astype(object),
                kind,
                severity,
                detail,
                round(measure, MEASURE_PLACES),
                *related,
            )
        )
    return found


def _listed(names: list[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else "".join(names)


def _figure(value: float) -> str:
    return "blank" if np.isnan(value) else f"{value:.10g}"

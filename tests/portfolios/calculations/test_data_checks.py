"""Each check by hand on both sides of its boundary, and all of them on the real bars with known defects."""

import csv
import gzip
import os
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from portfolios.calculations.data_checks import (
    ACTION_MOVE,
    INCONSISTENT_OHLC,
    KINDS,
    MISSING_OHLC,
    MISSING_SESSION,
    STALE_PRICE,
    SUSPECT_CLOSE,
    UNADJUSTED_ACTION,
    CheckedBars,
    Finding,
    MarketDays,
    check_prices,
    market_moves,
    robust_spread,
    session_shares,
)
from portfolios.models import FindingKind, FindingSeverity

# Beside the project, where it is there; as the benchmarks find it.
REAL = Path(os.environ.get("BENCH_DATA", Path(__file__).parents[4] / "shared" / "data"))
NAN = np.nan
# A Monday; the days of the tests are weekdays.
START = np.datetime64("2024-01-01")


def weekdays(count: int) -> np.ndarray:
    return np.busday_offset(START, np.arange(count))


def make_bars(close: Any, **fields: Any) -> CheckedBars:
    """Bars that hold their close, with prices and volumes that nothing can be said against."""
    close = np.asarray(close, dtype=float)
    known = np.where(np.isfinite(close), 1.0, NAN)
    defaults = {
        "open": close,
        "high": close * 1.01,
        "low": close * 0.99,
        "volume": 1000 * known,
        "divisor": np.ones(close.shape),
        "dividends": np.zeros(close.shape),
        "explained": np.zeros(close.shape, dtype=bool),
    }
    given = {name: np.asarray(values) for name, values in fields.items()}
    return CheckedBars(close=close, **(defaults | given))


def quiet_market(days: int, level: Any = 0.0, share: Any = 1.0) -> MarketDays:
    return MarketDays(weekdays(days), np.full(days, level), np.full(days, share))


def check(bars: CheckedBars, **market: Any) -> list[Finding]:
    return check_prices(bars, quiet_market(bars.close.shape[-1], **market))


def told(findings: Sequence[Finding]) -> list[tuple[int, str, str]]:
    """Which day, counted from 0, what and how grave."""
    days = weekdays(2000)
    return [
        (int(np.searchsorted(days, np.datetime64(found.date))), found.kind, found.severity)
        for found in findings
    ]


def wiggle(count: int = 60, size: float = 0.01) -> np.ndarray:
    """Closes whose log moves are +size, +size, -size, -size and so on: a robust SD of 1.4826 times size.

    Every other move is undone by the next one, but none stands out.
    """
    moves = np.tile([size, size, -size, -size], count // 4 + 1)[:count]
    return 100 * np.exp(np.cumsum(moves))


def with_jump(place: int, move: float, back: float) -> np.ndarray:
    """The wiggle with one log move replaced, and the one after it."""
    moves = np.diff(np.log(wiggle()), prepend=np.log(100))
    moves[place], moves[place + 1] = move, back
    return 100 * np.exp(np.cumsum(moves))


def test_kinds_and_severities_are_those_of_the_table() -> None:
    assert set(KINDS) == set(FindingKind.values)
    assert FindingSeverity.values == ["info", "warning", "error"]


def test_clean_bars_have_no_findings() -> None:
    assert check(make_bars(wiggle())) == []
    assert check(make_bars([100.0])) == []


class TestMissing:
    def test_blank_prices_are_named(self) -> None:
        bars = make_bars([10.0] * 4, open=[10, NAN, 10, 10], high=[10, NAN, 10, 10], low=[10, 10, 10, 10])
        [found] = check(bars)
        assert (found.kind, found.severity, found.measure) == (MISSING_OHLC, "warning", 2)
        assert found.detail == "open and high blank; volume 1000"
        assert str(found.date) == "2024-01-02"

    def test_no_volume_alone_is_information(self) -> None:
        found = check(make_bars([10.0, 11, 10, 11], volume=[5, 0, NAN, 5]))
        assert told(found) == [(1, MISSING_OHLC, "info"), (2, MISSING_OHLC, "info")]
        assert [one.detail for one in found] == ["volume 0", "volume blank"]

    def test_prices_and_volume_are_one_finding(self) -> None:
        [found] = check(make_bars([10.0] * 2, open=[10, NAN], volume=[5, 0]))
        assert (found.detail, found.severity, found.measure) == ("open blank; volume 0", "warning", 2)

    def test_what_fewer_than_half_the_bars_have_is_not_published(self) -> None:
        half = [10, 10, NAN, NAN]
        fewer = [10, NAN, NAN, NAN]
        assert len(check(make_bars([10.0] * 4, open=half))) == 2
        assert check(make_bars([10.0] * 4, open=fewer)) == []
        assert check(make_bars([10.0, 11, 10, 11], volume=[NAN] * 4)) == []
        assert check(make_bars([10.0, 11, 10, 11], volume=[0, 0, 0, 5])) == []

    def test_a_day_without_a_bar_has_no_blank_prices(self) -> None:
        assert {found.kind for found in check(make_bars([10.0, NAN, 10]))} == {MISSING_SESSION}


class TestInconsistent:
    def one(self, **prices: float) -> list[Finding]:
        bar: dict[str, Any] = {name: [value, value] for name, value in prices.items()}
        close = bar.pop("close")
        return check(make_bars(close, **bar))[:1]

    def test_on_the_edge_is_consistent(self) -> None:
        assert self.one(open=9, high=11, low=9, close=11) == []
        assert self.one(open=10, high=10, low=10, close=10) == []

    def test_close_outside_is_an_error(self) -> None:
        [found] = self.one(open=10, high=11, low=9, close=12.5)
        assert (found.kind, found.severity) == (INCONSISTENT_OHLC, "error")
        assert found.measure == pytest.approx(1.5 / 12.5)
        assert found.detail == "close outside low to high: open 10, high 11, low 9, close 12.5"

    def test_open_outside_is_a_warning(self) -> None:
        [found] = self.one(open=8.5, high=11, low=9, close=10)
        assert (found.severity, found.measure) == ("warning", 0.05)

    def test_high_below_low(self) -> None:
        [found] = self.one(open=10, high=9, low=11, close=10)
        assert found.detail.startswith("high below low; open and close outside low to high: ")

    def test_blank_prices_are_not_judged(self) -> None:
        assert self.one(open=NAN, high=NAN, low=9, close=10) == []
        [found] = self.one(open=NAN, high=NAN, low=9, close=8)
        assert (found.kind, found.severity, found.measure) == (INCONSISTENT_OHLC, "error", 0.125)


class TestMissingSession:
    def test_between_the_first_bar_and_the_last(self) -> None:
        found = check(make_bars([NAN, 10, NAN, 10, NAN]), share=0.98)
        assert told(found) == [(2, MISSING_SESSION, "warning")]
        assert found[0].measure == 0.98
        assert found[0].detail == "no bar, while 98% of the assets listed then have one"

    def test_half_of_the_assets_open_an_exchange_and_fewer_do_not(self) -> None:
        assert len(check(make_bars([10, NAN, 10.0]), share=0.5)) == 1
        assert check(make_bars([10, NAN, 10.0]), share=0.499) == []
        assert check(make_bars([10, NAN, 10.0]), share=NAN) == []

    def test_weekends_are_no_sessions(self) -> None:
        days = START + np.arange(7)  # Monday to Sunday
        market = MarketDays(days, np.zeros(7), np.ones(7))
        found = check_prices(make_bars([10, NAN, 10, 10, 10, NAN, 10.0]), market)
        assert [found.date.isoformat() for found in found] == ["2024-01-02"]

    def test_shares(self) -> None:
        shares = session_shares(np.array([2, 1, 3]), np.array([3, 2, 4]))
        np.testing.assert_array_equal(shares, [2 / 3, NAN, 0.75])


class TestSuspectClose:
    # One robust standard deviation of the wiggle.
    DEVIATION = 1.4826 * 0.01

    def test_a_jump_that_comes_back(self) -> None:
        close = with_jump(40, 0.09, -0.09)
        [found] = check(make_bars(close))
        assert told([found]) == [(40, SUSPECT_CLOSE, "warning")]
        assert found.measure == pytest.approx(np.expm1(0.09), abs=1e-6)
        assert str(found.related_date) == str(weekdays(42)[41])
        assert found.detail == (
            f"close {close[40]:.10g}, +9.42% against the market since {weekdays(41)[39]}"
            f" (6.1 robust standard deviations of 1.48%); -8.61% on {weekdays(42)[41]}"
        )

    @pytest.mark.parametrize(
        ("deviations", "severity"), [(4.01, "info"), (5.01, "warning"), (10.01, "error")]
    )
    def test_how_grave(self, deviations: float, severity: str) -> None:
        move = deviations * self.DEVIATION
        assert told(check(make_bars(with_jump(40, -move, move)))) == [(40, SUSPECT_CLOSE, severity)]

    def test_four_deviations_are_the_boundary(self) -> None:
        move = 3.99 * self.DEVIATION
        assert check(make_bars(with_jump(40, move, -move))) == []

    def test_what_is_left_of_it_decides(self) -> None:
        for back, is_found in [(-0.0541, True), (-0.1259, True), (-0.0539, False), (-0.1261, False)]:
            assert bool(check(make_bars(with_jump(40, 0.09, back)))) is is_found

    def test_a_small_move_of_a_calm_asset_is_left_alone(self) -> None:
        calm = np.log(wiggle(size=0.0001))
        for move, is_found in [(0.0201, True), (0.0199, False)]:
            close = calm.copy()
            close[40] += move
            assert bool(check(make_bars(np.exp(close)))) is is_found

    def test_the_last_bar_is_not_judged(self) -> None:
        assert check(make_bars(with_jump(40, 0.09, -0.09)[:41])) == []
        assert check(make_bars(with_jump(40, 0.09, -0.09)[:42])) != []

    def test_a_move_of_the_market_is_none_of_the_asset(self) -> None:
        close = with_jump(40, 0.09, -0.09)
        level = np.where(np.arange(60) == 40, 0.09, 0.0)
        assert check_prices(make_bars(close), replace(quiet_market(60), level=level)) == []

    def test_a_move_over_days_without_a_bar_may_be_larger(self) -> None:
        """The next bar comes nine sessions later, where a deviation is three times as large."""
        close = with_jump(40, 0.09, -0.09)
        close[31:40] = NAN
        assert check(make_bars(close), share=0.1) == []

    def test_only_the_past_tells_how_far_an_asset_moves(self) -> None:
        close = with_jump(40, 0.09, -0.09)
        later = close.copy()
        later[45:] = close[45:] * np.exp(np.where(np.arange(15) % 4 < 2, 0.2, 0.0))
        assert check(make_bars(later[:44])) == check(make_bars(close[:44])) != []
        assert check(make_bars(close))[0] in check(make_bars(later))

    def test_without_a_past_only_a_jump_as_large_as_an_action_is_suspect(self) -> None:
        assert check(make_bars([100, 100, 120, 100, 100.0])) == []
        assert told(check(make_bars([100, 100, 50, 100, 100.0]))) == [(2, SUSPECT_CLOSE, "warning")]

    def test_a_dividend_is_no_move(self) -> None:
        close = with_jump(40, -0.09, 0.09)
        before, paid = close[39], np.zeros(60)
        paid[40] = before - close[40]
        assert check(make_bars(close)) != []
        assert check(make_bars(close, dividends=paid)) == []

    def test_the_spread_is_a_median_of_the_moves_before(self) -> None:
        moves = np.array([0.01, -0.03] * 12)
        spread = robust_spread(moves)
        assert np.isnan(spread[:20]).all()
        assert spread[20:] == pytest.approx([1.4826 * 0.02, 1.4826 * 0.01, 1.4826 * 0.02, 1.4826 * 0.01])


class TestUnadjustedAction:
    def test_a_halved_price_that_stays(self) -> None:
        [found] = check(make_bars([100, 100, 50, 50.0]))
        assert told([found]) == [(2, UNADJUSTED_ACTION, "error")]
        assert (found.measure, str(found.related_date)) == (-0.5, "2024-01-02")
        assert found.detail == (
            "close 100 on 2024-01-02, then 50: -50.00% against the market, not undone, and no corporate "
            "action is known; near a split of 2:1"
        )

    @pytest.mark.parametrize(
        ("price", "said"),
        [
            (14.3, "near a split of 7:1"),
            (1000, "near a reverse split of 1:10"),
            (75, "near a split of 4:3"),
            (62, "action is known"),
        ],
    )
    def test_a_ratio_that_is_near_is_named(self, price: float, said: str) -> None:
        [found] = check(make_bars([100, price, price]))
        assert found.detail.endswith(said)

    def test_the_boundary(self) -> None:
        for move, is_found in [(0.001, True), (-0.001, False)]:
            for sign in (1, -1):
                after = 100 * np.exp(sign * (ACTION_MOVE + move))
                found = {found.kind for found in check(make_bars([100, after, after]))}
                assert found == ({UNADJUSTED_ACTION} if is_found else set())

    def test_the_last_bar_counts_until_the_next_one_undoes_it(self) -> None:
        assert told(check(make_bars([100, 100, 50.0]))) == [(2, UNADJUSTED_ACTION, "error")]
        assert told(check(make_bars([100, 100, 50.0, 99]))) == [(2, SUSPECT_CLOSE, "warning")]

    def test_a_known_action_explains_it(self) -> None:
        close = [100, 100, 50, 50.0]
        assert check(make_bars(close, explained=[False, False, True, False])) == []
        assert check(make_bars(close, dividends=[0, 0, 50, 0])) == []
        assert check(make_bars(close, divisor=[2, 2, 1, 1])) == []

    def test_a_split_that_does_not_fit_the_prices_is_one(self) -> None:
        """Prices that were adjusted already, but are stored as traded."""
        [found] = check(make_bars([50, 50, 50, 50.0], divisor=[2, 2, 1, 1]))
        assert (found.kind, found.measure) == (UNADJUSTED_ACTION, 1)
        assert found.detail.startswith("close 50 on 2024-01-02, then 50: +100.00% against the market")


class TestStalePrice:
    def run_of(self, length: int, **fields: Any) -> list[Finding]:
        close = [10.0, 11.0, *[11.0] * length, 12.0, 12.0]
        volume = [0, 5, *[0] * length, 0, 5]
        bars = make_bars(close, **({"volume": np.array(volume, dtype=float)} | fields))
        return [found for found in check(bars) if found.kind == STALE_PRICE]

    def test_five_bars_are_stale_and_four_are_not(self) -> None:
        assert self.run_of(4) == []
        [found] = self.run_of(5)
        assert told([found]) == [(2, STALE_PRICE, "warning")]
        assert (found.measure, str(found.related_date)) == (5, str(weekdays(7)[6]))
        assert found.detail == f"close 11 and volume 0 on 5 bars to {weekdays(7)[6]}"

    def test_volume_or_its_absence_says_otherwise(self) -> None:
        assert self.run_of(6, volume=np.full(10, 7.0)) == []
        assert self.run_of(6, volume=np.full(10, NAN)) == []

    def test_days_without_a_bar_do_not_end_a_run(self) -> None:
        close = [10.0, 10, 10, NAN, 10, 10, 10, NAN]
        found = check(make_bars(close, volume=[0.0, 0, 0, NAN, 0, 0, 0, NAN]), share=0.1)
        assert [(one.kind, one.measure) for one in found] == [(STALE_PRICE, 5)]
        assert str(found[0].related_date) == str(weekdays(7)[6])

    def test_two_runs_are_two_findings(self) -> None:
        close = [10.0] * 6 + [11.0] * 8
        found = check(make_bars(close, volume=[0.0] * 14))
        assert [(told([one])[0][0], one.measure) for one in found] == [(1, 5), (7, 7)]


class TestMarket:
    def test_the_median_move_since_each_asset_was_last_priced(self) -> None:
        closes = np.array([[100, 110, 110], [100, NAN, 130], [100, 105, 105], [NAN, 50, 50.0]])
        moves = market_moves(closes)
        assert moves == pytest.approx([0, 0, 0])  # three have a close, two of them one before
        assert market_moves(closes[:, [0, 2]])[1] == pytest.approx(np.log(1.1))

    def test_two_assets_are_no_market(self) -> None:
        assert list(market_moves(np.array([[1, 2.0], [1, 2]]))) == [0, 0]
        assert market_moves(np.array([[1, 2.0]] * 3))[1] == pytest.approx(np.log(2))


def random_prices(seed: int, assets: int = 4, days: int = 200) -> CheckedBars:
    """Random walks with some of every defect."""
    random = np.random.default_rng(seed)
    close = 50 * np.exp(np.cumsum(random.normal(0, 0.01, (assets, days)), axis=-1))
    close *= np.where(random.random(close.shape) < 0.02, random.choice([0.5, 0.9, 1.2], close.shape), 1)
    close[random.random(close.shape) < 0.02] = NAN
    opened = np.where(random.random(close.shape) < 0.02, NAN, close * 1.005)
    opened = np.where(random.random(close.shape) < 0.02, close * 1.2, opened)
    volume = np.where(random.random(close.shape) < 0.02, 0.0, 1000.0)
    return make_bars(close, open=opened, volume=volume)


def keys(findings: Sequence[Finding]) -> list[tuple[Any, ...]]:
    return [(found.asset, found.date, found.kind, found.severity) for found in findings]


@given(seed=st.integers(0, 10_000), scale=st.floats(1e-3, 1e4))
def test_the_unit_of_prices_does_not_matter(seed: int, scale: float) -> None:
    bars = random_prices(seed)
    found = check(bars)
    prices = {name: getattr(bars, name) * scale for name in ("open", "high", "low", "close")}
    scaled = check(replace(bars, **prices))
    assert keys(scaled) == keys(found)
    assert [one.measure for one in scaled] == pytest.approx([one.measure for one in found], abs=2e-6)


@given(seed=st.integers(0, 10_000))
def test_a_matrix_and_each_of_its_assets_alone_say_the_same(seed: int) -> None:
    bars = random_prices(seed)
    alone = [
        found._replace(asset=row)
        for row in range(len(bars.close))
        for found in check(CheckedBars(**{name: values[row] for name, values in vars(bars).items()}))
    ]
    assert sorted(map(repr, check(bars))) == sorted(map(repr, alone))
    assert alone


def test_random_walks_are_hardly_ever_suspect() -> None:
    """At most 3 of 100,000 closes; it would be 0.2 if the spread were known and not estimated."""
    random = np.random.default_rng(11)
    moves = random.normal(0.0003, 0.015, (400, 1250))
    bars = make_bars(100 * np.exp(np.cumsum(moves, axis=-1)))
    found = check_prices(bars, quiet_market(1250))
    assert {one.kind for one in found} <= {SUSPECT_CLOSE}
    assert len(found) <= 3e-5 * moves.size


# --- the real bars ---------------------------------------------------------------------------------


@cache
def real_findings() -> dict[tuple[str, str, str], Finding]:
    rows: defaultdict[str, list[str]] = defaultdict(list)
    with gzip.open(REAL / "stocks_ohlcv_2013_2018.csv.gz", "rt", encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            for name, cell in row.items():
                rows[name].append(cell)
    symbols, row_of = np.unique(rows["symbol"], return_inverse=True)
    days, day_of = np.unique(np.array(rows["date"], dtype="datetime64[D]"), return_inverse=True)
    figures = {
        name: np.full((len(symbols), len(days)), NAN) for name in ("open", "high", "low", "close", "volume")
    }
    for name, matrix in figures.items():
        matrix[row_of, day_of] = np.array([cell or "nan" for cell in rows[name]], dtype=float)
    has_bar = np.isfinite(figures["close"])
    is_listed = (
        np.maximum.accumulate(has_bar, axis=1) & np.maximum.accumulate(has_bar[:, ::-1], axis=1)[:, ::-1]
    )
    market = MarketDays(
        days,
        np.cumsum(market_moves(figures["close"])),
        session_shares(has_bar.sum(axis=0), is_listed.sum(axis=0)),
    )
    found = check_prices(make_bars(**figures), market)
    return {(str(symbols[one.asset]), one.date.isoformat(), one.kind): one for one in found}


@cache
def known_defects() -> dict[str, set[tuple[str, str, str]]]:
    known: defaultdict[str, set[tuple[str, str, str]]] = defaultdict(set)
    with (REAL / "known_defects.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            known[row["kind"]].add((row["symbol"], row["date"], row["kind"]))
    return known


@pytest.mark.skipif(not REAL.exists(), reason="the real bars with known defects are not on this machine")
@pytest.mark.parametrize(
    ("kind", "missed", "further"),
    [
        (MISSING_OHLC, 0, 0),
        (INCONSISTENT_OHLC, 0, 0),
        (MISSING_SESSION, 0, 0),
        # The rest was known by comparison with another source, and is no jump that comes back.
        (SUSPECT_CLOSE, 12, 426),
        (UNADJUSTED_ACTION, 0, 15),
        (STALE_PRICE, 0, 0),
    ],
)
def test_known_defects_of_real_prices_are_found(kind: str, missed: int, further: int) -> None:
    known = known_defects()[kind]
    found = {key for key in real_findings() if key[2] == kind}
    assert len(known - found) <= missed
    assert len(found - known) <= further


@pytest.mark.skipif(not REAL.exists(), reason="the real bars with known defects are not on this machine")
def test_a_grave_suspicion_about_real_prices_is_mostly_right() -> None:
    grave = {
        key for key, one in real_findings().items() if one.kind == SUSPECT_CLOSE and one.severity == "error"
    }
    assert len(grave & known_defects()[SUSPECT_CLOSE]) >= 2 * len(grave) / 3
    [halved] = [one for key, one in real_findings().items() if key[:2] == ("LNT", "2016-05-19")][1:]
    assert (halved.kind, halved.severity) == (SUSPECT_CLOSE, "error")
    assert ("LNT", "2016-05-20", UNADJUSTED_ACTION) not in real_findings()

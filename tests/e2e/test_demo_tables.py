"""How many rows every table holds and why, that no gap is unexplained, that a repeat changes nothing."""

from collections.abc import Iterable

import numpy as np
import pytest
from django.db import models

from tests.support import demo_files
from tests.support.demo_files import CODES, SESSIONS
from tests.support.demo_house import DEMO_MARKS, SEVEN_TABLES, DemoHouse
from tests.support.oracle_ledger import calendar

pytestmark = DEMO_MARKS

# Sessions and pairs on each of them.
PAIRS = [
    # The last session of the 266 weeks that are over: the three indices alone until the stocks begin, then 26
    # assets, 27 once PYPL is listed.
    *((5, 3), (126, 325), (135, 351)),
    # The other sessions: pairs held together, in BALANCED alone, then with TECH, with EURO and with NEW. On
    # two days a position was sold and its successor not yet bought.
    *((52, 55), (119, 61), (98, 73), (105, 78), (133, 86), (362, 90), (1, 79), (115, 104), (1, 93)),
]
ROWS = {
    # One row per portfolio and session.
    "performance": 1244 + 1179 + 1030 + 148,
    "risk": 1244 + 1179 + 1030 + 148,
    # One row per bar: 22 stocks, AAPL without two sessions, PYPL since its listing, three indices.
    "assets": 22 * 1259 + 1257 + 655 + 3 * 1286,
    "correlations": sum(sessions * pairs for sessions, pairs in PAIRS),
    # 34 targets, of which four are the cash targets, which belong to the policies.
    "allocations": 34 - 4,
    # Two each for BALANCED and TECH, one each for EURO and NEW.
    "benchmarks": 2 + 2 + 1 + 1,
    # TECH by its bands, NEW by its cash, EURO by its half-year; BALANCED stays inside its bands.
    "events": 3,
}
# Beside the figures: keys, texts, hidden state, and what is allowed to be empty.
NO_FIGURES = {
    "restated_at",
    "start_date",
    "rebalance_threshold",
    "rebalance_threshold_relative",
    "average_move_14",
}


def test_sessions_of_the_books() -> None:
    assert {code: len(calendar(code)) for code in CODES} == SESSIONS


@pytest.mark.parametrize("table", ROWS)
def test_number_of_rows(demo_house: DemoHouse, table: str) -> None:
    assert len(demo_house.tables[table]) == ROWS[table]


def test_bars_behind_the_rows() -> None:
    bars = {symbol: len(frame) for symbol, frame in demo_files.bars().items()}
    special = {"AAPL": 1257, "PYPL": 655, "SPX": 1286, "IXIC": 1286, "SPYTR": 1286}
    assert bars == {symbol: special.get(symbol, 1259) for symbol in bars}
    assert len(bars) == 27


@pytest.mark.parametrize("table", SEVEN_TABLES)
def test_every_stored_number_is_finite(demo_house: DemoHouse, table: str) -> None:
    assert demo_house.not_finite[table] == 0


@pytest.mark.parametrize("table", [table for table in SEVEN_TABLES if table != "events"])
def test_every_missing_figure_has_its_reason(demo_house: DemoHouse, table: str) -> None:
    rows = demo_house.tables[table]
    quality = rows["quality"].to_numpy()
    unexplained = {}
    for name in figures_of(SEVEN_TABLES[table][0]):
        missing = np.flatnonzero(rows[name].isna())
        count = sum(not quality[row].get(name) for row in missing)
        if count:
            unexplained[name] = count
    assert unexplained == {}


def test_significance_is_unknown_only_with_its_q(demo_house: DemoHouse) -> None:
    rows = demo_house.tables["correlations"]
    assert rows["is_significant"].isna().tolist() == rows["q_value_1y"].isna().tolist()


def test_the_last_day_is_complete(demo_house: DemoHouse) -> None:
    """Five years of prices are shorter than five years of returns, and that is all that is missing."""
    for code in ("BALANCED", "TECH", "EURO"):
        last = demo_house.of("performance", portfolio=code).iloc[-1]
        assert last["quality"].keys() == {"return_5y"}
        risk = demo_house.of("risk", portfolio=code).iloc[-1]
        assert risk["effective_bets"] >= 1
        assert risk["quality"].keys() <= {"risk_level"}  # a note on a figure that is there


def test_every_row_says_who_made_it(demo_house: DemoHouse) -> None:
    for name, rows in demo_house.tables.items():
        assert rows["run"].nunique(dropna=False) == 1, name
        assert (rows["engine_version"] != "").all(), name


def test_a_second_load_and_run_change_no_row_of_any_table(demo_house: DemoHouse) -> None:
    assert demo_house.first.keys() == demo_house.second.keys()
    assert len(demo_house.first["audit_events"]) > 0
    assert len(demo_house.first["analytics_runs"]) == 1
    changed = [
        name for name, rows in demo_house.first.items() if not np.array_equal(rows, demo_house.second[name])
    ]
    assert changed == []


def figures_of(model: type[models.Model]) -> Iterable[str]:
    """Everything that may be NULL and is a number or a label: money, statistics, counts, classes."""
    kinds = (models.FloatField, models.DecimalField, models.IntegerField, models.CharField)
    return [
        field.name
        for field in model._meta.concrete_fields
        if field.null and isinstance(field, kinds) and field.name not in NO_FIGURES
    ]

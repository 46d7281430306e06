"""How cost grows with assets, portfolios and history: measured at 1, 2, 4 and 8 times a small house.

    python -m tests.benchmarks.growth

BENCH_ASSETS, BENCH_PORTFOLIOS and BENCH_DAYS set the small house, BENCH_RUNS how often each point is measured
for its medians. Each point is computed by a process of its own on a PostgreSQL database of its own, from
made-up prices. It prints the tables of docs/scale.md and draws docs/images/scale-<axis>.svg.
"""

import json
import math
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import psycopg

from tests.support.services import start_services

ROOT = Path(__file__).parents[2]
IMAGES = ROOT / "docs" / "images"
AXES = {"assets": "BENCH_ASSETS", "portfolios": "BENCH_PORTFOLIOS", "days": "BENCH_DAYS"}
SMALL_HOUSE = {"assets": 60, "portfolios": 50, "days": 250}
FACTORS = (1, 2, 4, 8)
RUNS = int(os.environ.get("BENCH_RUNS", "1"))
KINDS = ("assets", "correlations", "portfolios")
SESSIONS_PER_YEAR = 252
LARGE_HOUSE, NIGHT_HOURS = 100_000, 4

Sizes = dict[str, int]


@dataclass(frozen=True)
class Point:
    """One house. `backfill`, `day`: seconds by kind of chunk, with `all`; sizes in megabytes."""

    sizes: Sizes
    backfill: dict[str, float]
    day: dict[str, float]
    table_megabytes: float
    peak_megabytes: float


def main() -> None:
    small = {axis: int(os.environ.get(name, SMALL_HOUSE[axis])) for axis, name in AXES.items()}
    with ExitStack() as stack:
        url = start_services(stack)["DATABASE_URL"]
        run_python(url, {}, "manage.py", "migrate", "--verbosity", "0")
        first = measured(url, small)
        for axis in AXES:
            larger = [small | {axis: small[axis] * factor} for factor in FACTORS[1:]]
            curve = [first, *(measured(url, sizes) for sizes in larger)]
            print(table(axis, curve), flush=True)
            draw(axis, curve)
            if axis == "portfolios":
                print(needs(curve[-1], first), flush=True)


def measured(url: str, sizes: Sizes) -> Point:
    """The medians of the runs."""
    found = []
    for _ in range(RUNS):
        with fresh_database(url) as own:
            found.append(_point(own, sizes))
    backfill, day = (_medians([getattr(point, name) for point in found]) for name in ("backfill", "day"))
    return replace(found[-1], backfill=backfill, day=day)


def _point(url: str, sizes: Sizes) -> Point:
    environment = {name: str(sizes[axis]) for axis, name in AXES.items()} | {"BENCH_DATA": os.devnull}
    printed = run_python(url, environment, "-m", "tests.benchmarks.growth_point")
    found = json.loads(printed.splitlines()[-1])
    return Point(
        sizes,
        _by_kind(found["backfill"]),
        _by_kind(found["day"]),
        found["table_megabytes"],
        found["peak_megabytes"],
    )


def run_python(url: str, environment: dict[str, str], *arguments: str) -> str:
    common = {
        "DATABASE_URL": url,
        "DJANGO_SETTINGS_MODULE": "portfolio_site.settings",
        "DEBUG": "0",
        "SECRET_KEY": "a-key-for-benchmarks-only",
    }
    done = subprocess.run(  # noqa: S603
        [sys.executable, *arguments],
        cwd=ROOT,
        env=os.environ | common | environment,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return done.stdout


def _by_kind(seconds: dict[str, float]) -> dict[str, float]:
    return {kind: seconds.get(kind, 0.0) for kind in KINDS} | {"all": sum(seconds.values())}


def _medians(found: Sequence[dict[str, float]]) -> dict[str, float]:
    return {name: statistics.median(one[name] for one in found) for name in found[0]}


@contextmanager
def fresh_database(url: str) -> Iterator[str]:
    """A copy of the one that was migrated."""
    address, _, migrated = url.rpartition("/")
    with psycopg.connect(f"{address}/template1", autocommit=True) as server:
        server.execute(f"CREATE DATABASE growth TEMPLATE {migrated}")
        try:
            yield f"{address}/growth"
        finally:
            server.execute("DROP DATABASE growth")


def table(axis: str, curve: Sequence[Point]) -> str:
    """Markdown; `power` is the exponent of the backfill between a line and the one before."""
    head = ("×", axis, *(f"{kind}, s" for kind in KINDS), "backfill, s", "power")
    head += ("one day, s", "tables, MB", "peak, MB")
    lines = ["", f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    for number, (factor, point) in enumerate(zip(FACTORS, curve, strict=True)):
        cells = (
            str(factor),
            f"{point.sizes[axis]:,}",
            *(f"{point.backfill[kind]:.2f}" for kind in (*KINDS, "all")),
            "" if number == 0 else f"{_power(axis, curve[number - 1], point):.2f}",
            f"{point.day['all']:.2f}",
            f"{point.table_megabytes:,.0f}",
            f"{point.peak_megabytes:,.0f}",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _power(axis: str, one: Point, other: Point) -> float:
    """1 where twice as much costs twice as much."""
    return math.log(other.backfill["all"] / one.backfill["all"]) / math.log(
        other.sizes[axis] / one.sizes[axis]
    )


def draw(axis: str, curve: Sequence[Point]) -> None:
    """Seconds of the backfill and of the ordinary day, and a straight line for comparison."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams.update({"svg.hashsalt": "scale", "font.size": 9})
    from matplotlib import pyplot

    figure, plots = pyplot.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
    sizes = [point.sizes[axis] for point in curve]
    for plot, name, title in zip(
        plots, ("backfill", "day"), ("Backfill", "An ordinary new day"), strict=True
    ):
        found = [getattr(point, name) for point in curve]
        for kind in (*KINDS, "all"):
            plot.plot(sizes, [seconds[kind] for seconds in found], marker="o", markersize=3, label=kind)
        straight = [found[0]["all"] * factor for factor in FACTORS]
        plot.plot(sizes, straight, linestyle=":", color="grey", label="in proportion")
        plot.set(title=title, xlabel=axis, ylabel="seconds", xticks=sizes)
        plot.set_ylim(bottom=0)
    plots[0].legend(frameon=False)
    IMAGES.mkdir(parents=True, exist_ok=True)
    figure.savefig(IMAGES / f"scale-{axis}.svg", metadata={"Date": None})
    pyplot.close(figure)


def needs(many: Point, small: Point) -> str:
    """What a large house needs by the formulas of docs/scale.md, from the point with the most portfolios."""
    portfolios, years = many.sizes["portfolios"], many.sizes["days"] / SESSIONS_PER_YEAR
    day, backfill = (seconds["portfolios"] / portfolios for seconds in (many.day, many.backfill))
    added = many.table_megabytes - small.table_megabytes
    disk = added / (portfolios - small.sizes["portfolios"]) / years
    hours = LARGE_HOUSE * day / 3600
    return "\n".join(
        [
            f"\n{LARGE_HOUSE:,} portfolios, from {many.sizes}:",
            f"  one day: s = {day * 1000:.2f} ms, {hours:.2f} hours of one process, "
            f"{math.ceil(hours / NIGHT_HOURS / 0.9)} processes for a night of {NIGHT_HOURS} hours",
            f"  backfill: b = {backfill / years * 1000:.1f} ms, "
            f"{LARGE_HOUSE * backfill / years / 3600:.1f} hours of one process for each year",
            f"  disk: m = {disk:.3f} MB, {LARGE_HOUSE * disk / 1024:,.0f} GB a year",
        ]
    )


if __name__ == "__main__":
    main()

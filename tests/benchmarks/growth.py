"""How cost grows with assets, portfolios and history: measured at 1, 2, 4 and 8 times a small house.

    python -m tests.benchmarks.growth [--assets 50] [--portfolios 50] [--days 250] [--factors 1 2 4 8]

Each point is computed by a process of its own on an empty PostgreSQL database; with `--rounds 5` five
times, for the medians. It prints the tables of
docs/scale.md and draws docs/images/scale-<axis>.svg.
"""

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import psycopg

from tests.support.services import start_services

IMAGES = Path(__file__).parents[2] / "docs" / "images"
AXES = {"assets": "assets", "portfolios": "portfolios", "history": "days"}
KINDS = ("assets", "correlations", "portfolios")
SESSIONS_PER_YEAR = 252
LARGE_HOUSE, NIGHT_HOURS = 100_000, 4


@dataclass(frozen=True)
class Point:
    """One house. `backfill`, `day`: seconds by kind of chunk, with `all`; sizes in megabytes."""

    sizes: dict[str, int]
    backfill: dict[str, float]
    day: dict[str, float]
    rows: dict[str, int]
    table_megabytes: float
    peak_megabytes: float
    peak_before: float


def main() -> None:
    parser = argparse.ArgumentParser(description="measure how cost grows")
    for name, default in (("assets", 50), ("portfolios", 50), ("days", 250), ("rounds", 1)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--factors", type=int, nargs="+", default=[1, 2, 4, 8])
    options = parser.parse_args()
    base = {name: getattr(options, name) for name in AXES.values()}
    measured: dict[tuple[int, ...], Point] = {}
    with ExitStack() as stack:
        url = start_services(stack)["DATABASE_URL"]
        for axis, name in AXES.items():
            curve = []
            for factor in options.factors:
                sizes = base | {name: base[name] * factor}
                key = tuple(sizes.values())
                if key not in measured:
                    measured[key] = _measured(url, sizes, options.rounds)
                curve.append(measured[key])
            print(table(axis, options.factors, curve), flush=True)
            draw(axis, options.factors, curve)
    print(needs(measured[max(measured, key=lambda key: key[1])], measured[tuple(base.values())]))


def _measured(url: str, sizes: dict[str, int], rounds: int) -> Point:
    """The medians of several rounds, each on a database of its own."""
    found = []
    for _ in range(rounds):
        with empty_database(url) as own:
            found.append(_point(own, sizes))
    return replace(
        found[-1],
        backfill=_medians([point.backfill for point in found]),
        day=_medians([point.day for point in found]),
    )


def _point(url: str, sizes: dict[str, int]) -> Point:
    environment = os.environ | {
        "DATABASE_URL": url,
        "DJANGO_SETTINGS_MODULE": "portfolio_site.settings",
        "DEBUG": "0",
        "SECRET_KEY": "a-key-for-benchmarks-only",
    }
    command = [sys.executable, "-m", "tests.benchmarks.growth_point", *map(str, sizes.values())]
    printed = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)  # noqa: S603
    found = json.loads(printed.stdout.splitlines()[-1])
    seconds = {name: _by_kind(found[name]["seconds"]) for name in ("backfill", "day")}
    backfill = found["backfill"]
    return Point(
        sizes,
        seconds["backfill"],
        seconds["day"],
        backfill["rows"],
        backfill["table_megabytes"],
        backfill["megabytes"],
        backfill["megabytes_before"],
    )


def _by_kind(seconds: dict[str, float]) -> dict[str, float]:
    return {kind: seconds.get(kind, 0.0) for kind in KINDS} | {"all": sum(seconds.values())}


def _medians(found: Sequence[dict[str, float]]) -> dict[str, float]:
    return {name: statistics.median(one[name] for one in found) for name in found[0]}


@contextmanager
def empty_database(url: str) -> Iterator[str]:
    with psycopg.connect(url, autocommit=True) as server:
        server.execute("CREATE DATABASE growth")
        try:
            yield url.rpartition("/")[0] + "/growth"
        finally:
            server.execute("DROP DATABASE growth")


def table(axis: str, factors: Sequence[int], curve: Sequence[Point]) -> str:
    """Markdown; the last column but the sizes says by which power of the axis the backfill grows."""
    head = (
        "×",
        axis,
        *(f"{kind}, s" for kind in KINDS),
        "backfill, s",
        "power",
        "one day, s",
        "tables, MB",
        "peak, MB",
    )
    lines = ["", f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    for number, (factor, point) in enumerate(zip(factors, curve, strict=True)):
        power = (
            ""
            if number == 0
            else f"{_power(factors[number - 1 : number + 1], curve[number - 1 : number + 1]):.2f}"
        )
        cells = (
            factor,
            f"{point.sizes[AXES[axis]]:,}",
            *(f"{point.backfill[kind]:.2f}" for kind in KINDS),
            f"{point.backfill['all']:.2f}",
            power,
            f"{point.day['all']:.2f}",
            f"{point.table_megabytes:,.0f}",
            f"{point.peak_megabytes:,.0f}",
        )
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def _power(factors: Sequence[int], curve: Sequence[Point]) -> float:
    """1 where twice as much costs twice as much."""
    return math.log(curve[1].backfill["all"] / curve[0].backfill["all"]) / math.log(factors[1] / factors[0])


def draw(axis: str, factors: Sequence[int], curve: Sequence[Point]) -> None:
    """Seconds of the backfill and of the ordinary day, and a straight line for comparison."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams.update({"svg.hashsalt": "scale", "font.size": 9})
    from matplotlib import pyplot

    figure, plots = pyplot.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
    sizes = [point.sizes[AXES[axis]] for point in curve]
    for plot, name, title in zip(
        plots, ("backfill", "day"), ("Backfill", "An ordinary new day"), strict=True
    ):
        found = [getattr(point, name) for point in curve]
        for kind in (*KINDS, "all"):
            plot.plot(sizes, [seconds[kind] for seconds in found], marker="o", markersize=3, label=kind)
        straight = [found[0]["all"] * factor / factors[0] for factor in factors]
        plot.plot(sizes, straight, linestyle=":", color="grey", label="in proportion")
        plot.set(title=title, xlabel=axis, ylabel="seconds", xticks=sizes)
        plot.set_ylim(bottom=0)
    plots[0].legend(frameon=False)
    IMAGES.mkdir(parents=True, exist_ok=True)
    figure.savefig(IMAGES / f"scale-{axis}.svg", metadata={"Date": None})
    pyplot.close(figure)


def needs(many: Point, base: Point) -> str:
    """What a large house needs by the formulas of docs/scale.md, from the point with the most portfolios."""
    portfolios = many.sizes["portfolios"]
    per_day = many.day["portfolios"] / portfolios
    per_year = many.backfill["portfolios"] / portfolios / many.sizes["days"] * SESSIONS_PER_YEAR
    added = (many.table_megabytes - base.table_megabytes) / (portfolios - base.sizes["portfolios"] or 1)
    disk = added / many.sizes["days"] * SESSIONS_PER_YEAR
    night = LARGE_HOUSE * per_day
    lines = [
        "",
        f"{LARGE_HOUSE:,} portfolios, from {asdict(many)['sizes']}:",
        f"  one day: {per_day * 1000:.2f} ms a portfolio = {night / 3600:.2f} hours of one process, "
        f"{math.ceil(night / 3600 / NIGHT_HOURS)} in {NIGHT_HOURS} hours",
        f"  backfill: {per_year * 1000:.1f} ms a portfolio and year = "
        f"{LARGE_HOUSE * per_year / 3600:.1f} hours of one process for each year",
        f"  disk: {disk:.3f} MB a portfolio and year = {LARGE_HOUSE * disk / 1024:,.0f} GB a year",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()

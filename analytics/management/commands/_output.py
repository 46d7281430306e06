"""What the analytics commands share: arguments that say what is wrong with them, progress on stderr."""

import argparse
import datetime as dt
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal, InvalidOperation

from django.core.management.base import CommandError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from analytics.models import AnalyticsRun, ChunkKind
from portfolio_site.kernel.fields import MONEY_DIGITS, MONEY_PLACES
from portfolios.models import Portfolio, PortfolioStatus


def date_argument(text: str) -> dt.date:
    try:
        return dt.date.fromisoformat(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not a date like 2018-02-07") from error


def decimal_argument(text: str) -> Decimal:
    try:
        value = Decimal(text)
    except InvalidOperation as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from error
    if not value.is_finite() or value < 0:
        raise argparse.ArgumentTypeError(f"{text!r} must be a number that is not negative")
    if value >= Decimal(10) ** (MONEY_DIGITS - MONEY_PLACES):
        raise argparse.ArgumentTypeError(f"{text!r} is more than an amount can be")
    return value


def portfolios_named(codes: Sequence[str]) -> list[Portfolio]:
    """The portfolios with these codes, or all active ones."""
    if not codes:
        return list(Portfolio.objects.filter(status=PortfolioStatus.ACTIVE).order_by("code"))
    found = {portfolio.code: portfolio for portfolio in Portfolio.objects.filter(code__in=codes)}
    missing = sorted(set(codes) - set(found))
    if missing:
        raise CommandError(f"there is no portfolio {', '.join(missing)}.")
    return [found[code] for code in dict.fromkeys(codes)]


@contextmanager
def solver_silence() -> Iterator[None]:
    """HiGHS can print to the process's own standard output, whatever it is told: into stderr with it."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)


@contextmanager
def progress_bar(total: int) -> Iterator[Callable[[AnalyticsRun], None]]:
    """A bar on stderr that follows a run; silent where stderr is not a terminal, but for its last state."""
    columns = (
        TextColumn("{task.description:<14}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("units"),
        TimeElapsedColumn(),
    )
    labels = dict(ChunkKind.choices)
    with Progress(*columns, console=Console(file=sys.stderr)) as progress:
        task = progress.add_task("Planned", total=total)

        def show(run: AnalyticsRun) -> None:
            progress.update(
                task, completed=run.done, description=labels.get(run.stage, run.stage.capitalize())
            )

        yield show

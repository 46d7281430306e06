"""What the commands of the archive share: their answer, year by year as it is done."""

import json
from collections.abc import Iterator
from dataclasses import asdict

from django.core.management.base import BaseCommand, CommandError
from django.db import OperationalError

from analytics.services.archive import ArchiveError, YearOutcome


def outcomes_report(
    command: BaseCommand, outcomes: Iterator[YearOutcome], output: str, *, done: str, undone: str
) -> None:
    """Print each year; what was done before a failure stays done, and is printed too."""
    found: list[YearOutcome] = []
    try:
        for outcome in outcomes:
            found.append(outcome)
            if output == "text":
                what = done if outcome.changed else undone
                line = f"{outcome.table:<30} {outcome.year}  {outcome.rows:>12,} rows {what}  {outcome.file}"
                command.stdout.write(line.rstrip())
    except (ArchiveError, OSError) as error:
        raise CommandError(str(error)) from error
    except OperationalError as error:
        raise CommandError(f"{str(error).strip()}. The other years are done; run it again.") from error
    finally:
        if output == "json":
            command.stdout.write(json.dumps([asdict(outcome) for outcome in found]))
    if output == "text" and not found:
        command.stdout.write("There is nothing to do.")

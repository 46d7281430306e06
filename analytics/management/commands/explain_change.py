"""manage.py explain_change TABLE SUBJECT DATE [FIELD]"""

import datetime as dt
import json
from itertools import groupby
from typing import Any

from django.apps import apps
from django.core.management.base import BaseCommand, CommandError, CommandParser

from analytics.management.commands._output import date_argument
from analytics.models import PublishedTable, Restatement
from analytics.selectors.restatements import FigureChange, figure_history
from portfolios.management.arguments import add_format_argument
from portfolios.models import Asset, Portfolio

UNKNOWN = "–"


class Command(BaseCommand):
    help = (
        "Why did this figure change? Prints what a published figure was before each of its changes, what it "
        "became, by which run, and what had changed before: a price, a rate, a booking or the like."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("table", metavar="TABLE", choices=PublishedTable.values, help="%(choices)s")
        parser.add_argument(
            "subject", metavar="SUBJECT", help="code of the portfolio, or symbol of the asset (or SYMBOL@MIC)"
        )
        parser.add_argument("day", metavar="DATE", type=date_argument, help="the day of the row")
        parser.add_argument("field", metavar="FIELD", nargs="?", default="", help="default: every figure")
        add_format_argument(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        table, day, field = PublishedTable(options["table"]), options["day"], options["field"]
        if field and field not in _columns_of(table):
            raise CommandError(f"{table.value} has no column {field}.")
        subject = (_asset if table == PublishedTable.ASSETS else _portfolio)(options["subject"])
        changes = figure_history(Restatement.objects.all(), subject, table, day, field)
        if options["format"] == "json":
            self.stdout.write(json.dumps([_as_json(change) for change in changes], ensure_ascii=False))
        elif changes:
            self._print(changes)
        else:
            self.stdout.write(f"No published figure of {subject} on {day} is known to have changed.")

    def _print(self, changes: list[FigureChange]) -> None:
        for (created_at, run), figures in groupby(
            changes, key=lambda change: (change.created_at, change.run)
        ):
            by_run = list(figures)
            self.stdout.write(f"{_moment(created_at)}  run {run or UNKNOWN}")
            for cause in by_run[0].causes:
                since = f" from {cause['from_date']}" if cause["from_date"] else ""
                self.stdout.write(f"  because of {cause['cause']}: {cause['subject']}{since}")
            for figure in by_run:
                self.stdout.write(f"  {figure.field:<28} {_text(figure.old)} -> {_text(figure.new)}")


def _columns_of(table: PublishedTable) -> set[str]:
    model = next(model for model in apps.get_models() if model._meta.db_table == table.value)
    return {field.name for field in model._meta.concrete_fields}


def _portfolio(code: str) -> Portfolio:
    found = Portfolio.objects.filter(code=code).first()
    if found is None:
        raise CommandError(f"there is no portfolio {code}.")
    return found


def _asset(text: str) -> Asset:
    symbol, at, exchange = text.partition("@")
    listed = Asset.objects.filter(symbol=symbol)
    found = list(listed.filter(exchange=exchange) if at else listed)
    if not found:
        raise CommandError(f"there is no asset {text}.")
    if len(found) > 1:
        names = ", ".join(f"{asset.symbol}@{asset.exchange}" for asset in found)
        raise CommandError(f"{symbol} stands for several assets: {names}.")
    return found[0]


def _as_json(change: FigureChange) -> dict[str, Any]:
    return {
        "changed_at": change.created_at.isoformat(),
        "field": change.field,
        "old": change.old,
        "new": change.new,
        "causes": change.causes,
        "run": change.run,
    }


def _moment(created_at: dt.datetime) -> str:
    return created_at.isoformat(sep=" ", timespec="seconds")


def _text(value: Any) -> str:
    return UNKNOWN if value is None else str(value)

"""manage.py report_staleness"""

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from portfolios.management.arguments import add_format_argument
from portfolios.selectors.staleness_report import Staleness, staleness_report

ROW = "{:<13}  {:<20}  {:<10}  {:>6}  {:<8}  {:>7}  {}"


class Command(BaseCommand):
    help = (
        "Says how old the last price, exchange rate and interest rate of everything in use is today: fresh "
        "(it reaches the last weekday before), carried, stale (older than PRICE_STALE_DAYS or "
        "FX_MAX_CARRY_DAYS) or missing."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--only-stale", action="store_true", help="only what is stale or missing")
        add_format_argument(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        lines = [line for line in staleness_report() if line.is_stale or not options["only_stale"]]
        if options["format"] == "json":
            self.stdout.write(json.dumps([line.as_json() for line in lines], ensure_ascii=False))
            return
        self.stdout.write(ROW.format("kind", "subject", "last", "days", "state", "used by", "source"))
        for line in lines:
            self.stdout.write(_text(line))


def _text(line: Staleness) -> str:
    last = line.last_date.isoformat() if line.last_date else "-"
    age = "-" if line.age is None else line.age
    return ROW.format(line.kind, line.subject, last, age, line.state, line.used_by, line.source).rstrip()

"""manage.py solve_trades PORTFOLIO --target CLASS=PERCENT ... [--by FIELD] [--amount X]"""

import argparse
import json
from decimal import Decimal, InvalidOperation
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from analytics.management.commands._output import date_argument, portfolios_named
from analytics.selectors.trade_solutions import CLASSES, TradeSolution, TradeSolutionError, trade_solution
from portfolio_site.kernel import clock
from portfolios.management.arguments import add_format_argument


def finite(text: str) -> Decimal:
    try:
        number = Decimal(text)
    except InvalidOperation as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from error
    if not number.is_finite():
        raise argparse.ArgumentTypeError(f"{text!r} is not a finite number")
    return number


def target_argument(text: str) -> tuple[str, Decimal]:
    name, equals, percent = text.rpartition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not a target like equity=60")
    if finite(percent) < 0:
        raise argparse.ArgumentTypeError(f"{text!r}: a target must not be negative")
    return name, finite(percent)


class Command(BaseCommand):
    help = (
        "Which amounts to buy and sell per holding so that the classes named meet their targets exactly: "
        "without costs, whole shares or limits, which propose_rebalancing minds. Nothing is written."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("code", metavar="PORTFOLIO")
        parser.add_argument(
            "--target",
            action="append",
            required=True,
            type=target_argument,
            metavar="CLASS=PERCENT",
            help="of what is held in the classes named, 100 altogether; others are left alone",
        )
        parser.add_argument("--by", choices=CLASSES, default="asset_class")
        parser.add_argument(
            "--amount",
            type=finite,
            default=Decimal(0),
            help="to put in, in base currency; negative: to take out",
        )
        parser.add_argument("--date", type=date_argument, help="value at the end of this day")
        add_format_argument(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        (portfolio,) = portfolios_named([options["code"]])
        targets = dict(options["target"])
        if len(targets) < len(options["target"]):
            raise CommandError("every class can have one --target only.")
        day = options["date"] or clock.today()
        try:
            found = trade_solution(portfolio, day, targets, by=options["by"], change=options["amount"])
        except TradeSolutionError as error:
            raise CommandError(str(error)) from error
        if options["format"] == "json":
            self.stdout.write(json.dumps(found.as_json(), ensure_ascii=False))
        else:
            self._print(found)

    def _print(self, found: TradeSolution) -> None:
        currency = found.portfolio.base_currency_id
        self.stdout.write(f"{found.portfolio.code}  {found.day}  in {currency}")
        for line in found.lines:
            marks = [] if line.is_exact else ["target not met"]
            marks += [] if line.is_unique else ["shared evenly within its class"]
            self.stdout.write(
                f"  {line.symbol:<8} {line.group:<16} {line.value:>16,.2f} {line.amount:>+16,.2f}  "
                + ", ".join(marks)
            )

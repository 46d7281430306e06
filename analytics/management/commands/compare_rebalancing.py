import argparse
import json
from dataclasses import fields
from typing import Any

from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.core.management.base import BaseCommand, CommandError, CommandParser

from analytics.management.commands._output import (
    date_argument,
    decimal_argument,
    portfolios_named,
    solver_silence,
)
from analytics.models import (
    BandDestination,
    LotMethod,
    ProposalGear,
    RebalanceMode,
    WashSaleMode,
)
from analytics.services.rebalancing_recommendation import PolicyOverrides
from analytics.services.what_if import (
    Comparison,
    Scenario,
    WhatIfError,
    what_if_compare,
    what_if_promote,
)

CHOICES: dict[str, list[str]] = {
    "mode": RebalanceMode.values,
    "band_destination": BandDestination.values,
    "lot_method": LotMethod.values,
    "wash_sale_mode": WashSaleMode.values,
}
OPTIONS = [field.name for field in fields(PolicyOverrides)]


class Command(BaseCommand):
    help = (
        "Compare sets of options for one portfolio on one snapshot, by drift, turnover, cost and tax. "
        "Nothing is stored, unless one of them is promoted to a proposal."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("portfolio", metavar="CODE")
        parser.add_argument(
            "--scenario",
            action="append",
            default=[],
            metavar="NAME:OPTION=VALUE,...",
            help=f"up to 20 of them; after the name any of {', '.join(OPTIONS)}",
        )
        parser.add_argument("--date", type=date_argument, help="value at the end of this day")
        parser.add_argument("--gear", choices=ProposalGear.values, default=ProposalGear.FAST)
        parser.add_argument("--promote", metavar="NAME", help="store this one for approval")
        parser.add_argument("--user", help="who promotes it")
        parser.add_argument("--format", choices=("text", "json"), default="text")

    def handle(self, *args: Any, **options: Any) -> None:
        (portfolio,) = portfolios_named([options["portfolio"]])
        scenarios = [_scenario(text) for text in options["scenario"]]
        event = None
        try:
            with solver_silence():
                comparison = what_if_compare(portfolio, scenarios, options["date"], gear=options["gear"])
                if options["promote"]:
                    event = what_if_promote(comparison, options["promote"], actor=_user(options["user"]))
        except (WhatIfError, PermissionDenied) as error:
            raise CommandError(str(error)) from error
        if options["format"] == "json":
            answer = comparison.as_json(number=float) | {"event": event.pk if event else None}
            self.stdout.write(json.dumps(answer))
            return
        self._print(comparison)
        if event is not None:
            self.stdout.write(f"{options['promote']} is proposed: event {event.pk}")

    def _print(self, comparison: Comparison) -> None:
        answer = comparison.as_json()
        self.stdout.write(f"{answer['portfolio']}  {answer['date']}")
        names = ("drift_after", "turnover", "cost", "tax", "tracking_distance")
        self.stdout.write(f"  {'':<16} {'status':<13}" + "".join(f"{name:>18}" for name in names))
        for row in answer["scenarios"]:
            figures = "".join(f"{'unknown' if row[name] is None else row[name][:16]:>18}" for name in names)
            self.stdout.write(f"  {row['name']:<16} {row['status']:<13}{figures}")
            for reason in row["reasons"]:
                self.stdout.write(f"  {'':<16} {reason}")


def _scenario(text: str) -> Scenario:
    name, _, given = text.partition(":")
    if not name.strip():
        raise CommandError(f"--scenario {text!r}: it needs a name before the colon.")
    values: dict[str, Any] = {}
    for pair in given.split(",") if given.strip() else []:
        option, _, value = (part.strip() for part in pair.partition("="))
        if option not in OPTIONS or option in values:
            raise CommandError(f"--scenario {name}: {option!r} is unknown or there twice.")
        values[option] = _value(name, option, value)
    return Scenario(name.strip(), PolicyOverrides(**values))


def _value(name: str, option: str, text: str) -> Any:
    if option in CHOICES:
        if text not in CHOICES[option]:
            raise CommandError(f"--scenario {name}: {option} is one of {', '.join(CHOICES[option])}.")
        return text
    try:
        return decimal_argument(text)
    except argparse.ArgumentTypeError as error:
        raise CommandError(f"--scenario {name}: {option}: {error}") from error


def _user(username: str | None) -> User | None:
    if username is None:
        return None
    found = User.objects.filter(username=username).first()
    if found is None:
        raise CommandError(f"there is no user {username}.")
    return found

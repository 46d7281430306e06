import json
from typing import Any

from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied, ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser

from analytics.management.commands._output import date_argument, decimal_argument, portfolios_named
from analytics.models import CashReserve, ReserveKind
from analytics.services.cash_reserves import reserve_add, reserve_end
from portfolio_site.kernel.canonical import decimal_text

NEW = ("portfolio", "kind", "amount", "due")


class Command(BaseCommand):
    help = (
        "Keep back cash of a portfolio for a payment on a day; with --end, keep it back no longer: it was "
        "paid, or is not wanted."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--portfolio", metavar="CODE")
        parser.add_argument("--kind", choices=ReserveKind.values)
        parser.add_argument("--amount", type=decimal_argument, help="in the portfolio's base currency")
        parser.add_argument("--due", type=date_argument, metavar="DATE")
        parser.add_argument("--end", type=int, metavar="ID")
        parser.add_argument("--on", type=date_argument, metavar="DATE", help="of the end; default: today")
        parser.add_argument("--note", required=True, help="what it is for, or why it ends")
        parser.add_argument("--user", help="in whose name")
        parser.add_argument("--format", choices=("text", "json"), default="text")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            reserve = self._end(options) if options["end"] is not None else self._add(options)
        except ValidationError as error:
            raise CommandError("; ".join(error.messages)) from error
        except PermissionDenied as error:
            raise CommandError(str(error)) from error
        answer = _content(reserve)
        if options["format"] == "json":
            self.stdout.write(json.dumps(answer))
        else:
            self.stdout.write(", ".join(f"{name} {value}" for name, value in answer.items() if value))

    def _add(self, options: dict[str, Any]) -> CashReserve:
        missing = [name for name in NEW if options[name] is None]
        if missing:
            raise CommandError(f"--{missing[0]} or --end is needed.")
        if options["on"] is not None:
            raise CommandError("--on goes with --end only.")
        (portfolio,) = portfolios_named([options["portfolio"]])
        return reserve_add(
            portfolio,
            kind=options["kind"],
            amount=options["amount"],
            due_date=options["due"],
            note=options["note"],
            actor=_user(options["user"]),
        )

    def _end(self, options: dict[str, Any]) -> CashReserve:
        given = [name for name in NEW if options[name] is not None]
        if given:
            raise CommandError(f"--{given[0]} does not go with --end.")
        found = CashReserve.objects.select_related("portfolio").filter(pk=options["end"]).first()
        if found is None:
            raise CommandError(f"there is no reserve {options['end']}.")
        return reserve_end(
            found, reason=options["note"], actor=_user(options["user"]), ended_on=options["on"]
        )


def _content(reserve: CashReserve) -> dict[str, Any]:
    return {
        "reserve": reserve.pk,
        "portfolio": reserve.portfolio.code,
        "kind": reserve.kind,
        "amount": decimal_text(reserve.amount),
        "due_date": reserve.due_date.isoformat(),
        "note": reserve.note,
        "ended_on": reserve.ended_on.isoformat() if reserve.ended_on else None,
    }


def _user(username: str | None) -> User | None:
    if username is None:
        return None
    user = User.objects.filter(username=username).first()
    if user is None:
        raise CommandError(f"there is no user {username}.")
    return user

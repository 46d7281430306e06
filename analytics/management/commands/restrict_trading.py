import json
from typing import Any

from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied, ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser

from analytics.management.commands._output import date_argument, decimal_argument, portfolios_named
from analytics.models import ChangeRequest, RestrictionKind, RestrictionUnit, TradingRestriction
from analytics.services.restriction_changes import restriction_add_or_ask, restriction_lift_or_ask
from portfolio_site.kernel.canonical import decimal_text
from portfolios.models import Asset, Portfolio

# What a restriction says stays as it is when it is lifted.
NOT_WITH_LIFT = ("kind", "symbol", "exchange", "issuer", "sector", "unit", "minimum", "maximum")


class Command(BaseCommand):
    help = (
        "Restrict what may be traded or held, in one portfolio or, without --portfolio, in all of them; with "
        "--lift, end a restriction. Under the two-person rule it waits for a second person."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--portfolio", metavar="CODE")
        parser.add_argument("--kind", choices=RestrictionKind.values)
        parser.add_argument("--symbol", help="one asset; without it, or --issuer or --sector, all of them")
        parser.add_argument("--exchange", help="of the symbol, where several have it")
        parser.add_argument("--issuer")
        parser.add_argument("--sector")
        parser.add_argument("--unit", choices=RestrictionUnit.values, help="of the limits of a range")
        parser.add_argument("--minimum", type=decimal_argument)
        parser.add_argument("--maximum", type=decimal_argument)
        parser.add_argument("--from", dest="starts_on", type=date_argument, help="first day; default: today")
        parser.add_argument("--until", dest="ends_on", type=date_argument, help="last day")
        parser.add_argument("--lift", type=int, metavar="ID")
        parser.add_argument("--reason", required=True)
        parser.add_argument("--user", help="in whose name")
        parser.add_argument("--format", choices=("text", "json"), default="text")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            done = self._lift(options) if options["lift"] is not None else self._add(options)
        except ValidationError as error:
            raise CommandError("; ".join(error.messages)) from error
        except PermissionDenied as error:
            raise CommandError(str(error)) from error
        answer = {"change_request": done.pk} if isinstance(done, ChangeRequest) else _content(done)
        if options["format"] == "json":
            self.stdout.write(json.dumps(answer))
        else:
            self.stdout.write(", ".join(f"{name} {value}" for name, value in answer.items() if value))

    def _add(self, options: dict[str, Any]) -> TradingRestriction | ChangeRequest:
        if options["kind"] is None:
            raise CommandError("--kind or --lift is needed.")
        if options["exchange"] is not None and not options["symbol"]:
            raise CommandError("--exchange goes with --symbol only.")
        names = ("kind", "issuer", "sector", "unit", "minimum", "maximum", "starts_on", "ends_on", "reason")
        fields = {name: options[name] for name in names if options[name] is not None}
        if options["symbol"]:
            fields["asset"] = _asset(options["symbol"], options["exchange"])
        portfolio: Portfolio | None = None
        if options["portfolio"]:
            (portfolio,) = portfolios_named([options["portfolio"]])
        return restriction_add_or_ask(portfolio, actor=_user(options["user"]), **fields)

    def _lift(self, options: dict[str, Any]) -> TradingRestriction | ChangeRequest:
        given = [name for name in NOT_WITH_LIFT if options[name] is not None]
        if given:
            raise CommandError(f"--{given[0]} does not go with --lift.")
        found = TradingRestriction.objects.filter(pk=options["lift"]).first()
        if found is None:
            raise CommandError(f"there is no restriction {options['lift']}.")
        return restriction_lift_or_ask(
            found, actor=_user(options["user"]), reason=options["reason"], last_day=options["ends_on"]
        )


def _content(restriction: TradingRestriction) -> dict[str, Any]:
    return {
        "restriction": restriction.pk,
        "portfolio": restriction.portfolio.code if restriction.portfolio else None,
        "kind": restriction.kind,
        "symbol": restriction.asset.symbol if restriction.asset else None,
        "issuer": restriction.issuer,
        "sector": restriction.sector,
        "minimum": _text(restriction.minimum),
        "maximum": _text(restriction.maximum),
        "unit": restriction.unit,
        "starts_on": restriction.starts_on.isoformat(),
        "ends_on": restriction.ends_on.isoformat() if restriction.ends_on else None,
        "reason": restriction.reason,
    }


def _asset(symbol: str, exchange: str | None) -> Asset:
    found = Asset.objects.filter(symbol=symbol)
    if exchange is not None:
        found = found.filter(exchange=exchange)
    assets = list(found[:2])
    if len(assets) != 1:
        raise CommandError(f"{'there is no' if not assets else 'name the --exchange of'} {symbol}.")
    return assets[0]


def _user(username: str | None) -> User | None:
    if username is None:
        return None
    user = User.objects.filter(username=username).first()
    if user is None:
        raise CommandError(f"there is no user {username}.")
    return user


def _text(value: Any) -> str | None:
    return None if value is None else decimal_text(value)

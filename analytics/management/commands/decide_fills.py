"""manage.py decide_fills accept FILL... --user NAME --reason TEXT"""

import json
from typing import Any

from django.core.exceptions import PermissionDenied, ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction

from analytics.models import OrderFill
from analytics.services.event_moves import EventConflict
from analytics.services.execution.excess_fills import (
    excess_fill_accept,
    excess_fill_refuse,
    excess_fills_waiting,
)
from portfolio_site.kernel.canonical import decimal_text
from portfolios.management.arguments import add_format_argument, named_user


class Command(BaseCommand):
    help = (
        "Decides about fills that went beyond their orders: accept books them, refuse leaves them out of the "
        "books for good, list shows those that wait. All of them, or none."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("decision", choices=["list", "accept", "refuse"])
        parser.add_argument("fill", nargs="*", type=int, metavar="FILL", help="number of a fill")
        parser.add_argument("--user", metavar="NAME", help="who decides")
        parser.add_argument("--reason", metavar="TEXT", default="", help="why")
        add_format_argument(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        if options["decision"] == "list":
            answers = [_answer(fill) for fill in excess_fills_waiting()]
        elif not options["fill"] or not options["user"]:
            raise CommandError(f"{options['decision']} needs at least one FILL and the --user who decides")
        else:
            answers = [_answer(fill) | {"decision": options["decision"]} for fill in _decide(options)]
        if options["format"] == "json":
            self.stdout.write(json.dumps(answers, ensure_ascii=False))
            return
        for answer in answers:
            self.stdout.write("  ".join(str(value) for value in answer.values() if value is not None))


@transaction.atomic
def _decide(options: dict[str, Any]) -> list[OrderFill]:
    decide = excess_fill_accept if options["decision"] == "accept" else excess_fill_refuse
    actor, decided = named_user(options["user"]), []
    for fill_id in options["fill"]:
        try:
            decided.append(decide(fill_id, actor=actor, reason=options["reason"]))
        except OrderFill.DoesNotExist as error:
            raise CommandError(f"there is no fill {fill_id}") from error
        except ValidationError as error:
            raise CommandError(f"fill {fill_id}: {' '.join(error.messages)}") from error
        except (PermissionDenied, EventConflict) as error:
            raise CommandError(f"fill {fill_id}: {error}") from error
    return decided


def _answer(fill: OrderFill) -> dict[str, Any]:
    order = fill.order
    return {
        "fill": fill.pk,
        "venue_fill_id": fill.venue_fill_id,
        "order": order.client_order_id,
        "portfolio": order.event.portfolio.code,
        "side": order.side,
        "symbol": order.asset.symbol,
        "quantity": decimal_text(fill.quantity),
        "price": decimal_text(fill.price),
        "filled_on": fill.filled_on.isoformat(),
        "transaction": fill.transaction_id,
    }

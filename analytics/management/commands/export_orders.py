"""manage.py export_orders [EVENT...]"""

from pathlib import Path
from typing import Any

from django.core.exceptions import PermissionDenied
from django.core.management.base import BaseCommand, CommandError, CommandParser

from analytics.models import RebalancingEvent
from analytics.services.event_moves import EventConflict
from analytics.services.execution.order_file import exportable_events, orders_export
from portfolios.management.arguments import add_user_argument, named_user


class Command(BaseCommand):
    help = (
        "Write the orders of executing rebalancings as CSV and mark them as sent. The same file comes out as "
        "often as it is asked for."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "event",
            nargs="*",
            type=int,
            metavar="EVENT",
            help="id of the rebalancing (default: all there are)",
        )
        parser.add_argument("--output", metavar="FILE", help="where to (default: standard output)")
        add_user_argument(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        actor = named_user(options["user"])
        try:
            text = orders_export(options["event"] or exportable_events(), actor=actor)
        except RebalancingEvent.DoesNotExist as error:
            raise CommandError("there is no such event") from error
        except (EventConflict, PermissionDenied) as error:
            raise CommandError(str(error)) from error
        if not options["output"]:
            self.stdout.write(text, ending="")
            return
        try:
            Path(options["output"]).write_text(text, encoding="utf-8", newline="")
        except OSError as error:
            raise CommandError(f"{options['output']}: {error.strerror}") from error

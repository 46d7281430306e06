"""manage.py decide_rebalancing approve EVENT --user NAME --hash HASH"""

import json
from typing import Any

from django.core.exceptions import PermissionDenied, ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser

from analytics.models import RebalancingEvent
from analytics.services.approvals import approvals_of, event_approve, event_cancel, event_reject
from analytics.services.event_moves import EventConflict, event_name
from portfolios.management.arguments import add_format_argument, named_user
from portfolios.services.request_keys import RequestKeyConflict


class Command(BaseCommand):
    help = (
        "Approves, rejects or cancels a rebalancing event. An approval or rejection is about the proposal "
        "whose hash is given; where the event is at another version by now, nothing is decided."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("decision", choices=["approve", "reject", "cancel"])
        parser.add_argument("event", metavar="EVENT", type=int, help="number of the event")
        parser.add_argument("--user", metavar="NAME", required=True, help="who decides")
        parser.add_argument("--hash", metavar="HASH", help="of the proposal that was looked at")
        parser.add_argument(
            "--note", metavar="TEXT", default="", help="a rejection or cancellation needs one"
        )
        parser.add_argument("--key", metavar="KEY", help="the same command again under this key does nothing")
        add_format_argument(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        if options["decision"] != "cancel" and not options["hash"]:
            raise CommandError(f"{options['decision']} needs the --hash of the proposal that was looked at")
        try:
            event = _decide(options)
        except RebalancingEvent.DoesNotExist as error:
            raise CommandError(f"there is no event {options['event']}") from error
        except ValidationError as error:
            raise CommandError(" ".join(error.messages)) from error
        except (PermissionDenied, EventConflict, RequestKeyConflict) as error:
            raise CommandError(str(error)) from error
        if options["format"] == "json":
            answer = {
                "event": event.pk,
                "portfolio": event.portfolio.code,
                "status": event.status,
                "version": event.version,
                "proposal_hash": event.proposal_hash,
                "approvals": len(approvals_of(event)),
            }
            self.stdout.write(json.dumps(answer))
        else:
            self.stdout.write(f"{event_name(event)} is {event.status}, approvals: {len(approvals_of(event))}")


def _decide(options: dict[str, Any]) -> RebalancingEvent:
    about: dict[str, Any] = {"actor": named_user(options["user"]), "key": options["key"]}
    number, note = options["event"], options["note"]
    if options["decision"] == "cancel":
        return event_cancel(number, reason=note, **about)
    decide = event_approve if options["decision"] == "approve" else event_reject
    return decide(number, proposal_hash=options["hash"], note=note, **about)

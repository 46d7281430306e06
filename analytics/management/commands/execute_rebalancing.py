"""manage.py execute_rebalancing EVENT..."""

import json
from typing import Any

from django.core.exceptions import PermissionDenied, ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser

from analytics.models import RebalancingEvent
from analytics.services.event_moves import EventConflict
from analytics.services.execution.completion import event_close_short
from analytics.services.execution.run import event_execute, event_resume, executing_events
from portfolios.management.arguments import add_format_argument, add_user_argument, named_user


class Command(BaseCommand):
    help = (
        "Carry out approved rebalancings: make their orders and hand them to the venue of the policy. With "
        "--resume go on with those that are executing; with --close-short give up what is still open of them."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("event", nargs="*", type=int, metavar="EVENT", help="id of the rebalancing")
        parser.add_argument(
            "--resume",
            action="store_true",
            help="go on where it stopped; without EVENT, all that are executing",
        )
        parser.add_argument(
            "--close-short", metavar="REASON", help="cancel the open orders and close the event"
        )
        parser.add_argument("--key", help="of the request: with one EVENT, the same key begins it once only")
        add_format_argument(parser)
        add_user_argument(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        event_ids = options["event"]
        if options["resume"] and options["close_short"] is not None:
            raise CommandError("--resume and --close-short exclude each other.")
        if not event_ids and not options["resume"]:
            raise CommandError("Name at least one EVENT.")
        if options["key"] and (
            len(event_ids) != 1 or options["resume"] or options["close_short"] is not None
        ):
            raise CommandError("--key goes with one EVENT that is to be executed.")
        failures = 0
        answers = []
        for event_id in event_ids or executing_events():
            try:
                event = self._carry_out(event_id, options)
            except RebalancingEvent.DoesNotExist:
                answers.append({"event": event_id, "error": "there is no such event"})
            except (EventConflict, PermissionDenied) as error:
                answers.append({"event": event_id, "error": str(error)})
            except ValidationError as error:
                answers.append({"event": event_id, "error": "; ".join(error.messages)})
            else:
                answers.append(_answer(event))
            failures += "error" in answers[-1] or answers[-1]["status"] == "failed"
        if options["format"] == "json":
            self.stdout.write(json.dumps(answers, ensure_ascii=False))
        else:
            for answer in answers:
                self.stdout.write(_line(answer))
        if failures:
            raise CommandError(f"{failures} of {len(answers)} not executed")

    def _carry_out(self, event_id: int, options: dict[str, Any]) -> RebalancingEvent:
        actor = named_user(options["user"])
        if options["close_short"] is not None:
            return event_close_short(event_id, actor=actor, reason=options["close_short"])
        if options["resume"]:
            return event_resume(event_id, actor=actor)
        return event_execute(event_id, actor=actor, key=options["key"])


def _answer(event: RebalancingEvent) -> dict[str, Any]:
    return {
        "event": event.pk,
        "portfolio": event.portfolio.code,
        "status": event.status,
        "orders": list(event.orders.order_by("position").values_list("status", flat=True)),
        "actual_cost": None if event.actual_cost is None else str(event.actual_cost),
        "residual": (event.post_state or {}).get("residual"),
        "failure": event.failure,
    }


def _line(answer: dict[str, Any]) -> str:
    if "error" in answer:
        return f"{answer['event']}  {answer['error']}"
    done = f"{answer['orders'].count('filled')} of {len(answer['orders'])} orders filled"
    tail = f"  {answer['failure']}" if answer["failure"] else ""
    return f"{answer['event']}  {answer['portfolio']}  {answer['status']}  {done}{tail}"

"""manage.py decide_change [ID approve|reject --user NAME --note TEXT]"""

import json
from typing import Any

from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied, ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser

from analytics.models import ChangeRequest, ChangeStatus
from analytics.selectors.change_requests import visible_change_requests
from analytics.services.change_requests import ChangeConflict, change_approve, change_reject
from portfolios.management.arguments import add_format_argument, add_user_argument, named_user

DECISIONS = {"approve": change_approve, "reject": change_reject}


class Command(BaseCommand):
    help = "Decides about a change that waits for a second person. Without an id it lists those that wait."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("id", nargs="?", type=int, metavar="ID", help="number of the change request")
        parser.add_argument("decision", nargs="?", choices=list(DECISIONS))
        parser.add_argument("--note", default="", metavar="TEXT", help="needed to reject")
        add_format_argument(parser)
        add_user_argument(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        user = named_user(options["user"])
        if user is None:
            raise CommandError("--user must name who decides.")
        visible = visible_change_requests(user)
        if options["id"] is None:
            found = list(visible.filter(status=ChangeStatus.PENDING))
        elif options["decision"] is None:
            raise CommandError("say whether to approve or to reject.")
        elif not visible.filter(pk=options["id"]).exists():
            raise CommandError(f"there is no change request {options['id']}.")
        else:
            found = [self._decided(options["id"], options["decision"], user, options["note"])]
        if options["format"] == "json":
            self.stdout.write(json.dumps([_as_json(request) for request in found], ensure_ascii=False))
        else:
            for request in found:
                self.stdout.write(_line(request))

    def _decided(self, request_id: int, decision: str, user: User, note: str) -> ChangeRequest:
        try:
            return DECISIONS[decision](request_id, actor=user, note=note)
        except ValidationError as error:
            raise CommandError("; ".join(error.messages)) from error
        except (ChangeConflict, PermissionDenied) as error:
            raise CommandError(str(error)) from error


def _as_json(request: ChangeRequest) -> dict[str, Any]:
    return {
        "id": request.pk,
        "kind": request.kind,
        "portfolio": request.portfolio and request.portfolio.code,
        "status": request.status,
        "requested_by": request.requested_by.get_username(),
        "payload": request.payload,
        "before": request.before,
        "effective_from": request.effective_from and request.effective_from.isoformat(),
        "is_applied": request.applied_at is not None,
        "content_hash": request.content_hash,
    }


def _line(request: ChangeRequest) -> str:
    if request.status == ChangeStatus.APPROVED:
        state = "made" if request.applied_at else f"approved, to be made on {request.effective_from}"
    else:
        state = str(request.status)
    where = request.portfolio or "all portfolios"
    return f"{request.pk}  {where}  {request.get_kind_display()}  by {request.requested_by}: {state}"

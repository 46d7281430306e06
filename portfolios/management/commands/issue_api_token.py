"""manage.py issue_api_token USER"""

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from portfolios.management.arguments import add_format_argument, add_user_argument, named_user
from portfolios.services.access import api_token_issue


class Command(BaseCommand):
    help = "Issues a new token for the API and prints it, once. The user's older token stops working."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("holder", metavar="USER")
        add_format_argument(parser)
        add_user_argument(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        user = named_user(options["holder"])
        if user is None:
            raise CommandError("a user must be named")
        token = api_token_issue(user, actor=named_user(options["user"]))
        if options["format"] == "json":
            self.stdout.write(json.dumps({"user": user.get_username(), "token": token}))
        else:
            self.stdout.write(token)

"""manage.py grant_access USER PORTFOLIO ROLE"""

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from portfolios.management.arguments import add_format_argument, add_user_argument, named_user
from portfolios.models import Portfolio, PortfolioRole
from portfolios.services.access import access_grant


class Command(BaseCommand):
    help = "Gives a user a role on a portfolio."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("grantee", metavar="USER")
        parser.add_argument("portfolio", metavar="PORTFOLIO", help="code of the portfolio")
        parser.add_argument(
            "role", metavar="ROLE", choices=PortfolioRole.values, help=", ".join(PortfolioRole.values)
        )
        add_format_argument(parser)
        add_user_argument(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        user, actor = named_user(options["grantee"]), named_user(options["user"])
        portfolio = Portfolio.objects.filter(code=options["portfolio"]).first()
        if user is None or portfolio is None:
            raise CommandError(f"there is no portfolio {options['portfolio']}")
        role = PortfolioRole(options["role"])
        is_new = access_grant(user, portfolio, role, actor=actor)
        if options["format"] == "json":
            answer = {
                "user": user.get_username(),
                "portfolio": portfolio.code,
                "role": role,
                "is_new": is_new,
            }
            self.stdout.write(json.dumps(answer))
        else:
            self.stdout.write(f"{user} is {'now' if is_new else 'already'} {role} of {portfolio}")

"""manage.py load_demo"""

import json
import os
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from analytics.services.demo import DemoError, demo_load
from portfolios.management.arguments import add_format_argument

DEMO_FOLDER = settings.BASE_DIR / "portfolio_site" / "demo"
KNOWN_PASSWORD = "demo-portfolio"  # noqa: S105 - everyone may know it; hence never outside of DEBUG


class Command(BaseCommand):
    help = (
        "Loads the shipped market data, portfolios and the users demo, maker and checker. Their password is "
        "DEMO_PASSWORD; without it a well-known one, which needs DEBUG. Run twice, it changes nothing."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        add_format_argument(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        password = os.environ.get("DEMO_PASSWORD") or KNOWN_PASSWORD
        if password == KNOWN_PASSWORD and not settings.DEBUG:
            raise CommandError("set DEMO_PASSWORD: without DEBUG no user gets the well-known password.")
        reports = {}
        try:
            for name, report in demo_load(DEMO_FOLDER, password=password):
                self.stderr.write(f"{name}: {report.summary()}")
                reports[name] = report.as_json()
        except DemoError as error:
            raise CommandError(str(error)) from error
        if options["format"] == "json":
            self.stdout.write(json.dumps(reports))
        else:
            created = sum(report["created"] for report in reports.values())
            self.stdout.write(f"{len(reports)} files read, {created} rows created.")

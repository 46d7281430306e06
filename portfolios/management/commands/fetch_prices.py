"""manage.py fetch_prices"""

import json
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from portfolios.management.arguments import add_format_argument, add_user_argument, named_user
from portfolios.services.feeds import UnknownFeed, feeds_refresh

NO_FEEDS = (
    "PRICE_FEEDS names no feed, so nothing was fetched. Set it to name=kind:location, separated by commas, "
    "such as ecb=ecb:https://www.ecb.europa.eu/stats/eurofxref/eurofxref-hist.zip"
)


class Command(BaseCommand):
    help = (
        "Fetches new prices and rates from the feeds of PRICE_FEEDS and stores what came. Fails when "
        "anything could not be had or was refused; the rest is stored all the same."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--feed", metavar="NAME", action="append", help="only this feed; may be given several times"
        )
        add_format_argument(parser)
        add_user_argument(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            report = feeds_refresh(options["feed"], named_user(options["user"]))
        except UnknownFeed as error:
            raise CommandError(str(error)) from error
        if options["format"] == "json":
            self.stdout.write(json.dumps(report.as_json(), ensure_ascii=False))
        else:
            if not report.lines and not settings.PRICE_FEEDS:
                self.stdout.write(NO_FEEDS)
            for line in report.lines:
                stream = self.stderr if line.has_failed else self.stdout
                stream.write(str(line))
                for reject in line.stored.rejected:
                    stream.write(f"  {reject}")
        if report.failures:
            raise CommandError(f"{len(report.failures)} of {len(report.lines)} failed; what came is stored")

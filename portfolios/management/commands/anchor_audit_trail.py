"""manage.py anchor_audit_trail"""

import json
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from portfolios.management.arguments import add_format_argument
from portfolios.services.audit import AnchorFileError, audit_anchor


class Command(BaseCommand):
    help = "Writes the hash of the last audit row to AUDIT_ANCHOR_FILE, outside the database."

    def add_arguments(self, parser: CommandParser) -> None:
        add_format_argument(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            anchor = audit_anchor(settings.AUDIT_ANCHOR_FILE)
        except AnchorFileError as error:
            raise CommandError(str(error)) from error
        if options["format"] == "json":
            self.stdout.write(json.dumps(anchor))
        elif anchor is None:
            self.stdout.write("nothing new to anchor")
        else:
            self.stdout.write(f"anchored sequence {anchor['sequence']} in {settings.AUDIT_ANCHOR_FILE}")

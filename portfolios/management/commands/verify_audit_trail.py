"""manage.py verify_audit_trail"""

import json
from dataclasses import asdict
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from portfolios.management.arguments import add_format_argument
from portfolios.services.audit import AnchorFileError, audit_verify


class Command(BaseCommand):
    help = "Walks the audit chain and holds it against the anchors kept outside the database."

    def add_arguments(self, parser: CommandParser) -> None:
        add_format_argument(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            report = audit_verify(settings.AUDIT_ANCHOR_FILE)
        except AnchorFileError as error:
            raise CommandError(str(error)) from error
        if options["format"] == "json":
            self.stdout.write(json.dumps({"is_intact": report.is_intact, **asdict(report)}))
        elif report.is_intact:
            self.stdout.write(
                f"intact: {report.count} rows, {report.anchors} anchors, the last hash is {report.last_hash}"
            )
        if not report.is_intact:
            raise CommandError(f"broken at sequence {report.broken_at}: {report.reason}")

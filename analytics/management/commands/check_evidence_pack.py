"""manage.py check_evidence_pack FILE"""

import json
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from analytics.services.evidence_packs import EvidencePackError, pack_check, pack_read
from portfolios.management.arguments import add_format_argument


class Command(BaseCommand):
    help = "Checks an evidence pack against itself, without any database, and names every fault."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", metavar="FILE", type=Path, help="ZIP file that was exported")
        parser.add_argument("--manifest-hash", metavar="HASH", help="the one that the export printed")
        add_format_argument(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            report = pack_check(pack_read(options["file"]), options["manifest_hash"])
        except EvidencePackError as error:
            raise CommandError(str(error)) from error
        if options["format"] == "json":
            answer = {
                "is_sound": report.is_sound,
                "manifest_hash": report.manifest_hash,
                "files": report.files,
                "faults": report.faults,
            }
            self.stdout.write(json.dumps(answer))
        elif report.is_sound:
            self.stdout.write(f"sound: event {report.about['event']} of {report.about['portfolio']}")
            self.stdout.write(f"SHA-256 of the manifest: {report.manifest_hash}")
        else:
            for fault in report.faults:
                self.stderr.write(fault)
        if not report.is_sound:
            raise CommandError(f"{len(report.faults)} faults in {options['file']}")

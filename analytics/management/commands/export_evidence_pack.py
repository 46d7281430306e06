"""manage.py export_evidence_pack EVENT FILE"""

import json
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from analytics.models import RebalancingEvent
from analytics.services.evidence_packs import EvidencePackError, pack_export
from portfolios.management.arguments import add_format_argument, add_user_argument, named_user


class Command(BaseCommand):
    help = (
        "Writes all that a rebalancing event came from and led to into one ZIP file. "
        "Keep the hash of the manifest: check_evidence_pack holds the file against it."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("event", metavar="EVENT", type=int, help="number of the event")
        parser.add_argument("file", metavar="FILE", type=Path, help="ZIP file to write")
        parser.add_argument("--force", action="store_true", help="write over a file that exists")
        add_format_argument(parser)
        add_user_argument(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        actor = named_user(options["user"])
        try:
            pack = pack_export(options["event"], options["file"], actor=actor, overwrite=options["force"])
        except RebalancingEvent.DoesNotExist as error:
            raise CommandError(f"there is no event {options['event']}") from error
        except EvidencePackError as error:
            raise CommandError(str(error)) from error
        if options["format"] == "json":
            self.stdout.write(json.dumps({**vars(pack), "path": str(pack.path)}))
        else:
            self.stdout.write(f"{pack.files} files in {pack.path}")
            self.stdout.write(f"SHA-256 of the manifest: {pack.manifest_hash}")
            self.stdout.write(f"SHA-256 of the file: {pack.pack_hash}")

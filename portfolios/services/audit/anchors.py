"""Anchors: the last hash of the chain, written line by line to a file outside the database.

Each line holds the hash of the line before it, so that a line changed, taken out or put in later shows.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.db import transaction

from portfolio_site.kernel import clock
from portfolio_site.kernel.canonical import canonical_json
from portfolios.models import AuditEvent
from portfolios.services.audit.appending import lock_chain
from portfolios.services.audit.hashing import GENESIS_HASH, moment_text


class AnchorFileError(ValueError):
    """The file of anchors cannot be trusted; the text names its line."""


@dataclass(frozen=True)
class Anchor:
    sequence: int
    hash: str
    line_hash: str


def anchors_read(anchor_file: Path | None) -> list[Anchor]:
    """The anchors in their order; raises AnchorFileError at the first line that cannot be one."""
    if anchor_file is None or not anchor_file.exists():
        return []
    anchors: list[Anchor] = []
    with anchor_file.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                anchors.append(_anchor(line.strip(), anchors[-1] if anchors else None))
            except AnchorFileError as error:
                raise AnchorFileError(f"{anchor_file}, line {number}: {error}") from error
    return anchors


def _anchor(line: str, before: Anchor | None) -> Anchor:
    try:
        fields = json.loads(line)
        anchor = Anchor(fields["sequence"], fields["hash"], hashlib.sha256(line.encode()).hexdigest())
    except (ValueError, TypeError, KeyError) as error:
        raise AnchorFileError("not an anchor") from error
    if type(anchor.sequence) is not int or not isinstance(anchor.hash, str):
        raise AnchorFileError("not an anchor")
    # Lines written by earlier versions do not name the line before them.
    if fields.get("previous_line") not in (None, before.line_hash if before else GENESIS_HASH):
        raise AnchorFileError("it does not follow from the line before")
    if before and anchor.sequence <= before.sequence:
        raise AnchorFileError(f"row {anchor.sequence} comes after row {before.sequence}")
    return anchor


def audit_anchor(anchor_file: Path) -> dict[str, Any] | None:
    """Write the last link's hash outside the database; None when the chain is empty or already anchored."""
    with transaction.atomic():
        lock_chain()  # so that two who anchor at the same time write one line each, in order
        last = AuditEvent.objects.order_by("-sequence").first()
        anchors = anchors_read(anchor_file)
        if last is None or (anchors and anchors[-1].sequence >= last.sequence):
            return None
        anchor = {
            "sequence": last.sequence,
            "hash": last.hash,
            "anchored_at": moment_text(clock.now()),
            "previous_line": anchors[-1].line_hash if anchors else GENESIS_HASH,
        }
        _append_line(anchor_file, canonical_json(anchor))
    return anchor


def _append_line(path: Path, line: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.exists() and path.read_bytes()[-1:] not in (b"", b"\n")
    with path.open("a", encoding="utf-8") as lines:
        lines.write(("\n" if unfinished else "") + line + "\n")

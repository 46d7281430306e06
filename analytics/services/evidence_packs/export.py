"""Writing the evidence pack of an event to a file, and into the audit trail who took it."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from django.db import transaction

from analytics.services.event_moves import event_lock
from analytics.services.evidence_packs.contents import EVENT, EXPORTED, pack_documents
from analytics.services.evidence_packs.zip_files import (
    MANIFEST,
    EvidencePackError,
    document_file,
    manifest_of,
    packed,
)
from portfolios.services.audit import Actor, audit_append


@dataclass(frozen=True)
class ExportedPack:
    path: Path
    files: int
    manifest_hash: str
    pack_hash: str


@transaction.atomic
def pack_export(event_id: int, path: Path, *, actor: Actor = None, overwrite: bool = False) -> ExportedPack:
    """Write the pack of the event as it is now. Raises EvidencePackError when the file cannot be written.

    Whether the actor may see the portfolio is for the caller to know.
    """
    event = event_lock(event_id)
    files = {name: document_file(document) for name, document in pack_documents(event).items()}
    about = {
        "event": event.pk,
        "portfolio": event.portfolio.code,
        "proposal_hash": event.proposal_hash,
        "engine_version": event.engine_version,
    }
    files[MANIFEST] = manifest_of(files, about)
    content = packed(files)
    pack = ExportedPack(
        path,
        len(files),
        hashlib.sha256(files[MANIFEST]).hexdigest(),
        hashlib.sha256(content).hexdigest(),
    )
    audit_append(
        action=EXPORTED,
        object_type=EVENT,
        object_id=event.pk,
        actor=actor,
        portfolio=event.portfolio,
        after={
            "file": path.name,
            "files": pack.files,
            "manifest_hash": pack.manifest_hash,
            "pack_hash": pack.pack_hash,
        },
    )
    _write(path, content, overwrite=overwrite)
    return pack


def _write(path: Path, content: bytes, *, overwrite: bool) -> None:
    try:
        with path.open("wb" if overwrite else "xb") as file:
            file.write(content)
    except FileExistsError as error:
        raise EvidencePackError(f"{path} exists already") from error
    except OSError as error:
        raise EvidencePackError(f"{path} cannot be written: {error.strerror}") from error

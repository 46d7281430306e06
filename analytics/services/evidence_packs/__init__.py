"""Evidence packs: all that one rebalancing event came from and led to, in one file that proves itself.

`contents` gathers the documents, `zip_files` packs and unpacks them to the byte, `export` writes a pack and
says so in the audit trail, `checks` holds a pack against itself without asking a database.
"""

from analytics.services.evidence_packs.checks import PackReport, pack_check
from analytics.services.evidence_packs.export import ExportedPack, pack_export
from analytics.services.evidence_packs.zip_files import EvidencePackError, pack_read

__all__ = ["EvidencePackError", "ExportedPack", "PackReport", "pack_check", "pack_export", "pack_read"]

"""Documents packed into one ZIP file: the same documents make the same bytes, on every machine.

Names are sorted, times are fixed, nothing is compressed (what a compressor makes depends on its version), and
every document is canonical JSON. The manifest holds the SHA-256 of all others.
"""

import hashlib
import io
import json
import re
import zipfile
from collections import Counter
from collections.abc import Mapping
from typing import Any

from portfolio_site.kernel.canonical import canonical_json

MANIFEST = "manifest.json"
FORMAT = 1
NAME = re.compile(r"(versions/[0-9]{4}/)?[a-z_]{1,40}\.json")
MAX_PACK_BYTES, MAX_FILE_BYTES, MAX_FILES = 256 * 2**20, 64 * 2**20, 2_000
_MADE_AT = (1980, 1, 1, 0, 0, 0)

Files = Mapping[str, bytes]


class EvidencePackError(ValueError):
    """This is not an evidence pack, or none can be made; the text says why."""


def document_file(document: Any) -> bytes:
    return canonical_json(document).encode()


def manifest_of(files: Files, about: Mapping[str, Any]) -> bytes:
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    return document_file({**about, "format": FORMAT, "files": hashes})


def packed(files: Files) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as pack:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, _MADE_AT)
            entry.create_system, entry.external_attr = 3, 0o644 << 16
            pack.writestr(entry, files[name])
    return target.getvalue()


def unpacked(pack: bytes) -> dict[str, bytes]:
    """The files of a pack by name. Raises EvidencePackError for what is no pack or may do harm."""
    if len(pack) > MAX_PACK_BYTES:
        raise EvidencePackError(f"{len(pack)} bytes are too many for an evidence pack")
    try:
        with zipfile.ZipFile(io.BytesIO(pack)) as archive:
            entries = archive.infolist()
            _check_entries(entries, len(pack))
            return {entry.filename: archive.read(entry) for entry in entries}
    except (zipfile.BadZipFile, zipfile.LargeZipFile, EOFError, OSError, RuntimeError) as error:
        raise EvidencePackError(f"not a readable ZIP file: {error}") from error
    except (NotImplementedError, UnicodeDecodeError) as error:
        raise EvidencePackError(f"not a ZIP file of ours: {error}") from error


def _check_entries(entries: list[zipfile.ZipInfo], size: int) -> None:
    if len(entries) > MAX_FILES:
        raise EvidencePackError(f"{len(entries)} files are too many for an evidence pack")
    names = Counter(entry.filename for entry in entries)
    for entry in entries:
        if not NAME.fullmatch(entry.filename):
            raise EvidencePackError(f"no file of an evidence pack is called {entry.filename[:100]!r}")
        if names[entry.filename] > 1:
            raise EvidencePackError(f"{entry.filename} is there twice")
        if entry.compress_type != zipfile.ZIP_STORED or entry.file_size != entry.compress_size:
            raise EvidencePackError(f"{entry.filename} is compressed")
        if entry.file_size > MAX_FILE_BYTES:
            raise EvidencePackError(f"{entry.filename} has {entry.file_size} bytes, too many")
    if sum(entry.file_size for entry in entries) > size:
        raise EvidencePackError("its files share their bytes")


def pack_read(path: Any) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(MAX_PACK_BYTES + 1)
    except OSError as error:
        raise EvidencePackError(f"{path} cannot be read: {error.strerror}") from error


def document_read(name: str, content: bytes) -> Any:
    """The document of a file. Raises EvidencePackError when it is not the canonical JSON of one."""
    try:
        document = json.loads(content)
        is_canonical = document_file(document) == content
    except (ValueError, RecursionError) as error:
        raise EvidencePackError(f"{name}: not a JSON document") from error
    if not is_canonical:
        raise EvidencePackError(f"{name}: not canonical JSON")
    return document

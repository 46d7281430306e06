"""Holding an evidence pack against itself: nothing is asked of a database, every fault is named.

A pack that somebody made anew from end to end agrees with itself. That it is the one that was exported shows
in the hash of its manifest, which the export printed and wrote into the audit trail.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from typing import Any

from analytics.calculations.constants import ENGINE_VERSION
from analytics.services.evidence_packs.contents import lots_of
from analytics.services.evidence_packs.zip_files import (
    FORMAT,
    MANIFEST,
    EvidencePackError,
    Files,
    document_read,
    packed,
    unpacked,
)
from analytics.services.proposal_documents import document_hash, proposal_from_inputs
from portfolio_site.kernel.canonical import canonical_json, sha256_of
from portfolios.services.audit import CONTENT, row_hash

EVENT_FILES = frozenset(
    f"{name}.json"
    for name in (
        "event",
        "pre_state",
        "post_state",
        "lots",
        "approvals",
        "orders",
        "fills",
        "transactions",
        "audit",
    )
)
VERSION_FILES = ("inputs.json", "proposal.json", "version.json")
# States that an event only reaches when enough have approved.
APPROVED_STATES = frozenset({"approved", "executing", "completed", "failed"})
NOTHING = Decimal(0)
# What reading a document raises that is not what it should be.
MALFORMED = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, RecursionError)

Document = Mapping[str, Any]


@dataclass(frozen=True)
class PackReport:
    """What a check found; the hash is that of the manifest, as the export printed it."""

    manifest_hash: str
    about: Document
    files: int
    faults: tuple[str, ...]

    @property
    def is_sound(self) -> bool:
        return not self.faults


@dataclass(frozen=True)
class _Version:
    number: int
    inputs: Document
    proposal: Document
    about: Document


@dataclass(frozen=True)
class _Pack:
    """The documents of a pack whose files are all there."""

    documents: Mapping[str, Any]

    def __getitem__(self, name: str) -> Any:
        return self.documents[f"{name}.json"]

    @property
    def versions(self) -> list[_Version]:
        folders = sorted({name.rpartition("/")[0] for name in self.documents if "/" in name})
        return [
            _Version(
                int(folder.rpartition("/")[2]),
                *(self.documents[f"{folder}/{name}"] for name in VERSION_FILES),
            )
            for folder in folders
        ]


def pack_check(pack: bytes, manifest_hash: str | None = None) -> PackReport:
    """Check a pack; `manifest_hash` is the one that its export printed, where it is known.

    Raises EvidencePackError for what is not an evidence pack at all.
    """
    files = unpacked(pack)
    if MANIFEST not in files:
        raise EvidencePackError(f"there is no {MANIFEST}")
    manifest = document_read(MANIFEST, files[MANIFEST])
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise EvidencePackError(f"{MANIFEST} is not that of an evidence pack of format {FORMAT}")
    found_hash = hashlib.sha256(files[MANIFEST]).hexdigest()
    faults = list(_manifest_faults(files, manifest))
    if manifest_hash is not None and manifest_hash != found_hash:
        faults.append(f"{MANIFEST}: its hash is {found_hash}, not the one that was given")
    if packed(files) != pack:
        faults.append("the ZIP file holds something beside its files")
    documents, unreadable = _documents(files)
    faults += unreadable
    faults += _content_faults(documents, manifest)
    return PackReport(found_hash, manifest, len(files), tuple(dict.fromkeys(faults)))


# --- files ----------------------------------------------------------------------------------------------


def _manifest_faults(files: Files, manifest: Document) -> Iterator[str]:
    listed = manifest.get("files")
    if not isinstance(listed, dict):
        yield f"{MANIFEST}: it lists no files"
        return
    present = files.keys() - {MANIFEST}
    yield from (f"{name}: missing" for name in sorted(listed.keys() - present))
    yield from (f"{name}: not in the manifest" for name in sorted(present - listed.keys()))
    for name in sorted(listed.keys() & present):
        if hashlib.sha256(files[name]).hexdigest() != listed[name]:
            yield f"{name}: its hash is not the one in the manifest"


def _documents(files: Files) -> tuple[dict[str, Any], list[str]]:
    documents, faults = {}, []
    for name in sorted(files.keys() - {MANIFEST}):
        try:
            documents[name] = document_read(name, files[name])
        except EvidencePackError as error:
            faults.append(str(error))
    return documents, faults


def _wanted_files(documents: Iterable[str]) -> Iterator[str]:
    folders = {name.rpartition("/")[0] for name in documents if "/" in name}
    yield from EVENT_FILES
    yield from (f"{folder}/{name}" for folder in folders for name in VERSION_FILES)


def _content_faults(documents: Mapping[str, Any], manifest: Document) -> list[str]:
    wanted = set(_wanted_files(documents))
    faults = [f"{name}: missing" for name in sorted(wanted - documents.keys())]
    faults += [f"{name}: unknown" for name in sorted(documents.keys() - wanted)]
    if wanted - documents.keys():
        return faults
    pack = _Pack(documents)
    for name, check in CHECKS.items():
        try:
            faults += check(pack, manifest)
        except MALFORMED as error:
            faults.append(f"{name}: cannot be understood: {error!r}"[:300])
    return faults


# --- contents -------------------------------------------------------------------------------------------


def _event_faults(pack: _Pack, manifest: Document) -> Iterator[str]:
    event, versions = pack["event"], pack.versions
    for name, column in (
        ("event", "id"),
        ("portfolio",) * 2,
        ("proposal_hash",) * 2,
        ("engine_version",) * 2,
    ):
        if manifest.get(name) != event[column]:
            yield f"event.json: {column} is not the {name} of the manifest"
    if not versions:
        yield "versions: the pack holds no version of the proposal"
        return
    if [version.number for version in versions] != list(range(1, event["version"] + 1)):
        yield f"versions: 1 to {event['version']} should be there"
    last = versions[-1]
    if last.about["proposal_hash"] != event["proposal_hash"]:
        yield f"event.json: its proposal is not that of version {last.number}"
    if last.proposal["actions"] != event["actions"]:
        yield f"event.json: its actions are not those of version {last.number}"
    if pack["lots"] != lots_of(event["actions"]):
        yield "lots.json: not the lots of the actions"
    if event["requested_by_id"] is not None and event["requested_by_id"] == event["approved_by_id"]:
        yield "event.json: who asked for it approved it"
    if event["status"] == "completed" and pack["post_state"] is None:
        yield "post_state.json: missing, though the event is completed"


def _version_faults(pack: _Pack, manifest: Document) -> Iterator[str]:
    for version in pack.versions:
        folder, about = f"versions/{version.number:04d}", version.about
        if (about["event_id"], about["version"]) != (pack["event"]["id"], version.number):
            yield f"{folder}/version.json: of another event or version"
        if document_hash(version.inputs, version.proposal) != about["proposal_hash"]:
            yield f"{folder}: the hash of the proposal does not hold"
        try:
            again = canonical_json(proposal_from_inputs(version.inputs))
        except MALFORMED as error:
            yield f"{folder}/inputs.json: no proposal follows from them: {error!r}"[:300]
            continue
        if again != canonical_json(version.proposal):
            yield f"{folder}/proposal.json: does not follow from the inputs{_other_engine(pack)}"


def _other_engine(pack: _Pack) -> str:
    made_by = pack["event"]["engine_version"]
    return "" if made_by == ENGINE_VERSION else f" (made by engine {made_by}, this is {ENGINE_VERSION})"


def _approval_faults(pack: _Pack, manifest: Document) -> Iterator[str]:
    event, versions = pack["event"], {v.about["proposal_hash"]: v for v in pack.versions}
    voices: set[tuple[str, int]] = set()
    for approval in pack["approvals"]:
        name = f"approvals.json: {approval['id']} of {approval['user'] or 'nobody'}"
        version = versions.get(approval["proposal_hash"])
        if approval["event_id"] != event["id"]:
            yield f"{name} is about another event"
        if version is None:
            yield f"{name} binds to no version of the proposal"
            continue
        if approval["maker_id"] != version.about["created_by_id"]:
            yield f"{name} names another maker than version {version.number}"
        if approval["created_at"] < version.about["created_at"]:
            yield f"{name} is older than version {version.number}"
        if approval["user_id"] is None:
            if not approval["is_automatic"]:
                yield f"{name} is of nobody and not automatic"
            continue
        if approval["user_id"] in (approval["maker_id"], version.about["created_by_id"]):
            yield f"{name}: maker is checker"
        if approval["user_id"] == event["requested_by_id"]:
            yield f"{name}: who asked for the event decided about it"
        if (approval["proposal_hash"], approval["user_id"]) in voices:
            yield f"{name} is a second voice of the same person"
        voices.add((approval["proposal_hash"], approval["user_id"]))
    if event["status"] in APPROVED_STATES:
        yield from _quorum_faults(pack)


def _quorum_faults(pack: _Pack) -> Iterator[str]:
    event = pack["event"]
    given = [
        approval
        for approval in pack["approvals"]
        if approval["decision"] == "approved" and approval["proposal_hash"] == event["proposal_hash"]
    ]
    if any(approval["is_automatic"] for approval in given):
        return
    said = [link["after"]["needed"] for link in _said(pack, "needed", event["proposal_hash"])]
    needed = max([1, *said])
    if len(given) < needed:
        yield f"approvals.json: the event is {event['status']} with {len(given)} of {needed} approvals"


def _said(pack: _Pack, name: str, proposal_hash: str | None = None) -> list[Document]:
    """The audit rows that say so, of this proposal where one is given."""
    return [
        link
        for link in pack["audit"]
        if isinstance(link["after"], dict)
        and name in link["after"]
        and (proposal_hash is None or link["after"].get("proposal_hash") == proposal_hash)
    ]


def _order_faults(pack: _Pack, manifest: Document) -> Iterator[str]:
    event, orders = pack["event"], pack["orders"]
    asked = {(action["asset"], action["side"]): Decimal(action["quantity"]) for action in event["actions"]}
    for order in orders:
        name = f"orders.json: {order['client_order_id']}"
        if order["event_id"] != event["id"]:
            yield f"{name} is of another event"
        if asked.get((order["asset_id"], order["side"])) != Decimal(order["quantity"]):
            yield f"{name} is no trade of the proposal"
        booked = [f for f in pack["fills"] if f["order_id"] == order["id"] and not f["is_excess"]]
        filled = sum((Decimal(fill["quantity"]) for fill in booked), NOTHING)
        if filled != Decimal(order["filled_quantity"]):
            yield f"{name}: its fills add up to {filled}, not to {order['filled_quantity']}"
        if filled > Decimal(order["quantity"]):
            yield f"{name}: more was filled than ordered"
        if (order["status"] == "filled") != (filled == Decimal(order["quantity"])):
            yield f"{name} is {order['status']} with {filled} of {order['quantity']}"
    if orders and event["status"] not in APPROVED_STATES:
        yield f"orders.json: there are orders, and the event is {event['status']}"
    if event["status"] == "completed" and len(orders) != len(asked):
        yield f"orders.json: {len(orders)} orders of {len(asked)} trades"


def _fill_faults(pack: _Pack, manifest: Document) -> Iterator[str]:
    orders = {order["id"]: order for order in pack["orders"]}
    lines = {line["id"]: line for line in pack["transactions"]}
    booked: set[int] = set()
    accepted = {
        (link["object_id"], link["after"]["fill"])
        for link in pack["audit"]
        if link["action"] == "order.excess_accepted"
    }
    for fill in pack["fills"]:
        name = f"fills.json: {fill['venue_fill_id']}"
        order = orders.get(fill["order_id"])
        if order is None:
            yield f"{name} is of no order"
            continue
        if fill["is_excess"] and fill["transaction_id"] is None:
            continue
        if fill["is_excess"] and (str(order["id"]), fill["venue_fill_id"]) not in accepted:
            yield f"{name} goes beyond its order and was booked without a decision"
        line = lines.get(fill["transaction_id"])
        if line is None:
            yield f"{name} is not booked"
        elif _filled(fill, order) != _booked(line):
            yield f"{name} is not what transaction {line['id']} books"
        elif line["id"] in booked:
            yield f"{name}: transaction {line['id']} books another fill already"
        else:
            booked.add(line["id"])
    for line in lines.values():
        if line["portfolio_id"] != pack["event"]["portfolio_id"]:
            yield f"transactions.json: {line['id']} is of another portfolio"
        if line["id"] not in booked and line["kind"] in ("buy", "sell"):
            yield f"transactions.json: {line['id']} trades without a fill"


def _filled(fill: Document, order: Document) -> tuple[Any, ...]:
    figures = (fill["quantity"], fill["price"], fill["fee"], fill["tax"])
    return order["asset_id"], order["side"], fill["filled_on"], *map(Decimal, figures)


def _booked(line: Document) -> tuple[Any, ...]:
    figures = (line["quantity"], line["price"], line["fee"], line["tax"])
    return line["asset_id"], line["kind"], line["trade_date"], *map(Decimal, figures)


def _audit_faults(pack: _Pack, manifest: Document) -> Iterator[str]:
    links: Sequence[Document] = pack["audit"]
    for link in links:
        content = {name: link[name] for name in CONTENT}
        if link.keys() != {*CONTENT, "previous_hash", "hash"}:
            yield f"audit.json: row {link['sequence']} has other columns"
        if row_hash(link["previous_hash"], content) != link["hash"]:
            yield f"audit.json: the content of row {link['sequence']} does not match its hash"
    for before, after in pairwise(links):
        if after["sequence"] <= before["sequence"]:
            yield f"audit.json: row {after['sequence']} comes after row {before['sequence']}"
        elif after["sequence"] == before["sequence"] + 1 and after["previous_hash"] != before["hash"]:
            yield f"audit.json: the link of row {after['sequence']} to the row before does not hold"
    about = {(link["object_type"], link["object_id"]) for link in links}
    if ("rebalancing_event", str(pack["event"]["id"])) not in about:
        yield "audit.json: no row tells of the event"
    for version in pack.versions:
        proposed = version.about["proposal_hash"]
        if not any(link["after"]["proposal_hash"] == proposed for link in _said(pack, "proposal_hash")):
            yield f"audit.json: no row tells of version {version.number}"
    states = _said(pack, "post_state_hash")
    if states and states[-1]["after"]["post_state_hash"] != sha256_of(pack["post_state"]):
        yield "post_state.json: not the state that the audit trail tells of"


CHECKS: Mapping[str, Callable[[_Pack, Document], Iterable[str]]] = {
    "event.json": _event_faults,
    "versions": _version_faults,
    "approvals.json": _approval_faults,
    "orders.json": _order_faults,
    "fills.json": _fill_faults,
    "audit.json": _audit_faults,
}

"""Evidence packs: the real way of one event, packed, and every way to tamper with the pack."""

import hashlib
import io
import json
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import transaction

from analytics.models import EventStatus, EventType, RebalancingEvent, RebalancingPolicy
from analytics.services.approvals import event_approve
from analytics.services.evidence_packs import EvidencePackError, pack_check, pack_export
from analytics.services.evidence_packs.zip_files import MANIFEST, document_file, manifest_of, packed, unpacked
from analytics.services.execution.run import event_execute
from analytics.services.rebalancing_events import Trigger, event_propose
from analytics.services.rebalancing_recommendation import rebalancing_recommend
from portfolio_site.kernel.canonical import sha256_of
from portfolios.models import AuditEvent, PortfolioRole
from portfolios.services.audit import GENESIS_HASH, audit_verify, row_hash
from tests.support import factories as make
from tests.support.imports import nothing_written

Documents = dict[str, Any]
Change = Callable[[Documents], object]


def make_executed_event() -> RebalancingEvent:
    """Drifted from 50/50, proposed by one person, approved by another, executed on paper."""
    maker, checker = make.make_user("maker"), make.make_user("checker")
    portfolio = make.make_portfolio("HOME", owner=make.make_user("owner"))
    make.grant(maker, portfolio, PortfolioRole.MAKER)
    make.grant(checker, portfolio, PortfolioRole.CHECKER)
    make.make_transaction(portfolio, amount=Decimal(10_000))
    for symbol, quantity in (("AAA", 70), ("BBB", 25)):
        asset = make.make_asset(symbol)
        make.make_price(asset)
        make.make_transaction(
            portfolio, kind="buy", asset=asset, quantity=quantity, price=100, amount=100 * quantity
        )
        make.make_allocation(portfolio, asset, 50)
    RebalancingPolicy.objects.create(portfolio=portfolio, mode="full", fee_per_trade=1)
    recommendation = rebalancing_recommend(portfolio, make.DAY)
    event = event_propose(recommendation, Trigger(EventType.MANUAL, {}), actor=maker)
    event_approve(event.pk, actor=checker, proposal_hash=event.proposal_hash, note="as discussed")
    return event_execute(event.pk, actor=None)


@dataclass(frozen=True)
class Taken:
    pack: bytes
    documents: Documents
    manifest_hash: str


@pytest.fixture(scope="module")
def taken(django_db_setup: None, django_db_blocker: Any, tmp_path_factory: Any) -> Taken:
    """One pack for all tests that ask no database."""
    path = tmp_path_factory.mktemp("packs") / "pack.zip"
    with django_db_blocker.unblock(), transaction.atomic():
        event = make_executed_event()
        assert event.status == EventStatus.COMPLETED
        exported = pack_export(event.pk, path)
        transaction.set_rollback(True)
    pack = path.read_bytes()
    documents = {name: json.loads(content) for name, content in unpacked(pack).items() if name != MANIFEST}
    return Taken(pack, documents, exported.manifest_hash)


def repacked(taken: Taken, change: Change) -> bytes:
    """The pack as a forger would make it anew who knows how manifests are made."""
    documents = json.loads(json.dumps(taken.documents))
    change(documents)
    files = {name: document_file(document) for name, document in documents.items()}
    about = json.loads(unpacked(taken.pack)[MANIFEST])
    return packed({**files, MANIFEST: manifest_of(files, {**about, "files": None})})


def faults_of(pack: bytes) -> list[str]:
    return list(pack_check(pack).faults)


def test_the_pack_of_an_event_is_sound(taken: Taken) -> None:
    report = pack_check(taken.pack, taken.manifest_hash)
    assert report.faults == ()
    assert (report.files, report.about["portfolio"]) == (13, "HOME")
    assert report.manifest_hash == taken.manifest_hash
    assert len(taken.documents["orders.json"]) == len(taken.documents["fills.json"]) == 2
    assert [row["user"] for row in taken.documents["approvals.json"]] == ["checker"]
    assert {row["action"] for row in taken.documents["audit.json"]} > {
        "rebalancing.completed",
        "order.filled",
    }


def test_a_pack_repacked_without_a_change_is_the_same_bytes(taken: Taken) -> None:
    assert repacked(taken, lambda documents: None) == taken.pack


def set_in(name: str, *path: Any, to: Any) -> Change:
    def change(documents: Documents) -> None:
        place = documents[f"{name}.json"]
        for step in path[:-1]:
            place = place[step]
        place[path[-1]] = to

    return change


def make_maker_checker(documents: Documents) -> None:
    approval = documents["approvals.json"][0]
    approval["user_id"] = approval["maker_id"]


def forge_proposal(documents: Documents) -> None:
    """A proposal of one's own with hashes to match, also in the approval and the event."""
    folder = "versions/0001"
    proposal = documents[f"{folder}/proposal.json"]
    proposal["actions"][0]["quantity"] = "1"
    proposed = sha256_of({"inputs": documents[f"{folder}/inputs.json"], "proposal": proposal})
    documents[f"{folder}/version.json"]["proposal_hash"] = proposed
    documents["event.json"] |= {"actions": proposal["actions"], "proposal_hash": proposed}
    documents["approvals.json"][0]["proposal_hash"] = proposed


def forge_inputs(documents: Documents) -> None:
    documents["versions/0001/inputs.json"]["rules"]["fee_per_trade"] = "nonsense"


def drop_fill(documents: Documents) -> None:
    documents["fills.json"].pop()


def drop_approval(documents: Documents) -> None:
    documents["approvals.json"].clear()


def second_voice(documents: Documents) -> None:
    documents["approvals.json"] *= 2


TAMPERED: dict[str, tuple[Change, str]] = {
    "proposal with hashes to match": (forge_proposal, "versions/0001/proposal.json: does not follow from"),
    "inputs from which nothing follows": (forge_inputs, "inputs.json: no proposal follows from them"),
    "proposal without its hash": (
        set_in("versions/0001/proposal", "cost", to="0"),
        "versions/0001: the hash of the proposal does not hold",
    ),
    "approval of another proposal": (
        set_in("approvals", 0, "proposal_hash", to="f" * 64),
        "binds to no version of the proposal",
    ),
    "maker is checker": (make_maker_checker, "maker is checker"),
    "another maker": (set_in("approvals", 0, "maker_id", to=0), "names another maker than version 1"),
    "an approval before the version": (
        set_in("approvals", 0, "created_at", to="1999-01-01T00:00:00.000000+00:00"),
        "is older than version 1",
    ),
    "no approval": (drop_approval, "the event is completed with 0 of 1 approvals"),
    "two voices of one": (second_voice, "is a second voice of the same person"),
    "a fill too few": (drop_fill, "its fills add up to 0, not to"),
    "a larger fill": (set_in("fills", 0, "quantity", to="999"), "its fills add up to 999, not to"),
    "a fill that is not booked": (set_in("fills", 0, "transaction_id", to=None), "is not booked"),
    "a transaction of another price": (set_in("transactions", 0, "price", to="1"), "is not what transaction"),
    "an order of nobody": (set_in("orders", 0, "asset_id", to=0), "is no trade of the proposal"),
    "an order still open": (set_in("orders", 0, "status", to="sent"), "is sent with"),
    "an audit row retold": (set_in("audit", 0, "actor", to="mallory"), "does not match its hash"),
    "an audit row relinked": (set_in("audit", 1, "previous_hash", to="f" * 64), "does not match its hash"),
    "an audit row left out": (lambda d: d["audit.json"].clear(), "no row tells of the event"),
    "another state after": (set_in("post_state", "forged", to=1), "not the state that the audit trail tells"),
    "other lots": (lambda d: d["lots.json"].append(1), "lots.json: not the lots"),
    "actions of one's own": (set_in("event", "actions", to=[]), "its actions are not those of version 1"),
    "another version": (set_in("event", "version", to=2), "versions: 1 to 2 should be there"),
    "another event": (set_in("event", "id", to=0), "event.json: id is not the event of the manifest"),
    "nonsense": (set_in("approvals", 0, to=7), "approvals.json: cannot be understood"),
    "a missing file": (lambda d: d.pop("lots.json"), "lots.json: missing"),
    "an unknown file": (lambda d: d.update({"notes.json": 1}), "notes.json: unknown"),
    "half a version": (lambda d: d.pop("versions/0001/inputs.json"), "versions/0001/inputs.json: missing"),
}


@pytest.mark.parametrize("name", TAMPERED)
def test_a_pack_made_anew_with_a_lie_is_found_out(taken: Taken, name: str) -> None:
    change, fault = TAMPERED[name]
    found = faults_of(repacked(taken, change))
    assert any(fault in line for line in found), found


def test_only_the_hash_of_the_manifest_shows_a_lie_without_a_contradiction(taken: Taken) -> None:
    forged = repacked(taken, set_in("approvals", 0, "note", to="not discussed"))
    assert faults_of(forged) == []
    (fault,) = pack_check(forged, taken.manifest_hash).faults
    assert "manifest.json: its hash is" in fault


@pytest.mark.parametrize("name", ["event.json", "versions/0001/inputs.json", "audit.json"])
def test_one_changed_byte_names_its_file(taken: Taken, name: str) -> None:
    files = unpacked(taken.pack)
    files[name] = files[name].replace(b'"', b" ", 1)
    assert f"{name}: its hash is not the one in the manifest" in faults_of(packed(files))


def test_files_that_the_manifest_does_not_know_and_those_it_misses_are_named(taken: Taken) -> None:
    files = unpacked(taken.pack)
    files["extra.json"] = files.pop("fills.json")
    assert {"extra.json: not in the manifest", "fills.json: missing"} <= set(faults_of(packed(files)))


def test_a_document_that_is_not_canonical_is_named(taken: Taken) -> None:
    files = {name: content for name, content in unpacked(taken.pack).items() if name != MANIFEST}
    files["lots.json"] += b"\n"
    about = json.loads(unpacked(taken.pack)[MANIFEST])
    forged = packed({**files, MANIFEST: manifest_of(files, about)})
    assert "lots.json: not canonical JSON" in faults_of(forged)


def zip_of(*entries: tuple[str, bytes], **options: Any) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", **options) as pack:
        for name, content in entries:
            pack.writestr(name, content)
    return target.getvalue()


@pytest.mark.parametrize(
    ("pack", "reason"),
    [
        (b"", "not a readable ZIP file"),
        (b"PK\x05\x06 nonsense", "not a readable ZIP file"),
        (zip_of(), "there is no manifest.json"),
        (zip_of(("../event.json", b"{}")), "no file of an evidence pack is called '../event.json'"),
        (zip_of(("/etc/passwd", b"{}")), "is called '/etc/passwd'"),
        (zip_of(("versions/0001/../../a.json", b"{}")), "no file of an evidence pack"),
        (zip_of((MANIFEST, b"[" * 100_000)), "not a JSON document"),
        (zip_of((MANIFEST, b"[]")), "is not that of an evidence pack"),
        (zip_of((MANIFEST, b'{"format":1,"format":2}')), "not canonical JSON"),
        (zip_of((MANIFEST, b"\xff\xfe{}")), "not a JSON document"),
        (zip_of(("a.json", bytes(10**6)), compression=zipfile.ZIP_DEFLATED), "a.json is compressed"),
    ],
)
def test_what_is_no_pack_gets_a_clear_error(pack: bytes, reason: str) -> None:
    with pytest.raises(EvidencePackError) as error:
        pack_check(pack)
    assert reason in str(error.value)


def test_a_file_twice_a_damaged_one_and_junk_are_noticed(taken: Taken) -> None:
    with pytest.warns(UserWarning, match="Duplicate name"):
        twice = zip_of(("a.json", b"1"), ("a.json", b"2"))
    with pytest.raises(EvidencePackError, match=r"a\.json is there twice"):
        pack_check(twice)
    damaged = bytearray(taken.pack)
    damaged[taken.pack.index(b'"approval')] ^= 1
    with pytest.raises(EvidencePackError, match="not a readable ZIP file"):
        pack_check(bytes(damaged))
    assert faults_of(b"junk" + taken.pack) == ["the ZIP file holds something beside its files"]


def test_large_members_are_refused(taken: Taken, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("analytics.services.evidence_packs.zip_files.MAX_FILE_BYTES", 10)
    with pytest.raises(EvidencePackError, match="bytes, too many"):
        pack_check(taken.pack)
    monkeypatch.setattr("analytics.services.evidence_packs.zip_files.MAX_FILES", 3)
    with pytest.raises(EvidencePackError, match="files are too many"):
        pack_check(taken.pack)
    monkeypatch.setattr("analytics.services.evidence_packs.zip_files.MAX_PACK_BYTES", 10)
    with pytest.raises(EvidencePackError, match="too many for an evidence pack"):
        pack_check(taken.pack)


def test_rows_of_the_extract_can_be_hashed_again(taken: Taken) -> None:
    """Also with nothing but the standard library."""
    for row in taken.documents["audit.json"]:
        content = {name: value for name, value in row.items() if name not in ("previous_hash", "hash")}
        text = json.dumps(
            [row["previous_hash"], content], sort_keys=True, separators=(",", ":"), ensure_ascii=False
        )
        assert hashlib.sha256(text.encode()).hexdigest() == row["hash"]
        assert row_hash(GENESIS_HASH, content) != row["hash"] or row["sequence"] == 1


@pytest.mark.django_db
def test_a_second_pack_is_the_same_and_each_is_in_the_audit_trail(tmp_path: Path) -> None:
    event, auditor = make_executed_event(), make.make_auditor("auditor")
    first = pack_export(event.pk, tmp_path / "first.zip", actor=auditor)
    second = pack_export(event.pk, tmp_path / "second.zip", actor=auditor)
    assert (tmp_path / "first.zip").read_bytes() == (tmp_path / "second.zip").read_bytes()
    assert first.manifest_hash == second.manifest_hash
    exported = AuditEvent.objects.filter(action="evidence.exported").order_by("sequence")
    assert [(row.actor, row.object_id, row.portfolio) for row in exported] == [
        ("auditor", str(event.pk), event.portfolio)
    ] * 2
    assert exported[0].after == {
        "file": "first.zip",
        "files": first.files,
        "manifest_hash": first.manifest_hash,
        "pack_hash": hashlib.sha256((tmp_path / "first.zip").read_bytes()).hexdigest(),
    }
    assert audit_verify().is_intact


@pytest.mark.django_db
def test_commands_write_check_and_do_not_overwrite(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    event, path = make_executed_event(), tmp_path / "pack.zip"
    make.make_user("ann")
    call_command("export_evidence_pack", event.pk, path, "--user", "ann", "--format", "json")
    answer = json.loads(capsys.readouterr().out)
    call_command("check_evidence_pack", path, "--manifest-hash", answer["manifest_hash"])
    assert capsys.readouterr().out.startswith(f"sound: event {event.pk} of HOME")
    content = path.read_bytes()
    with nothing_written(), pytest.raises(CommandError, match="exists already"):
        call_command("export_evidence_pack", event.pk, path)
    with nothing_written(), pytest.raises(CommandError, match="cannot be written: No such file"):
        call_command("export_evidence_pack", event.pk, tmp_path / "nowhere" / "pack.zip")
    with nothing_written(), pytest.raises(CommandError, match=f"there is no event {event.pk + 1}"):
        call_command("export_evidence_pack", event.pk + 1, tmp_path / "other.zip")
    assert path.read_bytes() == content
    assert not (tmp_path / "other.zip").exists()
    call_command("export_evidence_pack", event.pk, path, "--force")
    assert path.read_bytes() == content


def test_check_asks_no_database_and_fails_with_the_faults(
    taken: Taken, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without the mark for the database, any query would be an error."""
    path = tmp_path / "pack.zip"
    path.write_bytes(taken.pack)
    call_command("check_evidence_pack", path)
    path.write_bytes(repacked(taken, make_maker_checker))
    with pytest.raises(CommandError, match="faults in") as failed:
        call_command("check_evidence_pack", path)
    assert failed.value.returncode == 1
    assert "maker is checker" in capsys.readouterr().err
    with pytest.raises(CommandError):
        call_command("check_evidence_pack", path, "--format", "json")
    assert json.loads(capsys.readouterr().out)["is_sound"] is False
    with pytest.raises(CommandError, match="cannot be read: No such file"):
        call_command("check_evidence_pack", tmp_path / "missing.zip")

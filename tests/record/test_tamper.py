"""Every way to tamper that we know of is caught, and called by its name."""

import datetime as dt
import hashlib
import json
import shutil
import uuid
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from agent.upstream.centre.authority import Authority, found
from agent.upstream.requests import new_key, request
from provisioning.keys import Hierarchy, Identity, build
from recorder.record import canonical, entries, layout
from recorder.record.checkpoint import Receipt
from recorder.record.journal import Chain
from recorder.record.trust import Authorities
from recorder.record.verify import Outside, verify
from recorder.signing import KeySigner
from tests.record.conftest import copied
from tests.record.record_builder import Builder, rewrite, signed_receipt
from tests.record.tampering import CASES, SEGMENT, Case, flip, other_reason, revocation, unsigned, without_receipts


@pytest.mark.parametrize(("number", "tamper", "code"), CASES, ids=[f"{number}-{tamper.__name__}" for number, tamper, _ in CASES])
def test_tampering_is_caught_and_named(
    number: str,
    tamper: Callable[[Case], None],
    code: str,
    finished: tuple[Builder, list[Receipt]],
    outside: Outside,
    keys: Hierarchy,
    tmp_path: Path,
) -> None:
    del number
    case = Case(copied(finished[0], tmp_path / "copy"), finished[1], outside, keys, tmp_path)
    assert verify(case.root, case.outside).level == "anchored"
    tamper(case)
    verdict = verify(case.root, case.outside)
    assert (verdict.level, verdict.exit_status) == ("broken", 1)
    assert code in {finding.code for finding in verdict.errors}, verdict.errors
    assert all(finding.place and finding.text for finding in verdict.errors)


def test_only_a_ledger_outside_the_room_convicts_who_holds_the_key(
    finished: tuple[Builder, list[Receipt]], outside: Outside, tmp_path: Path
) -> None:
    """Why receipts must be kept elsewhere: with the key, and the receipts deleted, a rewritten record verifies as sealed."""
    builder = copied(finished[0], tmp_path)
    rewrite(builder, lambda fields: without_receipts(other_reason(fields) or {}))
    (builder.root / layout.ANCHORS).unlink()
    assert verify(builder.root, outside).level == "sealed"
    assert verify(builder.root, replace(outside, ledger=tuple(finished[1]))).level == "broken"


def test_damage_is_located(sealed: Builder, outside: Outside) -> None:
    path = sealed.root / SEGMENT
    path.write_bytes(flip(path.read_bytes(), 9000 * 3 + 17))
    verdict = verify(sealed.root, outside)
    found = [finding for finding in verdict.errors if finding.code == "frag_altered"]
    assert [finding.place for finding in found] == [f"{SEGMENT}, bytes 27000 to 36000"]
    assert "fragment 3" in found[0].text
    line = next(
        json.loads(raw)
        for raw in (sealed.root / layout.JOURNAL).read_bytes().splitlines()
        if b'"frag"' in raw and b'"n":3,' in raw and b"cam-judge" in raw
    )
    assert verdict.intact_to == line["seq"] - 1


def test_a_certificate_revoked_after_others_saw_the_end_does_not_spoil_the_record(keys: Hierarchy, tmp_path: Path) -> None:
    builder = Builder(tmp_path, keys)
    builder.record(2)
    builder.close()
    late = builder.receipt(journal=False)
    listed = revocation(keys, dt.datetime.now(dt.UTC) + dt.timedelta(hours=1))
    verdict = verify(builder.root, Outside(authorities=Authorities([keys.root.certificate], [listed])))
    assert (verdict.level, verdict.anchored_to) == ("anchored", late.at)
    assert "revoked_later" in {finding.code for finding in verdict.findings}


def test_a_revocation_list_that_the_issuer_did_not_sign_is_ignored(
    finished: tuple[Builder, list[Receipt]], keys: Hierarchy, outside: Outside
) -> None:
    stranger = build("room-1", dt.datetime.now(dt.UTC))
    listed = revocation(replace(keys, issuing=replace(stranger.issuing, certificate=keys.issuing.certificate)), dt.datetime.now(dt.UTC))
    assert outside.authorities is not None
    verdict = verify(finished[0].root, replace(outside, authorities=Authorities(outside.authorities.roots, [listed])))
    assert verdict.level == "anchored"


def called_as_the_issuer(keys: Hierarchy, count: int) -> list[x509.Certificate]:
    """Certificates that anybody makes, each of which gives its issuer the name of the device's."""
    named, key, now = keys.issuing.certificate.subject, ec.generate_private_key(ec.SECP256R1()), dt.datetime.now(dt.UTC)
    builder = x509.CertificateBuilder().subject_name(named).issuer_name(named).public_key(key.public_key())
    builder = builder.not_valid_before(now - dt.timedelta(days=1)).not_valid_after(now + dt.timedelta(days=1))
    return [builder.serial_number(number).sign(key, hashes.SHA256()) for number in range(1, count + 1)]


def test_a_chain_of_more_certificates_than_any_device_has_is_called_damaged(sealed: Builder, keys: Hierarchy, outside: Outside) -> None:
    with (sealed.root / layout.DEVICE_CHAIN).open("ab") as file:
        for certificate in called_as_the_issuer(keys, 15):
            file.write(certificate.public_bytes(serialization.Encoding.PEM))
    found = [(finding.code, finding.text) for finding in verify(sealed.root, outside).errors if finding.place == layout.DEVICE_CHAIN]
    assert found[0] == ("certificate_damaged", "device-chain.pem holds 17 certificates, and a chain has at most 16")


@pytest.mark.timeout(20)
def test_each_certificate_of_a_chain_is_compared_with_a_revocation_list_once(keys: Hierarchy) -> None:
    many, listed = called_as_the_issuer(keys, 1_000), revocation(keys, dt.datetime.now(dt.UTC))
    authorities = Authorities([keys.root.certificate], [listed])
    assert authorities.revoked(many[0], [*many[1:], keys.issuing.certificate]) is None
    assert authorities.revoked(many[0], [*many[1:], keys.issuing.certificate, keys.device.certificate]) is not None


def test_receipts_that_nobody_vouches_for_anchor_nothing(keys: Hierarchy, tmp_path: Path, outside: Outside) -> None:
    builder = Builder(tmp_path, keys)
    builder.record(2)
    stranger = builder.receipt(build("room-1", dt.datetime.now(dt.UTC)).centre, store=False)
    builder.close()
    verdict = verify(builder.root, replace(outside, ledger=(stranger,)))
    assert (verdict.level, {finding.code for finding in verdict.findings}) == ("sealed", {"ledger_untrusted"})


def test_what_a_key_for_tls_signs_proves_nothing(tmp_path: Path) -> None:
    """The centre's authority vouches for the keys of network-facing processes, too; they sign neither records nor receipts."""
    now = dt.datetime.now(dt.UTC) - dt.timedelta(hours=2)
    root, issuing = found("Republic", now)
    authority, outside = Authority(issuing, root.certificate), Outside(authorities=Authorities([root.certificate]))
    room_key, role_key, notary_key = new_key(), new_key(), new_key()
    request_pem = request(room_key, "room-1")
    transport, signing = authority.transport(request_pem, "room-1", now), authority.signing(request_pem, "room-1", now)
    role = Identity(role_key, authority.role(role_key.public_key(), "case-system", now))
    notary = Identity(notary_key, authority.notary(notary_key.public_key(), "receipts", now))
    levels: dict[tuple[bool, bool], tuple[str, set[str]]] = {}
    for signer in (transport, signing):
        for witness in (role, notary):
            builder = Builder(tmp_path / f"{len(levels)}", build("room-1", now), signer=KeySigner(room_key, [signer, issuing.certificate]))
            builder.record(2)
            receipt = builder.receipt(witness, store=False)
            builder.close()
            verdict = verify(builder.root, replace(outside, ledger=(receipt,)))
            levels[signer is signing, witness is notary] = (verdict.level, {finding.code for finding in verdict.findings})
    assert levels == {
        (False, False): ("broken", {"signer_unknown", "ledger_untrusted"}),
        (False, True): ("broken", {"signer_unknown"}),
        (True, False): ("sealed", {"ledger_untrusted"}),
        (True, True): ("anchored", set()),
    }


@pytest.mark.parametrize("kept", [0.0, 0.5])
def test_an_unsealed_record_that_was_rewritten_without_a_key_proves_nothing(
    keys: Hierarchy, outside: Outside, tmp_path: Path, kept: float
) -> None:
    """A sealed one made unsealed, and its lines written anew: nothing contradicts it, and it is told how far it is signed."""
    builder = Builder(tmp_path, keys)
    builder.record(10)
    builder.pause(12)
    builder.record(10)
    builder.close()
    for name in (layout.SUMS, layout.SUMS_SIGNATURE, layout.MANIFEST):
        (builder.root / name).unlink()
    honest = verify(builder.root, outside)
    lines = (builder.root / layout.JOURNAL).read_bytes().splitlines()
    keep = int(len(lines) * kept)
    rewrite(builder, lambda fields: fields if fields["seq"] < keep else unsigned(other_reason(fields) or {}), reseal=False, sign=False)
    verdict = verify(builder.root, outside)
    assert (honest.level, honest.signer_trusted, honest.findings[0].code) == ("unsealed", True, "seal_unfinished")
    assert f"signed to entry {len(lines) - 2}. Nothing behind entry {len(lines) - 2} is proven" in honest.sentence()
    assert (verdict.level, verdict.exit_status, verdict.errors) == ("unsealed", 3, [])
    assert [finding.code for finding in verdict.findings if finding.severity == "doubt"] == ["unsigned_end"]
    assert verdict.signer_trusted == (verdict.signed_to >= 0) == (keep > 0)
    assert verdict.signed_to < keep
    proven = f"Nothing behind entry {verdict.signed_to} is proven" if keep else "Nothing of it is proven"
    assert proven in verdict.sentence()


def test_a_receipt_that_anybody_may_write_into_the_record_neither_anchors_nor_breaks_it(
    keys: Hierarchy, tmp_path: Path, outside: Outside
) -> None:
    """Receipts are not under the seal; what is foreign or forged there is named, and what is genuine goes on to count."""
    builder = Builder(tmp_path, keys)
    builder.record(2)
    genuine = builder.receipt()
    builder.record(2)
    lookalike = build("room-1", dt.datetime.now(dt.UTC)).centre
    builder.receipt(keys.device)  # whoever has the room's key signs receipts with it
    builder.receipt(lookalike)
    builder.close()
    other = msgspec.structs.replace(genuine, head="0" * 64)
    resigned = signed_receipt(other, lookalike)
    elsewhere = signed_receipt(msgspec.structs.replace(genuine, record=str(uuid.uuid4())), keys.centre)
    room = signed_receipt(msgspec.structs.replace(genuine, room="room-2"), keys.centre)
    with (builder.root / layout.ANCHORS).open("ab") as file:
        for line in (other, resigned, elsewhere, room):
            file.write(canonical.encode(line) + b"\n")
        file.write(b"no receipt\n")
    verdict = verify(builder.root, outside)
    assert (verdict.level, verdict.anchored_to, verdict.errors) == ("anchored", genuine.at, [])
    found = [(finding.code, finding.place.removeprefix("anchors.jsonl, line ")) for finding in verdict.findings]
    assert sorted(found, key=lambda one: int(one[1])) == [
        ("receipt_forged", "2"),
        ("receipt_forged", "3"),
        ("receipt_forged", "4"),
        ("receipt_forged", "5"),
        ("receipt_foreign", "6"),
        ("receipt_foreign", "7"),
        ("receipt_unreadable", "8"),
    ]
    assert all("counts for nothing" in finding.text for finding in verdict.findings if finding.code != "receipt_unreadable")
    unchecked = verify(builder.root)
    assert (unchecked.level, unchecked.errors) == ("signed_only", [])


def test_however_much_is_written_among_the_receipts_those_that_the_journal_names_count(
    sealed: Builder, finished: tuple[Builder, list[Receipt]], outside: Outside
) -> None:
    late = sealed.receipt(journal=False)
    genuine = (sealed.root / layout.ANCHORS).read_bytes()
    long, junk = b"[" + b"0," * 40_000 + b"0]\n", b"".join(b"no receipt %d\n" % number for number in range(3_000))
    (sealed.root / layout.ANCHORS).write_bytes(long + junk + genuine)
    verdict = verify(sealed.root, outside)
    assert (verdict.level, verdict.anchored_to, verdict.errors) == ("anchored", finished[1][-1].at, [])
    assert late.at > finished[1][-1].at, "and what it does not name is not looked for without end"
    found = {finding.code: finding for finding in verdict.findings if not finding.place.endswith("places")}
    assert found.keys() == {"receipt_unreadable", "receipts_unread"}
    assert found["receipts_unread"].place == "anchors.jsonl, line 1001"
    assert [finding.text for finding in verdict.findings if finding.place == "anchors.jsonl, line 1"] == [
        "is no receipt (it has 80003 bytes, and a receipt at most 65536); a crash can tear a line"
    ]
    (sealed.root / layout.ANCHORS).write_bytes(genuine + junk)
    assert verify(sealed.root, outside).anchored_to == late.at


@pytest.mark.parametrize("crash", [False, True])
@pytest.mark.parametrize("name", ["journal-0000.jsonl", "journal-0001.jsonl"])
def test_what_only_looks_like_a_journal_is_no_part_of_a_sealed_record(
    begun: Callable[..., Builder], outside: Outside, name: str, crash: bool
) -> None:
    builder = begun()
    builder.record(3)
    (builder.root / name).write_bytes(b'{"any":"other story"}\n')
    unsealed = verify(builder.root, outside)
    assert ("file_unjournaled", name) in {(finding.code, finding.place) for finding in unsealed.findings}
    if crash:
        builder.recover()
    builder.record(2)
    builder.close()
    verdict = verify(builder.root, outside)
    if crash:  # the recovery has named it among what no entry speaks of
        assert (verdict.level, name in (builder.root / layout.JOURNAL).read_text()) == ("sealed", True)
    else:
        assert [(finding.code, finding.place) for finding in verdict.errors] == [("file_unjournaled", name)]


@pytest.mark.parametrize("field", ["certificate", "sig"])
def test_a_receipt_with_letters_that_no_base64_has_counts_for_nothing(
    sealed: Builder, finished: tuple[Builder, list[Receipt]], outside: Outside, field: str
) -> None:
    odd = msgspec.structs.replace(finished[1][0], **{field: "ё"})
    with (sealed.root / layout.ANCHORS).open("ab") as file:
        file.write(canonical.encode(odd) + b"\n")
    verdict = verify(sealed.root, outside)
    assert (verdict.level, [finding.code for finding in verdict.findings]) == ("anchored", ["receipt_forged"])
    by_ledger = verify(sealed.root, replace(outside, ledger=(odd,)))
    assert (by_ledger.level, {finding.code for finding in by_ledger.findings}) == ("anchored", {"receipt_forged", "ledger_untrusted"})


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [(',"v":1', "", "a field is left out"), ('"v":1', '"v":2', "it is of format 2; known is 1")],
)
def test_a_receipt_of_another_form_is_none(sealed: Builder, outside: Outside, old: str, new: str, why: str) -> None:
    line = (sealed.root / layout.ANCHORS).read_text().splitlines()[-1]
    assert old in line
    with (sealed.root / layout.ANCHORS).open("a") as file:
        file.write(f"{line.replace(old, new)}\n")
    found = [(finding.code, finding.text) for finding in verify(sealed.root, outside).findings]
    assert found == [("receipt_unreadable", f"is no receipt ({why}); a crash can tear a line")]


@pytest.mark.parametrize("name", [layout.ANCHORS, layout.BINDINGS, layout.JOURNAL])
def test_lists_within_lists_are_no_line_of_a_record(sealed: Builder, outside: Outside, name: str) -> None:
    """However many: with some, they can just be read, and not be written again."""
    with (sealed.root / name).open("ab") as file:
        for depth in (33, 400, 600, 800, 950, 1_000, 1_099, 5_000):
            file.write(b"[" * depth + b"]" * depth + b"\n")
    assert verify(sealed.root, outside).level == ("broken" if name == layout.JOURNAL else "anchored")


def test_a_trusted_signers_receipt_of_another_head_breaks_the_record_wherever_it_stands(
    keys: Hierarchy, tmp_path: Path, outside: Outside
) -> None:
    builder = Builder(tmp_path, keys)
    builder.record(2)
    genuine = builder.receipt(store=False)
    builder.record(2)
    builder.close()
    contradicting = signed_receipt(msgspec.structs.replace(genuine, head="0" * 64), keys.centre)
    by_ledger = verify(builder.root, replace(outside, ledger=(contradicting,)))
    (builder.root / layout.ANCHORS).write_bytes(canonical.encode(contradicting) + b"\n")
    for verdict in (by_ledger, verify(builder.root, outside)):
        assert (verdict.level, [finding.code for finding in verdict.errors]) == ("broken", ["head_contradicted"])
    assert verify(builder.root, Outside(ledger=(contradicting,))).level == "broken"
    unchecked = verify(builder.root)
    assert (unchecked.level, [finding.code for finding in unchecked.findings]) == ("signed_only", ["receipt_unchecked"])


def test_the_records_directory_may_be_called_anything_else(
    finished: tuple[Builder, list[Receipt]], outside: Outside, tmp_path: Path
) -> None:
    shutil.copytree(finished[0].root, tmp_path / "case 44")
    assert verify(tmp_path / "case 44", outside).level == "anchored"


def test_a_device_certificate_beside_the_wrong_record_is_named(sealed: Builder, keys: Hierarchy, outside: Outside) -> None:
    (sealed.root / layout.DEVICE_CHAIN).write_bytes(keys.centre.certificate.public_bytes(serialization.Encoding.PEM))
    assert "other_device" in {finding.code for finding in verify(sealed.root, outside).errors}


def test_a_receipt_of_a_line_where_the_genesis_must_stand_is_judged(
    begun: Callable[..., Builder], keys: Hierarchy, outside: Outside
) -> None:
    builder = begun()
    genuine, chain = builder.receipt(store=False), Chain()
    note = entries.Note(author="x", text="y", at_us=0)
    lines = [chain.line(entry, builder.times) for entry in (note, builder.genesis)]
    (builder.root / layout.JOURNAL).write_bytes(b"".join(lines))
    head = hashlib.sha256(lines[0][:-1]).hexdigest()
    receipt = signed_receipt(msgspec.structs.replace(genuine, at=0, head=head), keys.centre)
    (builder.root / layout.ANCHORS).write_bytes(canonical.encode(receipt) + b"\n")
    verdict = verify(builder.root, outside)
    assert (verdict.level, {finding.code for finding in verdict.errors} >= {"genesis"}) == ("broken", True)

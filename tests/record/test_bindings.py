"""Which hearing a sealed record belongs to can be said later, by its own device alone, and nobody unsays it unnoticed."""

import base64
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from typer.testing import CliRunner

from agent.cli import application
from recorder.record import layout
from recorder.record.binding import Binding, binding_line, binding_text
from recorder.record.entries import FIRST_PREV
from recorder.record.verdict import Verdict
from recorder.record.verify import Outside, verify
from tests.record.record_builder import Builder


def bind(builder: Builder, *hearings: str, key: ec.EllipticCurvePrivateKey | None = None, **fields: Any) -> Path:
    """Append bindings to these hearings, one after the other."""
    path, previous = builder.root / layout.BINDINGS, FIRST_PREV
    sums = hashlib.sha256((builder.root / layout.SUMS).read_bytes()).hexdigest()
    record = builder.root.name.rpartition("_")[2]
    for number, hearing in enumerate(hearings, 1):
        binding = Binding(
            record=record, sums_sha256=sums, number=number, previous_sha256=previous, hearing=hearing, case="7599-26", actor="Clerk A.",
            reason="it began without a plan", utc_us=1_800_000_000_000_000,
        )  # fmt: skip
        binding = msgspec.structs.replace(binding, **fields)
        text = binding_text(binding)
        line = binding_line(binding, builder.key.sign(text) if key is None else key.sign(text, ec.ECDSA(hashes.SHA256())))
        previous = hashlib.sha256(line).hexdigest()
        with path.open("ab") as file:
            file.write(line + b"\n")
    return path


def test_the_last_binding_says_the_hearing(sealed: Builder, outside: Outside) -> None:
    bind(sealed, "hearing-8", "hearing-9")
    verdict = verify(sealed.root, outside)
    assert (verdict.level, verdict.hearing, verdict.case) == ("anchored", "hearing-9", "7599-26")
    assert [(given.hearing, given.actor) for given in verdict.bindings] == [("hearing-8", "Clerk A."), ("hearing-9", "Clerk A.")]


def test_who_asks_for_the_hearing_by_name_gets_the_bound_one(sealed: Builder, outside: Outside) -> None:
    bind(sealed, "hearing-9")
    assert verify(sealed.root, Outside(authorities=outside.authorities, hearing="hearing-9")).level == "anchored"
    assert "other_hearing" in codes(verify(sealed.root, Outside(authorities=outside.authorities, hearing="hearing-1")))


def test_the_report_tells_of_a_binding(sealed: Builder) -> None:
    bind(sealed, "hearing-9")
    result = CliRunner().invoke(application("verify"), ["verify", str(sealed.root)])
    assert "Bound after the seal to hearing-9 7599-26 by Clerk A." in result.stdout.replace("\n", " ")


def altered(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"hearing-9", b"hearing-7"))


def first_taken_away(path: Path) -> None:
    path.write_bytes(path.read_bytes().split(b"\n", 1)[1])


def order_changed(path: Path) -> None:
    path.write_bytes(b"\n".join(reversed(path.read_bytes().splitlines())) + b"\n")


def said_twice(path: Path) -> None:
    path.write_bytes(path.read_bytes() * 2)


@pytest.mark.parametrize(
    ("tamper", "code"),
    [
        (altered, "binding_forged"),
        (first_taken_away, "binding_missing"),
        (order_changed, "binding_missing"),
        (said_twice, "binding_missing"),
    ],
)
def test_a_tampered_binding_breaks_the_record(sealed: Builder, outside: Outside, tamper: Callable[[Path], None], code: str) -> None:
    tamper(bind(sealed, "hearing-8", "hearing-9"))
    verdict = verify(sealed.root, outside)
    assert verdict.level == "broken"
    assert code in codes(verdict)


def test_a_binding_by_another_key_is_forged(sealed: Builder, outside: Outside) -> None:
    bind(sealed, "hearing-9", key=ec.generate_private_key(ec.SECP256R1()))
    assert codes(verify(sealed.root, outside)) == {"binding_forged"}


@pytest.mark.parametrize("fields", [{"sums_sha256": "0" * 64}, {"record": "another"}])
def test_a_binding_of_another_seal_or_record_counts_for_nothing(sealed: Builder, outside: Outside, fields: dict[str, Any]) -> None:
    bind(sealed, "hearing-9", **fields)
    verdict = verify(sealed.root, outside)
    assert codes(verdict) == {"binding_foreign"}
    assert verdict.hearing != "hearing-9"


def test_a_line_that_a_power_cut_tore_breaks_nothing(sealed: Builder, outside: Outside) -> None:
    path = bind(sealed, "hearing-9")
    path.write_bytes(path.read_bytes() + path.read_bytes()[:40])
    verdict = verify(sealed.root, outside)
    assert (verdict.level, verdict.hearing) == ("anchored", "hearing-9")
    assert [finding.code for finding in verdict.findings if finding.severity == "doubt"] == ["binding_unreadable"]


def test_a_binding_beside_what_is_not_sealed_is_refused(sealed: Builder, outside: Outside) -> None:
    bind(sealed, "hearing-9")
    (sealed.root / layout.SUMS_SIGNATURE).unlink()
    assert "binding_unsealed" in codes(verify(sealed.root, outside))


def test_the_signature_is_over_what_the_documentation_says(sealed: Builder) -> None:
    line = json.loads(bind(sealed, "hearing-9").read_bytes())
    signature = base64.b64decode(line.pop("sig"))
    unsigned = json.dumps(line | {"sig": ""}, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    text = f"courtroom-binding-v1\n{unsigned}\n".encode()
    key = sealed.key.chain[0].public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    key.verify(signature, text, ec.ECDSA(hashes.SHA256()))


def codes(verdict: Verdict) -> set[str]:
    return {finding.code for finding in verdict.findings if finding.severity == "error"}

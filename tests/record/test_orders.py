"""Level orders beside the seal: in force only when a recipient gave them, and whatever was done to them is named."""

import datetime as dt
import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from provisioning.keys import Hierarchy, Identity, build
from recorder.record import layout
from recorder.record.order import OrderError
from recorder.record.verify import Outside, verify
from tests.record.ordering import END_US, SECRET_US, Ordered, edited, ordered, recipient, signature


@pytest.fixture(scope="module")
def press() -> Identity:
    return build("room-1", dt.datetime.now(dt.UTC)).court


@pytest.fixture(scope="module")
def whole(keys: Hierarchy, press: Identity, tmp_path_factory: pytest.TempPathFactory) -> Ordered:
    """Not to be changed."""
    return ordered(tmp_path_factory.mktemp("ordered"), keys, press)


@pytest.fixture(scope="module")
def two(whole: Ordered, tmp_path_factory: pytest.TempPathFactory) -> Ordered:
    """With two orders: two seconds raised, and the secret part lowered for the press. Not to be changed."""
    it = whole.copied(tmp_path_factory.mktemp("two"))
    it.order(level="secret", from_us=1_000_000, to_us=3_000_000, tracks=("mic-judge",))
    it.order(level="open", from_us=SECRET_US[0], to_us=SECRET_US[1], admitted=(recipient("press", it.press, "open"),))
    return it


@pytest.fixture
def it(two: Ordered, tmp_path: Path) -> Ordered:
    return two.copied(tmp_path)


def test_orders_in_force_are_listed_with_who_what_and_why(two: Ordered, outside: Outside) -> None:
    verdict = verify(two.root, outside)
    assert (verdict.level, verdict.errors) == ("sealed", [])
    first, second = verdict.orders
    assert (first.level, first.tracks, first.from_us, first.to_us) == ("secret", ["mic-judge"], 1_000_000, 3_000_000)
    assert (first.actor, first.order, first.signed_by) == ("Judge", "No 12/3", "court (CN=Court archive)")
    assert (second.level, second.tracks, second.keys) == ("open", [], 2)


def test_the_record_itself_is_the_same_byte_for_byte(whole: Ordered, two: Ordered) -> None:
    assert hashes(two.root) == hashes(whole.root)


def hashes(root: Path) -> dict[str, str]:
    files = (path for path in root.rglob("*") if path.is_file() and layout.ORDERS not in path.relative_to(root).parts)
    return {path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_the_report_and_its_json_show_the_orders(two: Ordered) -> None:
    command = [sys.executable, "-m", "agent.cli", "verify", str(two.root)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={"COLUMNS": "220", "PATH": "/usr/bin:/bin"})
    assert done.returncode == 3, done.stderr
    assert "No 12/3" in done.stdout
    assert "court (CN=Court archive)" in done.stdout
    as_json = subprocess.run([*command, "--json"], capture_output=True, text=True, check=False)
    orders = json.loads(as_json.stdout)["orders"]
    assert [(order["number"], order["level"], order["order"]) for order in orders] == [(1, "secret", "No 12/3"), (2, "open", "No 12/3")]


def test_an_order_s_times_are_whole_on_a_narrow_terminal(two: Ordered) -> None:
    command = [sys.executable, "-m", "agent.cli", "verify", str(two.root)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={"COLUMNS": "80", "PATH": "/usr/bin:/bin"})
    assert "0:00:01.000 to 0:00:03.000" in done.stdout
    assert "mic-judge: secret, by order of Judge, No 12/3" in done.stdout


def test_openssl_verifies_an_order_and_names_its_signer(two: Ordered, tmp_path: Path) -> None:
    place = two.root / layout.order_file(2)
    done = openssl_verify(place, two.root / layout.order_signature_file(2), tmp_path / "signer.pem")
    assert done.returncode == 0, done.stderr
    shown = subprocess.run(
        ["openssl", "x509", "-in", tmp_path / "signer.pem", "-outform", "DER"], capture_output=True, check=True
    ).stdout  # fmt: skip
    named = {one.certificate_sha256 for one in two.builder.genesis.recipients}
    assert hashlib.sha256(shown).hexdigest() in named
    (tmp_path / "other.json").write_bytes(edited(place.read_bytes(), level="closed"))
    assert openssl_verify(tmp_path / "other.json", two.root / layout.order_signature_file(2), tmp_path / "x").returncode != 0


def openssl_verify(content: Path, signed: Path, signer: Path) -> subprocess.CompletedProcess[bytes]:
    command = ["openssl", "cms", "-verify", "-binary", "-inform", "DER", "-in", str(signed), "-content", str(content), "-noverify"]
    return subprocess.run([*command, "-signer", str(signer), "-out", "/dev/null"], capture_output=True, check=False)


def altered(it: Ordered) -> None:
    place = it.root / layout.order_file(1)
    place.write_bytes(edited(place.read_bytes(), to_us=2_000_000))


def altered_and_signed_by_the_same(it: Ordered) -> None:
    """Even a recipient cannot change an order when another follows it."""
    place = it.root / layout.order_file(1)
    it.put(edited(place.read_bytes(), to_us=2_000_000), 1, it.court)


def not_canonical(it: Ordered) -> None:
    place = it.root / layout.order_file(2)
    it.put(place.read_bytes().replace(b":", b": ", 1), 2, it.court)


def first_deleted(it: Ordered) -> None:
    (it.root / layout.order_file(1)).unlink()
    (it.root / layout.order_signature_file(1)).unlink()


def first_deleted_and_second_moved_up(it: Ordered) -> None:
    first_deleted(it)
    for name in (layout.order_file, layout.order_signature_file):
        (it.root / name(2)).rename(it.root / name(1))


def signature_deleted(it: Ordered) -> None:
    (it.root / layout.order_signature_file(2)).unlink()


def signatures_swapped(it: Ordered) -> None:
    one, other = (it.root / layout.order_signature_file(number) for number in (1, 2))
    kept = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(kept)


def by_a_stranger(it: Ordered) -> None:
    it.forge(build("room-1", dt.datetime.now(dt.UTC)).court)


def by_the_press_about_what_it_cannot_open(it: Ordered) -> None:
    """A recipient of what is open makes the court copy what is identity: he must not."""
    shutil.rmtree(it.root / layout.ORDERS)
    it.forge(it.press, level="open", from_us=SECRET_US[0], to_us=SECRET_US[1])


def by_the_press_to_undo_what_the_court_made_secret(it: Ordered) -> None:
    """The press holds the key of the open part of which the court raised two seconds."""
    it.forge(it.press, level="open", tracks=["mic-judge"], from_us=2_500_000, to_us=3_500_000)


def by_the_press_to_undo_it_after_it_was_admitted(it: Ordered) -> None:
    """Who was admitted later stands not above who admitted him."""
    it.order(level="closed", from_us=SECRET_US[0], to_us=SECRET_US[1])
    it.forge(it.press, level="open", from_us=SECRET_US[0], to_us=SECRET_US[1])


def of_another_record(it: Ordered) -> None:
    it.forge(it.court, record="11111111-52a4-4f0e-9c2b-3f6f8f3b9a10")


def of_another_seal(it: Ordered) -> None:
    it.forge(it.court, sums_sha256="1" * 64)


def of_a_gap_in_the_chain(it: Ordered) -> None:
    it.forge(it.court, number=4)


def of_another_chain(it: Ordered) -> None:
    it.forge(it.court, previous_sha256="1" * 64)


def of_a_track_that_is_not_there(it: Ordered) -> None:
    it.forge(it.court, tracks=["cam-window"])


def of_no_interval(it: Ordered) -> None:
    it.forge(it.court, from_us=5, to_us=5)


def wraps_a_key_of_more_than_it_says(it: Ordered) -> None:
    wrapped = (it.root / "keys/cam-judge-01.cms").read_bytes()
    place = it.root / layout.order_key_file(3, "cam-judge", 1)
    place.parent.mkdir()
    place.write_bytes(wrapped)
    key = {"track": "cam-judge", "part": 1, "sha256": hashlib.sha256(wrapped).hexdigest()}
    it.forge(it.court, from_us=SECRET_US[0], to_us=SECRET_US[1] - 1, keys=[key])


def key_altered(it: Ordered) -> None:
    place = it.root / layout.order_key_file(2, "cam-judge", 1)
    place.write_bytes(place.read_bytes()[:-1] + b"\x00")


def key_deleted(it: Ordered) -> None:
    (it.root / layout.order_key_file(2, "cam-judge", 1)).unlink()


def key_added(it: Ordered) -> None:
    shutil.copy(it.root / "keys/cam-judge-00.cms", it.root / layout.order_key_file(2, "cam-judge", 0))


def stray_file(it: Ordered) -> None:
    (it.root / layout.ORDERS / "read me.txt").write_text("He confessed.")


def stray_signature(it: Ordered) -> None:
    shutil.copy(it.root / layout.order_signature_file(2), it.root / layout.order_signature_file(9))


def link(it: Ordered) -> None:
    (it.root / layout.ORDERS / "0003.json").symlink_to("0002.json")


def seal_deleted(it: Ordered) -> None:
    (it.root / layout.SUMS_SIGNATURE).unlink()


def key_of_the_record_swapped(it: Ordered) -> None:
    """The press puts a key that is wrapped to it in place of one that is not, so that its order seems to be one that it may give."""
    shutil.rmtree(it.root / layout.ORDERS)
    shutil.copy(it.root / "keys/cam-judge-00.cms", it.root / "keys/cam-judge-01.cms")
    it.forge(it.press, tracks=["cam-judge"], level="open", from_us=SECRET_US[0], to_us=SECRET_US[1])


CASES: list[tuple[Callable[[Ordered], None], str, str]] = [
    (altered, "order_signature", "orders/0001.json.p7s"),
    (altered_and_signed_by_the_same, "order_chain", "orders/0002.json"),
    (not_canonical, "order_damaged", "orders/0002.json"),
    (first_deleted, "order_missing", "orders/0001.json"),
    (first_deleted_and_second_moved_up, "order_damaged", "orders/0001.json"),
    (signature_deleted, "order_signature", "orders/0002.json.p7s"),
    (signatures_swapped, "order_signature", "orders/0001.json.p7s"),
    (by_a_stranger, "order_signer", "orders/0003.json.p7s"),
    (by_the_press_about_what_it_cannot_open, "order_signer", "orders/0001.json.p7s"),
    (by_the_press_to_undo_what_the_court_made_secret, "order_signer", "orders/0003.json.p7s"),
    (by_the_press_to_undo_it_after_it_was_admitted, "order_signer", "orders/0004.json.p7s"),
    (of_another_record, "order_record", "orders/0003.json"),
    (of_another_seal, "order_record", "orders/0003.json"),
    (of_a_gap_in_the_chain, "order_missing", "orders/0003.json"),
    (of_another_chain, "order_chain", "orders/0003.json"),
    (of_a_track_that_is_not_there, "order_damaged", "orders/0003.json"),
    (of_no_interval, "order_damaged", "orders/0003.json"),
    (wraps_a_key_of_more_than_it_says, "order_key", "orders/0003/cam-judge-01.cms"),
    (key_altered, "order_key", "orders/0002/cam-judge-01.cms"),
    (key_deleted, "order_key", "orders/0002/cam-judge-01.cms"),
    (key_added, "order_stray", "orders/0002/cam-judge-00.cms"),
    (stray_file, "order_stray", "orders/read me.txt"),
    (stray_signature, "order_stray", "orders/0009.json.p7s"),
    (link, "not_a_file", "orders/0003.json"),
    (seal_deleted, "order_unsealed", "orders"),
    (key_of_the_record_swapped, "order_signer", "orders/0001.json.p7s"),
]


@pytest.mark.parametrize(("tamper", "code", "place"), CASES, ids=[tamper.__name__ for tamper, _, _ in CASES])
def test_what_was_done_to_orders_breaks_the_record_and_is_named(
    it: Ordered, outside: Outside, tamper: Callable[[Ordered], None], code: str, place: str
) -> None:
    tamper(it)
    verdict = verify(it.root, outside)
    assert verdict.level == "broken"
    assert (code, place) in {(finding.code, finding.place) for finding in verdict.errors}, verdict.errors
    with pytest.raises(OrderError):  # nor can anybody go on from there
        it.order()


@settings(max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(data=st.data())
def test_no_changed_byte_of_an_order_goes_unnoticed(spare: Ordered, outside: Outside, data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(sorted(path for path in (spare.root / layout.ORDERS).rglob("*") if path.is_file())))
    before = path.read_bytes()
    at = data.draw(st.integers(0, len(before) - 1))
    bit = data.draw(st.integers(0, 7))
    try:
        path.write_bytes(before[:at] + bytes([before[at] ^ 1 << bit]) + before[at + 1 :])
        assert verify(spare.root, outside).level == "broken", (path, at, bit)
    finally:
        path.write_bytes(before)
    assert verify(spare.root, outside).level == "sealed"


@pytest.fixture(scope="module")
def spare(two: Ordered, tmp_path_factory: pytest.TempPathFactory) -> Ordered:
    return two.copied(tmp_path_factory.mktemp("spare"))


def test_a_last_order_that_was_taken_away_cannot_be_noticed(it: Ordered, outside: Outside) -> None:
    """What docs/record-format.md says under what it cannot prove."""
    for path in (layout.order_file(2), layout.order_signature_file(2)):
        (it.root / path).unlink()
    shutil.rmtree(it.root / layout.ORDERS / "0002")
    verdict = verify(it.root, outside)
    assert (verdict.level, [order.number for order in verdict.orders]) == ("sealed", [1])


def test_what_a_crash_leaves_of_an_order_is_a_doubt_and_the_next_order_takes_its_place(it: Ordered, outside: Outside) -> None:
    (it.root / layout.order_file(2)).rename(it.root / (layout.order_file(2) + ".part"))
    verdict = verify(it.root, outside)
    assert verdict.level == "sealed"
    assert {finding.place for finding in verdict.findings if finding.code == "order_unfinished"} == {
        "orders/0002.json.part", "orders/0002.json.p7s", "orders/0002/cam-judge-01.cms", "orders/0002/mic-judge-01.cms",
    }  # fmt: skip
    it.order(level="closed", tracks=("cam-judge",))
    verdict = verify(it.root, outside)
    assert (verdict.level, verdict.findings, [order.level for order in verdict.orders]) == ("sealed", [], ["secret", "closed"])


def test_who_was_admitted_by_an_order_may_give_the_next(it: Ordered, outside: Outside) -> None:
    it.order(it.press, level="closed", from_us=SECRET_US[0], to_us=SECRET_US[1])
    verdict = verify(it.root, outside)
    assert (verdict.level, verdict.orders[2].signed_by) == ("sealed", "press (CN=Court archive)")
    with pytest.raises(OrderError, match="order 1 of 'court'"):
        it.order(it.press, level="open", from_us=0, to_us=SECRET_US[0])
    it.order(level="open", from_us=SECRET_US[0], to_us=SECRET_US[1])  # and the court may undo it
    assert verify(it.root, outside).level == "sealed"


def test_an_order_admits_only_recipients_of_the_record_and_says_whom_not(whole: Ordered, tmp_path: Path) -> None:
    it = whole.copied(tmp_path)
    stranger = recipient("stranger", build("room-1", dt.datetime.now(dt.UTC)).court)
    given = it.order(level="open", admitted=(stranger, recipient("press", it.press, "closed")))
    assert (given.wrapped, given.strangers) == ([], ["stranger"])


def test_a_piece_of_a_part_is_lowered_without_its_key(whole: Ordered, outside: Outside, tmp_path: Path) -> None:
    it = whole.copied(tmp_path)
    given = it.order(level="open", from_us=SECRET_US[0], to_us=SECRET_US[1] - 500_000, admitted=(recipient("press", it.press),))
    assert ([(part.track, part.number) for part in given.pieces], given.wrapped) == ([("cam-judge", 1), ("mic-judge", 1)], [])
    assert verify(it.root, outside).level == "sealed"


@pytest.mark.parametrize(
    ("wish", "said"),
    [
        ({"tracks": ("cam-window",)}, "no track cam-window"),
        ({"from_us": 2, "to_us": 2}, "is none"),
        ({"to_us": END_US + 1}, "ends at 12.000 s"),
        ({"from_us": END_US + 1}, "is none"),
        ({"actor": "e\u0301"}, "normalisation form C"),
    ],
)
def test_what_cannot_be_ordered_is_told_and_leaves_no_file(whole: Ordered, tmp_path: Path, wish: dict[str, Any], said: str) -> None:
    it = whole.copied(tmp_path)
    with pytest.raises(OrderError, match=said):
        it.order(**wish)
    assert list((it.root / layout.ORDERS).glob("*")) == []


def test_an_unsealed_record_and_a_journal_that_is_not_the_seal_s_take_no_order(whole: Ordered, tmp_path: Path) -> None:
    it = whole.copied(tmp_path)
    journal = it.root / layout.JOURNAL
    own = it.builder.genesis.recipients[1].certificate_sha256.encode()
    stranger = build("room-1", dt.datetime.now(dt.UTC)).court
    journal.write_bytes(journal.read_bytes().replace(own, hashlib.sha256(b"me").hexdigest().encode()))
    with pytest.raises(OrderError, match="record is broken"):
        it.order()
    (it.root / layout.SUMS_SIGNATURE).unlink()
    with pytest.raises(OrderError, match="not sealed"):
        it.order()
    with pytest.raises(OrderError, match="those are: court, press"):
        whole.copied(tmp_path / "other").order(stranger)


def test_two_do_not_give_an_order_at_once(whole: Ordered, tmp_path: Path) -> None:
    import fcntl
    import os

    it = whole.copied(tmp_path)
    (it.root / layout.ORDERS).mkdir()
    descriptor = os.open(it.root / layout.ORDERS, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        with pytest.raises(OrderError, match="try again"):
            it.order()
    finally:
        os.close(descriptor)
    it.order()


def test_signatures_of_the_device_s_kind_are_no_recipient_s(it: Ordered, keys: Hierarchy, outside: Outside) -> None:
    """The device may sign the seal, and no order."""
    from recorder.seal import cms_signature
    from tests.record.record_builder import signer_of

    place = it.root / layout.order_file(2)
    (it.root / layout.order_signature_file(2)).write_bytes(cms_signature(place.read_bytes(), signer_of(keys.device)))
    assert "order_signer" in {finding.code for finding in verify(it.root, outside).errors}


def test_a_recipient_s_signature_is_no_seal(it: Ordered, outside: Outside) -> None:
    shutil.rmtree(it.root / layout.ORDERS)
    (it.root / layout.SUMS_SIGNATURE).write_bytes(signature((it.root / layout.SUMS).read_bytes(), it.court))
    assert "seal_signature" in {finding.code for finding in verify(it.root, outside).errors}

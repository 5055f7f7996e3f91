import dataclasses
import time
from collections.abc import Callable

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from agent.archive.acknowledgement import AcknowledgementError, check_for, place, sign, store
from agent.archive.offer import sealed_files, sums_sha256
from agent.archive.retention import DELETING, Held, RetentionError, choose, delete, finish, look, survey
from agent.upstream.transfer import Acknowledgement
from provisioning.keys import Hierarchy, Identity
from recorder.record import layout
from recorder.record.trust import Authorities
from tests.record.record_builder import Builder

DAY_US = 86_400_000_000
NOW_US = 1000 * DAY_US
Make = Callable[..., Builder]


def held(number: int, size: int, acknowledged_us: int | None) -> Held:
    return Held(name=f"r{number}", record=str(number), sums_sha256="", bytes=size, acknowledged_utc_us=acknowledged_us)


@given(
    records=st.lists(st.tuples(st.integers(0, 10**12), st.one_of(st.none(), st.integers(0, NOW_US))), max_size=30),
    keep_days=st.floats(0, 900),
    need_bytes=st.integers(0, 10**13),
)
def test_only_acknowledged_aged_records_go_oldest_first_and_no_more_than_needed(
    records: list[tuple[int, int | None]], keep_days: float, need_bytes: int
) -> None:
    all_held = [held(number, size, at) for number, (size, at) in enumerate(records)]
    chosen = choose(all_held, now_us=NOW_US, keep_days=keep_days, need_bytes=need_bytes)
    ages = [one.acknowledged_utc_us for one in chosen]
    assert None not in ages
    assert all(NOW_US - at >= keep_days * DAY_US for at in ages if at is not None)
    may = [one for one in all_held if one.acknowledged_utc_us is not None and NOW_US - one.acknowledged_utc_us >= keep_days * DAY_US]
    left = [one.acknowledged_utc_us for one in may if one not in chosen]
    assert all(old <= young for old in ages for young in left if old is not None and young is not None)
    assert sum(one.bytes for one in chosen[:-1]) < need_bytes or not chosen
    assert sum(one.bytes for one in chosen) >= need_bytes or len(chosen) == len(may)


def acknowledged(builder: Builder, signer: Identity, **other: object) -> Acknowledgement:
    sizes = sealed_files(builder.root)
    bare = Acknowledgement(
        record=str(builder.record_id), room="room-1", sums_sha256=sums_sha256(builder.root), bytes=sum(sizes.values()), files=len(sizes),
        verdict="sealed", counter=1, utc_us=time.time_ns() // 1000, by="Centre", sig="", certificate="",
    )  # fmt: skip
    assert isinstance(signer.key, ec.EllipticCurvePrivateKey)
    return sign(msgspec.structs.replace(bare, **other), signer.key, signer.certificate)


def test_a_record_goes_by_a_valid_acknowledgement_which_stays(make_record: Make, keys: Hierarchy, authorities: Authorities) -> None:
    builder = make_record()
    records = builder.root.parent
    assert [one.acknowledged_utc_us for one in survey(records, authorities)] == [None]
    store(builder.root, acknowledged(builder, keys.centre))
    (found,) = survey(records, authorities)
    assert choose([found], now_us=time.time_ns() // 1000, keep_days=1, need_bytes=1) == []
    (chosen,) = choose([found], now_us=time.time_ns() // 1000 + 2 * DAY_US, keep_days=1, need_bytes=1)
    assert delete(records, chosen, authorities) == found.bytes
    assert [path.name for path in records.iterdir()] == [place(builder.root).name]


@pytest.mark.parametrize(
    ("signer", "other", "why"),
    [
        ("device", {}, "signed by a room"),
        ("tsa", {}, "not for signing documents"),
        ("centre", {"verdict": "broken"}, "'broken'"),
        ("centre", {"sums_sha256": "0" * 64}, "SHA256SUMS"),
        ("centre", {"record": "another"}, "record another"),
        ("centre", {"room": "room-2"}, "room room-2"),
        ("centre", {"files": 3}, "send it again"),
        ("centre", {"utc_us": time.time_ns() // 1000 + DAY_US}, "in the future"),
        ("centre", {"utc_us": 1}, "was not valid on"),
    ],
)
def test_what_proves_nothing_is_told_and_deletes_nothing(
    make_record: Make, keys: Hierarchy, authorities: Authorities, signer: str, other: dict[str, object], why: str
) -> None:
    builder = make_record()
    store(builder.root, acknowledged(builder, getattr(keys, signer), **other))
    found = look(builder.root, authorities)
    assert found.acknowledged_utc_us is None
    assert why in found.why
    with pytest.raises(RetentionError, match=builder.root.name):
        delete(builder.root.parent, dataclasses.replace(found, acknowledged_utc_us=1), authorities)
    assert (builder.root / layout.SUMS).exists()


def test_an_altered_acknowledgement_and_a_stranger_are_refused(make_record: Make, keys: Hierarchy, authorities: Authorities) -> None:
    builder = make_record()
    good = acknowledged(builder, keys.centre)
    check_for(builder.root, good, authorities)
    with pytest.raises(AcknowledgementError, match="signature does not hold"):
        check_for(builder.root, msgspec.structs.replace(good, counter=2), authorities)
    with pytest.raises(AcknowledgementError, match="vouches"):
        check_for(builder.root, good, Authorities([keys.issuing.certificate]))


def test_what_came_after_the_acknowledgement_keeps_the_record(make_record: Make, keys: Hierarchy, authorities: Authorities) -> None:
    builder = make_record()
    store(builder.root, acknowledged(builder, keys.centre))
    chosen = look(builder.root, authorities)
    assert chosen.acknowledged_utc_us is not None
    (builder.root / layout.ANCHORS).write_bytes(b"")
    with pytest.raises(RetentionError, match="send it again"):
        delete(builder.root.parent, chosen, authorities)


def test_a_deletion_that_a_crash_interrupted_is_finished(make_record: Make) -> None:
    builder = make_record()
    records = builder.root.parent
    (records / DELETING).mkdir()
    builder.root.rename(records / DELETING / builder.root.name)
    finish(records)
    finish(records)
    assert list(records.iterdir()) == []

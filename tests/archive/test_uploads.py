"""Records sent by a process to a centre that is one, with either storage, each killed in the middle."""

import asyncio
import hashlib
import json
import re
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent.archive import acknowledgement
from agent.archive.acknowledgement import check_for, load, place
from agent.archive.offer import make_offer
from agent.upstream.centre.record_check import RecordCheckError, check_record, most_s_of
from agent.upstream.centre.s3_storage import KEPT_TAG, REFUSED_TAG, S3Settings, S3Storage
from agent.upstream.centre.storage import LostError, Target
from agent.upstream.centre.turns import Turns
from agent.upstream.centre.uploads import REFUSED_DAYS
from agent.upstream.transfer import PART_BYTES
from recorder.record import layout
from recorder.record.trust import Authorities
from tests.archive.conftest import Site, lines_until
from tests.archive.rooms_centre import made
from tests.archive.seaweed import Seaweed
from tests.record.record_builder import Builder

CAP_BYTES_S = 20e6
"""Slow enough that a process can be killed in the middle."""
SLOWLY = pytest.mark.parametrize("both", ["directory", pytest.param("s3", marks=pytest.mark.long)], indirect=True)
"""With the directory each time, with S3 among the long tests."""
Make = Callable[..., Builder]


def tamper(record: Path) -> Path:
    """Change media, and the list of hashes alike."""
    segment = next((record / layout.TRACKS).glob("mic-judge/seg-*.m4s"))
    media = segment.read_bytes()
    before = hashlib.sha256(media).hexdigest()
    segment.write_bytes(media[:-1] + bytes([media[-1] ^ 1]))
    after = hashlib.sha256(segment.read_bytes()).hexdigest()
    sums = record / layout.SUMS
    sums.write_text(sums.read_text().replace(before, after))
    return segment


def sent(line: str) -> int:
    done = line.split(maxsplit=1)[0]
    return int(done) if done.isdigit() else -1


def finish(process: subprocess.Popen[str]) -> list[str]:
    said = lines_until(process, lambda line: line.startswith(("acknowledged", "stopped")))
    assert process.wait(30) == 0, said
    return said


def parts_put(site: Site) -> list[str]:
    return [line for line in site.log if line.startswith("PUT part")]


@pytest.fixture(params=["directory", "s3"])
def both(request: pytest.FixtureRequest, site: Site) -> Site:
    """A site with each of the storages."""
    if request.param == "s3":
        site.s3 = request.getfixturevalue("seaweed").settings
    return site


def test_a_record_is_sent_verified_and_acknowledged(both: Site, make_record: Make, authorities: Authorities) -> None:
    record = make_record(big=True).root
    both.centre()
    said = finish(both.room(record))
    assert said[-1] == "acknowledged", said
    total = sum(file.len for file in make_offer(record).files)
    assert said[-2] == f"{total} {total}"
    ack = load(place(record))
    check_for(record, ack, authorities)
    assert (ack.bytes, ack.verdict, ack.by) == (total, "sealed", "Centre")
    assert not place(record).is_relative_to(record)
    # The same record again is known: nothing but the offer is said.
    both.log.clear()
    before = len(both.log)
    assert finish(both.room(record))[-1] == "acknowledged"
    assert both.log[before:] == ["POST /v1/uploads"]


def test_a_room_killed_in_the_middle_sends_nothing_again_that_was_noted(site: Site, make_record: Make) -> None:
    record = make_record(big=True).root
    site.centre()
    room = site.room(record, CAP_BYTES_S)
    half = sum(file.len for file in make_offer(record).files) // 2
    lines_until(room, lambda line: sent(line) > half)
    room.kill()
    room.wait()
    said = finish(site.room(record))
    assert said[-1] == "acknowledged", said
    assert sent(said[0]) > half, said
    # Tags are the same for the same part: what was put twice was not noted yet when the room was killed.
    put = parts_put(site)
    assert len(put) - len(set(put)) <= 8


@SLOWLY
def test_a_centre_killed_in_the_middle_is_waited_for(both: Site, make_record: Make) -> None:
    record = make_record(big=True).root
    centre = both.centre()
    room = both.room(record, CAP_BYTES_S)
    half = sum(file.len for file in make_offer(record).files) // 2
    lines_until(room, lambda line: sent(line) > half)
    centre.kill()
    centre.wait()
    assert lines_until(room, lambda line: line.startswith("trouble"))
    both.centre()
    assert finish(room)[-1] == "acknowledged"
    put = parts_put(both)
    assert len(put) - len(set(put)) <= 8


@pytest.mark.long
def test_a_storage_killed_in_the_middle_is_waited_for(site: Site, seaweed: Seaweed, make_record: Make) -> None:
    record = make_record(big=True).root
    site.s3 = seaweed.settings
    site.centre()
    room = site.room(record, CAP_BYTES_S)
    half = sum(file.len for file in make_offer(record).files) // 2
    lines_until(room, lambda line: sent(line) > half)
    seaweed.kill()
    assert lines_until(room, lambda line: line.startswith("trouble"))
    seaweed.start()
    assert finish(room)[-1] == "acknowledged"


def test_a_file_changed_on_the_disk_while_it_is_sent_stops_the_upload(both: Site, make_record: Make) -> None:
    record = make_record(big=True).root
    both.centre()
    room = both.room(record, CAP_BYTES_S)
    assert lines_until(room, bool)  # the first parts are on their way; the last one is not read yet
    last = max((record / layout.TRACKS).glob("cam-judge/seg-*.m4s"))
    with last.open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"\x00")
    said = finish(room)[-1]
    assert said.startswith("stopped"), said
    assert last.name in said
    # Read first as a whole, or as a part: a race.
    assert re.search("was changed (on the disk since it was offered|after the seal)", said), said
    assert not place(record).exists()


def test_a_record_that_its_sums_contradict_is_not_even_offered(site: Site, make_record: Make) -> None:
    record = make_record().root
    with (record / layout.JOURNAL).open("ab") as file:
        file.write(b"{}\n")
    site.centre()
    assert "is not what SHA256SUMS says" in finish(site.room(record))[-1]
    assert "POST /v1/uploads" not in site.log


def test_a_good_copy_is_delivered_after_a_failing_disks(site: Site, make_record: Make) -> None:
    """What the archive has of the first copy belongs to parts that the good one does not have."""
    record = make_record(big=True).root
    large = next(file for file in make_offer(record).files if len(file.parts) > 1)
    with (record / large.path).open("r+b") as file:
        good = file.read(16)
        file.seek(0)
        file.write(b"\x00" * 16)
    site.centre()
    assert f"{large.path} is not what SHA256SUMS says" in finish(site.room(record))[-1]
    assert "POST /v1/uploads" in site.log
    with (record / large.path).open("r+b") as file:
        file.write(good)
    assert finish(site.room(record))[-1].startswith("acknowledged")


@SLOWLY
def test_a_tampered_record_is_refused_with_the_verdict(both: Site, make_record: Make) -> None:
    """Someone who has the disk changes media and the list alike, so that the room notices nothing."""
    record = make_record().root
    segment = tamper(record)
    both.centre()
    said = finish(both.room(record))[-1]
    assert said.startswith("stopped the archive refuses"), said
    assert "BROKEN" in said
    assert segment.name in said
    assert not place(record).exists()


def test_the_acknowledgement_says_that_a_stretch_was_signed_too_late(site: Site, make_record: Make, authorities: Authorities) -> None:
    record = make_record(unsigned_s=12).root
    site.centre()
    assert finish(site.room(record))[-1] == "acknowledged"
    ack = load(place(record))
    check_for(record, ack, authorities)
    assert ack.verdict == "sealed in part"


def test_a_receipt_that_comes_later_sends_that_alone(site: Site, make_record: Make, authorities: Authorities) -> None:
    builder = make_record(big=True)
    record = builder.root
    site.centre()
    assert finish(site.room(record))[-1] == "acknowledged"
    first, before = load(place(record)), len(parts_put(site))
    builder.receipt(journal=False)
    with (record / layout.ANCHORS).open("ab") as file:
        file.write(b"{torn")
    assert finish(site.room(record))[-1] == "acknowledged"
    assert len(parts_put(site)) == before + 1
    second = load(place(record))
    check_for(record, second, authorities)
    assert (second.files, second.counter) == (first.files + 1, first.counter + 1)
    assert (first.verdict, second.verdict) == ("sealed", "anchored")
    assert (first.sums_sha256, first.files_sha256 == second.files_sha256) == (second.sums_sha256, False)


def test_parts_that_the_storage_lost_are_sent_again(site: Site, make_record: Make) -> None:
    """The centre is stopped before its verification and a stored file is damaged on its disk."""
    record = make_record(big=True).root
    centre = site.centre()
    room = site.room(record, CAP_BYTES_S)
    lines_until(room, lambda line: sent(line) > 0)
    centre.kill()
    centre.wait()
    room.kill()
    stored = next(path for path in (site.home / "storage").rglob("device-chain.pem"))
    stored.chmod(0o600)
    stored.write_bytes(b"x" * stored.stat().st_size)
    site.centre()
    said = finish(site.room(record))
    assert said[-1] == "acknowledged", said


def test_s3_takes_no_other_bytes_and_locks_what_was_acknowledged(site: Site, seaweed: Seaweed, make_record: Make) -> None:
    site.s3 = seaweed.settings
    record = make_record().root
    site.centre()
    assert finish(site.room(record))[-1] == "acknowledged"
    storage = S3Storage(S3Settings(**seaweed.settings))
    try:
        upload = next(line.split("/")[3] for line in site.log if line.endswith("/addresses"))
        listed = storage._client.list_object_versions(Bucket="records", Prefix=f"room-1/{record.name}/{upload}/")["Versions"]
        assert len(listed) == len(make_offer(record).files)
        with pytest.raises(storage._client.exceptions.ClientError, match="AccessDenied"):
            storage._client.delete_object(Bucket="records", Key=listed[0]["Key"], VersionId=listed[0]["VersionId"])
    finally:
        storage.close()


async def test_s3_refuses_a_part_with_other_bytes(seaweed: Seaweed) -> None:
    storage = S3Storage(S3Settings(**seaweed.settings))
    try:
        await storage.check()
        target = Target("room-1/x/y/file", "", PART_BYTES + 5000)
        target = target._replace(handle=await storage.begin(target))
        data = b"a" * 5000
        place = await storage.address(target, 2, hashlib.sha256(data).hexdigest())

        def put(body: bytes, headers: dict[str, str]) -> int:
            request = urllib.request.Request(place.url, data=body, method="PUT", headers=headers)  # noqa: S310 - our own
            try:
                with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310 - our own
                    return int(answer.status)
            except urllib.error.HTTPError as error:
                error.close()
                return error.code

        assert put(b"b" * 5000, place.headers) == 400
        other = {"x-amz-checksum-sha256": "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="}
        assert put(b"", other) == 403
        assert put(data, {}) == 403
        longer = await storage.address(target, 2, hashlib.sha256(data + b"a").hexdigest())
        first, place = place, longer
        assert put(data + b"a", longer.headers) == 403
        place = first
        assert put(data, place.headers) == 200
    finally:
        storage.close()


async def test_no_more_is_read_back_from_s3_than_was_offered(seaweed: Seaweed, tmp_path: Path) -> None:
    storage = S3Storage(S3Settings(**seaweed.settings))
    try:
        storage._client.put_object(Bucket="records", Key="room-1/x/z/file", Body=b"a" * 5001)
        with pytest.raises(LostError, match="more than its 5000 bytes"):
            await storage.fetch(Target("room-1/x/z/file", "whole", 5000), tmp_path / "file")
        await storage.fetch(Target("room-1/x/z/file", "whole", 5001), tmp_path / "whole")
        assert (tmp_path / "whole").read_bytes() == b"a" * 5001
    finally:
        storage.close()


def in_bucket(both: Site, root: Path) -> set[str]:
    """The keys of a record's files, where the storage is a bucket."""
    if both.s3 is None:
        return set()
    storage = S3Storage(S3Settings(**both.s3))
    try:
        found = storage._client.list_objects_v2(Bucket="records", Prefix=f"room-1/{root.name}/")
        return {each["Key"] for each in found.get("Contents", [])}
    finally:
        storage.close()


def test_what_a_refused_record_left_in_the_storage_goes_after_some_days(both: Site, make_record: Make) -> None:
    good, record = make_record().root, make_record().root
    before = {root: in_bucket(both, root) for root in (good, record)}  # records of others have the same names
    tamper(record)
    centre = both.centre()
    assert finish(both.room(good))[-1] == "acknowledged"
    assert finish(both.room(record))[-1].startswith("stopped the archive refuses")
    centre.kill()
    centre.wait()
    settings = json.loads((both.home / "centre.json").read_text())

    async def discarded(days: float) -> int:
        uploads, _ = made(settings)
        await uploads.start()
        try:
            return await uploads.discard(time.time_ns() // 1000 + int(days * 86_400e6))
        finally:
            await uploads.stop()

    assert asyncio.run(discarded(REFUSED_DAYS - 1)) == 0
    assert asyncio.run(discarded(REFUSED_DAYS + 1)) == len(make_offer(record).files)
    assert asyncio.run(discarded(REFUSED_DAYS + 1)) == 0
    if both.s3 is None:
        records = both.home / "storage" / "records"
        left = {path.relative_to(records).parts[1] for path in records.rglob("*") if path.is_file()}
        assert left == {good.name}
        return
    storage = S3Storage(S3Settings(**both.s3))
    try:
        for root, expected in ((good, [KEPT_TAG]), (record, [REFUSED_TAG])):
            keys = in_bucket(both, root) - before[root]
            assert keys
            tags = {key: storage._client.get_object_tagging(Bucket="records", Key=key)["TagSet"] for key in keys}
            assert tags == dict.fromkeys(tags, expected)
    finally:
        storage.close()


@pytest.mark.parametrize(("limit", "word"), [({"most_s": 0.01}, "longer than"), ({"memory_bytes": 64 * 1024**2}, "status 1")])
async def test_a_verification_has_a_limit_of_time_and_memory(
    make_record: Make, authorities: Authorities, limit: dict[str, Any], word: str
) -> None:
    record = make_record().root
    with pytest.raises(RecordCheckError, match=word):
        await check_record(record, authorities, [], **limit)
    assert (await check_record(record, authorities, [], most_s=most_s_of(1))).verdict == "sealed"


async def test_rooms_take_turns() -> None:
    """One room has many records, each of which takes long; the others are next all the same."""
    turns, done, may_go = Turns(), list[str](), asyncio.Event()

    async def work(room: str, name: str) -> None:
        async with turns.of(room):
            await may_go.wait()
            done.append(name)

    names = ["a0", "a1", "a2", "b0", "c0", "d0", "b1"]
    tasks = {name: asyncio.create_task(work(name[0], name)) for name in names}
    await asyncio.sleep(0)
    tasks.pop("d0").cancel()  # it waits for its turn
    may_go.set()
    await asyncio.gather(*tasks.values())
    assert done == ["a0", "a1", "b0", "c0", "a2", "b1"]
    await asyncio.wait_for(work("d", "d1"), 1)


def test_an_acknowledgement_replaces_the_one_before_whole(tmp_path: Path) -> None:
    target = tmp_path / "x.ack.json"
    acknowledgement.write_durably(target, b"1")
    acknowledgement.write_durably(target, b"2")
    assert target.read_bytes() == b"2"
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["x.ack.json"]

"""What does not belong into a record and lies there before its seal: it is called what it is, and keeps no record from its seal."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from recorder.record import entries, layout
from recorder.record.verify import Outside, verify
from recorder.seal import cms_signature
from tests.record.record_builder import Builder

Put = Callable[[Path], None]


def put(name: str | bytes) -> Put:
    def write(record: Path) -> None:
        path = record / os.fsdecode(name)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x")

    return write


def link(record: Path) -> None:
    (record.parent / "elsewhere").write_bytes(b"secret")
    (record / "tracks/link").symlink_to(record.parent / "elsewhere")


def pipe(record: Path) -> None:
    os.mkfifo(record / "tracks/pipe")


def directory(name: str) -> Put:
    return lambda record: (record / name).mkdir(parents=True)


def found(begun: Callable[..., Builder], outside: Outside, put: Put, *, crash: bool) -> tuple[str, list[tuple[str, str]]]:
    builder = begun()
    builder.record(3)
    put(builder.root)
    if crash:
        builder.recover()
    builder.record(2)
    builder.close()
    verdict = verify(builder.root, outside)
    return verdict.level, [(finding.code, finding.severity) for finding in verdict.findings]


@pytest.mark.parametrize("crash", [False, True])
@pytest.mark.parametrize(
    "name",
    [
        "keys/cam-judge-07.cms.part",
        "tracks/cam-judge/init-09.mp4.part",
        "tracks/cam-judge/seg-000044.m4s.part",
        "device-chain.pem.part",
        "journal-0002.jsonl.part",
    ],
)
def test_what_was_left_half_written_belongs_to_nothing(begun: Callable[..., Builder], outside: Outside, name: str, crash: bool) -> None:
    level, findings = found(begun, outside, put(name), crash=crash)
    # The chain is written again under this name at the seal, and that takes it away.
    assert (level, findings) == ("sealed", [] if name.startswith(layout.DEVICE_CHAIN) else [("leftover", "note")])


def test_what_was_left_half_written_is_not_read(begun: Callable[..., Builder], outside: Outside) -> None:
    """It may be as long as somebody likes, on a disk that cannot read it, or gone by now."""
    builder = begun()
    builder.record(3)
    builder.close()
    without = verify(builder.root, outside)
    put("tracks/cam-judge/seg-000044.m4s.part")(builder.root)
    os.truncate(builder.root / "tracks/cam-judge/seg-000044.m4s.part", 10_000_000)
    verdict = verify(builder.root, outside)
    assert [(finding.code, finding.severity) for finding in verdict.findings] == [("leftover", "note")]
    assert (verdict.level, verdict.files, verdict.bytes_read) == ("sealed", without.files + 1, without.bytes_read)


@pytest.mark.parametrize("named_by", ["the list", "a recovery"])
def test_what_names_a_half_written_file_as_one_of_the_record_contradicts_itself(
    begun: Callable[..., Builder], outside: Outside, named_by: str
) -> None:
    builder, name = begun(), "keys/cam-judge-07.cms.part"
    builder.record(3)
    put(name)(builder.root)
    if named_by == "a recovery":
        other = entries.ByteRange(file=name, off=0, len=1, sha256="0" * 64)
        builder.entry(
            entries.Recovered(
                last=builder.ledger.head.at, boot="boot-1", same_boot=True, torn=[other], damaged=[], from_us=builder.t_us,
                to_us=builder.t_us, origin_mono_us=builder.origin_mono_us,
            )
        )  # fmt: skip
    builder.close()
    if named_by == "the list":
        listed = [*(builder.root / layout.SUMS).read_text().splitlines(), f"{'0' * 64}  {name}"]
        sums = "".join(f"{line}\n" for line in sorted(listed, key=lambda line: line[66:])).encode()
        (builder.root / layout.SUMS).write_bytes(sums)
        (builder.root / layout.SUMS_SIGNATURE).write_bytes(cms_signature(sums, builder.key))
    code = "file_altered" if named_by == "a recovery" else "file_unjournaled"
    assert [(finding.code, finding.place) for finding in verify(builder.root, outside).errors] == [(code, name)]


@pytest.mark.parametrize("crash", [False, True])
@pytest.mark.parametrize(
    ("put", "code"),
    [
        (put("tracks/two\nlines"), "file_odd"),
        (put(b"tracks/\xff\xfe"), "file_odd"),
        (put("tracks/e\u0301"), "file_odd"),
        (link, "not_a_file"),
        (pipe, "not_a_file"),
        (directory("tracks/cam-judge/seg-000044.m4s"), "not_a_file"),
        (directory("orders/0001.json"), "not_a_file"),
        (put("orders/0001.json"), "order_damaged"),
    ],
)
def test_what_somebody_put_there_is_called_so_and_nothing_else(
    begun: Callable[..., Builder], outside: Outside, put: Put, code: str, crash: bool
) -> None:
    assert found(begun, outside, put, crash=crash) == ("broken", [(code, "error")])


@pytest.mark.parametrize("sealed", [False, True])
@pytest.mark.parametrize("name", ["journal-0002.jsonl", "journal.jsonl.part"])
def test_a_directory_with_the_name_of_a_journal_is_told(begun: Callable[..., Builder], outside: Outside, name: str, sealed: bool) -> None:
    builder = begun()
    builder.record(3)
    if sealed:
        builder.close()
    directory(name)(builder.root)
    verdict = verify(builder.root, outside)
    assert (verdict.level, [(finding.code, finding.place) for finding in verdict.findings]) == ("broken", [("not_a_file", name)])


def test_a_directory_in_place_of_the_journal_makes_no_record_and_is_told(tmp_path: Path) -> None:
    directory("journal.jsonl")(tmp_path)
    verdict = verify(tmp_path)
    assert (verdict.level, [finding.code for finding in verdict.findings]) == ("not_a_record", ["not_a_file", "no_journal"])


@pytest.mark.parametrize("name", ["tracks/cam-judge/film.part", "keys/anything.part"])
def test_only_files_of_a_record_are_left_half_written(begun: Callable[..., Builder], outside: Outside, name: str) -> None:
    assert found(begun, outside, put(name), crash=True) == ("sealed", []), "the recovery names it"
    assert found(begun, outside, put(name), crash=False) == ("broken", [("file_unjournaled", "error")])
    builder = begun()
    builder.record(3)
    builder.close()
    put(name)(builder.root)
    assert {finding.code for finding in verify(builder.root, outside).errors} == {"file_unlisted"}

import json
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recorder.record import canonical, entries
from recorder.record.canonical import MAX_INTEGER, NotCanonicalError
from recorder.record.entries import Entry
from recorder.record.journal import (
    BEFORE_FIRST,
    MAX_LINE_BYTES,
    Chain,
    Head,
    JournalError,
    Times,
    read_line,
    read_line_fast,
    writable,
)

texts = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=20)
numbers = st.integers(0, 2**53 - 1)
made_entries: st.SearchStrategy[Entry] = st.one_of(
    st.builds(entries.Note, author=texts, text=texts, at_us=numbers),
    st.builds(
        entries.Frag, track=texts, part=numbers, seg=numbers, n=numbers, off=numbers, len=numbers, sha256=texts, t0=numbers, dur=numbers
    ),
    st.builds(entries.Event, source=texts, name=texts, track=texts, data=st.dictionaries(texts, st.one_of(texts, numbers), max_size=3)),
    st.builds(entries.Pause, state=st.just("off_record"), actor=texts, reason=texts, order=texts, from_us=numbers),
)


def answer(read: object, raw: bytes, head: Head) -> tuple[str, object]:
    """What a reader says of a line, in a form that can be compared."""
    assert callable(read)
    try:
        line, entry, new = read(raw, head)
    except JournalError as error:
        return error.kind, str(error)
    names = type(entry).__struct_fields__
    common = {name: getattr(line, name) for name in ("v", "seq", "prev", "mono_us", "utc_us", "t_us")}
    return "line", (common, {name: getattr(entry, name) for name in names if name not in common}, new)


@settings(max_examples=200)
@given(entry=made_entries, mono_us=numbers)
def test_a_written_line_is_read_back_by_both_readers(entry: Entry, mono_us: int) -> None:
    chain = Chain()
    try:
        raw = chain.line(entry, Times(mono_us, 1, 2))[:-1]
    except ValueError:
        return  # text that is not in form C has no line
    said = answer(read_line, raw, BEFORE_FIRST)
    assert said[0] == "line"
    assert answer(read_line_fast, raw, BEFORE_FIRST) == said


@settings(max_examples=400)
@given(data=st.data())
def test_the_fast_reader_says_of_any_line_what_the_slow_one_says(data: st.DataObject) -> None:
    chain = Chain()
    raw = chain.line(entries.Note(author="Гүлнар", text="ескерту", at_us=5), Times(1, 2, 3))[:-1]
    at = data.draw(st.integers(0, len(raw)))
    end = data.draw(st.integers(at, min(len(raw), at + 3)))
    changed = raw[:at] + data.draw(st.binary(max_size=3)) + raw[end:]
    assert answer(read_line_fast, changed, BEFORE_FIRST) == answer(read_line, changed, BEFORE_FIRST)


@pytest.mark.parametrize(
    ("old", "new", "kind"),
    [
        (b'"at_us":5', b'"at_us":5.0', "not_canonical"),
        (b'"at_us":5', b'"at_us":9007199254740992', "not_canonical"),
        (b'"at_us":5', b'"at_us":-9007199254740992', "not_canonical"),
        (b'"at_us":5', b'"at_us": 5', "not_canonical"),
        (b'"at_us":5', b'"at_us":5,"at_us":5', "not_canonical"),
        (b'"text":"x"', b'"text":"\\u0078"', "not_canonical"),
        (b'"text":"x"', '"text":"e\u0301"'.encode(), "not_canonical"),
        (b'"text":"x"', b'"text":' + b"[" * 32 + b"]" * 32, "not_canonical"),
        (b'"text":"x"', b'"text":' + b"[" * 31 + b"]" * 31, "fields"),
        (b'"text":"x"', b'"text":"x","tier":1', "fields"),
        (b'"text":"x",', b"", "fields"),
        (b'"type":"note"', b'"type":"verdict"', "fields"),
        (b'"v":1', b'"v":2', "version"),
        (b'"seq":0', b'"seq":1', "sequence"),
        (b'"prev":"00', b'"prev":"01', "chain"),
    ],
)
def test_a_line_in_any_other_form_is_refused(old: bytes, new: bytes, kind: str) -> None:
    raw = Chain().line(entries.Note(author="a", text="x", at_us=5), Times(1, 2, 3))[:-1]
    assert old in raw
    changed = raw.replace(old, new)
    assert answer(read_line, changed, BEFORE_FIRST)[0] == kind
    assert answer(read_line_fast, changed, BEFORE_FIRST)[0] == kind


CLOCK = entries.ClockState(source="kernel")
BYTES = entries.ByteRange(file="f", off=0, len=1, sha256="0")
WHOLE: list[Entry] = [
    entries.Init(track="t", part=0, file="f", len=0, sha256="0", kind="audio", codec="flac", timescale=1),
    entries.Genesis(
        record="r", hearing="h", case="c", title="t", court="c", room="r", actor="a", start_token="", previous_head="0",
        device_certificate_sha256="0", boot="b", agent_version="1", config_sha256="0", origin_mono_us=0, clock=CLOCK,
        sources=[entries.Source(id="i", driver="d", address="a")], recipients=[entries.Recipient(name="n", certificate_sha256="0")],
        media="clear",
    ),
    entries.Clock(clock=CLOCK),
    entries.Recovered(
        last=0, boot="b", same_boot=True, torn=[BYTES], damaged=[BYTES], from_us=0, to_us=None, origin_mono_us=0
    ),
    entries.Seal(
        reason="r", actor="a", duration_us=0, paused_us={}, mirror="none",
        tracks=[entries.TrackTotal(track="t", bytes=0, fragments=0, segments=0, sha256="0")],
    ),
]  # fmt: skip


def objects(value: object) -> Iterator[dict[str, object]]:
    """An object, and those within it."""
    if isinstance(value, dict):
        yield value
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from objects(item)


@pytest.mark.parametrize("entry", WHOLE, ids=lambda entry: str(entry.__struct_config__.tag))
def test_every_field_of_a_line_and_of_what_is_within_it_is_there_and_no_other_is(entry: Entry) -> None:
    def said(line: bytes) -> set[str]:
        return {answer(read, line, BEFORE_FIRST)[0] for read in (read_line, read_line_fast)}

    raw = Chain().line(entry, Times(1, 2, 3))[:-1]
    assert said(raw) == {"line"}
    for number, whole in enumerate(objects(json.loads(raw))):
        for name in whole:
            fields = json.loads(raw)
            del list(objects(fields))[number][name]
            assert said(canonical.encode(fields)) == {"fields"}, (name, whole)
        if whole:  # but for the sums of a seal's pauses, which may have any name
            fields = json.loads(raw)
            list(objects(fields))[number]["tier"] = 1
            assert said(canonical.encode(fields)) == {"fields"}, whole


def test_a_line_can_be_checked_by_anyone_who_reads_json() -> None:
    import hashlib

    chain = Chain()
    first = chain.line(entries.Note(author="a", text="x", at_us=5), Times(1, 2, 3))
    second = chain.line(entries.Note(author="a", text="y", at_us=6), Times(1, 2, 3))
    assert json.loads(first)["prev"] == "0" * 64
    assert json.loads(second)["prev"] == hashlib.sha256(first.rstrip(b"\n")).hexdigest()


def test_what_no_reader_would_take_is_refused_where_it_is_said() -> None:
    note = entries.Note(author="Clerk", text="x" * (MAX_LINE_BYTES - 2_000), at_us=MAX_INTEGER)
    raw = Chain().line(writable(note), Times(MAX_INTEGER, MAX_INTEGER, MAX_INTEGER))
    assert read_line(raw[:-1], BEFORE_FIRST)[1] == note
    with pytest.raises(NotCanonicalError, match="no reader takes"):
        writable(entries.Note(author="Clerk", text="x" * (MAX_LINE_BYTES - 200), at_us=1))

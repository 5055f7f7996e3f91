"""A readable copy for tests: invented media, listed and signed as ``courtroom copy`` does."""

from pathlib import Path

import msgspec

from provisioning.keys import Identity
from recorder.copy_files import sign
from recorder.copy_story import Story
from recorder.readable import Choice, Copied, Reader
from recorder.record.verdict import Verdict
from tests.record.record_builder import Builder


def readable_copy(out: Path, builder: Builder, verdict: Verdict, by: Identity | None) -> Path:
    """Make a copy of a record that has this verdict."""
    (out / "tracks/mic-judge").mkdir(parents=True)
    (out / "tracks/mic-judge/seg-000000.m4s").write_bytes(b"sound")
    (out / "index.html").write_text("page", encoding="utf-8")
    story = Story(msgspec.structs.replace(builder.genesis))
    reader = None if by is None else Reader(by.key, by.certificate)  # type: ignore[arg-type]
    sign(out, story, Choice(), reader, Copied(), verdict, ["RECORD", "OUT"])
    return out

import hashlib
import tempfile
from pathlib import Path
from random import Random

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st

from recorder import copies
from recorder.checkpointer import checkpoint
from recorder.copies import _line_hash, chain_end, longer, whole_chain
from recorder.record import canonical, entries, layout
from recorder.record.journal import Chain, Head, Times
from recorder.recovery import chain_of
from recorder.seal import read_journal
from tests.recorder.committing import NAME, signer, trust
from tests.recorder.power_cut import Files, lay, stored
from tests.recorder.test_recovery import recording


def journals(*, failed_sync: bool) -> Files:
    before, log, _ = recording(failed_sync=failed_sync)
    return Files({path: file.full for path, file in stored(before, log, len(log.operations)).items() if path.startswith("journal")})


@settings(max_examples=150)
@given(seed=st.integers(0, 2**32), failed_sync=st.booleans())
def test_the_copy_with_the_longer_chain_is_found_by_the_ends_as_by_the_whole(seed: int, failed_sync: bool) -> None:
    chance = Random(seed)
    with tempfile.TemporaryDirectory() as base:
        roots = []
        for disk in ("one", "other"):
            files = journals(failed_sync=failed_sync)
            last = layout.journal_file(len(files))
            end = chance.randint(1, len(files[last]))
            files[last] = files[last][:end] + chance.choice([b"", b"\0\0", b'{"seq":', b"\n", b"x\ny"])
            if chance.random() < 0.5:  # a disk that lied about its cache lost a page
                hole = chance.randint(0, len(files[last]))
                page = bytes(min(512, len(files[last]) - hole))
                files[last] = files[last][:hole] + page + files[last][hole + len(page) :]
            root = Path(base, disk, NAME)
            lay(root, files)
            roots.append(root)
            at = chain_end(root)
            assert at is None or at.head == chain_of(root)[-1]
            assert at is None or _line_hash(root, at.place) == at.head.sha256
        lengths = [len(chain_of(root)) for root in roots]
        assert len(chain_of(longer(roots[0], roots[1]))) == max(lengths)


def test_long_copies_are_told_apart_without_being_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copies, "whole_chain", lambda *_: pytest.fail("the whole journal is read"))
    files = journals(failed_sync=False)
    lay(tmp_path / "one" / NAME, files)
    lines = files["journal.jsonl"].splitlines(keepends=True)
    lay(tmp_path / "other" / NAME, {"journal.jsonl": b"".join(lines[:-3]) + lines[-3][:40]})
    assert longer(tmp_path / "one" / NAME, tmp_path / "other" / NAME).parent.name == "one"
    assert longer(tmp_path / "other" / NAME, tmp_path / "one" / NAME).parent.name == "one"


def test_a_journal_in_more_files_than_calls_may_stand_in_each_other_has_its_end(tmp_path: Path) -> None:
    """A disk that fails again and again: each time the journal goes on in a further file."""
    files = journals(failed_sync=False)
    first, *lines = files["journal.jsonl"].splitlines(keepends=True)
    root = tmp_path / NAME
    lay(root, {"journal.jsonl": first} | {layout.journal_file(number): lines[0] for number in range(2, 1500)})
    (root / layout.journal_file(1500)).write_bytes(b"".join(lines))
    end = chain_end(root)
    assert end is not None
    assert (end.head, end.place.number) == (chain_of(root)[-1], 1500)


def test_copies_that_differ_are_read_whole_and_the_longer_is_taken(tmp_path: Path) -> None:
    files = journals(failed_sync=False)
    lines = files["journal.jsonl"].splitlines(keepends=True)
    lay(tmp_path / "one" / NAME, files)
    fork = [*lines[:10], lines[10].replace(b'"mono_us":', b'"mono_us":1', 1)]
    lay(tmp_path / "other" / NAME, {"journal.jsonl": b"".join(fork)})
    assert len(chain_of(tmp_path / "other" / NAME)) == 11
    assert longer(tmp_path / "other" / NAME, tmp_path / "one" / NAME).parent.name == "one"


def forged_behind(lines: list[bytes], count: int) -> bytes:
    """The lines, and behind them as many as somebody likes who has the disk, and no key."""
    line = canonical.decode(lines[-1].removesuffix(b"\n"))
    chain = Chain(Head(line["seq"], hashlib.sha256(lines[-1].removesuffix(b"\n")).hexdigest()))
    note = entries.Note(author="clerk", text="said nothing", at_us=0)
    return b"".join(lines) + b"".join(chain.line(note, Times(line["mono_us"], line["utc_us"], line["t_us"])) for _ in range(count))


def test_the_copy_that_is_signed_further_goes_on_however_many_lines_the_other_has(tmp_path: Path) -> None:
    files = journals(failed_sync=False)
    lines = files["journal.jsonl"].splitlines(keepends=True)
    signed = [at for at, line in enumerate(lines) if b'"type":"ckpt"' in line]
    lay(tmp_path / "one" / NAME, files)
    lay(tmp_path / "other" / NAME, {"journal.jsonl": forged_behind(lines[: signed[0] + 1], 2 * len(lines))})
    one, other = tmp_path / "one" / NAME, tmp_path / "other" / NAME
    for primary, mirror in ((one, other), (other, one)):
        told: list[str] = []
        assert longer(primary, mirror, trust().key, told.append) == one
        assert [(str(one) in words, str(other) in words) for words in told] == [(True, True)]


def test_a_checkpoint_that_somebody_else_signed_or_that_is_of_another_record_counts_for_nothing(tmp_path: Path) -> None:
    files = journals(failed_sync=False)
    lay(tmp_path / "one" / NAME, files)
    assert whole_chain(tmp_path / "one" / NAME, trust().key).signed_to > 0
    assert whole_chain(tmp_path / "one" / NAME, ec.generate_private_key(ec.SECP256R1()).public_key()).signed_to == -1
    chain, times = Chain(), Times(1, 1, 1)
    genesis = next(entry for _, entry in read_journal(tmp_path / "one" / NAME) if isinstance(entry, entries.Genesis))
    data = chain.line(genesis, times)
    data += chain.line(checkpoint(signer(), "00000000-0000-0000-0000-000000000000", chain.head), times)
    lay(tmp_path / "other" / NAME, {"journal.jsonl": data})
    assert whole_chain(tmp_path / "other" / NAME, trust().key).signed_to == -1


def test_copies_of_which_one_is_the_beginning_of_the_other_are_no_alarm(tmp_path: Path) -> None:
    files = journals(failed_sync=False)
    lines = files["journal.jsonl"].splitlines(keepends=True)
    lay(tmp_path / "one" / NAME, files)
    lay(tmp_path / "other" / NAME, {"journal.jsonl": b"".join(lines[:-3])})
    assert longer(tmp_path / "other" / NAME, tmp_path / "one" / NAME, trust().key, pytest.fail).parent.name == "one"


def test_the_whole_copy_goes_on_and_not_the_one_that_lost_a_page_and_ends_later(tmp_path: Path) -> None:
    files = journals(failed_sync=False)
    whole = files["journal.jsonl"]
    hole = len(whole) // 2
    lines = whole.splitlines(keepends=True)
    lay(tmp_path / "one" / NAME, {"journal.jsonl": whole[:hole] + bytes(512) + whole[hole + 512 :]})
    lay(tmp_path / "other" / NAME, {"journal.jsonl": b"".join(lines[:-2])})
    assert longer(tmp_path / "one" / NAME, tmp_path / "other" / NAME).parent.name == "other"
    assert longer(tmp_path / "other" / NAME, tmp_path / "one" / NAME).parent.name == "other"

import errno
import functools
import tempfile
from pathlib import Path
from random import Random

from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from recorder.record import layout
from recorder.recovery import read_left
from recorder.seal import seal
from tests.recorder.committing import NAME, Writer, bytes_of, judged, signer
from tests.recorder.power_cut import Files, Log, fates, lay, logged, stored


def problems(root: Path) -> list[str]:
    return [f"{finding.severity} {finding.code} {finding.place}: {finding.text}" for finding in judged(root).findings]


@functools.cache
def recording(*, failed_sync: bool) -> tuple[Files, Log, int]:
    """A whole session: what was there before its first write, and all that was asked of the disk."""
    with tempfile.TemporaryDirectory() as base, logged() as log:
        writer = Writer(Path(base))
        writer.record(5, per_segment=3)
        if failed_sync:
            writer.disk.refuse = lambda _operation, what, path: errno.EIO if (what, path) == ("sync", layout.JOURNAL) else 0
            writer.fragment()
            writer.flush()
            writer.disk.refuse = lambda *_: 0
        writer.part += 1
        writer.begin_parts()
        writer.record(4, per_segment=3)
        before = Files({layout.DEVICE_CHAIN: (writer.root / layout.DEVICE_CHAIN).read_bytes()})
        writer.seal()
    return before, log, writer.t_us


def writer_behind(root: Path, t_us: int) -> Writer:
    """A new recorder for a record that is there already."""
    writer = Writer(root.parent.parent / "unused")
    writer.flush()
    writer.committer.close()
    writer.t_us, writer.n = t_us, 100
    writer.reports.clear()
    return writer


def assert_kept(before: Files, root: Path) -> None:
    after = bytes_of(root)
    assert before.keys() <= after.keys()
    assert [path for path, data in before.items() if not after[path].startswith(data)] == []


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(failed_sync=st.booleans(), cuts=st.lists(st.integers(0, 2**32), min_size=1, max_size=3))
def test_a_power_cut_at_any_byte_of_any_file_is_told_and_the_record_goes_on(failed_sync: bool, cuts: list[int]) -> None:
    before, log, t_us = recording(failed_sync=failed_sync)
    for cut, seed in enumerate(cuts):
        chance = Random(seed)  # a recovery's rounds are not the same in each run, so that nothing can be drawn from them
        with tempfile.TemporaryDirectory() as base, logged() as next_log:
            root = Path(base, f"{cut}", NAME)
            moment = chance.randint(0, len(log.operations))
            before = fates(stored(before, log, moment), chance)
            note(f"cut {cut} at operation {moment} leaves {before}")
            lay(root, before)
            level = judged(root).level
            left = read_left(root)
            if left is None:
                assert level == "not_a_record"
                return
            assert level == "unsealed", problems(root)
            assert not left.damaged
            if left.sealed:
                seal(root, signer(), None)
                assert judged(root).level == "sealed", problems(root)
                assert_kept(before, root)
                return
            writer = writer_behind(root, t_us)
            del next_log.operations[:]
            writer.take_up(root)
            writer.record(2, per_segment=3)
            writer.part += 1
            writer.begin_parts()
            writer.flush()
            writer.record(1)
            assert_kept(before, root)
            assert judged(root).level == "unsealed", problems(root)
            writer.seal()
            assert judged(root).level == "sealed", problems(root)
            assert_kept(before, root)
            log, t_us = next_log, writer.t_us

"""A simulated room: its loudspeakers are heard by its microphones 300 ms later, by another clock, while somebody speaks in it."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.vks.spoken import voice
from tests.vks.stoi import stoi
from vks.echo import EchoCanceller
from vks.mixing import BLOCK, RATE_HZ

DELAY_S, DRIFT = 0.3, 50e-6
FAR_ALONE_S, BOTH_S = 12, 10
SETTLED_S = 6
FAR = (
    "The court is now in session. Please rise and state your name for the record. The witness was at home on the evening of the fourth of "
    "May and saw nobody."
)
NEAR = "I object, your honour. My client never signed this contract, and the expert has not examined the original of the document."
pytestmark = pytest.mark.lab

Samples = npt.NDArray[np.float64]


def in_the_room(far: Samples) -> Samples:
    """What the microphones hear of the loudspeakers: reflected, late, and by a clock that drifts."""
    rng = np.random.default_rng(9)
    reflections = rng.standard_normal(4_800) * np.exp(-np.arange(4_800) / 900)
    reflected = np.convolve(far, 0.5 * reflections / np.linalg.norm(reflections))[: far.size]
    heard_at = np.arange(far.size) * (1 - DRIFT) - DELAY_S * RATE_HZ
    heard: Samples = np.interp(heard_at, np.arange(far.size), reflected, left=0.0)
    return heard


@pytest.fixture(scope="module")
def cleaned(tmp_path_factory: pytest.TempPathFactory) -> tuple[Samples, Samples, Samples]:
    """What the microphones heard, what was sent of it, and what was said in the room."""
    seconds, folder = FAR_ALONE_S + BOTH_S, tmp_path_factory.mktemp("voices")
    far, near = voice(FAR, "en-us", seconds, folder), voice(NEAR, "en+f3", seconds, folder)
    near[: FAR_ALONE_S * RATE_HZ] = 0
    microphone = np.clip(in_the_room(far) + near, -32_768, 32_767).astype(np.int16)
    played = np.clip(far, -32_768, 32_767).astype(np.int16)
    echo = EchoCanceller()
    sent = [echo.clean(microphone[at : at + BLOCK], played[at : at + BLOCK]) for at in range(0, microphone.size, BLOCK)]
    # What is sent is one block late.
    return microphone.astype(np.float64), np.concatenate([*sent[1:], np.zeros(BLOCK, np.int16)]).astype(np.float64), near


def test_participants_do_not_hear_themselves(cleaned: tuple[Samples, Samples, Samples]) -> None:
    microphone, sent, _ = cleaned
    alone = slice(SETTLED_S * RATE_HZ, FAR_ALONE_S * RATE_HZ)
    erle_db = 10 * np.log10(np.mean(microphone[alone] ** 2) / np.mean(sent[alone] ** 2 + 1e-9))
    assert erle_db >= 30


def test_who_speaks_in_the_room_meanwhile_is_understood(cleaned: tuple[Samples, Samples, Samples]) -> None:
    microphone, sent, near = cleaned
    both = slice((FAR_ALONE_S + 1) * RATE_HZ, near.size - RATE_HZ)
    understood = stoi(near[both], sent[both], RATE_HZ)
    assert understood >= stoi(near[both], microphone[both], RATE_HZ)
    assert understood >= 0.95


def test_where_nothing_is_played_the_sound_is_as_it_was(tmp_path: Path) -> None:
    near = voice(NEAR, "en+f3", 4, tmp_path).astype(np.int16)
    echo = EchoCanceller()
    sent = np.concatenate([echo.clean(near[at : at + BLOCK], None) for at in range(0, near.size, BLOCK)])[BLOCK:]
    assert np.max(np.abs(sent.astype(np.int32) - near[: sent.size])) <= 1


@given(st.lists(st.tuples(st.sampled_from([0, 1, 100, 32_767]), st.sampled_from([None, 0, 1, 32_767])), max_size=60))
def test_whatever_is_heard_and_played_the_sound_stays_sound(levels: list[tuple[int, int | None]]) -> None:
    echo, rng = EchoCanceller(), np.random.default_rng(1)
    for heard, played in levels:
        block = rng.integers(-heard, heard + 1, BLOCK).astype(np.int16)
        out = echo.clean(block, None if played is None else rng.integers(-played, played + 1, BLOCK).astype(np.int16))
        assert out.dtype == np.int16
        assert out.size == BLOCK

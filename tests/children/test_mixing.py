import numpy as np
import numpy.typing as npt
from hypothesis import given, settings
from hypothesis import strategies as st

from recorder.children.mixing import BLOCK, BLOCK_US, LATE_US, Limiter, Mixer

START_US = 1_000_000_000


def mix(mixer: Mixer, limiter: Limiter, blocks: int, sounds: dict[str, npt.NDArray[np.int16]]) -> npt.NDArray[np.int16]:
    out = []
    for n in range(blocks):
        at_us = START_US + n * BLOCK_US
        for track, sound in sounds.items():
            mixer.add(track, at_us, sound[n * BLOCK : (n + 1) * BLOCK])
        for mono_us, block in mixer.take(at_us + BLOCK_US):
            out.append(limiter.push(mono_us, block))
    out.append(limiter.flush())
    return np.concatenate([block for _, block in filter(None, out)])


def noise(seed: int, blocks: int, peak: int) -> npt.NDArray[np.int16]:
    return np.random.default_rng(seed).integers(-peak, peak, blocks * BLOCK, endpoint=True).astype(np.int16)


@given(st.integers(0, 99), st.integers(1, 32767))
@settings(max_examples=25)
def test_one_source_alone_comes_out_bit_for_bit(seed: int, peak: int) -> None:
    sound = noise(seed, 8, peak)
    assert (mix(Mixer({"a": 0.0}), Limiter(), 8, {"a": sound}) == sound).all()


def test_silence_in_is_silence_out() -> None:
    silence = np.zeros(10 * BLOCK, np.int16)
    assert not mix(Mixer({"a": 0.0, "b": 20.0}), Limiter(), 10, {"a": silence, "b": silence}).any()


@given(seed=st.integers(0, 99), gains=st.lists(st.floats(-60, 20), min_size=2, max_size=6))
@settings(max_examples=25)
def test_the_mix_never_clips_however_loud_its_sources(seed: int, gains: list[float]) -> None:
    blocks = 10
    sounds = {f"m{n}": noise(seed + n, blocks, 32767) for n in range(len(gains))}
    exact = np.sum([sounds[f"m{n}"] * 10 ** (gain / 20) for n, gain in enumerate(gains)], axis=0)
    limited = mix(Mixer({f"m{n}": gain for n, gain in enumerate(gains)}), Limiter(), blocks, sounds)
    loud = np.abs(exact) > 32768
    assert (np.abs(limited[loud]).astype(int) <= 32767).all()
    factors = limited[np.abs(exact) > 1000] / exact[np.abs(exact) > 1000]
    assert (factors > 0).all(), "a sample changed its sign: it wrapped"
    assert (factors <= 1.001).all()


def test_a_quiet_passage_after_a_shout_comes_back_to_its_level() -> None:
    shout, quiet = noise(1, 5, 32767), noise(2, 200, 3000)
    sound = np.concatenate([shout, quiet])
    out = mix(Mixer({"a": 0.0, "b": 0.0}), Limiter(), 205, {"a": sound, "b": sound})
    assert (out[-BLOCK:] == 2 * quiet[-BLOCK:]).all()


def test_sources_are_aligned_by_their_capture_time_not_by_their_arrival() -> None:
    mixer = Mixer({"a": 0.0, "b": 0.0})
    click = np.zeros(BLOCK, np.int16)
    click[480] = 1000
    mixer.add("a", START_US, click)
    mixer.add("a", START_US + BLOCK_US, np.zeros(BLOCK, np.int16))
    shifted = np.zeros(BLOCK, np.int16)
    shifted[0] = 1000
    mixer.add("b", START_US + 10_000, shifted)
    ((mono_us, block),) = mixer.take(START_US + BLOCK_US)
    assert mono_us == START_US
    assert block[480] == 2000


def test_a_source_that_died_is_not_waited_for_and_its_return_is_mixed_again() -> None:
    mixer = Mixer({"a": 0.0, "b": 0.0})
    one = np.ones(BLOCK, np.int16)
    taken = []
    for n in range(100):
        mixer.add("a", START_US + n * BLOCK_US, one)
        if n < 10 or n >= 60:
            mixer.add("b", START_US + n * BLOCK_US, one)
        taken += mixer.take(START_US + (n + 1) * BLOCK_US)
    taken += mixer.take(START_US + 100 * BLOCK_US + LATE_US)
    assert [mono_us for mono_us, _ in taken] == [START_US + n * BLOCK_US for n in range(100)]
    sums = [int(block.min()) for _, block in taken]
    assert sums[:10] == [2] * 10
    assert sums[10:60] == [1] * 50
    assert sums[60:] == [2] * 40


def test_time_without_any_source_is_not_filled() -> None:
    mixer = Mixer({"a": 0.0})
    mixer.add("a", START_US, np.ones(BLOCK, np.int16))
    mixer.add("a", START_US + 5_000_000, np.ones(BLOCK, np.int16))
    assert [mono_us for mono_us, _ in mixer.take(START_US + 10_000_000)] == [START_US, START_US + 5_000_000]


@given(st.floats(-200, 200))
@settings(max_examples=10)
def test_a_drifting_source_stays_within_a_millisecond_and_makes_no_hole(ppm: float) -> None:
    mixer = Mixer({"a": 0.0})
    taken = []
    blocks = 2_000
    for n in range(blocks):
        at_us = START_US + round(n * BLOCK_US * (1 + ppm * 1e-6))
        mixer.add("a", at_us, np.full(BLOCK, 100, np.int16))
        taken += mixer.take(at_us + BLOCK_US)
    whole = np.concatenate([block for _, block in taken])
    assert whole[: -2 * BLOCK].min() == 100
    assert whole[: -2 * BLOCK].max() == 100
    assert abs(len(whole) - blocks * BLOCK * (1 + ppm * 1e-6)) < 2 * BLOCK


def test_after_clear_nothing_of_before_is_heard() -> None:
    mixer, limiter = Mixer({"a": 0.0}), Limiter()
    mixer.add("a", START_US, np.full(BLOCK, 9, np.int16))
    limiter.push(START_US, np.full(BLOCK, 9.0))
    mixer.clear()
    limiter.clear()
    assert mixer.take(START_US + 10**9) == []
    assert limiter.flush() is None


def test_what_a_source_brings_of_the_time_before_it_joined_is_not_lost() -> None:
    mixer = Mixer({"a": 0.0, "b": 0.0})
    second_us = 1_000_000
    for n in range(20):
        mixer.add("a", second_us + n * BLOCK_US, np.ones(BLOCK, np.int16))
    mixer.take(second_us + 20 * BLOCK_US + LATE_US)
    mixer.add("b", second_us, np.ones(5 * BLOCK, np.int16))
    assert mixer.late_samples == 0
    mixer.add("a", second_us + 20 * BLOCK_US, np.ones(BLOCK, np.int16))
    mixer.take(second_us + 30 * BLOCK_US + LATE_US)
    mixer.add("a", second_us + 21 * BLOCK_US, np.ones(BLOCK, np.int16))
    assert mixer.late_samples == BLOCK, "what comes too late of one that was there is"


def test_a_source_that_dates_its_sound_ahead_costs_the_others_nothing() -> None:
    mixer, sound = Mixer({"a": 0.0, "b": 0.0}), noise(1, 1, 3000)
    levels = []
    for n in range(400):
        at_us = START_US + n * BLOCK_US
        mixer.add("a", at_us, sound)
        mixer.add("b", at_us + (5_000_000 if n >= 100 else 0), sound)
        levels += [block for _, block in mixer.take(at_us + BLOCK_US)]
    assert mixer.late_samples == 0
    assert all((block == sound).all() for block in levels[110:340])
    assert (levels[-1] == 2 * sound).all()

"""Everybody hears all the others and never himself, at a level that does not clip."""

import contextlib

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from recorder.contract import conference as staff
from tests.vks.test_rules import CLERK, PEOPLE, any_act, opened
from vks import acts
from vks.mixing import BLOCK, DUCKED, LIMIT, RATE_HZ, Blend, Block, Limiter, Mixer, blend_of, mix_of
from vks.order import ROOM, may_speak
from vks.rules import RefusedError, apply


def tone(hz: float, amplitude: float, number: int = 0) -> Block:
    """The ``number``-th block of a tone."""
    return (amplitude * np.sin(2 * np.pi * hz * (np.arange(BLOCK) + number * BLOCK) / RATE_HZ)).astype(np.int16)


def heard(block: Block, hz: float) -> float:
    """The amplitude of a tone (whole periods of 50 Hz fit into a block)."""
    return float(abs(np.exp(-2j * np.pi * hz * np.arange(BLOCK) / RATE_HZ) @ block) * 2 / BLOCK)


def test_a_speaker_hears_the_others_and_the_room_and_not_himself() -> None:
    order = opened("party", "counsel", "prosecutor")
    blocks = {ROOM: tone(500, 4_000), "party": tone(1_000, 4_000), "counsel": tone(2_000, 4_000)}
    blends = {name: blend_of(order, name, {"party", "counsel"}) for name in (ROOM, *order.people)}
    mixed = Mixer().mix(blocks, blends)
    for name, own_hz in ((ROOM, 500), ("party", 1_000), ("counsel", 2_000), ("prosecutor", 0)):
        for hz in (500, 1_000, 2_000):
            assert abs(heard(mixed[name], hz) - (0 if hz == own_hz else 4_000)) < 20


def test_all_who_are_silent_share_one_mix() -> None:
    order = opened("party", "counsel", "prosecutor", "judge", "observer")
    silent = ("counsel", "prosecutor", "judge", "observer")
    assert {mix_of(order, name, {"party"}) for name in silent} == {"floor:"}
    assert len({blend_of(order, name, {"party"}) for name in silent}) == 1
    assert mix_of(order, "party", {"party"}) == "own:party"


def test_beneath_an_interpreter_the_floor_is_faint_for_those_who_listen_to_him() -> None:
    order = apply(opened("party", "counsel", "interpreter"), staff.Interpret(by=CLERK, person="interpreter", channel="kk"), 0)
    order = apply(order, acts.Listen(channel="kk"), 0, "party")
    blend = blend_of(order, "party", {"counsel", "interpreter"})
    assert blend == (("counsel", DUCKED), ("interpreter", 1.0), (ROOM, DUCKED))
    blocks = {ROOM: tone(500, 4_000), "counsel": tone(1_000, 4_000), "interpreter": tone(2_000, 4_000)}
    mixed = Mixer().mix(blocks, {"party": blend})["party"]
    assert [round(heard(mixed, hz), -2) for hz in (500, 1_000, 2_000)] == [800, 800, 4_000]
    assert blend_of(order, "counsel", {"interpreter"}) == ((ROOM, 1.0),)


@given(st.lists(any_act(), max_size=30), st.sets(st.sampled_from(PEOPLE)))
def test_whoever_shares_a_mix_hears_the_same_and_nobody_without_one_hears_anything(
    asked: list[tuple[acts.AnyAct, str]], loud: set[str]
) -> None:
    order = opened(*PEOPLE)
    for act, who in asked:
        with contextlib.suppress(RefusedError):
            order = apply(order, act, 0, who)
        speakers = {name for name in loud if may_speak(order, name)}
        blends: dict[str, set[Blend]] = {}
        for name in order.people:
            blends.setdefault(mix_of(order, name, speakers), set()).add(blend_of(order, name, speakers))
        assert blends.pop("", {()}) == {()}
        assert all(len(alike) == 1 for alike in blends.values())


@given(st.lists(st.floats(0, 32_767), min_size=1, max_size=20))
def test_no_sum_of_voices_is_louder_than_the_limit(amplitudes: list[float]) -> None:
    limiter = Limiter()
    mixed = sum(
        (tone(100.0 * (n + 1), amplitude).astype(np.float32) for n, amplitude in enumerate(amplitudes)), np.zeros(BLOCK, np.float32)
    )
    for _ in range(3):
        assert np.max(np.abs(limiter.limit(mixed).astype(np.int32))) <= LIMIT + 1


def test_after_a_loud_moment_the_level_comes_back_without_a_step() -> None:
    limiter = Limiter()
    limiter.limit(tone(1_000, 30_000).astype(np.float32) * 3)
    out = np.concatenate([limiter.limit(tone(1_000, 8_000, number).astype(np.float32)) for number in range(400)]).astype(np.int32)
    steepest = 8_000 * 2 * np.pi * 1_000 / RATE_HZ
    assert np.max(np.abs(np.diff(out))) < steepest * 1.05
    assert heard(out[-BLOCK:].astype(np.int16), 1_000) > 7_900
    assert heard(out[:BLOCK].astype(np.int16), 1_000) < 4_000


def test_what_is_quiet_passes_unchanged() -> None:
    block = tone(1_000, 20_000)
    assert np.array_equal(Limiter().limit(block.astype(np.float32)), block)

"""What is heard in a language's channel is a track of the record: no more than a silent listener hears, and nothing of a break."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recorder.contract import conference as staff
from recorder.record.layout import MIX_LATE_US, REMOTE, is_id
from tests.vks.test_rules import CLERK, PEOPLE, any_act, opened
from tests.vks.test_sound import Conference
from vks import acts
from vks.channels import CLOSED, TRACK, Channels
from vks.mixing import DUCKED, Blend, blend_of, mix_of
from vks.order import CHANNEL, ROOM, Order, hears, is_on_floor, may_speak, recorded_channels, sees
from vks.recording import Recording
from vks.rules import RefusedError, apply

KK = f"{CHANNEL}kk"


def interpreted(*roles: str, channel: str = "kk") -> Order:
    """Somebody interprets into a channel."""
    return apply(opened(*roles, "interpreter"), staff.Interpret(by=CLERK, person="interpreter", channel=channel), 0)


def test_a_language_channel_is_a_track_while_an_interpreter_on_the_floor_may_speak_into_it() -> None:
    order = interpreted("party", "counsel")
    assert recorded_channels(order) == {"kk"}
    for act in (
        staff.Interpret(by=CLERK, person="interpreter", channel=""),
        staff.Mute(by=CLERK, person="interpreter", on=True),
        staff.Consult(by=CLERK, people=["interpreter", "party"]),
        staff.Dismiss(by=CLERK, person="interpreter"),
        acts.Gone(person="interpreter", device="phone"),
    ):
        assert recorded_channels(apply(order, act, 0)) == frozenset(), act


@pytest.mark.parametrize("state", ["idle", "off_record", "privileged", "deliberation", "closing"])
def test_no_language_channel_is_a_track_in_a_break(state: str) -> None:
    order = apply(interpreted("party"), acts.RoomIs(hearing="h1", state=state), 0)  # type: ignore[arg-type]
    assert recorded_channels(order) == frozenset()
    assert not any(hears(order, KK, name) for name in (ROOM, "party", "interpreter"))


def test_no_language_channel_is_a_track_while_nobody_knows_the_rooms_state() -> None:
    order = interpreted("party")
    assert not recorded_channels(apply(order, acts.RoomIs(hearing="h1", state="open", unsure="room"), 0))
    assert recorded_channels(apply(order, acts.RoomIs(hearing="h1", state="open", unsure="recording"), 0))


def test_of_a_language_channel_the_record_has_what_somebody_silent_hears_of_it_and_nobody_hears_or_sees_the_record() -> None:
    order = interpreted("party", "counsel", "prosecutor", "observer", "witness")
    order = apply(order, staff.Consult(by=CLERK, people=["counsel", "prosecutor"]), 0)
    order = apply(order, acts.Listen(channel="kk"), 0, "observer")
    names = (ROOM, *order.people)
    assert {name for name in names if hears(order, KK, name)} == {name for name in names if hears(order, "observer", name)}
    assert {name for name in names if hears(order, KK, name)} == {ROOM, "party", "interpreter"}
    assert not any(hears(order, name, KK) or sees(order, name, KK) for name in names)
    assert not any(hears(order, f"{CHANNEL}ru", name) for name in names), "nobody speaks into that one"


def test_a_language_channel_takes_a_seat_of_those_that_the_recorder_has() -> None:
    order = opened("party", "interpreter")
    into = staff.Interpret(by=CLERK, person="interpreter", channel="kk")
    with pytest.raises(RefusedError, match="a language channel counted"):
        apply(order, into, 0, seats=2)
    order = apply(order, into, 0, seats=3)
    assert apply(order, staff.Interpret(by=CLERK, person="interpreter", channel="ru"), 0, seats=3), "one for another"


@given(st.lists(any_act(), max_size=30), st.sets(st.sampled_from(PEOPLE)))
def test_whatever_is_asked_a_channels_track_has_nobody_who_is_not_on_the_floor_of_an_open_hearing(
    asked: list[tuple[acts.AnyAct, str]], loud: set[str]
) -> None:
    order = opened(*PEOPLE)
    for act, who in [(staff.Interpret(by=CLERK, person="interpreter", channel="kk"), ""), *asked]:
        with contextlib.suppress(RefusedError):
            order = apply(order, act, 0, who)
        speakers = {name for name in loud if may_speak(order, name)}
        mixed: dict[str, set[Blend]] = {}
        for language in ("kk", "ru", "en"):
            name = f"{CHANNEL}{language}"
            blend = blend_of(order, name, speakers)
            assert bool(mix_of(order, name, speakers)) == (language in recorded_channels(order))
            assert not blend or (order.room == "open" and order.unsure != "room")
            assert all(is_on_floor(order, source) and may_speak(order, source) for source, _ in blend)
            for listener in (name, *order.people):
                mixed.setdefault(mix_of(order, listener, speakers), set()).add(blend_of(order, listener, speakers))
        assert all(len(alike) == 1 for alike in mixed.values()), "whoever shares a mix hears the same"


def test_the_floor_is_faint_in_it_beneath_the_interpreter() -> None:
    order = interpreted("party")
    assert blend_of(order, KK, {"party", "interpreter"}) == (("interpreter", 1.0), ("party", DUCKED), (ROOM, DUCKED))
    assert blend_of(order, KK, {"party"}) == (("party", 1.0), (ROOM, 1.0)), "while the interpreter is silent"


def test_it_is_mixed_whether_or_not_somebody_listens_and_encoded_once_for_all() -> None:
    for listens in ("", "kk"):
        order = apply(interpreted("party", "counsel", "prosecutor", "witness"), acts.Listen(channel=listens), 0, "prosecutor")
        conference, packets = Conference(order), list[bytes]()
        conference.packets = {"prosecutor": conference.packets["prosecutor"], KK: packets}
        conference.talk(40, "party", "interpreter", "witness", room=True)
        assert len(packets) == 40
        assert conference.sound.encoded == (40 if listens else 80)
        assert (packets == conference.packets["prosecutor"]) == bool(listens)
        assert conference.hears(KK) == {ROOM, "party", "interpreter"}, "the witness waits apart"


class Taken(Recording):
    """Notes what it is given."""

    def __init__(self) -> None:
        super().__init__("", lambda _: None)
        self.told: list[tuple[object, ...]] = []

    def start(self, track: str, *_: object, delay_us: int = 0, **__: object) -> None:
        """A track begins."""
        self.told.append(("start", track, delay_us))

    def media(self, track: str, mono_us: int, dur_us: int, body: bytes, *, key: bool) -> bool:
        """A packet."""
        self.told.append((track, mono_us, dur_us, body, key))
        return True

    def stop(self, track: str, cause: str, detail: str = "") -> None:
        """A track ends."""
        self.told.append(("stop", track, cause + detail))


def test_its_track_begins_and_ends_with_the_channel_and_begins_again() -> None:
    recording = Taken()
    channels = Channels(recording)
    order = interpreted("party")
    for _ in range(2):
        channels.follow(order)
        channels.follow(order)
        channels.listeners(7_000)[KK](b"packet")
        channels.follow(apply(order, acts.RoomIs(hearing="h1", state="off_record"), 0))
        assert channels.listeners(9_000) == {}
    once = [("start", "channel-kk", MIX_LATE_US), ("channel-kk", 7_000, 20_000, b"packet", True), ("stop", "channel-kk", CLOSED)]
    assert recording.told == once * 2
    recording.told.clear()
    channels.follow(order)
    channels.follow(apply(order, staff.Interpret(by=CLERK, person="interpreter", channel="ru"), 0))
    channels.end("hearing-over")
    channels.follow(order)
    assert [told[:2] for told in recording.told] == [
        ("start", "channel-kk"), ("stop", "channel-kk"), ("start", "channel-ru"), ("stop", "channel-ru"),
    ]  # fmt: skip


@given(st.from_regex(r"[a-z]{2,3}", fullmatch=True))
def test_its_name_may_stand_in_a_record_and_is_no_persons(language: str) -> None:
    assert is_id(f"{REMOTE}{TRACK}{language}")
    assert language not in {"audio", "video", "screen", "identity"}
    assert is_id(CLOSED)

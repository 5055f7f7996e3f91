"""Everybody hears whom he may, and nobody else: voices are encoded, mixed, encoded again and decoded at each listener."""

from collections.abc import Callable

import numpy as np
import pytest

from recorder.contract import conference as staff
from tests.vks.test_mixing import heard, tone
from tests.vks.test_rules import CLERK, opened
from vks import acts
from vks.echo import EchoCanceller
from vks.jitter import Unit
from vks.mixing import BLOCK, Block
from vks.opus import Decoder, Encoder
from vks.order import ROOM, Order
from vks.rules import apply
from vks.sound import BLOCK_US, Sound

LOUD, QUIET = -20, -70
TONES_HZ = {ROOM: 500.0, "party": 1_000.0, "counsel": 1_500.0, "witness": 2_000.0, "prosecutor": 2_500.0, "interpreter": 3_000.0}


class Conference:
    """People with a tone each, who hear what the mixes give them."""

    def __init__(self, order: Order, echo: EchoCanceller | None = None) -> None:
        self.order = order
        self.now_us = 0
        self.number = 0
        self.played: list[Block] = []
        self.sound = Sound(lambda block, _now_us: self.played.append(block), echo)
        self.packets: dict[str, list[bytes]] = {name: [] for name in order.people}
        self._encoders = {name: Encoder() for name in order.people}

    def talk(self, blocks: int, *speakers: str, room: bool = False) -> None:
        """So many blocks in which these people speak; the others are silent."""
        listeners: dict[str, Callable[[bytes], object]] = {name: taken.append for name, taken in self.packets.items()}
        for _ in range(blocks):
            if room:
                self.sound.room(tone(TONES_HZ[ROOM], 6_000, self.number), self.now_us)
            for name, encoder in self._encoders.items():
                speaks = name in speakers
                block = tone(TONES_HZ[name], 6_000 if speaks else 0, self.number)
                self.sound.level(name, LOUD if speaks else QUIET, self.now_us)
                self.sound.voice(name, Unit(self.number * BLOCK, (encoder.encode(block),), self.now_us), self.now_us)
            self.sound.tick(self.order, listeners, self.now_us)
            self.number += 1
            self.now_us += BLOCK_US

    def hears(self, listener: str) -> set[str]:
        """Whose tones the listener has heard in the last half second."""
        if listener == ROOM:
            blocks = self.played[-25:]
        else:
            decoder = Decoder()
            decoded = [decoder.decode(packet) for packet in self.packets[listener]]
            blocks = [block for block in decoded[-25:] if block is not None]
        loudest = {name: max((heard(block, hz) for block in blocks), default=0.0) for name, hz in TONES_HZ.items()}
        return {name for name, amplitude in loudest.items() if amplitude > 600}


def test_all_hear_the_room_and_each_other_and_nobody_himself() -> None:
    conference = Conference(opened("party", "counsel", "prosecutor"))
    conference.talk(60, "party", "counsel", room=True)
    assert conference.hears("prosecutor") == {ROOM, "party", "counsel"}
    assert conference.hears("party") == {ROOM, "counsel"}
    assert conference.hears("counsel") == {ROOM, "party"}
    assert conference.hears(ROOM) == {"party", "counsel"}


def test_a_private_talk_is_heard_in_no_other_mix() -> None:
    conference = Conference(apply(opened("party", "counsel", "prosecutor"), staff.Consult(by=CLERK, people=["party", "counsel"]), 0))
    conference.talk(60, "party", room=True)
    assert conference.hears("counsel") == {"party"}
    assert conference.hears("prosecutor") == {ROOM}
    assert conference.played == []


def test_what_was_said_in_private_is_not_played_to_the_floor_afterwards() -> None:
    conference = Conference(apply(opened("party", "counsel", "prosecutor"), staff.Consult(by=CLERK, people=["party", "counsel"]), 0))
    conference.talk(60, "party")
    for taken in conference.packets.values():
        taken.clear()
    conference.order = apply(conference.order, staff.EndConsultation(by=CLERK, consultation=1), 0)
    conference.sound.cut("party", conference.now_us)
    conference.talk(20, "party")  # words that the network held back
    conference.talk(50)
    assert conference.hears("prosecutor") == set()
    assert max((float(np.max(np.abs(block))) for block in conference.played), default=0.0) < 50
    conference.talk(30, "party")
    assert conference.hears("prosecutor") == {"party"}


def test_what_was_said_in_private_by_somebody_not_heard_yet_is_not_played_to_the_floor_afterwards() -> None:
    conference = Conference(opened("party", "counsel", "prosecutor"))
    conference.sound.forget("party")  # he dials anew, and the talk ends before his first packet has come
    conference.sound.cut("party", conference.now_us)
    conference.talk(20, "party")
    assert conference.hears("prosecutor") == conference.hears(ROOM) == set()
    conference.talk(50)
    conference.talk(30, "party")
    assert conference.hears("prosecutor") == {"party"}


def test_who_dials_anew_behind_a_private_talk_is_kept_from_the_floor_as_long() -> None:
    conference = Conference(opened("party", "counsel", "prosecutor"))
    conference.talk(30, "party")
    for taken in conference.packets.values():
        taken.clear()
    conference.sound.cut("party", conference.now_us)
    conference.sound.forget("party")
    conference.talk(20, "party")
    assert conference.hears("prosecutor") == set()


def test_participants_do_not_hear_themselves_by_the_rooms_microphones() -> None:
    echoes = {}
    for name, echo in (("without", None), ("with", EchoCanceller())):
        conference = Conference(opened("party", "counsel"), echo)
        for _ in range(400):
            conference.talk(1, "party")
            # What the loudspeakers played six blocks ago is heard by the microphones.
            heard_again = conference.played[-6] // 2 if len(conference.played) >= 6 else np.zeros(BLOCK, np.int16)
            conference.sound.room(heard_again.astype(np.int16), conference.now_us)
        echoes[name] = "party" in conference.hears("party")
    assert echoes == {"without": True, "with": False}


def test_all_who_are_silent_share_one_encoder() -> None:
    people = ("party", "counsel", "prosecutor", "witness")
    conference = Conference(apply(opened(*people), staff.Call(by=CLERK, person="witness"), 0))
    conference.talk(50, room=True)
    assert conference.sound.encoded == 50
    before = conference.sound.encoded
    conference.talk(50, "party", room=True)
    assert conference.sound.encoded - before <= 2 * 50


@pytest.mark.parametrize("state", ["open", "off_record"])
def test_who_listens_to_languages_that_nobody_speaks_shares_the_encoder_of_the_floor(state: str) -> None:
    people = ("party", "counsel", "prosecutor", "interpreter")
    order = apply(opened(*people, state=state), staff.Interpret(by=CLERK, person="interpreter", channel="kk"), 0)
    for name, channel in (("party", "aa"), ("counsel", "bb"), ("prosecutor", "kk")):
        order = apply(order, acts.Listen(channel=channel), 0, name)
    conference = Conference(order)
    conference.talk(50, room=True)
    assert conference.sound.encoded == 2 * 50, "the floor, and the channel of the interpreter, who may begin at any time"
    muted = Conference(apply(order, staff.Mute(by=CLERK, person="interpreter", on=True), 0))
    muted.talk(50, room=True)
    assert muted.sound.encoded == 50
    conference.talk(60, "interpreter", "party", room=True)
    assert conference.hears("prosecutor") == {ROOM, "party", "interpreter"}
    assert conference.hears("counsel") == {ROOM, "party"}


def test_while_the_room_deliberates_nobody_gets_anything() -> None:
    conference = Conference(opened("party", "counsel", state="deliberation"))
    conference.talk(20, "party", room=True)
    assert all(not taken for taken in conference.packets.values())
    assert conference.played == []


def test_who_calls_loud_sound_silent_is_heard_all_the_same() -> None:
    """What he says is recorded: the court must be able to hear it."""
    conference = Conference(opened("party", "counsel"))
    encoder, listeners = Encoder(), {name: taken.append for name, taken in conference.packets.items()}
    for number in range(100):
        conference.sound.level("party", -127, conference.now_us)
        packet = encoder.encode(tone(TONES_HZ["party"], 6_000, number))
        conference.sound.voice("party", Unit(number * BLOCK, (packet,), conference.now_us), conference.now_us)
        conference.sound.tick(conference.order, listeners, conference.now_us)
        conference.now_us += BLOCK_US
    assert conference.hears("counsel") == {"party"}
    assert conference.hears(ROOM) == {"party"}
    assert "party" in dict(conference.sound.speaking.turns(conference.now_us)), "and stands as a speaker"


def test_who_is_silent_and_says_so_is_not_mixed() -> None:
    conference = Conference(opened("party", "counsel"))
    conference.talk(200)
    assert conference.hears("counsel") == set()
    assert conference.sound.speaking.audible(conference.now_us) == set()

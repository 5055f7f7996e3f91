"""The conference's sound, a block of 20 ms at a time: voices in, mixes out.

Called by a clock with ``tick``; everything else is told as it happens. A voice is decoded only while it is louder than a quiet room, and a
mix is encoded once for all who get it (``mixing.py``). What the room says comes from the media bus as samples, what it hears goes back as
samples.
"""

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import structlog

from vks.echo import EchoCanceller
from vks.jitter import Unit
from vks.mixing import BLOCK, Block, Mixer, blend_of, mix_of
from vks.opus import Decoder, Encoder
from vks.order import ROOM, Order, may_speak
from vks.playout import Playout
from vks.speaking import SPEAKS_DBOV, Speaking

log = structlog.get_logger()

BLOCK_US = 20_000
PRIVATE_TAIL_US = 1_000_000
"""What arrives so soon after a private talk may have been said in it: a network holds words back for so long."""
MOST_AHEAD = 10
"""Blocks that were played and have no block of the microphones beside them yet: the clocks of both are not the same."""
KEPT_ENCODERS = 4
"""Encoders that nobody uses now and that are kept: a speaker who falls silent speaks again soon."""
SAMPLED = 10
"""Of a voice that its sender calls silent one packet in so many is listened to."""
LIES = 3
"""So many of them in a row that are loud, and the sender is believed no more."""


@dataclass(slots=True)
class _Voice:
    decoder: Decoder = field(default_factory=Decoder)
    passed: int = 0
    """Packets since it was audible."""
    loud: int = 0
    is_measured: bool = False
    """It was louder than its sender says: all of it is listened to."""
    playout: Playout = field(default_factory=Playout)


class Sound:
    """All voices and mixes of a hearing.

    Args:
        play_in_room: takes what the courtroom hears of the others, block by block, with its time.
        echo: takes the loudspeakers' sound out of the room's; None where the room's own devices do.
    """

    def __init__(self, play_in_room: Callable[[Block, int], None], echo: EchoCanceller | None = None) -> None:
        self._echo = echo
        self._played: deque[Block | None] = deque(maxlen=MOST_AHEAD)
        """What the room was given, and has not been heard beside yet."""
        self.speaking = Speaking()
        self.encoded = 0
        """Packets that were encoded."""
        self._play_in_room = play_in_room
        self._voices: dict[str, _Voice] = {}
        self._not_before_us: dict[str, int] = {}
        """Whose sound is played from when on. Apart from the voices: it holds, too, for whoever has not been heard yet, or dials anew."""
        self._room = Playout()
        self._room_samples = 0
        self.room_level_dbov = -127
        """How loud the courtroom was last."""
        self._mixer = Mixer()
        self._encoders: dict[str, Encoder] = {}

    def level(self, name: str, level_dbov: int, now_us: int) -> None:
        """The level that stands beside a packet of somebody's sound."""
        voice = self._voices.get(name)
        if voice is None or not voice.is_measured:
            self.speaking.hear(name, level_dbov, now_us)

    def voice(self, name: str, unit: Unit, now_us: int) -> None:
        """A packet of somebody's sound.

        It is recorded whatever its sender says of its level. So that nothing is in the record that nobody could hear, a voice that is
        called silent is listened to now and then.
        """
        if now_us < self._not_before_us.get(name, 0):
            return
        voice = self._voices.setdefault(name, _Voice())
        is_audible = name in self.speaking.audible(now_us)
        voice.passed = 0 if is_audible else voice.passed + 1
        if not is_audible and not voice.is_measured and voice.passed % SAMPLED:
            return
        samples = voice.decoder.decode(unit.payloads[0])
        if samples is None:
            return
        if voice.is_measured or not is_audible:
            self._measure(name, voice, level_dbov(samples), now_us)
        if name in self.speaking.audible(now_us):
            voice.playout.push(samples, unit.timestamp)

    def _measure(self, name: str, voice: _Voice, measured_dbov: int, now_us: int) -> None:
        voice.loud = voice.loud + 1 if measured_dbov >= SPEAKS_DBOV else 0
        if not voice.is_measured and voice.loud >= LIES:
            log.warning("somebody's sound is louder than is said beside it: it is measured here from now on", person=name)
            voice.is_measured = True
        if voice.is_measured:
            self.speaking.hear(name, measured_dbov, now_us)

    def room(self, block: Block, now_us: int) -> None:
        """What the courtroom's microphones give together, in a row."""
        if self._echo is not None and block.size == BLOCK:
            block = self._echo.clean(block, self._played.popleft() if self._played else None)
        self.room_level_dbov = level_dbov(block)
        self.speaking.hear(ROOM, self.room_level_dbov, now_us)
        self._room.push(block, self._room_samples)
        self._room_samples += block.size

    def silence_room(self) -> None:
        """The room says nothing more until it is heard again: its stream has ended, or is closed."""
        self._room.clear()

    def cut(self, name: str, now_us: int) -> None:
        """What somebody has said until now is not played, whenever it arrives: others were to hear it than those who hear him now."""
        self._not_before_us = {one: until_us for one, until_us in self._not_before_us.items() if now_us < until_us}
        self._not_before_us[name] = now_us + PRIVATE_TAIL_US
        self.drop(name)

    def drop(self, name: str) -> None:
        """What has come of somebody until now and waits to be played is not: he was not to be heard."""
        voice = self._voices.get(name)
        if voice is not None:
            voice.playout.clear()
            voice.decoder = Decoder()  # the next packet would bring the end of the last one's sound

    def forget(self, name: str) -> None:
        """Somebody has gone."""
        self._voices.pop(name, None)
        self.speaking.forget(name)

    def tick(self, order: Order, listeners: Mapping[str, Callable[[bytes], object]], now_us: int) -> None:
        """Make one block of every mix, and hand each listener the packet of his."""
        blocks = {name: block for name, voice in self._voices.items() if (block := voice.playout.pull()) is not None}
        room = self._room.pull()
        if room is not None:
            blocks[ROOM] = room
        speakers = {name for name in {*self.speaking.audible(now_us), *blocks} - {ROOM} if may_speak(order, name)}
        mix_by_listener = {name: mix for name in listeners if (mix := mix_of(order, name, speakers))}
        blends = {mix: blend_of(order, name, speakers) for name, mix in mix_by_listener.items()}
        room_hears = blend_of(order, ROOM, speakers)
        mixed = self._mixer.mix(blocks, {**blends, ROOM: room_hears} if room_hears else blends)
        played = mixed.pop(ROOM) if room_hears else None
        self._played.append(played)
        if played is not None:
            self._play_in_room(played, now_us)
        packets = {mix: self._encode(mix, block) for mix, block in mixed.items()}
        for name, mix in mix_by_listener.items():
            listeners[name](packets[mix])
        self._forget_encoders(set(packets))

    def _encode(self, mix: str, block: Block) -> bytes:
        encoder = self._encoders.pop(mix, None) or Encoder()
        self._encoders[mix] = encoder  # the one used last stands last
        self.encoded += 1
        return encoder.encode(block)

    def _forget_encoders(self, used: set[str]) -> None:
        unused = [mix for mix in self._encoders if mix not in used]
        for mix in unused[: max(0, len(unused) - KEPT_ENCODERS)]:
            del self._encoders[mix]


def level_dbov(block: Block) -> int:
    """How loud a block is: dB below the loudest (RFC 6464, section 3)."""
    power = float(np.mean(np.square(block.astype(np.float32)))) / 32_768**2
    return max(-127, round(10 * np.log10(power))) if power else -127

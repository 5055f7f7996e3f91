"""The conference of one hearing: who is there, what goes to whom, what goes to the recorder. A thin shell around ``order.py``'s decisions.

Every change goes through ``act``: it changes the order, tells the record what changed (``story.py``), and then brings everything else in
line with the new order (``_settle``): recorded tracks, tiles, views. Nothing else decides who hears or sees whom.
"""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

import structlog

from recorder.contract.conference import Fact
from vks import acts, arrivals, h264_payloads
from vks.account import Account
from vks.channels import Channels
from vks.connection import Connection
from vks.echo import EchoCanceller
from vks.forwarding import Feed
from vks.jitter import Unit
from vks.links import LinkTotals
from vks.mixing import Block
from vks.opus import duration_us
from vks.order import LOOKS_IN, ROOM, Order, is_open, may_look_in, may_speak, picture_recorded, recorded, sees, sees_screen, sound_recorded
from vks.peer import CAMERA, SCREEN, SOUND, Peer
from vks.recording import Recording
from vks.rules import apply
from vks.sound import BLOCK_US, Sound
from vks.source import Kind, Source
from vks.speaking import Stage
from vks.stills import Stills
from vks.story import facts
from vks.tiles import SHARED, fill
from vks.times import mono_us
from vks.view import view_of

log = structlog.get_logger()

Taken = TypeVar("Taken")
SENT_BEFORE_US = 5 * BLOCK_US
"""A block of sound is sent with a time so much earlier than now: where the clock was late, the next ones still lie 20 ms apart."""
OLDEST_US = 5_000_000
"""A picture whose first packet came so long before its last is shown and recorded no more: ingest takes none that is twice as old."""
SEATS = 30
"""As many as [ingest] max_tracks lets in where room.toml does not say otherwise."""


class Conference:
    """One hearing's.

    Args:
        recording: where participants' media is recorded.
        room_pictures: the courtroom's rungs, the largest first.
        play_in_room: takes what the courtroom hears, block by block.
        tell: takes what is to stand in the record.
        changed: is called after each change.
        order: where the conference of this hearing stood, when another process held it.
        echo: takes the loudspeakers' sound out of what the room sends; None where the room's own devices do.
        seats: how many people's sound and pictures the recorder takes at once.
    """

    def __init__(
        self,
        recording: Recording,
        room_pictures: list[Feed],
        play_in_room: Callable[[Block, int], None],
        tell: Callable[[list[Fact]], None],
        changed: Callable[[], None],
        order: Order | None = None,
        echo: EchoCanceller | None = None,
        seats: int = SEATS,
    ) -> None:
        self._seats = seats
        self.order = order or Order()
        self.sound = Sound(play_in_room, echo)
        self.peers: dict[str, Peer] = {}
        self._screens: list[Peer] = []
        """Those who send nothing: the courtroom's own screens, and whoever looks in."""
        self._closing: set[asyncio.Task[None]] = set()
        self._recording = recording
        self._room_pictures = room_pictures
        self._tell = tell
        self._changed = changed
        self._sources: dict[tuple[str, Kind], Source] = {}
        self._stage = Stage()
        self._account = Account()
        self.link_totals = LinkTotals()
        self._from_us: dict[str, int] = {}
        """Since when those who waited apart, or talked in private, are on the floor: they are shown nothing of before."""
        self._public_us = 0
        """Since when one may look in."""
        self._stills = Stills(recording, self.act)
        self._channels = Channels(recording)
        self._sent_us = 0

    def act(self, act: acts.AnyAct, who: str = "") -> None:
        """Do what is asked, and all that follows from it.

        Raises:
            RefusedError: it cannot be done; nothing has changed.
        """
        before = self.order
        after = apply(before, act, mono_us(), who, self._seats)
        if after == before:
            return
        self.order = after
        told = facts(before, after, by=getattr(act, "by", ""), reason=getattr(act, "reason", ""))
        if told:
            self._tell(told)
        self._settle(before)
        self._changed()

    def note(self, fact: Fact) -> None:
        """Have something stand in the record that changes nothing."""
        self._tell([fact])

    def enter(self, peer: Peer) -> None:
        """A page is there, of the device that holds the person's seat. The one before it is shown nothing more, even if it hangs on."""
        before = self.peers.get(peer.person)
        if before is not None and before is not peer:
            before.leave(mono_us())
        self.peers[peer.person] = peer
        peer.tell(view_of(self.order, peer.person))

    def media(self, peer: Peer, connection: Connection) -> None:
        """A person's media goes by this connection from now on."""
        self.act(acts.Media(person=peer.person, device=peer.device, certificate=connection.peer_certificate))
        peer.take(connection, mono_us(), lambda: self._show(peer))
        sound = connection.inbound(SOUND)
        sound.on_level = self._while_by(peer, connection, lambda level: self.sound.level(peer.person, level, mono_us()))
        sound.on_unit = self._while_by(peer, connection, lambda unit: self._heard(peer.person, unit))
        kinds: tuple[tuple[int, Kind], ...] = ((CAMERA, "video"), (SCREEN, "screen"))
        for line, kind in kinds:
            if line < connection.lines:
                inbound = connection.inbound(line)
                source = self._begin(peer.person, kind, inbound.want_keyframe)
                inbound.on_unit = self._while_by(peer, connection, partial(self._seen, source))
                inbound.on_lost = lambda _packets, source=source: source.feed.forget()  # type: ignore[misc]
        sound.on_report = self._begin(peer.person, "audio", _nothing).clock.report
        self._settle(self.order)

    def _while_by(self, peer: Peer, connection: Connection, take: Callable[[Taken], None]) -> Callable[[Taken], None]:
        """Take only what comes while the person's media goes by this connection: another device's may be open, whatever its page does."""

        def taken(one: Taken) -> None:
            if self.peers.get(peer.person) is peer and peer.connection is connection:
                take(one)

        return taken

    @property
    def is_attended(self) -> bool:
        """Whether anybody is there for whom sound is made."""
        return any(viewer.hears for viewer in self._viewers())

    def show(self, screen: Peer) -> None:
        """A screen shows this conference from now on; called again when its media goes another way."""
        if screen not in self._screens:
            self._screens.append(screen)
        self._show(screen)

    def forget_pictures(self) -> None:
        """Whoever is shown pictures from now on is shown none from before."""
        for feed in [*self._room_pictures, *(source.feed for source in self._sources.values())]:
            feed.forget()

    def hide(self, screen: Peer) -> None:
        """It does no more."""
        if screen in self._screens:
            self._screens.remove(screen)
            screen.blank(mono_us())
            screen.tell_tiles()

    def gone(self, peer: Peer, *, left: bool) -> None:
        """A page's connection is lost."""
        now_us = mono_us()
        peer.leave(now_us)
        if self.peers.get(peer.person) is peer:
            del self.peers[peer.person]
            self.sound.forget(peer.person)
            for key in [key for key in self._sources if key[0] == peer.person]:
                self._end(key, "left" if left else "disconnected")
        self.act(acts.Gone(person=peer.person, device=peer.device, left=left))

    def end(self) -> None:
        """Another hearing follows: nothing of this one goes on."""
        now_us = mono_us()
        for peer in self.peers.values():
            peer.leave(now_us)
            self.sound.forget(peer.person)
        self.peers.clear()
        for screen in list(self._screens):
            self.hide(screen)
        for key in list(self._sources):
            self._end(key, "hearing-over")
        self._channels.end("hearing-over")
        self._stills.stop(Order())

    def keyframe_wanted(self, track: str) -> None:
        """The record needs a keyframe of this track."""
        for source in self._sources.values():
            if source.track == track:
                source.feed.want_keyframe(mono_us())

    def recorder_lost(self) -> None:
        """What was handed to the recorder last may be in no record."""
        self.act(acts.StillsLost())

    def tick(self, now_us: int) -> None:
        """Make and send a block of sound; called each ``BLOCK_US``."""
        self._sent_us = max(self._sent_us + BLOCK_US, now_us - SENT_BEFORE_US)
        listeners = {peer.person: self._ear(peer, self._sent_us) for peer in self._viewers() if peer.hears}
        # Recorded with a time that is never earlier than now: a part that ends has nothing that was said behind its end.
        channels = self._channels.listeners(self._sent_us + SENT_BEFORE_US)
        self.sound.tick(self.order, {**listeners, **channels}, now_us)
        for peer in self._viewers():
            peer.probe(now_us)

    async def ask(self, now_us: int) -> None:
        """Ask for what was lost, and for keyframes; called some times each 40 ms."""
        for peer in self._viewers():
            await self._spare(peer, self._ask(peer, now_us))

    async def report(self, now_us: int) -> None:
        """What is due each second: reports to the peers, tiles by who speaks, what lasts until a time."""
        self.act(acts.TimeIs())
        turns = self.sound.speaking.turns(now_us)
        self._stage.spoke(turns, now_us)
        tracks, links = arrivals.of_tracks(self._sources.values(), self.peers)
        for told in self._account.take(tracks, links, {f"{name}-audio" for name, _ in turns}, now_us):
            self._recording.tell(told.track, told.name, told.data)
        if self.link_totals.take(*arrivals.of_links(self.peers, now_us), now_us):
            self._changed()
        for peer in self._viewers():
            peer.count(now_us)
            peer.wait(now_us)
            self._show(peer)
            await self._spare(peer, self._report(peer, now_us))

    async def _ask(self, peer: Peer, now_us: int) -> None:
        if peer.connection is not None:
            for line in range(peer.own_lines):
                await peer.connection.inbound(line).tick(now_us)
        for slot in peer.slots:
            slot.starved(now_us)

    async def _report(self, peer: Peer, now_us: int) -> None:
        connection = peer.connection
        if connection is None:
            return
        for line in range(connection.lines):
            await connection.outbound(line).report(now_us)
            if line < peer.own_lines:
                await connection.inbound(line).report()

    async def _spare(self, peer: Peer, work: Awaitable[None]) -> None:
        """What one peer sends ends its own media alone, whatever the libraries beneath make of it, and never everybody's."""
        try:
            await work
        except Exception:  # the page dials anew; who does it again and again harms himself
            log.exception("a participant's media cannot be handled any more", person=peer.person)
            connection = peer.connection
            peer.leave(mono_us())
            if connection is not None:
                closing = asyncio.create_task(connection.close())
                self._closing.add(closing)
                closing.add_done_callback(self._closing.discard)

    def _settle(self, before: Order) -> None:
        now_us = mono_us()
        opened = is_open(self.order) and not is_open(before)
        if may_look_in(self.order) and (opened or not may_look_in(before)):
            self._public_us = now_us
        for name, person in self.order.people.items():
            was = before.people.get(name)
            if was is not None and (opened or (was.consultation, was.place) != (person.consultation, person.place)):
                self._cut(name, now_us)
                if was.place != "lobby":
                    self._from_us[name] = now_us
            elif was is not None and was.check is not None and person.check is None:
                self._cut_picture(name, now_us)
            if may_speak(self.order, name) and not may_speak(before, name):
                self.sound.drop(name)
        self._stills.stop(self.order)  # before other tracks begin, and begun behind those that end: the recorder takes so many at a time
        for (name, kind), source in self._sources.items():
            self._record(name, kind, source)
        self._channels.follow(self.order)
        self._stills.start(self.order)
        for viewer in self._viewers():
            self._show(viewer)
        for peer in self.peers.values():
            peer.tell(view_of(self.order, peer.person))

    def _cut(self, name: str, now_us: int) -> None:
        """Others hear and see this person than did until now: what is still on its way was for those."""
        self.sound.cut(name, now_us)
        for (person, _), source in self._sources.items():
            if person == name:
                source.cut(now_us)

    def _cut_picture(self, name: str, now_us: int) -> None:
        """The camera is shown to others again: what is still on its way may show a document."""
        source = self._sources.get((name, "video"))
        if source is not None:
            source.cut(now_us)

    def _record(self, name: str, kind: Kind, source: Source) -> None:
        """Begin or end a track of the record, where the order says so now."""
        if kind == "screen":
            wanted = self.order.sharing == name and recorded(self.order, name)
        else:
            wanted = sound_recorded(self.order, name) if kind == "audio" else picture_recorded(self.order, name)
        if wanted == source.recorded:
            return
        source.recorded = wanted
        if wanted:
            person = self.order.people[name]
            self._recording.start(source.track, "audio" if kind == "audio" else "video", f"{person.name} ({person.role})")
            source.feed.want_keyframe(mono_us())
        else:
            self._recording.stop(source.track, "not-heard" if kind == "audio" else "not-seen")

    def _heard(self, name: str, unit: Unit) -> None:
        source = self._sources.get((name, "audio"))
        length_us = duration_us(unit.payloads[0])
        if source is None or not length_us:
            return
        now_us = mono_us()
        self.sound.voice(name, unit, now_us)
        at_us = source.clock.place(unit.timestamp, unit.mono_us)
        if source.recorded and now_us >= source.not_before_us:
            self._recording.media(source.track, at_us, length_us, unit.payloads[0], key=True)

    def _seen(self, source: Source, unit: Unit) -> None:
        units = h264_payloads.picture(unit.payloads)
        now_us = mono_us()
        if units is None or now_us < source.not_before_us or now_us - unit.mono_us > OLDEST_US:
            source.feed.want_keyframe(now_us)
            return
        at_us = source.clock.place(unit.timestamp, unit.mono_us)
        source.feed.take(units, at_us, now_us)
        if source.recorded:
            dur_us = min(max(at_us - source.last_us, 1), 1_000_000) if source.last_us else 40_000
            self._recording.media(source.track, at_us, dur_us, h264_payloads.annex_b(units), key=h264_payloads.is_keyframe(units))
        source.last_us = at_us
        if source.kind == "video" and self._stills.see(self.order.people.get(source.person), units, at_us):
            source.feed.want_keyframe(now_us)

    def _show(self, peer: Peer) -> None:
        """Put the pictures that this viewer may see into the tiles that the link carries."""
        for slot in peer.slots:
            slot.not_before_us = self._public_us if peer.person.startswith(LOOKS_IN) else self._from_us.get(peer.person, 0)
        fill(peer, self._feeds(peer), self._stage, mono_us())

    def _feeds(self, peer: Peer) -> dict[str, Feed]:
        """What this person, or the room, may see, by name, the room first."""
        order, viewer, found = self.order, peer.person, dict[str, Feed]()
        if sees(order, viewer, ROOM) and self._room_pictures:
            rung = 0 if peer.ladder is None else peer.ladder.rung
            found[ROOM] = self._room_pictures[min(rung, len(self._room_pictures) - 1)]
        if sees_screen(order, viewer) and (screen := self._sources.get((order.sharing, "screen"))) is not None:
            found[SHARED] = screen.feed
        for (name, kind), source in self._sources.items():
            if kind == "video" and sees(order, viewer, name):
                found[name] = source.feed
        return found

    def _viewers(self) -> list[Peer]:
        """All to whom pictures go."""
        return [*self.peers.values(), *self._screens]

    def _begin(self, person: str, kind: Kind, request_keyframe: Callable[[], None]) -> Source:
        if (person, kind) in self._sources:
            self._end((person, kind), "reconnected")
        source = self._sources[person, kind] = Source(person, kind, request_keyframe)
        return source

    def _end(self, key: tuple[str, Kind], cause: str) -> None:
        source = self._sources.pop(key)
        source.feed.forget()
        if source.recorded:
            source.recorded = False  # what its old connection still brings is no part of a track that begins anew
            self._recording.stop(source.track, cause)

    def _ear(self, peer: Peer, at_us: int) -> Callable[[bytes], None]:
        return lambda packet: peer.hear(packet, at_us)


def _nothing() -> None:
    """Sound has no keyframes."""

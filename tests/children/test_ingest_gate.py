import contextlib
from collections.abc import Callable
from typing import Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recorder.children.ingest_gate import BURST_S, QUALITY_PER_S, TOLD_BURST, TOLD_PER_S, Gate, RefusedError, decode
from recorder.contract import control, ingest
from recorder.record.layout import is_id

NOW_US = 10**12


def start(track: str, label: str = "Witness") -> ingest.TrackStart:
    return ingest.TrackStart(track=track, kind="audio", codec="opus", label=label)


def media(track: str, at_us: int = NOW_US) -> ingest.MediaPacket:
    return ingest.MediaPacket(track=track, mono_us=at_us, dur_us=20_000, key=True)


@pytest.fixture
def gate() -> Gate:
    gate = Gate(max_tracks=40, track_bytes_per_s=10_000)
    gate.connected(1)
    gate.connected(2)
    return gate


@pytest.mark.parametrize(
    "request_",
    [control.StopRequest(actor="x"), control.PauseRequest(state="off_record", actor="x"), control.AddNote(author="x", text="y")],
)
def test_the_control_socket_s_verbs_do_not_exist_here(request_: control.Request) -> None:
    for head in (msgspec.msgpack.encode(request_), control.json_encoder.encode(request_), b"\x81\xa1m\xa4stop", b"\x81\xa1m\xa5pause"):
        with pytest.raises(RefusedError, match="verb"):
            decode(head)


@given(st.binary(max_size=200))
def test_garbage_is_refused_and_nothing_else_happens(head: bytes) -> None:
    try:
        decode(head)
    except RefusedError as refused:
        assert refused.what == "verb"  # noqa: PT017 - anything that is no refusal must fail the test


@pytest.mark.parametrize(("track", "kind", "codec"), [("p1-video", "video", "h264"), ("p1-identity", "audio", "opus")])
def test_what_is_no_track_of_stills_cannot_be_withheld_from_copies(gate: Gate, track: str, kind: str, codec: str) -> None:
    asked = ingest.TrackStart(track=track, kind=kind, codec=codec, label="", level="identity")  # type: ignore[arg-type]
    with pytest.raises(RefusedError, match="level"):
        gate.start(1, asked, NOW_US)
    stills = ingest.TrackStart(track="p1-identity", kind="video", codec="h264", label="", level="identity")
    assert gate.start(1, stills, NOW_US) == "remote-p1-identity"


@pytest.mark.parametrize(("kind", "codec", "delay_us"), [("audio", "opus", -1), ("audio", "opus", 5_000_001), ("video", "h264", 1)])
def test_only_sound_may_lie_later_than_it_was_captured_and_only_by_moments(gate: Gate, kind: str, codec: str, delay_us: int) -> None:
    asked = ingest.TrackStart(track="channel-kk", kind=kind, codec=codec, label="", delay_us=delay_us)  # type: ignore[arg-type]
    with pytest.raises(RefusedError, match="late"):
        gate.start(1, asked, NOW_US)
    mix = ingest.TrackStart(track="channel-kk", kind="audio", codec="opus", label="", delay_us=1_500_000)
    assert gate.start(1, mix, NOW_US) == "remote-channel-kk"


@given(st.text(max_size=60))
def test_no_name_that_could_be_a_path_becomes_a_track(track: str) -> None:
    gate = Gate(max_tracks=2, track_bytes_per_s=1_000)
    gate.connected(1)
    try:
        name = gate.start(1, start(track), NOW_US)
    except RefusedError:
        return
    assert is_id(name)
    assert name == f"remote-{track}"


@pytest.mark.parametrize("track", ["../../etc/passwd", "/etc/passwd", "a/../b", "..", "", "A", "x" * 60, "a\x00b", "a..b"])
def test_traversal_is_refused(gate: Gate, track: str) -> None:
    with pytest.raises(RefusedError, match="name"):
        gate.start(1, start(track), NOW_US)


def test_the_forty_first_track_is_refused(gate: Gate) -> None:
    for number in range(40):
        gate.start(1 + number % 2, start(f"p{number}"), NOW_US)
    with pytest.raises(RefusedError, match="tracks"):
        gate.start(1, start("one-more"), NOW_US)


def test_tracks_that_come_and_go_cannot_fill_the_journal(gate: Gate) -> None:
    count = 0
    with pytest.raises(RefusedError, match="too often"):  # noqa: PT012 - the loop is the attack
        for count in range(10_000):
            gate.start(1, start("p"), NOW_US + count * 1_000)
            gate.stop(1, ingest.TrackStop(track="p", cause="left"))
    assert count < 100


def test_who_comes_again_has_no_fresh_allowance(gate: Gate) -> None:
    begun = 0
    with pytest.raises(RefusedError, match="too often"):  # noqa: PT012 - the loop is the attack
        for peer in range(3, 500):
            gate.connected(peer)
            for _ in range(40):
                gate.start(peer, start(f"p{begun}"), NOW_US)
                begun += 1
            gate.disconnected(peer)
    assert 40 <= begun <= 100


def test_a_track_within_its_quota_goes_on_for_hours_and_one_above_it_ends(gate: Gate) -> None:
    gate.start(1, start("p"), NOW_US)
    for n in range(50 * 3600):
        at_us = NOW_US + n * 20_000
        gate.media(1, media("p", at_us), 200, at_us)
    taken = 0
    with pytest.raises(RefusedError, match="quota"):  # noqa: PT012 - the loop is the attack
        for n in range(100_000):
            at_us += 20_000 if n % 2 else 1
            gate.media(1, media("p", at_us), 1_000, at_us)
            taken += 1
    assert taken * 1_000 < 10_000 * (BURST_S + 1) * 4


@pytest.mark.parametrize(("kind", "codec", "honest_per_s"), [("audio", "opus", 400), ("video", "h264", 60)])
def test_of_a_flood_of_tiny_packets_only_as_many_are_taken_as_anyone_needs(
    gate: Gate, kind: Literal["audio", "video"], codec: Literal["opus", "h264"], honest_per_s: int
) -> None:
    begin = ingest.TrackStart(track="p", kind=kind, codec=codec, label="x")
    gate.start(1, begin, NOW_US)
    for n in range(honest_per_s * 60):
        at_us = NOW_US + n * 1_000_000 // honest_per_s
        gate.media(1, media("p", at_us), 2, at_us)
    taken = 0
    for _ in range(10_000 * 10):
        at_us += 100
        with contextlib.suppress(RefusedError):
            gate.media(1, media("p", at_us), 1, at_us)
            taken += 1
    assert taken < 10_000


def test_what_only_came_of_a_participant_or_too_soon_is_of_his_track_alone(gate: Gate) -> None:
    gate.start(1, start("p"), NOW_US)
    alone: list[tuple[Callable[[], object], bool]] = [
        (lambda: gate.media(1, media("p", NOW_US - 60_000_000), 100, NOW_US), True),
        (lambda: gate.media(1, media("p"), 0, NOW_US), True),
        (lambda: gate.media(1, media("p"), 10**9, NOW_US), True),
        (lambda: gate.start(1, msgspec.structs.replace(start("q"), label="\u202e"), NOW_US), False),
        (lambda: gate.media(1, media("q"), 100, NOW_US), True),
        (lambda: gate.start(1, start("p"), NOW_US), True),
    ]
    for act, is_open in alone:
        with pytest.raises(RefusedError) as refused:
            act()
        assert (refused.value.track in {"p", "q"}, refused.value.is_open) == (True, is_open), refused.value
    assert gate.start(1, start("q"), NOW_US) == "remote-q"
    assert gate.media(1, media("q"), 100, NOW_US) == "remote-q"


def test_a_track_of_a_connection_whose_end_was_not_noticed_yet_begins_in_the_next_one_a_little_later(gate: Gate) -> None:
    gate.start(1, start("p"), NOW_US)
    with pytest.raises(RefusedError) as refused:
        gate.start(2, start("p"), NOW_US)
    assert (refused.value.track, refused.value.is_open) == ("p", False), "it is tried again"
    for _ in range(3):
        with pytest.raises(RefusedError) as refused:
            gate.media(2, media("p"), 100, NOW_US)
        assert (refused.value.track, refused.value.is_open, gate.tells(2, refused.value, NOW_US)) == ("p", True, False)
    gate.disconnected(1)
    assert gate.start(2, start("p"), NOW_US) == "remote-p"
    assert gate.media(2, media("p"), 100, NOW_US) == "remote-p"


def test_names_that_are_asked_for_in_vain_do_not_fill_memory(gate: Gate) -> None:
    whole = []
    for number in range(2_000):
        try:
            gate.start(1, start(f"p{number}"), NOW_US)
        except RefusedError as refused:
            whole.append(not refused.track)
    assert (whole[0], whole[-1]) == (False, True)


def test_nobody_speaks_for_another_peer_s_track(gate: Gate) -> None:
    gate.start(1, start("p"), NOW_US)
    attacks: list[Callable[[], object]] = [
        lambda: gate.media(2, media("p"), 100, NOW_US),
        lambda: gate.stop(2, ingest.TrackStop(track="p", cause="left")),
        lambda: gate.start(2, start("p"), NOW_US),
    ]
    for act in attacks:
        with pytest.raises(RefusedError, match="track"):
            act()


@pytest.mark.parametrize("at_us", [NOW_US - 60_000_000, NOW_US + 60_000_000, -1, 2**62])
def test_a_packet_far_from_now_is_refused(gate: Gate, at_us: int) -> None:
    gate.start(1, start("p"), NOW_US)
    with pytest.raises(RefusedError, match="time"):
        gate.media(1, media("p", at_us), 100, NOW_US)


def test_time_does_not_go_back(gate: Gate) -> None:
    gate.start(1, start("p"), NOW_US)
    gate.media(1, media("p", NOW_US), 100, NOW_US)
    with pytest.raises(RefusedError, match="time"):
        gate.media(1, media("p", NOW_US), 100, NOW_US)


def test_quality_events_cannot_flood_or_carry_what_the_journal_cannot_hold(gate: Gate) -> None:
    gate.start(1, start("p"), NOW_US)
    with pytest.raises(RefusedError, match="quality"):
        gate.quality(1, ingest.Quality(track="p", name="loss", data={"n": 2**60}), NOW_US)
    with pytest.raises(RefusedError, match="too often"):  # noqa: PT012 - the loop is the attack
        for _ in range(QUALITY_PER_S * BURST_S + 1):
            gate.quality(1, ingest.Quality(track="p", name="loss", data={"percent": 3}), NOW_US)


@pytest.mark.parametrize("name", ["speaks", "silent", "received", "link", "not_taken"])
def test_all_that_the_conference_tells_of_a_track_is_taken(gate: Gate, name: str) -> None:
    gate.start(1, start("p"), NOW_US)
    assert gate.quality(1, ingest.Quality(track="p", name=name, data={"packets": 3}), NOW_US) == "remote-p"


@pytest.mark.parametrize("name", ["", "_", "../x", "A", "a b", "x" * 49, "a\x00b"])
def test_what_is_no_event_ends_nothing_but_itself(gate: Gate, name: str) -> None:
    gate.start(1, start("p"), NOW_US)
    with pytest.raises(RefusedError, match="quality") as refused:
        gate.quality(1, ingest.Quality(track="p", name=name, data={}), NOW_US)
    assert (refused.value.track, refused.value.is_open) == ("p", True)


def test_a_flood_of_packets_that_are_refused_is_told_now_and_then_and_hides_no_other_s(gate: Gate) -> None:
    gate.start(1, start("p"), NOW_US)
    gate.start(1, start("q"), NOW_US)
    told = 0
    for n in range(60 * 50):
        at_us = NOW_US + n * 20_000
        with pytest.raises(RefusedError) as refused:
            gate.media(1, media("p", at_us), 0, at_us)
        told += gate.tells(1, refused.value, at_us)
    assert TOLD_BURST < told <= TOLD_BURST + 60 * TOLD_PER_S
    with pytest.raises(RefusedError) as refused:
        gate.media(1, media("q", at_us), 0, at_us)
    assert gate.tells(1, refused.value, at_us)


def test_a_peer_that_goes_ends_its_own_tracks_only(gate: Gate) -> None:
    gate.start(1, start("a"), NOW_US)
    gate.start(2, start("b"), NOW_US)
    assert gate.disconnected(1) == ["remote-a"]
    gate.media(2, media("b"), 10, NOW_US)

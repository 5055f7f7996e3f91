"""Which level a track has at a moment: the part's, raised by what was said while it ran, under the orders."""

from hypothesis import given
from hypothesis import strategies as st

from recorder.record import entries
from recorder.record.entries import FORMAT_VERSION, AnyEntry, Level, Line
from recorder.record.levels import LEVELS, Levels, rank
from recorder.record.order import LevelOrder

END = 40
"""Moments 0 to END - 1, each a microsecond: the timescale is a million."""


def line(seq: int) -> Line:
    return Line(v=FORMAT_VERSION, seq=seq, type="", prev="", mono_us=0, utc_us=0, t_us=0)


def init(track: str, part: int, level: Level) -> entries.Init:
    return entries.Init(
        track=track, part=part, file="", len=0, sha256="", kind="video", codec="", timescale=1_000_000, level=level
    )  # fmt: skip


def frag(track: str, part: int, start: int, end: int) -> entries.Frag:
    return entries.Frag(track=track, part=part, seg=part, n=0, off=0, len=0, sha256="", t0=start, dur=end - start)


def change(level: Level, from_us: int) -> entries.LevelChange:
    return entries.LevelChange(level=level, actor="", order="", from_us=from_us)


def order(level: Level, from_us: int, to_us: int, *tracks: str) -> LevelOrder:
    return LevelOrder(
        v=1, number=1, record="", sums_sha256="", previous_sha256="", utc_us=0, tracks=sorted(tracks), from_us=from_us, to_us=to_us,
        level=level, actor="", order="", keys=[],
    )  # fmt: skip


def told(*journal: AnyEntry, orders: tuple[LevelOrder, ...] = ()) -> Levels:
    levels = Levels()
    for seq, entry in enumerate(journal):
        levels.take(line(seq), entry)
    for one in orders:
        levels.obey(one)
    return levels


def test_a_camera_that_begins_its_new_part_late_is_secret_from_the_order_on() -> None:
    levels = told(init("cam", 0, "open"), change("secret", 10), init("cam", 1, "secret"), frag("cam", 0, 0, 14), frag("cam", 1, 14, 20))
    assert [levels.at("cam", t_us) for t_us in (9, 10, 13, 14, 19)] == ["open", "secret", "secret", "secret", "secret"]


def test_a_part_that_runs_on_after_its_level_was_lowered_keeps_it_and_the_next_has_the_new_one_at_once() -> None:
    """The new part's first sample may lie a moment before the entry's time, by the fit of its device's clock."""
    levels = told(init("cam", 0, "secret"), frag("cam", 0, 0, 12), change("open", 10), init("cam", 1, "open"), frag("cam", 1, 9, 20))
    assert (levels.highest("cam", 0, 10, 12), levels.highest("cam", 1, 9, 20)) == ("secret", "open")
    assert levels.at("cam", 11) == "secret"


def test_a_key_tells_which_level_a_part_was_begun_for_though_its_header_came_later() -> None:
    key = entries.Key(track="cam", part=0, file="", len=0, sha256="")
    levels = told(key, change("secret", 5), init("cam", 0, "open"), frag("cam", 0, 0, 9))
    assert levels.highest("cam", 0, 0, 9) == "secret"


def test_a_sample_that_began_before_a_level_entry_is_of_before_but_an_order_speaks_of_all_of_it() -> None:
    levels = told(init("cam", 0, "open"), frag("cam", 0, 0, 12), change("secret", 10))
    assert [levels.highest("cam", 0, 0, 12, begun) for begun in (9, 10)] == ["open", "secret"]
    levels.obey(order("closed", 11, 12))
    assert levels.highest("cam", 0, 0, 12, 9) == "closed"


def test_an_order_about_all_of_a_part_speaks_of_what_is_presented_a_little_outside_of_it() -> None:
    levels = told(init("cam", 0, "secret"), frag("cam", 0, 5, 10), orders=(order("open", 5, 10),))
    assert (levels.highest("cam", 0, 4, 11), levels.highest("cam", 0, 5, 10)) == ("open", "open")
    levels = told(init("cam", 0, "secret"), frag("cam", 0, 5, 10), orders=(order("open", 5, 9),))
    assert levels.highest("cam", 0, 4, 11) == "secret"


def test_who_lowers_what_was_said_to_be_secret_must_hold_the_secret_parts() -> None:
    levels = told(
        init("cam", 0, "open"), change("secret", 10), entries.Key(track="cam", part=1, file="", len=0, sha256=""),
        init("cam", 1, "secret"), frag("cam", 0, 0, 14), change("open", 20), init("cam", 2, "open"), frag("cam", 1, 14, 20),
        frag("cam", 2, 20, 30),
    )  # fmt: skip
    levels.parts["cam", 1].key = "keys/cam-01.cms"
    held = [[part.number for part in levels.to_be_held(order("open", *span))] for span in ((0, 10), (10, 12), (8, 12), (20, 30))]
    assert held == [[0], [0, 1], [0, 1], [2]]
    assert [part.number for part in levels.to_be_held(order("identity", 8, 12))] == [0]


def test_an_order_of_one_track_says_nothing_of_notes_and_other_tracks() -> None:
    levels = told(
        init("cam", 0, "open"), init("mic", 0, "open"), frag("cam", 0, 0, 9), frag("mic", 0, 0, 9), orders=(order("secret", 3, 6, "cam"),)
    )
    assert (levels.at("cam", 4), levels.at("mic", 4), levels.of_session(4)) == ("secret", "open", "open")
    levels.obey(order("closed", 4, 5))
    assert (levels.at("cam", 4), levels.at("cam", 5), levels.of_session(4), levels.of_session(5)) == ("closed", "secret", "closed", "open")


def test_no_order_speaks_of_stills_which_are_identity_in_a_session_of_a_lower_level() -> None:
    journal = (init("cam", 0, "open"), init("p-identity", 0, "identity"), frag("cam", 0, 0, 9), frag("p-identity", 0, 3, 5))
    levels = told(*journal, change("secret", 6), orders=(order("open", 0, 9), order("open", 3, 5, "p-identity")))
    assert levels.highest("p-identity", 0, 3, 5) == levels.at("p-identity", 4) == "identity"
    assert (levels.of_session(4), levels.at("cam", 4)) == ("open", "open"), "the session's own level is what it would be without them"
    assert [part.track for part in levels.to_be_held(order("open", 0, 9))] == ["cam"]
    assert [part.track for part in levels.with_media((), 0, 9)] == ["cam", "p-identity"]


def test_no_order_speaks_of_stills_in_a_session_that_is_identity_either() -> None:
    still, cam = "remote-party-identity", init("cam", 0, "identity")
    journal = (change("identity", 0), cam, init(still, 0, "identity"), frag("cam", 0, 0, 9), frag(still, 0, 3, 5))
    levels = told(*journal, orders=(order("open", 0, 9), order("open", 3, 5, still)))
    assert levels.highest(still, 0, 3, 5) == levels.at(still, 4) == "identity"
    assert levels.at("cam", 4) == "open"
    assert [part.track for part in levels.to_be_held(order("open", 0, 9))] == ["cam"]


def test_orders_speak_of_a_session_that_is_identity_as_of_any_other() -> None:
    journal = (change("identity", 0), init("cam", 0, "identity"), frag("cam", 0, 0, 9), change("open", 9), init("cam", 1, "open"))
    levels = told(*journal, orders=(order("closed", 0, 9),))
    assert levels.highest("cam", 0, 0, 9) == "closed"
    assert levels.to_be_held(order("open", 0, 9))


some_level = st.sampled_from(LEVELS)
some_orders = st.lists(
    st.builds(
        lambda level, one, other, tracks: order(level, min(one, other), max(one, other) + 1, *tracks),
        some_level, st.integers(0, END - 1), st.integers(0, END - 1), st.sets(st.sampled_from(["cam", "mic"]), max_size=1),
    ),
    max_size=5,
)  # fmt: skip


@st.composite
def sessions(draw: st.DrawFn) -> tuple[Levels, list[tuple[Level, int, int, list[tuple[int, Level]]]]]:
    """A journal of one camera as the recorder writes it, and what was said: each part's level, span, and the changes since it began."""
    moments = sorted(draw(st.sets(st.integers(1, END - 2), max_size=4)))
    starts = [0, *moments]
    said: list[Level] = [draw(some_level) for _ in starts]
    late = [0, *(draw(st.integers(0, 3)) for _ in moments)]
    journal: list[AnyEntry] = []
    parts = []
    for number, (start, level) in enumerate(zip(starts, said, strict=True)):
        if number or level != "open":
            journal.append(change(level, start))
        begin = min(start + late[number], END - 1)
        end = END if number == len(moments) else max(begin + 1, min(starts[number + 1] + late[number + 1], END))
        journal += [init("cam", number, level), frag("cam", number, begin, end)]
        parts.append((level, begin, end, list(zip(starts, said, strict=True))[number + 1 :]))
    return told(*journal), parts


@given(session=sessions(), orders=some_orders, data=st.data())
def test_the_highest_level_of_an_interval_is_that_of_its_highest_moment(
    session: tuple[Levels, list[tuple[Level, int, int, list[tuple[int, Level]]]]], orders: list[LevelOrder], data: st.DataObject
) -> None:
    levels, parts = session
    for one in orders:
        levels.obey(one)

    def expected(part: int, moment: int) -> Level:
        level, _, _, changes = parts[part]
        passed = [said for change_us, said in changes if change_us <= moment]
        running = max(level, passed[-1], key=rank) if passed else level
        for one in orders:
            if one.concerns("cam") and one.from_us <= moment < one.to_us:
                running = one.level
        return running

    number = data.draw(st.integers(0, len(parts) - 1))
    _, begin, end, _ = parts[number]
    from_us = data.draw(st.integers(begin, end - 1))
    to_us = data.draw(st.integers(from_us + 1, end))
    moments = [expected(number, moment) for moment in range(from_us, to_us)]
    assert levels.between("cam", number, from_us, to_us) == (min(moments, key=rank), max(moments, key=rank))
    there = [expected(part, from_us) for part, (_, start, stop, _) in enumerate(parts) if start <= from_us < stop]
    assert levels.at("cam", from_us) == max(there, key=rank)


@given(session=sessions(), orders=some_orders, moment=st.integers(0, END - 1))
def test_the_last_order_stands_over_all(
    session: tuple[Levels, list[tuple[Level, int, int, list[tuple[int, Level]]]]], orders: list[LevelOrder], moment: int
) -> None:
    levels, _ = session
    for one in orders:
        levels.obey(one)
    for level in LEVELS:
        levels.obey(order(level, moment, moment + 1))
        assert (levels.at("cam", moment), levels.of_session(moment)) == (level, level)

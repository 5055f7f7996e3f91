"""Who speaks is known without decoding, and the tiles show whoever spoke last without jumping about."""

from hypothesis import given
from hypothesis import strategies as st

from vks.speaking import PAUSE_US, SPEAKS_DBOV, Speaking, Stage

PACKET_US = 20_000
LOUD, QUIET = SPEAKS_DBOV + 10, SPEAKS_DBOV - 20


def speak(speaking: Speaking, name: str, levels: list[int], now_us: int) -> int:
    for level in levels:
        speaking.hear(name, level, now_us)
        now_us += PACKET_US
    return now_us


def test_a_turn_begins_with_a_voice_outlasts_pauses_and_ends_with_silence() -> None:
    speaking = Speaking()
    now_us = speak(speaking, "a", [LOUD] * 10, 0)
    assert [name for name, _ in speaking.turns(now_us)] == ["a"]
    now_us = speak(speaking, "a", [QUIET] * (PAUSE_US // PACKET_US - 1), now_us)
    assert [name for name, _ in speaking.turns(now_us)] == ["a"]
    now_us = speak(speaking, "a", [QUIET] * 3, now_us)
    assert speaking.turns(now_us) == []


def test_a_click_is_no_turn_and_neither_are_clicks_far_apart() -> None:
    speaking = Speaking()
    now_us = 0
    for _ in range(20):
        now_us = speak(speaking, "a", [LOUD, QUIET, QUIET, QUIET], now_us)
        assert speaking.turns(now_us) == []


def test_the_newest_turn_comes_first() -> None:
    speaking = Speaking()
    for n in range(20):
        speaking.hear("a", LOUD, n * PACKET_US)
        if n >= 10:
            speaking.hear("b", LOUD, n * PACKET_US)
    assert [name for name, _ in speaking.turns(20 * PACKET_US)] == ["b", "a"]


def test_a_new_speaker_takes_the_tile_of_whoever_was_silent_longest_and_nobody_else_moves() -> None:
    stage = Stage()
    for now_us, name in enumerate(["a", "b", "c"], 1):
        stage.spoke([(name, 0)], now_us)
    assert stage.fill(["a", "b"], ["a", "b", "c", "d"]) == ["c", "b"]
    assert stage.fill(["c", "b"], ["a", "b", "c", "d"]) == ["c", "b"]
    assert stage.fill(["c", "b"], ["c"]) == ["c", ""]
    assert stage.fill(["", ""], ["d", "a"]) == ["a", "d"]
    assert stage.fill(["c", "b"], ["a", "b", "c", "screen"], pinned="screen") == ["c", "screen"]


@given(st.data())
def test_tiles_hold_no_more_than_whom_the_viewer_may_see_each_once(data: st.DataObject) -> None:
    names = st.sampled_from("abcdefgh")
    stage = Stage()
    tiles: list[str] = [""] * data.draw(st.integers(0, 6))
    for now_us in range(1, 20):
        stage.spoke([(name, 0) for name in data.draw(st.lists(names, max_size=3))], now_us)
        wanted = data.draw(st.lists(names, unique=True))
        tiles = stage.fill(tiles, wanted)
        shown = [name for name in tiles if name]
        assert set(shown) <= set(wanted)
        assert len(shown) == len(set(shown)) == min(len(tiles), len(wanted))

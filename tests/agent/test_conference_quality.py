"""What the heartbeat says of the videoconference."""

from agent.conference_quality import FRESH_S, ConferenceQuality
from agent.indicators import BY_NAME
from recorder.contract.conference import Fact, Links, Present, Stands

LINKS = Links(rtt_ms=180.5, jitter_ms=30.0, loss_percent=4.0)


def stands(hearing: str, *there: str, links: Links = LINKS) -> Stands:
    people = [
        Present(
            person=person, name=person, role="party", place="hearing", connected=True, rival=False, muted=False, hand=False,
            consultation=0, quality="good",
        )
        for person in there
    ]  # fmt: skip
    return Stands(hearing=hearing, people=people, sharing="", look_ins=[], order=b"", links=links)


def connected(person: str) -> Fact:
    return Fact(name="connected", data={"person": person})


def test_a_room_tells_how_good_the_links_are_by_names_that_the_table_has() -> None:
    quality = ConferenceQuality()
    assert quality.values(0.0) == {}
    quality.stands(stands("h1"), 10.0)
    told = {"conference_rtt_ms": 180.5, "conference_jitter_ms": 30.0, "conference_loss_percent": 4.0, "conference_reconnects": 0.0}
    assert quality.values(11.0) == told
    assert told.keys() <= BY_NAME.keys()


def test_of_a_videoconference_that_is_away_or_empty_nothing_is_said_of_now() -> None:
    quality = ConferenceQuality()
    quality.stands(stands("h1"), 10.0)
    assert quality.values(10.0 + FRESH_S) == {}
    quality.stands(stands("h1", links=Links()), 50.0)
    assert quality.values(50.0) == {"conference_reconnects": 0.0}


def test_who_comes_back_is_counted_and_who_comes_is_not() -> None:
    quality = ConferenceQuality()
    quality.stands(stands("h1"), 0.0)
    for person in ("p1", "p2", "p1", "p1"):
        quality.heard(connected(person))
        quality.heard(Fact(name="disconnected", data={"person": person}))
    quality.heard(Fact(name="connected", data={"person": "p1", "before": 1}))  # a record begins: nobody has come back
    assert quality.values(1.0)["conference_reconnects"] == 2


def test_each_hearing_is_counted_anew_with_who_is_there_at_its_beginning() -> None:
    quality = ConferenceQuality()
    quality.stands(stands("h1"), 0.0)
    quality.heard(connected("p1"))
    quality.heard(connected("p1"))
    quality.stands(stands("h2", "p3"), 1.0)
    assert quality.values(1.0)["conference_reconnects"] == 0
    quality.heard(connected("p1"))
    quality.heard(connected("p3"))
    assert quality.values(1.0)["conference_reconnects"] == 1

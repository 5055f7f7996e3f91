"""An alarm is raised once and ended once."""

from recorder.alarms import Alarms


def test_an_alarm_seen_again_and_again_is_one_entry() -> None:
    alarms = Alarms()
    raised = alarms.set("source_lost", "judge", on=True, detail="eof", now_us=5)
    assert raised is not None
    assert raised.on
    assert alarms.set("source_lost", "judge", on=True, detail="eof", now_us=6) is None
    assert [alarm.since_us for alarm in alarms.all()] == [5]
    ended = alarms.set("source_lost", "judge", on=False, detail="", now_us=7)
    assert ended is not None
    assert not ended.on
    assert alarms.all() == []


def test_an_alarm_that_stays_on_for_another_reason_says_the_new_one() -> None:
    alarms = Alarms()
    alarms.set("mirror_left", "", on=True, detail="is not there", now_us=5)
    assert alarms.set("mirror_left", "", on=True, detail="holds this record sealed already", now_us=9) is None
    assert [(alarm.detail, alarm.since_us) for alarm in alarms.all()] == [("holds this record sealed already", 5)]


def test_the_end_of_an_alarm_that_was_never_on_is_silent() -> None:
    assert Alarms().set("black", "cam", on=False, detail="", now_us=0) is None

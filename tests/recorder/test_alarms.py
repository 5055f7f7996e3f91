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


def test_the_end_of_an_alarm_that_was_never_on_is_silent() -> None:
    assert Alarms().set("black", "cam", on=False, detail="", now_us=0) is None

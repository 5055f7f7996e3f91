import errno
import threading
import time
from collections.abc import Iterator

import pytest

from recorder.disk_calls import DiskCalls

BOUND_S = 0.3


@pytest.fixture
def hang() -> Iterator[threading.Event]:
    """What a disk that hangs waits for."""
    released = threading.Event()
    yield released
    released.set()


def test_a_disk_that_hangs_is_waited_for_once_and_the_other_answers_each_time(hang: threading.Event) -> None:
    calls, asked = DiskCalls(), list[str]()

    def hanging() -> str:
        asked.append("primary")
        hang.wait(30)
        return "late"

    took_s = []
    for _ in range(3):
        began_s = time.monotonic()
        found = calls.each("answer", {"primary": hanging, "mirror": lambda: "here"}, BOUND_S)
        took_s.append(time.monotonic() - began_s)
        assert found["mirror"] == "here"
        assert isinstance(found["primary"], OSError)
    assert asked == ["primary"], "it is not asked again while it hangs"
    assert took_s[0] >= BOUND_S
    assert max(took_s[1:]) < BOUND_S
    hang.set()
    found = calls.each("answer", {"primary": lambda: "back"}, 5.0)
    assert found == {"primary": "back"}


def test_two_who_ask_at_once_are_both_answered(hang: threading.Event) -> None:
    calls, found = DiskCalls(), list[object]()

    def slow() -> str:
        hang.wait(0.1)
        return "here"

    threads = [threading.Thread(target=lambda: found.append(calls.each("answer", {"primary": slow}, 5.0)["primary"])) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == ["here", "here"]


def test_what_a_disk_refuses_is_told_as_it_said() -> None:
    def full() -> str:
        raise OSError(errno.ENOSPC, "No space left on device")

    found = DiskCalls().each("answer", {"primary": full, "mirror": lambda: "here"})
    assert found["mirror"] == "here"
    assert isinstance(found["primary"], OSError)
    assert found["primary"].errno == errno.ENOSPC

"""A camera that may not be opened: each refusal is told with what mends it."""

import errno

import av
import pytest
from av.error import err_check

from drivers.cameras import v4l2
from drivers.capabilities import SourceLostError


@pytest.mark.parametrize(
    ("number", "remedy"), [(errno.EACCES, "udev rule"), (errno.EPERM, "restart the recorder"), (errno.EBUSY, "another program")]
)
def test_a_refusal_names_the_one_thing_that_mends_it(number: int, remedy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # No right to a file stops root, who may run this, and no test has a device filter of its own: the kernel's answer stands here for both.
    monkeypatch.setattr(av, "open", lambda *_, **__: err_check(-number, "/dev/video0"))
    with pytest.raises(SourceLostError, match=remedy):
        v4l2.open({"path": "/dev/video0", "format": "mjpeg", "width": 640, "height": 360, "fps": 5})

"""A recorder with a mistake in it: it stumbles over every third fragment of the camera.

``python -m tests.lab.stumbling_core recorder run …``
"""

from agent import cli
from recorder import running
from recorder.contract import child


def main() -> None:
    """Run the recorder."""
    take = running.RunningSession.take_fragment
    taken = 0

    def stumble(session: running.RunningSession, message: child.Fragment, data: bytes) -> bool:
        nonlocal taken
        taken += message.track == "cam"
        if message.track == "cam" and taken % 3 == 0:
            raise ZeroDivisionError
        return take(session, message, data)

    running.RunningSession.take_fragment = stumble  # type: ignore[assignment,method-assign]
    cli.main()


if __name__ == "__main__":
    main()

"""Whether a file that ``room.toml`` names can be read, and what to do where it cannot."""

from pathlib import Path

from recorder.record.trust import TrustError, load_certificates


def openable(path: str, made_by: str) -> str:
    """What to do about a file that cannot be read: make it, by what makes it, or let the recorder's user read it."""
    if Path(path).exists():
        return f"chown courtroom-recorder {path}, where the recorder runs as that user; and let it into the directories above"
    return f"{made_by}; or correct the path"


def unreadable(path: str) -> str | None:
    """Why a file cannot be read, or None."""
    try:
        with Path(path).open("rb") as file:
            file.read(1)
    except OSError as error:
        return f"{path} cannot be read: {error.strerror}"
    return None


def no_authorities(path: str) -> str | None:
    """Why a file vouches for nobody, or None: it cannot be read, or holds no certificate (PEM)."""
    try:
        load_certificates(Path(path))
    except OSError as error:
        return f"{path} cannot be read: {error.strerror}"
    except TrustError as error:
        return str(error)
    return None

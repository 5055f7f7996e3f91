"""The key of the connection: for agent and delivery where the room is installed, for its owner alone elsewhere."""

import os
import pwd
from pathlib import Path

import pytest

from provisioning.transport_key import KeyAccess, wrong_access

KEY = Path("/var/lib/courtroom-centre/transport.key")
INSTALLED = "chgrp courtroom-centre /var/lib/courtroom-centre/transport.key; chmod 640 /var/lib/courtroom-centre/transport.key"
OWNERS = "chmod 600 /var/lib/courtroom-centre/transport.key"


@pytest.mark.parametrize(
    ("owner", "group", "mode", "told"),
    [
        ("courtroom-agent", "courtroom-centre", 0o640, None),
        ("courtroom-agent", "courtroom-centre", 0o600, ("cannot be read by the delivery", INSTALLED)),
        ("courtroom-agent", "courtroom-agent", 0o600, ("cannot be read by the delivery", INSTALLED)),
        ("courtroom-agent", "courtroom-agent", 0o640, ("other users", INSTALLED)),
        ("courtroom-agent", "courtroom-centre", 0o660, ("other users", INSTALLED)),
        ("courtroom-agent", "courtroom-centre", 0o644, ("other users", INSTALLED)),
        ("clerk", "clerk", 0o600, None),
        ("clerk", "clerk", 0o640, ("other users", OWNERS)),
    ],
)
def test_whom_the_key_must_and_must_not_be_readable_by(owner: str, group: str, mode: int, told: tuple[str, str] | None) -> None:
    wrong = wrong_access(KEY, KeyAccess(owner=owner, group=group, mode=mode))
    if told is None:
        assert wrong is None
    else:
        assert wrong is not None
        assert told[0] in wrong[0]
        assert wrong[1] == told[1]


def test_a_files_access_is_told_by_names(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("")
    file.chmod(0o640)
    access = KeyAccess.of(file)
    assert (access.owner, access.mode) == (pwd.getpwuid(os.geteuid()).pw_name, 0o640)

import datetime as dt
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from provisioning import keys as key_files
from provisioning.keys import Hierarchy
from recorder.media_keys import MediaKeyError, RecipientKey, new_key, unwrap, wrap
from recorder.record import canonical


@pytest.fixture(scope="module")
def keys() -> Hierarchy:
    return key_files.build("room-1", dt.datetime.now(dt.UTC))


@pytest.fixture(scope="module")
def others() -> Hierarchy:
    return key_files.build("room-1", dt.datetime.now(dt.UTC))


def private(keys: Hierarchy) -> rsa.RSAPrivateKey:
    assert isinstance(keys.court.key, rsa.RSAPrivateKey)
    return keys.court.key


def test_a_recipient_opens_a_key_and_nobody_else_does(keys: Hierarchy, others: Hierarchy) -> None:
    key = new_key("record", "cam-judge", 0)
    court = RecipientKey("court", keys.court.certificate, frozenset({"open", "closed"}))
    archive = RecipientKey("archive", others.court.certificate, frozenset({"open"}))
    for_both = wrap(key, [court, archive], "open")
    assert unwrap(for_both, keys.court.certificate, private(keys)) == key
    assert unwrap(for_both, others.court.certificate, private(others)) == key
    for_court = wrap(key, [court, archive], "closed")
    assert unwrap(for_court, keys.court.certificate, private(keys)) == key
    with pytest.raises(MediaKeyError):
        unwrap(for_court, others.court.certificate, private(others))
    assert bytes.fromhex(key.key) not in for_both


def test_a_level_that_nobody_may_open_is_refused_not_wrapped_to_nobody(keys: Hierarchy) -> None:
    court = RecipientKey("court", keys.court.certificate, frozenset({"open"}))
    with pytest.raises(MediaKeyError, match="no recipient may open level 'secret'"):
        wrap(new_key("record", "cam-judge", 0), [court], "secret")


def test_openssl_opens_a_wrapped_key(keys: Hierarchy, tmp_path: Path) -> None:
    key = new_key("record", "mic-1", 3)
    key_files.write(keys, tmp_path / "keys")
    wrapped = tmp_path / "mic-1-03.cms"
    wrapped.write_bytes(wrap(key, [RecipientKey("court", keys.court.certificate, frozenset({"open"}))], "open"))
    command = ["openssl", "cms", "-decrypt", "-inform", "DER", "-in", str(wrapped), "-inkey", str(tmp_path / "keys/court.key")]
    opened = subprocess.run(command, check=True, capture_output=True).stdout
    assert canonical.decode(opened) == {"record": "record", "track": "mic-1", "part": 3, "kid": key.kid, "key": key.key}


def test_damaged_keys_are_refused_in_words(keys: Hierarchy) -> None:
    with pytest.raises(MediaKeyError, match="does not open"):
        unwrap(b"no key at all", keys.court.certificate, private(keys))


def test_every_part_has_its_own_key() -> None:
    made = [new_key("record", "cam-judge", part) for part in range(50)]
    assert len({key.key for key in made} | {key.kid for key in made}) == 100
    assert {len(bytes.fromhex(key.key)) for key in made} == {16}

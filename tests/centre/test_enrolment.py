"""A room gets its certificates for a token: once, in time, from the right centre, and its keys never leave it."""

import asyncio
import datetime as dt
from pathlib import Path

import pytest
from cryptography import x509

from agent.upstream.centre.authority import DOCUMENT_SIGNING
from agent.upstream.client import RefusedError
from agent.upstream.enrolment import EnrolmentError, RoomFiles, enrol, renew, renewal_due
from provisioning.room_file import load
from recorder.record.trust import Authorities, load_certificates, rooms
from tests.lab.centre import Centre, centre
from tests.lab.events import beat
from tests.lab.room import TEST_DEVICES


def test_a_token_is_good_once(shared: Centre, tmp_path: Path) -> None:
    token = shared.token("enrol-1")
    asyncio.run(enrol(shared.url, token, "enrol-1", tmp_path / "one"))
    with pytest.raises(EnrolmentError, match="used already"):
        asyncio.run(enrol(shared.url, token, "enrol-1", tmp_path / "two"))
    assert not (tmp_path / "two").exists()


def test_a_token_is_good_for_its_room_alone(shared: Centre, tmp_path: Path) -> None:
    with pytest.raises(EnrolmentError, match="not good for this room"):
        asyncio.run(enrol(shared.url, shared.token("enrol-2"), "enrol-3", tmp_path / "one"))


def test_another_centre_is_not_told_the_secret(shared: Centre, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    token = shared.token("enrol-4")
    with centre(tmp_path / "other") as other, pytest.raises(EnrolmentError, match="not the centre that gave this token"):
        asyncio.run(enrol(other.url, token, "enrol-4", tmp_path / "room"))
    asyncio.run(enrol(shared.url, token, "enrol-4", tmp_path / "room"))


@pytest.mark.parametrize("token", ["", "courtroom-", "secret", "courtroom-" + "0" * 64 + "::short"])
def test_what_is_no_token_is_told_before_anything_is_sent(tmp_path: Path, token: str) -> None:
    with pytest.raises(EnrolmentError, match="no token"):
        asyncio.run(enrol("https://127.0.0.1:1", token, "room-1", tmp_path))


def test_keys_that_are_there_are_never_overwritten(shared: Centre, tmp_path: Path) -> None:
    asyncio.run(enrol(shared.url, shared.token("enrol-5"), "enrol-5", tmp_path))
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(EnrolmentError, match="never overwritten"):
        asyncio.run(enrol(shared.url, shared.token("enrol-5"), "enrol-5", tmp_path))
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_transport_and_signing_certificates_are_not_good_in_each_others_place(first_room: RoomFiles, shared: Centre) -> None:
    transport = x509.load_pem_x509_certificates(first_room.transport.read_bytes())
    signing = x509.load_pem_x509_certificates(first_room.chain.read_bytes())
    usages = [set(chain[0].extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) for chain in (transport, signing)]
    assert DOCUMENT_SIGNING in usages[1] - usages[0]
    assert not usages[0] & usages[1]
    authorities = Authorities(load_certificates(shared.home.roots))
    now_us = int(dt.datetime.now(dt.UTC).timestamp() * 1e6)
    assert authorities.refusal(signing[0], signing[1:], now_us) is None
    assert list(rooms(signing[0])) == ["room-1"]
    assert transport[0].not_valid_after_utc - dt.datetime.now(dt.UTC) <= dt.timedelta(days=30)


def test_keys_are_the_rooms_own_and_the_printed_lines_are_a_configuration(first_room: RoomFiles, shared: Centre, tmp_path: Path) -> None:
    for path in (first_room.transport_key, first_room.signing_key):
        assert path.stat().st_mode & 0o077 == 0
    config = tmp_path / "room.toml"
    config.write_text(
        first_room.stanzas(shared.url)
        + f'[room]\nid = "room-1"\ncourt = "Court"\n[storage]\nprimary = "{tmp_path / "records"}"\n'
        + TEST_DEVICES
    )
    loaded = load(config)
    assert loaded.centre is not None
    assert loaded.centre.url == shared.url


def test_a_certificate_is_renewed_for_the_same_key_and_goes_on(shared: Centre) -> None:
    files = shared.enrol("renew-1")
    before = files.transport.read_bytes()

    async def renewed() -> None:
        async with shared.client(files) as client:
            await renew(client, files.credentials, "renew-1")
        async with shared.client(files) as client:
            await client.beat(beat())

    asyncio.run(renewed())
    assert files.transport.read_bytes() != before


def test_renewal_is_due_when_two_thirds_are_over(first_room: RoomFiles) -> None:
    certificate = x509.load_pem_x509_certificates(first_room.transport.read_bytes())[0]
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    assert not renewal_due(certificate, begin + (end - begin) * 0.66)
    assert renewal_due(certificate, begin + (end - begin) * 0.67)


def test_a_room_that_was_revoked_gets_no_new_certificate(shared: Centre) -> None:
    from agent.upstream.centre import admin

    files = shared.enrol("renew-2")
    shared.ask(admin.Revoke(name="renew-2"))

    async def renewed() -> None:
        async with shared.client(files) as client:
            await renew(client, files.credentials, "renew-2")

    with pytest.raises(RefusedError, match="revoked"):
        asyncio.run(renewed())

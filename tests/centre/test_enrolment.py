"""A room gets its certificates for a token: once, in time, from the right centre, and its keys never leave it."""

import asyncio
import datetime as dt
import grp
import os
import stat
import tomllib
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from typer.testing import CliRunner

from agent.cli import application
from agent.upstream import enrolment, transfer
from agent.upstream.centre.authority import DOCUMENT_SIGNING
from agent.upstream.client import RefusedError, UpstreamClient, UpstreamError
from agent.upstream.enrolment import EnrolmentError, RoomFiles, enrol, enrol_signing, enrol_transport, renew, renewal_due
from agent.upstream.requests import new_key, request
from provisioning.room_file import load
from recorder.record.trust import Authorities, load_certificates, rooms
from tests.lab.centre import Centre, centre
from tests.lab.events import beat
from tests.lab.room import TEST_DEVICES


def test_a_token_is_good_once(shared: Centre, tmp_path: Path) -> None:
    token = shared.token("enrol-1")
    asyncio.run(enrol(shared.url, token, "enrol-1", tmp_path / "one"))
    with pytest.raises(EnrolmentError, match=r"used already.*token DIRECTORY ROOM"):
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


@pytest.mark.parametrize("url", ["https://127.0.0.1:99999", "https://[::1", "https://", "https://a..b:x", "http://127.0.0.1:1", "nonsense"])
@pytest.mark.parametrize("transport_only", [False, True])
def test_what_is_no_address_is_told_in_words(
    first_room: RoomFiles, shared: Centre, tmp_path: Path, url: str, *, transport_only: bool
) -> None:
    token, keys = shared.token("room-1"), first_room.transport.parent if transport_only else tmp_path / "keys"
    words = ["enrol", "room-1", "--centre", url, "--token", token, "--to", str(keys), *(["--transport-only"] if transport_only else [])]
    done = CliRunner().invoke(application(), words)
    assert (done.exit_code, f"{url} is no address of a centre" in done.stderr) == (1, True), done.output


def test_where_nothing_can_be_written_the_token_is_not_used_up(shared: Centre, tmp_path: Path) -> None:
    token = shared.token("enrol-6")
    (tmp_path / "file").touch()
    for place in (Path("/proc/x"), tmp_path / "file" / "keys"):
        with pytest.raises(EnrolmentError, match=r"the token was not used.*runuser -u courtroom-agent"):
            asyncio.run(enrol(shared.url, token, "enrol-6", place))
    asyncio.run(enrol(shared.url, token, "enrol-6", tmp_path / "keys"))


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


def test_the_delivery_reads_the_transport_key_where_the_directory_is_the_agents_and_its_own(
    shared: Centre, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The group of the two is played by the test's own one; the directory is as systemd/courtroom.tmpfiles.conf makes it."""
    monkeypatch.setattr(enrolment, "CENTRE_GROUP", grp.getgrgid(os.getegid()).gr_name)
    modes = {}
    for room, mode in (("shared-1", 0o2750), ("shared-2", 0o750)):
        (tmp_path / room).mkdir()
        (tmp_path / room).chmod(mode)
        files = asyncio.run(enrol(shared.url, shared.token(room), room, tmp_path / room))
        assert files.transport_key.stat().st_gid == os.getegid()
        modes[room] = [stat.S_IMODE(path.stat().st_mode) for path in (files.transport_key, files.signing_key)]
    assert modes == {"shared-1": [0o640, 0o600], "shared-2": [0o600, 0o600]}


def test_in_an_installed_room_the_line_of_the_centre_is_enough_and_the_signing_key_goes_to_the_recorder(
    shared: Centre, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(enrolment, "CENTRE_GROUP", grp.getgrgid(os.getegid()).gr_name)
    (tmp_path / "centre").mkdir()
    (tmp_path / "centre").chmod(0o2750)
    printed = CliRunner().invoke(application(), ["centre", "token", str(shared.home.root), "installed-1"])
    assert printed.exit_code == 0, printed.output
    token, runuser = printed.stdout.strip().split(" ", 1)
    assert runuser == f"runuser -u courtroom-agent -- courtroom enrol installed-1 --centre {shared.url}"
    environment = dict([token.split("=", 1)])
    order = [*runuser.split()[5:], "--to", str(tmp_path / "centre")]
    done = CliRunner().invoke(application(), order, env=environment)
    assert done.exit_code == 0, done.output
    lines = tomllib.loads(done.stdout)
    assert lines["signing"]["key"] == "/etc/courtroom/keys/device.key"
    assert lines["signing"]["chain"] == "/etc/courtroom/keys/device-chain.pem"
    assert lines["centre_roots"] == lines["centre"]["roots"] == str(tmp_path / "centre/roots.pem")
    moved = f"mv --backup=numbered {tmp_path}/centre/device.key {tmp_path}/centre/device-chain.pem /etc/courtroom/keys"
    assert moved in done.stderr


def test_a_certificate_is_renewed_for_the_same_key_and_goes_on(shared: Centre) -> None:
    files = shared.enrol("renew-1")
    before = files.transport.read_bytes()

    async def renewed() -> None:
        async with shared.client(files) as client:
            await renew(client, files.credentials, "renew-1", dt.datetime.now(dt.UTC))
        async with shared.client(files) as client:
            await client.beat(beat())

    asyncio.run(renewed())
    assert files.transport.read_bytes() != before


class LyingCentre(UpstreamClient):
    """Answers a renewal with what it likes."""

    def __init__(self, files: RoomFiles, transport: str) -> None:
        super().__init__("https://127.0.0.1:1", files.credentials)
        self._transport = transport

    async def renew(self, renewal: transfer.Renewal) -> transfer.Certificates:
        del renewal
        return transfer.Certificates(transport=self._transport, signing="", roots="")


def issued(it: Centre, key: ec.EllipticCurvePrivateKey, room: str, age: dt.timedelta = dt.timedelta()) -> str:
    """A transport certificate as the centre gave it so long ago, with its chain."""
    authority = it.home.authority()
    certificate = authority.transport(request(key, room), room, dt.datetime.now(dt.UTC) - age)
    return certificate.public_bytes(serialization.Encoding.PEM).decode() + authority.chain_pem


def transport_key(files: RoomFiles) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(files.transport_key.read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key


def contents(files: RoomFiles) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in files.roots.parent.iterdir()}


@pytest.mark.parametrize(
    ("room", "age", "own_key", "why"),
    [
        ("renew-3", dt.timedelta(days=31), True, "compare both clocks"),
        ("renew-3", dt.timedelta(days=-1), True, "compare both clocks"),
        ("another", dt.timedelta(), True, "is for another, not for room renew-3"),
        ("renew-3", dt.timedelta(), False, "for another key"),
        ("", dt.timedelta(), True, "holds no PEM certificate"),
    ],
)
def test_no_renewal_replaces_a_good_certificate_by_one_that_is_none(
    shared: Centre, tmp_path: Path, room: str, age: dt.timedelta, own_key: bool, why: str
) -> None:
    files = RoomFiles.under(tmp_path)
    key = new_key()
    files.store(
        x509.load_pem_x509_certificate(shared.home.roots.read_bytes()),
        transfer.Certificates(transport=issued(shared, key, "renew-3"), signing="", roots=""), key, new_key(),
    )  # fmt: skip
    before = contents(files)
    answer = issued(shared, key if own_key else new_key(), room, age) if room else "nothing"
    with pytest.raises(EnrolmentError, match=why):
        asyncio.run(renew(LyingCentre(files, answer), files.credentials, "renew-3", dt.datetime.now(dt.UTC)))
    assert contents(files) == before


def test_a_room_whose_certificate_expired_comes_back_by_a_token_and_keeps_its_keys(shared: Centre) -> None:
    files = shared.enrol("away-1")
    files.transport.write_text(issued(shared, transport_key(files), "away-1", dt.timedelta(days=31)))
    before = contents(files)

    async def heard() -> None:
        async with shared.client(files) as client:
            await client.beat(beat())

    with pytest.raises(UpstreamError):
        asyncio.run(heard())
    token = shared.token("away-1")
    said = CliRunner().invoke(
        application(), ["enrol", "away-1", "--transport-only", "--centre", shared.url, "--token", token, "--to", str(files.roots.parent)]
    )
    assert said.exit_code == 0, said.output
    assert "good until" in said.output
    asyncio.run(heard())
    after = contents(files)
    assert after.pop(files.transport.name) != before.pop(files.transport.name)
    assert after == before


def test_only_a_fresh_token_of_the_same_centre_brings_a_room_back_and_only_where_its_keys_are(shared: Centre, tmp_path: Path) -> None:
    files = shared.enrol("away-2")
    before, now = contents(files), dt.datetime.now(dt.UTC)
    at = files.roots.parent
    used = shared.token("away-2")
    with pytest.raises(EnrolmentError, match="has no keys yet"):
        asyncio.run(enrol_transport(shared.url, used, "away-2", tmp_path, now))
    with pytest.raises(EnrolmentError, match="of another centre"):
        asyncio.run(enrol_transport(shared.url, f"courtroom-{'0' * 64}::{'a' * 43}", "away-2", at, now))
    with pytest.raises(EnrolmentError, match="not good for this room"):
        asyncio.run(enrol_transport(shared.url, shared.token("away-3"), "away-2", at, now))
    assert contents(files) == before
    asyncio.run(enrol_transport(shared.url, used, "away-2", at, now))
    after = contents(files)
    with pytest.raises(EnrolmentError, match="used already"):
        asyncio.run(enrol_transport(shared.url, used, "away-2", at, now))
    assert contents(files) == after


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
            await renew(client, files.credentials, "renew-2", dt.datetime.now(dt.UTC))

    with pytest.raises(RefusedError, match="revoked"):
        asyncio.run(renewed())


def test_the_certificate_that_signs_records_is_made_anew_for_the_same_key_by_a_token(shared: Centre) -> None:
    files = shared.enrol("signs-1")
    before = contents(files)
    words = ["enrol", "signs-1", "--signing-only", "--centre", shared.url, "--token", shared.token("signs-1")]
    said = CliRunner().invoke(application(), [*words, "--to", str(files.chain.parent)])
    assert said.exit_code == 0, said.output
    assert "restarted, between two hearings" in said.output
    after = contents(files)
    old, new = (x509.load_pem_x509_certificates(each.pop(files.chain.name)) for each in (before, after))
    assert after == before
    assert new[0].serial_number != old[0].serial_number
    assert new[0].public_key() == old[0].public_key()
    assert new[1:] == old[1:]
    assert rooms(new[0]) == ["signs-1"]


def test_no_other_centre_and_no_token_of_before_replaces_the_certificate_that_signs_records(shared: Centre, tmp_path: Path) -> None:
    files, now = shared.enrol("signs-2"), dt.datetime.now(dt.UTC)
    before, at = contents(files), files.chain.parent
    (tmp_path / "other").mkdir()
    with centre(tmp_path / "other") as other, pytest.raises(EnrolmentError, match="of another centre"):
        asyncio.run(enrol_signing(other.url, other.token("signs-2"), "signs-2", at, now))
    with pytest.raises(EnrolmentError, match="has no keys yet"):
        asyncio.run(enrol_signing(shared.url, shared.token("signs-2"), "signs-2", tmp_path, now))
    token = shared.token("signs-3")
    asyncio.run(enrol(shared.url, token, "signs-3", tmp_path / "three"))
    with pytest.raises(EnrolmentError, match="used already"):
        asyncio.run(enrol_signing(shared.url, token, "signs-3", tmp_path / "three", now))
    with pytest.raises(EnrolmentError, match="compare both clocks"):
        asyncio.run(enrol_signing(shared.url, shared.token("signs-2"), "signs-2", at, now - dt.timedelta(days=2)))
    assert contents(files) == before

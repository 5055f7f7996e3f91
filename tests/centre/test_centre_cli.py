"""What `courtroom centre` refuses, in one line that says what to do, and what it writes."""

import asyncio
import datetime as dt
import json
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from typer.testing import CliRunner

from agent.archive.station import check_signer, load_signer
from agent.archive.vouchers import is_listed_by
from agent.cli import application
from agent.upstream import contract
from agent.upstream.centre import admin
from agent.upstream.centre.authority import Authority, found
from agent.upstream.centre.cli import app
from agent.upstream.centre.nats_settings import Nats
from agent.upstream.centre.service import running
from agent.upstream.centre.settings import CONFIG, CentreHome, Settings, SettingsError
from agent.upstream.requests import RequestError, new_key, request
from provisioning.revocations import load_revocations
from recorder.record.cli import authorities_of
from recorder.record.trust import Authorities, load_certificates
from tests.lab.centre import Centre, centre
from tests.lab.events import beat, hearing

NOW = dt.datetime(2026, 11, 1, tzinfo=dt.UTC)


def said(*words: str, fails: bool = True) -> str:
    """What a command prints, without its line breaks."""
    done = CliRunner().invoke(application(), ["centre", *words])
    assert done.exit_code == (1 if fails else 0), done.output
    assert done.exception is None or isinstance(done.exception, SystemExit)
    return " ".join(done.output.split())


def raw(*words: str) -> str:
    done = CliRunner().invoke(application(), ["centre", *words])
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.mark.parametrize("name", ['Court "Esil"', "C:\\court\\new", "Есіл соты \N{GRINNING FACE}", "two\nlines\x7f"])
def test_the_configuration_of_a_new_centre_is_read_as_it_was_given(tmp_path: Path, name: str) -> None:
    said("init", str(tmp_path / "centre"), "--name", name, fails=False)
    assert CentreHome(tmp_path / "centre").settings() == Settings(name=name)
    servers = Nats.model_validate({"servers": ["nats://127.0.0.1:4222"], "prefix": "esil"})
    home = CentreHome(tmp_path / "other")
    made = Settings(name=name, custodian=name, source="file", source_at=name, nats=servers)
    home.make(made, NOW)
    assert home.settings() == made


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--port", "99999"], "port: Input should be less than or equal to 65535"),
        (["--host", "::"], "name each with --reached-by"),
        (["--name", "ж" * 40], "at most 56 bytes"),
        (["--name", ""], "no certificate can be made"),
        (["--reached-by", "есіл"], "ASCII names"),
    ],
)
def test_a_centre_that_could_not_run_is_not_made(tmp_path: Path, words: list[str], why: str) -> None:
    assert why in said("init", str(tmp_path / "centre"), *words)
    assert not (tmp_path / "centre" / CONFIG).exists()
    said("init", str(tmp_path / "centre"), "--host", "::", "--reached-by", "centre.example", fails=False)


def no_database(name: str) -> Callable[[Path], None]:
    def damage(home: Path) -> None:
        (home / name).write_bytes(b"no database" * 1000)

    return damage


def no_endpoint(home: Path) -> None:
    with (home / CONFIG).open("a") as config:
        config.write(f'[s3]\nendpoint = "not a url"\nbucket = "b"\naccess_key = "a"\nsecret_file = "{home / CONFIG}"\n')


def no_socket(home: Path) -> None:
    CentreHome(home).socket.mkdir()


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        (no_socket, "socket .* cannot be made: Is a directory; give the centre's user"),
        (no_database("uploads.sqlite"), "uploads.sqlite cannot be used"),
        (no_database("centre.sqlite"), "centre.sqlite cannot be used"),
        (no_endpoint, "endpoint must be an address"),
    ],
)
def test_what_keeps_a_centre_from_running_is_one_clear_error(tmp_path: Path, damage: Callable[[Path], None], why: str) -> None:
    home = CentreHome(tmp_path)
    home.make(Settings(port=0), NOW)
    damage(tmp_path)

    async def run() -> None:
        async with running(home):
            pass

    with pytest.raises(SettingsError, match=why):
        asyncio.run(run())


def test_a_room_whose_name_no_certificate_can_have_gets_no_token(shared: Centre) -> None:
    shared.token("r" * 64)
    with pytest.raises(admin.AdminError, match="has 65 bytes"):
        shared.token("r" * 65)
    root, issuing = found("Court", NOW)
    with pytest.raises(RequestError, match="has 65 bytes"):
        Authority(issuing, root.certificate).transport(request(new_key(), "room"), "r" * 65, NOW)


def test_a_key_that_is_there_is_not_overwritten_and_the_way_out_is_told(shared: Centre, tmp_path: Path) -> None:
    shared.ask(admin.MakeRole(role="custodian", to=str(tmp_path)))
    key = (tmp_path / "custodian.key").read_bytes()
    with pytest.raises(admin.AdminError, match=r"custodian\.key is there already: name another directory with --to"):
        shared.ask(admin.MakeRole(role="custodian", to=str(tmp_path)))
    assert (tmp_path / "custodian.key").read_bytes() == key


def test_a_room_is_forgotten_only_when_nobody_waits_for_it(tmp_path: Path) -> None:
    now_us = time.time_ns() // 1000
    planned = hearing("h-1", "mistyped", starts_utc_us=now_us - 3_700_000_000)
    with centre(tmp_path) as at:
        at.ask(admin.PutSchedule(hearings=[planned, hearing("h-2", "mistyped", starts_utc_us=now_us - 86_400_000_000 * 2 + 60_000_000)]))
        refused = said("forget", str(at.home.root), "mistyped")
        assert "hearings are planned in 'mistyped', or were to end within the last day: h-1. Move them to another room" in refused
        at.ask(admin.PutSchedule(hearings=[msgspec.structs.replace(planned, room="room-1")]))
        assert "mistyped is listed no longer" in said("forget", str(at.home.root), "mistyped", fails=False)
        assert [room["room"] for room in json.loads(raw("rooms", str(at.home.root), "--json"))] == ["room-1"]
        assert "there is no room 'mistyped'" in said("forget", str(at.home.root), "mistyped")
        files = at.enrol("here-1")
        at.ask(admin.Forget(room="here-1"))

        async def come() -> None:
            async with at.client(files) as room:
                for sha256 in heads:
                    await room.beat(beat(contract.Head(record="r", at=1, sha256=sha256)))

        heads = ["a" * 64]
        asyncio.run(come())
        assert "'here-1' is there: it was heard" in said("forget", str(at.home.root), "here-1")
        heads = ["b" * 64]
        asyncio.run(come())
        assert "a record of 'here-1' contradicts what was countersigned" in said("forget", str(at.home.root), "here-1")


def test_the_lists_of_what_was_revoked_are_of_all_who_sign(tmp_path: Path) -> None:
    """By them a room deletes what the centre acknowledged, as the root's own signer did, and refuses what a denied room signed."""
    with centre(tmp_path) as at:
        files = at.enrol("lists-1")
        leaf, *others = load_certificates(files.chain)
        (tmp_path / "revoked.pem").write_text(printed := raw("revoke", str(at.home.root), "lists-1"))
        authorities = Authorities(load_certificates(at.home.roots), load_revocations(tmp_path / "revoked.pem"))
        assert is_listed_by(authorities, at.home.identity_certificate("notary"), [])
        assert is_listed_by(authorities, leaf, others)
        assert authorities.revoked(leaf, others) is not None
        assert authorities.revoked(at.home.identity_certificate("notary"), []) is None
        verifying = authorities_of(at.home.roots, [tmp_path / "revoked.pem"])
        assert verifying is not None
        assert verifying.revocation_lists[1].issuer == at.home.identity_certificate("root").subject
        # The root's key is kept elsewhere: its last list goes on being given.
        (at.home.root / "root.key").rename(tmp_path / "root.key")
        assert raw("revocations", str(at.home.root)).endswith(printed[printed.rindex("-----BEGIN") :])
        (at.home.root / "root-revoked.pem").unlink()
        assert "give its key by --root-key once" in said("revocations", str(at.home.root))
        at.enrol("lists-2")
        denied = said("revoke", str(at.home.root), "lists-2")
        assert "2 certificates of lists-2 denied here" in denied
        assert "the root's list is missing above" in denied
        assert raw("revocations", str(at.home.root), "--root-key", str(tmp_path / "root.key")).count("BEGIN X509 CRL") == 2
        assert "is not the key of" in said("revocations", str(at.home.root), "--root-key", str(at.home.root / "issuing.key"))


def test_what_the_roots_last_list_revokes_the_next_one_does(tmp_path: Path) -> None:
    home = CentreHome(tmp_path)
    home.make(Settings(), NOW)
    root = home.identity("root")
    before = Authority(root, root.certificate).revocation_list([(77, NOW)], NOW, 1)
    (tmp_path / "root-revoked.pem").write_bytes(before.public_bytes(serialization.Encoding.PEM))
    assert x509.load_pem_x509_crl(home.root_list(NOW).encode()).get_revoked_certificate_by_serial_number(77) is not None
    (tmp_path / "root.key").unlink()
    home.root_list(NOW + dt.timedelta(days=364))
    with pytest.raises(SettingsError, match="no list of the root's that is in force"):
        home.root_list(NOW + dt.timedelta(days=366))


def test_the_centres_own_certificates_are_renewed_for_the_same_keys(tmp_path: Path) -> None:
    home = CentreHome(tmp_path)
    home.make(Settings(names=["centre.example"]), NOW)
    before = {what: home.identity_certificate(what) for what in ("server", "notary")}
    key = tmp_path / "elsewhere.key"
    (tmp_path / "root.key").rename(key)
    assert "say where by --root-key" in said("renew", str(tmp_path), "notary")
    assert home.identity_certificate("notary") == before["notary"]
    assert "is not the key of" in said("renew", str(tmp_path), "notary", "--root-key", str(tmp_path / "issuing.key"))
    later = NOW + dt.timedelta(days=300)
    for what, root_key in (("server", None), ("notary", key)):
        until = home.renew(what, later, root_key)  # type: ignore[arg-type]
        made = home.identity_certificate(what)
        assert made.not_valid_after_utc == until > before[what].not_valid_after_utc
        assert (made.public_key(), made.subject) == (before[what].public_key(), before[what].subject)
    home.server.context()
    assert len(load_certificates(home.server.certificate)) == 3
    names = home.identity_certificate("server").extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["centre.example"]
    # Receipts from before the renewal stand by the new certificate as well.
    trusted = Authorities(load_certificates(home.roots))
    for at in (NOW, later, NOW + dt.timedelta(days=900)):
        assert trusted.refusal(home.identity_certificate("notary"), [], int(at.timestamp() * 1e6)) is None
    assert "server.pem is good until" in said("renew", str(tmp_path), "server", fails=False)


def test_a_hearing_that_ends_before_it_begins_is_refused_from_a_file_too(shared: Centre) -> None:
    with pytest.raises(admin.AdminError, match="'cli-2': it ends before it begins; none of the file was taken"):
        shared.plan(hearing("cli-1", "cli"), hearing("cli-2", "cli", ends_utc_us=hearing("cli-2", "cli").starts_utc_us))
    assert shared.ask(admin.PutSchedule(hearings=[hearing("cli-1", "cli")]))["changed"] == 1


def test_a_second_centre_in_a_directory_is_refused_and_the_first_goes_on(tmp_path: Path) -> None:
    with centre(tmp_path, port=0) as at:
        assert "a centre runs in" in said("run", str(at.home.root))
        assert at.ask(admin.Rooms())["rooms"] == []
    at.start()  # the lock ends with its process
    at.kill()
    at.start()
    at.stop()


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b'{"hearings": [\n  {"id": "a",}\n]}', "line 2, column 1"),
        (b'{"hearings": [\n', "line 2, column 1: this is no JSON"),
        (b'{"hearings": "\xff"}', "JSON in UTF-8"),
        (b'{"hearing": []}', "docs/openapi.yaml"),
    ],
)
def test_a_file_of_hearings_that_is_malformed_is_told_with_its_place(tmp_path: Path, data: bytes, why: str) -> None:
    (tmp_path / "hearings.json").write_bytes(data)
    assert why in said("schedule", str(tmp_path), str(tmp_path / "hearings.json"))


def test_a_room_with_a_space_in_its_name_is_refused_in_words_and_not_by_a_pattern(shared: Centre, tmp_path: Path) -> None:
    (tmp_path / "hearings.json").write_text('{"hearings": [{"id": "a", "room": "Courtroom 3", "starts_utc_us": 1, "ends_utc_us": 2}]}')
    planned = said("schedule", str(shared.home.root), str(tmp_path / "hearings.json"))
    enrolled = said("token", str(shared.home.root), "Courtroom 3")
    assert "`$.hearings[0].room`" in planned
    for refusal in (planned, enrolled):
        assert "as in courtroom-3" in refusal
        assert "regex" not in refusal


def test_the_certificate_of_an_archive_station_signs_receipts_and_opens_no_connection(shared: Centre, tmp_path: Path) -> None:
    key, pem = raw("certificate", str(shared.home.root), "archive_station", "--to", str(tmp_path)).split()
    _, certificate = load_signer(Path(key), Path(pem))
    trusted = Authorities(load_certificates(shared.home.roots))
    chain = load_certificates(shared.enrol("station-1").chain)[1:]
    now_us = int(dt.datetime.now(dt.UTC).timestamp() * 1e6)
    check_signer(certificate, trusted, chain, now_us)
    usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert x509.oid.ExtendedKeyUsageOID.CLIENT_AUTH not in usage
    assert "1 certificate of archive_station denied" in said("revoke", str(shared.home.root), "archive_station", fails=False)


def test_a_new_centre_tells_what_the_roots_key_is_needed_for_again(tmp_path: Path) -> None:
    told = said("init", str(tmp_path / "centre"), fails=False)
    assert "renew DIRECTORY notary" in told
    assert "courtroom centre revocations" in told


def test_every_command_of_the_centre_stands_on_its_page() -> None:
    page = (Path(__file__).parents[2] / "docs" / "centre.md").read_text(encoding="utf-8")
    table = page[page.index("## Day by day") : page.index("## Revocation")]
    names = [command.name or command.callback.__name__ for command in app.registered_commands if command.callback is not None]
    shown = {name for name in names if f"`courtroom centre {name} " in table or f", `{name} DIRECTORY`" in table}
    assert set(names) - shown <= {"init", "run"}


def test_a_hearing_in_a_room_that_never_came_is_planned_and_its_room_named(shared: Centre, tmp_path: Path) -> None:
    files = shared.enrol("came-1")

    async def come() -> None:
        async with shared.client(files) as client:
            await client.beat(beat())

    asyncio.run(come())
    hearings = [msgspec.to_builtins(hearing(f"in-{room}", room)) for room in ("came-1", "cmae-1")]
    (tmp_path / "hearings.json").write_bytes(msgspec.json.encode({"hearings": hearings}))
    told = said("schedule", str(shared.home.root), str(tmp_path / "hearings.json"), fails=False)
    assert "2 of 2 hearings" in told
    assert "No room of this name ever came: cmae-1." in told

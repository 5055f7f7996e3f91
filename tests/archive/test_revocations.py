"""The delivery and the authority's revocation list: what it withdrew, or does not say, deletes no record."""

import asyncio
import contextlib
import datetime as dt
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from agent.archive.acknowledgement import store
from agent.archive.delivery import Delivery
from agent.archive.records import Records
from agent.archive.retention import tombstones
from agent.archive.vouchers import Vouchers
from agent.upstream.contract import RecordDeleted, RecordDelivered
from provisioning.keys import Hierarchy, Identity, build
from provisioning.revocations import load_revocations, out_of_date
from recorder.record.trust import Authorities, load_certificates
from tests.archive.conftest import acknowledged, until
from tests.record.record_builder import Builder

Make = Callable[..., Builder]
DAY = dt.timedelta(days=1)


def revocation_list(by: Identity, *revoked: Identity, began: dt.timedelta = -DAY, ends: dt.timedelta = DAY) -> bytes:
    now = dt.datetime.now(dt.UTC)
    listed = x509.CertificateRevocationListBuilder().issuer_name(by.certificate.subject).last_update(now + began).next_update(now + ends)
    for one in revoked:
        entry = x509.RevokedCertificateBuilder().serial_number(one.certificate.serial_number).revocation_date(now).build()
        listed = listed.add_revoked_certificate(entry)
    assert isinstance(by.key, ec.EllipticCurvePrivateKey)
    return listed.sign(by.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


@contextlib.asynccontextmanager
async def delivering(base: Path, vouchers: Vouchers) -> AsyncIterator[Delivery]:
    """A delivery that deletes whatever it may: its disk never has enough room."""

    async def tell(event: RecordDelivered | RecordDeleted) -> None:
        del event

    records = Records([base], Authorities(load_certificates(vouchers.roots)))
    delivery = Delivery(records, None, tell, base / ".told.json", keep_days=0, free_bytes=2**62, vouchers=vouchers, look_s=0.02)
    delivery.set_clock(believed=True)
    task = asyncio.create_task(delivery.run())
    try:
        yield delivery
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
def vouchers(tmp_path: Path, keys: Hierarchy) -> Vouchers:
    (tmp_path / "roots.pem").write_bytes(keys.root.pem)
    return Vouchers(tmp_path / "roots.pem", tmp_path / "revoked.pem")


def unreadable(path: Path, keys: Hierarchy) -> None:
    del keys
    path.mkdir()


def damaged(path: Path, keys: Hierarchy) -> None:
    path.write_bytes(revocation_list(keys.root)[:-60])


def empty(path: Path, keys: Hierarchy) -> None:
    del keys
    path.write_bytes(b"")


def too_old(path: Path, keys: Hierarchy) -> None:
    path.write_bytes(revocation_list(keys.root, began=-2 * DAY, ends=-DAY))


def one_of_two_too_old(path: Path, keys: Hierarchy) -> None:
    path.write_bytes(revocation_list(keys.root) + revocation_list(keys.root, began=-2 * DAY, ends=-DAY))


def of_tomorrow(path: Path, keys: Hierarchy) -> None:
    path.write_bytes(revocation_list(keys.root, began=DAY, ends=2 * DAY))


def of_another_authority(path: Path, keys: Hierarchy) -> None:
    del keys
    path.write_bytes(revocation_list(build("room-1", dt.datetime.now(dt.UTC)).root))


def that_withdraws_the_archive(path: Path, keys: Hierarchy) -> None:
    path.write_bytes(revocation_list(keys.root, keys.centre))


def too_old_that_withdraws_the_archive(path: Path, keys: Hierarchy) -> None:
    path.write_bytes(revocation_list(keys.root, keys.centre, began=-2 * DAY, ends=-DAY))


@pytest.mark.parametrize(
    ("lay", "why"),
    [
        (unreadable, "cannot be read"),
        (damaged, "holds no revocation list"),
        (empty, "holds no revocation list"),
        (too_old, "was to be replaced"),
        (one_of_two_too_old, "was to be replaced"),
        (of_tomorrow, "has not reached"),
        (of_another_authority, "no revocation list here is of who issued"),
        (that_withdraws_the_archive, "was revoked"),
        (too_old_that_withdraws_the_archive, "was revoked"),
    ],
)
async def test_a_list_that_withdraws_the_archive_or_says_nothing_now_deletes_no_record_until_one_lets_it(
    make_record: Make, keys: Hierarchy, vouchers: Vouchers, lay: Callable[[Path, Hierarchy], None], why: str
) -> None:
    builder = make_record(seconds=1)
    base, path = builder.root.parent, vouchers.revocations
    assert path is not None
    store(builder.root, acknowledged(builder, keys.centre, utc_us=time.time_ns() // 1000 - 1_000_000))
    lay(path, keys)
    async with delivering(base, vouchers) as delivery:
        await until(lambda: any(why in alarm for alarm in delivery.status().alarms))
        assert builder.root.exists()
        assert tombstones(base, pytest.fail) == []
        if path.is_dir():
            path.rmdir()
        path.write_bytes(revocation_list(keys.root))
        await until(lambda: not builder.root.exists())
        await until(lambda: delivery.status().alarms == ())


async def test_an_authority_that_is_taken_away_while_it_runs_lets_nothing_go(
    make_record: Make, keys: Hierarchy, vouchers: Vouchers
) -> None:
    builder = make_record(seconds=1)
    store(builder.root, acknowledged(builder, keys.centre, utc_us=time.time_ns() // 1000 - 1_000_000))
    roots = vouchers.roots.read_bytes()
    vouchers.roots.write_bytes(build("room-1", dt.datetime.now(dt.UTC)).root.pem)
    plain = Vouchers(vouchers.roots)
    async with delivering(builder.root.parent, plain) as delivery:
        await until(lambda: any("vouches" in alarm for alarm in delivery.status().alarms))
        vouchers.roots.write_bytes(b"")
        await until(lambda: any("no record is deleted" in alarm for alarm in delivery.status().alarms))
        assert builder.root.exists()
        vouchers.roots.write_bytes(roots)
        await until(lambda: not builder.root.exists())


def test_a_file_may_hold_several_lists_or_one_as_der(keys: Hierarchy, tmp_path: Path) -> None:
    path = tmp_path / "lists"
    path.write_bytes(revocation_list(keys.root) + revocation_list(keys.centre))
    assert [one.issuer for one in load_revocations(path)] == [keys.root.certificate.subject, keys.centre.certificate.subject]
    path.write_bytes(load_revocations(path)[0].public_bytes(serialization.Encoding.DER))
    (one,) = load_revocations(path)
    assert out_of_date([one], dt.datetime.now(dt.UTC)) == ""
    assert "replaced" in out_of_date([one], dt.datetime.now(dt.UTC) + 2 * DAY)

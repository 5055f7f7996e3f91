"""Gives a level order beside a sealed record: decides which keys go to whom, signs, and writes files that were not there before.

The record stays as it is, byte for byte. The order's own file comes last: what a crash leaves before it belongs to nothing.
"""

import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import pkcs7

from recorder import media_keys
from recorder.disk import sync_directory
from recorder.media_keys import RecipientKey
from recorder.mixed_levels import Mixes, mixes_of
from recorder.part_keys import KeyDamagedError, NotAddressedError, open_key
from recorder.record import canonical, entries, layout
from recorder.record.cms import Addressee
from recorder.record.levels import Levels, PartSpan, rank
from recorder.record.order import ORDER_VERSION, LevelOrder, OrderError, OrderKey, order_bytes, order_sha256
from recorder.record.order_check import Orders, check_orders, holders, may_not_lower, may_sign, order_files, seal_of
from recorder.seal import put_file, read_journal

MAX_ORDERS = 9999


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What is ordered: tracks (none: all), session time (``to_us`` None: to the end), level, by whom, by which order of the court."""

    level: entries.Level
    tracks: tuple[str, ...] = ()
    from_us: int = 0
    to_us: int | None = None
    actor: str
    order: str


@dataclass(slots=True)
class Given:
    """An order that was given, and what it did for the keys of the parts that it speaks of."""

    order: LevelOrder
    admitted: list[str] = field(default_factory=list)
    """To whom keys were wrapped anew, by name."""
    wrapped: list[PartSpan] = field(default_factory=list)
    pieces: list[PartSpan] = field(default_factory=list)
    """Parts of which it lowers a piece: their keys would open more than it says."""
    strangers: list[str] = field(default_factory=list)
    """Those who were named and are no recipients of the record."""
    lowered: list[PartSpan] = field(default_factory=list)
    raised: list[PartSpan] = field(default_factory=list)
    mixes: Mixes = field(default_factory=Mixes)
    """What it leaves of language channels."""


def behind(given: Given, wish: Wish) -> Wish | None:
    """What is to be ordered next, where language channels may have behind an interval that was raised what was said in it."""
    mixes = given.mixes
    return replace(wish, tracks=mixes.behind, from_us=given.order.to_us, to_us=mixes.behind_to_us) if mixes.behind else None


def give_order(
    record: Path, wish: Wish, certificate: x509.Certificate, key: rsa.RSAPrivateKey, admitted: Sequence[RecipientKey], utc_us: int
) -> Given:
    """Give an order; ``admitted`` are those who may open its level, of whom only the record's own recipients count.

    Raises:
        OrderError: it cannot be given; the message says why and what to do. Nothing was written.
        OSError: the disk failed; what it left belongs to nothing.
    """
    genesis, levels = _read(record)
    sums = seal_of(record, genesis)
    _check_recipient(genesis, certificate)
    tracks = sorted(set(wish.tracks))
    unknown = set(tracks) - set(levels.tracks)
    if unknown:
        raise OrderError(f"the record has no track {', '.join(sorted(unknown))}; it has {', '.join(levels.tracks)}")
    stills = {part.track for part in levels.parts.values() if part.stands_apart} & set(tracks)
    if stills:
        raise OrderError(f"{', '.join(sorted(stills))} holds stills of identity checks, of which no order speaks: they are in no copy")
    from_us, to_us = _interval(wish, levels)
    with _alone(record):
        found = _orders(record, genesis, sums, levels)
        number = len(found.given) + 1
        if number > MAX_ORDERS:
            raise OrderError(f"the record has {MAX_ORDERS} orders, and no number is left")
        blank = LevelOrder(
            v=ORDER_VERSION, number=number, record=genesis.record, sums_sha256=order_sha256(sums), previous_sha256=found.last_sha256,
            utc_us=utc_us, tracks=tracks, from_us=from_us, to_us=to_us, level=wish.level, actor=wish.actor, order=wish.order, keys=[],
        )  # fmt: skip
        closed = may_sign(record, Addressee.of(certificate), levels.to_be_held(blank), found)
        if closed is not None:
            raise OrderError(
                f"this key cannot open track {closed.track}, part {closed.number}: an order is given by somebody who could open all that "
                "it speaks of; use another recipient's key"
            )
        set_before = may_not_lower(record, Addressee.of(certificate), blank, levels, found)
        if set_before is not None:
            raise OrderError(
                f"order {set_before.order.number} of '{set_before.recipient}' ({set_before.order.order}) set '{set_before.order.level}' "
                "there, and the record opens less to this key than to his: let him lower it, or somebody to whom it opens as much"
            )
        own = {recipient.certificate_sha256 for recipient in genesis.recipients}
        strangers = [one.name for one in admitted if one.certificate.fingerprint(hashes.SHA256()).hex() not in own]
        given = _judge(Given(blank, strangers=strangers), levels.concerned(tracks, from_us, to_us), levels)
        given.mixes = mixes_of(blank, given.raised, given.lowered + given.pieces, levels)
        files = _wrap(record, given, levels, found, certificate, key, _counting(own, admitted, wish.level))
        given.order = _with_keys(blank, files)
        _write(record, given.order, files, certificate, key, found.unfinished)
    return given


def _read(record: Path) -> tuple[entries.Genesis, Levels]:
    genesis, levels = None, Levels()
    for line, entry in read_journal(record):
        if isinstance(entry, entries.Genesis):
            genesis = entry
        levels.take(line, entry)
    if genesis is None:
        raise OrderError(f"{record} is no record: it has no {layout.JOURNAL} with a first line")
    return genesis, levels


def _check_recipient(genesis: entries.Genesis, certificate: x509.Certificate) -> None:
    if not genesis.recipients:
        raise OrderError("the record was made in the clear, for nobody: there is no recipient who could sign an order")
    if certificate.fingerprint(hashes.SHA256()).hex() not in {recipient.certificate_sha256 for recipient in genesis.recipients}:
        names = ", ".join(recipient.name for recipient in genesis.recipients)
        raise OrderError(f"this key is no recipient's of the record; those are: {names}. Give the key of one of them")


def _interval(wish: Wish, levels: Levels) -> tuple[int, int]:
    end_us = max((part.to_us for part in levels.parts.values()), default=0)
    to_us = end_us if wish.to_us is None else wish.to_us
    if not 0 <= wish.from_us < to_us:
        raise OrderError(f"the interval from {wish.from_us / 1e6:.3f} s to {to_us / 1e6:.3f} s is none; give a --to after --from")
    if to_us > end_us:
        raise OrderError(
            f"the record ends at {end_us / 1e6:.3f} s of session time, before {to_us / 1e6:.3f} s; leave --to out to mean its end"
        )
    return wish.from_us, to_us


def _orders(record: Path, genesis: entries.Genesis, sums: bytes, levels: Levels) -> Orders:
    files, others = order_files(record)
    found = check_orders(record, files, genesis, sums, levels)
    wrong = [*others, *(f"{problem.place}: {problem.text}" for problem in found.problems)]
    if wrong:
        raise OrderError(f"the orders that are there do not hold, and none can follow them: {wrong[0]}; see `courtroom verify`")
    return found


def _counting(own: set[str], admitted: Sequence[RecipientKey], level: entries.Level) -> list[RecipientKey]:
    """Of those who may open the level, the record's own recipients (by the hashes of their certificates)."""
    return [one for one in admitted if level in one.levels and one.certificate.fingerprint(hashes.SHA256()).hex() in own]


def _judge(given: Given, concerned: Sequence[PartSpan], levels: Levels) -> Given:
    """What the order changes for each part; pure."""
    order = given.order
    for part in concerned:
        assert part.from_us is not None
        lowest, highest = levels.between(part.track, part.number, max(order.from_us, part.from_us), min(order.to_us, part.to_us))
        if rank(order.level) > rank(lowest):
            given.raised.append(part)
        if rank(order.level) < rank(highest):
            whole = part.is_within(order.from_us, order.to_us)
            (given.lowered if whole else given.pieces).append(part)
    return given


def _wrap(
    record: Path,
    given: Given,
    levels: Levels,
    found: Orders,
    certificate: x509.Certificate,
    key: rsa.RSAPrivateKey,
    counting: Sequence[RecipientKey],
) -> dict[tuple[str, int], bytes]:
    """The keys of the parts that are lowered as a whole, wrapped to those who did not have them."""
    files: dict[tuple[str, int], bytes] = {}
    for part in given.lowered:
        held = holders(record, part, found)
        new = [one for one in counting if Addressee.of(one.certificate) not in held]
        if not new:
            continue
        try:
            opened = open_key(record, given.order.record, part, levels.orders, certificate, key)
        except (NotAddressedError, KeyDamagedError) as error:
            raise OrderError(f"the media key cannot be opened: {error}; see `courtroom verify`") from error
        files[part.track, part.number] = media_keys.wrap(opened, new, given.order.level)
        given.wrapped.append(part)
        given.admitted += [one.name for one in new if one.name not in given.admitted]
    return files


def _with_keys(blank: LevelOrder, files: dict[tuple[str, int], bytes]) -> LevelOrder:
    keys = [OrderKey(track=track, part=part, sha256=order_sha256(data)) for (track, part), data in sorted(files.items())]
    return LevelOrder(**{name: getattr(blank, name) for name in blank.__struct_fields__} | {"keys": keys})


def _write(
    record: Path,
    order: LevelOrder,
    files: dict[tuple[str, int], bytes],
    certificate: x509.Certificate,
    key: rsa.RSAPrivateKey,
    unfinished: Sequence[str],
) -> None:
    try:
        data = order_bytes(order)
    except canonical.NotCanonicalError as error:
        raise OrderError(f"the order cannot be written: {error}") from error
    for path in unfinished:
        # A crash left it under the number that is given now; it was never an order, and must not look like a part of this one.
        (record / path).unlink()
    if files:
        (record / layout.ORDERS / f"{order.number:04d}").mkdir(mode=0o700, exist_ok=True)
    for (track, part), wrapped in files.items():
        put_file(record / layout.order_key_file(order.number, track, part), wrapped)
    builder = pkcs7.PKCS7SignatureBuilder().set_data(data).add_signer(certificate, key, hashes.SHA256())
    options = [pkcs7.PKCS7Options.DetachedSignature, pkcs7.PKCS7Options.Binary]
    put_file(record / layout.order_signature_file(order.number), builder.sign(serialization.Encoding.DER, options))
    put_file(record / layout.order_file(order.number), data)


@contextmanager
def _alone(record: Path) -> Iterator[None]:
    """Nobody else gives an order beside this record meanwhile: two would take the same number."""
    place = record / layout.ORDERS
    if not place.is_symlink():
        place.mkdir(mode=0o700, exist_ok=True)
    sync_directory(record)
    descriptor = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise OrderError("somebody else gives an order beside this record at this moment; try again") from error
        yield
    finally:
        os.close(descriptor)

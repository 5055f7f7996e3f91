"""Reads the level orders beside a record's seal and says which are in force. Needs no key and trusts nothing beyond the record's own seal.

An order is in force when it is signed by a recipient whom the record's first line names, who could open every part that the order speaks of
(by the names on the wrapped keys, and on those that earlier orders wrapped), when it names this seal and the order before it, and when the
keys that it wraps are there. Where it lowers what an earlier order set, its signer must be one to whom the recorder opened all that it
opened to the signer of that one. The first that is not in force makes the record contradict itself.
"""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives import hashes

from recorder.record import canonical, checksums, entries, layout
from recorder.record.cms import Addressee, CmsError, addressees, check_detached
from recorder.record.file_check import LIST_BYTES, inventory, open_regular, read_small
from recorder.record.levels import Levels, PartSpan, rank
from recorder.record.order import FIRST_PREVIOUS, LevelOrder, OrderError, OrderKey, order_sha256, read_order
from recorder.record.trust import TrustError, name, read_device_chain

LAST_US = canonical.MAX_INTEGER
"""Behind every session time."""
MAX_ORDER_BYTES = 1024 * 1024
"""As a line of the journal; its signature and a wrapped key are far smaller."""


@dataclass(frozen=True, slots=True)
class GivenOrder:
    """An order in force: its hash, the recipient who signed it (as the record calls him), and how his certificate and the keys do."""

    order: LevelOrder
    sha256: str
    recipient: str
    subject: str
    signer: Addressee


@dataclass(frozen=True, slots=True)
class Problem:
    """What contradicts: a code for programs, the file, and plain words."""

    code: str
    place: str
    text: str


@dataclass(slots=True)
class Orders:
    """What stands under ``orders/``."""

    given: list[GivenOrder] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    unfinished: list[str] = field(default_factory=list)
    """Files of an order that was being written when the PC crashed: its own file, which comes last, is not there."""
    first: dict[tuple[str, int], frozenset[Addressee]] = field(default_factory=dict)
    """To whom the recorder wrapped the key of a part; only of parts that somebody asked for."""
    later: dict[tuple[str, int], frozenset[Addressee]] = field(default_factory=dict)
    """To whom orders wrapped it."""
    last_sha256: str = FIRST_PREVIOUS


def order_files(root: Path) -> tuple[dict[str, int], list[str]]:
    """The regular files under ``orders/`` with their lengths, and what is there besides; paths are relative to the record.

    Raises:
        OrderError: they cannot be read.
    """
    place = root / layout.ORDERS
    if place.is_symlink() or (place.exists() and not place.is_dir()):
        return {}, [layout.ORDERS]
    try:
        files, others = inventory(place) if place.exists() else ({}, [])
    except OSError as error:
        raise OrderError(f"{error.filename or place} cannot be read: {error.strerror}") from error
    return {f"{layout.ORDERS}/{path}": size for path, size in files.items()}, [f"{layout.ORDERS}/{path}" for path in others]


def seal_of(root: Path, genesis: entries.Genesis) -> bytes:
    """The bytes of a record's SHA256SUMS, where they are signed by the device that its first line names and fit its journal.

    Media is not read: that is for ``verify``. Whether anybody vouches for the device is not asked either.

    Raises:
        OrderError: there is no seal, or it is not that of this journal; the message says what to do.
    """
    missing = [path for path in (layout.SUMS, layout.SUMS_SIGNATURE, layout.DEVICE_CHAIN) if not (root / path).is_file()]
    if missing:
        raise OrderError(
            f"the record is not sealed ({', '.join(missing)} is not there): orders speak of sealed records alone; stop the session"
        )
    try:
        sums = read_small(root / layout.SUMS, LIST_BYTES)
        signer = check_detached(read_small(root / layout.SUMS_SIGNATURE), sums).certificate
        chain = read_device_chain(root)
        listed = checksums.parse(sums)
        journals = {leaf.name: _file_sha256(leaf) for leaf in root.iterdir() if layout.journal_number(leaf.name) is not None}
    except (OSError, CmsError, TrustError, checksums.ChecksumsError) as error:
        raise OrderError(f"the record is broken: its seal does not hold ({error}); see `courtroom verify`") from error
    if signer != chain[0] or signer.fingerprint(hashes.SHA256()).hex() != genesis.device_certificate_sha256:
        raise OrderError("the record is broken: its seal is not by the device that its first line names; see `courtroom verify`")
    named = {path for path in listed if layout.journal_number(path) is not None}
    for path in sorted(journals.keys() | named):
        if path not in journals or listed.get(path) != journals[path]:
            raise OrderError(f"the record is broken: {path} is not what the seal lists; see `courtroom verify`")
    return sums


def read_orders(root: Path, genesis: entries.Genesis, levels: Levels) -> list[GivenOrder]:
    """The orders in force, told to ``levels``, which has taken the whole journal; none where none were given.

    Raises:
        OrderError: one does not hold, or something else stands among them: nobody may obey a part of them.
    """
    files, others = order_files(root)
    if not files and not others:
        return []
    if others:
        raise OrderError(f"{others[0]} is no regular file; see `courtroom verify`")
    found = check_orders(root, files, genesis, seal_of(root, genesis), levels)
    if found.problems:
        first = found.problems[0]
        raise OrderError(f"{first.place}: {first.text}; none of the orders is obeyed: see `courtroom verify`, and ask who gave them")
    return found.given


def check_orders(root: Path, files: Mapping[str, int], genesis: entries.Genesis, sums: bytes, levels: Levels) -> Orders:
    """Check the files under ``orders/``; those in force are told to ``levels`` in their order.

    Args:
        root: the record.
        files: lengths by path (``order_files``); what is no regular file is the caller's to refuse.
        genesis: the record's first entry.
        sums: the bytes of its SHA256SUMS, whose signature is the caller's to check.
        levels: has taken the whole journal.
    """
    found, explained = Orders(), set[str]()
    numbers = {number for number in range(1, 10_000) if layout.order_file(number) in files}
    last = max(numbers, default=0)
    for number in range(1, last + 1):
        if number not in numbers:
            text = "is not there, but a later order is: an order was taken away"
            found.problems.append(Problem("order_missing", layout.order_file(number), text))
            continue
        _check_one(root, files, number, genesis, order_sha256(sums), levels, found, explained)
    for path in sorted(files.keys() - explained):
        # The order's own file comes last: what stands there without it was never an order.
        if layout.order_number(path) == last + 1:
            found.unfinished.append(path)
        else:
            found.problems.append(Problem("order_stray", path, "belongs to no order: it was put there by somebody"))
    return found


def may_sign(root: Path, signer: Addressee, parts: list[PartSpan], found: Orders) -> PartSpan | None:
    """The first of these parts that the signer could not open, or None where he could open all.

    Raises:
        OrderError: to whom a key is wrapped cannot be read.
    """
    return next((part for part in parts if signer not in holders(root, part, found)), None)


def may_not_lower(root: Path, signer: Addressee, order: LevelOrder, levels: Levels, found: Orders) -> GivenOrder | None:
    """The first earlier order that this one lowers and its signer may not, or None.

    A record does not say who stands above whom. But to whom more was opened from the first is trusted more, so whoever could open all that
    the earlier signer could may lower what he set, and nobody else: else who holds the keys of what was open could undo that it is secret.

    Raises:
        OrderError: to whom a key is wrapped cannot be read.
    """
    for earlier in found.given:
        if rank(order.level) >= rank(earlier.order.level) or earlier.signer == signer or not order.meets(earlier.order):
            continue
        for part in levels.with_media((), 0, LAST_US):
            opened = _first(root, part, found)
            if earlier.signer in opened and signer not in opened:
                return earlier
    return None


def holders(root: Path, part: PartSpan, found: Orders) -> frozenset[Addressee]:
    """To whom the key of a part is wrapped, by the recorder or by an order in force.

    Raises:
        OrderError: it cannot be read.
    """
    return _first(root, part, found) | found.later.get((part.track, part.number), frozenset())


def _check_one(
    root: Path,
    files: Mapping[str, int],
    number: int,
    genesis: entries.Genesis,
    sums_sha256: str,
    levels: Levels,
    found: Orders,
    explained: set[str],
) -> None:
    place = layout.order_file(number)
    previous = found.last_sha256
    explained |= {place, layout.order_signature_file(number)}
    try:
        data = _read(root, place, files)
        found.last_sha256 = order_sha256(data)
        order = read_order(data, number)
        explained |= {layout.order_key_file(number, key.track, key.part) for key in order.keys}
    except (OSError, OrderError) as error:
        found.problems.append(Problem("order_damaged", place, str(error)))
        return
    before = len(found.problems)
    if order.record != genesis.record:
        found.problems.append(Problem("order_record", place, f"speaks of another record ({order.record})"))
    elif order.sums_sha256 != sums_sha256:
        found.problems.append(Problem("order_record", place, f"speaks of another seal: its hash is not that of {layout.SUMS}"))
    if order.previous_sha256 != previous:
        found.problems.append(Problem("order_chain", place, "does not follow the order before it: one of them was changed or taken away"))
    given = _check_signer(root, files, data, order, genesis, levels, found)
    wrapped = {(key.track, key.part): _check_key(root, files, order, key, levels, found) for key in order.keys}
    if given is None or len(found.problems) > before:
        return
    found.given.append(given)
    levels.obey(order)
    for part, more in wrapped.items():
        found.later[part] = found.later.get(part, frozenset()) | more


def _check_signer(
    root: Path, files: Mapping[str, int], data: bytes, order: LevelOrder, genesis: entries.Genesis, levels: Levels, found: Orders
) -> GivenOrder | None:
    place = layout.order_signature_file(order.number)
    try:
        signed = check_detached(_read(root, place, files), data)
    except (OSError, OrderError, CmsError) as error:
        found.problems.append(Problem("order_signature", place, f"the signature over the order does not hold: {error}"))
        return None
    fingerprint = signed.certificate.fingerprint(hashes.SHA256()).hex()
    known = next((recipient for recipient in genesis.recipients if recipient.certificate_sha256 == fingerprint), None)
    if known is None or len(signed.certificates) != 1:
        text = f"signed by {name(signed.certificate)}, who is none of the recipients that the record's first line names"
        found.problems.append(Problem("order_signer", place, text))
        return None
    unknown = set(order.tracks) - set(levels.tracks)
    if unknown:
        text = f"speaks of what the record has not: track {', '.join(sorted(unknown))}"
        found.problems.append(Problem("order_damaged", layout.order_file(order.number), text))
    signer = Addressee.of(signed.certificate)
    try:
        closed = may_sign(root, signer, levels.to_be_held(order), found)
        set_before = may_not_lower(root, signer, order, levels, found)
    except OrderError as error:
        found.problems.append(Problem("order_signer", place, f"nobody can tell whether '{known.name}' may give it: {error}"))
        return None
    if closed is not None:
        text = f"signed by '{known.name}', to whom track {closed.track}, part {closed.number} was never opened"
        found.problems.append(Problem("order_signer", place, text))
        return None
    if set_before is not None:
        text = f"signed by '{known.name}', who may not lower what order {set_before.order.number} of '{set_before.recipient}' set"
        found.problems.append(Problem("order_signer", place, text))
        return None
    return GivenOrder(order, order_sha256(data), known.name, signed.certificate.subject.rfc4514_string(), signer)


def _check_key(
    root: Path, files: Mapping[str, int], order: LevelOrder, key: OrderKey, levels: Levels, found: Orders
) -> frozenset[Addressee]:
    path = layout.order_key_file(order.number, key.track, key.part)
    part = levels.parts.get((key.track, key.part))
    if part is None or part.stands_apart or not order.concerns(key.track) or not part.is_within(order.from_us, order.to_us):
        text = "the order wraps the key of a part that it does not cover: the key opens more than the order says"
        found.problems.append(Problem("order_key", path, text))
        return frozenset()
    try:
        data = _read(root, path, files)
        wrapped = addressees(data)
    except (OSError, OrderError, CmsError) as error:
        found.problems.append(Problem("order_key", path, f"is no wrapped key: {error}"))
        return frozenset()
    if order_sha256(data) != key.sha256:
        found.problems.append(Problem("order_key", path, "is not the key that the order names"))
    return wrapped


def _first(root: Path, part: PartSpan, found: Orders) -> frozenset[Addressee]:
    known = found.first.get((part.track, part.number))
    if known is not None:
        return known
    if not layout.is_id(part.track) or part.key != layout.key_file(part.track, part.number):
        raise OrderError(f"{part.track}, part {part.number} has no wrapped key")
    try:
        data = read_small(root / part.key)
        read = addressees(data)
    except (OSError, CmsError) as error:
        raise OrderError(f"{part.key}: {error}") from error
    if order_sha256(data) != part.key_sha256:
        raise OrderError(f"{part.key} is not the key that the journal names")
    found.first[part.track, part.number] = read
    return read


def _file_sha256(path: Path) -> str:
    with os.fdopen(open_regular(path), "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read(root: Path, path: str, files: Mapping[str, int]) -> bytes:
    if path not in files:
        raise OrderError(f"{path} is not there")
    if files[path] > MAX_ORDER_BYTES:
        raise OrderError(f"{path} has {files[path]} bytes; the most is {MAX_ORDER_BYTES}")
    return read_small(root / path)

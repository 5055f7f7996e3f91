"""Whether the keys and certificates that ``room.toml`` names fit together, and are valid now."""

import datetime as dt
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from provisioning.keys import CLOSED_DIRECTORY, ROOM_URN
from provisioning.problems import Finding
from provisioning.revocations import load_revocations, out_of_date
from provisioning.room import Centre, CredentialKey, FileKey, RecipientCertificate, RoomConfig
from provisioning.toml_places import Place
from provisioning.transport_key import CENTRE_DIRECTORY, KeyAccess, wrong_access
from recorder.record.trust import TrustError, may_sign_documents

SOON = dt.timedelta(days=30)
RENEWAL_LATE = 5 / 6
"""Of the connection's certificate's life: the agent renews it at two thirds; by then it has tried in vain for days."""
MIN_RSA_BITS = 2048


def check_signing(config: RoomConfig, now: dt.datetime) -> Iterator[Finding]:
    """The signing key and its chain: readable, P-256, a pair, in order, valid at ``now``, and of this room."""
    if isinstance(config.signing, CredentialKey):
        return
    place: Place = ("signing", "chain")
    chain = _certificates(config.signing.chain, place, "`courtroom keys make` or `courtroom enrol` makes it; or correct the path")
    if isinstance(chain, Finding):
        yield chain
        return
    device = chain[0]
    public = device.public_key()
    if not isinstance(public, ec.EllipticCurvePublicKey) or not isinstance(public.curve, ec.SECP256R1):
        yield Finding(place=place, what="the device's certificate is not of a P-256 key", remedy="make one of prime256v1")
    else:
        if isinstance(config.signing, FileKey):
            yield from _pair(config.signing, public)
        if not may_sign_documents(device):
            what = f"the certificate '{_name(device)}' is not for signing documents: it lacks documentSigning (1.3.6.1.5.5.7.3.36)"
            yield Finding(place=place, what=what, remedy="a verifier will refuse the record; ask its authority for one with that purpose")
    for certificate in chain:
        yield from _validity(certificate, place, now, f"the certificate '{_name(certificate)}'")
    for lower, upper in pairwise(chain):
        if not _issued(lower, upper):
            what = f"'{_name(lower)}' is not issued by '{_name(upper)}', which follows it"
            yield Finding(place=place, what=what, remedy="the device's certificate stands first, then each one's issuer")
    if config.centre_roots:
        yield from _to_roots(config.centre_roots, chain[-1], place)
    rooms = _rooms(device)
    if config.room.id not in rooms:
        what = f"the certificate is of room {', '.join(sorted(rooms)) or '(none)'}, and this file is of '{config.room.id}'"
        yield Finding(place=place, what=what, remedy="a verifier will refuse the record; take this room's certificate")


def check_recipient(place: Place, recipient: RecipientCertificate, now: dt.datetime) -> Iterator[Finding]:
    """A recipient's certificate: readable, RSA of at least 2,048 bits, valid at ``now``."""
    at: Place = (*place, "certificate")
    chain = _certificates(recipient.certificate, at, "ask the recipient for the certificate (PEM), never for the key; or correct the path")
    if isinstance(chain, Finding):
        yield chain
        return
    public = chain[0].public_key()
    if not isinstance(public, rsa.RSAPublicKey):
        yield Finding(place=at, what="is not of an RSA key, which media keys are wrapped to", remedy=f"RSA of at least {MIN_RSA_BITS} bits")
    elif public.key_size < MIN_RSA_BITS:
        yield Finding(place=at, what=f"is of {public.key_size} bits, which can be broken", remedy=f"RSA of at least {MIN_RSA_BITS} bits")
    yield from _validity(chain[0], at, now, "it")
    if not recipient.levels:
        what = "is an empty list: nothing would be readable by this recipient"
        yield Finding(place=(*place, "levels"), what=what, remedy="leave it out for all levels, or drop the recipient", severity="warning")


def check_centre(config: RoomConfig, now: dt.datetime) -> Iterator[Finding]:
    """What the connection to the centre needs. Warnings alone: the room records without a centre, and tells it everything later."""
    centre = config.centre
    yield from _closed(config)
    yield from _revocations(("centre_revocations",), config.centre_revocations, now)
    if centre is None:
        return
    yield from _revocations(("centre", "revocations"), centre.revocations, now)
    enrol = f"`courtroom enrol {config.room.id}{_to(centre)}` with the token that its centre gives; until then it works alone"
    yield from _transport(centre, config.room.id, now, enrol)
    for key, path in (("roots", centre.roots), ("receipt_roots", centre.receipt_roots)):
        found = _certificates(path, ("centre", key)) if path else []
        if isinstance(found, Finding):
            yield replace(found, remedy=found.remedy or enrol, severity="warning")
    if not centre.receipt_roots and not config.centre_roots:
        what = "neither receipt_roots nor centre_roots is named: no acknowledgement can be believed, so that no record may ever be deleted"
        yield Finding(place=("centre",), what=what, remedy='add centre_roots = "…" before the first [table]', severity="warning")


def _closed(config: RoomConfig) -> Iterator[Finding]:
    """What the delivery, and partly the agent, must read, and cannot: their units close the recorder's directory to them."""
    files: list[tuple[Place, str]] = [(("centre_roots",), config.centre_roots), (("centre_revocations",), config.centre_revocations)]
    if config.centre is not None:
        names = ("key", "certificate", "roots", "receipt_roots", "revocations")
        files += [(("centre", name), getattr(config.centre, name)) for name in names]
    for place, path in files:
        if path and CLOSED_DIRECTORY in Path(path).parents:
            what = f"{path} cannot be read by the delivery, which cannot look into {CLOSED_DIRECTORY}: nothing is sent, and nothing deleted"
            better = CLOSED_DIRECTORY.parent / ("roots.pem" if place == ("centre_roots",) else Path(path).name)
            remedy = f"install -m 644 {path} {better}, and name that"
            if place in {("centre", "key"), ("centre", "certificate")}:
                remedy = f"keep it in {CENTRE_DIRECTORY}, where the agent can renew the certificate"
            yield Finding(place=place, what=what, remedy=remedy, severity="warning")


def _revocations(place: Place, path: str, now: dt.datetime) -> Iterator[Finding]:
    if not path:
        return
    try:
        what = out_of_date(load_revocations(Path(path)), now)
    except OSError as error:
        what = f"{path} cannot be read: {error.strerror}"
    except TrustError as error:
        what = str(error)
    if what:
        remedy = "lay the authority's present list there, and see to it that it is replaced in time"
        yield Finding(place=place, what=f"{what}; no record is deleted until then", remedy=remedy, severity="warning")


def _transport(centre: Centre, room: str, now: dt.datetime, enrol: str) -> Iterator[Finding]:
    place: Place = ("centre", "certificate")
    chain = _certificates(centre.certificate, place)
    if isinstance(chain, Finding):
        yield replace(chain, remedy=chain.remedy or enrol, severity="warning")
        return
    begins, ends = chain[0].not_valid_before_utc, chain[0].not_valid_after_utc
    for finding in _validity(chain[0], place, now, "it", soon=(ends - begins) * (1 - RENEWAL_LATE)):
        again = f"`courtroom enrol {room} --transport-only{_to(centre)}` with a new token of the centre"
        what = f"{finding.what}; recording goes on, and the centre hears of it later"
        remedy = again if now > ends else "the agent should have renewed it: see its alarms (`courtroom hearing status`)"
        yield replace(finding, what=what, remedy=finding.remedy if now < begins else remedy, severity="warning")
    rooms = _rooms(chain[0])
    if room not in rooms:
        what = f"is of room {', '.join(sorted(rooms)) or '(none)'}, and this file is of '{room}': the centre will refuse it"
        yield Finding(place=place, what=what, remedy="enrol this room", severity="warning")
    key_file = Path(centre.key)
    try:
        wrong = wrong_access(key_file, KeyAccess.of(key_file))
        if wrong:
            yield Finding(place=("centre", "key"), what=wrong[0], remedy=wrong[1], severity="warning")
        key = load_pem_private_key(key_file.read_bytes(), password=None)
    except PermissionError:
        return  # the agent's user reads it, and nobody else should
    except OSError as error:
        what = f"{centre.key} cannot be read: {error.strerror}"
        yield Finding(place=("centre", "key"), what=what, remedy=enrol, severity="warning")
        return
    except (TypeError, ValueError):
        what = f"{centre.key} holds no private key in PEM form without a password"
        yield Finding(place=("centre", "key"), what=what, remedy=enrol, severity="warning")
        return
    if key.public_key() != chain[0].public_key():
        yield Finding(place=("centre", "key"), what="does not belong to the certificate", remedy=enrol, severity="warning")


def _to(centre: Centre) -> str:
    """How `courtroom enrol` is told to lay its files where this room's are looked for; nothing where it does so by itself."""
    directory = Path(centre.certificate).parent
    return "" if directory == CENTRE_DIRECTORY else f" --to {directory}"


def _certificates(path: str, place: Place, remedy: str = "") -> list[x509.Certificate] | Finding:
    """The certificates of a file, or why there are none; ``remedy`` is for a file that is not there."""
    try:
        return x509.load_pem_x509_certificates(Path(path).read_bytes())
    except PermissionError as error:
        readable = "let the user read it who runs this: a certificate is no secret (chmod 644; and the directories above it)"
        return Finding(place=place, what=f"{path} cannot be read: {error.strerror}", remedy=readable)
    except OSError as error:
        return Finding(place=place, what=f"{path} cannot be read: {error.strerror}", remedy=remedy)
    except ValueError:
        return Finding(place=place, what=f"{path} holds no certificate in PEM form", remedy="openssl x509 -in FILE -out FILE.pem")


def _pair(signing: FileKey, public: ec.EllipticCurvePublicKey) -> Iterator[Finding]:
    place: Place = ("signing", "key")
    try:
        key = load_pem_private_key(Path(signing.key).read_bytes(), password=None)
    except OSError:
        return  # said with the other private files
    except TypeError:
        yield Finding(place=place, what="is protected by a password", remedy='use kind = "credential" or "pkcs11" to protect a key at rest')
        return
    except ValueError:
        remedy = "`courtroom keys make` or `courtroom enrol` makes one; or correct the path"
        yield Finding(place=place, what=f"{signing.key} holds no private key in PEM form", remedy=remedy)
        return
    if key.public_key() != public:
        what = "does not belong to the first certificate of the chain"
        yield Finding(place=place, what=what, remedy="the chain begins with the device's own certificate")


def _validity(certificate: x509.Certificate, place: Place, now: dt.datetime, what: str, soon: dt.timedelta = SOON) -> Iterator[Finding]:
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if now > ends:
        yield Finding(place=place, what=f"{what} expired on {ends:%Y-%m-%d}", remedy="ask its authority for a new one")
    elif now < begins:
        remedy = f"check the clock, which says {now:%Y-%m-%d %H:%M} UTC"
        yield Finding(place=place, what=f"{what} is valid only from {begins:%Y-%m-%d %H:%M} UTC", remedy=remedy)
    elif now > ends - soon:
        what = f"{what} expires on {ends:%Y-%m-%d}"
        yield Finding(place=place, what=what, remedy="ask its authority for a new one now", severity="warning")


def _to_roots(path: str, last: x509.Certificate, place: Place) -> Iterator[Finding]:
    roots = _certificates(path, ("centre_roots",))
    if isinstance(roots, Finding):
        if Path(path).exists():  # a file that cannot be opened is said with the other files
            yield roots
        return
    if not any(last == root or _issued(last, root) for root in roots):
        what = f"'{_name(last)}' is issued by none of the authorities in {path}"
        yield Finding(place=place, what=what, remedy="add the certificates between, or the right root to centre_roots")


def _issued(lower: x509.Certificate, upper: x509.Certificate) -> bool:
    try:
        lower.verify_directly_issued_by(upper)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _rooms(certificate: x509.Certificate) -> set[str]:
    names = {str(attribute.value) for attribute in certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)}
    try:
        alternative = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return names
    uris = alternative.get_values_for_type(x509.UniformResourceIdentifier)
    rooms = {uri.removeprefix(ROOM_URN) for uri in uris if uri.startswith(ROOM_URN)}
    return rooms or names


def _name(certificate: x509.Certificate) -> str:
    attributes = certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    return str(attributes[0].value) if attributes else certificate.subject.rfc4514_string()

"""The file of revocation lists that ``room.toml`` names: what it holds, and whether that may still be believed."""

import datetime as dt
from collections.abc import Sequence
from pathlib import Path

from cryptography import x509

from recorder.record.trust import load_revocation_lists

_EARLY = dt.timedelta(minutes=5)
"""By how much an authority's clock may be ahead of ours."""


def load_revocations(path: Path) -> list[x509.CertificateRevocationList]:
    """The revocation lists of a file: any number as PEM, or one as DER.

    Raises:
        TrustError: it holds none, or one that cannot be read.
        OSError: it cannot be read.
    """
    return load_revocation_lists(path)


def out_of_date(lists: Sequence[x509.CertificateRevocationList], now: dt.datetime) -> str:
    """Why these lists do not say what is withdrawn ``now``; empty where they do.

    A list without an end is none that can be believed: every one has its nextUpdate (RFC 5280, 5.1.2.5).
    """
    for one in lists:
        by = one.issuer.rfc4514_string()
        if one.next_update_utc is None:
            return f"the revocation list of {by} does not say until when it holds (nextUpdate)"
        if now > one.next_update_utc:
            return f"the revocation list of {by} was to be replaced by {one.next_update_utc:%Y-%m-%d %H:%M} UTC"
        if one.last_update_utc > now + _EARLY:
            return f"the revocation list of {by} is of {one.last_update_utc:%Y-%m-%d %H:%M} UTC, which this PC's clock has not reached"
    return ""

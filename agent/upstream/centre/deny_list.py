"""The centre's own list of the certificates that it denied, for those who verify records: itself and others."""

import datetime as dt

from cryptography import x509

from agent.upstream.centre.authority import Authority
from agent.upstream.centre.backend import Registry
from recorder.record.trust import Authorities


async def revocation_list(registry: Registry, authority: Authority) -> x509.CertificateRevocationList:
    """The list as it is now.

    Raises:
        AwayError: the registry cannot be reached: an old list must not stand for it.
    """
    revoked = [(serial, dt.datetime.fromtimestamp(utc_us / 1e6, dt.UTC)) for serial, utc_us in await registry.revoked()]
    return authority.revocation_list(revoked, dt.datetime.now(dt.UTC))


async def vouching(registry: Registry, authority: Authority) -> Authorities:
    """Who vouches for rooms' devices here: the root, but for what was denied."""
    return Authorities([authority.root], [await revocation_list(registry, authority)])

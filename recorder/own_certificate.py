"""Looks ahead at the end of the certificate by which the room signs records: who waits for it has records that nobody vouches for.

It stops nothing: what is recorded and signed after that end stays whole, and provable by the key; only no authority answers for it.
"""

import asyncio
import datetime as dt
from collections.abc import Callable

from cryptography import x509

from provisioning.room import RoomConfig

WARN_DAYS = 60
"""So long before the end, but at most for the last third of its life: it needs a token of the centre, and a pause between hearings."""
LOOK_S = 3_600.0
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def ends_soon(certificate: x509.Certificate, now_utc_us: int) -> bool:
    """Whether it is time for another one, or past it."""
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return _EPOCH + dt.timedelta(microseconds=now_utc_us) > ends - min(dt.timedelta(days=WARN_DAYS), (ends - begins) / 3)


def words(certificate: x509.Certificate, config: RoomConfig) -> str:
    """Until when it is good, and what is to be done."""
    until = f"{certificate.not_valid_after_utc:%Y-%m-%d}"
    what = f"the certificate that signs records is good until {until}: recording goes on, but nobody vouches for what is signed later"
    if config.centre is None or config.signing.kind != "file":
        return f"{what}; ask its authority for a new one, for the same key, and restart the recorder between hearings"
    command = f"courtroom enrol {config.room.id} --signing-only --centre {config.centre.url}"
    return f"{what}; ask the centre for a token, run, as courtroom-recorder, `COURTROOM_TOKEN=… {command}`, and restart it between hearings"


async def watch(
    certificate: x509.Certificate, config: RoomConfig, utc_us: Callable[[], int], tell: Callable[[str], None], look_s: float = LOOK_S
) -> None:
    """Tell once when it is time. Ends then."""
    while True:
        if ends_soon(certificate, utc_us()):
            tell(words(certificate, config))
            return
        await asyncio.sleep(look_s)

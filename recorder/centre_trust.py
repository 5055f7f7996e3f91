"""Who vouches for what the centre or an archive signs, by room.toml."""

from pathlib import Path

import structlog

from provisioning.room import RoomConfig
from recorder.record.trust import Authorities, TrustError, load_certificates

log = structlog.get_logger()


def authorities_of(config: RoomConfig) -> Authorities | None:
    """Who vouches for the signers of receipts, by room.toml; None where nobody is named, or the file cannot be read."""
    path = (config.centre.receipt_roots if config.centre is not None else "") or config.centre_roots
    if not path:
        return None
    try:
        return Authorities(load_certificates(Path(path)))
    except (OSError, TrustError) as error:
        log.warning("the signers of receipts are taken as they come: their authorities cannot be read", file=path, error=str(error))
        return None

"""What may be wrong with a device that is reached by the network: secrets in its address, who it is, who vouches for it."""

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, urlsplit

from provisioning.named_files import no_authorities, openable, unreadable
from provisioning.problems import Finding
from provisioning.room import TRUSTED_BY_THE_PC, RtspCamera, RtspMicrophone
from provisioning.toml_places import Place

_SECRET_NAME = re.compile(r"[a-z_-]*(pass|pwd|psw|secret|token|auth|apikey|api_key)[a-z_-]*=", re.IGNORECASE)
"""A name in an address's query whose value is likely a secret, as ``password`` in ``?user=admin&password=…``."""

LONGEST_ACCESS_BYTES = 127
"""As the driver has it (drivers/microphones/rtsp_sound.py), whose codecs nobody here may import."""


def check_network_device(place: Place, device: RtspCamera | RtspMicrophone) -> Iterator[Finding]:
    """All findings about a device by RTSP but those of who may read its password's file."""
    urls = {"url": device.url}
    if isinstance(device, RtspCamera) and device.sub_url:
        urls["sub_url"] = device.sub_url
    for key, url in urls.items():
        yield from _secret_in_url((*place, key), url)
    if bool(device.user) != bool(device.password_file):
        missing, there = ("password_file", "user") if device.user else ("user", "password_file")
        yield Finding(place=(*place, there), what=f"'{there}' stands without '{missing}'", remedy=f"add {missing}")
    elif device.user:
        yield from _password((*place, "password_file"), device)
    clear = [key for key, url in urls.items() if urlsplit(url).scheme != "rtsps"]
    yield from _vouched_for((*place, "ca_file"), device, len(clear) < len(urls))
    if len(clear) == len(urls) - 1 > 0:
        what = "is not in TLS, though the device's other address is: by this one its password and pictures go to whoever answers"
        yield Finding(place=(*place, clear[0]), what=what, remedy="take the device's address of rtsps:// for both", severity="warning")


def _password(place: Place, device: RtspCamera | RtspMicrophone) -> Iterator[Finding]:
    try:
        password = Path(device.password_file).read_text(encoding="utf-8-sig").rstrip("\r\n")  # as the driver reads it
    except OSError:
        return  # told where it is asked who may read it
    except UnicodeDecodeError:
        yield Finding(place=place, what=f"{device.password_file} is no UTF-8", remedy="save it as UTF-8")
        return
    taken = len(quote(device.user, safe="")) + 1 + len(quote(password, safe=""))
    if taken > LONGEST_ACCESS_BYTES:
        what = f"user and password take {taken} bytes in the device's address, and {LONGEST_ACCESS_BYTES} are the most"
        remedy = (
            "give the device a shorter password: letters and digits of a-z count one byte, most other characters three for each of theirs"
        )
        yield Finding(place=place, what=what, remedy=remedy)


def _vouched_for(place: Place, device: RtspCamera | RtspMicrophone, in_tls: bool) -> Iterator[Finding]:
    if not in_tls:
        if "ca_file" in device.model_fields_set:
            what = "vouches for nobody: by rtsp:// the device's password and pictures go to whoever answers"
            yield Finding(place=place, what=what, remedy="take the device's address of rtsps://, where it has one", severity="warning")
        return
    made_by = "apt install ca-certificates" if device.ca_file == TRUSTED_BY_THE_PC else "ask for the authority's certificate (PEM)"
    reason, remedy = unreadable(device.ca_file), openable(device.ca_file, made_by)
    if reason is None and device.ca_file != TRUSTED_BY_THE_PC:
        reason, remedy = no_authorities(device.ca_file), made_by
    if reason:
        yield Finding(place=place, what=f"{reason}; without it no certificate of the device is believed", remedy=remedy)


def _secret_in_url(place: Place, url: str) -> Iterator[Finding]:
    parts = urlsplit(url)
    where = "every reader of this file sees it"
    remedy = "take it out, and name user and password_file"
    if parts.password is not None:
        what = "a password stands in the address, where every reader of this file and of the log sees it"
        yield Finding(place=place, what=what, remedy=remedy)
    named = _SECRET_NAME.search(parts.query) or _SECRET_NAME.search(parts.path)
    if named:
        what = f"what looks like a secret ('{named[0].strip('=')}') stands in the address's path or query, where {where}"
        yield Finding(place=place, what=what, remedy=f"{remedy}, if the device takes them", severity="warning")

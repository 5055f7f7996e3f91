"""A sound card's number in PortAudio's name of it, ``… (hw:1,0)``: it may be another after the next start, and need not be named. Pure."""

import re
from collections.abc import Iterable

_CARD_NUMBER = re.compile(r"(?<=\S) *\(hw:\d+,\d+\)")


def without_card_number(name: str) -> str:
    """The name up to the number, or the whole name where there is none."""
    found = _CARD_NUMBER.search(name)
    return name[: found.start()] if found else name


def lasting_name(name: str, all_names: Iterable[str]) -> str:
    """The name without the number, if it then still is that of one device alone; else the whole name.

    A device is found whose name holds all words of what is asked for, whatever their case (sounddevice's ``device``); here in any order.
    """
    words = without_card_number(name).lower().split()
    called_so = [other for other in all_names if all(word in other.lower() for word in words)]
    return without_card_number(name) if called_so == [name] else name

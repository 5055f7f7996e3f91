"""What others say, as it may stand on this room's terminals, in its logs and in its record. Pure."""

MOST_CHARACTERS = 300


MOST_LABEL_CHARACTERS = 200
"""What ingest takes."""


def label_of(text: str) -> str:
    """What a track of the record is called: as ``plain``, with ordinary spaces (behind initials there may be others)."""
    return plain(" ".join(text.split()))[:MOST_LABEL_CHARACTERS]


def plain(text: str) -> str:
    """No control characters, nothing that is no text (of bytes that are not UTF-8), and no more than a line."""
    return "".join(one if one.isprintable() else "·" for one in text[:MOST_CHARACTERS])

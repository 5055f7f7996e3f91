"""What msgspec says of a message that is not of the contract, in words for whoever wrote the message: no pattern, but what is allowed."""

import msgspec

from agent.upstream import contract


def _said_of(annotated: object) -> str:
    """What msgspec says where a text does not match the pattern of this type."""
    pattern = next(meta.pattern for meta in getattr(annotated, "__metadata__", ()) if isinstance(meta, msgspec.Meta))
    return f"Expected `str` matching regex {pattern!r}"


_WANTED = {
    _said_of(contract.Id): "A name has letters (A to Z, a to z), digits and . _ : / - alone, no space, and begins with a letter or digit, "
    "as in courtroom-3",
    _said_of(contract.Sha256): "A SHA-256 has 64 digits of 0 to 9 and a to f",
}


def plain(said: str) -> str:
    """The same sentence, with what is allowed in the place of a known pattern; the place in the message stays."""
    for pattern, wanted in _WANTED.items():
        said = said.replace(pattern, wanted)
    return said

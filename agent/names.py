"""A person's name as staff gave it, as it may stand on screens, in labels of the record and on its pages. Pure."""

import unicodedata


class NameRefusedError(ValueError):
    """The name cannot be used; the message says why and what to do."""


def tidy(name: str) -> str:
    """The name, every space in it a plain one: the one behind initials is of another kind where it was copied from a document.

    Raises:
        NameRefusedError: it has a character that nobody sees, or nothing else.
    """
    spaced = "".join(" " if unicodedata.category(one) == "Zs" else one for one in name)
    for place, one in enumerate(spaced, start=1):
        if not one.isprintable():
            known = unicodedata.name(one, "")
            called = f"U+{ord(one):04X}{f', {known.lower()}' if known else ''}"
            raise NameRefusedError(
                f"the name has a character that nobody sees ({called}) at place {place}; type the name anew instead of copying it"
            )
    tidied = spaced.strip(" ")
    if not tidied:
        raise NameRefusedError("the name is empty; give the person's name as the others are to see it")
    return tidied

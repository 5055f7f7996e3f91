"""Text out of a record, for a terminal or a message. Pure.

What somebody put into a record must not move the cursor, hide a line or colour a verdict.
"""

import unicodedata

from rich.markup import escape

_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Unicode's categories of control, format (writing direction), surrogate and line separating characters."""


def shown(text: str) -> str:
    """The text with every character that does more than stand there replaced, and rich's markup made plain."""
    plain = text.replace("\n", " ")
    if not plain.isprintable():
        plain = "".join(_REPLACEMENT if unicodedata.category(one) in _HIDDEN else one for one in plain)
    return escape(plain)


def encodable(text: str) -> str:
    """The text with what no UTF-8 can hold written out: Python keeps the bytes of a file's name that is none so."""
    return text.encode(errors="backslashreplace").decode()

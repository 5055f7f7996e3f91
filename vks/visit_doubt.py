"""What a visiting room compares before its media goes, in a hearing that is not public: the page's side of ``vouching.py``. Pure."""

from vks import signalling
from vks.visit_door import VisitError
from vks.vouching import Unvouched


class VisitDoubt:
    """One code, from the hosting room's question on until somebody has vouched.

    Args:
        asked: the question.
        person: as whom this room is there.
        page: the SHA-256 of this room's certificate, hexadecimal.
        number: this room's random number, which nobody could know before.
    """

    def __init__(self, asked: signalling.Unvouched, person: str, page: str, number: str) -> None:
        self.number = number
        self.code = ""
        """What the other room's clerk is to be read; empty: it is not known yet."""
        self.host = ""
        """The SHA-256 of the certificate that the other room has to show."""
        self._asked, self._person, self._page = asked, person, page

    def show(self, shown: signalling.Shown) -> None:
        """The other room tells what it had fixed.

        Raises:
            VisitError: it had fixed something else.
        """
        seen = Unvouched(
            hearing=self._asked.hearing, person=self._person, page=self._page, room=shown.room, number=shown.number,
            page_number=self.number,
        )  # fmt: skip
        if seen.commitment != self._asked.commitment:
            raise VisitError("strange", again=False)
        self.host, self.code = shown.room, seen.code

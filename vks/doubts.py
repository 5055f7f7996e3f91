"""The pages of a hearing that is not public whose certificates nobody has vouched for: how it is asked for, and who does it.

What is compared and what counts is in ``vouching.py`` and ``signed.py``; that no media goes before it, and none afterwards to anybody else,
is in ``order.py``.
"""

import secrets
from collections.abc import Callable, Sequence
from typing import Protocol

import structlog
from aiortc import RTCCertificate
from cryptography import x509
from msgspec.structs import replace

from recorder.contract import conference as contract
from vks import acts, signalling
from vks.admission import Seat
from vks.certificate import certificate_of, fingerprint
from vks.conference import Conference
from vks.order import admits, is_reached
from vks.rules import RefusedError
from vks.signed import SignatureError, signer
from vks.talk import Handshake
from vks.vouching import CODE_DIGITS, NUMBER_BYTES, TRIES, Unvouched, is_code

log = structlog.get_logger()


class DoubtedPage(Protocol):
    """What is asked of a page (``page.py``)."""

    seat: Seat | None
    unvouched: Unvouched | None

    def say(self, message: signalling.ToPage) -> None:
        """Send a message."""
        ...

    def end(self, bye: signalling.Bye | None = None) -> None:
        """Close the connection, after a last word."""
        ...


class Doubts:
    """All of them.

    Args:
        now: the conference and the hearing, where there is one.
        pages: those that are there.
        roots: the authorities that vouch for persons.
        now_utc_us: the wall clock, by which a signer's certificate is good.
        changed: is called where ``persons`` may be others.
    """

    def __init__(
        self,
        now: Callable[[], tuple[Conference | None, contract.HearingIs | None]],
        pages: Callable[[], Sequence[DoubtedPage]],
        roots: Sequence[x509.Certificate],
        now_utc_us: Callable[[], int],
        changed: Callable[[], None],
    ) -> None:
        self._now = now
        self._pages = pages
        self._roots = roots
        self._now_utc_us = now_utc_us
        self._changed = changed
        self._own: tuple[bytes, RTCCertificate] | None = None
        """The room's certificate in this hearing, and the hearing's key."""

    @property
    def persons(self) -> frozenset[str]:
        """Those whose pages have to be vouched for now."""
        return frozenset(page.unvouched.person for page in self._pages() if page.unvouched is not None)

    def handshake(self, page: DoubtedPage) -> Handshake:
        """To whom a page's media may go.

        Raises:
            RefusedError: no hearing is near.
        """
        conference, _, seat = self._asked(page)
        return Handshake(self._certificate(), lambda certificate: admits(conference.order, seat.person, certificate))

    def begin(self, page: DoubtedPage, certificate: str) -> None:
        """Tell a page that nobody has vouched for its certificate."""
        _, hearing, seat = self._asked(page)
        if not certificate:
            page.say(signalling.Refused(code="bad_offer"))
            return
        page.unvouched = Unvouched(
            hearing=hearing.hearing, person=seat.person, page=certificate, room=fingerprint(self._certificate()),
            number=secrets.token_hex(NUMBER_BYTES),
        )  # fmt: skip
        sign = bool(self._roots and _iin_sha256(hearing, seat.person))
        page.say(signalling.Unvouched(hearing=hearing.hearing, commitment=page.unvouched.commitment, sign=sign))
        self._changed()

    def show(self, page: DoubtedPage, number: str) -> None:
        """The page has told its number, and is told the room's; only once, or whoever is in the middle could choose."""
        doubt = page.unvouched
        if doubt is not None and not doubt.page_number:
            page.unvouched = replace(doubt, page_number=number)
            page.say(signalling.Shown(room=doubt.room, number=doubt.number))

    def check(self, page: DoubtedPage, cms: str) -> None:
        """The person vouches by a signature."""
        conference, hearing, seat = self._asked(page)
        doubt = page.unvouched
        if doubt is None:
            return
        try:
            by = signer(cms, doubt.text, self._roots, _iin_sha256(hearing, seat.person), self._now_utc_us())
        except SignatureError as error:
            log.warning("a signature vouches for nothing", person=seat.person, error=str(error))
            page.say(signalling.Refused(code=error.code))
            self._count(page, doubt)
            return
        self._vouched(conference, acts.Vouched(person=seat.person, certificate=doubt.page, by=by, how="signature"))

    def vouch(self, act: contract.Vouch) -> None:
        """The clerk has been read a page's code.

        Raises:
            RefusedError: no page of the person shows this one.
        """
        if not is_code(act.code):
            raise RefusedError(
                "no_digits", f"a code has {CODE_DIGITS} digits: type all that the person reads out; this one was not compared"
            )
        conference, _ = self._now()
        found = [(page, page.unvouched) for page in self._pages() if page.seat is not None and page.seat.person == act.person]
        doubts = [(page, doubt) for page, doubt in found if doubt is not None and doubt.code]
        if conference is None or not doubts:
            raise RefusedError("no_code", f"no page of '{act.person}' shows a code now; `courtroom conference list` says whose does")
        for _, doubt in doubts:
            if doubt.fits(act.code):
                vouched = acts.Vouched(person=act.person, certificate=doubt.page, by=act.by, reason=act.reason, how="code")
                self._vouched(conference, vouched)
                return
        for page, doubt in doubts:
            self._count(page, doubt)
        log.warning("a code fits no page of the person", person=act.person)
        conference.note(contract.Fact(name="vouching_failed", data={"person": act.person, "by": act.by}))
        raise RefusedError(
            "other_code",
            "that is not the code: have it read again, digit by digit. Where it still does not fit, somebody is between the person and "
            "the room: let the person come by the court's own network",
        )

    def follow(self) -> None:
        """Send those away whose media may not go on in a hearing that has been closed: they dial again. In a public one ask for nothing."""
        conference, _ = self._now()
        for page in self._pages():
            if page.unvouched is not None and conference is not None and not conference.order.closed:
                page.unvouched = None
                page.say(signalling.Vouched())
            person = None if conference is None or page.seat is None else conference.order.people.get(page.seat.person)
            if conference is None or page.seat is None or person is None or person.device != page.seat.device:
                continue
            if person.media and not is_reached(conference.order, person):
                page.end(signalling.Bye(code="unvouched", again=True))

    def _vouched(self, conference: Conference, act: acts.Vouched) -> None:
        conference.act(act)
        for page in self._pages():
            if page.unvouched is not None and (page.unvouched.person, page.unvouched.page) == (act.person, act.certificate):
                page.unvouched = None
                page.say(signalling.Vouched())
        self._changed()

    def _count(self, page: DoubtedPage, doubt: Unvouched) -> None:
        """One that did not fit; after some there is another code."""
        page.unvouched = replace(doubt, tries=doubt.tries + 1)
        if page.unvouched.tries >= TRIES:
            self.begin(page, doubt.page)

    def _asked(self, page: DoubtedPage) -> tuple[Conference, contract.HearingIs, Seat]:
        conference, hearing = self._now()
        if conference is None or hearing is None or page.seat is None:
            raise RefusedError("hearing_over", "no hearing is near")
        return conference, hearing, page.seat

    def _certificate(self) -> RTCCertificate:
        _, hearing = self._now()
        secret = b"" if hearing is None else hearing.secret
        if self._own is None or self._own[0] != secret:
            self._own = secret, certificate_of(secret)
        return self._own[1]


def _iin_sha256(hearing: contract.HearingIs, person: str) -> str:
    return next((one.iin_sha256 for one in hearing.invitations if one.person == person), "")

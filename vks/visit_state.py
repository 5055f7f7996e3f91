"""What a room that takes part in another's hearing makes of what it is told there: what it sends, shows and says of itself. Pure."""

from recorder.contract.conference import VisitPhase
from vks import signalling
from vks.order import ROOM

WORDS = {
    "unknown": "the other room does not know this link: withdrawn, mistyped, or of another hearing; ask its clerk for a new one",
    "early": "this link does not open yet; try again when the hearing is near",
    "no_hearing": "no hearing is near in the other room; try again shortly before it begins",
    "expired": "this link has expired; ask the other room's clerk for a new one",
    "used": "this link is used by another device, which is in the hearing; ask the other room's clerk for a link of this room's own",
    "elsewhere": "another device has this room's place in the hearing; ask the other room's clerk for a link of this room's own",
    "other_waits": "another device that came by this link waits for the other room's clerk to decide; speak with the clerk, and come again",
    "removed": "this room was put out of the hearing; only the other room's clerk can let it in again",
    "not_public": "the other room's hearing is not public, and this room was invited as an observer",
    "hearing_over": "the other room's hearing is over",
    "unvouched": "the other room's hearing is not public any more: its clerk has to be read a code",
    "strange": (
        "the other room's certificate is not the one that was compared: somebody may be between the rooms. Speak with its clerk, and take "
        "part by the court's own network"
    ),
    "full": "too many people have come to the other room's hearing",
    "too_many": "the other room takes no more attempts from here now; try again in a minute",
    "starting": "the other room's videoconference is starting",
    "closing": "the other room's videoconference is being started anew",
    "untrusted": (
        "the other room's door has a certificate that nobody vouches for whom this room trusts; it needs one for its own name under the "
        "court's authority, which must be in this room's [centre] roots, or trusted by its PC"
    ),
    "no_court": "there is no courtroom at that address",
    "unlike": "the other room and this one do not understand each other: their versions differ",
    "unreachable": "the other room cannot be reached",
    "lost": "the connection with the other room is lost",
    "no_media": "no sound and pictures pass between the rooms: look after the firewall ([vks] ports)",
}
"""By the codes that the other room gives, and our own."""


def words_of(code: str) -> str:
    """A code in words; one that is not known is told, too."""
    return WORDS.get(code, f"the other room has ended it: {code}")


def phase_of(view: signalling.View) -> VisitPhase:
    """Where this room is in the other's hearing."""
    if view.place == "lobby":
        return "waits"
    return "takes_part" if _takes_part(view) else "apart"


def may_send(view: signalling.View | None) -> tuple[bool, bool]:
    """Whether sound, and whether pictures, leave this room now: nothing that the other room would not let anybody hear or see."""
    if view is None or not _takes_part(view) or not _is_open(view):
        return False, False
    return not view.muted, True


def names_on(view: signalling.View | None, shown: list[str]) -> list[str]:
    """Whose picture is on each line, of those alone whom this room was told of; empty where it may not be shown."""
    if view is None:
        return [""] * len(shown)
    known = {one.person for one in view.others} | ({ROOM} if _sees_room(view) else set()) | ({"screen"} if view.sharing else set())
    return [name if name in known else "" for name in shown]


def screen_of(title: str, view: signalling.View | None) -> signalling.Screen:
    """What the public in this room reads; without a view nobody knows how the hearing stands."""
    if view is None:
        return signalling.Screen(title=title, room="idle", recording=False, people=[], sharing="", look_ins=[], closed=False, visit="lost")
    takes_part = _takes_part(view) and not view.consultation
    return signalling.Screen(
        title=title, room=view.room, recording=takes_part and view.room == "open" and not view.unsure, people=view.others,
        sharing=view.sharing, look_ins=view.look_ins, closed=view.closed, audience=view.audience, unsure=view.unsure,
        visit="private" if view.consultation else view.place,
    )  # fmt: skip


def _takes_part(view: signalling.View) -> bool:
    return view.place == "hearing" or view.consultation


def _sees_room(view: signalling.View) -> bool:
    return view.place == "hearing" and not view.consultation and _is_open(view)


def _is_open(view: signalling.View) -> bool:
    return view.room in {"open", "off_record"} and view.unsure != "room"

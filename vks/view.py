"""What one person's page, or a screen of the courtroom, shows of the order: nothing of those whom it neither sees nor hears. Pure."""

from vks import identity, signalling
from vks.order import ROOM, Order, is_broadcast, is_on_floor, sees_screen, together


def view_of(order: Order, person: str) -> signalling.View:
    """The view of somebody who is in the order."""
    own = order.people[person]
    on_floor = is_on_floor(order, person)
    channels = {one.interprets for one in order.people.values() if one.interprets and is_on_floor(order, one.id)} if on_floor else set()
    return signalling.View(
        place=own.place, room=order.room, muted=own.muted, hand=own.hand_us is not None, others=_others(order, person),
        consultation=own.consultation > 0, sharing=order.sharing if on_floor else "",
        look_ins=[one.person for one in order.look_ins] if on_floor else [], channels=sorted(channels), listens=own.listens,
        identity=identity.step(own), audience=on_floor and is_broadcast(order), closed=order.closed,
        unsure=order.unsure, interprets=own.interprets if on_floor else "",
    )  # fmt: skip


def screen_of(order: Order, title: str) -> signalling.Screen:
    """What the public in the courtroom reads."""
    return signalling.Screen(
        title=title, room=order.room, recording=order.room == "open" and not order.unsure, people=_others(order, ROOM),
        sharing=order.sharing if sees_screen(order, ROOM) else "",
        look_ins=[one.person for one in order.look_ins] if is_on_floor(order, ROOM) else [], closed=order.closed,
        audience=is_broadcast(order), unsure=order.unsure,
    )  # fmt: skip


def _others(order: Order, viewer: str) -> list[signalling.Other]:
    return [
        signalling.Other(person=one.id, name=one.name, role=one.role, muted=one.muted, hand=one.hand_us is not None)
        for one in order.people.values()
        if together(order, viewer, one.id)
    ]

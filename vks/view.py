"""What one person's page shows of the order: nothing of those whom he neither sees nor hears. Pure."""

from vks import signalling
from vks.order import Order, is_on_floor, together


def view_of(order: Order, person: str) -> signalling.View:
    """The view of somebody who is in the order."""
    own = order.people[person]
    others = [
        signalling.Other(person=one.id, name=one.name, role=one.role, muted=one.muted, hand=one.hand_us is not None)
        for one in order.people.values()
        if together(order, person, one.id)
    ]
    on_floor = is_on_floor(order, person)
    channels = {one.interprets for one in order.people.values() if one.interprets and is_on_floor(order, one.id)} if on_floor else set()
    return signalling.View(
        place=own.place, room=order.room, muted=own.muted, hand=own.hand_us is not None, others=others,
        consultation=own.consultation > 0, sharing=order.sharing if on_floor else "",
        look_ins=[one.person for one in order.look_ins] if on_floor else [], channels=sorted(channels), listens=own.listens,
    )  # fmt: skip

"""Events, hearings and heartbeats for tests."""

import uuid

from agent.upstream import contract

CLOCK = contract.ClockQuality(source="chrony", stratum=2, error_us=500)


def event(room: str, epoch: str, seq: int, data: contract.AnyData | None = None) -> contract.Event:
    """An event as an outbox makes it: under the same number it is the same one."""
    data = data or contract.AgentStarted(version="1", boot="boot-1")
    tag = type(data).__struct_config__.tag
    time, id_ = "2026-11-23T09:00:00Z", str(uuid.uuid5(uuid.NAMESPACE_URL, f"{room}/{epoch}/{seq}/{data}"))
    return contract.Event(
        specversion="1.0", id=id_, source=f"{contract.ROOM_SOURCE}{room}", type=f"{contract.TYPE_PREFIX}{tag}", time=time,
        datacontenttype="application/json", room=room, epoch=epoch, seq=seq, eventclass="A", monous=seq, bootid="boot-1", clock=CLOCK,
        data=data,
    )  # fmt: skip


def long_event(room: str, epoch: str, seq: int, checks: int) -> contract.Event:
    """An event of so many times some 2,000 bytes."""
    check = contract.CheckResult(check="c", version=1, result="bad", detail="x" * 1_930)
    return event(room, epoch, seq, contract.DiagnosticsDone(hearing="", reason="command", checks=[check] * checks))


def batch(room: str, epoch: str, *seqs: int) -> contract.EventBatch:
    """A batch of events."""
    return contract.EventBatch(epoch=epoch, events=[event(room, epoch, seq) for seq in seqs])


def beat(head: contract.Head | None = None, state: str = "idle") -> contract.Heartbeat:
    """A heartbeat."""
    return contract.Heartbeat(
        utc_us=1, boot="boot-1", version="1", clock=CLOCK, state=state, session="", hearing="", head=head, applied_offset=0, outbox_depth=0,
        indicators={},
    )  # fmt: skip


def hearing(name: str, room: str, *, starts_utc_us: int = 1_600_000_000_000_000, **fields: object) -> contract.Hearing:
    """A hearing of an hour."""
    plain = {"id": name, "room": room, "starts_utc_us": starts_utc_us, "ends_utc_us": starts_utc_us + 3_600_000_000}
    return contract.Hearing(**{**plain, **fields})  # type: ignore[arg-type]

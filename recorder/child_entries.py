"""What a child's message becomes in the journal. Pure."""

from recorder.clock import SessionClock
from recorder.contract import child
from recorder.record import entries
from recorder.record.entries import Entry


def entry_of(message: child.Message, clock: SessionClock) -> Entry | None:
    """The entry of a message that is only told on, or None where it is for the recorder itself."""
    match message:
        case child.DriftMeasured():
            return entries.Drift(
                track=message.track,
                media_us=message.media_us,
                mono=message.mono_us,
                drift_ppb=message.drift_ppb,
                error_us=message.error_us,
            )
        case child.SenderReportSeen():
            return entries.SenderReport(track=message.track, media_us=clock.t_us(message.mono_us), ntp_us=message.ntp_us)
        case child.QualityEvent():
            return entries.Event(source="ingest", name=message.name, track=message.track, data=dict(message.data))
        case child.Refused():
            data: dict[str, str | int] = {"what": message.what[:80], "detail": message.detail[:200]}
            return entries.Event(source="ingest", name="refused", track="", data=data)
        case child.TrackOpened():
            level = {} if message.level is None else {"level": message.level}
            return entries.Event(
                source="ingest", name="track_opened", track=message.track, data={"kind": message.kind, "label": message.label, **level}
            )
        case child.TrackClosed():
            return entries.Event(
                source="ingest", name="track_closed", track=message.track, data={"cause": message.cause, "detail": message.detail}
            )
        case _:
            return None

"""The recorder's state as a person wants to look at it on a terminal: lamp, levels, disks, alarms."""

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from recorder.contract.control import ChannelStatus, DiskStatus, Status
from recorder.session import DROPPING

_LAMP = {
    "idle": ("○ idle", "bold"),
    "open": ("● RECORDING", "bold red"),
    "off_record": ("◌ OFF THE RECORD", "bold yellow"),
    "privileged": ("◌ PRIVILEGED: nothing is recorded", "bold yellow"),
    "deliberation": ("◌ DELIBERATION: nothing is recorded", "bold yellow"),
    "closing": ("◍ sealing", "bold cyan"),
}
_METER_WIDTH = 30
_METER_FLOOR_DBFS = -60.0


def clock_text(t_us: int) -> str:
    """Session time as h:mm:ss."""
    seconds = t_us // 1_000_000
    return f"{seconds // 3600}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"


def meter(rms_dbfs: float | None, peak_dbfs: float | None) -> Text:
    """A level meter from -60 dBFS to full scale: the bar is RMS, the mark is the peak."""
    if rms_dbfs is None or peak_dbfs is None:
        return Text("")

    def column(level_dbfs: float) -> int:
        share = (max(level_dbfs, _METER_FLOOR_DBFS) - _METER_FLOOR_DBFS) / -_METER_FLOOR_DBFS
        return min(_METER_WIDTH, round(share * _METER_WIDTH))

    bar, peak = column(rms_dbfs), column(peak_dbfs)
    text = Text()
    for at in range(_METER_WIDTH):
        style = "green" if at < _METER_WIDTH * 0.7 else "yellow" if at < _METER_WIDTH * 0.9 else "red"
        text.append("█" if at < bar else "│" if at == peak else "·", style if at < bar or at == peak else "dim")
    return text


def status_view(status: Status) -> RenderableType:
    """The whole state as one panel."""
    lamp, style = _LAMP[status.state]
    head = Text.assemble((lamp, style), f"   {clock_text(status.t_us)}   {status.hearing}")
    chain = Text(f"entries {status.entries}, signed to {status.signed_at}, commit p99 {status.commit_p99_us / 1000:.1f} ms", "dim")
    parts: list[RenderableType] = [head, _channels(status.channels, dropped=status.state in DROPPING), _disks(status.disks)]
    parts += [Text(f"⚠ {alarm.code}{alarm.track and f' {alarm.track}'}: {alarm.detail}", "bold red") for alarm in status.alarms]
    if status.preroll_armed:
        parts.append(Text("pre-roll armed", "yellow"))
    if status.record:
        parts += [chain, Text(status.record, "dim")]
    return Panel(Group(*parts), title="courtroom recorder")


def _channels(channels: list[ChannelStatus], *, dropped: bool) -> Table:
    """The tracks; with ``dropped`` no lamp says that a device which hears nothing were heard."""
    table = Table(box=None, pad_edge=False)
    for name in ("track", "", "level", "dBFS", "units", "lost", "on disk"):
        table.add_column(name)
    for channel in channels:
        lamp = Text("") if dropped else Text("●", "green") if channel.live else Text("○", "dim")
        state = Text(f"✗ {channel.gap}", "red") if channel.gap else lamp
        level = "" if channel.rms_dbfs is None else f"{channel.rms_dbfs:6.1f}"
        table.add_row(
            channel.track,
            state,
            meter(channel.rms_dbfs, channel.peak_dbfs),
            level,
            str(channel.units),
            Text(str(channel.dropped), "red" if channel.dropped else "dim"),
            f"{channel.written_us / 1e6:.1f} s, {channel.bytes_written / 1e6:.1f} MB",
        )
    return table


def _disks(disks: list[DiskStatus]) -> Text:
    words = []
    for disk in disks:
        hours = "" if disk.hours_left is None else f", {disk.hours_left:.0f} h left"
        words.append(f"{disk.disk} {disk.state}: {disk.free_bytes / 1e9:.1f} GB free{hours}")
    return Text("   ".join(words), "dim")

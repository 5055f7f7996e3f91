"""The indicators and the recorder's counters for Prometheus, in a registry of their own."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from agent.indicators import INDICATORS, named
from recorder.contract.control import Status

CONTENT_TYPE = CONTENT_TYPE_LATEST


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """What is exposed at a scrape."""

    values: Mapping[str, float]
    """As ``indicators.compose`` gives them."""
    status: Status | None
    """The recorder's last state, where it is reachable."""
    reachable: bool
    version: str
    room: str


class RoomMetrics(Collector):
    """Asks for a snapshot at each scrape."""

    def __init__(self, snapshot: Callable[[], Snapshot]) -> None:
        self._snapshot = snapshot
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)

    def text(self) -> bytes:
        """The exposition."""
        return generate_latest(self._registry)

    def describe(self) -> Iterable[Metric]:
        """Nothing: names are known at a scrape."""
        return []

    def collect(self) -> Iterable[Metric]:
        """All families of this moment."""
        now = self._snapshot()
        yield InfoMetricFamily("courtroom_agent", "This agent.", value={"version": now.version, "room": now.room})
        yield GaugeMetricFamily("courtroom_recorder_reachable", "Whether the recorder tells its state.", value=float(now.reachable))
        yield from _gauges(now.values)
        if now.status is not None:
            yield from _counters(now.status)


def _gauges(values: Mapping[str, float]) -> Iterable[Metric]:
    by_name: dict[str, list[tuple[str, float]]] = {}
    for key, value in values.items():
        indicator, track = named(key)
        by_name.setdefault(indicator.name, []).append((track, value))
    for indicator in INDICATORS:
        samples = by_name.get(indicator.name)
        if not samples or indicator.metric.endswith("_total"):
            continue
        family = GaugeMetricFamily(indicator.metric, indicator.meaning, labels=["track"] if indicator.per_track else [])
        for track, value in samples:
            family.add_metric([track] if indicator.per_track else [], value * indicator.scale)
        yield family


def _counters(status: Status) -> Iterable[Metric]:
    units = CounterMetricFamily("courtroom_track_units", "Frames or packets of sound that a device gave.", labels=["track"])
    dropped = CounterMetricFamily("courtroom_track_dropped_units", "Those of them that its child gave up.", labels=["track"])
    written = CounterMetricFamily("courtroom_track_written_bytes", "What came to the disk in the running session.", labels=["track"])
    live = GaugeMetricFamily("courtroom_track_live", "Whether the track's device is open.", labels=["track"])
    for channel in status.channels:
        units.add_metric([channel.track], channel.units)
        dropped.add_metric([channel.track], channel.dropped)
        written.add_metric([channel.track], channel.bytes_written)
        live.add_metric([channel.track], float(channel.live))
    yield from (units, dropped, written, live)
    free = GaugeMetricFamily("courtroom_disk_free_bytes", "Free room.", labels=["disk"])
    for disk in status.disks:
        free.add_metric([disk.disk], disk.free_bytes)
    yield free
    alarms = GaugeMetricFamily("courtroom_alarm", "1 for each alarm that is on.", labels=["code", "track"])
    for alarm in status.alarms:
        alarms.add_metric([alarm.code, alarm.track], 1.0)
    yield alarms

"""What a record's first line says of the devices that were open."""

from collections.abc import Mapping

from recorder.child_process import ChildProcess
from recorder.children_plan import WITHOUT_DEVICE
from recorder.record import entries


def sources(children: Mapping[str, ChildProcess], latency_us: Mapping[str, int]) -> list[entries.Source]:
    """The devices of the children, with the latencies that were measured at commissioning."""
    return [
        entries.Source(
            id=name,
            driver=process.opened.driver,
            address=process.opened.address,
            serial=process.opened.serial,
            latency_us=latency_us.get(name, 0),
        )
        for name, process in children.items()
        if process.opened is not None and process.plan.module not in WITHOUT_DEVICE
    ]

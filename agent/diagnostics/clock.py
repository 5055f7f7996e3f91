"""Check of the PC's clock: who disciplines it, by how much it may be wrong, and what the centre's clock says."""

from agent.diagnostics.check import Context, Found, Outcome

WIDE_US, TOO_WIDE_US = 100_000, 1_000_000
"""A hearing's times are told to the second."""
APART_US, FAR_APART_US = 1_000_000, 60_000_000


class ClockCheck:
    """Whether the times in the next record can be believed."""

    name = "clock"
    version = 1
    deadline_s = 5.0

    async def run(self, context: Context) -> Outcome:
        """Ask the clock's holder, and compare with the centre."""
        quality = await context.quality()
        values: dict[str, float] = {}
        here = {"source": quality.source}
        if quality.error_us is not None:
            values["error_ms"] = quality.error_us / 1000
            here["error"] = f"{quality.error_us / 1000:.1f}"
        if quality.source in {"undisciplined", "unknown"}:
            found = [Found("warning", "clock_undisciplined")]
        elif quality.error_us is None:
            found = [Found("warning", "clock_unbounded", here)]
        elif quality.error_us > WIDE_US:
            found = [Found("bad" if quality.error_us > TOO_WIDE_US else "warning", "clock_wide", here)]
        else:
            found = [Found("good", "clock_good", here)]
        if context.centre is not None:
            ahead_us, error_us = context.centre.ahead_us, context.centre.error_us
            values["ahead_of_centre_ms"] = ahead_us / 1000
            apart_us = abs(ahead_us) - error_us  # what the way to the centre cannot explain
            if apart_us > APART_US:
                told = {"seconds": f"{ahead_us / 1e6:+.1f}"}
                found.append(Found("bad" if apart_us > FAR_APART_US else "warning", "clock_apart", told))
        return Outcome(found, values)

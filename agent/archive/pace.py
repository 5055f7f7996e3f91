"""How fast a room may send: a token bucket whose cap drops while a hearing runs. Pure; the clock is an argument."""

from dataclasses import dataclass

BURST_S = 0.25
"""What may be sent at once after a pause, as seconds of the cap."""
_STEP_S = 0.02
"""Nothing smaller is granted than this much of the cap, so that a low cap does not make a thousand small writes."""
_LONGEST_WAIT_S = 0.25
"""A wait is asked about again after this time: the cap may have changed."""


@dataclass(slots=True)
class Pace:
    """Bytes that may leave now. Caps are bytes per second; None is no cap, 0 stops.

    Within any span of time at most ``BURST_S`` of the cap more leaves than the caps of that span allow.
    """

    cap_bytes_s: float | None = None
    hearing_cap_bytes_s: float | None = None
    hearing: bool = False
    _tokens: float = 0.0
    _at_s: float | None = None

    @property
    def rate_bytes_s(self) -> float | None:
        """The cap that holds now; while a hearing runs the lower of the two."""
        caps = [cap for cap in (self.cap_bytes_s, self.hearing_cap_bytes_s if self.hearing else None) if cap is not None]
        return min(caps) if caps else None

    def change(
        self, now_s: float, *, cap_bytes_s: float | None = None, hearing_cap_bytes_s: float | None = None, hearing: bool = False
    ) -> None:
        """Other caps, or a hearing began or ended: what was earned so far counts at the old rate, what may burst at the new."""
        self._settle(now_s)
        self.cap_bytes_s, self.hearing_cap_bytes_s, self.hearing = cap_bytes_s, hearing_cap_bytes_s, hearing
        rate = self.rate_bytes_s
        self._tokens = 0.0 if rate is None else min(self._tokens, rate * BURST_S)

    def set_hearing(self, now_s: float, *, hearing: bool) -> None:
        """A hearing began or ended."""
        self.change(now_s, cap_bytes_s=self.cap_bytes_s, hearing_cap_bytes_s=self.hearing_cap_bytes_s, hearing=hearing)

    def allow(self, wanted_bytes: int, now_s: float) -> int:
        """How many of these bytes may be sent at once; they count as sent. 0: ask again after ``wait_s``."""
        rate = self.rate_bytes_s
        if rate is None:
            self._at_s = now_s
            return wanted_bytes
        self._settle(now_s)
        if self._tokens < min(wanted_bytes, max(1.0, rate * _STEP_S)):
            return 0
        granted = min(wanted_bytes, int(self._tokens))
        self._tokens -= granted
        return granted

    def wait_s(self, wanted_bytes: int) -> float:
        """For how long nothing more will be allowed; never long, as the caps may change meanwhile."""
        rate = self.rate_bytes_s
        if rate is None:
            return 0.0
        if rate <= 0:
            return _LONGEST_WAIT_S
        missing = min(wanted_bytes, max(1.0, rate * _STEP_S)) - self._tokens
        return min(_LONGEST_WAIT_S, max(0.001, missing / rate))

    def _settle(self, now_s: float) -> None:
        """Earn what the time since the last look allows; a clock that went back earns nothing."""
        rate = self.rate_bytes_s
        if self._at_s is not None and rate is not None and now_s > self._at_s:
            most = max(1.0, rate * BURST_S) if rate > 0 else 0.0
            self._tokens = min(most, self._tokens + rate * (now_s - self._at_s))
        if self._at_s is None or now_s > self._at_s:
            self._at_s = now_s

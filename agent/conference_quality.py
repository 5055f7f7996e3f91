"""What the heartbeat says of the videoconference: how good the links are, how often somebody came back. Pure; the clock is passed in."""

from recorder.contract import conference

FRESH_S = 30.0
"""What is older says nothing of now: vks is away, or nobody takes part any more."""


class ConferenceQuality:
    """Of the hearing under way."""

    def __init__(self) -> None:
        self._hearing = ""
        self._links = conference.Links()
        self._told_s = 0.0
        self._came: set[str] = set()
        self._reconnects = 0

    def stands(self, stands: conference.Stands, now_s: float) -> None:
        """Take how the conference stands. What was counted in another hearing is over."""
        if stands.hearing != self._hearing:
            self._hearing, self._reconnects = stands.hearing, 0
            self._came = {one.person for one in stands.people if one.connected}
        self._links, self._told_s = stands.links, now_s

    def heard(self, fact: conference.Fact) -> None:
        """Count who comes back: the fact is told before the conference stands by it."""
        if fact.name != "connected":
            return
        person = str(fact.data.get("person", ""))
        self._reconnects += person in self._came and "before" not in fact.data
        self._came.add(person)

    def values(self, now_s: float) -> dict[str, float]:
        """The indicators that are known."""
        if not self._hearing or now_s - self._told_s >= FRESH_S:
            return {}
        links = self._links
        known = {
            "conference_rtt_ms": links.rtt_ms, "conference_jitter_ms": links.jitter_ms, "conference_loss_percent": links.loss_percent,
            "conference_reconnects": float(self._reconnects),
        }  # fmt: skip
        return {name: value for name, value in known.items() if value is not None}

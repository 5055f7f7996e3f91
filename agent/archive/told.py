"""Of which deliveries and deletions the agent was told, as a file keeps it."""

import msgspec


class Told(msgspec.Struct):
    """By the record the hash of the seal that was told; ``further`` are those of a record that has more than one."""

    delivered: dict[str, str] = msgspec.field(default_factory=dict)
    deleted: dict[str, str] = msgspec.field(default_factory=dict)
    further: dict[str, list[str]] = msgspec.field(default_factory=dict)

    def has_delivered(self, record: str, sums_sha256: str) -> bool:
        """Whether it was told that the archive has this record under this seal."""
        return self.delivered.get(record) == sums_sha256 or sums_sha256 in self.further.get(record, [])

    def add_delivered(self, record: str, sums_sha256: str) -> None:
        """It was told now."""
        if self.delivered.setdefault(record, sums_sha256) != sums_sha256:
            self.further.setdefault(record, []).append(sums_sha256)

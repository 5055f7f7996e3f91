"""Why the centre is not reached, as the heartbeats show it: it refuses the room, or a certificate keeps the two apart."""

from typing import Protocol

from agent.upstream import contract
from agent.upstream.client import RefusedError, UntrustedError, UpstreamError

UNTRUSTED_BEATS = 3
"""A centre that is started anew ends a connection too; one that ends so many in turn does so for a reason."""


class Centre(Protocol):
    """What is wanted of ``UpstreamClient``."""

    async def beat(self, heartbeat: contract.Heartbeat) -> contract.HeartbeatTaken:
        """Say that the room is there."""
        ...


class CentreWatch:
    """Passes heartbeats on, and remembers what became of them."""

    def __init__(self, centre: Centre) -> None:
        self._centre = centre
        self._untrusted = 0
        self.refusal = ""
        """The centre answers, and takes nothing of this room: its words."""
        self.alarm = ""
        """A certificate is perhaps the reason why no heartbeat comes there."""

    async def beat(self, heartbeat: contract.Heartbeat) -> contract.HeartbeatTaken:
        """As the centre's own.

        Raises:
            UpstreamError: as there.
            RefusedError: as there.
        """
        refusal, alarm, untrusted = "", "", 0
        try:
            return await self._centre.beat(heartbeat)
        except RefusedError as error:
            refusal = str(error)
            raise
        except UntrustedError as error:
            untrusted = self._untrusted + 1
            alarm = str(error) if untrusted >= UNTRUSTED_BEATS else ""
            raise
        except UpstreamError:
            untrusted, alarm = self._untrusted, self.alarm  # that says nothing of certificates
            raise
        finally:
            self.refusal, self.alarm, self._untrusted = refusal, alarm, untrusted

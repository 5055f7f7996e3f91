"""What is said of a centre that does not take the heartbeat: that it refuses the room, or that a certificate is in the way."""

import pytest

from agent.centre_watch import UNTRUSTED_BEATS, CentreWatch
from agent.upstream import contract, transfer
from agent.upstream.client import RefusedError, UntrustedError, UpstreamError
from tests.agent.upstream.test_client import BEAT, TAKEN

REFUSED = RefusedError(transfer.Problem(type="about:blank", title="The certificate is revoked.", status=403))
AWAY, UNTRUSTED = UpstreamError("nobody listens"), UntrustedError("the centre ended the connection")


class Answers:
    """Takes and refuses what a test says, in turn."""

    def __init__(self, *answers: Exception | None) -> None:
        self._answers = list(answers)

    async def beat(self, heartbeat: contract.Heartbeat) -> contract.HeartbeatTaken:
        assert heartbeat is BEAT
        answer = self._answers.pop(0)
        if answer is not None:
            raise answer
        return TAKEN


@pytest.mark.parametrize(
    ("answers", "refusal", "alarm"),
    [
        ([REFUSED], "The certificate is revoked.", ""),
        ([REFUSED, None], "", ""),
        ([REFUSED, AWAY], "", ""),
        ([UNTRUSTED] * (UNTRUSTED_BEATS - 1), "", ""),
        ([UNTRUSTED] * UNTRUSTED_BEATS, "", "the centre ended the connection"),
        ([UNTRUSTED, AWAY] * UNTRUSTED_BEATS, "", "the centre ended the connection"),
        ([UNTRUSTED] * UNTRUSTED_BEATS + [None, UNTRUSTED], "", ""),
        ([UNTRUSTED] * UNTRUSTED_BEATS + [REFUSED], "The certificate is revoked.", ""),
    ],
)
async def test_what_became_of_the_last_heartbeats_says_why_no_more_come_there(
    answers: list[Exception | None], refusal: str, alarm: str
) -> None:
    watch = CentreWatch(Answers(*answers))
    for answer in answers:
        if answer is None:
            assert await watch.beat(BEAT) is TAKEN
        else:
            with pytest.raises(type(answer)):
                await watch.beat(BEAT)
    assert (watch.refusal, watch.alarm) == (refusal, alarm)

"""A process that writes to the agent's file until it is killed; prints each number when it is durable."""

import sys
from pathlib import Path

from agent.hearing import Facts, HearingFacts
from agent.turn import Outcome
from agent.upstream import contract
from tests.agent.plans import DAY, at, opened

store = opened(Path(sys.argv[1]))
number = len(store.facts.hearings)
while True:
    number += 1
    facts = Facts(hearings={**store.facts.hearings, f"h{number}": HearingFacts(hearing=f"h{number}", plan=None)})
    store.keep(Outcome(facts, (contract.CommandDone(number=number, ok=True, detail="x" * 500),)), at(DAY + number))
    if number % 7 == 0:
        store.change(lambda outbox: outbox.acknowledge(outbox.last_seq() - 5, DAY), at(DAY))
    sys.stderr.write(f"{number}\n")
    sys.stderr.flush()

"""The outbox against the reference centre by mutual TLS: the centre is killed while events flow, and has each of them once."""

import asyncio
import contextlib
from functools import partial
from pathlib import Path

from agent.sending import Sender
from agent.store import Store
from agent.store_thread import StoreThread
from agent.upstream import contract
from agent.upstream.backoff import Backoff
from tests.agent.plans import DAY, at
from tests.lab.centre import centre
from tests.lab.waiting import until

EVENTS = 1_200
ROOM = "almaty-1"


def test_a_centre_that_is_killed_while_events_flow_has_each_once_and_in_order(tmp_path: Path) -> None:
    with centre(tmp_path) as it:
        files = it.enrol(ROOM)

        async def run() -> list[int]:
            store = await StoreThread.open(tmp_path / "agent.db", ROOM, at(DAY))
            epoch = await store.do(lambda file: file.outbox.epoch)
            async with it.client(files) as client:
                sender = Sender(client, store, lambda: at(DAY), backoff=Backoff(longest_s=0.2))
                task = asyncio.create_task(sender.run())
                for number in range(1, EVENTS + 1):
                    data = contract.CommandDone(number=number, ok=True, detail="")
                    await store.do(partial(Store.tell, data=data, stamp=at(DAY)))
                    sender.hurry()
                    if number % (EVENTS // 4) == 0:
                        await asyncio.to_thread(it.kill)
                        await asyncio.to_thread(it.start)
                depth = 1
                while depth:
                    depth = (await store.do(lambda file: file.outbox.depth())).waiting
                    await asyncio.sleep(0.02)
                await until(lambda: sender.reached, "the centre")
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
            await store.close()
            return await it.epoch(epoch)

        assert asyncio.run(run()) == list(range(1, EVENTS + 1))

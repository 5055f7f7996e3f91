"""A room that sends one record, as a process to be killed: ``python -m tests.archive.room_uploader SETTINGS``.

It writes a line with the bytes done after each piece of progress, and at last ``acknowledged`` or why it stopped.
"""

import asyncio
import json
import sys
from pathlib import Path

from agent.archive import acknowledgement
from agent.archive.pace import Pace
from agent.archive.upload import Uploader, UploadStoppedError
from agent.upstream.client import Credentials, UpstreamClient
from recorder.record.trust import Authorities, load_certificates


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


async def main() -> None:
    settings = json.loads(Path(sys.argv[1]).read_text())  # noqa: ASYNC240 - before anything runs
    credentials = Credentials(Path(settings["device_key"]), Path(settings["chain"]), Path(settings["roots"]))
    authorities = Authorities(load_certificates(Path(settings["roots"])))
    pace = Pace(settings.get("cap_bytes_s"))
    async with UpstreamClient(settings["base"], credentials) as client, Uploader(
        client, settings["base"], centre_tls=None, pace=pace, authorities=lambda: authorities, retry_s=(0.05, 0.5)
    ) as uploader:  # fmt: skip
        try:
            root = Path(settings["record"])
            ack = await uploader.send(
                root, progress=lambda done, total: say(f"{done} {total}"), troubled=lambda text: say(f"trouble {text}")
            )
        except UploadStoppedError as error:
            say(f"stopped {error}")
        else:
            assert ack is not None
            acknowledgement.store(root, ack)
            say("acknowledged")


if __name__ == "__main__":
    asyncio.run(main())

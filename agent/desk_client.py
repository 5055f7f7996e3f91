"""The command line's way to the staff's socket of the agent."""

import asyncio
from pathlib import Path
from typing import TypeVar

import aiohttp
import msgspec
import typer
from rich.console import Console
from rich.text import Text

from agent.desk import SOCKET
from recorder.contract.control import why_no_request

REFUSED_STATUS, AWAY_STATUS = 1, 2
DEFAULT_RUN = Path("/run/courtroom")
UNIT_RUN = Path("/run/courtroom-agent")
"""Where the agent's socket is under its own unit (systemd/courtroom-agent.service); under ``courtroom run`` it is beside the recorder's."""
ORDER_S = 150.0
"""A stop is answered when the record is sealed."""
Answer = TypeVar("Answer")


def ask(run: Path, path: str, order: msgspec.Struct | None, kind: type[Answer]) -> Answer:
    """One request; a refusal, or an agent that is away, ends the command with words."""
    errors = Console(stderr=True, highlight=False, soft_wrap=True)
    if run == DEFAULT_RUN and not (run / SOCKET).exists():
        run = UNIT_RUN
    try:
        if order is not None:
            msgspec.json.decode(msgspec.json.encode(order), type=type(order))  # the same limits as at the socket, told without it
        code, raw = asyncio.run(_request(run / SOCKET, path, order))
    except msgspec.ValidationError as error:
        errors.print(Text(f"not an order: {why_no_request(error)}", "red"))
        raise typer.Exit(REFUSED_STATUS) from None
    except (OSError, aiohttp.ClientError, TimeoutError) as error:
        what = "may not be opened by this user" if isinstance(error.__cause__ or error, PermissionError) else "is not answered"
        errors.print(Text(f"the agent's socket {run / SOCKET} {what}; is it running? see `systemctl status courtroom-agent`", "red"))
        raise typer.Exit(AWAY_STATUS) from None
    if code != 200:
        errors.print(Text(_problem(raw, code), "red"))
        raise typer.Exit(AWAY_STATUS if code >= 500 else REFUSED_STATUS)
    return msgspec.json.decode(raw, type=kind)


async def _request(socket_path: Path, path: str, order: msgspec.Struct | None) -> tuple[int, bytes]:
    connector = aiohttp.UnixConnector(path=str(socket_path))
    timeout = aiohttp.ClientTimeout(total=ORDER_S, sock_connect=5.0)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        if order is None:
            asked = session.get(f"http://agent{path}")
        else:
            asked = session.post(f"http://agent{path}", data=msgspec.json.encode(order), headers={"Content-Type": "application/json"})
        async with asked as response:
            return response.status, await response.read()


def _problem(raw: bytes, code: int) -> str:
    try:
        return str(msgspec.json.decode(raw, type=dict[str, str])["error"])
    except (msgspec.DecodeError, KeyError):
        return f"the agent answered with {code}; see `journalctl -u courtroom-agent`"

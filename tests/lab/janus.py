"""Debian's Janus, a media server: its VideoRoom, by which an audience may watch; its Streaming of one camera; its HTTP API on loopback."""

import asyncio
import os
import secrets
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import aiohttp

from tests.lab.waiting import until

ROOM = 1
CAMERA = 1
"""The mountpoint of its Streaming."""
_LIBRARIES = Path("/usr/lib")
_CONFIGS = {
    "janus.jcfg": 'general: {{ configs_folder = "{base}"; plugins_folder = "{plugins}"; transports_folder = "{transports}"; '
    "debug_level = 3; protected_folders = []; disable_events = true }}\nplugins: {{ "
    'disable = "libjanus_audiobridge.so,libjanus_echotest.so,libjanus_recordplay.so,libjanus_sip.so,libjanus_nosip.so,'
    '{streaming}libjanus_textroom.so,libjanus_videocall.so,libjanus_voicemail.so,libjanus_lua.so,libjanus_duktape.so" }}\n'
    'transports: {{ disable = "libjanus_mqtt.so,libjanus_nanomsg.so,libjanus_pfunix.so,libjanus_rabbitmq.so,libjanus_websockets.so" }}\n',
    "janus.transport.http.jcfg": 'general: {{ base_path = "/janus"; http = true; port = {port}; ip = "127.0.0.1"; https = false }}\n'
    "admin: {{ admin_http = false }}\n",
    "janus.plugin.videoroom.jcfg": 'room-{room}: {{ description = "audience"; publishers = 4; bitrate = 0; audiocodec = "opus"; '
    'videocodec = "h264"; h264_profile = "42e01f" }}\n',
}
_STREAMING = "libjanus_streaming.so,"
_MOUNTPOINT = (
    'camera: {{ type = "rtsp"; id = {id}; audio = false; video = true; url = "{url}"; rtsp_user = "{user}"; rtsp_pwd = "{password}"; '
    'videopt = 96; videocodec = "h264"; videofmtp = "profile-level-id=42e01f;packetization-mode=1" }}\n'
)


@dataclass(frozen=True, slots=True)
class Camera:
    """A network camera that its Streaming plugin reads."""

    url: str
    user: str
    password: str


class JanusError(Exception):
    """It answers with an error."""


def missing() -> bool:
    """Whether Debian's janus is not installed."""
    return shutil.which("janus") is None


class Janus:
    """One server.

    Args:
        base: directory for its configuration and its log.
        port: of its HTTP API.
        camera: what its Streaming shows as ``CAMERA``; None: it has no Streaming.
    """

    def __init__(self, base: Path, port: int, camera: Camera | None = None) -> None:
        self.url = f"http://127.0.0.1:{port}/janus"
        self._base = base
        self._process: subprocess.Popen[bytes] | None = None
        (home,) = _LIBRARIES.glob("*/janus")
        base.mkdir(parents=True, exist_ok=True)
        for name, text in _CONFIGS.items():
            values = {"base": base, "plugins": home / "plugins", "transports": home / "transports", "port": port, "room": ROOM}
            (base / name).write_text(text.format(**values, streaming="" if camera else _STREAMING), encoding="utf-8")
        if camera is not None:
            mountpoint = _MOUNTPOINT.format(id=CAMERA, url=camera.url, user=camera.user, password=camera.password)
            (base / "janus.plugin.streaming.jcfg").write_text(mountpoint, encoding="utf-8")

    @property
    def pid(self) -> int:
        """Its process."""
        assert self._process is not None
        return self._process.pid

    async def start(self) -> None:
        """Start it, and wait until it answers."""
        self._spawn()
        for _ in range(200):
            if await self._answers():
                return
            await asyncio.sleep(0.05)
        raise AssertionError((self._base / "janus.log").read_text(encoding="utf-8", errors="replace")[-2_000:])

    def kill(self) -> None:
        """As a power cut."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def cpu_s(self) -> float:
        """What it has used of the processors."""
        fields = Path(f"/proc/{self.pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def _spawn(self) -> None:
        with (self._base / "janus.log").open("ab") as log:
            command = ["janus", "-C", str(self._base / "janus.jcfg"), "-F", str(self._base), "-o"]
            self._process = subprocess.Popen(command, stdout=log, stderr=log)

    async def _answers(self) -> bool:
        try:
            async with aiohttp.ClientSession() as http, http.get(f"{self.url}/info") as response:
                return response.status == 200
        except aiohttp.ClientError:
            return False


class Handle:
    """A session of Janus with one handle of a plugin; its events are fetched until it is closed.

    Args:
        url: of Janus' API.
        plugin: whose handle.
    """

    def __init__(self, url: str, plugin: Literal["videoroom", "streaming"] = "videoroom") -> None:
        self._url = url
        self._plugin = f"janus.plugin.{plugin}"
        self._http = aiohttp.ClientSession()
        self._path = ""
        self._session = ""
        self._events: list[dict[str, Any]] = []
        self._fetching: asyncio.Task[None] | None = None

    async def attach(self) -> None:
        """Begin."""
        self._session = f"{self._url}/{(await self._say(self._url, janus='create'))['data']['id']}"
        found = await self._say(self._session, janus="attach", plugin=self._plugin)
        self._path = f"{self._session}/{found['data']['id']}"
        self._fetching = asyncio.create_task(self._fetch())

    async def ask(self, body: dict[str, Any], jsep: dict[str, Any] | None = None) -> dict[str, Any]:
        """Ask the plugin for something; returns the event that answers."""
        transaction = secrets.token_hex(8)
        more = {} if jsep is None else {"jsep": jsep}
        await self._say(self._path, transaction, janus="message", body=body, **more)
        await until(lambda: any(one.get("transaction") == transaction for one in self._events), f"Janus to answer {body}")
        answer = next(one for one in self._events if one.get("transaction") == transaction)
        data: dict[str, Any] = answer["plugindata"]["data"]
        if "error" in data:
            raise JanusError(str(data["error"]))
        return {**data, "jsep": answer.get("jsep")}

    async def close(self) -> None:
        """Over; a Janus that is gone is no error."""
        if self._fetching is not None:
            self._fetching.cancel()
        try:
            if self._session:
                await self._say(self._session, janus="destroy")
        except (aiohttp.ClientError, JanusError):
            pass
        finally:
            await self._http.close()

    async def _say(self, url: str, transaction: str = "", **message: Any) -> dict[str, Any]:
        async with self._http.post(url, json={"transaction": transaction or secrets.token_hex(8), **message}) as response:
            said: dict[str, Any] = await response.json()
        if said["janus"] not in {"success", "ack"}:
            raise JanusError(str(said))
        return said

    async def _fetch(self) -> None:
        """Events, which also keep the session alive."""
        while True:
            try:
                async with self._http.get(self._session, params={"maxev": "1"}) as response:
                    said = await response.json()
            except aiohttp.ClientError:
                return
            if isinstance(said, dict) and said.get("janus") == "event":
                self._events.append(said)
            elif isinstance(said, dict) and said.get("janus") == "error":
                return

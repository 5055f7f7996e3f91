"""The centre's public door behind nginx, by the very lines of docs/centre.md: a real nginx with TLS before it."""

import asyncio
import re
import shutil
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import aiohttp
import pytest

from agent.upstream import relay
from tests.lab.centre import free_port
from tests.lab.public_door import serving

DOCUMENT = Path(__file__).parents[2] / "docs" / "centre.md"
NGINX = "/usr/sbin/nginx"
pytestmark = [pytest.mark.lab, pytest.mark.skipif(shutil.which(NGINX) is None, reason="nginx is not installed")]


@contextmanager
def nginx(base: Path, door: str) -> Iterator[tuple[int, ssl.SSLContext]]:
    """An nginx before a door; yields its port, and whom its browsers trust."""
    ((lines),) = re.findall(r"```nginx\n(.+?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=centre",
         "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", base / "key.pem", "-out", base / "cert.pem"],
        check=True, capture_output=True,
    )  # fmt: skip
    port = free_port()
    temporary = "".join(f"{kind}_temp_path {base}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    (base / "nginx.conf").write_text(
        f"daemon off; master_process off; pid {base}/nginx.pid; error_log {base}/error.log;\nevents {{}}\n"
        f"http {{ access_log off;\n{temporary}server {{ listen 127.0.0.1:{port} ssl;\n"
        f"ssl_certificate {base}/cert.pem; ssl_certificate_key {base}/key.pem;\nlocation / {{ proxy_pass {door};\n{lines}}} }} }}\n",
        encoding="utf-8",
    )
    with (base / "nginx.log").open("wb") as log:
        process = subprocess.Popen([NGINX, "-c", base / "nginx.conf", "-e", base / "error.log"], stdout=log, stderr=log)
    try:
        end_s = time.monotonic() + 20
        while not (base / "nginx.pid").exists():
            assert process.poll() is None, (base / "nginx.log").read_text() + (base / "error.log").read_text()
            assert time.monotonic() < end_s
            time.sleep(0.02)
        yield port, ssl.create_default_context(cafile=base / "cert.pem")
    finally:
        process.terminate()
        process.wait(10)


async def test_pages_reach_their_room_through_nginx_and_the_room_is_told_whose_they_are(tmp_path: Path) -> None:
    async with serving(forwarded=True) as place:
        with nginx(tmp_path, place.url) as (port, trust):
            here = f"https://127.0.0.1:{port}"
            room = await place.room()
            connector = aiohttp.TCPConnector(ssl=trust, local_addr=("127.0.0.2", 0))
            async with aiohttp.ClientSession(connector=connector, headers={"X-Forwarded-For": "198.51.100.7"}) as browser:
                joining = asyncio.create_task(browser.post(f"{here}/r/r1/api/join", data=b"x" * relay.BODY_BYTES))
                request = await room.hear()
                assert isinstance(request, relay.Request)
                assert (request.source, len(request.body)) == ("127.0.0.2", relay.BODY_BYTES)
                await room.say(relay.Response(channel=request.channel, status=200, body=b"{}"))
                assert await (await joining).read() == b"{}"
                assert await room.hear() == relay.Gone(channel=request.channel)

                page = await browser.ws_connect(f"{here}/r/r1/api/connect", origin=here)
                connect = await room.hear()
                assert isinstance(connect, relay.Connect)
                assert connect.source == "127.0.0.2"
                long = "x" * (relay.TEXT_BYTES // 2)
                await page.send_str(long)
                said = await room.hear()
                assert isinstance(said, relay.Said)
                assert said.text == long
                await room.say(relay.Said(channel=connect.channel, text=long))
                assert await asyncio.wait_for(page.receive_str(), 10) == long
                await page.close()

                with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                    await browser.ws_connect(f"{here}/r/r1/api/connect", origin="https://elsewhere.example")
                assert refused.value.status == 403
                await room.socket.close()

import itertools
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from recorder.children.bus_server import BusServer, BusStream
from recorder.contract import bus
from recorder.contract.bus_client import AsyncBusClient, BusClient, BusEndedError
from tests.children.linked import wait_for

HELLO = bus.Hello(stream="cam", kind="video", codec="h264", extradata=b"parameters")


def put(stream: BusStream, first: int, count: int, gop: int = 10, size: int = 100) -> None:
    for n in range(first, first + count):
        stream.publish(n * 40_000, 40_000, key=n % gop == 0, data=n.to_bytes(4, "big") * (size // 4))


def number(body: bytes) -> int:
    return int.from_bytes(body[:4], "big")


def test_a_viewer_who_joins_late_starts_with_the_running_group_of_pictures(tmp_path: Path) -> None:
    asked: list[int] = []
    stream = BusServer(str(tmp_path), []).stream(HELLO, lambda: asked.append(1))
    put(stream, 0, 25)
    with BusClient(str(tmp_path), "cam") as client:
        assert client.hello == HELLO
        wait_for(lambda: stream.watched, "the reader")
        put(stream, 25, 3)
        got = [client.read() for _ in range(8)]
        assert [number(body) for _, body in got] == list(range(20, 28))
        assert got[0][0].key
        assert client.lost == 0
        before = len(asked)
        client.request_keyframe()
        wait_for(lambda: len(asked) > before, "the request")


def test_a_reader_that_does_not_read_costs_the_writer_nothing_and_goes_on_at_a_keyframe(tmp_path: Path) -> None:
    stream = BusServer(str(tmp_path), []).stream(HELLO)
    with BusClient(str(tmp_path), "cam") as slow, BusClient(str(tmp_path), "cam") as quick:
        wait_for(lambda: len(stream.readers) == 2, "the readers")
        seen = []
        for n in range(2000):
            put(stream, n, 1, size=20_000)
            seen.append(number(quick.read()[1]))
        assert seen == list(range(2000)), "the quick one misses nothing by the slow one"
        got = [slow.read()]
        while number(got[-1][1]) != 1999:
            got.append(slow.read())
        assert slow.lost == 2000 - len(got)
        assert slow.lost > 500
        for (a, _), (b, _) in itertools.pairwise(got):
            assert b.sequence == a.sequence + 1 or b.key


def test_after_a_wipe_nothing_of_before_reaches_anyone(tmp_path: Path) -> None:
    server = BusServer(str(tmp_path), [])
    stream = server.stream(HELLO)
    put(stream, 0, 5)
    with BusClient(str(tmp_path), "cam") as stuck:
        wait_for(lambda: stream.watched, "the reader")
        put(stream, 10, 300, size=20_000)
        wait_for(lambda: any(reader.sending is not None for reader in stream.readers), "half a packet to be stuck")
        server.wipe()
        with BusClient(str(tmp_path), "cam") as client:
            wait_for(lambda: any(reader.sock.fileno() >= 0 for reader in stream.readers), "the reader")
            put(stream, 1000, 1)
            assert number(client.read()[1]) == 1000
        got = iter(lambda: number(stuck.read()[1]), -1)
        with pytest.raises(BusEndedError):
            assert max(got) < 1000


def test_pictures_without_their_beginning_are_shown_to_nobody(tmp_path: Path) -> None:
    stream = BusServer(str(tmp_path), []).stream(HELLO)
    put(stream, 0, 15)
    stream.forget()
    with BusClient(str(tmp_path), "cam") as client:
        wait_for(lambda: stream.watched, "the reader")
        put(stream, 16, 10)
        assert number(client.read()[1]) == 20


def test_a_reader_waits_for_the_codec_s_parameters(tmp_path: Path) -> None:
    stream = BusServer(str(tmp_path), []).stream(bus.Hello(stream="cam", kind="video", codec="h264"), described=False)
    with socket.socket(socket.AF_UNIX) as early:
        early.connect(bus.socket_path(str(tmp_path), "cam"))
        wait_for(lambda: stream.watched, "the reader")
        stream.describe(HELLO)
        early.settimeout(5)
        assert b"parameters" in early.recv(4096)
        stream.describe(bus.Hello(stream="cam", kind="video", codec="h264", extradata=b"others"))
        assert early.recv(4096) == b"", "who was told otherwise must come again"


def test_a_user_who_may_not_read_is_turned_away(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can be somebody else")
    BusServer(str(tmp_path), [34567]).stream(HELLO)
    path = bus.socket_path(str(tmp_path), "cam")
    for place in (tmp_path, *tmp_path.parents[:3], Path(path).parent):
        place.chmod(0o755)
    Path(path).chmod(0o666)
    code = (
        "import os, socket, sys; os.setgid(int(sys.argv[2])); os.setuid(int(sys.argv[2])); s = socket.socket(socket.AF_UNIX);"
        "s.connect(sys.argv[1]); s.settimeout(5); print(len(s.recv(4096)))"
    )
    got = {
        uid: subprocess.run([sys.executable, "-c", code, path, uid], capture_output=True, text=True, check=False)
        for uid in ("34567", "65534")
    }
    assert int(got["34567"].stdout) > 0, got["34567"].stderr
    assert got["65534"].stdout.strip() in {"0", ""}


def test_garbage_from_a_reader_ends_that_reader_alone(tmp_path: Path) -> None:
    stream = BusServer(str(tmp_path), []).stream(HELLO)
    with BusClient(str(tmp_path), "cam") as good, socket.socket(socket.AF_UNIX) as bad:
        bad.connect(bus.socket_path(str(tmp_path), "cam"))
        wait_for(lambda: len(stream.readers) == 2, "both")
        bad.sendall(b"\xff" * 64)
        wait_for(lambda: len(stream.readers) == 1, "the bad one to go")
        put(stream, 0, 1)
        assert number(good.read()[1]) == 0


async def test_the_asyncio_reader_gives_the_same(tmp_path: Path) -> None:
    stream = BusServer(str(tmp_path), []).stream(HELLO)
    put(stream, 0, 15)
    client = await AsyncBusClient.connect(str(tmp_path), "cam")
    assert client.hello == HELLO
    assert [number((await client.read())[1]) for _ in range(5)] == [10, 11, 12, 13, 14]
    client.request_keyframe()
    stream.disconnect()
    with pytest.raises(BusEndedError):
        await client.read()
    await client.close()


def test_a_stream_that_nobody_serves_is_named(tmp_path: Path) -> None:
    with pytest.raises(BusEndedError, match="cam"):
        BusClient(str(tmp_path), "cam")

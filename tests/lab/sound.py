"""A sound card without hardware: a headless PipeWire whose four-channel sink is heard through an ALSA PCM called ``courtroom``.

What ``play`` plays into the sink's channels comes out of the PCM's channels, paced as a card would pace it. Every server runs in a
directory of its own, so that several labs, and the machine's own sound, do not meet. Debian packages: pipewire, pipewire-bin, wireplumber,
pipewire-alsa, dbus-daemon (WirePlumber wants a session bus).
"""

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
import wave
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt

CHANNELS = 4
RATE_HZ = 48_000
PCM = "courtroom"
_POSITIONS = ("FL", "FR", "RL", "RR")
_NEEDED = ("pipewire", "wireplumber", "pw-cat", "pw-metadata", "dbus-run-session")
_READY_S = 10.0
_PLAYERS = 3
_HANGS_S = 10.0
"""A player that lasts so much longer than its sound does not end any more."""

_SERVER = """
context.properties = {{ default.clock.rate = {rate} default.clock.quantum = 960 default.clock.min-quantum = 480
  default.clock.max-quantum = 960 core.daemon = true core.name = pipewire-0 support.dbus = false }}
context.spa-libs = {{ audio.convert.* = audioconvert/libspa-audioconvert support.* = support/libspa-support }}
context.modules = [
  {{ name = libpipewire-module-protocol-native }} {{ name = libpipewire-module-metadata }}
  {{ name = libpipewire-module-spa-node-factory }} {{ name = libpipewire-module-spa-device-factory }}
  {{ name = libpipewire-module-client-node }} {{ name = libpipewire-module-client-device }}
  {{ name = libpipewire-module-access }} {{ name = libpipewire-module-adapter }}
  {{ name = libpipewire-module-link-factory }} {{ name = libpipewire-module-session-manager }}
]
context.objects = [
  {{ factory = spa-node-factory args = {{ factory.name = support.node.driver node.name = Driver node.group = pipewire.dummy
      priority.driver = 20000 }} }}
  {{ factory = adapter args = {{ factory.name = support.null-audio-sink node.name = {name} node.description = "{name}"
      media.class = Audio/Sink audio.position = [ {positions} ] object.linger = true monitor.channel-volumes = false
      adapter.auto-port-config = {{ mode = dsp monitor = true position = preserve }} }} }}
]
"""
_ALSA = """
</usr/share/alsa/alsa.conf>
pcm.{name} {{ type pipewire server "pipewire-0" capture_node "{name}" playback_node "{name}"
  hint {{ show on description "the courtroom's virtual sound card" }} }}
"""


def missing_tools() -> list[str]:
    """Programs of the lab that this machine lacks."""
    return [tool for tool in _NEEDED if shutil.which(tool) is None]


class SoundLab:
    """One running sound server; ``environment`` is what a process needs to hear it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        runtime = directory / "run"
        runtime.mkdir(mode=0o700)
        (directory / "pipewire.conf").write_text(_SERVER.format(rate=RATE_HZ, name=PCM, positions=" ".join(_POSITIONS)))
        (directory / "asound.conf").write_text(_ALSA.format(name=PCM))
        self.environment = {
            "XDG_RUNTIME_DIR": str(runtime),
            "ALSA_CONFIG_PATH": str(directory / "asound.conf"),
            "ALSA_CONFIG_DIR": "/usr/share/alsa",
            "ALSA_PLUGIN_DIR": next(str(path) for path in Path("/usr/lib").glob("*-linux-gnu/alsa-lib")),
        }
        self._all = {**os.environ, **self.environment, "HOME": str(directory), "XDG_STATE_HOME": str(directory)}
        self._log = (directory / "log").open("wb")
        self._started: list[subprocess.Popen[bytes]] = []
        self._server = self._start("pipewire", "-c", str(directory / "pipewire.conf"))
        self._wait((runtime / "pipewire-0").exists, "PipeWire did not start")
        self._start("dbus-run-session", "--", "wireplumber")
        self._wait(self._has_default, "WirePlumber did not start")

    def play(self, sound: npt.NDArray[np.int16]) -> subprocess.Popen[bytes]:
        """Play samples, shape (samples, 4), once into the sink; the process ends with the sound."""
        if sound.ndim != 2 or sound.shape[1] != CHANNELS:
            raise ValueError(f"the sink has {CHANNELS} channels")
        path = self.directory / f"play-{time.monotonic_ns()}.wav"
        with wave.open(str(path), "wb") as file:
            file.setnchannels(CHANNELS)
            file.setsampwidth(2)
            file.setframerate(RATE_HZ)
            file.writeframes(np.ascontiguousarray(sound, dtype="<i2").tobytes())
        return self._start("pw-cat", "-p", "--target", PCM, "--channel-map", ",".join(_POSITIONS), "--latency", "20ms", str(path))

    def play_whole(self, sound: npt.NDArray[np.int16]) -> None:
        """Play samples, as ``play``, to their end. Where the player does not end, which pw-cat rarely does, another one plays all anew.

        Raises:
            RuntimeError: none has played it.
        """
        for _ in range(_PLAYERS):
            player = self.play(sound)
            with contextlib.suppress(subprocess.TimeoutExpired):
                if player.wait(timeout=len(sound) / RATE_HZ + _HANGS_S) == 0:
                    return
            _signal(player, signal.SIGKILL)
            player.wait()
        log = (self.directory / "log").read_text(errors="replace")[-2000:]
        raise RuntimeError(f"{_PLAYERS} players did not play the sound to its end: {log}")

    def kill_server(self) -> None:
        """What a pulled card looks like: the server dies at once."""
        self._server.kill()
        self._server.wait()

    def close(self) -> None:
        """Stop all that was started, and what that started."""
        for process in reversed(self._started):
            _signal(process, signal.SIGTERM)
        for process in self._started:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=3)
            _signal(process, signal.SIGKILL)
            process.wait()
        self._log.close()

    def _start(self, *command: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(command, env=self._all, stdout=self._log, stderr=self._log, start_new_session=True)
        self._started.append(process)
        return process

    def _has_default(self) -> bool:
        answer = subprocess.run(
            ["pw-metadata", "0", "default.audio.source"], env=self._all, capture_output=True, text=True, check=False, timeout=5
        )
        return PCM in answer.stdout

    def _wait(self, ready: Callable[[], bool], failure: str) -> None:
        deadline = time.monotonic() + _READY_S
        while not ready():
            if time.monotonic() > deadline:
                self.close()
                raise TimeoutError(f"{failure}: {(self.directory / 'log').read_text(errors='replace')[-2000:]}")
            time.sleep(0.02)


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """To a process and its children: each leads a session of its own."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)


@contextmanager
def sound_lab() -> Iterator[SoundLab]:
    """A lab in a directory of its own, cleaned away afterwards."""
    with tempfile.TemporaryDirectory(prefix="sound-lab-") as directory:
        lab = SoundLab(Path(directory))
        try:
            yield lab
        finally:
            lab.close()

"""``courtroom devices``: what this PC has, each with the stanza to paste into room.toml."""

import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Column, Table

from drivers import discovery
from provisioning import device_stanzas as stanzas
from provisioning.card_number import lasting_name


def survey(root: Path) -> list[dict[str, Any]]:
    """Every device as a row: ``kind``, ``name``, ``address``, ``abilities``, ``stanza`` and what was found. PortAudio only of this PC."""
    ids = stanzas.Ids()
    rows: list[dict[str, Any]] = [
        _row("camera", camera.name, camera.path, _offered(camera) or camera.note, stanzas.camera(camera, ids), asdict(camera))
        for camera in discovery.cameras(root)
    ]
    for card in discovery.cards(root):
        abilities = f"{_some(card.channels)} channels, {_some(card.rates_hz)} Hz"
        rows.append(_row("alsa", card.name, card.device, abilities, stanzas.card(card, ids), asdict(card)))
    if root == discovery.ROOT:
        found = discovery.portaudio()
        for device in found:
            name = lasting_name(device.name, [other.name for other in found])
            abilities = f"{device.inputs} in, {device.outputs} out, {device.rate_hz} Hz"
            stanza = stanzas.portaudio(device, name, ids) if device.inputs else f"[speaker]\ndevice = {stanzas.quoted(name)}\n"
            rows.append(_row("portaudio", device.name, name, abilities, stanza, asdict(device)))
    return rows


def devices(
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print the list as JSON, for programs.")] = False,
    root: Annotated[Path, typer.Option(help="Look at another file system's /dev, /proc and /sys (a rescue disk).")] = discovery.ROOT,
) -> None:
    """List this PC's cameras and sound devices, each with its stanza for room.toml.

    Cameras are named by the socket they are plugged into and sound cards by their name; by a number, which may be another after the next
    start, only where two are called alike. A card shows twice: by "alsa" (all channels, the better choice) and by "portaudio". Network
    cameras (RTSP) and AES67 streams cannot be found here: write their stanzas by hand. Without any device the stanzas of the test picture
    and the test tone are printed.

    Example: courtroom devices, then paste what you need into room.toml, then courtroom check-config room.toml.
    """
    note = ""
    try:
        rows = survey(root)
    except OSError as error:
        raise typer.BadParameter(f"PortAudio cannot be asked: {error}; on Debian install libportaudio2") from error
    if not rows:
        note = "This PC has no camera and no sound device. A room can be tried with the test picture and the test tone:"
    if as_json:
        typer.echo(json.dumps({"devices": rows, "note": note, "test_stanzas": stanzas.TEST_STANZAS}, indent=2, ensure_ascii=False))
        return
    console = Console()
    if not rows:
        console.print(note + "\n", markup=False)
        console.print(stanzas.TEST_STANZAS, markup=False, highlight=False)
        return
    table = Table("kind", "name", Column("address", overflow="fold"), "can do")
    for row in rows:
        table.add_row(row["kind"], row["name"], row["address"], row["abilities"])
    console.print(table)
    if root == discovery.ROOT:
        console.print(f"H.264 of raw cameras is encoded by {encoder()}", markup=False, highlight=False)
    for row in rows:
        console.print(f"\n# {row['kind']}: {row['name']}\n{row['stanza']}", markup=False, highlight=False, soft_wrap=True)


def encoder() -> str:
    """Which H.264 encoder this PC gets, and why: a trial in a process of its own, for a driver may crash it."""
    done = subprocess.run([sys.executable, "-m", "recorder.children.encoder"], capture_output=True, text=True, check=False)
    return done.stdout.strip() or f"nothing: the trial failed ({(done.stderr.strip().splitlines() or ['no reason given'])[-1]})"


def _offered(camera: discovery.FoundCamera) -> str:
    """The largest picture of each format, and how many more there are."""
    largest: dict[str, discovery.PictureFormat] = {}
    for one in camera.formats:
        known = largest.get(one.codec)
        if known is None or (one.width * one.height, one.fps) > (known.width * known.height, known.fps):
            largest[one.codec] = one
    more = len(camera.formats) - len(largest)
    offered = ", ".join(f"{one.codec} {one.width}x{one.height}@{one.fps:g}" for one in largest.values())
    return f"{offered} and {more} smaller or slower" if more else offered


def _row(kind: str, name: str, address: str, abilities: str, stanza: str, found: dict[str, Any]) -> dict[str, Any]:
    return {"kind": kind, "name": name, "address": address, "abilities": abilities, "stanza": stanza, "found": found}


def _some(numbers: list[int]) -> str:
    return "/".join(map(str, numbers)) or "?"

"""A technician's mistakes in room.toml: all of them at once, each with its line and its remedy."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from provisioning.problems import Problem
from provisioning.room import OWN_CHILDREN
from provisioning.room_file import ConfigError, load
from recorder.children_plan import expected_tracks, plans
from recorder.record.layout import is_id

GOOD = """\
[room]
id = "almaty-3"
court = "Almaty city court"

[storage]
primary = "records"

[signing]
kind = "file"
key = "keys/device.key"
chain = "/etc/courtroom/device-chain.pem"

[[camera]]
id = "bench"
driver = "rtsp"
url = "rtsp://192.0.2.10/1"
user = "recorder"
password_file = "bench.password"

[[microphone]]
id = "table"
driver = "alsa"
device = "hw:CARD=X18,DEV=0"
channels = [
  { id = "judge", number = 1 },
  { id = "witness", number = 2 },
]
"""

GOOD_URL = 'url = "rtsp://192.0.2.10/1"\n'

Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(text: str) -> Path:
        path = tmp_path / "room.toml"
        path.write_bytes(text.encode())
        return path

    return write


def mistakes(path: Path) -> list[Problem]:
    with pytest.raises(ConfigError) as caught:
        load(path)
    return caught.value.problems


def only(path: Path) -> Problem:
    (problem,) = mistakes(path)
    return problem


def test_relative_paths_count_from_the_file_not_from_where_the_command_runs(write: Write, tmp_path: Path) -> None:
    room = load(write(GOOD))
    assert room.storage.primary == str(tmp_path / "records")
    assert room.signing.kind == "file"
    assert room.signing.key == str(tmp_path / "keys/device.key")
    assert room.signing.chain == "/etc/courtroom/device-chain.pem"
    assert room.camera[0].driver == "rtsp"
    assert room.camera[0].password_file == str(tmp_path / "bench.password")


def test_names_of_systemd_credentials_are_no_paths(write: Write) -> None:
    text = GOOD.replace('kind = "file"\nkey = "keys/device.key"\nchain = "/etc/courtroom/device-chain.pem"', 'kind = "credential"')
    room = load(write(text))
    assert room.signing.kind == "credential"
    assert room.signing.key == "device-key"


def test_load_does_not_look_at_what_the_file_points_to(write: Write) -> None:
    room = load(write(GOOD))  # a room must still start and raise its alarms
    assert room.signing.kind == "file"
    assert not any(Path(path).exists() for path in (room.signing.key, room.signing.chain, room.storage.primary))


@pytest.mark.parametrize("ending", ["\r\n", "\n"])
@pytest.mark.parametrize("mark", ["\ufeff", ""])
def test_files_of_windows_editors_are_read(write: Write, mark: str, ending: str) -> None:
    text = mark + GOOD.replace("\n", ending)
    assert load(write(text)).room.id == "almaty-3"
    problem = only(write(text.replace('driver = "rtsp"', 'driver = "rtps"')))
    assert problem.line == 15


@pytest.mark.parametrize(
    ("old", "new", "line", "where", "says"),
    [
        ('driver = "rtsp"', 'driver = "rtps"', 15, "camera[1] 'bench'.driver", r"'rtps'.*did you mean 'rtsp'\?.*v4l2, rtsp, test-pattern"),
        ('driver = "alsa"\n', "", 20, "microphone[1] 'table'.driver", r"missing.*one of: alsa, portaudio"),
        ("user =", "usr =", 17, "camera[1] 'bench'.usr", r"not known.*did you mean 'user'"),
        ('url = "rtsp:', 'url = "http:', 16, "camera[1] 'bench'.url", r"http://192.*must begin with rtsp://"),
        ('url = "rtsp://192.0.2.10/1"\n', "", 13, "camera[1] 'bench'.url", r"'url' is missing.*rtsp://192"),
        ("user =", "width = 640\nuser =", 17, "camera[1] 'bench'.width", r'belongs to driver = "v4l2".*driver = "rtsp"'),
        ("number = 2", "number = 0", 26, "microphone[1] 'table'.channels[2] 'witness'.number", r"is 0; it must be at least 1"),
        ("number = 2", "number = 99", 26, "microphone[1] 'table'.channels[2] 'witness'.number", r"at most 64"),
        ("number = 2", 'number = "two"', 26, "microphone[1] 'table'.channels[2] 'witness'.number", r"whole number.*without quotes"),
        ("number = 2", "number = 2, gain = 1", 26, "microphone[1] 'table'.channels[2] 'witness'.gain", r"did you mean 'mix_gain_db'"),
        ('id = "almaty-3"', 'id = "Almaty 3"', 2, "room.id", r"a-z, 0-9, dot and dash"),
        ('id = "almaty-3"', "id = 3", 2, "room.id", r"must be text"),
        ('court = "Almaty city court"\n', "", 1, "room.court", r"'court' is missing"),
        ('[storage]\nprimary = "records"', "", None, "storage", r"'storage' is missing"),
        ('kind = "file"', 'kind = "tpm"', 9, "signing.kind", r"'tpm'.*file, credential, pkcs11"),
        ('kind = "file"', 'kind = "pkcs11"', 8, "signing.module", r"missing"),
        ('id = "witness"', 'id = "bench"', 26, "microphone[1] 'table'.channels[2] 'bench'.id", r"already that of a camera"),
        ('id = "witness"', 'id = "remote-1"', 26, "microphone[1] 'table'.channels[2] 'remote-1'.id", r"participants"),
        ('id = "witness"', 'id = "room-mix"', 26, "microphone[1] 'table'.channels[2] 'room-mix'.id", r"room mix"),
        ('id = "table"', 'id = "bench"', 21, "microphone[1] 'bench'.id", r"a camera is already called 'bench'"),
        ("user =", "audio = 1.5\nuser =", 17, "camera[1] 'bench'.audio", r"true or false"),
        ("[[camera]]", "[camera]", 13, "camera", r"must be a list.*\[\[…\]\]"),
    ],
)
def test_a_mistake_is_told_with_its_line_and_its_remedy(write: Write, old: str, new: str, line: int | None, where: str, says: str) -> None:
    assert old in GOOD
    problems = mistakes(write(GOOD.replace(old, new, 1)))
    told = [p for p in problems if p.where == where and re.search(says, f"{p.what} {p.remedy}")]
    assert len(told) == 1, [p.text(Path("room.toml")) for p in problems]
    assert told[0].line == line


@pytest.mark.parametrize("size", ["width = 1281", "height = 721", "width = 641\nheight = 361"])
def test_a_camera_s_picture_of_an_odd_size_which_no_encoder_takes_is_refused(write: Write, size: str) -> None:
    text = GOOD + f'\n[[camera]]\nid = "side"\ndriver = "v4l2"\npath = "/dev/video0"\n{size}\n'
    assert [problem.what.endswith("it must be a multiple of 2") for problem in mistakes(write(text))] == [True] * size.count("=")


def test_a_preset_that_the_encoder_does_not_know_is_refused_with_those_that_it_knows(write: Write) -> None:
    problem = only(write(GOOD + '\n[encoding]\npreset = "superfst"\n'))
    assert problem.where == "encoding.preset"
    assert "did you mean 'superfast'" in problem.remedy


def test_where_no_disk_is_named_one_is_proposed_that_recorder_and_delivery_may_use(write: Write) -> None:
    problem = only(write(GOOD.replace('primary = "records"', "")))
    assert 'primary = "/srv/courtroom/primary"' in problem.remedy


def test_all_mistakes_come_in_one_go_and_in_the_order_of_the_file(write: Write) -> None:
    text = GOOD.replace('id = "almaty-3"', 'id = "A"').replace('"rtsp"', '"rtps"').replace("number = 2", "number = 0")
    text = text.replace('id = "witness"', 'id = "bench"') + "\n[mix]\nbitrate_bps = 1\nvolume = 3\n"
    problems = mistakes(write(text))
    assert [p.line for p in problems] == [2, 15, 26, 26, 30, 31]


def test_every_clash_of_names_is_told_not_the_first_alone(write: Write) -> None:
    text = GOOD.replace('id = "witness"', 'id = "bench"').replace('id = "judge"', 'id = "room-out"')
    assert [p.line for p in mistakes(write(text))] == [25, 26]


def test_the_sound_of_a_camera_may_not_take_a_microphones_name(write: Write) -> None:
    text = GOOD.replace("user =", "audio = true\nuser =").replace('id = "witness"', 'id = "bench-sound"')
    assert "camera's sound" in only(write(text)).what


@pytest.mark.parametrize(
    ("old", "new", "where"),
    [
        ('id = "almaty-3"', 'id = "almaty..3"', "room.id"),
        ('id = "bench"', 'id = "bench..1"', "camera[1] 'bench..1'.id"),
        ('id = "judge"', 'id = "judge..1"', "microphone[1] 'table'.channels[1] 'judge..1'.id"),
    ],
)
def test_a_name_that_no_track_may_have_is_a_mistake(write: Write, old: str, new: str, where: str) -> None:
    problem = only(write(GOOD.replace(old, new)))
    assert problem.where == where
    assert "two dots side by side" in problem.what


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("latency_us", "9" * 26, "it must be at most 60000000"),
        ("latency_us", "-60000001", "it must be at least -60000000"),
        ("label", f'"{"x" * 201}"', "has 201 characters; 200 are the most"),
        ("serial", f'"{"x" * 1_100_000}"', "has 1100000 characters; 200 are the most"),
        ("password_file", f'"{"x" * 4_096}"', "has 4"),
    ],
)
def test_what_no_line_of_a_record_could_hold_is_a_mistake(write: Write, key: str, value: str, says: str) -> None:
    text = GOOD.replace('password_file = "bench.password"\n', "").replace(GOOD_URL, f"{GOOD_URL}{key} = {value}\n")
    problem = only(write(text))
    assert problem.where == f"camera[1] 'bench'.{key}"
    assert says in problem.what
    assert len(problem.what) < 200


@pytest.mark.parametrize("value", ["inf", "-inf", "nan"])
def test_a_number_without_end_is_a_mistake(write: Write, value: str) -> None:
    problem = only(write(GOOD.replace('primary = "records"', f'primary = "records"\nwarn_hours = {value}')))
    assert f"is {value}; it must be " in problem.what


@pytest.mark.parametrize(("length", "ok"), [(42, True), (43, False), (48, False)])
def test_the_track_of_a_cameras_sound_has_a_name_that_the_recorder_takes(write: Write, length: int, ok: bool) -> None:
    text = GOOD.replace('id = "bench"', f'id = "{"b" * length}"').replace(GOOD_URL, GOOD_URL + "audio = true\n")
    if ok:
        tracks = [track for plan in plans(load(write(text)), []) for track in expected_tracks(plan)]
        assert f"{'b' * length}-sound" in tracks
        assert all(map(is_id, tracks))
        return
    problem = only(write(text))
    assert problem.where == f"camera[1] '{'b' * length}'.audio"
    assert f"'{'b' * length}-sound', which is longer than a name may be" in problem.what


@pytest.mark.parametrize("device", ["bench", "table"])
@pytest.mark.parametrize("name", ["watch", "ingest", "rungs", "room-mix", "room-out"])
def test_no_device_may_take_the_name_of_a_child_of_the_recorder(write: Write, device: str, name: str) -> None:
    problem = only(write(GOOD.replace(f'id = "{device}"', f'id = "{name}"')))
    assert "the recorder's own name" in problem.what
    assert problem.where == (f"camera[1] '{name}'.id" if device == "bench" else f"microphone[1] '{name}'.id")


def test_every_name_of_the_recorders_own_children_is_reserved(write: Write) -> None:
    config = load(write(GOOD + "[speaker]\n[ingest]\nenabled = true\n[watch]\nenabled = true\n"))
    assert {plan.name for plan in plans(config, [])} - {"bench", "table"} == set(OWN_CHILDREN)


def test_a_videoconference_whose_participants_would_not_be_recorded_is_a_mistake(write: Write) -> None:
    room = GOOD + "[vks]\n\n[ingest]\nenabled = true\nmax_tracks = "
    with pytest.raises(ConfigError, match=r"max_tracks is 5: .* give at least 6"):
        load(write(f"{room}5\n"))
    assert load(write(f"{room}6\n")).ingest.max_tracks == 6


def test_a_room_without_devices_is_told_where_stanzas_come_from(write: Write) -> None:
    problem = only(write(GOOD[: GOOD.index("[[camera]]")]))
    assert "courtroom devices" in problem.remedy


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("[room]\nid = judge\n", 2, "quotes"),
        ('[room]\nid = "a"\nid = "b"\n', 3, "only once"),
        ('[room]\nid = "a"\n[room]\n', 3, "only once"),
        ("[room\n", 1, r"\[room"),
        ('id = "a', 1, ""),
        ('[room]\nid = "a"\n[storage]\nmemory_mib = 1' + "0" * 5_000 + "\n", 4, "the line reads: memory_mib = 1"),
    ],
)
def test_what_is_no_toml_is_told_with_its_line(write: Write, text: str, line: int, says: str) -> None:
    problem = only(write(text))
    assert problem.line == line
    assert re.search(says, problem.remedy)


@pytest.mark.parametrize(
    ("text", "line"),
    [("a = 1\nb = " + "[" * 5_000, 2), ("a = 1\nb = " + "[" * 5_000 + "]" * 5_000, 2), ("a = 1\nb = " + "{b=" * 5_000, 2),
     ("a = 1\n\nb" + ".b" * 5_000 + " = 1", 3), ("b = " + "[\n" * 5_000, 33)],
)  # fmt: skip
def test_what_is_nested_too_deeply_is_told_with_its_line(write: Write, text: str, line: int) -> None:
    problem = only(write(text))
    assert "nested too deeply" in problem.what
    assert problem.line == line
    assert problem.remedy


@pytest.mark.parametrize("key", ["url", "sub_url"])
@pytest.mark.parametrize(
    ("address", "says"),
    [("rtsp://u:s3cret@[bad/x", "host is wrong"), ("rtsp://u:s3cret@h:99999/x", "port is wrong"), ("rtsp://u:s3cret@h:x/", "port is wrong"),
     ("rtsp:///s3cret", "names no host"), ("http://u:s3cret@h/?password=s3cret", "must begin with rtsp://")],
)  # fmt: skip
def test_what_only_looks_like_an_address_is_told_with_its_place_and_without_its_secret(
    write: Write, key: str, address: str, says: str
) -> None:
    text = GOOD.replace('url = "rtsp://192.0.2.10/1"', f'{"" if key == "url" else GOOD_URL}{key} = "{address}"')
    problem = only(write(text))
    assert problem.where == f"camera[1] 'bench'.{key}"
    assert says in f"{problem.what} {problem.remedy}"
    assert "rtsp://" in problem.remedy
    assert "s3cret" not in problem.text(Path("room.toml"))


def test_a_wrong_address_of_a_microphone_or_a_timestamp_authority_is_told_too(write: Write) -> None:
    microphone = '[[microphone]]\nid = "net"\ndriver = "rtsp"\nurl = "rtsp://[x"\nchannels = [{ id = "net-1", number = 1 }]\n'
    authority = '[timestamp]\nurl = "http://[x"\nroots = "r.pem"\n'
    problems = mistakes(write(GOOD + microphone + authority))
    assert [p.where for p in problems] == ["microphone[2] 'net'.url", "timestamp.url"]
    assert "http://" in problems[1].remedy


@pytest.mark.parametrize(
    ("old", "new", "where"),
    [
        ("Almaty city court", r"Almaty\u0000court", "room.court"),
        ("Almaty city court", r"Almaty\ncourt", "room.court"),
        ('id = "bench"', r'id = "bench"' + "\n" + r'label = "\u001b[2J"', "camera[1] 'bench'.label"),
        ('id = "judge"', r'id = "judge", label = "a\u2028b"', "microphone[1] 'table'.channels[1] 'judge'.label"),
        ('"records"', r'"rec\u0000ords"', "storage.primary"),
        ('id = "table"', r'id = "ta\tble"', "microphone[1] 'ta\tble'.id"),
    ],
)
def test_a_character_that_cannot_be_seen_is_a_mistake_and_reaches_no_terminal(write: Write, old: str, new: str, where: str) -> None:
    problem = only(write(GOOD.replace(old, new)))
    assert problem.where == where
    assert "U+" in problem.what
    assert problem.text(Path("room.toml")).replace("\n", "").isprintable()


@pytest.mark.parametrize("court", ["", "  "])
def test_a_court_without_a_name_is_a_mistake(write: Write, court: str) -> None:
    problem = only(write(GOOD.replace("Almaty city court", court)))
    assert problem.where == "room.court"
    assert "Almaty city court" in problem.remedy


@pytest.mark.parametrize(
    ("mirror", "says"),
    [("records", "same directory"), ("records/../records/", "same directory"), ("link", "same directory"), ("records/mirror", "inside"),
     ("link/deep/mirror", "inside"), (".", "holds primary"), ("..", "holds primary")],
)  # fmt: skip
@pytest.mark.parametrize("made", [True, False])
def test_a_mirror_in_or_around_the_primary_directory_is_refused(
    write: Write, tmp_path: Path, mirror: str, says: str, *, made: bool
) -> None:
    (tmp_path / "link").symlink_to("records")
    if made:
        (tmp_path / "records").mkdir()
    problem = only(write(GOOD.replace('primary = "records"', f'primary = "records"\nmirror = "{mirror}"')))
    assert problem.where == "storage.mirror"
    assert says in problem.what
    assert problem.remedy


@pytest.mark.parametrize("mirror", ["records2", "other/records", "/elsewhere"])
def test_a_mirror_beside_the_primary_directory_is_taken(write: Write, mirror: str) -> None:
    storage = load(write(GOOD.replace('primary = "records"', f'primary = "records"\nmirror = "{mirror}"'))).storage
    assert storage.mirror is not None
    assert storage.mirror.endswith(mirror)
    assert storage.mirror != storage.primary


def test_a_file_in_another_encoding_is_told_so(tmp_path: Path) -> None:
    path = tmp_path / "room.toml"
    path.write_bytes('[room]\nid = "a"\ncourt = "Алматы"\n'.encode("cp1251"))
    problem = only(path)
    assert problem.line == 3
    assert "UTF-8" in problem.remedy


def test_a_missing_file_is_told_as_such(tmp_path: Path) -> None:
    assert "No such file" in only(tmp_path / "room.toml").what


def test_the_error_as_text_names_file_line_and_remedy(write: Write) -> None:
    path = write(GOOD.replace('driver = "rtsp"', 'driver = "rtps"'))
    with pytest.raises(ConfigError, match=rf"{re.escape(str(path))}:15: camera\[1\] 'bench'\.driver: .*\n.*did you mean 'rtsp'"):
        load(path)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
@given(data=st.data())
def test_no_damage_to_a_file_makes_the_reader_fail_itself(write: Write, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(GOOD)))
    end = data.draw(st.integers(start, min(len(GOOD), start + 20)))
    junk = data.draw(st.text('[]{}="\n#,.x1é', max_size=6))
    path = write(GOOD[:start] + junk + GOOD[end:])
    try:
        load(path)
    except ConfigError as error:
        assert error.problems  # noqa: PT017 - either outcome is right, any other exception is not

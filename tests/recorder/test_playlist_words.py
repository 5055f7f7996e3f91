"""What a participant calls himself stays between its quotes."""

from recorder.playlist import PlaylistTrack, master_playlist


def test_a_label_adds_no_attribute_and_no_line() -> None:
    label = 'x",URI="file:///etc/passwd"\r\n#EXT-X-MAP:URI="http://evil/\\'
    sound = PlaylistTrack("remote-1", label, "audio", "tracks/remote-1/playlist.m3u8", ('Opus"\n#',), 1000)
    made = master_playlist([sound], "remote-1")
    line = next(line for line in made.splitlines() if line.startswith("#EXT-X-MEDIA"))
    assert [part.split('"')[0] for part in line.split('URI="')[1:]] == ["tracks/remote-1/playlist.m3u8"]
    assert line.count('"') == 6
    assert [text for text in made.splitlines() if text.startswith("#EXT-X-MAP")] == []
    assert "\\" not in made

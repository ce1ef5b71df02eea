"""Frames that a decoder could not make right: told, never passed off as right."""

import av
import numpy as np
import pytest

from stsm_cli.data.damage import Watch
from stsm_cli.data.decode import probe, read_frames
from stsm_cli.errors import DataError


def packets_of(path):
    with av.open(str(path)) as container:
        return [packet for packet in container.demux(video=0) if packet.size]


def hit(source, target, packet):
    """Make a copy of a video, the second half of a packet lost; the number of its frame."""
    content = bytearray(source.read_bytes())
    lost = packet.size // 2
    content[packet.pos + packet.size - lost : packet.pos + packet.size] = bytes(lost)
    target.write_bytes(content)
    times = sorted(packet.pts for packet in packets_of(source))
    return times.index(packet.pts)


def moving(num_frames):
    """A picture that moves and is built from the one before, with too much noise to be skipped."""
    rng = np.random.default_rng(0)
    picture = rng.integers(40, 210, (12, 16, 3)).repeat(8, 0).repeat(8, 1)
    noise = rng.integers(-9, 10, (num_frames, 48, 64, 3))
    return [
        (np.roll(picture, i, 1)[:48, :64] + noise[i]).astype(np.uint8) for i in range(num_frames)
    ]


@pytest.fixture(scope="module")
def noisy(tmp_path_factory, encode):
    """40 frames of a moving picture with noise, a key frame every 10."""
    path = tmp_path_factory.mktemp("noisy") / "a.mp4"
    encode(path, moving(40), "libx264", g=10, bf=2, sc_threshold=0, crf=18)
    return path


def test_a_damaged_frame_and_those_built_from_it_are_refused(noisy, tmp_path):
    first = packets_of(noisy)[10]
    assert first.is_keyframe
    path = tmp_path / "hit.mp4"
    assert hit(noisy, path, first) == 10
    for indices in (np.array([17]), np.array([3, 15, 30]), None):
        with pytest.raises(
            DataError, match=r"hit\.mp4: frame 1[0-7] is damaged(, and \d+ more .*)?$"
        ):
            read_frames(path, indices)
    sound = np.array([2, 8, 20, 33])  # of other groups of pictures
    assert np.array_equal(read_frames(path, sound), read_frames(noisy, sound))
    assert np.array_equal(read_frames(path, sound, from_start=True), read_frames(noisy, sound))
    assert probe(path).num_damaged == 10


def test_a_frame_that_comes_before_the_damaged_one_it_is_built_from_is_refused(noisy, tmp_path):
    packets = packets_of(noisy)
    place = next(  # one that is decoded before the frames that are shown before it
        i for i in range(11, 18) if packets[i].pts > packets[i + 1].pts
    )
    path = tmp_path / "hit.mp4"
    shown = hit(noisy, path, packets[place])
    with pytest.raises(DataError, match=rf"frame {shown - 1} is damaged$"):
        read_frames(path, np.array([shown - 1]))


def test_damaged_frames_are_given_to_who_asks_for_them(noisy, tmp_path):
    path = tmp_path / "hit.mp4"
    hit(noisy, path, packets_of(noisy)[10])
    frames = read_frames(path, np.array([17, 30]), keep_damaged=True)
    assert not np.array_equal(frames[0], read_frames(noisy, np.array([17]))[0])
    assert np.array_equal(frames[1], read_frames(noisy, np.array([30]))[0])


def test_damage_that_a_decoder_only_speaks_of_is_heard(tmp_path, encode):
    path = tmp_path / "a.mp4"
    encode(path, moving(20), "libx265", **{"x265-params": "keyint=10:log-level=none"})
    packets = packets_of(path)
    content = bytearray(path.read_bytes())
    middle = packets[2]
    content[middle.pos + 6 : middle.pos + 16] = b"\xff" * 10  # its header
    (tmp_path / "hit.mp4").write_bytes(content)
    with pytest.raises(DataError, match=r"hit\.mp4: (frame \d+ is damaged|index 9 is past)"):
        read_frames(tmp_path / "hit.mp4", np.array([1, 9]))


def test_a_broken_picture_of_motion_jpeg_is_damaged_by_itself(tmp_path, encode):
    path = tmp_path / "a.avi"
    encode(path, moving(6), "mjpeg", pix_fmt="yuvj420p")
    assert hit(path, tmp_path / "hit.avi", packets_of(path)[2]) == 2
    with pytest.raises(DataError, match=r"hit\.avi: frame 2 is damaged$"):
        read_frames(tmp_path / "hit.avi", None)
    assert len(read_frames(tmp_path / "hit.avi", np.array([1, 3]))) == 2


def test_nothing_is_damaged_in_sound_videos(noisy):
    assert probe(noisy).num_damaged == 0


class Frame:
    """A decoded frame, as far as a watch looks at it."""

    def __init__(self, pts, *, broken=False, key=False):
        self.pts, self.is_corrupt, self.key_frame, self.pict_type = (
            pts,
            broken,
            key,
            1 if key else 2,
        )


class Stream:
    """A stream whose packets are lists of frames."""

    class codec_context:
        name = "h264"

    def decode(self, packet):
        return packet.frames if packet else []


class Packet:
    """What is decoded at this time stamp."""

    def __init__(self, pts, *frames, broken=False):
        self.pts, self.frames, self.is_corrupt = pts, frames, broken


def damaged(*packets):
    watch = Watch(Stream(), [])
    for packet in packets:
        for frame in watch.decode(packet):
            watch.ask(frame.pts, frame)
    return watch.damaged()


def test_frames_that_do_not_come_are_told(noisy, monkeypatch):
    lost = [packet.pts for packet in packets_of(noisy)[4:6]]
    whole = Watch.decode
    monkeypatch.setattr(
        Watch, "decode", lambda *given: [f for f in whole(*given) if f.pts not in lost]
    )
    info = probe(noisy)
    assert (info.num_frames, info.num_damaged) == (38, 0)
    assert info.faults == ("2 frames between the others do not come",)


def test_a_damaged_container_that_raises_nothing_is_told(noisy, tmp_path, remux):
    remux(noisy, tmp_path / "a.mkv", cluster_time_limit="400")  # ms
    content = bytearray((tmp_path / "a.mkv").read_bytes())
    content[content.rfind(b"\x1f\x43\xb6\x75")] ^= 16  # where the last cluster begins
    (tmp_path / "hit.mkv").write_bytes(content)
    assert probe(tmp_path / "a.mkv").faults == ()
    (fault,) = probe(tmp_path / "hit.mkv").faults
    assert fault.startswith("the container is damaged (")


def test_damage_that_shows_in_no_frame_is_told(noisy, monkeypatch):
    monkeypatch.setattr(Watch, "is_broken", True)
    assert probe(noisy).faults == ("a part of which no frame is made is damaged",)


def test_damage_ends_with_the_next_key_frame():
    packets = [Packet(i, Frame(i, broken=i == 2, key=i % 4 == 0)) for i in range(8)]
    assert damaged(*packets) == [2, 3]


def test_what_is_made_of_a_broken_packet_is_damaged():
    packets = [Packet(i, Frame(i, key=i % 4 == 0), broken=i == 2) for i in range(8)]
    assert damaged(*packets) == [2, 3]


def test_frames_that_lead_an_open_group_may_be_built_from_what_came_before():
    """Decoded: 0, 1 (broken), key 4, 3, 5; shown: 0, 1, 3, 4, 5."""
    order = [Packet(0, Frame(0, key=True)), Packet(1, Frame(1, broken=True)), Packet(4), Packet(3)]
    last = Packet(5, Frame(3), Frame(4, key=True), Frame(5))
    assert damaged(*order, last) == [1, 3]


def test_without_time_stamps_damage_reaches_as_far_back_as_frames_are_reordered():
    packets = [Packet(None, Frame(None, broken=i == 9)) for i in range(12)]
    assert len(damaged(*packets)) == 12

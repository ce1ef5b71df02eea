import errno
import random
import re
import struct
from fractions import Fraction

import av
import numpy as np
import pytest

from stsm_cli.data.damage import Watch
from stsm_cli.data.decode import probe, read_frames
from stsm_cli.errors import DataError
from stsm_cli.prepare import verify as module
from stsm_cli.prepare.check import Check
from stsm_cli.prepare.verify import verify, verify_quick

REALTIME = {"deadline": "realtime", "cpu-used": "8"}


def encode(path, codec="libx264", *, num_frames=60, muxer=None, gaps_ms=(40,), **options):
    """A picture that moves, at 25 fps or with these gaps between its frames."""
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (12, 16, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
    with av.open(str(path), "w", options=muxer or {}) as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000) if codec != "mpeg4" else Fraction(1, 25)
        stream.options = {key: str(value) for key, value in options.items()}
        tick = 0
        for number in range(num_frames):
            pixels = np.ascontiguousarray(np.roll(picture, number, 1)[:64, :96])
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.time_base = stream.codec_context.time_base
            frame.pts = number if codec == "mpeg4" else tick
            tick += gaps_ms[number % len(gaps_ms)]
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def remux(source, target, *, hidden):
    """A copy without re-encoding, its first frames before time 0."""
    with av.open(str(source)) as old, av.open(str(target), "w") as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        packets = [packet for packet in old.demux(video=0) if packet.size]
        step = sorted(packet.pts for packet in packets)[1]
        for packet in packets:
            packet.pts -= hidden * step
            packet.dts -= hidden * step
            packet.stream = stream
            new.mux(packet)


def tone(path):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=44100)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 4096), np.float32), "fltp", "mono")
        frame.rate = 44100
        container.mux(stream.encode(frame))
        container.mux(stream.encode())


def told_by_probe(path):
    """What `stsm predict` says of a file, without its name."""
    try:
        return probe(path).shortfall
    except DataError as error:
        return str(error).removeprefix(f"{path}: ")


FASTSTART = {"movflags": "faststart"}
VIDEOS = {  # frames, codec, options
    "h264.mp4": (60, "libx264", {"muxer": FASTSTART}),
    "gop12.mp4": (60, "libx264", {"g": 12, "bf": 2}),
    "open_gop.mp4": (60, "libx264", {"g": 12, "bf": 3, "x264-params": "open-gop=1"}),
    "vfr.mp4": (60, "libx264", {"gaps_ms": (20, 40, 200, 33), "bf": 3}),
    "vfr.webm": (60, "libvpx-vp9", {"gaps_ms": (20, 40, 200, 33), **REALTIME}),
    "vp8.webm": (60, "libvpx", {"auto-alt-ref": 1, "lag-in-frames": 10, "cpu-used": 8}),
    "vp9.webm": (60, "libvpx-vp9", REALTIME),
    "mpeg4.avi": (60, "mpeg4", {"g": 12}),
    "stream.ts": (60, "libx264", {}),
    "one.mp4": (1, "libx264", {}),
    "one.webm": (1, "libvpx-vp9", REALTIME),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("videos")
    for name, (num_frames, codec, options) in VIDEOS.items():
        encode(folder / name, codec, num_frames=num_frames, **options)
    return folder


class Clock:
    ticks = 0

    def __call__(self):
        self.ticks += 1


ways = pytest.mark.parametrize("look", [verify, verify_quick])


@ways
@pytest.mark.parametrize("name", VIDEOS)
def test_a_sound_video_is_ok_and_measured(folder, name, look):
    check = look(folder, name, Clock())
    info = probe(folder / name)
    assert info.num_frames == VIDEOS[name][0]
    assert check == Check("ok", "", info.num_frames, info.fps, 96, 64)


def test_every_frame_is_a_sign_of_life(folder):
    clock = Clock()
    verify(folder, "vp9.webm", clock)
    assert clock.ticks == 60


def test_quick_decodes_the_ends_and_the_middle_only(folder):
    clock = Clock()
    verify_quick(folder, "gop12.mp4", clock)
    assert clock.ticks == 8 + 8 + 12  # and the last group of pictures to its end


@ways
def test_frames_that_an_edit_list_hides_are_not_missed(folder, tmp_path, look):
    remux(folder / "gop12.mp4", tmp_path / "cut.mp4", hidden=15)
    check = look(tmp_path, "cut.mp4", Clock())
    shown = len(read_frames(tmp_path / "cut.mp4", None, decoder="pyav"))
    assert 40 < shown < 50  # FFmpeg's versions differ by one in what an edit list hides
    assert (check.status, check.num_frames) == ("ok", shown)


@ways
@pytest.mark.parametrize(
    ("name", "codec"),
    [("a.mkv", "libx264"), ("a.flv", "flv"), ("a.wmv", "wmv2"), ("a.asf", "mpeg4")],
)
def test_a_video_of_one_frame_is_whole(tmp_path, name, codec, look):
    with av.open(str(tmp_path / name), "w") as container:
        stream = container.add_stream(codec, rate=15)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        picture = np.zeros((64, 96, 3), np.uint8)
        container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    check = look(tmp_path, name, Clock())
    assert (check.status, check.num_frames) == ("ok", 1), check.reason


@ways
def test_a_video_that_is_shown_turned_has_the_size_that_is_shown(folder, tmp_path, look):
    content = bytearray((folder / "h264.mp4").read_bytes())
    matrix = content.index(b"tkhd") + 44
    content[matrix : matrix + 36] = struct.pack(">9i", 0, 1 << 16, 0, -1 << 16, *[0] * 4, 1 << 30)
    (tmp_path / "turned.mp4").write_bytes(content)
    check = look(tmp_path, "turned.mp4", Clock())
    assert (check.width, check.height) == (64, 96)
    assert read_frames(tmp_path / "turned.mp4", None, decoder="pyav").shape == (60, 96, 64, 3)


@ways
@pytest.mark.parametrize("share", [0.5, 0.9])
@pytest.mark.parametrize("name", ["h264.mp4", "vp8.webm", "vp9.webm"])
def test_a_file_that_ends_early_is_short(folder, tmp_path, name, share, look):
    content = (folder / name).read_bytes()
    (tmp_path / name).write_bytes(content[: int(share * len(content))])
    check = look(tmp_path, name, Clock())
    decoded = len(read_frames(tmp_path / name, None, decoder="pyav")) if "webm" in name else None
    assert check.status == "short"
    assert check.reason.startswith(f"ends after {decoded}" if decoded else "ends after ")
    assert " frames, at " in check.reason
    assert check.num_frames == 0  # of no use
    assert told_by_probe(tmp_path / name) == check.reason


def test_an_avi_that_ends_early_claims_less_but_its_last_packet_is_damaged(folder, tmp_path):
    content = (folder / "mpeg4.avi").read_bytes()
    (tmp_path / "cut.avi").write_bytes(content[: int(0.9 * len(content))])
    check = verify(tmp_path, "cut.avi", Clock())
    assert check.status == "corrupt"
    assert re.fullmatch(r"packet \d+ is damaged", check.reason)


def test_a_header_is_not_believed(folder, tmp_path):
    content = (folder / "h264.mp4").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(content[: len(content) // 2])
    with av.open(str(tmp_path / "cut.mp4")) as container:
        assert container.streams.video[0].frames == 60


@pytest.mark.parametrize("name", ["h264.mp4", "vp9.webm", "mpeg4.avi", "stream.ts"])
def test_flipped_bytes_are_noticed_and_the_frame_named(folder, tmp_path, name):
    content = bytearray((folder / name).read_bytes())
    rng = random.Random(3)
    for _ in range(400):
        content[rng.randrange(len(content) // 3, 9 * len(content) // 10)] ^= 1 << rng.randrange(8)
    (tmp_path / name).write_bytes(content)
    check = verify(tmp_path, name, Clock())
    assert check.status in ("corrupt", "short")  # where lengths of packets are hit
    assert "frame" in check.reason or "container is damaged" in check.reason


def test_one_flipped_byte_in_h264_is_noticed_where_it_is(folder, tmp_path):
    with av.open(str(folder / "h264.mp4")) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size > 60]
        hit = packets[len(packets) // 2]
        place, number = hit.pos + hit.size // 2, round(float(hit.pts * hit.time_base) * 25)
    content = bytearray((folder / "h264.mp4").read_bytes())
    content[place] ^= 255
    (tmp_path / "hit.mp4").write_bytes(content)
    assert len(read_frames(tmp_path / "hit.mp4", None, keep_damaged=True)) == 60  # all come
    check = verify(tmp_path, "hit.mp4", Clock())
    assert check.status == "corrupt"
    assert f"frame {number} " in check.reason


def copy_packets(source, target, *, key=0, edit=None):
    """A copy without re-encoding from this key frame on; `edit` changes the content of packets."""
    with av.open(str(source)) as old, av.open(str(target), "w") as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        packets = [packet for packet in old.demux(video=0) if packet.size]
        first = [i for i, packet in enumerate(packets) if packet.is_keyframe][key]
        for number, packet in enumerate(packets[first:]):
            copy = av.Packet(edit(number, bytes(packet)) if edit else bytes(packet))
            copy.pts, copy.dts = packet.pts - packets[first].pts, packet.dts - packets[first].pts
            copy.duration, copy.time_base = packet.duration, packet.time_base
            copy.is_keyframe, copy.stream = packet.is_keyframe, stream
            new.mux(copy)


@ways
@pytest.mark.parametrize("name", ["cut.mp4", "cut.mkv"])
def test_a_cut_from_an_open_group_of_pictures_is_ok(tmp_path, name, look):
    """Its first pictures would be built from others that were cut off; the others are whole."""
    params = "open-gop=1:keyint=30:bframes=5:b-pyramid=strict:ref=6:b-adapt=0:scenecut=0"
    encode(tmp_path / "whole.mp4", num_frames=90, **{"x264-params": params})
    copy_packets(tmp_path / "whole.mp4", tmp_path / name, key=1)
    check = look(tmp_path, name, Clock())
    shown = len(read_frames(tmp_path / name, None))
    assert (check.status, check.num_frames) == ("ok", shown)
    assert 55 <= shown <= 65


def test_a_complaint_that_costs_no_frame_is_a_note(folder, tmp_path):
    oversized = bytes([6, 5, 200]) + b"A" * 40 + b"\x80"  # a text of 200 bytes, of which 40 come
    unit = struct.pack(">I", len(oversized)) + oversized
    copy_packets(
        folder / "gop12.mp4", tmp_path / "a.mp4", edit=lambda i, b: unit + b if i in (0, 7) else b
    )
    check = verify(tmp_path, "a.mp4", Clock())
    assert (check.status, check.num_frames, check.reason) == ("ok", 60, "")
    assert check.note.startswith("h264: SEI type 5 size 200 truncated")


def test_a_packet_without_a_frame_is_noticed(folder, tmp_path):
    filler = struct.pack(">I", 1) + b"\x0c"
    copy_packets(
        folder / "gop12.mp4", tmp_path / "a.mp4", edit=lambda i, b: filler if i == 20 else b
    )
    check = verify(tmp_path, "a.mp4", Clock())
    assert check.status == "corrupt"
    assert re.fullmatch(r"frame \d+ \(0\.\d\d s\) does not decode \(no frame!\)", check.reason)


def test_frames_that_do_not_come_between_others_are_noticed(folder, monkeypatch):
    def decode(self, packet):
        return [frame for frame in whole(self, packet) if frame.pts not in (5120, 5760)]

    whole = Watch.decode
    monkeypatch.setattr(Watch, "decode", decode)
    check = verify(folder, "gop12.mp4", Clock())
    assert (check.status, check.reason) == ("corrupt", "2 frames between the others do not come")


def test_a_sound_video_is_not_read_from_its_start(folder):
    assert not any(verify(folder, name, Clock()).from_start for name in ("gop12.mp4", "vp9.webm"))


def test_a_video_in_which_seeks_mislead_is_noted(folder, monkeypatch):
    tried = []

    def misled(path, indices):
        tried.extend(indices.tolist())
        return read_frames(path, indices - 1)

    monkeypatch.setattr(module, "read_frames", misled)
    check = verify(folder, "gop12.mp4", Clock())
    assert (check.status, check.from_start) == ("ok", True)
    assert tried == [12, 15, 36, 39]  # key frames that are not the first, and behind them


def test_what_the_readers_refuse_is_corrupt(folder, monkeypatch):
    def refuse(path, indices):
        raise DataError("gop12.mp4: frame 15 is damaged")

    monkeypatch.setattr(module, "read_frames", refuse)
    check = verify(folder, "gop12.mp4", Clock())
    assert (check.status, check.reason) == ("corrupt", "gop12.mp4: frame 15 is damaged")


@ways
@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("text.mp4", b"no video\n" * 50, "does not open (moov atom not found)"),
        ("noise.webm", bytes(range(256)) * 8, "does not open ("),
        ("audio.mp4", None, "holds no video stream"),
    ],
)
def test_what_is_no_video_is_corrupt(tmp_path, name, content, reason, look):
    if content is None:
        tone(tmp_path / name)
    else:
        (tmp_path / name).write_bytes(content)
    check = look(tmp_path, name, Clock())
    assert check.status == "corrupt"
    assert check.reason.startswith(reason)
    assert check.lasting
    assert told_by_probe(tmp_path / name) == check.reason


def test_a_file_that_is_gone_is_not_held_against_it(tmp_path):
    check = verify(tmp_path, "gone.mp4", Clock())
    assert (check.status, check.lasting) == ("corrupt", False)
    assert check.reason == "does not open (No such file or directory)"


def test_a_disk_that_does_not_answer_is_not_held_against_a_video(folder, monkeypatch):
    def stale(path, *_, **__):
        raise OSError(errno.ESTALE, "Stale file handle")

    monkeypatch.setattr(module, "read_frames", lambda path, *_: read_frames(path, None))
    monkeypatch.setattr("stsm_cli.data.decode.within", stale)
    check = verify(folder, "gop12.mp4", Clock())
    assert (check.status, check.lasting) == ("corrupt", False)
    assert "Stale file handle" in check.reason

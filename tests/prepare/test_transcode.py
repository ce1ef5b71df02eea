import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from stsm_cli.data.decode import read_frames
from stsm_cli.prepare import transcode
from stsm_cli.prepare.check import Check
from stsm_cli.prepare.transcode import DEFAULT_CRF, Encoding, reencode

REALTIME = {"deadline": "realtime", "cpu-used": "8"}
BT709, FULL_RANGE = 1, 2
TURNED = struct.pack(">9i", 0, 1 << 16, 0, -1 << 16, 0, 0, 0, 0, 1 << 30)  # a display matrix


def picture(number, width, height):
    """Colours in blocks that no codec blurs, moving."""
    rng = np.random.default_rng(0)
    blocks = rng.integers(0, 256, (height // 16 + 2, width // 16 + 2, 3), dtype=np.uint8)
    pixels = np.roll(blocks.repeat(16, 0).repeat(16, 1), 2 * number, 1)
    return np.ascontiguousarray(pixels[:height, :width])


def encode(
    path, codec="libx264", *, size=(96, 64), num_frames=40, gaps=(1,), colours=None, **options
):
    """Frames at multiples of 1/50 s."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=50)
        stream.width, stream.height = size
        stream.pix_fmt = "yuvj420p" if colours == FULL_RANGE else "yuv420p"
        stream.codec_context.time_base = Fraction(1, 50)
        stream.options = {"crf": "10", **options}
        if colours == BT709:
            stream.codec_context.colorspace = BT709
        elif colours == FULL_RANGE:
            stream.codec_context.color_range = FULL_RANGE
        tick = 0
        for number in range(num_frames):
            frame = av.VideoFrame.from_ndarray(picture(number, *size), format="rgb24")
            frame.pts, frame.time_base = tick, Fraction(1, 50)
            tick += gaps[number % len(gaps)]
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def redo(root, name, **encoding):
    """The check, and the path of what was made."""
    encoding = Encoding(**{"short_side_px": 32, **encoding})
    return reencode(root, encoding, name, lambda: None), root / encoding.made_path(name)


def seconds(path):
    """When each frame is shown, from the first on."""
    with av.open(str(path)) as container:
        times = np.array([frame.time for frame in container.decode(video=0)])
    return times - times[0]


def packets(path):
    with av.open(str(path)) as container:
        return [packet for packet in container.demux(video=0) if packet.size]


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("long.mp4", "libx264", {"g": "250", "bf": "3"}),
        ("vfr.mp4", "libx264", {"gaps": (1, 2, 7), "bf": "2"}),
        ("vfr.webm", "libvpx-vp9", {"gaps": (1, 2, 7), **REALTIME}),
        ("vp8.webm", "libvpx", {"auto-alt-ref": "1", "lag-in-frames": "10"}),
        ("mpeg4.avi", "mpeg4", {"bf": "2"}),
        ("one.mp4", "libx264", {"num_frames": 1}),
    ],
)
def test_frames_keep_number_order_and_time(tmp_path, name, codec, options):
    encode(tmp_path / name, codec, **options)
    check, made = redo(tmp_path, name)
    before, after = (read_frames(path, None, decoder="pyav") for path in (tmp_path / name, made))
    assert (check.status, check.num_frames) == ("ok", len(before))
    assert after.shape == (len(before), 32, 48, 3)
    small = before[:, ::2, ::2].astype(int) + before[:, 1::2, 1::2]
    assert np.abs(small / 2 - after).mean() < 12  # one frame further it is 30
    np.testing.assert_allclose(seconds(made), seconds(tmp_path / name), atol=1e-3)


def test_what_is_made_is_quick_to_read(tmp_path):
    encode(tmp_path / "a.avi", "mpeg4", num_frames=50, bf="2")
    check, made = redo(tmp_path, "a.avi", gop=8)
    assert made == tmp_path / "videos_32g8" / "a.mp4"
    assert check == Check("ok", "", 50, 50.0, 48, 32, made.stat().st_size)
    found = packets(made)
    keys = [number for number, packet in enumerate(found) if packet.is_keyframe]
    assert keys[0] == 0
    assert max(np.diff([*keys, 50])) == 8
    with av.open(str(made)) as container:
        container.streams.video[0].codec_context.skip_frame = "NONREF"
        needed = len(list(container.decode(video=0)))
    assert needed == 6 * 3 + 2  # of 8 the first, the last and one between; of the last 2 both
    content = made.read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")
    with av.open(str(made)) as container:
        assert [stream.type for stream in container.streams] == ["video"]
        assert container.streams.video[0].codec_context.pix_fmt == "yuv420p"


@pytest.mark.parametrize(
    ("size", "short_side", "made_size"),
    [
        ((96, 64), 32, (48, 32)),
        ((64, 96), 32, (32, 48)),
        ((100, 64), 32, (50, 32)),
        ((96, 64), 128, (96, 64)),  # never larger
        ((65, 51), 64, (64, 50)),  # even
    ],
)
def test_sizes_are_even_in_proportion_and_never_larger(tmp_path, size, short_side, made_size):
    encode(tmp_path / "a.webm", "libvpx-vp9", size=size, num_frames=3, **REALTIME)
    check, made = redo(tmp_path, "a.webm", short_side_px=short_side)
    assert (check.width, check.height) == made_size
    assert read_frames(made, None, decoder="pyav").shape[1:3] == made_size[::-1]


@pytest.mark.parametrize("colours", [None, BT709, FULL_RANGE])
def test_colours_stay(tmp_path, colours):
    encode(tmp_path / "a.mp4", colours=colours, num_frames=4)
    _, made = redo(tmp_path, "a.mp4", short_side_px=64, crf=5)
    before, after = (
        read_frames(path, None, decoder="pyav").astype(int) for path in (tmp_path / "a.mp4", made)
    )
    assert np.abs(before - after).mean() < 1.5  # 8 where the marks are lost


def test_what_is_shown_turned_is_made_upright(tmp_path):
    encode(tmp_path / "a.mp4", num_frames=4)
    content = bytearray((tmp_path / "a.mp4").read_bytes())
    matrix = content.index(b"tkhd") + 44
    content[matrix : matrix + 36] = TURNED
    (tmp_path / "a.mp4").write_bytes(content)
    check, made = redo(tmp_path, "a.mp4", short_side_px=64, crf=5)
    before, after = (
        read_frames(path, None, decoder="pyav").astype(int) for path in (tmp_path / "a.mp4", made)
    )
    assert (check.width, check.height) == (64, 96)
    assert before.shape == after.shape == (4, 96, 64, 3)
    assert np.abs(before - after).mean() < 3


def test_more_quality_takes_more_bytes(tmp_path):
    encode(tmp_path / "a.mp4")
    sizes = [redo(tmp_path, "a.mp4", crf=crf)[0].made_bytes for crf in (10, 30)]
    assert sizes[0] > 1.5 * sizes[1]


def test_what_the_encoder_refuses_costs_one_video(tmp_path, monkeypatch):
    monkeypatch.setattr(transcode, "_OPTIONS", {"profile": "none such"})
    encode(tmp_path / "a.mp4", num_frames=2)
    check, made = redo(tmp_path, "a.mp4")
    assert (check.status, check.lasting) == ("corrupt", False)
    assert check.reason.startswith("cannot be re-encoded (")
    assert list(made.parent.iterdir()) == []


@pytest.mark.parametrize("share", [0.02, 0.6])
def test_of_a_broken_video_nothing_is_made(tmp_path, share):
    encode(tmp_path / "a.webm", "libvpx-vp9", **REALTIME)
    content = (tmp_path / "a.webm").read_bytes()
    (tmp_path / "a.webm").write_bytes(content[: int(share * len(content))])
    check, made = redo(tmp_path, "a.webm")
    assert check.status in ("short", "corrupt")
    assert list(made.parent.iterdir()) == []


def test_a_disk_that_is_full_is_an_error_and_leaves_nothing(tmp_path, monkeypatch):
    def full(self, target):
        raise OSError(28, "No space left on device", str(self))

    encode(tmp_path / "a.mp4", num_frames=2)
    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match=r"No space left on device: .*a\.mp4"):
        redo(tmp_path, "a.mp4")
    assert list((tmp_path / "videos_32g16").iterdir()) == []


def test_frames_need_no_time_stamps(tmp_path):
    encode(tmp_path / "raw.h264", bf="2")
    (tmp_path / "raw.h264").rename(tmp_path / "a.mp4")  # as recorders name them
    check, made = redo(tmp_path, "a.mp4")
    assert (check.status, check.num_frames) == ("ok", 40)
    np.testing.assert_allclose(np.diff(seconds(made)), 1 / check.fps, atol=1e-3)


def test_another_quality_has_a_folder_of_its_own():
    assert Encoding(256).folder == "videos_256g16"
    assert Encoding(256, crf=DEFAULT_CRF).folder == "videos_256g16"
    assert Encoding(256, crf=30).folder == "videos_256g16q30"


def test_what_is_shown_mirrored_is_made_so(tmp_path):
    encode(tmp_path / "a.mp4", num_frames=4)
    content = bytearray((tmp_path / "a.mp4").read_bytes())
    plain = read_frames(tmp_path / "a.mp4", None).astype(int)
    matrix = content.index(b"tkhd") + 44
    content[matrix : matrix + 4] = struct.pack(">i", -1 << 16)
    (tmp_path / "a.mp4").write_bytes(content)
    _, made = redo(tmp_path, "a.mp4", short_side_px=64, crf=5)
    assert np.abs(read_frames(made, None).astype(int) - plain[:, :, ::-1]).mean() < 3

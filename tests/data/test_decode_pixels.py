import struct
from functools import partial

import numpy as np
import pytest

from stsm_cli.data import decode
from stsm_cli.data.decode import available_decoders, probe, read_frames
from stsm_cli.data.frames import VideoInfo, resize_short_side

REALTIME = {"deadline": "realtime", "cpu-used": 8}

decoders = pytest.mark.parametrize("decoder", available_decoders())
both_decoders = pytest.mark.skipif(
    len(available_decoders()) < 2, reason="decord does not import here"
)


def largest_difference(path, encode, height, width, channels, codec, **options):
    """Between the decoders' pixels, over blocks of random colours or greys."""
    colours = np.random.default_rng(0).integers(256, size=(8, 12, 16, channels), dtype=np.uint8)
    blocks = np.broadcast_to(colours.repeat(6, 1).repeat(6, 2), (8, 72, 96, 3))
    encode(path, list(np.ascontiguousarray(blocks[:, :height, :width])), codec, **options)
    one, other = (read_frames(path, None, decoder=d).astype(int) for d in available_decoders())
    assert one.shape == (8, height, width, 3)
    assert one.std() > 30  # there is something to compare
    return np.abs(one - other).max()


@both_decoders
def test_the_decoders_give_the_same_pixels(tmp_path, encode):
    difference = partial(largest_difference, encode=encode)
    assert difference(tmp_path / "a.mp4", height=48, width=64, channels=3, codec="libx264") == 0
    webm = {"codec": "libvpx-vp9", **REALTIME}
    assert difference(tmp_path / "b.webm", height=48, width=64, channels=3, **webm) == 0
    assert difference(tmp_path / "c.webm", height=48, width=65, channels=3, **webm) == 0
    # with an odd height, FFmpeg's versions interpolate colour (not brightness) in different ways
    assert difference(tmp_path / "d.webm", height=51, width=64, channels=1, **webm) <= 3


@decoders
def test_colours_are_red_green_blue(tmp_path, encode, decoder):
    colours = np.array([[200, 40, 40], [40, 200, 40], [40, 40, 200]], dtype=np.uint8)
    frames = [np.tile(colour, (48, 64, 1)) for colour in colours]
    encode(tmp_path / "colours.mp4", frames, "libx264")
    seen = read_frames(tmp_path / "colours.mp4", None, decoder=decoder).mean((1, 2))
    assert np.abs(seen - colours).max() < 12  # limited-range chroma and quantisation


def turn(path, degrees):
    """Have an mp4 say that its frames are to be shown turned clockwise (ISO/IEC 14496-12, tkhd)."""
    cos, sin = {0: (1, 0), 90: (0, 1), 180: (-1, 0), 270: (0, -1)}[degrees]
    matrix = struct.pack(">9i", *(x << 16 for x in (cos, sin, 0, -sin, cos, 0, 0, 0)), 1 << 30)
    content = bytearray(path.read_bytes())
    start = content.index(b"tkhd") + 4 + 40
    content[start : start + len(matrix)] = matrix
    path.write_bytes(content)


@decoders
@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_frames_are_upright(tmp_path, encode, decoder, degrees):
    path = tmp_path / "turned.mp4"
    quarters = np.array([[0, 80], [160, 240]], dtype=np.uint8)
    picture = np.ascontiguousarray(quarters.repeat(32, 0).repeat(48, 1)[..., None].repeat(3, 2))
    encode(path, [picture] * 20, "libx264", g=8)
    turn(path, degrees)
    upright = np.rot90(quarters, -degrees // 90).astype(int)  # clockwise
    for indices in (None, np.array([19, 10])):
        frames = read_frames(path, indices, decoder=decoder)
        height, width = frames.shape[1:3]
        seen = frames.reshape(-1, 2, height // 2, 2, width // 2, 3)[:, :, 8:-8, :, 8:-8]
        assert np.abs(seen.mean((2, 4, 5)) - upright).max() < 12
    assert probe(path) == VideoInfo(20, 25.0, width, height)
    assert (width, height) == ((64, 96) if degrees % 180 else (96, 64))


@decoders
@pytest.mark.parametrize("degrees", [0, 90])
@pytest.mark.parametrize("short_side", [20, 48, 90])
def test_resized_while_decoding_is_resized_after_it(tmp_path, encode, decoder, short_side, degrees):
    path = tmp_path / "a.mp4"
    noise = np.random.default_rng(0).integers(256, size=(21, 48, 64, 3), dtype=np.uint8)
    encode(path, list(noise), "libx264", g=8)
    turn(path, degrees)
    for indices in (None, np.arange(21), np.array([19, 3, 11, 3])):
        whole = read_frames(path, indices, decoder=decoder)
        small = read_frames(path, indices, decoder=decoder, short_side_px=short_side)
        assert np.array_equal(small, resize_short_side(whole, short_side))


@decoders
def test_no_more_than_a_few_whole_frames_are_held(counters, monkeypatch, decoder):
    """One at a time (PyAV) or in small batches (decord), whatever the video's length."""
    seen = []

    def resize(frames, short_side_px):
        seen.append(len(frames))
        return frames

    monkeypatch.setattr(decode, "resize_short_side", resize)
    assert len(read_frames(counters / "gop12.mp4", None, decoder=decoder, short_side_px=9)) == 60
    assert sum(seen) == 60
    assert max(seen) <= 8

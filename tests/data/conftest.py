"""Videos whose every frame says which one it is: nine black or white blocks, the bits of a number.

Blocks of 16 pixels survive any lossy codec, so a wrong frame cannot pass for the right one.
"""

from fractions import Fraction

import av
import numpy as np
import pytest

BLOCK = 16
COLUMNS = 3
BITS = 9


def _draw(number, width, height):
    frame = np.full((height, width, 3), 128, dtype=np.uint8)
    for bit in range(BITS):
        y, x = (BLOCK * i for i in divmod(bit, COLUMNS))
        frame[y : y + BLOCK, x : x + BLOCK] = 255 * (number >> bit & 1)
    return frame


def _encode(path, pictures, codec, *, pix_fmt="yuv420p", times_ms=None, **options):
    height, width = pictures[0].shape[:2]
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = width, height, pix_fmt
        stream.options = {name: str(value) for name, value in options.items()}
        if times_ms is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        for number, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            if times_ms is not None:
                frame.pts, frame.time_base = times_ms[number], Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def _remux(source, target, *, hidden=0, never_shown=None, **options):
    """Copy a video without re-encoding.

    Its first `hidden` frames come before time 0; packet `never_shown`, of VP8, is marked as such.
    """
    with av.open(str(source)) as old, av.open(str(target), "w", options=options) as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        packets = [packet for packet in old.demux(video=0) if packet.size]
        first, second = sorted(packet.pts for packet in packets)[:2]
        for number, packet in enumerate(packets):
            if number == never_shown:
                content = bytes(packet)
                dark = av.Packet(bytes([content[0] & ~0x10]) + content[1:])  # RFC 6386, 9.1
                dark.pts, dark.dts, dark.time_base = packet.pts, packet.dts, packet.time_base
                packet = dark
            packet.pts -= hidden * (second - first)
            packet.dts -= hidden * (second - first)
            packet.stream = stream
            new.mux(packet)


@pytest.fixture(scope="session")
def encode():
    """encode(path, frames, codec, pix_fmt=..., **encoder_options) writes a video.

    At 25 fps, unless `times_ms` says when each frame is shown.
    """
    return _encode


@pytest.fixture(scope="session")
def encode_counter():
    """The same for frames that show 0, 1, 2, ..."""

    def encode_counter(path, num_frames, codec, *, width=64, height=48, **options):
        frames = [_draw(number, width, height) for number in range(num_frames)]
        _encode(path, frames, codec, **options)

    return encode_counter


@pytest.fixture(scope="session")
def read_counter():
    """read_counter(frames) is the list of the numbers that frames (T, H, W, 3) show."""

    def read_counter(frames):
        grey = frames[:, : 3 * BLOCK, : 3 * BLOCK].mean(-1)
        blocks = grey.reshape(-1, 3, BLOCK, 3, BLOCK)[:, :, 4:-4, :, 4:-4].mean((2, 4))
        bits = (blocks > 128).reshape(-1, BITS)
        return (bits << np.arange(BITS)).sum(1).tolist()

    return read_counter


@pytest.fixture(scope="module")
def counters(tmp_path_factory, encode_counter):
    """A folder of `gop12.mp4` and `vp8.webm`, 60 such frames each, and `one.mp4`."""
    folder = tmp_path_factory.mktemp("counters")
    encode_counter(folder / "gop12.mp4", 60, "libx264", g=12, bf=2)
    encode_counter(
        folder / "vp8.webm", 60, "libvpx", g=12, **{"deadline": "realtime", "cpu-used": 8}
    )
    encode_counter(folder / "one.mp4", 1, "libx264")
    return folder


@pytest.fixture(scope="session")
def remux():
    """remux(source, target, hidden=..., never_shown=..., **muxer_options) copies its packets."""
    return _remux

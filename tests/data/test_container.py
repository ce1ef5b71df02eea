"""Which of a file's streams is the video."""

import struct
from pathlib import Path

import av
import numpy as np
import pytest

from stsm_cli.data import decode_decord
from stsm_cli.data.decode import available_decoders, probe, read_frames
from stsm_cli.data.frames import VideoInfo
from stsm_cli.prepare.verify import verify

decoders = pytest.mark.parametrize("decoder", available_decoders())
COVER = av.stream.Disposition.attached_pic


def mux(path, *streams):
    """A file of several streams: codec, grey, number of frames, size, disposition or None."""
    with av.open(str(path), "w") as container:
        packets = []
        for codec, grey, num_frames, (width, height), disposition in streams:
            stream = container.add_stream(codec, rate=25)
            stream.width, stream.height = width, height
            stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
            if disposition:
                stream.disposition = disposition.value
            picture = np.full((height, width, 3), grey, np.uint8)
            for _ in range(num_frames):
                packets += stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24"))
            packets += stream.encode(None)
        container.mux(packets)


def cover_tag(source, target):
    """What a tag editor writes: a cover in front of the tracks (moov/udta/meta/ilst/covr)."""

    def box(kind, content):
        return struct.pack(">I", 8 + len(content)) + kind + content

    mux(target.with_suffix(".avi"), ("mjpeg", 0, 1, (96, 96), None))
    with av.open(str(target.with_suffix(".avi"))) as container:
        jpeg = bytes(next(container.demux(video=0)))
    data = source.read_bytes()
    start = data.index(b"moov") - 4
    size = struct.unpack(">I", data[start : start + 4])[0]
    moov = data[start + 8 : start + size]
    header = struct.unpack(">I", moov[:4])[0]
    cover = box(b"covr", box(b"data", struct.pack(">II", 13, 0) + jpeg))
    handler = box(b"hdlr", bytes(8) + b"mdirappl" + bytes(9))
    tags = box(b"udta", box(b"meta", bytes(4) + handler + box(b"ilst", cover)))
    moov = box(b"moov", moov[:header] + tags + moov[header:])
    target.write_bytes(data[:start] + moov + data[start + size :])


def make(path, name):
    small, large = ("libx264", 40, 9, (64, 48)), ("libx264", 200, 7, (96, 80))
    if name == "cover first":
        mux(path, ("mjpeg", 0, 1, (96, 96), COVER), (*small, None))
    elif name == "picture first":
        mux(path, ("mjpeg", 0, 1, (96, 96), None), (*small, None))
    elif name == "the default one":
        mux(path, (*large, None), (*small, av.stream.Disposition.default))
    else:
        mux(path.with_name("plain.mp4"), (*small, None))
        cover_tag(path.with_name("plain.mp4"), path)


@decoders
@pytest.mark.parametrize("name", ["cover first", "picture first", "cover tag", "the default one"])
def test_the_best_stream_is_the_video_and_a_cover_is_none(tmp_path, decoder, name):
    path = tmp_path / "a.mp4"
    make(path, name)
    for indices, count in ((None, 9), (np.array([8, 3]), 2)):
        frames = read_frames(path, indices, decoder=decoder)
        assert frames.shape == (count, 48, 64, 3)
        assert np.abs(frames.astype(int) - 40).max() < 4
    assert probe(path) == VideoInfo(9, 25.0, 64, 48)
    check = verify(tmp_path, "a.mp4", lambda: None)
    assert (check.status, check.num_frames, check.width) == ("ok", 9, 64)


@decoders
@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.mov"])
def test_metadata_need_not_be_utf8(tmp_path, counters, decoder, name):
    path = tmp_path / name
    with av.open(str(counters / "one.mp4")) as old, av.open(str(path), "w") as new:
        new.metadata["title"] = "caf# du soir"
        stream = new.add_stream_from_template(old.streams.video[0])
        for packet in old.demux(video=0):
            if packet.size:
                packet.stream = stream
                new.mux(packet)
    path.write_bytes(path.read_bytes().replace(b"caf#", b"caf\xe9"))
    assert read_frames(path, None, decoder=decoder).shape == (1, 48, 64, 3)
    assert probe(path).num_frames == 1
    assert verify(tmp_path, name, lambda: None).status == "ok"


@decoders
def test_a_relative_name_with_a_colon_is_no_address(tmp_path, counters, decoder):
    (tmp_path / "pose:left").mkdir()
    for path in (Path("pose:left/one.mp4"), Path("one:left.mp4")):
        path.write_bytes((counters / "one.mp4").read_bytes())
        assert read_frames(path, None, decoder=decoder).shape == (1, 48, 64, 3)
        assert probe(path).num_frames == 1
        assert verify(Path(), str(path), lambda: None).status == "ok"
        if decoder == "decord":  # without what it leaves to the other
            assert len(decode_decord._open(path)) == 1

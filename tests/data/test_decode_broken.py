import errno
from functools import partial
from pathlib import Path

import av
import numpy as np
import pytest

from stsm_cli.data.decode import available_decoders, probe, read_frames
from stsm_cli.errors import DataError

decoders = pytest.mark.parametrize("decoder", available_decoders())


@decoders
@pytest.mark.parametrize("read_first", [0, 60])
def test_an_index_past_the_end_is_named(counters, decoder, read_first):
    indices = np.array([read_first, 61])
    with pytest.raises(DataError, match=r"gop12\.mp4: index 61 is past the end, 60 frames decode"):
        read_frames(counters / "gop12.mp4", indices, decoder=decoder)


@decoders
@pytest.mark.parametrize("indices", [[4, -1], [], [0.5], [True, False]])
def test_indices_that_name_no_frame_are_misuse(counters, decoder, indices):
    says = r"indices must be whole numbers, 0 or more and at least one, got \["
    with pytest.raises(ValueError, match=says):
        read_frames(counters / "gop12.mp4", np.array(indices), decoder=decoder)


def test_other_misuse_is_no_fault_of_the_video(counters):
    path = counters / "gop12.mp4"
    with pytest.raises(ValueError, match="decoder must be decord or pyav, got 'opencv'"):
        read_frames(path, None, decoder="opencv")
    for size in (0, -3):
        with pytest.raises(ValueError, match=f"short_side_px must be at least 1, got {size}"):
            read_frames(path, None, short_side_px=size)
    for read in (probe, partial(read_frames, indices=None)):
        with pytest.raises(ValueError, match=r"path must be a pathlib\.Path, got '.*mp4'"):
            read(str(path))


def broken_file(name, good, path, remux):
    if name == "empty":
        path.write_bytes(b"")
    elif name == "text":
        path.write_text("not a video\n" * 50)
    elif name == "half":  # the index of an MP4 stands at its end
        path.write_bytes(good.read_bytes()[: good.stat().st_size // 2])
    elif name == "half with index":
        remux(good, path, movflags="faststart")
        path.write_bytes(path.read_bytes()[:-200])
    elif name == "scrambled":
        remux(good, path, movflags="faststart")
        content = bytearray(path.read_bytes())
        content[len(content) // 2 :] = bytes(len(content) - len(content) // 2)
        path.write_bytes(content)
    elif name == "no frame":
        remux(good, path, movflags="frag_keyframe+empty_moov")
        content = path.read_bytes()
        path.write_bytes(content[: content.index(b"moof") - 4])
    else:
        with av.open(str(path), "w") as container:
            stream = container.add_stream("aac", rate=44100)
            sound = av.AudioFrame.from_ndarray(
                np.zeros((1, 4096), dtype=np.float32), format="fltp", layout="mono"
            )
            sound.rate = 44100
            container.mux(stream.encode(sound))
            container.mux(stream.encode())


BROKEN = ["empty", "text", "half", "half with index", "scrambled", "no frame", "sound only"]


@decoders
@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_is_named(tmp_path, counters, remux, decoder, name):
    path = tmp_path / "broken.mp4"
    broken_file(name, counters / "gop12.mp4", path, remux)
    rules = r"does not (open|decode) \([^\n]+\)|holds no (frame|video stream)"
    message = rf"^\S+broken\.mp4: ({rules})$"
    with pytest.raises(DataError, match=message):
        read_frames(path, None, decoder=decoder)
    with pytest.raises(DataError, match=message):
        read_frames(path, np.array([0, 59]), decoder=decoder)
    message = rf"^\S+broken\.mp4: ({rules}|ends after \d+ frames, at \d\.\d\d of 2\.40 s)$"
    with pytest.raises(DataError, match=message):
        probe(path)


@decoders
def test_a_stream_of_no_known_codec_is_no_video_stream(tmp_path, counters, decoder):
    path = tmp_path / "unknown.mp4"
    path.write_bytes((counters / "one.mp4").read_bytes().replace(b"avc1", b"zzzz"))
    with pytest.raises(DataError, match=r"unknown\.mp4: holds no video stream$"):
        read_frames(path, None, decoder=decoder)
    with pytest.raises(DataError, match=r"unknown\.mp4: holds no video stream$"):
        probe(path)


@decoders
def test_a_cut_webm_has_fewer_frames(tmp_path, counters, read_counter, decoder):
    path = tmp_path / "cut.webm"
    path.write_bytes((counters / "vp8.webm").read_bytes()[:-1500])
    num_frames = probe(path).num_frames
    assert 0 < num_frames < 60
    assert read_counter(read_frames(path, None, decoder=decoder)) == list(range(num_frames))
    with pytest.raises(DataError, match=rf"index 59 is past the end, {num_frames} frames"):
        read_frames(path, np.array([59]), decoder=decoder)


@decoders
def test_a_missing_file_is_named(tmp_path, decoder):
    with pytest.raises(DataError, match=r"nowhere\.mp4: no such file$"):
        read_frames(tmp_path / "nowhere.mp4", None, decoder=decoder)
    with pytest.raises(DataError, match=r"is a folder, not a video$"):
        probe(tmp_path)


def test_a_disk_that_does_not_answer_costs_its_video_alone(tmp_path, monkeypatch):
    with pytest.raises(DataError, match=r"x: cannot be read \(File name too long\)$"):
        read_frames(tmp_path / ("x" * 300), None)
    path = tmp_path / "a.mp4"
    path.touch()

    def stale(self, **options):
        raise OSError(errno.ESTALE, "Stale file handle")

    monkeypatch.setattr(Path, "stat", stale)
    with pytest.raises(DataError, match=r"a\.mp4: cannot be read \(Stale file handle\)$"):
        read_frames(path, None)
    monkeypatch.setattr(Path, "is_file", lambda self: True)  # it is gone between the two looks
    with pytest.raises(DataError, match=r"a\.mp4: cannot be read \(Stale file handle\)$"):
        read_frames(path, None)

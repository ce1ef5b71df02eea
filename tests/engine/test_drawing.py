from pathlib import Path

import av
import numpy as np
import pytest
from av.codec.codec import UnknownCodecError

from stsm_cli.data.decode import probe, read_frames
from stsm_cli.engine import drawing
from stsm_cli.engine.drawing import captioned, draw, enlarged
from stsm_cli.errors import StsmError

A = Path("data/synth/val/00000.mp4")


@pytest.mark.usefixtures("small_run")
def test_a_copy_has_every_frame_and_its_text():
    info, said = probe(A), []

    def caption(frame):
        said.append(frame)
        return "left" if frame < 6 else "a longer text"

    draw(A, Path("b.mp4"), info, caption)
    copy = probe(Path("b.mp4"))
    assert (copy.num_frames, copy.fps) == (info.num_frames, info.fps)
    assert (copy.height, copy.width) == enlarged(read_frames(A, None)[0]).shape[:2]
    assert said == list(range(12))
    first, last = read_frames(Path("b.mp4"), np.array([0, 11]))
    whole = [enlarged(frame) for frame in read_frames(A, np.array([0, 11]))]
    for shown, plain in zip((first, last), whole, strict=True):
        below = shown[60:].astype(int) - plain[60:]
        assert np.abs(below).mean() < 6
    box = first[:20, :60], last[:20, :60]
    assert np.abs(box[0].astype(int) - box[1]).max() > 100
    assert [path.name for path in Path().glob("b*")] == ["b.mp4"]


@pytest.mark.usefixtures("small_run")
def test_what_another_process_writes_stays():
    others = [Path("b.mp4.tmp"), Path("b.mp4.123.tmp")]
    for path in others:
        path.write_text("theirs")
    draw(A, Path("b.mp4"), probe(A), lambda frame: "")
    assert [path.read_text() for path in others] == ["theirs", "theirs"]


@pytest.mark.usefixtures("small_run")
def test_a_copy_may_have_a_colon_in_its_name():
    draw(A, Path("b:1.mp4"), probe(A), lambda frame: "")
    assert probe(Path("b:1.mp4")).num_frames == 12


def test_small_pictures_are_enlarged_and_sides_are_even():
    assert enlarged(np.zeros((33, 41, 3), np.uint8)).shape == (230, 286, 3)
    assert enlarged(np.zeros((481, 641, 3), np.uint8)).shape == (480, 640, 3)
    assert enlarged(np.zeros((16, 1600, 3), np.uint8)).shape == (32, 3200, 3)  # not 240 × 24000
    picture = np.arange(4, dtype=np.uint8).reshape(1, 4, 1).repeat(3, 2)
    assert enlarged(picture)[0, ::240, 0].tolist() == [0, 1, 2, 3]


def test_a_text_is_white_on_dark_and_fits():
    picture = np.full((240, 320, 3), 90, np.uint8)
    short, long = captioned(picture, "wave  98 %"), captioned(picture, 60 * "wave " + "98 %")
    for shown in (short, long):
        assert shown.shape == picture.shape
        assert shown.max() == 255
        assert shown[0, 0].max() < 50
        assert (shown[60:] == 90).all()
    assert (short[:, 200:] == 90).all()
    assert (picture == 90).all()


def test_a_long_text_keeps_its_end():
    font = drawing._font(20)
    shown = drawing._fitting(60 * "wave " + "98 %", font, 200)
    assert shown.startswith("…")
    assert shown.endswith("98 %")
    assert font.getlength(shown) <= 200


@pytest.mark.usefixtures("small_run")
def test_what_cannot_be_written_is_told_and_half_a_file_is_not_left(monkeypatch):
    info = probe(A)
    with pytest.raises(StsmError, match=r"^no/b\.mp4: cannot be written \(No such file"):
        draw(A, Path("no/b.mp4"), info, lambda frame: "")

    def fail(*_):
        raise av.error.MemoryError(12, "full")

    monkeypatch.setattr(drawing, "captioned", fail)
    with pytest.raises(StsmError, match=r"^b\.mp4: cannot be written \(full\)"):
        draw(A, Path("b.mp4"), info, lambda frame: "")
    assert list(Path().glob("b*")) == []


@pytest.mark.usefixtures("small_run")
def test_an_ffmpeg_without_the_encoder_is_told(monkeypatch):
    def fail(*_):
        raise UnknownCodecError("libx264")

    monkeypatch.setattr(drawing, "_encode", fail)
    with pytest.raises(
        StsmError, match=r"^b\.mp4: cannot be written \(this FFmpeg has no libx264\)"
    ):
        draw(A, Path("b.mp4"), probe(A), lambda frame: "")

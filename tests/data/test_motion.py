import json
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from stsm_cli.data import motion as module
from stsm_cli.data.manifest import Manifest, VideoRecord
from stsm_cli.data.motion import (
    MotionCurves,
    differences,
    measure,
    motion_path,
    open_motion,
    small_grey,
)
from stsm_cli.errors import DataError


def moving(levels):
    """Frames (T, 48, 128, 3) in grey of these levels."""
    return [np.full((48, 128, 3), level, dtype=np.uint8) for level in levels]


def test_differences_equal_a_loop_over_pixels():
    grey = np.random.default_rng(0).integers(0, 256, (4, 3, 5, 1), dtype=np.uint8)
    expected = []
    for t in range(3):
        pixels = [(y, x) for y in range(3) for x in range(5)]
        apart = [abs(int(grey[t + 1, y, x, 0]) - int(grey[t, y, x, 0])) for y, x in pixels]
        expected.append(sum(apart) / len(apart))
    assert differences(grey).dtype == np.float16
    np.testing.assert_allclose(differences(grey), expected, rtol=1e-3)
    assert len(differences(grey[:1])) == 0


@pytest.mark.parametrize(("height", "width", "small"), [(36, 128, 18), (128, 36, 228), (1, 640, 1)])
def test_small_frames_are_64_pixels_wide_in_proportion(height, width, small):
    assert small_grey(np.zeros((2, height, width, 3), np.uint8)).shape == (2, small, 64, 1)


def test_grey_is_bt_601_s_and_an_average_of_what_a_pixel_covers():
    frame = np.zeros((1, 64, 128, 3), np.uint8)
    frame[..., 0], frame[..., 1], frame[..., 2] = 200, 100, 50
    assert (small_grey(frame) == round(0.299 * 200 + 0.587 * 100 + 0.114 * 50)).all()
    stripes = np.zeros((1, 64, 512, 3), np.uint8)
    stripes[:, :, ::8] = 240  # each eighth column, of eight that become one
    assert abs(small_grey(stripes)[:, :, 1:-1].astype(int) - 30).max() <= 1


def test_a_video_s_curve_says_how_much_each_frame_differs_from_the_next(encode, tmp_path):
    encode(tmp_path / "a.mp4", moving([50, 50, 90, 80]), "libx264", qp=1)
    np.testing.assert_allclose(measure(tmp_path / "a.mp4", 4), [0, 40, 10], atol=1.5)
    np.testing.assert_allclose(measure(tmp_path / "a.mp4", 2), [0], atol=1.5)
    wrong = measure(tmp_path / "a.mp4", 5)
    assert str(wrong) == f"{tmp_path / 'a.mp4'}: 4 frames decode, the manifest says 5"
    assert "no such file" in str(measure(tmp_path / "b.mp4", 4))


def test_curves_of_a_split_lie_in_one_block():
    curves = [np.array([1, 2], np.float16), DataError("b.mp4: broken"), np.zeros(0, np.float16)]
    motion = MotionCurves.of([*curves, np.array([3], np.float16)])
    assert [motion.curve(i).tolist() for i in (0, 2, 3)] == [[1, 2], [], [3]]
    with pytest.raises(DataError, match=r"^b\.mp4: broken$"):
        motion.curve(1)
    assert len(MotionCurves.of([]).ends) == 0


class Set:
    """A split whose videos are files of so many bytes, and whose measuring is counted."""

    def __init__(self, root, monkeypatch):
        self.root, self.measured = root, Counter()
        (root / "manifest").mkdir(parents=True)
        monkeypatch.setattr(module, "measure", self.measure)

    def write(self, name, num_bytes):
        (self.root / name).write_bytes(bytes(num_bytes))

    def measure(self, path, num_frames):
        self.measured[path.name] += 1
        if path.name.startswith("broken"):
            return DataError(f"{path.name}: does not decode")
        return np.arange(num_frames - 1).astype(np.float16)

    def open(self, *names, frames=4, **options):
        records = tuple(VideoRecord(name, 0, frames, 8.0, 16, 16) for name in names)
        return open_motion(Manifest(self.root, "train", ("a",), records), threads=2, **options)


@pytest.fixture
def a_set(tmp_path, monkeypatch):
    made = Set(tmp_path / "set", monkeypatch)
    for name in ("a.mp4", "é.mp4", "broken.mp4"):
        made.write(name, 10)
    return made


def test_each_video_is_measured_once_and_its_curve_kept(a_set):
    a_set.open("a.mp4")
    motion = a_set.open("é.mp4", "a.mp4")
    assert [motion.curve(i).tolist() for i in (0, 1)] == [[0, 1, 2]] * 2
    a_set.open("a.mp4", "é.mp4")
    assert a_set.measured == {"a.mp4": 1, "é.mp4": 1}
    assert len(motion_path(a_set.root).read_text().splitlines()) == 2
    assert motion.num_added == 1


def test_a_set_may_be_copied_and_a_video_that_changed_is_measured_again(a_set, tmp_path):
    a_set.open("a.mp4", "é.mp4")
    a_set.root = a_set.root.rename(tmp_path / "elsewhere")
    a_set.open("a.mp4", "é.mp4")
    a_set.write("a.mp4", 11)
    a_set.open("a.mp4", "é.mp4")
    a_set.open("é.mp4", frames=3)
    assert a_set.measured == {"a.mp4": 2, "é.mp4": 2}


def test_a_broken_video_has_an_error_for_a_curve_and_is_not_kept(a_set):
    for _ in range(2):
        motion = a_set.open("broken.mp4", "a.mp4")
        assert motion.curve(1).tolist() == [0, 1, 2]
        with pytest.raises(DataError, match=r"^broken\.mp4: does not decode$"):
            motion.curve(0)
    assert a_set.measured == {"broken.mp4": 2, "a.mp4": 1}


def test_what_was_measured_before_an_interruption_is_kept(a_set):
    class Stopped(Exception):
        pass

    class Progress:
        @contextmanager
        def bar(self, label, total):
            self.told = label, total
            yield self

        def advance(self, steps=1):
            raise Stopped

    progress = Progress()
    with pytest.raises(Stopped):
        a_set.open("a.mp4", "é.mp4", progress=progress)
    assert progress.told == ("measuring motion of train", 2)
    a_set.measured.clear()
    a_set.open("a.mp4", "é.mp4")
    assert a_set.measured == {"é.mp4": 1}


@pytest.mark.parametrize(
    "torn",
    ['{"path": "a.m', "[]", "{}", '{"path": "a.mp4", "bytes": 10, "frames": 4, "motion": 1}'],
)
def test_a_line_that_is_not_whole_is_measured_again_and_spoils_no_other(a_set, torn):
    path = motion_path(a_set.root)
    path.write_text(torn)
    a_set.open("a.mp4")
    a_set.open("a.mp4")
    assert a_set.measured == {"a.mp4": 1}
    *_, entry = map(json.loads, path.read_text().splitlines()[1:])
    assert (entry["path"], entry["bytes"], entry["frames"]) == ("a.mp4", 10, 4)


def test_a_curve_of_another_method_is_measured_again_and_one_of_the_first_names_none(
    a_set, monkeypatch
):
    path = motion_path(a_set.root)
    a_set.open("a.mp4")
    assert json.loads(path.read_text())["method"] == 1
    path.write_text(path.read_text().replace('"method": 1, ', ""))
    a_set.open("a.mp4")
    assert a_set.measured == {"a.mp4": 1}
    monkeypatch.setattr(module, "_METHOD", 2)
    for _ in range(2):
        a_set.open("a.mp4")
    assert a_set.measured == {"a.mp4": 2}


def test_where_nothing_can_be_written_this_is_said_once(a_set, monkeypatch):
    said = []

    class Progress:
        @contextmanager
        def bar(self, label, total):
            yield self

        def advance(self, steps=1):
            pass

        def message(self, text):
            said.append(text)

    def refuse(path, mode):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    path = motion_path(a_set.root)
    monkeypatch.setattr(module, "_read", lambda _: {})
    motion = a_set.open("a.mp4", "é.mp4", progress=Progress())
    assert motion.curve(1).tolist() == [0, 1, 2]
    reason = f"{path}: cannot be written (Permission denied)"
    assert said == [f"warning: {reason}, motion will be measured again"]


def test_what_is_no_file_of_curves_is_named(a_set):
    path = motion_path(a_set.root)
    path.mkdir()
    with pytest.raises(DataError, match=rf"^{path}: cannot be read \(Is a directory\)$"):
        a_set.open("a.mp4")

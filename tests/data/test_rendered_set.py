import errno
import json
import os
import pickle
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from stsm_cli.config.generated_sets import SynthConfig
from stsm_cli.config.schema import DataConfig
from stsm_cli.data import rendered_set
from stsm_cli.data.decode import probe, read_frames
from stsm_cli.data.generated import GENERATED, make_where_absent
from stsm_cli.data.manifest import read_manifest
from stsm_cli.data.rendered_set import RenderedSet
from stsm_cli.data.synth import SYNTH
from stsm_cli.data.synth_scenes import CLASSES, make_frames
from stsm_cli.errors import DataError

TINY = SynthConfig(train=32, val=16, frames=8, short_side_px=32, difficulty=0.3)


def ensure(root, settings, **options):
    """What opening a recipe's data set does first."""
    config = DataConfig(dataset="synth", sampling="uniform", synth=settings)
    make_where_absent(config, root, **options)


class Interrupting:
    """A progress that presses Ctrl-C after `num_steps`."""

    def __init__(self, num_steps):
        self.left = num_steps

    def message(self, text):
        pass

    @contextmanager
    def bar(self, label, total):
        yield self

    def advance(self, steps=1, status=""):
        self.left -= steps
        if self.left == 0:
            raise KeyboardInterrupt


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A set that one process made without a break; read only."""
    root = tmp_path_factory.mktemp("synth") / "whole"
    SYNTH.make(root, TINY, workers=1)
    return root


def contents(root):
    files = (path for path in root.rglob("*") if path.is_file() and path.name != "report.json")
    return {str(path.relative_to(root)): path.read_bytes() for path in files}


def test_the_manifest_says_what_the_videos_are(whole):
    for split, count in (("train", 32), ("val", 16)):
        manifest = read_manifest(whole, split)
        assert manifest.classes == CLASSES
        assert [record.label for record in manifest.records] == [i % 16 for i in range(count)]
        for record in manifest.records[::7]:
            info = probe(whole / record.path)
            assert (info.num_frames, info.fps) == (record.num_frames, record.fps) == (8, 16)
            assert (info.width, info.height) == (record.width, record.height) == (38, 32)


def test_the_videos_show_the_frames(whole):
    frames, label = make_frames(TINY, "val", 11)
    record = read_manifest(whole, "val").records[11]
    assert record.label == label == 11
    error = read_frames(whole / record.path, None).astype(float) - frames
    assert abs(error.mean()) < 3
    assert abs(error).mean() < 20  # noise and half the colour resolution are lost


def test_the_report(whole):
    report = json.loads((whole / "report.json").read_text())
    assert report["config"] == TINY.model_dump()
    assert (report["dataset"], report["videos"]) == ("synth", {"train": 32, "val": 16})
    assert (report["made"], report["generator"]) == (48, SYNTH.version)
    assert report["bytes"] == sum(path.stat().st_size for path in whole.glob("*/*.mp4"))
    assert "libavcodec" in report["encoder"]


def test_any_number_of_workers_makes_the_same_files(whole, tmp_path):
    SYNTH.make(tmp_path / "two", TINY, workers=2)
    assert contents(tmp_path / "two") == contents(whole)


def test_an_interrupted_run_continues(whole, tmp_path):
    root = tmp_path / "set"
    with pytest.raises(KeyboardInterrupt):
        SYNTH.make(root, TINY, workers=1, progress=Interrupting(20))
    made = {path: path.stat().st_mtime_ns for path in root.glob("*/*.mp4")}
    assert len(made) == 20
    assert not (root / "manifest").exists()
    remains = root / "train" / "00021.mp4.123.tmp"
    remains.write_bytes(b"half a video")
    os.utime(remains, (0, 0))
    ensure(root, TINY)
    assert {path: path.stat().st_mtime_ns for path in made} == made
    assert contents(root) == contents(whole)


def test_what_another_process_writes_now_is_left_alone(whole, tmp_path):
    root = tmp_path / "set"
    ensure(root, TINY)
    written_now = root / "train" / "00021.mp4.123.tmp"
    written_now.write_bytes(b"half a video")
    SYNTH.make(root, TINY, workers=1)
    assert written_now.exists()


def test_a_deleted_or_empty_video_is_made_again(whole, tmp_path):
    root = tmp_path / "set"
    SYNTH.make(root, TINY, workers=1)
    (root / "val" / "00003.mp4").unlink()
    (root / "val" / "00004.mp4").write_bytes(b"")
    assert SYNTH.make(root, TINY, workers=1)["made"] == 2
    assert contents(root) == contents(whole)


def test_a_video_that_another_process_has_made_is_kept(whole):
    rendered_set._make_video(None, 28, (), 16, whole, TINY, ("val", 0))


def test_a_whole_set_is_left_alone(whole, monkeypatch):
    monkeypatch.setattr(RenderedSet, "make", None)
    ensure(whole, TINY)


@pytest.mark.parametrize("do", [ensure, SYNTH.make, SYNTH.check])
def test_a_set_of_another_configuration_is_refused(whole, do):
    other = TINY.model_copy(update={"difficulty": 0.5})
    with pytest.raises(DataError, match=r"synth\.json: .* difficulty 0\.3, not 0\.5") as caught:
        do(whole, other)
    assert "another folder" in caught.value.hint


def test_a_set_of_another_generator_is_refused(whole, monkeypatch):
    monkeypatch.setitem(GENERATED, "synth", replace(SYNTH, version=99))
    with pytest.raises(DataError, match=rf"{whole}.*made with generator 1, not 99"):
        ensure(whole, TINY)


def test_an_unfinished_set_of_another_configuration_is_refused(tmp_path):
    root = tmp_path / "set"
    with pytest.raises(KeyboardInterrupt):
        SYNTH.make(root, TINY, workers=1, progress=Interrupting(1))
    with pytest.raises(DataError, match="made with seed 0, not 7"):
        ensure(root, TINY.model_copy(update={"seed": 7}))


def test_a_file_is_not_a_root(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"/file: must be a folder, is a file"):
        SYNTH.make(tmp_path / "file", TINY)


def test_a_folder_with_other_files_is_refused(tmp_path):
    (tmp_path / "thesis.txt").touch()
    with pytest.raises(DataError, match=f"{tmp_path}: holds files, but no embedded") as caught:
        SYNTH.make(tmp_path, TINY)
    assert "another folder" in caught.value.hint
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize("text", ["{half", "null", "5", "[1]"])
def test_a_broken_synth_json_is_named(tmp_path, text):
    (tmp_path / "synth.json").write_text(text)
    with pytest.raises(DataError, match=rf"{tmp_path}/synth\.json: cannot be read \("):
        SYNTH.make(tmp_path, TINY)


def test_a_full_disk_is_told(tmp_path, monkeypatch):
    def full(self, content):
        self.touch()
        raise OSError(errno.ENOSPC, "No space left on device", str(self))

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(DataError, match=r"set/synth\.json.*cannot be written \(No space left"):
        SYNTH.make(tmp_path / "set", TINY)
    assert list((tmp_path / "set").iterdir()) == []


def test_a_root_below_a_file_is_told(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"file/set: cannot be written \(Not a directory\)"):
        SYNTH.make(tmp_path / "file" / "set", TINY)


def test_a_place_that_cannot_be_written_is_refused_by_a_look(tmp_path, mount_read_only):
    SYNTH.check(tmp_path / "new" / "set", TINY)
    mount_read_only()
    with pytest.raises(DataError, match=r"new/set: cannot be written \(Read-only file system\)"):
        SYNTH.check(tmp_path / "new" / "set", TINY)
    assert list(tmp_path.iterdir()) == []


def test_a_killed_worker_is_told():
    with pytest.raises(DataError, match="a process that rendered videos was killed") as caught:
        list(rendered_set._parallel(os._exit, [1] * 4, 1))
    assert "--workers" in caught.value.hint


def other_label(settings, split, index):
    frames, label = make_frames(settings, split, index)
    return frames, label + 1


def other_shape(settings, split, index):
    frames, label = make_frames(settings, split, index)
    return frames[1:], label


@pytest.mark.parametrize(
    ("draw", "found"), [(other_label, "drawn as class 1 of shape"), (other_shape, r"of shape \(")]
)
def test_a_video_that_is_not_what_the_manifest_will_say_is_refused(tmp_path, draw, found):
    made = replace(SYNTH, make_frames=draw)
    with pytest.raises(
        ValueError, match=rf"^train/00000\.mp4: .*{found}.* its place in the set is"
    ):
        made.make(tmp_path, TINY, workers=1)


def test_what_workers_cannot_be_sent_is_told_at_once(tmp_path):
    made = replace(SYNTH, make_frames=lambda *_: make_frames(*_))
    with pytest.raises((pickle.PicklingError, AttributeError), match="lambda"):
        made.make(tmp_path, TINY, workers=2)


def test_the_preview_is_a_picture(tmp_path):
    from matplotlib.image import imread

    SYNTH.preview(tmp_path / "sheet.png", TINY)
    height, width, _ = imread(tmp_path / "sheet.png").shape
    assert min(height, width) > 400


@pytest.mark.parametrize(
    ("name", "reason"), [("none/sheet.png", "No such file"), ("sheet.foo", "Format 'foo'")]
)
def test_a_preview_that_cannot_be_written_is_told(tmp_path, name, reason):
    with pytest.raises(DataError, match=rf"{name}: the preview cannot be written \({reason}"):
        SYNTH.preview(tmp_path / name, TINY)


def test_where_a_set_is_made_and_how_large_it_will_be_is_told_first(tmp_path, monkeypatch):
    told = []

    class Saying(Interrupting):
        def message(self, text):
            told.append(text)

    monkeypatch.setattr(RenderedSet, "make", lambda *_, progress: told.append("made"))
    for config in (SynthConfig(), TINY):
        ensure(tmp_path / "typo", config, progress=Saying(0))
    assert told == [
        f"{tmp_path}/typo: making the embedded set here, 2,960 videos, about 82 MB",
        "made",
        f"{tmp_path}/typo: making the embedded set here, 48 videos",
        "made",
    ]

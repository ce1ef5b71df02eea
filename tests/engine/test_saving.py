import csv
from pathlib import Path

import pytest
import torch

from stsm_cli.data.decode import probe
from stsm_cli.engine import saving
from stsm_cli.engine.predict import Predictor
from stsm_cli.engine.saving import save
from stsm_cli.engine.windows import one_view
from stsm_cli.errors import StsmError

A, B = Path("data/synth/val/00000.mp4"), Path("data/synth/val/00007.mp4")


@pytest.fixture
def predictor(small_run):
    """One that is sure of class 2, whose name a spreadsheet would run."""
    row = torch.eye(16)[2:3] * 0.75
    classes = ("a", "b", "=c", *map(str, range(13)))
    return Predictor(one_view(small_run.recipe()), classes, "pyav", lambda batch: row)


def table(path):
    with path.open(newline="") as file:
        return list(csv.reader(file))


def test_tables_and_copies(predictor):
    rows = {A: torch.eye(16)[1] * 0.5, B: torch.eye(16)[0]}
    found = save(predictor, rows, Path("out"), window=8)
    assert found.drawn == {
        A: Path("out/00000.predicted.mp4"),
        B: Path("out/00007.predicted.mp4"),
    }
    assert found.failed == {}
    heading, first, second = table(found.scores)
    assert heading[:7] == ["video", "drawn", "class", "probability", "a", "b", "'=c"]
    drawn_a, drawn_b = (path.name for path in found.drawn.values())
    assert first[:6] == [str(A), drawn_a, "b", "0.500000", "0.000000", "0.500000"]
    assert (second[:4], len(second)) == ([str(B), drawn_b, "a", "1.000000"], 20)
    heading, first, second, *rest = table(found.windows)
    assert heading[:7] == [
        *("video", "from_frame", "to_frame", "from_seconds", "to_seconds"),
        *("class", "probability"),
    ]
    fps = probe(A).fps
    assert first[:7] == [str(A), "0", "8", "0.000", f"{8 / fps:.3f}", "'=c", "0.750000"]
    ranges = [["0", "8"], ["2", "10"], ["4", "12"]]
    assert [row[1:3] for row in (first, second, *rest)] == 2 * ranges
    assert probe(found.drawn[B]).num_frames == 12


def test_videos_of_one_name_get_numbers(predictor):
    names = ["a/x.mp4", "b/x.webm", "x-2.mp4", "c/x.mp4"]
    found = saving._names(Path("out"), map(Path, names))
    assert [path.name.removesuffix(".predicted.mp4") for path in found] == [
        *("x", "x-2", "x-2-2", "x-3"),
    ]


@pytest.mark.parametrize("letter", ["n", "走"])
def test_a_long_name_is_cut(predictor, letter):
    size = 250 // len(letter.encode())
    path = Path(f"{letter * size}.mp4")
    path.symlink_to(A)
    found = save(predictor, {path: torch.eye(16)[0], A: torch.eye(16)[1]}, Path("out"), window=8)
    assert found.failed == {}
    assert found.drawn[path].name == f"{letter * (200 // len(letter.encode()))}.predicted.mp4"
    assert found.drawn[path].stat().st_size > 1000


def test_what_was_seen_before_ctrl_c_is_kept(predictor, monkeypatch):
    def draw(path, out, info, caption):
        raise KeyboardInterrupt

    monkeypatch.setattr(saving, "draw", draw)
    with pytest.raises(KeyboardInterrupt):
        save(predictor, {A: torch.eye(16)[1]}, Path("out"), window=8)
    assert len(table(Path("out/windows.csv"))) == 4


def test_windows_of_what_cannot_be_drawn_are_kept(predictor, monkeypatch):
    def draw(path, out, info, caption):
        raise StsmError(f"{out}: cannot be written (no room)")

    monkeypatch.setattr(saving, "draw", draw)
    found = save(predictor, {A: torch.eye(16)[1]}, Path("out"), window=8)
    assert list(found.failed) == [A]
    assert len(table(found.windows)) == 4


def test_a_video_that_breaks_is_told_and_the_others_are_drawn(predictor):
    Path("gone.mp4").unlink(missing_ok=True)
    rows = {Path("gone.mp4"): torch.eye(16)[0], A: torch.eye(16)[1]}
    found = save(predictor, rows, Path("out"), window=64)
    assert list(found.drawn) == [A]
    assert {str(path): str(error) for path, error in found.failed.items()} == {
        "gone.mp4": "gone.mp4: no such file"
    }
    assert len(table(found.scores)) == 3
    assert len(table(found.windows)) == 2


def test_a_table_that_cannot_be_written_is_told(predictor):
    Path("file").touch()
    with pytest.raises(StsmError, match=r"^file/out/scores\.csv: cannot be written \(Not a dir"):
        save(predictor, {}, Path("file/out"), window=8)

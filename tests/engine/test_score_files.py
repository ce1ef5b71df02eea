import csv
import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from stsm_cli.atomic import write_file
from stsm_cli.data.manifest import Manifest, VideoRecord
from stsm_cli.engine.accuracy import summarise
from stsm_cli.engine.score_files import (
    check_writable,
    read_scores,
    write_class_results,
    write_scores,
)
from stsm_cli.engine.scores import Scores
from stsm_cli.engine.testing import Evaluation
from stsm_cli.errors import DataError, UsageError
from stsm_cli.stored import Result

NAMES = tuple("abcdef")
FILE = Path("out")


@pytest.fixture
def tested():
    """30 videos of 6 classes, of which 5 do not decode."""
    generator = torch.Generator().manual_seed(1)
    labels = torch.randint(0, 5, (30,), generator=generator)  # none of class f
    rows = torch.rand((25, 6), generator=generator).softmax(-1)
    records = tuple(VideoRecord(f"val/ü{i}.mp4", int(k), 9, 25, 9, 9) for i, k in enumerate(labels))
    good = tuple(i for i in range(30) if i % 6)
    broken = {i: int(labels[i]) for i in range(0, 30, 6)}
    scores = Scores(rows, labels[list(good)], good, broken)
    result = Result(
        **vars(summarise(scores, None)),
        name="a",
        recipe_hash="0",
        protocol="folder-1x1@8",
        weights_sha256="ab",
        seconds_eval=1.0,
    )
    return Evaluation(result, scores, Manifest(Path("root"), "val", NAMES, records))


def test_the_numbers_follow_from_the_scores_file(tested):
    write_scores(FILE, tested)
    with np.load(FILE) as file:
        kept = dict(file)
    own = np.take_along_axis(kept["probabilities"], kept["labels"][:, None], 1)
    rank = (kept["probabilities"] >= own).sum(1)
    listed = len(kept["labels"]) + len(kept["broken_labels"])
    assert (len(kept["paths"]), listed) == (25, 30)
    assert 100 * (rank == 1).sum() / listed == tested.result.top1
    assert 100 * (rank <= 5).sum() / listed == tested.result.top5
    assert kept["probabilities"].dtype == np.float32
    assert kept["paths"][0] == "val/ü1.mp4"
    assert kept["broken_paths"].tolist() == [f"val/ü{i}.mp4" for i in (0, 6, 12, 18, 24)]
    assert tuple(kept["classes"]) == NAMES
    assert (str(kept["protocol"]), str(kept["weights_sha256"])) == ("folder-1x1@8", "ab")


def damaged(content):
    """What is left of a file of scores: nothing, half, or all, changed in a column or a method."""
    place = content.index(b"probabilities.npy") + 200
    yield b""
    yield content[: len(content) // 2]
    yield content[:place] + b"\xff" * 20 + content[place + 20 :]
    yield content.replace(b"\x08", b"\x07")


def test_a_damaged_scores_file_is_named(tested):
    write_scores(FILE, tested)
    for content in damaged(FILE.read_bytes()):
        FILE.write_bytes(content)
        with pytest.raises(DataError, match=r"^out: not a file of scores \(.+\)$"):
            read_scores(FILE)


def test_a_split_without_broken_videos_has_empty_columns(tested):
    scores = Scores(tested.scores.probabilities, tested.scores.labels, tested.scores.indices, {})
    write_scores(FILE, Evaluation(tested.result, scores, tested.manifest))
    with np.load(FILE) as file:
        assert (len(file["broken_paths"]), len(file["broken_labels"])) == (0, 0)


def test_a_row_a_class(tested):
    write_class_results(FILE, tested)
    rows = list(csv.DictReader(io.StringIO(FILE.read_text())))
    assert [row["class"] for row in rows] == list(NAMES)
    assert sum(int(row["videos"]) for row in rows) == 30
    assert sum(int(row["correct"]) for row in rows) == tested.result.correct
    with_videos = [float(row["accuracy"]) for row in rows if int(row["videos"])]
    assert np.mean(with_videos) == pytest.approx(tested.result.mean_class, abs=0.01)
    assert rows[-1] == {
        "class": "f",
        "videos": "0",
        "correct": "0",
        "accuracy": "",
        "confused_with": "",
        "confused": "0",
    }


def test_a_class_is_no_formula(tested):
    classes = ("=1+1", *NAMES[1:])
    write_class_results(FILE, replace(tested, manifest=replace(tested.manifest, classes=classes)))
    rows = list(csv.DictReader(io.StringIO(FILE.read_text())))
    assert rows[0]["class"] == "'=1+1"
    partners = {row["confused_with"] for row in rows}
    assert "=1+1" not in partners
    assert "'=1+1" in partners


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("a.txt", r"--scores a\.txt: the name must end in \.npz"),
        ("folder.npz", r"--scores folder\.npz: is a folder"),
        (
            "file/a.npz",
            r"--scores file/a\.npz: cannot be written \((Not a directory|File exists)\)",
        ),
    ],
)
def test_what_cannot_be_written_is_refused_beforehand(path, message):
    Path("folder.npz").mkdir()
    Path("file").write_text("")
    with pytest.raises(UsageError, match=message):
        check_writable("--scores", Path(path), ".npz")


def test_a_read_only_folder_is_refused(mount_read_only):
    mount_read_only()
    with pytest.raises(UsageError, match=r"^--scores a\.npz: cannot be written \(Read-only"):
        check_writable("--scores", Path("a.npz"), ".npz")
    assert list(Path().iterdir()) == []


def test_missing_folders_are_made_and_files_replaced(tested):
    path = Path("new/folder/a.npz")
    check_writable("--scores", path, ".npz")
    assert not path.parent.parent.exists()  # a test that fails leaves nothing
    write_file(path, b"old")
    write_scores(path, tested)
    assert path.read_bytes()[:2] == b"PK"
    assert [file.name for file in path.parent.iterdir()] == ["a.npz"]

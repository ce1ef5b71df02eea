import re
from itertools import count
from pathlib import Path

import pytest

from stsm_cli.data.manifest import Manifest, VideoRecord, read_manifest, write_manifest
from stsm_cli.errors import DataError
from stsm_cli.prepare.new_lists import check_place, new_lists

CLASSES = {"old": ("a", "b"), "new": ("b", "a", "c")}
PATHS = {"old": {"train": "12", "val": "3"}, "new": {"train": "23", "val": "1"}}


def manifest(root, which, split):
    records = [VideoRecord(f"{path}.mp4", 1, 8, 8.0, 20, 20) for path in PATHS[which][split]]
    misleading = frozenset({"3.mp4"} & {record.path for record in records})
    return Manifest(root, split, CLASSES[which], records, misleading)


def fill(root, which):
    for split in ("train", "val"):
        write_manifest(manifest(root, which, split))
    (root / "manifest" / "report.json").write_text(which)


def prepare(root, which):
    with new_lists(root) as draft:
        fill(draft, which)


def read(root, split):
    """Which preparation a split is of; None where it cannot be read."""
    try:
        found = read_manifest(root, split)
    except DataError:
        return None
    return next(which for which in PATHS if manifest(root, which, split) == found)


@pytest.fixture
def fail_at(monkeypatch):
    """Has the change of a name of this number fail, counted from 0."""

    def do(step, error):
        numbers = count()
        for name in ("replace", "unlink"):
            real = getattr(Path, name)

            def change(path, *rest, real=real, **options):
                if next(numbers) == step:
                    raise error
                return real(path, *rest, **options)

            monkeypatch.setattr(Path, name, change)

    return do


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_each_split_is_of_one_preparation_wherever_the_next_one_ends(
    tmp_path, monkeypatch, fail_at, error
):
    seen = set()
    for step in count():
        root = tmp_path / str(step)
        fill(root, "old")
        fail_at(step, error)
        try:
            prepare(root, "new")
        except (type(error), DataError):
            pass
        else:
            break
        finally:
            monkeypatch.undo()
            seen.add(tuple(read(root, split) for split in ("train", "val")))
            assert not list(root.glob("manifest/new-*"))
    assert seen == {("old", "old"), (None, "old"), (None, None), ("new", None), ("new", "new")}
    assert (root / "manifest" / "report.json").read_text() == "new"
    assert sorted(path.name for path in (root / "manifest").iterdir()) == [
        *("classes.txt", "report.json", "train.csv", "train_from_start.csv", "val.csv")
    ]


def test_lists_that_say_the_same_are_there_throughout(tmp_path, monkeypatch):
    prepare(tmp_path, "old")
    seen, real = set(), Path.replace

    def change(path, target):
        seen.update(read(tmp_path, split) for split in ("train", "val"))
        return real(path, target)

    monkeypatch.setattr(Path, "replace", change)
    prepare(tmp_path, "old")
    assert seen == {"old"}


@pytest.mark.parametrize(
    ("files", "told"),
    [
        (["1.mp4"], "1 other file, such as 1.mp4"),
        (["b/2.AVI", "a/1.mkv", "a/notes.txt"], "2 other files, such as a/1.mkv"),
        (["classes.txt"], "1 other file, such as classes.txt"),
        (["train.csv", "test.csv", "1.mp4"], "2 other files, such as train.csv"),
        (["report.json"], "1 other file, such as report.json"),
    ],
)
def test_a_folder_of_another_hand_is_refused(tmp_path, files, told):
    for name in files:
        path = tmp_path / "manifest" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("path,label\n1.mp4,a\n")
    message = f"{tmp_path / 'manifest'}: is for the lists of stsm and holds {told}"
    with pytest.raises(DataError, match=f"^{re.escape(message)}$") as caught:
        check_place(tmp_path)
    assert caught.value.hint == "rename the folder: no video in it is looked at, lists are replaced"


@pytest.mark.parametrize(
    "which", ["empty", "absent", "mirror_pairs.csv", "._1.mp4", ".cache/1.mp4"]
)
def test_a_folder_without_lists_and_videos_is_no_one_s(tmp_path, which):
    path = tmp_path / "manifest" / which
    if which != "absent":
        path.parent.mkdir(parents=True)
    if which not in ("absent", "empty"):
        path.touch()
    check_place(tmp_path)


@pytest.mark.parametrize("kept", ["train.csv", "val.csv", "ledger.jsonl", "report.json"])
def test_one_sign_of_ours_is_enough(tmp_path, kept):
    fill(tmp_path, "old")
    folder = tmp_path / "manifest"
    (folder / "report.json").write_text('{\n  "schema": "stsm.prepare/1"\n}')
    (folder / "ledger.jsonl").touch()
    for path in folder.iterdir():
        if path.name not in (kept, "classes.txt", "train_from_start.csv"):
            path.unlink()
    (folder / "new-abc" / "manifest").mkdir(parents=True)
    (folder / "problems.csv").touch()
    (folder / "1.mp4").touch()
    check_place(tmp_path)


def test_a_folder_that_cannot_be_read_is_told_where_it_is_written(tmp_path):
    (tmp_path / "manifest").touch()
    check_place(tmp_path)
    check_place(tmp_path / ("n" * 300))

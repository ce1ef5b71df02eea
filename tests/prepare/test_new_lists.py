from itertools import count
from pathlib import Path

import pytest

from stsm_cli.data.manifest import Manifest, VideoRecord, read_manifest, write_manifest
from stsm_cli.errors import DataError
from stsm_cli.prepare.new_lists import new_lists

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

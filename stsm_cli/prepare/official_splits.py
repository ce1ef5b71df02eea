"""The first official split of UCF101 and of HMDB51, where its lists lie beside the videos.

    trainlist01.txt, testlist01.txt, classInd.txt    UCF101 (ucfTrainTestlist/)
    CLASS_test_split1.txt                            HMDB51 (testTrainMulti_7030_splits/)

The test part is `val`. A video is known by its class folder and its name without suffix, so files
in another format serve as well.
"""

from pathlib import PurePosixPath

from stsm_cli.data.manifest import SPLITS
from stsm_cli.errors import DataError
from stsm_cli.prepare.lists import raise_problems, read_lines, with_slashes
from stsm_cli.prepare.matching import Entry, Inventory
from stsm_cli.prepare.tree import Tree, stem

_HMDB51_SUFFIX = "_test_split1.txt"
_HMDB51_PARTS = {"1": "train", "2": "val", "0": "unused"}


def from_official_split(tree: Tree) -> Inventory | None:
    """The videos by the lists of UCF101 or HMDB51; None where there are none.

    Raises:
        DataError: A line is wrong; names file and line.
    """
    return _ucf101(tree) or _hmdb51(tree)


def _ucf101(tree: Tree) -> Inventory | None:
    lists = [tree.named(rf"{part}list01\.txt") for part in ("train", "test")]
    if not all(lists):
        return None
    problems: list[str] = []
    entries: dict[str, list[Entry]] = {split: [] for split in SPLITS}
    for split, (path, *_) in zip(SPLITS, lists, strict=True):
        for where, line in read_lines(tree.root / path):
            name = with_slashes(line).split()[0]  # in the training list a number follows
            class_name, _, file = name.partition("/")
            if class_name and file and "/" not in file:
                entries[split].append(Entry(where, name, class_name, _key(name)))
            else:
                problems.append(f"{where}: expected `Class/video.avi`, got {line!r}")
    raise_problems(problems)
    note = f"split 1 of UCF101, listed by {' and '.join(paths[0] for paths in lists)}"
    return Inventory(entries, (note,), _key, _ucf101_classes(tree))


def _ucf101_classes(tree: Tree) -> tuple[str, ...] | None:
    files = tree.named(r"classInd\.txt")
    if not files:
        return None
    names = []
    for number, (where, line) in enumerate(read_lines(tree.root / files[0]), 1):
        index, _, name = line.partition(" ")
        if index != str(number) or not name:
            raise DataError(f"{where}: expected `{number} Class`, got {line!r}")
        names.append(name.strip())
    return tuple(names)


def _hmdb51(tree: Tree) -> Inventory | None:
    files = [path for path in tree.files if path.endswith(_HMDB51_SUFFIX)]
    if not files:
        return None
    parts: dict[str, list[Entry]] = {part: [] for part in _HMDB51_PARTS.values()}
    problems: list[str] = []
    for file in files:
        class_name = PurePosixPath(file).name.removesuffix(_HMDB51_SUFFIX)
        for where, line in read_lines(tree.root / file):
            name, _, number = line.rpartition(" ")
            if name and number in _HMDB51_PARTS:
                path = f"{class_name}/{name.strip()}"
                parts[_HMDB51_PARTS[number]].append(Entry(where, path, class_name, _key(path)))
            else:
                problems.append(f"{where}: expected `video.avi` and 0, 1 or 2, got {line!r}")
    raise_problems(problems)
    unused = frozenset(entry.key for entry in parts.pop("unused"))
    notes = (
        f"split 1 of HMDB51, listed by {len(files)} files *{_HMDB51_SUFFIX}",
        f"videos in neither part of it: {len(unused)}",
    )
    return Inventory(parts, notes, _key, left_out=unused)


def _key(path: str) -> str:
    return "/".join([*PurePosixPath(path).parts[-2:-1], stem(path)])

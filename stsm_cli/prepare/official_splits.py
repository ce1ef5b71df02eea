"""The official splits of UCF101 and of HMDB51, where their lists lie beside the videos.

    trainlist01.txt, testlist01.txt, classInd.txt    UCF101 (ucfTrainTestlist/)
    CLASS_test_split1.txt                            HMDB51 (testTrainMulti_7030_splits/)

are those of split 1; 2 and 3 are called alike. The test part is `val`. A video is known by its
class folder and its name without suffix, so files in another format serve as well.
"""

import re
from pathlib import PurePosixPath

from stsm_cli.data.manifest import SPLITS
from stsm_cli.errors import DataError, raise_problems
from stsm_cli.prepare.lists import read_lines, with_slashes
from stsm_cli.prepare.matching import Entry, Inventory
from stsm_cli.prepare.tree import Tree, stem

_HMDB51_PARTS = {"1": "train", "2": "val", "0": "unused"}


def from_official_split(tree: Tree) -> Inventory | None:
    """The videos by the lists of the first split of UCF101 or HMDB51; None where there are none.

    Raises:
        DataError: A line is wrong; names file and line.
    """
    return from_ucf101(tree, 1) or from_hmdb51(tree, 1)


def from_ucf101(tree: Tree, split: int) -> Inventory | None:
    """The videos by UCF101's lists of a split, 1 to 3; None where one of the two is not there.

    Capitals do not matter: the class of v_HandStandPushups_g01_c01.avi is HandstandPushups, and
    copies of the set call its folder like either.

    Raises:
        DataError: A line is wrong; names file and line.
    """
    lists = [tree.named(rf"{part}list0{split}\.txt") for part in ("train", "test")]
    if not all(lists):
        return None
    classes = _ucf101_classes(tree)
    spelled = {name.casefold(): name for name in classes or ()}
    problems: list[str] = []
    entries: dict[str, list[Entry]] = {split: [] for split in SPLITS}
    for part, (path, *_) in zip(SPLITS, lists, strict=True):
        for where, line in read_lines(tree.root / path):
            name = with_slashes(line).split()[0]  # in the training list a number follows
            class_name, _, file = name.partition("/")
            if class_name and file and "/" not in file:
                class_name = spelled.get(class_name.casefold(), class_name)
                entries[part].append(Entry(where, name, class_name, _folded_key(name)))
            else:
                problems.append(f"{where}: expected `Class/video.avi`, got {line!r}")
    raise_problems(problems)
    note = f"split {split} of UCF101, listed by {' and '.join(paths[0] for paths in lists)}"
    return Inventory(entries, (note,), _folded_key, classes)


def _ucf101_classes(tree: Tree) -> tuple[str, ...] | None:
    files = tree.named(r"(?i:classInd\.txt)")
    if not files:
        return None
    names = []
    for number, (where, line) in enumerate(read_lines(tree.root / files[0]), 1):
        index, _, name = line.partition(" ")
        if index != str(number) or not name:
            raise DataError(f"{where}: expected `{number} Class`, got {line!r}")
        names.append(name.strip())
    return tuple(names)


def from_hmdb51(tree: Tree, split: int) -> Inventory | None:
    """The videos by HMDB51's lists of a split, 1 to 3, one a class; None where there are none.

    Raises:
        DataError: A line is wrong; names file and line.
    """
    ending = f"_test_split{split}.txt"
    named = tree.named(rf".+{re.escape(ending)}")
    files = {PurePosixPath(path).name: path for path in reversed(named)}  # of copies the nearest
    if not files:
        return None
    parts: dict[str, list[Entry]] = {part: [] for part in _HMDB51_PARTS.values()}
    problems: list[str] = []
    for file_name, file in sorted(files.items()):
        class_name = file_name.removesuffix(ending)
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
        f"split {split} of HMDB51, listed by {len(files)} files *{ending}",
        f"videos in neither part of it: {len(unused)}",
    )
    return Inventory(parts, notes, _key, left_out=unused)


def _key(path: str) -> str:
    return "/".join([*PurePosixPath(path).parts[-2:-1], stem(path)])


def _folded_key(path: str) -> str:
    return _key(path).casefold()

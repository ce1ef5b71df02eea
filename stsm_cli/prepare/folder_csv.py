"""CSV files that list the videos of a folder: `train.csv` and `val.csv`, or one `videos.csv`.

Their columns are path and label, and perhaps split; others do not matter. A path is relative to the
root, with backslashes where Windows wrote it; a label is a name, or a number where `classes.txt`
beside them names the classes. What a list names is a video, whatever its suffix. Of several parts
to validate on one counts, and further lists do not: what is left out is noted.
"""

import os
import unicodedata
from collections.abc import Container, Sequence
from contextlib import suppress
from pathlib import Path, PureWindowsPath

from stsm_cli.data.manifest import SPLITS
from stsm_cli.errors import DataError, raise_problems
from stsm_cli.prepare.class_folders import PART_NAMES, TRAIN_NAMES, VAL_NAMES
from stsm_cli.prepare.lists import read_csv, read_lines, with_slashes
from stsm_cli.prepare.matching import Entry, Inventory
from stsm_cli.prepare.tree import Tree, stem


def read_classes(root: Path) -> tuple[str, ...] | None:
    """The names in ROOT/classes.txt, one a line in label order; None where there is none.

    Raises:
        DataError: It cannot be read, or a name stands there twice.
    """
    path = root / "classes.txt"
    if not path.exists():
        return None
    names: list[str] = []
    problems = []
    for where, line in read_lines(path):
        name = _composed(line)
        if name in names:
            problems.append(f"{where}: class {name!r} stands there twice")
        names.append(name)
    raise_problems(problems)
    return tuple(names)


def from_csv(tree: Tree) -> Inventory | None:
    """The videos by the CSV files; None where there are none.

    Raises:
        DataError: A line is wrong; names file and line.
    """
    files, spare_files = _files(tree)
    if not files:
        return None
    classes = read_classes(tree.root)
    there = set(map(_composed, tree.files))
    entries: dict[str, list[Entry]] = {split: [] for split in SPLITS}
    problems: list[str] = []
    rows: list[tuple[str, str, dict[str, str]]] = []
    for name, part in files.items():
        found = read_csv(tree.root / name, ("path", "label"))
        problems += [] if found else [f"{tree.root / name}: lists no video"]
        rows += [(row.get("split") or part, where, row) for where, row in found]
    parts = {part for part, *_ in rows}
    val, *spare = [name for name in VAL_NAMES if name in parts] or [""]
    left_out = {path for name in spare_files for path in _listed(tree, there, name)}
    for part, where, row in rows:
        try:
            path = _path(tree.root, there, row["path"])
            if part in spare:
                left_out.add(path)
                continue
            label = _label(_composed(row["label"]), classes)
            entries[_split(part)].append(Entry(where, row["path"], label, path))
        except ValueError as error:
            problems.append(f"{where}: {error}")
    raise_problems(problems)
    if classes is None:
        _refuse_numbers(tree.root, [*entries["train"], *entries["val"]])
    notes = [
        f"videos listed by {' and '.join(files)}",
        *(f"{name} left out: {val} is the validation part" for name in spare),
        *(f"{name} left out: {why}" for name, why in spare_files.items()),
        *_passed_over(tree, [*entries["train"], *entries["val"]]),
    ]
    return Inventory(
        entries, tuple(notes), _composed, classes, left_out=frozenset(left_out), any_suffix=True
    )


def _passed_over(tree: Tree, entries: Sequence[Entry]) -> list[str]:
    """A sentence on listed videos that `scan` does not look at; none where there is none."""
    found = [entry.name for entry in entries if tree.passes_over(entry.key)]
    if not found:
        return []
    why = "hidden, or in a folder that stsm fills, and so not looked at"
    return [f"videos that are {why}: {len(found)}, such as {found[0]}"]


def _files(tree: Tree) -> tuple[dict[str, str], dict[str, str]]:
    """The lists that count, with the part of rows that name none; and why the others do not."""
    val = [f"{name}.csv" for name in VAL_NAMES if f"{name}.csv" in tree.files]
    if "train.csv" in tree.files:
        files = {name: stem(name) for name in ("train.csv", *val[:1])}
        spare = dict.fromkeys(val[1:], f"{next(iter(val), None)} is the validation part")
        spare |= {"videos.csv": "train.csv is there"} if "videos.csv" in tree.files else {}
        return files, spare
    if "videos.csv" in tree.files:
        return {"videos.csv": "train"}, dict.fromkeys(val, "videos.csv is there")
    return {name: stem(name) for name in val[:1]}, {}


def _listed(tree: Tree, there: Container[str], name: str) -> set[str]:
    """The paths in a list that does not count, as far as it is one."""
    paths = set()
    with suppress(DataError):
        for _, row in read_csv(tree.root / name, ("path",)):
            with suppress(ValueError):
                paths.add(_path(tree.root, there, row["path"]))
    return paths


def _path(root: Path, there: Container[str], text: str) -> str:
    """The path relative to the root, composed and without detours."""
    path = _below(root, text)
    if path in there:  # first: a name may hold a backslash, or a colon
        return path
    path = _below(root, with_slashes(text))
    if not path or PureWindowsPath(text).drive:
        raise ValueError(f"path must be below {root}, got {text!r}")
    return path


def _below(root: Path, text: str) -> str:
    """The path relative to the root; empty where it is not below it."""
    base = Path(os.path.normpath(root.absolute()))
    path = Path(os.path.normpath(base / text))
    is_below = path != base and path.is_relative_to(base)
    return _composed(path.relative_to(base).as_posix()) if is_below else ""


def _composed(path: str) -> str:
    """The path in composed characters, as people type it, whatever the disk prefers."""
    return unicodedata.normalize("NFC", path)


def _label(text: str, classes: Sequence[str] | None) -> str:
    """The name of the class."""
    if not text:
        raise ValueError("label is empty")
    if classes is None or text in classes:
        return text
    if text.isdecimal() and int(text) < len(classes):
        return classes[int(text)]
    rule = f"one of the names in classes.txt or 0 to {len(classes) - 1}"
    raise ValueError(f"label must be {rule}, got {text!r}")


def _split(name: str) -> str:
    if name not in PART_NAMES:
        raise ValueError(f"split must be one of {', '.join(PART_NAMES)}, got {name!r}")
    return "train" if name in TRAIN_NAMES else "val"


def _refuse_numbers(root: Path, entries: Sequence[Entry]) -> None:
    if entries and all(entry.class_name.isdecimal() for entry in entries):
        raise DataError(
            f"{entries[0].where}: label {entries[0].class_name} is a number as all others are, "
            "and no classes.txt names the classes",
            hint=f"write {root / 'classes.txt'}, one name a line, that of label 0 first",
        )

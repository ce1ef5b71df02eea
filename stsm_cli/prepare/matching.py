"""Lists and files brought together: each class gets its label, each listed video its file."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from stsm_cli.data.manifest import SPLITS
from stsm_cli.errors import DataError, raise_problems
from stsm_cli.prepare.listing import ListedVideo

_UNLISTABLE = {"\n", "\r", *map(chr, range(0xD800, 0xE000))}  # the last are in no UTF-8 text


@dataclass(frozen=True)
class Entry:
    """A video as a list names it.

    Attributes:
        where: `file:line`, for errors.
        name: As listed; the name of the video from here on.
        class_name: Its class.
        key: What its file is known by.
        label: Where the list numbers its classes.
    """

    where: str
    name: str
    class_name: str
    key: str
    label: int | None = None


Entries = Mapping[str, Sequence[Entry]]  # by split: `train` and `val`


@dataclass(frozen=True)
class Inventory:
    """The videos of a folder, and where they are listed.

    Attributes:
        entries: The videos; without `val`, a split is still to be drawn.
        notes: What was read, and what was decided.
        key: From a file's path to the keys of the entries.
        classes: In label order, where it is known; else the names are to be sorted.
        left_out: Keys of files that belong to the data set, but not to this split.
        any_suffix: Whether the keys are whole paths, so that a file which one names is a video
            whatever its suffix.
    """

    entries: Entries
    notes: tuple[str, ...]
    key: Callable[[str], str] = str
    classes: tuple[str, ...] | None = None
    left_out: frozenset[str] = frozenset()
    any_suffix: bool = False

    def is_named(self, path: str) -> bool:
        """Tell whether an entry, or what is left out, names this very file."""
        return self.any_suffix and self.key(path) in self._keys

    @cached_property
    def _keys(self) -> set[str]:
        keys = {entry.key for entries in self.entries.values() for entry in entries}
        return keys | self.left_out


class Found:
    """Video files by the key under which lists name them; of several the first counts.

    Args:
        root: What the paths are relative to.
        paths: The files.
        key: From a path to what lists call it.
    """

    def __init__(self, root: Path, paths: Iterable[str], key: Callable[[str], str]) -> None:
        self._root = root
        self._paths: dict[str, list[str]] = defaultdict(list)
        # ours: a GIF beside a video of the same name is its preview
        for path in sorted(paths, key=lambda path: path.lower().endswith(".gif")):
            self._paths[key(path)].append(path)
        self._taken: set[str] = set()

    def take(self, key: str) -> str | None:
        """The file of a listed video; None where there is none, or another video has it already."""
        if key not in self._paths or key in self._taken:
            return None
        self._taken.add(key)
        return self._paths[key][0]

    def unlisted(self, left_out: frozenset[str] = frozenset()) -> list[str]:
        """The files that no listed video has, nor one whose key is in `left_out`."""
        unlisted = self._paths.keys() - self._taken - left_out
        return [path for key in unlisted for path in self._paths[key]]

    def spares(self) -> dict[str, tuple[str, ...]]:
        """Further files of videos that were taken, other than links to the same file, by it."""
        several = (self._paths[key] for key in self._taken if len(self._paths[key]) > 1)
        others = {
            first: tuple(path for path in paths if not self._same(first, path))
            for first, *paths in several
        }
        return {first: paths for first, paths in others.items() if paths}

    def _same(self, first: str, second: str) -> bool:
        with suppress(OSError):  # a link that leads nowhere is a file of its own
            return (self._root / first).samefile(self._root / second)
        return False


def sorted_classes(entries: Entries) -> tuple[str, ...]:
    """The classes of the training videos, sorted; of the others where there are none to train on.

    Raises:
        DataError: A validation video has a class that no training video has.
    """
    train, val = (entries[split] for split in SPLITS)
    classes = {entry.class_name for entry in train or val}
    check_classes(val, classes, "no training video has")
    return tuple(sorted(classes))


def check_classes(entries: Iterable[Entry], classes: Iterable[str], lacking: str) -> None:
    """Refuse classes that are not among `classes`.

    Args:
        entries: The videos.
        classes: The names that are known.
        lacking: The subject that lacks a name, with its verb: `no training video has`.

    Raises:
        DataError: There are others; each is named once, with its first video.
    """
    known = set(classes)
    first: dict[str, str] = {}
    for entry in entries:
        if entry.class_name not in known:
            first.setdefault(entry.class_name, entry.where)
    raise_problems([f"{where}: {lacking} class {name!r}" for name, where in first.items()])


@dataclass(frozen=True)
class Assigned:
    """The result of `assign`.

    Attributes:
        splits: The listed videos of both splits.
        again: The names that are listed more than once.
        conflicts: Those of them under another label or in the other split, with what is said.
    """

    splits: dict[str, tuple[ListedVideo, ...]]
    again: set[str]
    conflicts: dict[str, str]

    @property
    def paths(self) -> list[str]:
        """The files of the listed videos, as far as they are there, in the lists' order."""
        return [video.path for split in SPLITS for video in self.splits[split] if video.path]


def assign(
    root: Path, entries: Entries, classes: Sequence[str], locate: Callable[[Entry], str | None]
) -> Assigned:
    """Give each listed video its label and its file.

    Args:
        root: The data root.
        entries: The lists; of a video that is listed again the first line counts.
        classes: In label order.
        locate: Finds the file of an entry.

    Raises:
        DataError: Not one of the videos is there, or a class list could not hold a name.
    """
    unfit = [name for name in classes if not name.strip() or set(name) & _UNLISTABLE]
    raise_problems([f"{root}: a class name must be one line of text, got {n!r}" for n in unfit])
    label = {name: index for index, name in enumerate(classes)}
    first: dict[str, tuple[str, Entry]] = {}  # by key: the split and the entry that count
    again: set[str] = set()
    conflicts: dict[str, str] = {}
    splits = {}
    for split in SPLITS:
        listed = []
        for entry in entries[split]:
            before, counts = first.setdefault(entry.key, (split, entry))
            if counts is entry:
                listed.append(ListedVideo(entry.name, label[entry.class_name], locate(entry)))
                continue
            again.add(entry.name)
            if (before, counts.class_name) != (split, entry.class_name):
                told = f"{_told(before, counts)} counts, not {_told(split, entry)}"
                conflicts.setdefault(entry.name, told)
        splits[split] = tuple(listed)
    if all(video.path is None for listed in splits.values() for video in listed):
        name = min(entry.name for _, entry in first.values())
        raise DataError(f"{root}: not one of the {len(first)} listed videos found, such as {name}")
    return Assigned(splits, again, conflicts)


def _told(split: str, entry: Entry) -> str:
    return f"{entry.class_name!r} in {split} ({entry.where})"

"""The files below a data root, walked once.

Hidden files and folders (`.cache`, and the `._*` files that macOS puts into archives) do not count,
nor do the folders that `stsm prepare` itself fills, here or in a folder below that it was called
for. Links to folders are followed, but not back up: a folder that is linked to is seen at both
places.
"""

import codecs
import os
import re
import stat
from collections import Counter
from collections.abc import Container, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path, PurePosixPath
from typing import get_args

from stsm_cli.config.kinds import FlowMethod
from stsm_cli.errors import DataError, raise_problems
from stsm_cli.progress import Progress

VIDEO_SUFFIXES = (
    *(".mp4", ".webm", ".avi", ".mkv", ".mov", ".m4v", ".mpg", ".mpeg"),
    *(".wmv", ".flv", ".3gp", ".ogv", ".gif", ".ts", ".mts", ".m2ts"),
    *(".3g2", ".asf", ".divx", ".dv", ".f4v", ".m1v", ".m2t", ".m2v"),
    *(".mjpeg", ".mjpg", ".mpe", ".mxf", ".ogm", ".qt", ".rm", ".rmvb"),
    *(".vob", ".y4m", ".h264", ".264", ".h265", ".265", ".hevc"),
)
"""Suffixes by which videos are found below a folder: of every container that the readers know."""

# right below a data root: lists, re-encoded videos, and their optical flow
_OUTPUT = re.compile(rf"manifest|videos_\d+g\d+(?:q\d+)?|flow_(?:{'|'.join(get_args(FlowMethod))})")
# trap: `training` and `testing` are words in names of Kinetics' classes
_SPLITS = {
    "train": "train",
    **dict.fromkeys(("val", "valid", "validate", "validation"), "val"),
    "test": "test",
}
FolderId = tuple[int, int]
"""Device and number of a folder, by whatever path."""
_WORDS = re.compile("[^a-z]+")
_TYPESCRIPT = (".ts", ".mts")  # or MPEG transport streams
_HEAD = 1024  # bytes that tell them apart
_LISTS = re.compile(r".+\.(?:csv|txt|json|tar\.gz|tgz)|20bn-something-something-v2-\d\d")


@dataclass(frozen=True)
class Tree:
    """Files and folders below a data root.

    Attributes:
        root: The data root.
        files: Relative paths with forward slashes, sorted.
        folders: The same of folders.
        faults: Paths that could not be looked at, or that no list can hold, each with why.
        outputs: The folders that `stsm` filled, and that were left out.
    """

    root: Path
    files: tuple[str, ...]
    folders: tuple[str, ...]
    faults: Mapping[str, str] = field(default_factory=dict)
    outputs: tuple[str, ...] = ()

    @cached_property
    def videos(self) -> tuple[str, ...]:
        """The files that are videos by their suffix, and, where that is TypeScript's, content.

        A GIF beside a video of the same name is left out.
        """
        # ours: it is its preview, and in the other split it would give the video away
        named = [path for path in self.files if _is_named_video(path)]
        others = {_without_suffix(path) for path in named if not path.lower().endswith(".gif")}
        return tuple(
            path
            for path in named
            if not (path.lower().endswith(".gif") and _without_suffix(path) in others)
            and not (path.lower().endswith(_TYPESCRIPT) and _is_text(self.root / path))
        )

    def count_others(self, named: Container[str] = ()) -> dict[str, int]:
        """Counts of the files that are no videos, by suffix; the largest first.

        Lists and archives count only where they lie beside videos, in a folder below the root.

        Args:
            named: Files that a list calls videos.
        """
        videos = {path for path in self.files if path in named}.union(self.videos)
        full = {folder_of(path) for path in videos} - {""}
        others = (path for path in self.files if path not in videos)
        counted = Counter(
            PurePosixPath(path).suffix.lower() or "without suffix"
            for path in others
            if folder_of(path) in full or not _is_list(path)
        )
        return dict(counted.most_common())

    def named(self, pattern: str) -> tuple[str, ...]:
        """The files whose whole name matches a regular expression, those nearest the root first."""
        match = re.compile(pattern).fullmatch
        found = (path for path in self.files if match(path.rpartition("/")[2]))
        return tuple(sorted(found, key=lambda path: (path.count("/"), path)))

    def passes_over(self, path: str) -> bool:
        """Tell whether a path was left out: hidden, or in a folder that `stsm` fills."""
        first, *others = path.split("/")
        is_output = bool(others and _OUTPUT.fullmatch(first))
        is_hidden = any(part[0] == "." for part in (first, *others))
        return is_output or is_hidden or path.startswith(tuple(f"{name}/" for name in self.outputs))

    def check_videos(self, hint: str) -> None:
        """Refuse a tree without a video.

        Args:
            hint: The cure.

        Raises:
            DataError: There is none; says what could not be looked at.
        """
        if not self.videos:
            faults = [f"{self.root / path}: {why}" for path, why in self.faults.items()]
            raise_problems([f"{self.root}: no video found", *faults], hint=hint)


def scan(root: Path, progress: Progress, *, hint: str | None = None) -> Tree:
    """Everything below a root that may matter.

    A folder or link that cannot be read, or a video whose name no list can hold, is a fault of the
    tree.

    Args:
        root: The data root.
        progress: Is told: on a slow disk this takes minutes.
        hint: The cure where the folder is empty.

    Raises:
        DataError: There is no such folder, it is none or empty, or it cannot be read.
    """
    _check_root(root)
    progress.message(f"looking through {root}")
    files: list[str] = []
    folders: list[str] = []
    faults: dict[str, str] = {}
    outputs: set[str] = set()
    waiting: list[tuple[str, frozenset[FolderId]]] = [("", frozenset())]
    while waiting:
        prefix, above = waiting.pop()
        try:
            identity, entries = _look(root / prefix)
        except OSError as error:
            faults[prefix.rstrip("/")] = f"cannot be read ({error.strerror})"
            continue
        if identity in above:  # a link that leads back up
            continue
        kinds = {prefix + entry.name: _kind(entry) for entry in entries}
        below = [path for path, kind in kinds.items() if kind == "folder"]
        outputs |= (made := _outputs(root, prefix, below))
        below = [path for path in below if path not in made]
        folders.append(prefix[:-1])
        waiting += [(f"{path}/", above | {identity}) for path in below]
        for path, kind in kinds.items():
            if kind == "file" or (kind != "folder" and (_is_named_video(path) or _is_list(path))):
                files.append(path)  # what cannot be read is told where it is to be read
            elif kind != "folder":
                faults[path] = kind
    if "" in faults:
        raise DataError(f"{root}: {faults['']}")
    if not (files or faults or any(folders)):
        raise DataError(f"{root}: is empty", hint=hint)
    unfit = {path for path in filter(_is_named_video, files) if not _is_utf8(path)}
    faults |= dict.fromkeys(unfit, "its name is not UTF-8")
    fit = sorted(path for path in files if path not in unfit)
    below_root = sorted(filter(None, folders))
    sorted_faults = dict(sorted(faults.items()))
    return Tree(root, tuple(fit), tuple(below_root), sorted_faults, tuple(sorted(outputs)))


def stem(path: str) -> str:
    """The name of a file without folders and without its last suffix."""
    name = path.rpartition("/")[2]
    return name.rpartition(".")[0] or name


def _without_suffix(path: str) -> str:
    return path.rpartition(".")[0]


def folder_of(path: str) -> str:
    """The folder that a relative path lies in; empty: the root."""
    return path.rpartition("/")[0]


@lru_cache(maxsize=4096)  # the videos of a class share their folder
def split_of(folder: str) -> str | None:
    """`train`, `val` or `test`, as the innermost part says that has such a word in its name."""
    for part in reversed(folder.lower().split("/")):
        for word in _WORDS.split(part):
            if word in _SPLITS:
                return _SPLITS[word]
    return None


def _check_root(root: Path) -> None:
    try:
        is_folder = stat.S_ISDIR(root.stat().st_mode)
    except FileNotFoundError:
        raise DataError(f"{root}: no such folder") from None
    except OSError as error:
        raise DataError(f"{root}: cannot be read ({error.strerror})") from error
    if not is_folder:
        raise DataError(f"{root}: is no folder")


def _look(folder: Path) -> tuple[FolderId, list[os.DirEntry[str]]]:
    """A folder's identity, by whatever path, and its entries, without hidden names."""
    status = folder.stat()
    with os.scandir(folder) as entries:
        shown = [entry for entry in entries if entry.name[0] != "."]
    return (status.st_dev, status.st_ino), shown


def _outputs(root: Path, prefix: str, folders: Iterable[str]) -> set[str]:
    """Those of the folders in one folder that `stsm` filled, if that is a data root of its own."""
    named = {path for path in folders if _OUTPUT.fullmatch(path.removeprefix(prefix))}
    return named if named and (not prefix or _is_prepared(root / prefix)) else set()


def _is_prepared(folder: Path) -> bool:
    with suppress(OSError):
        names = ("report.json", "ledger.jsonl")
        return any((folder / "manifest" / name).exists() for name in names)
    return False


def _kind(entry: os.DirEntry[str]) -> str:
    """`folder`, `file`, or why a link is neither."""
    try:
        is_folder = entry.is_dir()
        if entry.is_symlink():
            entry.stat()  # follows it
    except FileNotFoundError:
        return "is a link that leads nowhere"
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    return "folder" if is_folder else "file"


def _is_named_video(path: str) -> bool:
    return path.lower().endswith(VIDEO_SUFFIXES)


def _is_list(path: str) -> bool:
    return bool(_LISTS.fullmatch(path.rpartition("/")[2].lower()))


def _is_text(path: Path) -> bool:
    """Tell whether a file begins with text; False where it cannot be read."""
    try:
        if not path.is_file():  # a pipe would make wait
            return False
        with path.open("rb") as file:
            head = file.read(_HEAD)
        return b"\0" not in head and bool(codecs.getincrementaldecoder("utf-8")().decode(head))
    except (OSError, UnicodeDecodeError):
        return False


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True

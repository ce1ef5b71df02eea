"""What lies below a data root, walked once.

Hidden files and folders (`.cache`, and the `._*` files that macOS puts into archives) do not count,
nor do the folders that `stsm prepare` itself fills. Links to folders are followed.
"""

import os
import re
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import NoReturn

from stsm_cli.errors import DataError
from stsm_cli.prepare.listing import VIDEO_SUFFIXES
from stsm_cli.prepare.lists import raise_problems
from stsm_cli.progress import Progress

_OUTPUT = re.compile(r"manifest|videos_\d+g\d+")  # right below the root: lists, re-encoded videos
_SPLITS = {"train": "train", "val": "val", "validation": "val", "valid": "val", "test": "test"}
_WORDS = re.compile("[^a-z]+")


@dataclass(frozen=True)
class Tree:
    """Files and folders below a data root.

    Attributes:
        root: The data root.
        files: Relative paths with forward slashes, sorted.
        folders: The same of folders.
    """

    root: Path
    files: tuple[str, ...]
    folders: tuple[str, ...]

    @cached_property
    def videos(self) -> tuple[str, ...]:
        """The files that are videos by their suffix."""
        return tuple(path for path in self.files if path.lower().endswith(VIDEO_SUFFIXES))

    def named(self, pattern: str) -> tuple[str, ...]:
        """The files whose whole name matches a regular expression, those nearest the root first."""
        match = re.compile(pattern).fullmatch
        found = (path for path in self.files if match(path.rpartition("/")[2]))
        return tuple(sorted(found, key=lambda path: (path.count("/"), path)))


def scan(root: Path, progress: Progress) -> Tree:
    """Everything below a root that may matter.

    Args:
        root: The data root.
        progress: Is told: on a slow disk this takes minutes.

    Raises:
        DataError: There is no such folder, it is none or empty, a folder cannot be read, or a
            video's name is not UTF-8.
    """
    if not root.is_dir():
        raise DataError(f"{root}: {'is no folder' if root.exists() else 'no such folder'}")
    progress.message(f"looking through {root}")
    files: list[str] = []
    folders: list[str] = []
    visited: set[tuple[int, int]] = set()  # a link may lead back up
    for folder, names, file_names in os.walk(root, followlinks=True, onerror=_unreadable):
        status = Path(folder).stat()
        if (status.st_dev, status.st_ino) in visited:
            names.clear()
            continue
        visited.add((status.st_dev, status.st_ino))
        relative = Path(folder).relative_to(root)
        names[:] = sorted(name for name in names if name[0] != ".")
        prefix = f"{relative.as_posix()}/"
        if relative == Path():
            prefix = ""
            names[:] = [name for name in names if not _OUTPUT.fullmatch(name)]
        folders += [prefix + name for name in names]
        files += [prefix + name for name in file_names if name[0] != "."]
    tree = Tree(root, tuple(sorted(files)), tuple(sorted(folders)))
    _check(tree)
    return tree


def stem(path: str) -> str:
    """The name of a file without folders and without its last suffix."""
    name = path.rpartition("/")[2]
    return name.rpartition(".")[0] or name


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


def _unreadable(error: OSError) -> NoReturn:
    raise DataError(f"{error.filename}: cannot be read ({error.strerror})") from error


def _check(tree: Tree) -> None:
    if not tree.files and not tree.folders:
        raise DataError(f"{tree.root}: is empty")
    undecodable = [path for path in tree.videos if not _is_utf8(path)]
    raise_problems(
        [f"{tree.root}: the name of {path!r} is not UTF-8" for path in undecodable],
        hint="rename these files",
    )


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True

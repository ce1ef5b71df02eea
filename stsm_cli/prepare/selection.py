"""Videos that a user names: files, folders, patterns and lists of files."""

import csv
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from glob import glob, has_magic
from pathlib import Path

from stsm_cli.data.decode import absent
from stsm_cli.errors import DataError
from stsm_cli.prepare.tree import scan
from stsm_cli.progress import SILENT, Progress

LISTS = (".txt", ".csv")
_HEADINGS = ("path", "video", "file")


@dataclass(frozen=True)
class Selection:
    """Files that are there, and why the others are not.

    Attributes:
        videos: Each once, in the order in which they are named.
        failed: By what the user named, or what a list names.
    """

    videos: tuple[Path, ...]
    failed: dict[Path, DataError]


def select(named: Iterable[Path], progress: Progress = SILENT) -> Selection:
    """The videos that are meant by files, folders, patterns and lists.

    A folder stands for all videos below it, by their suffix; a pattern (`clips/*.mp4`) for the
    files that it matches; a `.txt` or `.csv` file for those that its lines, or the first column,
    name, beside it or below the working folder.

    Args:
        named: What the user typed.
        progress: Is told of folders that are looked through.
    """
    found: dict[Path, None] = {}
    failed: dict[Path, DataError] = {}
    for name in named:
        try:
            meant = list(_meant(name, progress))
        except DataError as error:
            failed[name] = error
            continue
        for path in meant:
            if problem := absent(path):
                failed[path] = problem
            else:
                found[path] = None
    return Selection(tuple(found), failed)


def _meant(name: Path, progress: Progress) -> Iterator[Path]:
    if name.is_dir():
        yield from _below(name, progress)
    elif name.suffix.lower() in LISTS and name.is_file():
        yield from _listed(name)
    elif has_magic(str(name)) and not name.exists():
        matches = sorted(glob(str(name), recursive=True))  # noqa: PTH207  # it may be absolute
        if not matches:
            raise DataError(f"{name}: no file matches")
        for match in map(Path, matches):
            yield from _below(match, progress) if match.is_dir() else [match]
    else:
        yield name


def _below(folder: Path, progress: Progress) -> list[Path]:
    tree = scan(folder, progress)
    tree.check_videos(hint="a file is taken whatever its suffix: name it")
    return [folder / path for path in tree.videos]


def _listed(path: Path) -> Iterator[Path]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: not a list of files ({error})") from None
    if path.suffix.lower() == ".csv":
        lines = [row[0] if row else "" for row in csv.reader(lines)]
        if lines and lines[0].strip().lower() in _HEADINGS:
            lines = lines[1:]
    names = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    if not names:
        raise DataError(f"{path}: names no file")
    for name in names:
        beside = path.parent / name
        yield beside if beside.exists() else Path(name)

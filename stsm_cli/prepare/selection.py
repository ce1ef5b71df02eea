"""Videos that a user names: files, folders, patterns and lists of files."""

import csv
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from glob import glob, has_magic
from pathlib import Path

from stsm_cli.config.yaml_strict import shown
from stsm_cli.data.decode import absent
from stsm_cli.errors import DataError
from stsm_cli.prepare.lists import DELIMITERS, with_slashes
from stsm_cli.prepare.tree import scan
from stsm_cli.printable import counted
from stsm_cli.progress import SILENT, Progress
from stsm_cli.stored import DRAWN

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

    A folder stands for all videos below it, by their suffix, but for drawn ones; a pattern
    (`clips/*.mp4`) for the files that it matches; a `.txt` or `.csv` file for those that its lines,
    or the first column, name: beside it, below the data root whose manifest it is, or below the
    working folder.

    Args:
        named: What the user typed.
        progress: Is told of folders that are looked through.
    """
    found: dict[Path, None] = {}
    failed: dict[Path, DataError] = {}
    for name in named:
        try:
            for path, problem in _meant(name, progress):
                if problem:
                    failed[path] = problem
                else:
                    found[path] = None
        except DataError as error:
            failed[name] = error
        except OSError as error:  # such as a name that is too long
            failed[name] = DataError(f"{name}: cannot be read ({error.strerror})")
    return Selection(tuple(found), failed)


def _meant(name: Path, progress: Progress) -> Iterator[tuple[Path, DataError | None]]:
    """The files that are meant, and why one is none."""
    if name.suffix.lower() in LISTS and name.is_file():
        yield from _listed(name)
    else:
        for path in _matched(name, progress):
            yield path, absent(path)


def _matched(name: Path, progress: Progress) -> Iterator[Path]:
    if name.is_dir():
        yield from _below(name, progress)
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
    videos = [path for path in tree.videos if not path.endswith(DRAWN)]
    if drawn := len(tree.videos) - len(videos):
        progress.message(f"{folder}: {counted(drawn, 'video')} of an earlier --save left out")
    if not videos:
        raise DataError(f"{folder}: holds nothing but videos that `--save` drew")
    return [folder / path for path in videos]


def _listed(path: Path) -> Iterator[tuple[Path, DataError | None]]:
    """The files that a list names; a text that names none is told in one line."""
    names = dict(_names(path))
    if not names:
        raise DataError(f"{path}: names no file")
    places = {line: _place(name, path) for line, name in names.items()}
    if len(names) > 1 and not any(places.values()):
        line, name = next(iter(names.items()))
        others = f"nor in {counted(len(names) - 1, 'other line')}"
        raise DataError(f"{path}:{line}: no such file: {shown(name)}, {others}")
    for line, name in names.items():
        place = places[line]
        if place is not None and place.is_file():
            yield place, None
        else:
            rule = "is a folder, not a video" if place else "no such file"
            yield place or Path(name), DataError(f"{path}:{line}: {rule}: {shown(name)}")


def _names(path: Path) -> Iterator[tuple[int, str]]:
    """The names in a list, each with the number of its line; text knows comments, after `#`."""
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")  # names may hold other ends
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: not a list of files ({error})") from None
    is_csv = path.suffix.lower() == ".csv"
    for line, cell in _first_cells(path, lines) if is_csv else enumerate(lines, 1):
        name = cell.strip()
        is_comment = not is_csv and cell.startswith("#") and _place(name, path) is None
        if name and not is_comment:
            yield line, name


def _first_cells(path: Path, lines: Sequence[str]) -> Iterator[tuple[int, str]]:
    """The first column of a CSV, with line numbers, without its heading."""
    first = lines[0] if lines else ""
    delimiter = next((sign for sign in DELIMITERS if sign in first), ",")
    reader = csv.reader(lines, delimiter=delimiter)
    try:
        for number, row in enumerate(reader):
            if row and (number or row[0].strip().lower() not in _HEADINGS):
                yield reader.line_num, row[0]
    except csv.Error as error:
        raise DataError(f"{path}:{reader.line_num}: not CSV ({error})") from None


def _place(name: str, list_path: Path) -> Path | None:
    """Where there is what a list names, as it stands or with the slashes of Windows turned."""
    folder = list_path.parent
    root = folder.parent if folder.name == "manifest" else folder
    for text in (name, with_slashes(name)):
        for place in (folder / text, root / text, Path(text)):
            with suppress(OSError):  # such as a name that is too long
                if place.exists():
                    return place
    return None

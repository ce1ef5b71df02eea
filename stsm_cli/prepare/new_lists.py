"""The files of a set that is prepared again: they take the places of the old ones together.

Whenever it is interrupted, each split is read as it was, or as it is now, or not at all: the lists
of videos are missing while the others change.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from stsm_cli.data.manifest import SPLITS
from stsm_cli.errors import DataError
from stsm_cli.prepare.tree import VIDEO_SUFFIXES
from stsm_cli.printable import counted

_VIDEOS = tuple(f"{split}.csv" for split in SPLITS)
_NOTES = tuple(f"{split}_from_start.csv" for split in SPLITS)
# Any version is known by these: the ledger comes first, a set that is made has the lists alone.
_BEGINNINGS = {
    "ledger.jsonl": b"",
    "report.json": b'{\n  "schema": "stsm.prepare/',
    **dict.fromkeys((*_VIDEOS, "test.csv"), b"path,label,frames,fps,width,height"),
}


def check_place(root: Path) -> None:
    """Refuse a `manifest/` of another hand: its lists would be replaced, its videos not looked at.

    One that `stsm` ever wrote to is its own, however that ended.

    Raises:
        DataError: It holds videos, or lists of the same names, and nothing of `stsm`.
    """
    folder = root / "manifest"
    if any(_begins(folder / name, beginning) for name, beginning in _BEGINNINGS.items()):
        return
    there = _names(folder)
    lists = [name for name in ("report.json", *_VIDEOS, "classes.txt") if name in there]
    others = [*lists, *videos_among_lists(root)]
    if others:
        held = f"{counted(len(others), 'other file')}, such as {others[0]}"
        raise DataError(
            f"{folder}: is for the lists of stsm and holds {held}",
            hint="rename the folder: no video in it is looked at, lists are replaced",
        )


def videos_among_lists(root: Path) -> list[str]:
    """The videos below `manifest/`, where none is looked for, relative to it and sorted."""
    folder = root / "manifest"
    with suppress(OSError):  # what cannot be read is told where it is written
        paths = [path.relative_to(folder) for path in folder.rglob("*")]
        videos = [path for path in paths if path.suffix.lower() in VIDEO_SUFFIXES]
        return sorted(p.as_posix() for p in videos if not any(part[0] == "." for part in p.parts))
    return []


def _begins(path: Path, beginning: bytes) -> bool:
    with suppress(OSError), path.open("rb") as file:
        return file.read(len(beginning)) == beginning
    return False


def _names(folder: Path) -> set[str]:
    with suppress(OSError):
        return {path.name for path in folder.iterdir()}
    return set()


@contextmanager
def new_lists(root: Path) -> Iterator[Path]:
    """A root to write to, whose `manifest/` goes into that of `root` if the block has no error.

    Lists that say the same as before stay readable throughout.

    Raises:
        OSError: Files cannot be written or replaced.
    """
    folder = root / "manifest"
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder, prefix="new-") as draft:
        new = Path(draft, "manifest")
        new.mkdir()
        yield new.parent
        names = ("classes.txt", *_NOTES, *_VIDEOS)
        if any(_content(new / name) != _content(folder / name) for name in names):
            for name in (*_VIDEOS, *_NOTES):
                (folder / name).unlink(missing_ok=True)
        for path in sorted(new.iterdir(), key=lambda path: (path.name in _VIDEOS, path.name)):
            path.replace(folder / path.name)


def _content(path: Path) -> bytes | None:
    return path.read_bytes() if path.exists() else None

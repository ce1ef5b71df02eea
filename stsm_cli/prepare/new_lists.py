"""The files of a set that is prepared again: they take the places of the old ones together.

Whenever it is interrupted, each split is read as it was, or as it is now, or not at all: the lists
of videos are missing while the others change.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from stsm_cli.data.manifest import SPLITS

_VIDEOS = tuple(f"{split}.csv" for split in SPLITS)
_NOTES = tuple(f"{split}_from_start.csv" for split in SPLITS)


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

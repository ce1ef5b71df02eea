"""Files that workers write, which take their names when they are whole."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import blake2b
from pathlib import Path

from stsm_cli.atomic import process_mark

STALE_SECONDS = 600  # after which a half-written file is abandoned


@contextmanager
def draft(target: Path) -> Iterator[Path]:
    """A name to write to, which becomes `target` when the block ends without an error."""
    known_by = blake2b(os.fsencode(target.name), digest_size=8).hexdigest()
    name = f"{target.name[:40]}.{known_by}"  # all of a long name would leave no room
    mark = process_mark(os.getppid())  # whose to delete, if killed
    path = target.with_name(f"{name}.{mark}.tmp")
    try:
        yield path
        path.replace(target)
    except BaseException:
        with suppress(OSError):
            path.unlink()
        raise


def remove_drafts(folder: Path) -> None:
    """Delete half-written files: those of this process's killed workers, and abandoned ones."""
    for path in folder.rglob("*.tmp"):
        with suppress(OSError):  # gone, or another user's
            is_stale = time.time() - path.stat().st_mtime > STALE_SECONDS
            if is_stale or path.name.endswith(f".{process_mark(os.getpid())}.tmp"):
                path.unlink()

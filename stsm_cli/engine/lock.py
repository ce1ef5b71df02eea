"""One training a run folder: two at once would write over each other's checkpoints and metrics."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from stsm_cli.atomic import folder_if_filled
from stsm_cli.errors import UsageError

LOCK = ".lock"  # in the run folder while a run goes on; a killed one leaves it behind, unlocked


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """A block that no other process is in for the same folder, which is made if need be.

    The system lets go of the lock when its holder dies. Where the file system knows no locks, or
    the folder cannot be written, the block runs without one.

    Raises:
        UsageError: Another process is in such a block, or the folder cannot be made.
    """
    with ExitStack() as held:
        try:
            held.enter_context(folder_if_filled(folder))
        except OSError as error:
            raise UsageError(f"--out {folder}: cannot be written ({error.strerror})") from None
        try:
            held.enter_context(_locked(folder / LOCK))
        except BlockingIOError:
            raise UsageError(
                f"{folder}: another process is training in it",
                hint="wait for its end, then run the same command again",
            ) from None
        except OSError:  # a finished run may well be read only
            pass
        yield


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    descriptor = _open_locked(path)
    try:
        yield
    finally:
        with suppress(OSError):
            path.unlink()
        os.close(descriptor)


def _open_locked(path: Path) -> int:
    """An open, locked file at `path`."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise
        except OSError:  # no locks here
            return descriptor
        with suppress(FileNotFoundError):  # trap: its holder may have deleted it meanwhile
            if os.path.samestat(os.fstat(descriptor), path.stat()):
                return descriptor
        os.close(descriptor)

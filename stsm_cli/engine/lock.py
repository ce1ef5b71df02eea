"""One process a folder: two trainings would write over each other's checkpoints and metrics."""

import errno
import json
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from filelock import FileLock, Timeout

from stsm_cli.atomic import folder_if_filled, whole_file
from stsm_cli.errors import UsageError

LOCK = ".lock"  # in the run folder while a run goes on; a killed one leaves it behind, unlocked
OWNER = ".owner"  # instead of it where the file system knows no locks: who began last
WAIT_SECONDS = 0.2  # ours: for the holder before to delete the lock that it has just let go
_HAS_TRAINED = "another process has trained in it since"
_NO_LOCKS = {errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL}


@dataclass(frozen=True)
class Hold:
    """The right to write into a folder.

    Attributes:
        check: Raises a `UsageError` if another process has taken the right since; to be called
            before what is to last is written: a checkpoint, a result.
        warning: What to tell the user where there are no locks.
        problem: Why nothing can be written.
        hint: What can be done about that.
    """

    check: Callable[[], None] = lambda: None
    warning: str | None = None
    problem: OSError | None = None
    hint: str | None = None


@contextmanager
def alone_in(folder: Path, *, doing: str = "training in", option: str = "--out") -> Iterator[Hold]:
    """A block that no other process is in for the same folder, which is made if need be.

    The system lets go of the lock when its holder dies. Where the file system knows no locks, the
    process that comes last goes on, and those before it find that out by `Hold.check`. A folder
    that cannot be written has no lock either: a finished run may well be read only.

    Args:
        folder: The folder.
        doing: What the other process does there, for the error.
        option: What names the folder on the command line, for the error.

    Raises:
        UsageError: Another process is in such a block, or the folder cannot be made.
    """
    with ExitStack() as held:
        try:
            held.enter_context(folder_if_filled(folder))
        except OSError as error:
            raise UsageError(f"{option} {folder}: cannot be written ({error.strerror})") from None
        try:
            held.enter_context(_locked(folder / LOCK))
            hold = Hold()
        except Timeout:
            raise UsageError(
                f"{folder}: another process is {doing} it",
                hint="wait for its end, then run the same command again",
            ) from None
        except OSError as error:
            is_writable = error.errno in _NO_LOCKS
            hold = held.enter_context(_owned(folder)) if is_writable else _barred(folder, error)
        yield hold


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    # trap: a soft lock, which it falls back to by itself, outlives a holder on another machine
    lock = FileLock(path, timeout=WAIT_SECONDS, fallback_to_soft=False)
    try:
        lock.acquire()
    except OSError as error:
        if error.errno in _NO_LOCKS:  # else it may be another user's
            _delete(path)
        raise
    try:
        yield
    finally:
        _delete(path)
        lock.release()


@contextmanager
def _owned(folder: Path) -> Iterator[Hold]:
    path = folder / OWNER
    mine = json.dumps({"host": socket.gethostname(), "pid": os.getpid(), "token": uuid4().hex})
    with whole_file(path) as file:
        file.write(mine.encode())

    def check() -> None:
        found = _read(path)
        if found == mine or (not found and _may_be_there(path)):
            return
        who = json.loads(found) if found else None
        trains = f"process {who['pid']} on {who['host']} trains in it now" if who else _HAS_TRAINED
        raise UsageError(
            f"{folder}: {trains}, and this file system knows no locks; this process has ended for "
            "the other's sake"
        )

    warning = f"{folder}: this file system knows no locks; whoever trains in it next, ends this run"
    try:
        yield Hold(check, warning)
    finally:
        if _read(path) == mine:
            _delete(path)


def _barred(folder: Path, error: OSError) -> Hold:
    lock, hint = folder / LOCK, None
    if isinstance(error, PermissionError) and lock.exists():
        hint = f"{lock} is another user's: it may be deleted once nobody trains there"
    return Hold(problem=error, hint=hint)


def _read(path: Path) -> str:
    with suppress(OSError):
        return path.read_text()
    return ""


def _may_be_there(path: Path) -> bool:
    """False where a file is gone; True where it is there, or its disk does not answer."""
    try:
        path.stat()
    except FileNotFoundError:
        return False
    except OSError:
        pass
    return True


def _delete(path: Path) -> None:
    with suppress(OSError):
        path.unlink()

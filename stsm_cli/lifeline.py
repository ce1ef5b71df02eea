"""Processes end when the one that started them is gone, however that one ended.

A child waits, in a thread, for the end of a pipe whose other end only its parent holds: the system
closes it at once, whatever kills the parent, and for every kind of child. (Its parent's number
would not do: between a worker and the process that wants it may stand a server.)
"""

import multiprocessing
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection, wait
from pathlib import Path
from threading import Thread

TIED = "STSM_TIED"  # set in the environment of a command whose standard input is a `tie`
GRACE_SECONDS = 10.0  # ours: to save in; longer than a step and a checkpoint take


def end_with_parent(
    *, pipe: Connection | None = None, grace_seconds: float = 0.0, remains: Path | None = None
) -> None:
    """End this process, which `multiprocessing` started, as soon as its parent is gone.

    Args:
        pipe: Closed by the parent alone; None: `multiprocessing`'s own, which will not do for
            forked processes, for each of them holds the ends of those before it.
        grace_seconds: After SIGTERM, to end by itself.
        remains: A folder of the parent's, deleted then: a killed parent could not.
    """
    parent = multiprocessing.parent_process()
    assert parent is not None
    ends = pipe or parent.sentinel

    def watch() -> None:
        wait([ends])
        _end(grace_seconds)
        if remains is not None:
            shutil.rmtree(remains, ignore_errors=True)
        os._exit(1)

    _in_background(watch)


@contextmanager
def tie() -> Iterator[int]:
    """Standard input for commands of this program, which end with this process, or the block.

    They need `TIED` in their environment.
    """
    read, write = os.pipe()
    try:
        yield read
    finally:
        os.close(read)
        os.close(write)


def heed_tie() -> None:
    """End this process when the one that started it through a `tie` is gone."""
    if os.environ.pop(TIED, None) is None:  # nor do its own children inherit it
        return

    def watch() -> None:
        with suppress(OSError):
            os.read(0, 1)  # trap: sys.stdin would be locked when Python ends
        _end(GRACE_SECONDS)
        os._exit(1)

    _in_background(watch)


def end_readers() -> None:
    """End the processes that read ahead for this one: no one waits until they have read it all."""
    for child in multiprocessing.active_children():
        if child.daemon:
            child.kill()


def _end(grace_seconds: float) -> None:
    if grace_seconds:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(grace_seconds)


def _in_background(watch: Callable[[], None]) -> None:
    Thread(target=watch, name="lifeline", daemon=True).start()

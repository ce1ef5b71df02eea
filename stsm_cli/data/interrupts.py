"""Ctrl-C reaches every process of a terminal; children leave it to their parent."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker


@contextmanager
def children_ignore_ctrl_c() -> Iterator[None]:
    """Processes started inside finish what they do at Ctrl-C and leave it to their parent.

    The parent gets it behind the block.
    """
    if threading.current_thread() is not threading.main_thread() or not hasattr(
        signal, "pthread_sigmask"
    ):
        yield  # only the main thread may set handlers, and only it receives Ctrl-C
        return
    resource_tracker.ensure_running()  # trap: it unblocks the signal as it starts
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # children inherit that
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)

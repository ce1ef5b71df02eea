"""Work that may never end, and is given up after a time.

It is done in a thread, which is left behind where it hangs; decoders let other threads run
meanwhile. Threads are kept for the next work: each new one would take memory of its own (an arena
of glibc's, 5 MB) that the process never returns.
"""

import os
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from threading import Thread
from typing import Any, TypeVar

T = TypeVar("T")


class _Worker(Thread):
    """A thread that works off `jobs`; it does not keep the process alive."""

    def __init__(self) -> None:
        super().__init__(name="within a deadline", daemon=True)
        self.jobs: SimpleQueue[tuple[Future[Any], Callable[[], Any]]] = SimpleQueue()
        self.start()

    def run(self) -> None:
        while True:
            outcome, work = self.jobs.get()
            try:
                outcome.set_result(work())
            except BaseException as error:  # raised again where the outcome is asked for
                outcome.set_exception(error)
            del outcome, work  # nothing outlives its reader


_idle: list[_Worker] = []
if hasattr(os, "register_at_fork"):  # a forked process has none of its parent's threads
    os.register_at_fork(after_in_child=_idle.clear)


def within(seconds: float, work: Callable[[], T]) -> T:
    """What `work` gives or raises.

    Raises:
        concurrent.futures.TimeoutError: It has not ended after so many seconds; it still runs.
    """
    try:
        worker = _idle.pop()
    except IndexError:
        worker = _Worker()
    outcome: Future[T] = Future()
    worker.jobs.put((outcome, work))
    try:
        return outcome.result(seconds)
    finally:
        if outcome.done():
            _idle.append(worker)

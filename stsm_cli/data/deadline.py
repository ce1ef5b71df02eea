"""Work that may stand still, and is given up then.

Time is measured from one sign of life to the next: work that gets ahead, however slowly on a busy
machine, is never given up. It is done in a thread, which is left behind where it hangs; decoders
let other threads run meanwhile. Threads are kept for the next work: each new one would take memory
of its own (an arena of glibc's, 5 MB) that the process never returns.
"""

import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from concurrent.futures import TimeoutError as FutureTimeoutError  # its own class before 3.11
from contextlib import contextmanager
from queue import SimpleQueue
from threading import Thread, current_thread
from typing import Any, TypeVar

T = TypeVar("T")

_LATE_SECONDS = 1.0  # after which waiting itself was held up


class _Worker(Thread):
    """A thread that works off `jobs`; it does not keep the process alive."""

    def __init__(self) -> None:
        super().__init__(name="within a deadline", daemon=True)
        self.jobs: SimpleQueue[tuple[Future[Any], Callable[[], Any]]] = SimpleQueue()
        self.heard, self.is_given_up = 0.0, False
        self.start()

    def run(self) -> None:
        while True:
            outcome, work = self.jobs.get()
            try:
                outcome.set_result(work())
            except BaseException as error:  # raised again where the outcome is asked for
                outcome.set_exception(error)
            del outcome, work  # nothing outlives its reader


_listeners: list[Callable[[], None]] = []
_idle: list[_Worker] = []
_busy: set[_Worker] = set()
if hasattr(os, "register_at_fork"):  # a forked process has none of its parent's threads
    os.register_at_fork(after_in_child=_idle.clear)


def also_tell(listener: Callable[[], None]) -> None:
    """Have `alive` call `listener`, too, in whatever thread: this process is watched itself."""
    _listeners.append(listener)


def alive() -> None:
    """Say that the work goes on, from the thread that does it.

    Raises:
        TimeoutError: The work has been given up: it may end.
    """
    worker = current_thread()
    if isinstance(worker, _Worker):
        worker.heard = time.monotonic()
        if worker.is_given_up:
            raise FutureTimeoutError
    for listener in _listeners:
        listener()


def within(seconds: float, work: Callable[[], T]) -> T:
    """The result of `work`, or its error.

    Raises:
        concurrent.futures.TimeoutError: It gave no sign of life for so many seconds.
    """
    try:
        worker = _idle.pop()
    except IndexError:
        worker = _Worker()
    outcome: Future[T] = Future()
    worker.heard, worker.is_given_up = time.monotonic(), False
    _busy.add(worker)
    worker.jobs.put((outcome, work))
    try:
        _await(outcome, worker, seconds)
    except BaseException:
        worker.is_given_up = True
        raise
    finally:
        _busy.discard(worker)
    _idle.append(worker)
    return outcome.result()


@contextmanager
def pool_of(threads: int) -> Iterator[ThreadPoolExecutor]:
    """Threads that stop where an error, such as Ctrl-C, ends the block.

    What waits is dropped then, and what is done within a deadline ends at its next sign of life.
    """
    with ThreadPoolExecutor(threads) as pool:
        try:
            yield pool
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for worker in tuple(_busy):
                worker.is_given_up = True
            raise


def _await(outcome: Future[Any], worker: _Worker, seconds: float) -> None:
    while not outcome.done():
        asked = time.monotonic()
        patience = worker.heard + seconds - asked
        if patience <= 0:
            raise FutureTimeoutError
        wait([outcome], patience)
        if time.monotonic() - asked > patience + _LATE_SECONDS:  # Ctrl-Z: all slept
            worker.heard = time.monotonic()

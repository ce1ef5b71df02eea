"""Ctrl-C and SIGTERM end a command by an error in the main thread, which tidies up.

While a module is imported they wait: of what is raised then, some of it is lost in C code that
clears whatever error it finds, and the command would go on as if nothing had been said.
"""

import signal
import threading
import time
from _thread import interrupt_main
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

TWICE_SECONDS = 1.0  # ours: `timeout` and others tell a process, then its group: it, once more
AGAIN_SECONDS = 0.05
IMPORT_SECONDS = 10.0  # ours: no module takes as long; then it is raised all the same

Handler = Callable[[int, FrameType | None], None]


@contextmanager
def sigterm_raises(error: Callable[[], BaseException]) -> Iterator[None]:
    """While the block runs, SIGTERM raises `error()`; what is told twice at once ends it once."""
    told_at = -TWICE_SECONDS

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal told_at
        before, told_at = told_at, time.monotonic()
        if told_at - before >= TWICE_SECONDS:
            raise error()

    with _handling(signal.SIGTERM, stop):
        yield


@contextmanager
def ctrl_c_raises() -> Iterator[None]:
    """While the block runs, Ctrl-C raises `KeyboardInterrupt`, where it did so before."""
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield  # a shell's background jobs do not hear it
        return
    with _handling(signal.SIGINT, signal.default_int_handler):
        yield


@contextmanager
def _handling(number: signal.Signals, handler: Handler) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may set handlers
        return
    previous = signal.signal(number, _after_imports(handler))
    try:
        yield
    finally:
        signal.signal(number, previous)


def _after_imports(handler: Handler) -> Handler:
    """The handler, called when no module is being imported any more."""
    first_told: float | None = None

    def wait_or_handle(number: int, frame: FrameType | None) -> None:
        nonlocal first_told
        first_told = first_told or time.monotonic()
        if _is_importing(frame) and time.monotonic() - first_told < IMPORT_SECONDS:
            again = threading.Timer(AGAIN_SECONDS, _tell_main_thread, (number,))
            again.daemon = True
            again.start()
            return
        first_told = None
        handler(number, frame)

    return wait_or_handle


def _is_importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename == "<frozen importlib._bootstrap>":
            return True
        frame = frame.f_back
    return False


def _tell_main_thread(number: int) -> None:
    if hasattr(signal, "pthread_kill"):  # wakes it, too
        main = threading.main_thread().ident
        assert main is not None
        signal.pthread_kill(main, number)
    else:
        interrupt_main(number)

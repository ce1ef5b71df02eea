"""Ctrl-C and SIGTERM end a command by an error in the main thread, which tidies up.

An error that comes out of a signal may be lost: where a library clears whatever error it finds, or
in what Python calls as an object goes. Imports do both. So it is watched, and raised again.
"""

import math
import signal
import threading
import time
import weakref
from _thread import interrupt_main, start_new_thread
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

TWICE_SECONDS = 1.0  # ours: `timeout` and others tell a process, then its group: it, once more
LOST_SECONDS = 0.25  # between two looks at what was raised
_told: list[Callable[[], BaseException]] = []  # makers of what was raised in the running blocks

Handler = Callable[[int, FrameType | None], None] | signal.Handlers


class CtrlC(KeyboardInterrupt):
    """Ctrl-C; unlike its base it can be watched."""


@contextmanager
def sigterm_raises(error: Callable[[], BaseException]) -> Iterator[None]:
    """While the block runs, SIGTERM raises `error()`; two signals at once raise one error.

    SIGHUP, by which a terminal tells that it is lost, does the same unless `nohup` has it ignored.

    Args:
        error: Makes an error of a class that is written in Python: others cannot be watched.
    """
    with _raising((signal.SIGTERM, *heeded("SIGHUP")), error, TWICE_SECONDS):
        yield


@contextmanager
def ctrl_c_raises() -> Iterator[None]:
    """While the block runs, Ctrl-C raises `CtrlC`, unless it is ignored, as in the background."""
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    with _raising((signal.SIGINT,), CtrlC, 0.0):
        yield


def raise_if_told() -> None:
    """Raise at once what a signal raised in the running block, in case it is lost."""
    if _told:
        raise _told[-1]()


@contextmanager
def _raising(
    numbers: Sequence[signal.Signals], error: Callable[[], BaseException], twice_seconds: float
) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may set handlers
        return
    told_at, is_over = -math.inf, threading.Event()
    ending = threading.Lock()  # behind the block no signal raises any more

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal told_at
        before, told_at = told_at, time.monotonic()
        if told_at - before < twice_seconds:
            return
        raised = error()
        _told.append(error)
        start_new_thread(watch, (weakref.ref(raised), number))
        try:
            raise raised
        finally:
            del raised  # trap: by its traceback it would keep itself

    def watch(raised: "weakref.ref[BaseException]", number: int) -> None:
        nonlocal told_at
        while not is_over.wait(LOST_SECONDS):
            with ending:
                if raised() is None and not is_over.is_set():
                    told_at = -math.inf
                    _tell_main_thread(number)
                    return

    try:
        with handled_by(handle, *numbers):
            try:
                yield
            finally:
                with ending:
                    is_over.set()
    finally:
        _told[:] = [maker for maker in _told if maker is not error]


def heeded(*names: str) -> list[signal.Signals]:
    """Those of the signals that this system has and that are not ignored, as by `nohup`."""
    known = [signal.Signals[name] for name in names if name in signal.Signals.__members__]
    return [number for number in known if signal.getsignal(number) is not signal.SIG_IGN]


@contextmanager
def handled_by(handler: Handler, *numbers: signal.Signals) -> Iterator[None]:
    """While the block runs, these signals have this handler. For the main thread alone."""
    previous = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, before in previous.items():
            signal.signal(number, before)


def signal_name(number: int) -> str:
    """For example `SIGKILL`."""
    try:
        return signal.Signals(number).name
    except ValueError:  # one of the real-time signals, most of which have no name
        return f"signal {number}"


def _tell_main_thread(number: int) -> None:
    if hasattr(signal, "pthread_kill"):  # wakes it, too
        main = threading.main_thread().ident
        assert main is not None
        signal.pthread_kill(main, number)
    else:
        interrupt_main(signal.Signals(number))

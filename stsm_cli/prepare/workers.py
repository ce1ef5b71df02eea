"""Work on files in other processes: one that hangs or dies costs its file, and nothing else.

`concurrent.futures` loses all that is under way when a worker dies, and cannot end one that hangs.
"""

import errno
import multiprocessing
import signal
import time
import traceback
from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from threading import Lock
from typing import Generic, TypeVar

from stsm_cli.data.deadline import also_tell
from stsm_cli.data.interrupts import children_ignore_ctrl_c
from stsm_cli.errors import StsmError
from stsm_cli.lifeline import end_with_parent
from stsm_cli.sigterm import signal_name

Alive = Callable[[], None]
"""Says that the work on a file goes on."""

T = TypeVar("T")
FileWork = Callable[[str, Alive], T]
"""Does what is to be done with a file. Must be picklable; no result is None."""

ALIVE_SECONDS = 1.0  # between two signs of life
START_SECONDS = 600.0  # for a process to start: many at once read Python over a slow network

UNFORESEEN = "internal error: "
"""The beginning of the reason where the program itself is at fault."""

_FOR_ALL_FILES = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO)
_CRASHES = ("SIGSEGV", "SIGABRT", "SIGBUS", "SIGFPE", "SIGILL")  # other signals come from outside
_SPAWN = multiprocessing.get_context("spawn")  # not forked: the caller may run threads


@dataclass(frozen=True)
class Lost:
    """In place of a result: the process hung or died, or the work raised an unforeseen error.

    Attributes:
        reason: Why, in words.
        lasting: Whether the file would do the same again: not where the process was killed from
            outside, most likely because memory was short, or waited, most likely for the disk.
    """

    reason: str
    lasting: bool = True


def work_apart(
    work: FileWork[T], files: Iterable[str], *, workers: int, deadline_seconds: float
) -> Generator[tuple[str, T | Lost], None, None]:
    """Work on files in up to `workers` processes; yields each file with its result, as they end.

    The processes are spawned: a script that calls this needs `if __name__ == "__main__"`. A file
    is given up when it shows no sign of life for `deadline_seconds`.

    Raises:
        OSError: What `work` raised where the disk is full, or closed to all files alike.
        StsmError: A process ended by itself, and not because of its file.
    """
    waiting = deque(files)
    busy: list[_FileWorker[T]] = []
    try:
        for _ in range(min(workers, len(waiting))):
            busy.append(_FileWorker(work, deadline_seconds))
            busy[-1].give(waiting.popleft())
        while busy:
            for worker in _stirring(busy):
                outcome = worker.outcome()
                if outcome is None:
                    continue
                file = worker.file
                if waiting:
                    worker.give(waiting.popleft())
                else:
                    busy.remove(worker)
                    worker.stop()
                yield file, outcome
    finally:
        for worker in busy:
            worker.stop()


class _FileWorker(Generic[T]):
    """A process, replaced when it is lost, and the file that it works on."""

    def __init__(self, work: FileWork[T], deadline_seconds: float) -> None:
        self._work, self._deadline_seconds = work, deadline_seconds
        self._start()

    def _start(self) -> None:
        self.connection, theirs = _SPAWN.Pipe()
        self._process = _SPAWN.Process(target=_serve, args=(self._work, theirs), daemon=True)
        with children_ignore_ctrl_c():
            self._process.start()
        theirs.close()  # or its end would not be noticed
        self._is_up = False

    def give(self, file: str) -> None:
        if self.connection.closed:
            self._start()
        self.file = file
        self.wait_anew()
        with suppress(BrokenPipeError):  # it has died, which `outcome` tells
            self.connection.send(file)

    def outcome(self) -> T | Lost | None:
        """The result of the file; None: nothing yet."""
        if self.connection.poll():
            return self._receive()
        if time.monotonic() < self.late:
            return None
        self.stop()
        return Lost(f"no frame came within {self._deadline_seconds:g} s", lasting=False)

    def wait_anew(self) -> None:
        """Let the deadline begin now."""
        patience = self._deadline_seconds if self._is_up else START_SECONDS
        self.late = time.monotonic() + patience

    def _receive(self) -> T | Lost | None:
        try:
            message: T | Lost | OSError | None = self.connection.recv()
        except (EOFError, OSError):  # the latter: it died while it sent
            return self._death()
        if isinstance(message, OSError):
            raise message
        self._is_up = True
        self.wait_anew()
        return message

    def _death(self) -> Lost:
        self._process.join()
        code = self._process.exitcode or 0
        self.stop()
        if code in (0, 1):  # Python itself: nothing that a decoder does
            raise StsmError(f"{self.file}: the process that worked on it ended with code {code}")
        name = signal_name(-code) if code < 0 else f"code {code}"
        if code < 0 and name not in _CRASHES:
            return Lost(f"its process was killed ({name})", lasting=False)
        return Lost(f"the decoder crashed ({name})")

    def stop(self) -> None:
        self._process.kill()
        self._process.join()
        self.connection.close()


def _stirring(busy: "Sequence[_FileWorker[T]]") -> "list[_FileWorker[T]]":
    """The workers that have something to tell, or are late; waits for the first."""
    started = time.monotonic()
    patience = max(0.0, min(worker.late for worker in busy) - started)
    heard = wait([worker.connection for worker in busy], patience)
    now = time.monotonic()
    if now - started > patience + ALIVE_SECONDS:  # Ctrl-Z: the workers slept as long
        for worker in busy:
            worker.wait_anew()
    return [worker for worker in busy if worker.connection in heard or worker.late <= now]


def _serve(work: FileWork[T], connection: "Connection[object, str]") -> None:
    """The loop of a worker, until its parent, which alone gets Ctrl-C, ends it or ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_parent()  # at once, not only with the file
    told, sending = 0.0, Lock()

    def send(message: object) -> None:
        with sending:  # a thread that reads says, too, that it goes on
            connection.send(message)

    def alive() -> None:
        nonlocal told
        if time.monotonic() - told > ALIVE_SECONDS:
            told = time.monotonic()
            send(None)

    also_tell(alive)
    with suppress(EOFError, BrokenPipeError):
        send(None)  # started
        while True:
            file = connection.recv()
            send(_outcome(work, file, alive))


def _outcome(work: FileWork[T], file: str, alive: Alive) -> T | Lost | OSError:
    """The result of a file in a form that reaches the parent, which raises the `OSError` again."""
    try:
        return work(file, alive)
    except OSError as error:
        if error.errno in _FOR_ALL_FILES:
            return OSError(error.errno, error.strerror, error.filename)
        return Lost(f"cannot be read or written ({error.strerror or error})", lasting=False)
    except StsmError as error:
        return Lost(str(error), lasting=False)
    except Exception as error:  # one file must not end the command; its reason shows the bug
        place = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(place.filename).name}:{place.lineno}"
        return Lost(f"{UNFORESEEN}{type(error).__name__}: {error} ({where})", lasting=False)

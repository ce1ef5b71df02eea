"""Ctrl-C and SIGTERM while a run goes on: noted at once, heeded at the next step."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from stsm_cli.engine.distributed import current_world
from stsm_cli.engine.runlog import RunFolder
from stsm_cli.errors import InterruptedRunError, PreemptedError, StsmError
from stsm_cli.printable import command_line
from stsm_cli.sigterm import handled_by, heeded

ARRIVAL_SECONDS = 1.0  # ours: a SIGTERM to a whole job reaches its processes one after the other


class StopRequest:
    """Record of a signal that asks this run to stop."""

    def __init__(self, on_ctrl_c: Callable[[], None]) -> None:
        self._on_ctrl_c = on_ctrl_c
        self._noted: signal.Signals | None = None
        self._parent = os.getppid()

    @property
    def signal(self) -> signal.Signals | None:
        """SIGINT (Ctrl-C) or SIGTERM; the latter too if the launcher of the processes is gone."""
        if current_world().size > 1 and os.getppid() != self._parent:
            return signal.SIGTERM
        return self._noted

    def came(self) -> bool:
        """Wait for a signal, which may come a little after the readers ended; tell if it came."""
        deadline = time.monotonic() + ARRIVAL_SECONDS
        while self.signal is None and time.monotonic() < deadline:
            time.sleep(0.01)
        return self.signal is not None

    def note(self, number: int, frame: FrameType | None) -> None:
        """Handle a signal; a second Ctrl-C stops at once. A terminal that is lost is a SIGTERM."""
        self._noted = signal.SIGINT if number == signal.SIGINT else signal.SIGTERM
        if heeded("SIGINT"):
            signal.signal(signal.SIGINT, signal.default_int_handler)
        if number == signal.SIGINT and current_world().is_main:
            self._on_ctrl_c()


@contextmanager
def listening(on_ctrl_c: Callable[[], None] = lambda: None) -> Iterator[StopRequest]:
    """While the block runs, SIGINT, SIGTERM and SIGHUP are only noted; what is ignored stays so.

    Args:
        on_ctrl_c: Called by the handler of the first Ctrl-C, in the first process.
    """
    request = StopRequest(on_ctrl_c)
    if threading.current_thread() is not threading.main_thread():
        yield request  # only the main thread may set handlers
        return
    with handled_by(request.note, *heeded("SIGINT", "SIGTERM", "SIGHUP")):
        yield request


def stopped_by(number: signal.Signals, where: str, folder: RunFolder) -> StsmError:
    """The error that ends the run in `folder`, which is saved: its exit code is 130 or 75."""
    world = current_world()
    several = ("--nproc", world.size) if 1 < world.size == world.local_size else ()
    hint = f"continue with `{command_line(*folder.resume_words, *several)}`"
    if world.size > world.local_size:
        hint += " on every machine, started by torchrun as before"
    told = f"{where}; saved {folder.checkpoint}"
    if number == signal.SIGINT:
        return InterruptedRunError(f"interrupted {told}", hint=hint)
    return PreemptedError(f"stopped by SIGTERM {told}", hint=hint)

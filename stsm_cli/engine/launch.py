"""`--nproc N`: starts the processes of a job on this machine and sees them to their end.

They are what torchrun would start, with its environment variables; several machines need torchrun.
"""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

from stsm_cli.cores import num_cores
from stsm_cli.engine.distributed import LOST
from stsm_cli.errors import InterruptedRunError, PreemptedError, StsmError
from stsm_cli.lifeline import TIED, tie
from stsm_cli.sigterm import handled_by, heeded, signal_name

OTHERS_SECONDS = 10.0  # ours: for the others to end by themselves, once one has failed
POLL_SECONDS = 0.1
STOPPED: dict[signal.Signals, type[StsmError]] = {
    signal.SIGINT: InterruptedRunError,
    signal.SIGTERM: PreemptedError,
}

Process = subprocess.Popen[bytes]


def launch(command: Sequence[str], nproc: int, *, hint: str | None = None) -> int:
    """Run `command` in `nproc` processes that know of each other; their exit code.

    SIGINT and SIGTERM are passed on. Once a process has failed, or at a second Ctrl-C, the others
    have `OTHERS_SECONDS`.

    Args:
        command: What to run.
        nproc: How many times.
        hint: What to do when a process died.

    Raises:
        StsmError: A process died: names it, and its exit code or signal.
        InterruptedRunError: Ctrl-C came before the processes heeded it; or twice, and they did not.
        PreemptedError: So did SIGTERM.
    """
    environment = os.environ | _meeting_place()
    environment |= {"WORLD_SIZE": str(nproc), "LOCAL_WORLD_SIZE": str(nproc), TIED: "1"}
    environment.setdefault("OMP_NUM_THREADS", str(max(1, num_cores() // nproc)))
    processes: list[Process] = []
    with tie() as line, _noted_signals() as noted:
        for rank in map(str, range(nproc)):
            own = {"RANK": rank, "LOCAL_RANK": rank}
            # trap: in the terminal's session, Ctrl-C would reach them twice
            processes.append(
                subprocess.Popen(command, stdin=line, env=environment | own, start_new_session=True)
            )
        stopped = _wait(processes, noted)
    if stopped and noted.count(signal.SIGINT) > 1:
        raise InterruptedRunError("interrupted; processes that did not end were killed", hint=hint)
    return _verdict([process.returncode for process in processes], stopped, hint)


def _meeting_place() -> dict[str, str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1])}


@contextmanager
def _noted_signals() -> Iterator[list[int]]:
    """Yields the signals that have come, to be passed on once all processes are there."""
    noted: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        noted.append(signal.SIGINT if number == signal.SIGINT else signal.SIGTERM)

    with handled_by(note, *heeded("SIGINT", "SIGTERM", "SIGHUP")):
        yield noted


def _wait(processes: Sequence[Process], noted: Sequence[int]) -> set[int]:
    """Wait for all and pass on signals; the ranks of those that had to be killed.

    They went on all the same.
    """
    stopped: set[int] = set()
    deadline = float("inf")
    passed = 0  # of the signals
    while running := [rank for rank, process in enumerate(processes) if process.poll() is None]:
        while passed < len(noted):
            for rank in running:
                processes[rank].send_signal(noted[passed])
            passed += 1
        is_over = any(p.returncode for p in processes) or noted.count(signal.SIGINT) > 1
        if is_over and deadline == float("inf"):
            deadline = time.monotonic() + OTHERS_SECONDS
        if time.monotonic() > deadline:
            for rank in running:
                processes[rank].kill()
            stopped.update(running)
        time.sleep(POLL_SECONDS)
    return stopped


def _verdict(codes: Sequence[int], stopped: set[int], hint: str | None) -> int:
    """The job's exit code; an error where no process has told what happened."""
    if not any(codes) or (codes[0] > 0 and codes[0] != LOST):
        return codes[0]
    for rank, code in enumerate(codes):
        if code in (0, LOST) or rank in stopped:
            continue
        for signal_number, stopped_error in STOPPED.items():
            if code in (-signal_number, stopped_error.exit_code):
                raise stopped_error(f"stopped by {signal_name(signal_number)}", hint=hint)
        how = f"ended with exit code {code}" if code > 0 else f"was killed by {signal_name(-code)}"
        raise StsmError(f"process {rank} of {len(codes)} {how}; the others were stopped", hint=hint)
    raise StsmError("the processes of the run lost each other", hint=hint)

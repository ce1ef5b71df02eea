"""Several processes that train one model: who this one is, and what it tells the others.

Gradients travel over NCCL where there are GPUs; numbers, flags and errors over gloo. Where a
process is alone nothing travels, and torch is not even imported.
"""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

from stsm_cli.errors import StsmError, UsageError
from stsm_cli.sigterm import handled_by, heeded

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup

Value = TypeVar("Value")

TIMEOUT = timedelta(minutes=30)  # ours: longer than one process works while others wait, but for
PATIENCE = timedelta(days=30)  # a whole data set to make or to measure: there as long as it takes
TELLING_SECONDS = 1.0
LETTING_GO_SECONDS = 0.1
LOST = 3  # exit code of a process after another one ended; the launcher says which, and why


@dataclass(frozen=True)
class World:
    """This process among those of a job started by torchrun; alone without it."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1

    @property
    def is_main(self) -> bool:
        """Tell whether this process writes files and prints."""
        return self.rank == 0


def current_world() -> World:
    """Who this process is, from the environment that torchrun sets.

    Raises:
        UsageError: That holds no numbers.
    """
    defaults = {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "1"}
    values = {name: os.environ.get(name, default) for name, default in defaults.items()}
    for name, value in values.items():
        if not value.isdecimal():
            raise UsageError(
                f"{name}={value}: must be a whole number",
                hint="start the processes with torchrun, or unset it",
            )
    return World(*map(int, values.values()))


@contextmanager
def joined() -> Iterator[World]:
    """This process, connected to the others of its job while the block runs.

    Raises:
        UsageError: The environment names a job, but not where its processes meet.
        StsmError: The port is taken; or a process gives no answer for `TIMEOUT`, in `first_alone`
            for `PATIENCE`.
        SystemExit: Another process ended (code `LOST`); the launcher says so.
    """
    world = current_world()
    if world.size == 1:
        yield world
        return
    missing = sorted({"MASTER_ADDR", "MASTER_PORT"} - os.environ.keys())
    if missing:
        verb = "is" if len(missing) == 1 else "are"
        raise UsageError(
            f"WORLD_SIZE is {world.size}, but {' and '.join(missing)} {verb} not set",
            hint="start the processes with torchrun, or unset WORLD_SIZE",
        )
    import torch
    import torch.distributed as dist

    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    try:
        with _ended_by_signals():
            dist.init_process_group(backend, timeout=TIMEOUT)
        try:
            yield world
        except SystemExit:  # the launcher ends all processes when the first one ends:
            time.sleep(TELLING_SECONDS)  # it must be the one that says why
            raise
        finally:
            # trap: torch 2.6 waits for gloo's threads, and these, where they have only just sent
            # something, for Python's lock, which this thread would hold meanwhile
            time.sleep(LETTING_GO_SECONDS)
            dist.destroy_process_group()
    except RuntimeError as error:
        raise _without_the_others(error) from None


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """While the block waits inside torch, where Python's handlers never run, signals end it all."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may set handlers
        return
    with handled_by(signal.SIG_DFL, *heeded("SIGINT", "SIGTERM", "SIGHUP")):
        yield


def _without_the_others(error: RuntimeError) -> BaseException:
    """Exception to raise for an error of torch: itself, unless another process caused it."""
    import torch.distributed as dist

    text = str(error)
    if not isinstance(error, dist.DistError) and "gloo/" not in text:
        return error
    if "EADDRINUSE" in text:
        return StsmError(
            f"port {os.environ['MASTER_PORT']}, where the processes are to meet, is taken",
            hint="try again, with another MASTER_PORT where you choose it",
        )
    if "Timed out" in text or "timed out" in text:
        return told_once(
            StsmError(f"another process of the run gave no answer for {TIMEOUT} (h:mm:ss)")
        )
    return SystemExit(LOST)


def told_once(error: StsmError) -> BaseException:
    """Exception to raise where all processes fail: `error` in the first, an exit in the others."""
    return error if current_world().is_main else SystemExit(error.exit_code)


@contextmanager
def together(group: "ProcessGroup | None" = None) -> Iterator[None]:
    """A block that fails in every process if it fails in one; the first process says why.

    Args:
        group: Of all processes, with its own limit of waiting; None: the one of `joined`.
    """
    world = current_world()
    problem = None
    try:
        yield
    except StsmError as error:
        problem = error
    problems = gather_objects(problem, group)
    first = next((rank for rank, found in enumerate(problems) if found is not None), None)
    if first is None:
        return
    problem = problems[first]
    assert problem is not None
    if first > 0:
        where = f"process {first} of {world.size}"
        problem = type(problem)(f"{where}: {problem}", hint=problem.hint)
    raise told_once(problem)


def first_alone(work: Callable[[], Value]) -> Value:
    """The result of `work`, which the first process does before the others begin.

    These wait as long as it takes: it may make a data set, or measure the motion of one.

    Raises:
        StsmError: It fails somewhere; see `together`.
    """
    results, group = [], _patient_group()
    for is_turn in (current_world().is_main, not current_world().is_main):
        with together(group):
            if is_turn:
                results.append(work())
    return results[0]


def _patient_group() -> "ProcessGroup | None":
    """All processes, with `PATIENCE` for each other; None where there is one."""
    if current_world().size == 1:
        return None
    import torch.distributed as dist

    group = dist.new_group(timeout=PATIENCE, backend="gloo")
    assert not isinstance(group, int)  # as where a process is no member
    return group


def gather_objects(value: Value, group: "ProcessGroup | None" = None) -> list[Value]:
    """The values of all processes in order of rank, on every one; `[value]` where there is one.

    Args:
        value: This process's.
        group: As in `together`.
    """
    if current_world().size == 1:
        return [value]
    import torch.distributed as dist

    gathered: list[Value] = [value] * dist.get_world_size()
    dist.all_gather_object(gathered, value, group=group)
    return gathered


def sum_over_processes(values: Sequence[float]) -> list[float]:
    """Each of `values` summed over all processes, on every one."""
    if current_world().size == 1:
        return list(values)
    import torch
    import torch.distributed as dist

    total = torch.tensor(values, dtype=torch.float64)
    dist.all_reduce(total)
    summed: list[float] = total.tolist()
    return summed

"""Independent runs side by side, one process and one CPU thread each.

Small networks gain little from several threads and lose much where other work shares the cores; one
thread a run also makes results independent of the number of cores. Processes are forked, so all
share what the parent has read into memory.
"""

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkProcess
from typing import Any

import torch

from stsm_cli.errors import InterruptedRunError, PreemptedError, StsmError
from stsm_cli.lifeline import GRACE_SECONDS, end_with_parent
from stsm_cli.sigterm import heeded, sigterm_raises

_HELD = ("SIGINT", "SIGTERM", "SIGHUP")
TaskWork = Callable[[int, Callable[[Any], None]], Any]
"""Function that does the task of this number, reports news on the way, and returns its result."""


def run_side_by_side(
    num_tasks: int,
    work: TaskWork,
    *,
    jobs: int,
    on_news: Callable[[int, Any], None],
    on_ctrl_c: Callable[[], None] = lambda: None,
    called: Callable[[int], str] = lambda task: f"run {task + 1}",
) -> Iterator[tuple[int, Any]]:
    """Do tasks 0 to `num_tasks` - 1, up to `jobs` at a time, and yield each number and result.

    With one job the tasks run in this process, with all its threads. Otherwise this process must
    not have used CUDA. Tasks end when this process is gone.

    Args:
        on_ctrl_c: Called before the tasks that run are told; a second Ctrl-C kills them.
        called: What a task is called in an error.

    Raises:
        StsmError: A task failed or died; the others are stopped as by Ctrl-C and may save.
        InterruptedRunError: Ctrl-C; every running task was told and has ended.
        PreemptedError: SIGTERM; the same.
    """
    if jobs == 1 or not hasattr(os, "fork"):
        for task in range(num_tasks):
            yield task, work(task, partial(on_news, task))
        return
    running: dict[Connection, tuple[int, ForkProcess]] = {}
    waiting = list(range(num_tasks))
    alive, held = multiprocessing.Pipe(duplex=False)
    with alive, held, sigterm_raises(_preempted):
        try:
            while waiting or running:
                while waiting and len(running) < jobs:
                    task = waiting.pop(0)
                    with _signals_held():
                        child = partial(_child, task, work, called(task), (alive, held))
                        connection, process = _start(child, list(running))
                        running[connection] = task, process
                for ready in wait(list(running)):
                    assert isinstance(ready, Connection)
                    task, process = running[ready]
                    is_result, content = _receive(ready, called(task))
                    if is_result:
                        process.join()
                        del running[ready]
                        yield task, content
                    else:
                        on_news(task, content)
        except KeyboardInterrupt:
            on_ctrl_c()
            raise InterruptedRunError("interrupted; the runs that had begun are saved") from None
        finally:
            _stop({connection: process for connection, (_, process) in running.items()})


def _preempted() -> PreemptedError:
    return PreemptedError("stopped by SIGTERM; the runs that had begun are saved")


@contextmanager
def _signals_held() -> Iterator[None]:
    """Hold signals back: a child that got one before its work begins would act as the parent."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, heeded(*_HELD))
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _start(
    child: Callable[[Connection, Sequence[Connection]], None], others: Sequence[Connection]
) -> tuple[Connection, ForkProcess]:
    """Start a child with its end of a pipe, and all that the parent reads."""
    ours, theirs = multiprocessing.Pipe(duplex=False)
    ends = (theirs, [ours, *others])
    process = multiprocessing.get_context("fork").Process(target=child, args=ends)
    process.start()
    theirs.close()
    return ours, process


def _child(
    task: int,
    work: TaskWork,
    name: str,
    life: tuple[Connection, Connection],
    connection: Connection,
    parents: Sequence[Connection],
) -> None:
    os.setpgrp()  # the terminal's Ctrl-C goes to the parent alone, which tells each child once
    torch.set_num_threads(1)
    alive, held = life
    for end in (held, *parents):
        end.close()  # so that the parent alone holds it
    end_with_parent(pipe=alive, grace_seconds=GRACE_SECONDS)

    def tell(news: Any) -> None:  # noqa: ANN401
        with suppress(OSError):  # nobody reads: this run is being stopped, or the parent was killed
            connection.send((False, news))

    try:
        for number in heeded("SIGTERM", "SIGHUP"):
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)  # even if the parent has none
        signal.pthread_sigmask(signal.SIG_UNBLOCK, heeded(*_HELD))
        outcome = _outcome(task, work, name, tell)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent stops a run that has ended, too
    except KeyboardInterrupt:
        outcome = InterruptedRunError("interrupted")
    with suppress(OSError):  # likewise
        connection.send(outcome)


def _outcome(
    task: int, work: TaskWork, name: str, tell: Callable[[Any], None]
) -> tuple[bool, Any] | StsmError:
    try:
        return True, work(task, tell)
    except StsmError as error:
        return error
    except Exception as error:  # the parent reports it in one line
        return StsmError(f"{name} failed: {type(error).__name__}: {error}")


def _receive(connection: Connection, name: str) -> tuple[bool, Any]:
    """Receive from a child: whether it is the result, and the result or the news."""
    try:
        received = connection.recv()
    except (EOFError, OSError):  # the latter: it died while it sent
        hint = "where memory ran out, fewer --jobs or --workers take less"
        raise StsmError(f"the process of {name} was killed", hint=hint) from None
    if isinstance(received, StsmError):
        raise received
    is_result, content = received
    return is_result, content


def _stop(running: Mapping[Connection, ForkProcess]) -> None:
    processes = running.values()
    try:
        for connection, process in running.items():
            if process.is_alive() and process.pid is not None:
                os.kill(process.pid, signal.SIGINT)
            connection.close()  # else one that sends much would wait for ever to be read
        for process in processes:
            process.join()
    except BaseException:  # a second Ctrl-C: they take too long for the user
        for process in processes:
            process.kill()
            process.join()
        raise

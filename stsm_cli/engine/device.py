"""The device a run uses, and the processes that read for it."""

import re
from typing import TYPE_CHECKING

from stsm_cli.cores import num_cores
from stsm_cli.engine.distributed import World, current_world
from stsm_cli.errors import UsageError

if TYPE_CHECKING:
    import torch

MOST_WORKERS = 8  # ours: a process; more seldom help, and each holds memory


def check_device(name: str) -> None:
    """Refuse what is a device nowhere; told before torch is imported.

    Raises:
        UsageError: It is none.
    """
    if not re.fullmatch(r"auto|(cpu|cuda)(:\d+)?", name):
        raise UsageError(
            f"--device {name}: not available here", hint="use auto, cpu, cuda or cuda:N"
        )


def choose_device(name: str) -> "torch.device":
    """`auto` is a CUDA device where there is one, and the CPU elsewhere.

    Of several processes on a machine, each has a CUDA device of its own.

    Raises:
        UsageError: There is no such device here, or it would be shared.
    """
    check_device(name)
    import torch

    world = current_world()
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if world.size > 1 and name.startswith("cuda"):
        name = _own_device(name, world)
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError):
        there = "cpu, cuda or cuda:N" if torch.cuda.is_available() else "cpu"
        raise UsageError(
            f"--device {name}: not available here", hint=f"use auto, or {there}"
        ) from None
    if device.index is not None and device.type == "cuda":
        torch.cuda.set_device(device)  # collectives run on the current one
    return device


def _own_device(name: str, world: World) -> str:
    import torch

    if name != "cuda":
        raise UsageError(
            f"--device {name}: is one device, and this is process {world.rank} of {world.size}",
            hint="use cuda: each process takes the device of its own number",
        )
    if not torch.cuda.is_available():
        raise UsageError(f"--device {name}: not available here", hint="use auto, or cpu")
    if world.local_rank >= torch.cuda.device_count():
        raise UsageError(
            f"--device cuda: this machine has {torch.cuda.device_count()} "
            f"for at least {world.local_rank + 1} processes",
            hint="start as many processes as there are devices",
        )
    return f"cuda:{world.local_rank}"


def choose_workers(wanted: int | None) -> int:
    """Processes that read videos for this one: what is wanted, or this one's share of the cores.

    The share is at most `MOST_WORKERS`.
    """
    if wanted is not None:
        return wanted
    return min(MOST_WORKERS, max(1, num_cores() // current_world().local_size))

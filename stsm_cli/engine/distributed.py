"""Several processes that train one model: who this one is, and what it tells the others."""

import os
from dataclasses import dataclass
from typing import TypeVar

import torch.distributed as dist

T = TypeVar("T")


@dataclass(frozen=True)
class World:
    """This process among those of a job started by torchrun; alone without it."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0

    @property
    def is_main(self) -> bool:
        """Whether this process writes files and talks."""
        return self.rank == 0


def current_world() -> World:
    """Who this process is, from the environment that torchrun sets."""
    defaults = {"RANK": 0, "WORLD_SIZE": 1, "LOCAL_RANK": 0}
    return World(*(int(os.environ.get(name, default)) for name, default in defaults.items()))


def gather_objects(value: T) -> list[T]:
    """The values of all processes in order of rank, on every one; `[value]` where there is one."""
    if not dist.is_initialized():
        return [value]
    gathered: list[T] = [value] * dist.get_world_size()
    dist.all_gather_object(gathered, value)
    return gathered

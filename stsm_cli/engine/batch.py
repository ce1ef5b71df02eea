"""How a batch is shared out among processes and parts, and the learning rate that goes with it."""

from dataclasses import dataclass

from stsm_cli.config.schema import OptimConfig
from stsm_cli.errors import RecipeError


@dataclass(frozen=True)
class BatchPlan:
    """An optimiser step's batch: `num_processes` × `num_parts` × `num_videos` videos."""

    batch_size: int
    num_processes: int
    num_parts: int
    num_videos: int
    lr: float

    def __str__(self) -> str:
        return (
            f"batch {self.batch_size} = {_count(self.num_processes, 'process', 'processes')} x "
            f"{_count(self.num_parts, 'part', 'parts')} x "
            f"{_count(self.num_videos, 'video', 'videos')}, lr {self.lr:.4g}"
        )


def plan_batch(config: OptimConfig, num_processes: int) -> BatchPlan:
    """The shares of a batch when `num_processes` train.

    Raises:
        RecipeError: They cannot be equal.
    """
    num_shares = num_processes * config.accumulate
    if config.batch_size % num_shares:
        raise RecipeError(
            f"optim.batch_size ({config.batch_size}) cannot be shared equally among "
            f"{num_processes} processes x {config.accumulate} parts",
            hint=f"make it a multiple of {num_shares}",
        )
    num_videos = config.batch_size // num_shares
    return BatchPlan(
        config.batch_size, num_processes, config.accumulate, num_videos, peak_lr(config)
    )


def peak_lr(config: OptimConfig) -> float:
    """The recipe's learning rate, scaled linearly from `lr_batch_size` to `batch_size`."""
    return config.lr * config.batch_size / config.lr_batch_size


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"

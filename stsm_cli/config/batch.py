"""Division of a batch among processes and parts, and the learning rate that goes with it."""

from dataclasses import dataclass

from stsm_cli.config.regularisation import LossConfig
from stsm_cli.config.schema import OptimConfig, Recipe
from stsm_cli.errors import RecipeError
from stsm_cli.printable import counted


@dataclass(frozen=True)
class BatchPlan:
    """An optimiser step's batch: `num_processes` × `num_parts` × `num_videos` videos.

    Attributes:
        batch_size: Of a step: the recipe's, or all training videos where these are fewer.
        num_processes: That train.
        num_parts: Of each process, one after the other.
        num_videos: Of a part; where parts differ, by one, of the larger ones.
        lr: Peak learning rate, that of `batch_size`.
        steps_per_epoch: None where the videos are not counted yet.
        num_left_out: Videos that an epoch's last, incomplete batch would hold; others each time.
        wanted: The recipe's `optim.batch_size`.
    """

    batch_size: int
    num_processes: int
    num_parts: int
    num_videos: int
    lr: float
    steps_per_epoch: int | None
    num_left_out: int
    wanted: int

    @property
    def num_shares(self) -> int:
        """Parts of all processes together."""
        return self.num_processes * self.num_parts

    @property
    def lack(self) -> str | None:
        """Why a part of a step would hold no video; None where each holds one."""
        if self.batch_size >= self.num_shares:
            return None
        return (
            f"{self.batch_size} training videos are too few for "
            f"{counted(self.num_processes, 'process', 'processes')} x "
            f"{counted(self.num_parts, 'part')} (optim.accumulate)"
        )

    def __str__(self) -> str:
        is_all = self.batch_size < self.wanted
        why = f" (all training videos, of {self.wanted} that the recipe asks for)" if is_all else ""
        most = "" if self.num_videos * self.num_shares == self.batch_size else "up to "
        text = (
            f"batch {self.batch_size}{why} = {counted(self.num_processes, 'process', 'processes')} "
            f"x {counted(self.num_parts, 'part')} x "
            f"{most}{counted(self.num_videos, 'video')}, lr {self.lr:.4g}"
        )
        if self.steps_per_epoch is None:
            return text
        text += f"; {counted(self.steps_per_epoch, 'step')} an epoch"
        left_out = counted(self.num_left_out, "video")
        return f"{text}, each epoch without {left_out}" if self.num_left_out else text


def plan_batch(
    config: OptimConfig, num_processes: int, num_training: int | None = None
) -> BatchPlan:
    """The shares of a batch when `num_processes` train on `num_training` videos.

    Raises:
        RecipeError: They cannot be equal.
    """
    num_shares = num_processes * config.accumulate
    if config.batch_size % num_shares:
        raise RecipeError(
            f"optim.batch_size ({config.batch_size}) cannot be shared equally among "
            f"{counted(num_processes, 'process', 'processes')} x "
            f"{counted(config.accumulate, 'part')}",
            hint=f"make it a multiple of {num_shares}, or take another number of processes",
        )
    size = batch_size(config, num_training)
    steps = None if num_training is None else num_training // size
    return BatchPlan(
        batch_size=size,
        num_processes=num_processes,
        num_parts=config.accumulate,
        num_videos=-(-size // num_shares),
        lr=peak_lr(config, num_training),
        steps_per_epoch=steps,
        num_left_out=0 if num_training is None else num_training % size,
        wanted=config.batch_size,
    )


def check_spread(recipe: Recipe, plan: BatchPlan) -> None:
    """Refuse a batch whose smallest part holds no video, or shows batch norms a single value.

    Raises:
        RecipeError: It does.
    """
    if plan.lack:
        raise RecipeError(plan.lack)
    if problem := recipe.without_spread(plan.batch_size // plan.num_shares):
        step = f"{counted(plan.batch_size, 'video')} in {counted(plan.num_shares, 'part')}"
        hint = "fewer processes, a smaller optim.accumulate or more videos make larger ones"
        raise RecipeError(problem, hint=f"a step takes {step}: {hint}")


def check_processes(recipe: Recipe, num_processes: int) -> None:
    """Refuse a batch that so many processes cannot share.

    Raises:
        RecipeError: The shares are not equal, or a part has no spread.
    """
    check_spread(recipe, plan_batch(recipe.optim, num_processes))


def batch_size(config: OptimConfig, num_training: int | None = None) -> int:
    """Videos of an optimiser step: the recipe's, but no more than there are."""
    return config.batch_size if num_training is None else min(config.batch_size, num_training)


def peak_lr(config: OptimConfig, num_training: int | None = None) -> float:
    """The recipe's learning rate, scaled linearly from `lr_batch_size` to what a step holds."""
    return config.lr * batch_size(config, num_training) / config.lr_batch_size


def slow_average(config: OptimConfig, plan: BatchPlan) -> list[str]:
    """A warning where the average of the weights outlives the run; else none."""
    if config.ema_decay is None or plan.steps_per_epoch is None:
        return []
    remembered, steps = 1 / (1 - config.ema_decay), config.epochs * plan.steps_per_epoch
    if remembered < steps:
        return []
    return [
        f"warning: optim.ema_decay {config.ema_decay} remembers about {remembered:,.0f} steps and "
        f"the run has {steps:,}: its average stays near the weights of its first step"
    ]


def mixes_nothing(config: LossConfig, plan: BatchPlan) -> list[str]:
    """A warning for each kind of mixing where no video has a neighbour in its part; else none."""
    if plan.num_videos > 1:
        return []
    return [
        f"warning: loss.{key} {alpha} has no effect: a part of a batch is one video"
        for key in ("mixup_alpha", "cutmix_alpha")
        if (alpha := getattr(config, key)) is not None
    ]

"""The boards that a run's curves go to, by the options of `stsm train`."""

from dataclasses import dataclass

from stsm_cli.config.schema import Recipe
from stsm_cli.engine.board import Board, require_tensorboard
from stsm_cli.engine.distributed import current_world, together
from stsm_cli.engine.runlog import RunFolder
from stsm_cli.engine.wandb_board import WandbWriter, require_wandb
from stsm_cli.progress import Progress


@dataclass(frozen=True)
class Boards:
    """Those that are asked for.

    Attributes:
        tensorboard: In the run folder.
        wandb: Project of Weights & Biases; None: without.
    """

    tensorboard: bool
    wandb: str | None

    def check(self) -> None:
        """Make sure that they can be written.

        Raises:
            UsageError: A package is not installed, or Weights & Biases knows no account.
        """
        if self.tensorboard:
            require_tensorboard()
        if self.wandb is not None and current_world().is_main:
            require_wandb()

    def open(self, folder: RunFolder, recipe: Recipe, first_step: int, progress: Progress) -> Board:
        """The board of a run that goes on at `first_step`; the first process alone writes.

        Raises:
            UsageError: Weights & Biases refuses the project's name.
        """
        is_main = current_world().is_main
        with together():
            wandb = self.wandb if is_main else None
            others = [] if wandb is None else [WandbWriter(wandb, folder, recipe, progress)]
        return Board(folder.board if self.tensorboard and is_main else None, first_step, others)

"""A run's checkpoint: all that its rest depends on, in a file that is whole or absent.

Nothing in a checkpoint is executed when it is loaded.
"""

import shutil
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from pydantic import FiniteFloat, NonNegativeFloat, NonNegativeInt, TypeAdapter, ValidationError

from stsm_cli.atomic import whole_file
from stsm_cli.config.load import recipe_hash
from stsm_cli.config.schema import Recipe
from stsm_cli.engine.distributed import current_world, gather_objects, together
from stsm_cli.engine.runlog import RunFolder, instead_of
from stsm_cli.engine.step import Stepper
from stsm_cli.errors import CheckpointError
from stsm_cli.models.weights_file import read_pickle
from stsm_cli.models.weights_kind import not_read
from stsm_cli.stored import first_problem

SAVE_SECONDS = 600.0  # ours: the most that a SIGKILL costs; an epoch of Kinetics-400 takes hours


@dataclass
class Position:
    """A run's position, and the running sums of its current epoch over all processes.

    The seconds are this process's own.
    """

    epoch: NonNegativeInt = 0
    batches: NonNegativeInt = 0
    loss_sum: FiniteFloat = 0.0
    correct: NonNegativeInt = 0
    seen: NonNegativeInt = 0
    broken: NonNegativeInt = 0
    seconds: NonNegativeFloat = 0.0
    data_seconds: NonNegativeFloat = 0.0


class Saver:
    """Keeps a run's checkpoint, and brings the run back to it; called by all processes alike."""

    def __init__(self, recipe: Recipe, stepper: Stepper, folder: RunFolder) -> None:
        self.recipe, self.stepper, self.folder = recipe, stepper, folder
        self._saved: Position | None = None
        self._saved_at = time.monotonic()

    @property
    def is_due(self) -> bool:
        """Tell whether the last checkpoint is `SAVE_SECONDS` old."""
        return time.monotonic() - self._saved_at > SAVE_SECONDS

    def save(self, position: Position) -> None:
        """Write the checkpoint, unless it is at `position` already.

        Raises:
            CheckpointError: It cannot be written; the one before is whole.
        """
        if position == self._saved:
            return
        with together():
            state = {
                "recipe_hash": recipe_hash(self.recipe),
                "position": asdict(position),
                "model": self.stepper.result.state_dict(),
                **self.stepper.state(),
                "random": gather_objects(self._random_state()),
            }
            if current_world().is_main:
                self.folder.hold.check()
                save_checkpoint(self.folder.checkpoint, state)
        self._saved, self._saved_at = replace(position), time.monotonic()

    def restore(self) -> tuple[Position, int]:
        """Go back to the checkpoint; where it is, and how many processes made it.

        Raises:
            CheckpointError: It is unreadable, belongs to another recipe, or lacks something.
        """
        file = self.folder.checkpoint
        state = load_checkpoint(file)
        if state.get("recipe_hash") != recipe_hash(self.recipe):
            raise CheckpointError(f"{file}: belongs to another recipe")
        try:
            return self._restore(state)
        except Exception as error:  # of what is no state torch may raise almost anything
            start = f"{self.folder.begin_from(file)} starts from its weights"
            if "model" not in state:
                start = instead_of(file) or "choose another --out to begin anew"
            raise CheckpointError(
                f"{file}: does not continue here, another version of stsm may have written it "
                f"({_reason(error)})",
                hint=start,
            ) from None

    def _restore(self, state: dict[str, Any]) -> tuple[Position, int]:
        self.stepper.result.load_state_dict(state["model"])
        self.stepper.restore(state)
        world, random = current_world(), state["random"]
        if len(random) == world.size:
            self._set_random_state(random[world.rank])
        told = asdict(Position(**state["position"]))
        position = TypeAdapter(Position).validate_python(told)
        self._saved = replace(position)
        return position, len(random)

    def _random_state(self) -> dict[str, Any]:
        device = self.stepper.device
        cuda = torch.cuda.get_rng_state(device) if device.type == "cuda" else None
        return {"cpu": torch.get_rng_state(), "cuda": cuda}

    def _set_random_state(self, state: dict[str, Any]) -> None:
        torch.set_rng_state(state["cpu"])
        if self.stepper.device.type == "cuda" and state["cuda"] is not None:
            torch.cuda.set_rng_state(state["cuda"], self.stepper.device)


def _reason(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"holds no {error}"
    if isinstance(error, ValidationError):
        return f"its position: {first_problem(error)}"
    return str(error).split("\n")[0] or type(error).__name__


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write `state` (tensors, numbers, strings, nested dicts and lists) to `path`, atomically.

    Raises:
        CheckpointError: The file cannot be written; what was at `path` is still there.
    """
    try:
        with whole_file(path) as file:
            torch.save(state, file)
    except (OSError, RuntimeError) as error:
        # trap: torch hides what the file raised behind an error about positions in its archive
        raise _cannot_write(path, error, error.__context__) from None


def copy_checkpoint(path: Path, copy: Path) -> None:
    """Write a copy of the checkpoint at `path`, atomically.

    Raises:
        CheckpointError: `path` cannot be read, or the copy not be written; what was there still is.
    """
    try:
        source = path.open("rb")
    except OSError as error:
        raise not_read(path, error) from None
    try:
        with source, whole_file(copy) as file:
            shutil.copyfileobj(source, file, length=2**20)
    except OSError as error:
        raise _cannot_write(copy, error) from None


def _cannot_write(path: Path, *errors: BaseException | None) -> BaseException:
    for error in errors:
        if isinstance(error, OSError):
            return CheckpointError(
                f"{path}: cannot be written ({error.strerror})",
                hint="what was there before is whole; make room, then go on: "
                f"{RunFolder(path.parent.parent).resume_command}, or the same `stsm ablate` again",
            )
    assert errors[0] is not None
    return errors[0]


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Load what `save_checkpoint` wrote, on the CPU; nothing in the file is executed.

    Raises:
        CheckpointError: As `read_pickle`.
    """
    try:
        return read_pickle(path)
    except CheckpointError as error:
        raise CheckpointError(str(error), hint=instead_of(path) or error.hint) from None

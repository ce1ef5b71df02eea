"""Testing what was trained: a run folder, or a checkpoint under a recipe."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from stsm_cli.config.load import load_recipe, recipe_hash
from stsm_cli.config.schema import Recipe
from stsm_cli.data.dataset import open_split
from stsm_cli.data.decode import Decoder
from stsm_cli.engine.checkpoint import load_checkpoint
from stsm_cli.engine.evaluate import evaluate
from stsm_cli.engine.runlog import RunFolder, describe_environment, newest_run, write_json
from stsm_cli.errors import CheckpointError, StsmError, UsageError
from stsm_cli.models.build import build_model
from stsm_cli.progress import SILENT, Progress


@dataclass(frozen=True)
class Trained:
    """Something to test: weights, the recipe they were trained with, and where results go."""

    name: str
    recipe: Recipe
    checkpoint: Path
    folder: RunFolder | None

    @property
    def decoder(self) -> str | None:
        """The one that the training read with, where that is known."""
        return self.folder.environment().get("decoder") if self.folder else None


def trained(run: str | None, checkpoint: Path | None) -> Trained:
    """The run folder `run` (None: the newest finished one), or `checkpoint` under the recipe `run`.

    Raises:
        UsageError: There is no finished run, or a checkpoint comes without a recipe.
        CheckpointError: `run` is not a run folder.
    """
    if checkpoint is not None:
        if run is None:
            raise UsageError(
                f"--checkpoint {checkpoint}: needs a recipe",
                hint=f"for example `stsm eval synth/stsm --checkpoint {checkpoint}`",
            )
        loaded = load_recipe(run)
        return Trained(loaded.name, loaded.recipe, checkpoint, None)
    folder = RunFolder(Path(run)) if run is not None else newest_run(finished=True)
    recipe = folder.recipe()
    return Trained(folder.environment()["recipe"], recipe, folder.checkpoint, folder)


def run_test(
    subject: Trained,
    recipe: Recipe,
    *,
    data_root: Path | None,
    device: torch.device,
    workers: int,
    decoder: Decoder,
    progress: Progress = SILENT,
) -> dict[str, Any]:
    """Evaluate on the validation split; a run folder keeps it as `eval-<protocol>.json`.

    Args:
        subject: What to test.
        recipe: Its recipe, perhaps with another `test` section.
        data_root: The data set; None: where the run found it.

    Raises:
        CheckpointError: The weights are unreadable or do not fit the recipe's network.
        DataError: The data set is missing, or its class list is not the one of the training.
    """
    model = build_model(recipe.model.model_copy(update={"weights": None}))
    load_weights(model, subject.checkpoint)
    model = model.to(device).to(memory_format=torch.channels_last)
    environment = subject.folder.environment() if subject.folder else {}
    if data_root is None and "data" in environment:
        data_root = Path(environment["data"])
    videos = open_split(recipe.data, data_root, "val", decoder=decoder, progress=progress)
    if subject.folder is not None:
        subject.folder.check_classes(videos.manifest)
    started = time.perf_counter()
    scores = evaluate(
        model, videos, recipe, recipe.test, device, workers=workers, progress=progress
    )
    result = {
        "schema": "stsm.result/1",
        "name": subject.name,
        "protocol": recipe.protocol,
        "recipe_hash": recipe_hash(recipe),
        **scores,
        "seconds_eval": round(time.perf_counter() - started, 1),
        "environment": describe_environment(device, decoder),
    }
    if subject.folder is not None:
        try:
            write_json(subject.folder.path / f"eval-{recipe.protocol}.json", result)
        except StsmError as error:  # the numbers are worth more than the file
            progress.message(f"warning: {error}")
    return result


def load_weights(model: torch.nn.Module, checkpoint: Path) -> None:
    """Load a checkpoint of `stsm train` into `model`, strictly.

    Raises:
        CheckpointError: The file is unreadable, or its tensors are not the model's.
    """
    state = load_checkpoint(checkpoint)
    if not isinstance(state.get("model"), dict):
        raise CheckpointError(f"{checkpoint}: not a checkpoint of `stsm train` (no `model`)")
    try:
        model.load_state_dict(state["model"])
    except RuntimeError as error:
        first = str(error).splitlines()[1].strip()
        raise CheckpointError(
            f"{checkpoint}: does not fit the recipe's network: {first}",
            hint="test it under the recipe it was trained with",
        ) from None

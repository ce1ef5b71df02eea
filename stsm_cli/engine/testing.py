"""Testing what was trained: a run folder, or weights under a recipe."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from stsm_cli.config.load import describe, load_recipe, recipe_hash
from stsm_cli.config.schema import ModelConfig, Recipe
from stsm_cli.data.dataset import open_split
from stsm_cli.data.decode import Decoder
from stsm_cli.data.manifest import Manifest
from stsm_cli.engine.distributed import current_world, first_alone, together
from stsm_cli.engine.evaluate import score_split, summary
from stsm_cli.engine.identity import identify_data, weights_sha256
from stsm_cli.engine.runlog import RunFolder, describe_environment, newest_run, write_json
from stsm_cli.engine.scores import Scores
from stsm_cli.errors import CheckpointError, DataError, StsmError, UsageError
from stsm_cli.models.build import build_model
from stsm_cli.models.tsn import TSN
from stsm_cli.models.weights import load_weights, read_weights
from stsm_cli.progress import SILENT, Progress

TEST_KEYS = ("data.short_side_px", "data.sampling", "precision")  # and all of `test`


@dataclass(frozen=True)
class Trained:
    """Something to test: weights, the recipe they were trained with, and where results go.

    Attributes:
        name: The recipe's.
        recipe: As it was trained, but for `edits` and the `test` section.
        checkpoint: The weights' file.
        folder: The run's, unless the weights came by themselves.
        edits: `KEY=VALUE` of what the test changes outside the protocol.
    """

    name: str
    recipe: Recipe
    checkpoint: Path
    folder: RunFolder | None
    edits: tuple[str, ...] = ()

    def protocol(self, recipe: Recipe) -> str:
        """What a test under `recipe` is called: its protocol, then the edits."""
        return "+".join((recipe.protocol, *self.edits))

    @property
    def decoder(self) -> str | None:
        """The one that the training read with, where that is known."""
        return self.folder.environment().get("decoder") if self.folder else None

    @property
    def data_root(self) -> Path | None:
        """The data set of the training, where that is known."""
        known = self.folder.environment().get("data") if self.folder else None
        return None if known is None else Path(known)


@dataclass(frozen=True)
class Evaluation:
    """A test: its result as `result.json` holds one, and the scores of the videos it is about."""

    result: dict[str, Any]
    scores: Scores
    manifest: Manifest


def trained(
    run: str | None,
    checkpoint: Path | None,
    *,
    overrides: Sequence[str] = (),
    best: bool = False,
) -> Trained:
    """The run folder `run` (None: the newest finished one), or `checkpoint` under the recipe `run`.

    Args:
        overrides: `KEY=VALUE` texts that edit the recipe; of a run, only what a test may change.
        best: Take the run's checkpoint of the best validation accuracy, not its last.

    Raises:
        UsageError: There is no finished run; a checkpoint comes without a recipe; an override
            would change what was trained.
        RecipeError: The recipe or an override is wrong.
        CheckpointError: `run` is not a run folder, or has no best checkpoint.
    """
    if checkpoint is not None:
        if run is None or best:
            raise UsageError(
                f"--checkpoint {checkpoint}: " + ("excludes --best" if best else "needs a recipe"),
                hint=f"for example `stsm eval synth/stsm --checkpoint {checkpoint}`",
            )
        loaded = load_recipe(run, overrides)
        return Trained(loaded.name, loaded.recipe, checkpoint, None)
    folder = RunFolder(Path(run)) if run is not None else newest_run(finished=True)
    recipe, edits = _edited(folder, overrides)
    file = folder.best_checkpoint if best else folder.checkpoint
    return Trained(folder.environment()["recipe"], recipe, file, folder, edits)


def _edited(folder: RunFolder, overrides: Sequence[str]) -> tuple[Recipe, tuple[str, ...]]:
    """A run's recipe under overrides, and those that change more than the protocol."""
    recipe = folder.recipe()
    if not overrides:
        return recipe, ()
    file = str(folder.recipe_file)
    edited = load_recipe(file, overrides)
    known = {(key, value) for key, value, _ in describe(load_recipe(file))}
    changed = [(key, value) for key, value, _ in describe(edited) if (key, value) not in known]
    edits = [(key, value) for key, value in changed if not key.startswith("test.")]
    for key, value in edits:
        if key not in TEST_KEYS:
            raise UsageError(
                f"--set {key}={value}: would change what was trained",
                hint=f"a test may change test.*, {', '.join(TEST_KEYS)}",
            )
    return edited.recipe, tuple(f"{key}={value}" for key, value in edits)


def load_model(config: ModelConfig, checkpoint: Path, device: torch.device) -> TSN:
    """The network of `config` with the weights in `checkpoint`, ready for tests.

    Raises:
        CheckpointError: The weights are unreadable or do not fit the network.
    """
    update: dict[str, Any] = {"weights": None, "init": None}
    if config.num_classes is None:  # as many as the weights know
        bias = read_weights(checkpoint).get("fc.bias")
        if bias is None:
            raise CheckpointError(f"{checkpoint}: has no fc.bias")
        update["num_classes"] = len(bias)
    model = build_model(config.model_copy(update=update))
    load_weights(model, checkpoint)
    return model.to(device).to(memory_format=torch.channels_last).eval()


def run_test(
    subject: Trained,
    recipe: Recipe,
    *,
    data_root: Path | None,
    device: torch.device,
    workers: int,
    decoder: Decoder,
    progress: Progress = SILENT,
) -> Evaluation:
    """Evaluate on the validation split; a run folder keeps it as `eval-<protocol>.json`.

    Args:
        subject: What to test.
        recipe: Its recipe, perhaps with another `test` section.
        data_root: The data set; None: where the run found it.

    Raises:
        CheckpointError: The weights are unreadable or do not fit the recipe's network.
        DataError: The data set is missing, or its class list is not the one of the training.
    """
    with together():
        model = load_model(recipe.model, subject.checkpoint, device)
    root = data_root if data_root is not None else subject.data_root
    videos = first_alone(
        lambda: open_split(recipe.data, root, "val", decoder=decoder, progress=progress)
    )
    with together():
        check_classes(subject, videos.manifest, model.fc.out_features)
        identity = identify_data(videos)
    started = time.perf_counter()
    scores = score_split(
        model, videos, recipe, recipe.test, device, workers=workers, progress=progress
    )
    result = {
        "schema": "stsm.result/1",
        "name": subject.name,
        "checkpoint": subject.checkpoint.name,
        "protocol": subject.protocol(recipe),
        "recipe_hash": recipe_hash(recipe),
        **summary(scores, videos.manifest, recipe),
        **identity,
        "weights_sha256": weights_sha256(model),
        "seconds_eval": round(time.perf_counter() - started, 1),
        "environment": describe_environment(device, decoder),
    }
    if current_world().is_main:
        _keep(subject, result, progress)
    return Evaluation(result, scores, videos.manifest)


def check_classes(subject: Trained, manifest: Manifest, num_classes: int) -> None:
    """Refuse a data set whose classes are not the ones the weights were trained for.

    Raises:
        DataError: The class list, or the number of classes, is another.
    """
    if subject.folder is not None:
        subject.folder.check_classes(manifest)
    if len(manifest.classes) != num_classes:
        raise DataError(
            f"{manifest.root}: holds {len(manifest.classes)} classes, "
            f"{subject.checkpoint} knows {num_classes}"
        )


def _keep(subject: Trained, result: dict[str, Any], progress: Progress) -> None:
    if subject.folder is None:
        return
    best = "best-" if subject.checkpoint == subject.folder.best_checkpoint else ""
    try:
        write_json(subject.folder.path / f"eval-{best}{result['protocol']}.json", result)
    except StsmError as error:  # the numbers are worth more than the file
        progress.message(f"warning: {error}")

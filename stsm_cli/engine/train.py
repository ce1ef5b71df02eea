"""A run from its recipe to its result: what is checked, recorded and resumed around the loop."""

from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from stsm_cli.config.run_identity import NUMERICS, content_hash, init_sha256
from stsm_cli.config.schema import Recipe
from stsm_cli.data.content import data_id, split_id
from stsm_cli.data.manifest import Manifest
from stsm_cli.data.videos import Videos
from stsm_cli.engine.batch import BatchPlan, plan_batch
from stsm_cli.engine.board import Board, require_tensorboard
from stsm_cli.engine.distributed import current_world, gather_objects, together
from stsm_cli.engine.environment import describe_environment
from stsm_cli.engine.fitting import fit_recipe
from stsm_cli.engine.identity import changed_start, check_origin, identify_data, weights_sha256
from stsm_cli.engine.lock import alone_in
from stsm_cli.engine.opening import check_precision, opening_lines
from stsm_cli.engine.runlog import RunFolder, write_result
from stsm_cli.engine.stop import listening
from stsm_cli.engine.trainer import Trainer
from stsm_cli.errors import CheckpointError, UsageError
from stsm_cli.progress import SILENT, Progress


def train(
    recipe: Recipe,
    train_videos: Videos,
    val_videos: Videos,
    out: Path,
    *,
    name: str,
    device: torch.device,
    workers: int = 0,
    resume: bool = False,
    compile_with: str | None = None,
    tensorboard: bool = False,
    progress: Progress = SILENT,
    on_epoch: Callable[[dict[str, Any]], None] = lambda metrics: None,
    on_ctrl_c: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """Run a recipe to its end inside the run folder `out`, and return what `result.json` holds.

    Each process of a job calls it (inside `distributed.joined`); all get the same result.

    Args:
        name: The recipe's name, for the result.
        workers: Processes that read videos which are not in memory, for each of those that train.
        resume: Continue the run in `out` (or return its result); otherwise `out` must be new. Where
            nothing was trained it is begun again.
        compile_with: Backend of `torch.compile` for the training steps; None: they run as they are.
        tensorboard: Write curves to `out`/tensorboard too.
        progress: Told how it goes, by the first process.
        on_epoch: Told each epoch's metrics, likewise.
        on_ctrl_c: Called in the signal's handler, likewise; the run stops after the current step,
            at a second Ctrl-C at once.

    Raises:
        UsageError: `out` exists or cannot be written, or another process is training in it, or
            TensorBoard is asked for and not installed, or a new run's precision would crawl on
            the device.
        RecipeError: The batch cannot be shared out equally.
        CheckpointError: `out` cannot be resumed or written.
        DataError: The data set does not fit the recipe, or too many videos are broken.
        DivergedError: Loss or gradient is not finite.
        InterruptedRunError: Ctrl-C; the checkpoint is saved.
        PreemptedError: SIGTERM; the checkpoint is saved.
    """
    folder, world = RunFolder(out), current_world()
    resume = gather_objects(resume and not folder.is_half_made)[0]
    with together():
        fitted = fit_recipe(recipe, train_videos.manifest)
        recipe = fitted.recipe
        plan = plan_batch(recipe.optim, world.size, len(train_videos.manifest.records))
        if tensorboard:
            require_tensorboard()
    split_ids = _split_ids(recipe, train_videos, val_videos)
    with together():
        if resume:
            recipe = _begun(folder, recipe, train_videos.manifest, data_id(split_ids), progress)
        identity = identify_data(val_videos)
    with ExitStack() as held:
        finished = None
        with together():
            if world.is_main:  # before it looks: of two that begin at once, one goes on
                folder.hold = held.enter_context(alone_in(out))
            if not resume:
                check_precision(recipe, device)
            finished = _finished(folder, resume=resume)
        if finished is not None:
            return finished
        goes_on = gather_objects(resume and folder.checkpoint.exists())[0]
        progress = progress if world.is_main else SILENT
        if folder.hold.warning:
            progress.message(f"warning: {folder.hold.warning}")
        trainer = Trainer(
            recipe,
            train_videos,
            val_videos,
            folder,
            device=device,
            workers=workers,
            compile_with=compile_with,
            progress=progress,
            resume=goes_on,
        )
        with together():
            if world.is_main and not resume:
                about = _about(recipe, name, train_videos.manifest, plan)
                about |= {"data_id": data_id(split_ids), "numerics": NUMERICS}
                about |= {"workers": workers, "compile": compile_with}
                about |= {"mirror": asdict(fitted.mirror)}
                about |= describe_environment(device, train_videos.decoder)
                folder.create(recipe, about, train_videos.manifest.classes)
            elif world.is_main and not goes_on:
                progress.message(f"{folder.checkpoint} does not exist: from the first epoch on")
                folder.tidy(0)
        splits, network = (train_videos, val_videos), trainer.stepper.model
        opening = opening_lines(recipe, device, network, splits, folder.metrics())
        _say(progress, *opening, *fitted.notes, str(plan))
        board = Board(folder.board if tensorboard and world.is_main else None, trainer.step)
        with closing(board), listening(on_ctrl_c) as stop:
            result = {
                "schema": "stsm.result/1",
                "name": name,
                "protocol": recipe.protocol,
                "recipe_hash": content_hash(recipe, folder.about().init_sha256),
                "numerics": NUMERICS,
                "split_id": split_ids[-1],
                **trainer.run(stop, board, on_epoch),
                **identity,
                "weights_sha256": weights_sha256(trainer.stepper.model),
            }
        with together():
            if world.is_main:
                folder.hold.check()
                write_result(folder.result_file, result)
        return result


def _say(progress: Progress, *lines: str) -> None:
    for line in lines:
        progress.message(line)


def _finished(folder: RunFolder, *, resume: bool) -> dict[str, Any] | None:
    """The result of the run that is to be resumed, if it has one.

    Raises:
        UsageError: There is more to do than the folder allows.
    """
    result = folder.result() if resume else None
    if result is None and folder.hold.problem is not None:
        raise UsageError(f"--out {folder.path}: cannot be written ({folder.hold.problem.strerror})")
    if not resume:
        folder.check_new()
    return result


def _about(recipe: Recipe, name: str, manifest: Manifest, plan: BatchPlan) -> dict[str, Any]:
    root = str(manifest.root.resolve())  # found again from any folder
    about: dict[str, Any] = {
        "recipe": name,
        "data": root,
        "class_hash": manifest.class_hash,
        "batch": asdict(plan),
    }
    if recipe.model.init is not None:
        about["init_sha256"] = init_sha256(recipe)
    return about


def _split_ids(recipe: Recipe, *splits: Videos) -> list[str]:
    """What the videos of each split are known by; the first process looks at the files."""
    ids: list[str] = []
    if current_world().is_main:
        ids = [split_id(recipe.data.dataset, videos.manifest) for videos in splits]
    return gather_objects(ids)[0]


def _begun(
    folder: RunFolder, recipe: Recipe, manifest: Manifest, known_as: str, progress: Progress
) -> Recipe:
    """`recipe`, which may continue the run in `folder` on these videos, with its names.

    Raises:
        CheckpointError: It has another recipe, or was begun by code that gives other numbers, or
            its first step is still to come and the weights to start from have changed.
        DataError: It was begun on other videos or classes.
    """
    folder.check_same(recipe)
    folder.check_classes(manifest)
    check_origin(folder, known_as)
    if changed := changed_start(folder):
        if not folder.checkpoint.exists():
            raise CheckpointError(changed, hint="choose another --out to begin anew")
        if current_world().is_main:
            progress.message(f"warning: {changed}; it goes on from its checkpoint")
    # what it started from may lie elsewhere now
    model = recipe.model.model_copy(update={"init": folder.recipe().model.init})
    return recipe.model_copy(update={"model": model})

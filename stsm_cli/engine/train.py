"""A run from its recipe to its result: what is checked, recorded and resumed around the loop."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from stsm_cli.config.batch import (
    BatchPlan,
    check_spread,
    mixes_nothing,
    plan_batch,
    slow_average,
)
from stsm_cli.config.run_identity import NUMERICS, content_hash, init_sha256
from stsm_cli.config.schema import Recipe
from stsm_cli.data.content import data_id, made_files, split_id
from stsm_cli.data.flow_report import flow_id
from stsm_cli.data.manifest import Manifest
from stsm_cli.data.mirror import Mirror
from stsm_cli.data.videos import Videos
from stsm_cli.engine.boards import Boards
from stsm_cli.engine.distributed import current_world, gather_objects, together
from stsm_cli.engine.fitting import Fitted, fit_recipe
from stsm_cli.engine.identity import (
    describe_environment,
    identify_data,
    weights_sha256,
)
from stsm_cli.engine.lock import alone_in
from stsm_cli.engine.opening import check_precision, opening_lines
from stsm_cli.engine.resuming import (
    changed_start,
    check_class_list,
    check_mirror,
    check_origin,
    check_same,
    left_behind,
)
from stsm_cli.engine.runlog import RunFolder, check_recordable, write_result
from stsm_cli.engine.score_files import write_scores
from stsm_cli.engine.stop import listening
from stsm_cli.engine.testing import Evaluation
from stsm_cli.engine.trainer import Tested, Trainer
from stsm_cli.errors import CheckpointError, UsageError
from stsm_cli.progress import SILENT, Progress
from stsm_cli.stored import Result


def train(
    recipe: Recipe,
    train_videos: Videos,
    val_videos: Videos,
    out: Path,
    *,
    name: str,
    device: torch.device,
    test_videos: Videos | None = None,
    workers: int = 0,
    resume: bool = False,
    compile_with: str | None = None,
    tensorboard: bool = False,
    wandb: str | None = None,
    progress: Progress = SILENT,
    on_epoch: Callable[[dict[str, Any]], None] = lambda metrics: None,
    on_ctrl_c: Callable[[], None] = lambda: None,
) -> Result:
    """Run a recipe to its end inside the run folder `out`, and return its result.

    Each process of a job calls it (inside `distributed.joined`); all get the same result.

    Args:
        name: The recipe's name, for the result.
        test_videos: Those that the result is of; None: the validation videos.
        workers: Processes that read videos which are not in memory, for each of those that train.
        resume: Continue the run in `out` (or return its result); otherwise `out` must be new. Where
            nothing was trained it is begun again.
        compile_with: Backend of `torch.compile` for the training steps; None: they run as they are.
        tensorboard: Write curves to `out`/tensorboard too.
        wandb: Project of Weights & Biases that gets them too.
        progress: Told how it goes, by the first process.
        on_epoch: Told each epoch's metrics, likewise.
        on_ctrl_c: Called in the signal's handler, likewise; the run stops after the current step,
            at a second Ctrl-C at once.

    Raises:
        UsageError: `out` exists or cannot be written, or another process is training in it, or
            TensorBoard or Weights & Biases is asked for and not ready, or a new run's precision
            would crawl on the device, or the videos' folder is not called in UTF-8.
        RecipeError: The batch cannot be shared out equally, or a part of it has no spread.
        CheckpointError: `out` cannot be resumed or written.
        DataError: The data set does not fit the recipe, or too many videos are broken.
        DivergedError: Loss or gradient is not finite.
        InterruptedRunError: Ctrl-C; the checkpoint is saved.
        PreemptedError: SIGTERM; the checkpoint is saved.
    """
    folder, boards = RunFolder(out), Boards(tensorboard, wandb)
    resume = gather_objects(resume and not folder.is_half_made)[0]
    with together():
        boards.check()
    tested_on = val_videos if test_videos is None else test_videos
    opened = [train_videos, val_videos, *([] if test_videos is None else [test_videos])]
    start = _start(recipe, opened, folder, resume=resume, progress=progress)
    is_main = current_world().is_main
    with ExitStack() as held:
        if (finished := _claim(folder, held, start.recipe, device, resume=resume)) is not None:
            return finished
        goes_on = gather_objects(resume and folder.checkpoint.exists())[0]
        progress = progress if is_main else SILENT
        if folder.hold.warning:
            progress.message(f"warning: {folder.hold.warning}")
        trainer = Trainer(
            start.recipe,
            train_videos,
            val_videos,
            folder,
            test_videos=tested_on,
            device=device,
            workers=workers,
            compile_with=compile_with,
            progress=progress,
            resume=goes_on,
        )
        with together():
            manifests = [videos.manifest for videos in opened]
            files = made_files(start.recipe.data.dataset, manifests) if is_main else {}
            if is_main and not resume:
                about = start.about(name, train_videos.manifest, workers, compile_with)
                about["files"] = files
                about |= describe_environment(device, train_videos.decoder)
                folder.create(start.recipe, about, train_videos.manifest.classes)
            elif is_main and goes_on:
                for line in left_behind(folder, compile_with, files, tensorboard=tensorboard):
                    progress.message(line)
            elif is_main:
                progress.message(f"{folder.checkpoint} does not exist: from the first epoch on")
                folder.tidy(0)
        splits, network = (train_videos, val_videos), trainer.stepper.result
        opening = opening_lines(start.recipe, device, network, splits, folder.metrics())
        for line in (*opening, *start.notes, str(start.plan)):
            progress.message(line)
        board = boards.open(folder, start.recipe, trainer.step, progress)
        with closing(board), listening(on_ctrl_c) as stop:
            tested = trainer.run(stop, board, on_epoch)
        return _recorded(start, name, folder, tested, network, tested_on.manifest)


@dataclass(frozen=True)
class _Start:
    """Facts known of a run before its first step.

    Attributes:
        recipe: With nothing left open.
        mirror: What a mirror does to the classes.
        notes: What a user should know of how the recipe was filled in.
        plan: How a batch is shared out.
        split_ids: What the videos of each split are known by.
        data_id: What all that is read of them is known by.
        identity: Of the videos that are tested, as a result has it.
    """

    recipe: Recipe
    mirror: Mirror
    notes: tuple[str, ...]
    plan: BatchPlan
    split_ids: tuple[str, ...]
    data_id: str
    identity: dict[str, Any]

    def about(
        self, name: str, manifest: Manifest, workers: int, compile_with: str | None
    ) -> dict[str, Any]:
        """Content of `environment.json` of a new run, but for the machine."""
        about: dict[str, Any] = {
            "recipe": name,
            "data": str(manifest.root.resolve()),  # found again from any folder
            "class_hash": manifest.class_hash,
            "batch": asdict(self.plan),
        }
        if self.recipe.model.init is not None:
            about["init_sha256"] = init_sha256(self.recipe)
        about |= {"data_id": self.data_id, "numerics": NUMERICS}
        return about | {"workers": workers, "compile": compile_with, "mirror": asdict(self.mirror)}

    def result(self, name: str, folder: RunFolder, tested: Tested, weights: str) -> Result:
        """Result of a run whose test gave `tested`, with weights of the SHA-256 `weights`."""
        return Result(
            name=name,
            protocol=self.recipe.protocol,
            recipe_hash=content_hash(self.recipe, folder.about().init_sha256),
            numerics=NUMERICS,
            split_id=self.split_ids[-1],
            weights_sha256=weights,
            seconds_train=tested.seconds_train,
            seconds_eval=tested.seconds_eval,
            stopped_epoch=tested.stopped_epoch,
            **vars(tested.score),
            **self.identity,
        )


def _recorded(
    start: _Start,
    name: str,
    folder: RunFolder,
    tested: Tested,
    network: nn.Module,
    manifest: Manifest,
) -> Result:
    """The result, which the first process writes: other machines may not see the folder."""
    result = None
    with together():
        if current_world().is_main:
            folder.hold.check()
            result = start.result(name, folder, tested, weights_sha256(network))
            write_scores(folder.scores_file, Evaluation(result, tested.scores, manifest))
            write_result(folder.result_file, result)
    result = gather_objects(result)[0]
    assert result is not None
    return result


def _start(
    recipe: Recipe,
    opened: Sequence[Videos],
    folder: RunFolder,
    *,
    resume: bool,
    progress: Progress,
) -> _Start:
    """Fit the recipe to the videos and, to resume, to the run in `folder`; nothing is written."""
    manifest = opened[0].manifest
    with together():
        check_recordable("--data", manifest.root.resolve())
        fitted = fit_recipe(recipe, manifest)
        recipe = fitted.recipe
        plan = plan_batch(recipe.optim, current_world().size, len(opened[0].trained_on))
        check_spread(recipe, plan)
    split_ids = _split_ids(recipe, *opened)
    with together():
        flow = opened[0].flow and flow_id(manifest.root, opened[0].flow.method)
        known_as = data_id([*split_ids, *([flow] if flow else [])])
        if resume:
            recipe = _begun(folder, fitted, manifest, known_as, progress)
        identity = identify_data(opened[-1])
    warnings = (*slow_average(recipe.optim, plan), *mixes_nothing(recipe.loss, plan))
    notes = (*fitted.notes, *warnings)
    return _Start(recipe, fitted.mirror, notes, plan, tuple(split_ids), known_as, identity)


def _claim(
    folder: RunFolder, held: ExitStack, recipe: Recipe, device: torch.device, *, resume: bool
) -> Result | None:
    """Hold the folder until `held` closes; the result of the run to resume, where it has one."""
    with together():
        if current_world().is_main:  # before it looks: of two that begin at once, one goes on
            folder.hold = held.enter_context(alone_in(folder.path))
        if not resume:
            check_precision(recipe, device)
        return _finished(folder, resume=resume)


def _finished(folder: RunFolder, *, resume: bool) -> Result | None:
    """The result of the run that is to be resumed, if it has one.

    Raises:
        UsageError: There is more to do than the folder allows.
    """
    result, hold = folder.outcome() if resume else None, folder.hold
    if result is None and hold.problem is not None:
        told = f"--out {folder.path}: cannot be written ({hold.problem.strerror})"
        raise UsageError(told, hint=hold.hint)
    if not resume:
        folder.check_new()
    return result


def _split_ids(recipe: Recipe, *splits: Videos) -> list[str]:
    """Ids of the videos of each split; the first process looks at the files."""
    ids: list[str] = []
    if current_world().is_main:
        ids = [split_id(recipe.data.dataset, videos.manifest) for videos in splits]
    return gather_objects(ids)[0]


def _begun(
    folder: RunFolder, fitted: Fitted, manifest: Manifest, known_as: str, progress: Progress
) -> Recipe:
    """The recipe, which may continue the run in `folder` on these videos, with its names.

    Raises:
        CheckpointError: It has another recipe, or was begun by code that gives other numbers, or
            its first step is still to come and the weights to start from have changed.
        DataError: It was begun on other videos or classes, or a mirror swapped others.
    """
    recipe = fitted.recipe
    check_same(folder, recipe)
    check_class_list(folder, manifest)
    check_mirror(folder, recipe, fitted.mirror, manifest.root)
    check_origin(folder, known_as)
    if changed := changed_start(folder):
        if not folder.checkpoint.exists():
            raise CheckpointError(changed, hint="choose another --out to begin anew")
        if current_world().is_main:
            progress.message(f"warning: {changed}; it goes on from its checkpoint")
    # what it started from may lie elsewhere now
    model = recipe.model.model_copy(update={"init": folder.recipe().model.init})
    return recipe.model_copy(update={"model": model})

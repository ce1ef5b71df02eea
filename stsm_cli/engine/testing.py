"""Testing what was trained: a run folder, or weights under a recipe."""

import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from stsm_cli.config.run_identity import NUMERICS, content_hash
from stsm_cli.config.schema import ModelConfig, Recipe
from stsm_cli.data.content import split_id
from stsm_cli.data.dataset import check_place, open_split
from stsm_cli.data.decode import Decoder
from stsm_cli.data.loader import evaluation_batches
from stsm_cli.data.manifest import Manifest
from stsm_cli.data.videos import Videos
from stsm_cli.engine.accuracy import summary
from stsm_cli.engine.distributed import current_world, first_alone, together
from stsm_cli.engine.identity import describe_environment, identify_data, weights_sha256
from stsm_cli.engine.opening import check_crop
from stsm_cli.engine.resuming import check_class_list, check_same_flow
from stsm_cli.engine.runlog import write_result
from stsm_cli.engine.score_files import write_scores
from stsm_cli.engine.scores import Scores, score_split
from stsm_cli.engine.step import normalise
from stsm_cli.engine.trained import Trained, naming_another, trained_as
from stsm_cli.errors import CheckpointError, DataError, StsmError
from stsm_cli.models.build import build_model
from stsm_cli.models.network import Network
from stsm_cli.models.weights import check_rules, fill, num_classes
from stsm_cli.progress import SILENT, Progress
from stsm_cli.stored import Result, read_stored


@dataclass(frozen=True)
class Evaluation:
    """A test: its result, and the scores of the videos it is about."""

    result: Result
    scores: Scores
    manifest: Manifest


def load_model(config: ModelConfig, checkpoint: Path, device: torch.device) -> Network:
    """The network of `config` with the weights in `checkpoint`, ready for tests.

    Raises:
        CheckpointError: The weights are unreadable or do not fit the network.
    """
    with naming_another(checkpoint):
        model = _filled(config, checkpoint)
    return model.to(device).channels_last().eval()


def _filled(config: ModelConfig, checkpoint: Path) -> Network:
    classes = config.num_classes or num_classes(checkpoint)  # as many as the weights know
    model = build_model(config.without_start(num_classes=classes))
    fill(model, checkpoint)
    origin = trained_as(checkpoint)
    check_rules(config, checkpoint, origin.recipe.model if origin else None)
    return model


def run_test(
    subject: Trained,
    *,
    data_root: Path | None,
    device: torch.device,
    workers: int,
    decoder: Decoder,
    progress: Progress = SILENT,
) -> Evaluation:
    """Evaluate on the split of the protocol; a run folder keeps it as `eval-<protocol>.json`.

    Beside it stand the scores, as `eval-<protocol>.npz`. An earlier test of other videos is kept
    as `other-<hash of their list>-eval-<protocol>`.

    Args:
        subject: What to test, and how.
        data_root: The data set; None: where the run found it.

    Raises:
        CheckpointError: The weights are unreadable or do not fit the recipe's network.
        RecipeError: The pictures are too small for it.
        DataError: The data set is missing, or its class list, or how its flow was computed, is not
            that of the training.
    """
    recipe = subject.recipe
    with together():
        root = data_root if data_root is not None else subject.data_root
        if subject.folder is not None and recipe.model.stream == "flow":
            place = check_place(recipe.data, root, recipe.model.view.flow_fields)
            check_same_flow(subject.folder, recipe, place)
        model = load_model(recipe.model, subject.checkpoint, device)
        check_crop(model, recipe.test.crop_px, "test.crop_px")
    videos = first_alone(
        lambda: open_split(
            recipe.data,
            root,
            recipe.test.split,
            decoder=decoder,
            flow_fields=recipe.model.view.flow_fields,
            processes=current_world().local_size,
            progress=progress,
        )
    )
    with together():
        check_classes(subject, videos.manifest, model.num_classes)
        identity = identify_data(videos) | {
            "split_id": split_id(recipe.data.dataset, videos.manifest)
        }
        mirror = subject.mirror_of(videos.manifest.classes, videos.manifest.root)
    started = time.perf_counter()
    scores = score_split(
        model,
        videos,
        recipe,
        recipe.test,
        device,
        workers=workers,
        progress=progress,
        mirror=mirror,
    )
    result = Result(
        **_whose(subject),
        **vars(summary(scores, videos.manifest, recipe)),
        **identity,
        weights_sha256=weights_sha256(model),
        seconds_eval=round(time.perf_counter() - started, 1),
        environment=describe_environment(device, decoder),
    )
    evaluation = Evaluation(result, scores, videos.manifest)
    if current_world().is_main:
        _warn_of_other_videos(subject, result, progress)
        _keep(subject, evaluation, progress)
    return evaluation


def sample_views(
    model: Network,
    videos: Videos,
    recipe: Recipe,
    *,
    num_videos: int,
    size_px: int,
    progress: Progress = SILENT,
) -> Iterator[Tensor]:
    """The first view of so many videos, spread over the split: normalised, (1, T, C, H, W).

    Args:
        model: Is on the CPU.
        videos: The split.
        recipe: Sampling.
        num_videos: How many, if the split has as many; those that do not decode are passed over.
        size_px: Side of the centre crop.
        progress: Told about every video.
    """
    one = recipe.test.model_copy(update={"clips": 1, "crops": 1, "crop_px": size_px})
    apart = max(1, len(videos.manifest.records) // num_videos)
    batches = evaluation_batches(
        videos,
        recipe.data.sampling,
        one,
        view=model.view,
        batch_size=1,
        workers=0,
        world_size=apart,
    )
    with progress.bar("views of videos", num_videos) as bar:
        for batch in islice(batches, num_videos):
            if batch.indices:
                yield normalise(batch.pixels[:, 0], model.view, torch.device("cpu"))
            bar.advance()


def _whose(subject: Trained) -> dict[str, Any]:
    return {
        "name": subject.name,
        "checkpoint": subject.checkpoint.name,
        "protocol": subject.protocol,
        "recipe_hash": content_hash(subject.recipe, subject.init_sha256),
        "numerics": NUMERICS,
    }


def check_classes(subject: Trained, manifest: Manifest, num_classes: int) -> None:
    """Refuse a data set whose classes are not the ones the weights were trained for.

    Raises:
        DataError: The class list, or the number of classes, is another.
    """
    known = subject.origin
    if known and known.folder:
        check_class_list(known.folder, manifest)
    if len(manifest.classes) != num_classes:
        raise DataError(
            f"{manifest.root}: holds {len(manifest.classes)} classes, "
            f"{subject.checkpoint} knows {num_classes}"
        )
    names = (known.classes if known else None) or manifest.classes
    for label, (name, there) in enumerate(zip(names, manifest.classes, strict=True)):
        if name != there:
            raise DataError(
                f"{manifest.root}: its class {label} is {there!r}, in the training of "
                f"{subject.called} it was {name!r}"
            )


def _warn_of_other_videos(subject: Trained, result: Result, progress: Progress) -> None:
    """A split that is drawn again, or another folder, may hold videos of the training."""
    folder = subject.folder
    known = folder.about().data_id if folder else None
    if folder and known and result.split_id not in known.split("+"):
        progress.message(
            f"warning: {folder.path}: these videos are not a split of the data set as it was when "
            "the run was trained; see that none of them is one it was trained on"
        )


def _keep(subject: Trained, tested: Evaluation, progress: Progress) -> None:
    if subject.folder is None:
        return
    best = "best-" if subject.checkpoint == subject.folder.best_checkpoint else ""
    path = subject.folder.path / f"eval-{best}{tested.result.protocol}"
    try:
        _set_aside(path, tested.result)
        write_scores(path.with_name(f"{path.name}.npz"), tested)
        write_result(path.with_name(f"{path.name}.json"), tested.result)
    except StsmError as error:  # the numbers are worth more than the file
        progress.message(f"warning: {error}")


def _set_aside(path: Path, result: Result) -> None:
    """Give the files of an earlier test under this protocol, of other videos, another name.

    Raises:
        StsmError: They cannot be renamed.
    """
    file = path.with_name(f"{path.name}.json")
    try:
        earlier, _ = read_stored(file, Result, "a result", CheckpointError)
    except CheckpointError:  # none, or damaged: it gives way
        return
    theirs, ours = ((one.split_id, one.list_sha256) for one in (earlier, result))
    if all(None in pair or pair[0] == pair[1] for pair in zip(theirs, ours, strict=True)):
        return
    aside = path.with_name(f"other-{sha256(repr(theirs).encode()).hexdigest()[:8]}-{path.name}")
    try:
        for ending in ("npz", "json"):
            with suppress(FileNotFoundError):
                path.with_name(f"{path.name}.{ending}").replace(f"{aside}.{ending}")
    except OSError as error:
        raise StsmError(f"{file}: cannot be renamed ({error.strerror})") from None

"""Class probabilities of videos: forward passes over all their views, averaged, from all processes.

Each video of a split is scored exactly once; one that does not decode is listed, never replaced. In
a job of several processes each reads its own videos and all of them get every video's scores.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from typing_extensions import assert_never

from stsm_cli.config.schema import Flip, Recipe, TestConfig
from stsm_cli.data.loader import Batch, evaluation_batches, mirrored_views
from stsm_cli.data.mirror import Mirror, find_mirror
from stsm_cli.data.videos import Videos
from stsm_cli.engine.autocast import AUTOCAST, autocast
from stsm_cli.engine.distributed import current_world, gather_objects, told_once
from stsm_cli.engine.step import normalise
from stsm_cli.errors import DataError, DivergedError, StsmError
from stsm_cli.models.network import Network
from stsm_cli.printable import counted
from stsm_cli.progress import SILENT, Progress

KEEPS_LABELS: dict[Flip, bool] = {"none": False, "plain": True, "label_aware": False}
"""True where a test counts a mirror image as its video's class, by the recipe's `flip`: as training
did, and truly where training had no mirror images."""
Average = Literal["prob", "score"]
Precision = Literal["fp32", "bf16", "fp16"]

FORWARD_PIXELS = 16 * 8 * 256 * 256  # bounds memory: in ResNet-50 to 1.8 GB of float32
MAX_VIEWS_AT_ONCE = 64  # of small pictures; more gain nothing


@dataclass(frozen=True)
class Scores:
    """Class probabilities (M, K), labels (M,) and manifest indices of the M videos that decode.

    The labels of those that do not are in `broken_labels`, by index. Both are in manifest order.
    """

    probabilities: torch.Tensor
    labels: torch.Tensor
    indices: tuple[int, ...]
    broken_labels: dict[int, int]


def score_split(
    model: Network,
    videos: Videos,
    recipe: Recipe,
    test: TestConfig,
    device: torch.device,
    *,
    workers: int = 0,
    label: str = "testing",
    progress: Progress = SILENT,
    check: Callable[[], None] = lambda: None,
    mirror: Mirror | None = None,
) -> Scores:
    """The scores of `model` on a split under the protocol `test`.

    In a job of several processes each reads a part of the videos and all return the same.

    Args:
        mirror: What it did to the classes in the training; None: what it does to the data set's.
        check: Called after each batch; raises to stop early.
    """
    world, manifest = current_world(), videos.manifest
    num_videos, dataset = len(manifest.records), recipe.data.dataset
    mirror = mirror or find_mirror(dataset, manifest.classes, manifest.root)
    at_once = views_at_once(recipe.model.view.num_frames, test.crop_px)
    batches = evaluation_batches(
        videos,
        recipe.data.sampling,
        test,
        view=recipe.model.view,
        batch_size=max(1, at_once // (test.clips * test.crops)),
        workers=workers,
        rank=world.rank,
        world_size=world.size,
        pin_memory=device.type == "cuda",
    )
    reasons: list[str] = []
    with progress.bar(label, len(range(world.rank, num_videos, world.size))) as bar:

        def advance(count: int) -> None:
            bar.advance(count)
            check()

        scores = score_videos(
            model,
            _noting(batches, reasons),
            device,
            precision=recipe.precision,
            average=test.average,
            class_orders=class_orders(recipe, manifest.classes, test, mirror),
            advance=advance,
        )
    reasons = [reason for part in gather_objects(reasons) for reason in part]
    if reasons:  # a disk that fails shows here first
        lost = f"{counted(len(reasons), 'video')} did not decode and count as wrong"
        progress.message(f"warning: {label}: {lost}, the first: {reasons[0]}")
    return scores


def _noting(batches: Iterable[Batch], reasons: list[str]) -> Iterator[Batch]:
    """The batches; why videos of this process do not decode is added to `reasons`."""
    for batch in batches:
        reasons += [reason for _, reason in batch.broken.values()]
        yield batch


def views_at_once(num_frames: int, size_px: int) -> int:
    """Number of views of `num_frames` pictures of `size_px`² in one pass through the network."""
    return min(MAX_VIEWS_AT_ONCE, max(1, FORWARD_PIXELS // (num_frames * size_px**2)))


@torch.inference_mode()
def score_videos(
    model: Network,
    batches: Iterable[Batch],
    device: torch.device,
    *,
    precision: Precision = "fp32",
    average: Average = "prob",
    class_orders: torch.Tensor | None = None,
    advance: Callable[[int], None] = lambda videos: None,
) -> Scores:
    """Probabilities of every video of `batches`, of this process and of the others of its job.

    Args:
        model: Is on `device`; it is put in eval mode.
        batches: With `views` (N, V, T, C, H, W), of any number of videos: a video of many views
            goes through the network in parts.
        device: Where the model is.
        precision: `bf16`, `fp16`: forward passes under autocast.
        average: `prob`: the mean over views of their softmax. `score`: the softmax of the mean
            logits. The latter is also what MMAction2's TSN does: it averages the features of all
            views, and logits are linear in features.
        class_orders: (V, K) the class that each view's k-th score is for; None: k in every view.
        advance: Told after each batch how many videos it held; may raise to stop.

    Raises:
        StsmError: Not one video decodes.
        DivergedError: The network's scores are not finite.
    """
    model.eval()
    probabilities: list[torch.Tensor] = []
    labels: list[torch.Tensor] = []
    indices: list[int] = []
    broken: dict[int, int] = {}
    for batch in batches:
        broken.update({index: label for index, (label, _) in batch.broken.items()})
        if batch.indices:
            logits = _view_logits(model, batch.pixels, device, precision)  # (N, V, K)
            if class_orders is not None:
                logits = logits.gather(-1, class_orders.expand_as(logits))
            probabilities.append(average_views(logits, average))
            labels.append(batch.labels)
            indices.extend(batch.indices)
        advance(len(batch.indices) + len(batch.broken))
    own = None
    if indices:
        own = Scores(torch.cat(probabilities), torch.cat(labels), tuple(indices), {})
    return _merge(gather_objects((own, broken)), precision)


def class_orders(
    recipe: Recipe, classes: tuple[str, ...], test: TestConfig, mirror: Mirror | None = None
) -> torch.Tensor | None:
    """The class of each score of each view: a mirrored view may show the swapped class.

    Args:
        mirror: What it did to the classes in the training; None: what card or names say.

    Returns:
        (V, K) the class that each score of each view is for; None: each score is for its own.
    """
    mirrored = mirrored_views(test)
    if not any(mirrored):
        return None
    mirror = mirror or find_mirror(recipe.data.dataset, classes)
    if KEEPS_LABELS[mirror.flip(recipe.data)]:
        return None
    try:
        swapped = torch.from_numpy(mirror.labels(classes))
    except DataError as error:
        hint = "one crop and three have no mirror images, of which the test would know no class"
        raise DataError(str(error), hint=hint) from None
    plain = torch.arange(len(classes))
    return torch.stack([swapped if view else plain for view in mirrored])


def average_views(logits: torch.Tensor, average: Average) -> torch.Tensor:
    """Probabilities (N, K) of logits (N, V, K)."""
    match average:
        case "prob":
            return logits.softmax(-1).mean(1)
        case "score":
            return logits.mean(1).softmax(-1)
    assert_never(average)


def _view_logits(
    model: Network, views: torch.Tensor, device: torch.device, precision: Precision
) -> torch.Tensor:
    """Float32 logits (N, V, K) on the CPU; only uint8 travels to the device."""
    at_once = views_at_once(views.shape[2], views.shape[-1])
    dtype = AUTOCAST[precision]
    parts = []
    for part in views.flatten(0, 1).split(at_once):  # (N·V, T, C, H, W)
        with autocast(device, dtype):
            logits = model(normalise(part, model.view, device))
        parts.append(logits.float().cpu())
    return torch.cat(parts).view(*views.shape[:2], -1)  # (N·V, K) -> (N, V, K)


def _merge(parts: Sequence[tuple[Scores | None, dict[int, int]]], precision: Precision) -> Scores:
    """Merge the scores of the processes, in manifest order."""
    scored = [scores for scores, _ in parts if scores is not None]
    if not scored:
        raise told_once(
            StsmError("no video could be decoded", hint="check the data set and the decoder")
        )
    probabilities = torch.cat([scores.probabilities for scores in scored])
    _check_finite(probabilities, precision)
    indices = [index for scores in scored for index in scores.indices]
    order = sorted(range(len(indices)), key=indices.__getitem__)
    broken = {index: label for _, labels in parts for index, label in labels.items()}
    return Scores(
        probabilities[order],
        torch.cat([scores.labels for scores in scored])[order],
        tuple(indices[position] for position in order),
        dict(sorted(broken.items())),
    )


def _check_finite(probabilities: torch.Tensor, precision: Precision) -> None:
    num_bad = int((~probabilities.isfinite()).any(1).sum())
    narrow = "; or fp16 is too narrow for it: precision=fp32" if precision == "fp16" else ""
    if num_bad:
        raise told_once(
            DivergedError(
                f"the network's scores of {num_bad} of {len(probabilities)} videos are not finite",
                hint="its weights have diverged: train anew with a lower optim.lr, or with "
                f"optim.clip_grad_norm{narrow}",
            )
        )

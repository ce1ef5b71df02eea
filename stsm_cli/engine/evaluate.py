"""Multi-view evaluation: scores of every video exactly once, then counts and intervals.

Scores are averaged over views after softmax (design: `prob` in MMAction2). A video that does not
decode stays in the total and counts as wrong: it is listed, never replaced.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from stsm_cli.config.schema import Recipe, TestConfig
from stsm_cli.data.catalog import load_card, mirror_labels, reverse_labels
from stsm_cli.data.loader import Batch, evaluation_batches, mirrored_views
from stsm_cli.data.videos import Videos
from stsm_cli.engine.pixels import normalise
from stsm_cli.errors import StsmError
from stsm_cli.progress import SILENT, Progress

VIEWS_A_FORWARD = 64  # bounds memory: 64 views of 8 frames of 256² are 400 MB of float32


@dataclass(frozen=True)
class Scores:
    """Class probabilities (M, K), labels (M,) and manifest indices of the M videos that decode.

    The labels of those that do not are in `broken_labels`, by index.
    """

    probabilities: torch.Tensor
    labels: torch.Tensor
    indices: tuple[int, ...]
    broken_labels: dict[int, int]


@torch.inference_mode()
def score_videos(
    model: nn.Module,
    batches: Iterable[Batch],
    device: torch.device,
    *,
    bf16: bool,
    class_orders: torch.Tensor | None = None,
    advance: Callable[[int], None] = lambda videos: None,
) -> Scores:
    """Probabilities of every video of `batches`, averaged over its views.

    Args:
        model: Takes `videos` (N, T, 3, H, W), returns `logits` (N, K); it is put in eval mode.
        batches: With `views` (N, V, T, 3, H, W).
        device: Where the model is.
        bf16: Forward passes under bf16 autocast.
        class_orders: (V, K) the class that each view's k-th score speaks for; None: all k.
        advance: Told after each batch how many videos it held; may raise to stop.
    """
    model.eval()
    probabilities: list[torch.Tensor] = []
    labels: list[torch.Tensor] = []
    indices: list[int] = []
    broken: dict[int, int] = {}
    for batch in batches:
        broken.update({index: label for index, (label, _) in batch.broken.items()})
        if batch.indices:
            views = _view_probabilities(model, batch.pixels, device, bf16=bf16)  # (N, V, K)
            if class_orders is not None:
                views = views.gather(-1, class_orders.expand_as(views))
            probabilities.append(views.mean(1))  # (N, K)
            labels.append(batch.labels)
            indices.extend(batch.indices)
        advance(len(batch.indices) + len(batch.broken))
    if not indices:
        raise StsmError("no video could be decoded", hint="check the data set and the decoder")
    return Scores(torch.cat(probabilities), torch.cat(labels), tuple(indices), broken)


def _view_probabilities(
    model: nn.Module, views: torch.Tensor, device: torch.device, *, bf16: bool
) -> torch.Tensor:
    parts = []
    for chunk in views.flatten(0, 1).split(VIEWS_A_FORWARD):  # (N·V, T, 3, H, W)
        with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            logits = model(normalise(chunk, device))
        parts.append(logits.float().softmax(-1).cpu())
    return torch.cat(parts).view(*views.shape[:2], -1)  # (N·V, K) -> (N, V, K)


def evaluate(
    model: nn.Module,
    videos: Videos,
    recipe: Recipe,
    test: TestConfig,
    device: torch.device,
    *,
    workers: int = 0,
    label: str = "testing",
    progress: Progress = SILENT,
    check: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """Accuracy of `model` on a split under the protocol `test`, as `summarise` gives it.

    Args:
        check: Called after each batch; raises to stop early.
    """
    views = test.clips * test.crops
    batches = evaluation_batches(
        videos,
        recipe.data.sampling,
        test,
        num_frames=recipe.model.num_frames,
        batch_size=max(1, VIEWS_A_FORWARD // views),
        workers=workers,
    )
    with progress.bar(label, len(videos.manifest.records)) as bar:

        def advance(count: int) -> None:
            bar.advance(count)
            check()

        scores = score_videos(
            model,
            batches,
            device,
            bf16=recipe.precision == "bf16",
            class_orders=_class_orders(recipe, videos.manifest.classes, test),
            advance=advance,
        )
    card = load_card(recipe.data.dataset)
    partners = reverse_labels(card, videos.manifest.classes) if card.reverse_pairs else None
    paths = {index: videos.manifest.records[index].path for index in scores.broken_labels}
    return summarise(scores, partners) | {"broken": sorted(paths.values())}


def _class_orders(
    recipe: Recipe, classes: tuple[str, ...], test: TestConfig
) -> torch.Tensor | None:
    """Where mirroring swaps labels, a mirrored view's scores belong to the swapped classes."""
    if recipe.data.flip == "plain":  # trained so, mirrored pictures keep their labels
        return None
    swapped = torch.from_numpy(mirror_labels(load_card(recipe.data.dataset), classes))
    plain = torch.arange(len(classes))
    return torch.stack([swapped if mirrored else plain for mirrored in mirrored_views(test)])


def summarise(scores: Scores, partners: npt.NDArray[np.int64] | None) -> dict[str, Any]:
    """Counts and accuracies in percent.

    Args:
        scores: Of the videos that decode; the broken ones count as wrong.
        partners: (K,) the class that is each class's time reversal, where the set has such pairs.

    Returns:
        `num_videos` (scored), `num_listed`, `correct`, `top1` with its 95 % Wilson interval
        `top1_interval`, `top5`, `mean_class`, and `pair_accuracy`: how often a video's own class
        scores above its time reversal (50 is chance; a network blind to order scores 50).
    """
    missing = torch.tensor(list(scores.broken_labels.values()), dtype=torch.long)
    labels = torch.cat([scores.labels, missing])
    nothing = torch.full((len(missing), scores.probabilities.shape[1]), torch.nan)
    probabilities = torch.cat([scores.probabilities, nothing])
    num_listed = len(labels)
    own = probabilities.gather(1, labels[:, None])
    # ours: ties count against us, so a constant score is never right; nor is NaN
    rank = (probabilities >= own).sum(1).masked_fill(own.isnan()[:, 0], probabilities.shape[1] + 1)
    hit = rank == 1  # 1 is best
    per_class = [hit[labels == k].float().mean().item() for k in labels.unique().tolist()]
    correct = int(hit.sum())
    return {
        "num_videos": len(scores.labels),
        "num_listed": num_listed,
        "correct": correct,
        "top1": 100 * correct / num_listed,
        "top1_interval": [100 * bound for bound in wilson_interval(correct, num_listed)],
        "top5": 100 * int((rank <= 5).sum()) / num_listed,
        "mean_class": 100 * sum(per_class) / len(per_class),
        "pair_accuracy": None
        if partners is None
        else _pair_accuracy(probabilities, labels, partners),
    }


def _pair_accuracy(
    probabilities: torch.Tensor, labels: torch.Tensor, partners: npt.NDArray[np.int64]
) -> float:
    own = probabilities.gather(1, labels[:, None])
    other = probabilities.gather(1, torch.from_numpy(partners)[labels][:, None])
    return 100 * float((own > other).float().mean())


def wilson_interval(correct: int, total: int, z: float = 1.959964) -> tuple[float, float]:
    """The 95 % Wilson score interval of a proportion, as fractions (E. B. Wilson, 1927)."""
    share, spread = correct / total, z * z / total
    centre = (share + spread / 2) / (1 + spread)
    half = z / (1 + spread) * math.sqrt(share * (1 - share) / total + spread / (4 * total))
    return max(0.0, centre - half), min(1.0, centre + half)

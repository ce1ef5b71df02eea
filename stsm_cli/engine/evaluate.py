"""Multi-view evaluation: scores of every video of a split exactly once, then counts and intervals.

A video that does not decode stays in the total and counts as wrong: it is listed, never replaced.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch

from stsm_cli.config.schema import Recipe, TestConfig
from stsm_cli.data.catalog import load_card, reverse_labels
from stsm_cli.data.loader import evaluation_batches, mirrored_views
from stsm_cli.data.manifest import Manifest
from stsm_cli.data.mirror import Mirror, find_mirror
from stsm_cli.data.videos import Videos
from stsm_cli.engine.accuracy import IntArray, pair_results, summarise
from stsm_cli.engine.distributed import current_world
from stsm_cli.engine.scores import Scores, score_videos, views_at_once
from stsm_cli.models.network import Network
from stsm_cli.progress import SILENT, Progress


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
    )
    with progress.bar(label, len(range(world.rank, num_videos, world.size))) as bar:

        def advance(count: int) -> None:
            bar.advance(count)
            check()

        return score_videos(
            model,
            batches,
            device,
            precision=recipe.precision,
            average=test.average,
            class_orders=class_orders(recipe, manifest.classes, test, mirror),
            advance=advance,
        )


def summary(scores: Scores, manifest: Manifest, recipe: Recipe) -> dict[str, Any]:
    """What `summarise` counts, `pairs`, and `broken`: the paths of the videos that do not decode.

    `pairs` is None where the set has no time-reversal pairs, or one mapping a pair: its `classes`,
    and the counts of `PairResult`.
    """
    card = load_card(recipe.data.dataset)
    partners = reverse_labels(card, manifest.classes) if card.reverse_pairs else None
    broken = sorted(manifest.records[index].path for index in scores.broken_labels)
    pairs = None if partners is None else _pairs(scores, partners, manifest.classes)
    return summarise(scores, partners) | {"pairs": pairs, "broken": broken}


def _pairs(scores: Scores, partners: IntArray, classes: Sequence[str]) -> list[dict[str, Any]]:
    return [
        {"classes": [classes[label] for label in pair.labels]}
        | {"videos": pair.videos, "correct": pair.correct, "ordered": pair.ordered}
        for pair in pair_results(scores, partners)
    ]


def class_orders(
    recipe: Recipe, classes: tuple[str, ...], test: TestConfig, mirror: Mirror | None = None
) -> torch.Tensor | None:
    """Where mirroring swaps labels, a mirrored view's scores belong to the swapped classes.

    Args:
        mirror: What it did to the classes in the training; None: what card or names say.

    Returns:
        (V, K) the class that each score of each view speaks for; None: everywhere its own.
    """
    mirrored = mirrored_views(test)
    if not any(mirrored):
        return None
    mirror = mirror or find_mirror(recipe.data.dataset, classes)
    if mirror.flip(recipe.data) == "plain":  # trained with the labels kept
        return None
    swapped = torch.from_numpy(mirror.labels(classes))
    plain = torch.arange(len(classes))
    return torch.stack([swapped if view else plain for view in mirrored])

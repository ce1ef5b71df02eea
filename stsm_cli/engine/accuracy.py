"""Counts, accuracies and intervals of scores, and which class is taken for which.

A video that does not decode stays in the total and counts as wrong.
"""

from base64 import b64encode
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch

from stsm_cli.config.schema import Recipe
from stsm_cli.data.catalog import DatasetCard, IntArray, load_card, partner_labels
from stsm_cli.data.manifest import Manifest
from stsm_cli.engine.scores import Scores
from stsm_cli.stored import Pair, SplitScore, wilson_interval

NO_ANSWER = -1
_NEVER = torch.iinfo(torch.int64).max


def summary(scores: Scores, manifest: Manifest, recipe: Recipe) -> SplitScore:
    """Score of a split, video by video, and by pairs of classes where the set's card has some."""
    card = load_card(recipe.data.dataset)
    partners = partner_labels(card, manifest.classes) if card.factors else None
    broken = sorted(manifest.records[index].path for index in scores.broken_labels)
    return replace(
        summarise(scores, partners),
        pairs=None if partners is None else _pairs(scores, partners, manifest, card),
        hits=_hits(scores, manifest),
        broken=tuple(broken),
    )


def _pairs(
    scores: Scores, partners: IntArray, manifest: Manifest, card: DatasetCard
) -> tuple[Pair, ...]:
    factors = {name: factor for factor, pairs in card.factors.items() for name, _ in pairs}
    factors |= {name: factor for factor, pairs in card.factors.items() for _, name in pairs}
    results = []
    for pair in pair_results(scores, partners):
        first, second = (manifest.classes[label] for label in pair.labels)
        counts = pair.videos, pair.correct, pair.ordered
        results.append(Pair((first, second), *counts, factors[first]))
    return tuple(results)


def _hits(scores: Scores, manifest: Manifest) -> str:
    """The videos that are right as `Score.hits` has them."""
    right = _rank(*_all_listed(scores)) == 1
    paths = [manifest.records[i].path for i in (*scores.indices, *scores.broken_labels)]
    order = sorted(range(len(paths)), key=paths.__getitem__)
    return b64encode(np.packbits(right.numpy()[order]).tobytes()).decode()


def summarise(scores: Scores, partners: IntArray | None) -> SplitScore:
    """Counts and accuracies in percent; without what needs names: `pairs`, and `broken` paths.

    Args:
        scores: Of the videos that decode; the broken ones count as wrong.
        partners: (K,) the other class of each class's pair, where the set has such pairs.
    """
    probabilities, labels = _all_listed(scores)
    num_listed = len(labels)
    rank = _rank(probabilities, labels)
    hit = rank == 1
    per_class = [hit[labels == k].float().mean().item() for k in labels.unique().tolist()]
    correct, among_five = int(hit.sum()), int((rank <= 5).sum())
    return SplitScore(
        num_videos=len(scores.labels),
        num_listed=num_listed,
        correct=correct,
        top1=100 * correct / num_listed,
        top1_interval=_percent_interval(correct, num_listed),
        top5=100 * among_five / num_listed,
        top5_interval=_percent_interval(among_five, num_listed),
        mean_class=100 * sum(per_class) / len(per_class),
        pair_accuracy=None
        if partners is None
        else 100 * float(_ordered(probabilities, labels, partners).float().mean()),
        broken=(),
    )


def answers(probabilities: torch.Tensor) -> torch.Tensor:
    """(M,) the likeliest class of each of M videos; `NO_ANSWER` for a tie or NaN at the top."""
    best = probabilities.max(1, keepdim=True).values  # NaN where a score is
    top = probabilities == best
    return top.int().argmax(1).masked_fill(top.sum(1) != 1, NO_ANSWER)


def confusion_matrix(scores: Scores, num_classes: int) -> IntArray:
    """(K, K) how many videos of class i (row) were taken for class j (column).

    Broken videos, and those without an answer, are in no column; the sum of the diagonal is
    `correct` of `summarise`.
    """
    answer = answers(scores.probabilities)
    matrix = np.zeros((num_classes, num_classes), dtype=np.int64)
    given = answer != NO_ANSWER
    np.add.at(matrix, (scores.labels[given].numpy(), answer[given].numpy()), 1)
    return matrix


class PairResult(NamedTuple):
    """Counts of the two classes of a pair together."""

    labels: tuple[int, int]
    videos: int
    """Listed videos of both classes."""
    correct: int
    ordered: int
    """Videos that score their own class above the other; half of them by chance."""


def pair_results(scores: Scores, partners: IntArray) -> list[PairResult]:
    """One result a pair of classes, by the smaller label; broken videos are among its `videos`."""
    probabilities, labels = _all_listed(scores)
    ordered = _ordered(probabilities, labels, partners)
    matrix = confusion_matrix(scores, len(partners))
    results = []
    for first, second in enumerate(partners.tolist()):
        if first < second:
            of_pair = (labels == first) | (labels == second)
            correct = int(matrix[first, first] + matrix[second, second])
            results.append(
                PairResult(
                    (first, second), int(of_pair.sum()), correct, int(ordered[of_pair].sum())
                )
            )
    return results


class ClassResult(NamedTuple):
    """Counts of a class: its listed videos, those correct, and what it is most often taken for."""

    label: int
    videos: int
    correct: int
    confused_with: int | None
    confused: int


def class_results(scores: Scores, num_classes: int) -> list[ClassResult]:
    """One result a class, in label order; broken videos are among its `videos`."""
    matrix = confusion_matrix(scores, num_classes)
    listed = torch.bincount(_all_listed(scores)[1], minlength=num_classes).tolist()
    correct = matrix.diagonal().tolist()
    wrong = matrix - np.diag(matrix.diagonal())
    return [
        ClassResult(
            label,
            listed[label],
            correct[label],
            int(row.argmax()) if row.any() else None,
            int(row.max()),
        )
        for label, row in enumerate(wrong)
    ]


def _all_listed(scores: Scores) -> tuple[torch.Tensor, torch.Tensor]:
    """Probabilities and labels of all videos, NaN for those that do not decode."""
    missing = torch.tensor(list(scores.broken_labels.values()), dtype=torch.long)
    nothing = torch.full((len(missing), scores.probabilities.shape[1]), torch.nan)
    return torch.cat([scores.probabilities, nothing]), torch.cat([scores.labels, missing])


def _rank(probabilities: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """(N,) the place of each video's own class among its scores; 1 is best."""
    own = probabilities.gather(1, labels[:, None])
    # ours: ties count against us, so a constant score is never right; nor is NaN
    return (probabilities >= own).sum(1).masked_fill(own.isnan()[:, 0], _NEVER)


def _percent_interval(correct: int, total: int) -> tuple[float, float]:
    low, high = wilson_interval(correct, total)
    return 100 * low, 100 * high


def _ordered(probabilities: torch.Tensor, labels: torch.Tensor, partners: IntArray) -> torch.Tensor:
    """(N,) whether each video's own class scores above the other of its pair."""
    own = probabilities.gather(1, labels[:, None])
    other = probabilities.gather(1, torch.from_numpy(partners)[labels][:, None])
    return (own > other)[:, 0]

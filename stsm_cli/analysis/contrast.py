"""Two rows compared video by video: a difference whose uncertainty counts draws, seeds and videos.

A draw of a generated set has its own videos to train and to test; on a draw all runs are tested on
the same videos. Each of the three is drawn again, its effects shrunk to the variance that is its
own: else what videos do would be counted once more as an effect of runs, and again as one of draws.

Shapes: S runs of a row on a draw, V test videos of it.
"""

from base64 import b64decode
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from stsm_cli.analysis.records import RunRecord
from stsm_cli.analysis.statistics import mean_test

Hits = npt.NDArray[np.bool_]
"""(V,) the test videos that a run has right."""
Effects = npt.NDArray[np.float64]

RESAMPLES = 10_000  # ours: p is known to 0.004 where it is 0.05


@dataclass(frozen=True)
class Contrast:
    """By how many points of top-1 the first row is above the second.

    Attributes:
        difference: Mean over draws, of the mean over runs and videos.
        interval: Its 95 % interval.
        p: Two-sided; below 0.05 where the interval leaves out 0.
        p_of_draws: Of a t-test over the means of the draws alone; None of a single draw.
        num_draws: Of the set that both rows were run on.
        num_runs: Of the first and of the second row, on these draws.
    """

    difference: float
    interval: tuple[float, float]
    p: float
    p_of_draws: float | None
    num_draws: int
    num_runs: tuple[int, int]

    @property
    def cells(self) -> list[str]:
        """The difference and its interval, as a table writes them."""
        low, high = self.interval
        return [f"{self.difference:+.1f}", f"{low:+.1f} to {high:+.1f}"]


def contrast_of(first: Sequence[RunRecord], second: Sequence[RunRecord]) -> Contrast | None:
    """The contrast of two rows on the draws that both were run on.

    None if there are none, or a run on them does not tell which videos it had right.
    """
    return _contrast(tuple(map(_tested, first)), tuple(map(_tested, second)))


class _Tested(NamedTuple):
    """Facts of a run that a contrast needs."""

    draw: Hashable
    """Runs of the same were tested on the same videos."""
    seed: int
    hits: str | None
    num_videos: int


def _tested(record: RunRecord) -> _Tested:
    made_from, score = record.recipe.data.generated, record.score
    settings = made_from and made_from.model_dump_json()
    draw = record.identity.data, settings, record.recipe.test.split
    return _Tested(draw, record.seed, score.hits, score.num_listed)


@lru_cache(maxsize=1024)  # pages ask for the same pairs again and again
def _contrast(first: tuple[_Tested, ...], second: tuple[_Tested, ...]) -> Contrast | None:
    ours, theirs = ({run.draw: None for run in row} for row in (first, second))
    shared = [draw for draw in ours if draw in theirs]
    rows = [
        [[run for run in row if run.draw == draw] for draw in shared] for row in (first, second)
    ]
    if not shared or any(run.hits is None for row in rows for draw in row for run in draw):
        return None
    return contrast(*([{run.seed: _unpacked(run) for run in draw} for draw in row] for row in rows))


def _unpacked(run: _Tested) -> Hits:
    packed = np.frombuffer(b64decode(run.hits or ""), np.uint8)
    return np.unpackbits(packed, count=run.num_videos).astype(bool)


def contrast(
    first: Sequence[Mapping[int, Hits]],
    second: Sequence[Mapping[int, Hits]],
    *,
    resamples: int = RESAMPLES,
) -> Contrast:
    """The contrast of two rows: a bootstrap over draws, runs and videos.

    Runs of the same seed are compared with each other where both rows have the same seeds. Three
    draws do not tell well how far draws differ, so p is too small: benchmarks/contrast.py simulates
    by how much. Of a single run on a draw its seed is no part of the interval but through the
    draws.

    Args:
        first: By draw and seed, which videos a run has right.
        second: Likewise, on the same draws and videos.
        resamples: How often all is drawn again; always alike.

    Raises:
        ValueError: There is no draw, a draw has no run, or the videos of a draw differ in number.
    """
    _check(first, second)
    draws = _signed(first, second)
    means = np.array([sum(runs.mean() for runs in draw) for draw in draws])
    samples = _samples(draws)
    known = [sum(_variance(effects) / size for effects, size in own) for own in samples]
    between = _own([means - means.mean()], float(np.mean(known)))
    rng = np.random.default_rng(0)
    found = means.mean() + _mean_again(between, len(draws), resamples, rng)
    for effects, size in chain.from_iterable(samples):
        found += _mean_again(effects, size, resamples, rng) / len(draws)
    low, high = np.percentile(found, [2.5, 97.5])
    beyond = min(np.count_nonzero(found <= 0), np.count_nonzero(found >= 0))
    return Contrast(
        difference=100 * float(means.mean()),
        interval=(100 * float(low), 100 * float(high)),
        p=min(1.0, 2 * (int(beyond) + 1) / (len(found) + 1)),
        p_of_draws=mean_test(100 * means),
        num_draws=len(first),
        num_runs=(sum(map(len, first)), sum(map(len, second))),
    )


def _signed(
    first: Sequence[Mapping[int, Hits]], second: Sequence[Mapping[int, Hits]]
) -> list[list[Effects]]:
    """By draw, runs (S, V) whose means add up to its difference.

    They are one matrix, of differences, where both rows have the same seeds on all draws; else two.
    """
    both = [
        [np.stack([runs[seed] for seed in sorted(runs)]).astype(float) for runs in draw]
        for draw in zip(first, second, strict=True)
    ]
    if all(a.keys() == b.keys() for a, b in zip(first, second, strict=True)):
        return [[ours - theirs] for ours, theirs in both]
    return [[ours, -theirs] for ours, theirs in both]


def _samples(draws: Sequence[Sequence[Effects]]) -> list[list[tuple[Effects, int]]]:
    """By draw, the effects of its runs and of its videos, each with how many a mean is of."""
    runs = [_effects_of_runs(row) for row in zip(*draws, strict=True)]
    samples = []
    for draw in draws:
        by_video = np.sum([row.mean(0) for row in draw], axis=0)
        videos = _own([by_video - by_video.mean()], 0.0)
        sizes = [len(row) for row in draw]
        samples.append([*zip(runs, sizes, strict=True), (videos, len(videos))])
    return samples


def _effects_of_runs(draws: Sequence[Effects]) -> Effects:
    """Effects of the runs of a row, by draw (S, V), free of what single videos do to them."""
    effects = [runs.mean(1) - runs.mean() for runs in draws]
    rests = [runs - runs.mean(1, keepdims=True) - runs.mean(0) + runs.mean() for runs in draws]
    freedom = sum((len(rest) - 1) * (rest.shape[1] - 1) for rest in rests)
    noise = sum(float((rest**2).sum() / rest.shape[1]) for rest in rests) / max(1, freedom)
    return _own(effects, noise)


def _own(effects: Sequence[Effects], noise: float) -> Effects:
    """All `effects`, of groups that sum to 0 each, scaled to the variance that is left of theirs.

    Args:
        effects: Of one group or more.
        noise: Variance that the levels below give them.
    """
    together = np.concatenate(effects)
    squares, freedom = float(together @ together), sum(len(group) - 1 for group in effects)
    if squares == 0 or freedom == 0:
        return np.zeros_like(together)
    own = max(0.0, squares / freedom - noise)
    return np.asarray(together * np.sqrt(own * len(together) / squares))


def _variance(effects: Effects) -> float:
    return float(np.mean(effects**2))


def _mean_again(effects: Effects, size: int, times: int, rng: np.random.Generator) -> Effects:
    """(`times`,) means of `size` of the effects, drawn with replacement."""
    values, counts = np.unique(effects, return_counts=True)  # of videos there are few
    drawn = rng.multinomial(size, counts / len(effects), size=times)
    return np.asarray(drawn @ values / size)


def _check(first: Sequence[Mapping[int, Hits]], second: Sequence[Mapping[int, Hits]]) -> None:
    if not first or len(first) != len(second):
        raise ValueError(f"{len(first)} and {len(second)} draws; both rows need the same, any")
    for number, draw in enumerate(zip(first, second, strict=True)):
        if not all(draw):
            raise ValueError(f"draw {number}: {len(draw[0])} and {len(draw[1])} runs")
        lengths = {len(hits) for runs in draw for hits in runs.values()}
        if len(lengths) > 1:
            told = " and ".join(map(str, sorted(lengths)))
            raise ValueError(f"draw {number}: runs of {told} videos")

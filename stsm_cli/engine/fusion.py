"""Fusion of two tests: their scores, video by video, become one result.

Both must be of the same videos under the same protocol. A video that one of the two could not
decode counts as wrong.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from typing_extensions import assert_never

from stsm_cli.config.load import EDITS
from stsm_cli.data.manifest import Manifest, VideoRecord
from stsm_cli.engine.accuracy import summary
from stsm_cli.engine.identity import describe_environment
from stsm_cli.engine.kept_tests import KeptTest, check_same
from stsm_cli.engine.runlog import write_result
from stsm_cli.engine.score_files import SavedScores
from stsm_cli.engine.scores import Scores
from stsm_cli.engine.testing import Evaluation
from stsm_cli.errors import StsmError
from stsm_cli.progress import SILENT, Progress
from stsm_cli.stored import By, Fusion, Result, read_stored

_TINY = torch.finfo(torch.float32).tiny  # a probability of 0 has no logarithm
_SHARED = ("split_id", "list_sha256", "class_hash", "num_in_lists")


def fuse(
    first: KeptTest,
    second: KeptTest,
    *,
    weights: tuple[float, float] = (1.0, 1.0),
    by: By = "prob",
    progress: Progress = SILENT,
) -> Evaluation:
    """One test of two, which the first run's folder keeps as `fused_file`, if it can be written.

    Where a fusion with another run of the second's folder name is kept there, the name ends in the
    beginning of the hash of the second's weights.

    Args:
        weights: Of each, above 0.
        by: `prob`: the weighted mean of the class probabilities. `logits`: the softmax of the
            weighted sum of their logarithms, which is that of the logits where there is one view a
            video, or where the logits of the views are averaged.
        progress: Told where it is kept, or why it is not.

    Raises:
        DataError: The tests differ in protocol, split, classes or videos.
        StsmError: No video was decoded in both.
    """
    check_same(first, second)
    scores, manifest = _fused_scores(first.scores, second.scores, weights, by)
    both = first.result, second.result
    result = Result(
        name=" and ".join(result.name.partition(EDITS)[0] for result in both),
        checkpoint=" and ".join(result.checkpoint or "last.pt" for result in both),
        protocol=first.result.protocol,
        recipe_hash="+".join(result.recipe_hash for result in both),
        weights_sha256="+".join(str(result.weights_sha256) for result in both),
        numerics=first.result.numerics,
        decoder=first.result.decoder,
        seconds_eval=round(sum(result.seconds_eval for result in both), 1),
        environment=describe_environment(torch.device("cpu"), str(first.result.decoder)),
        fused=Fusion(names=(both[0].name, both[1].name), weights=weights, by=by),
        **{key: getattr(first.result, key) for key in _SHARED},
        **vars(summary(scores, manifest, first.recipe)),
    )
    path = fused_file(first, second, weights=weights, by=by)
    if _is_of_another(path, second):
        progress.message(f"{path} stays: it is of another run that was called so")
        path = path.with_stem(f"{path.stem}-{str(second.result.weights_sha256)[:8]}")
    _keep(path, result, progress)
    return Evaluation(result, scores, manifest)


def _keep(path: Path, result: Result, progress: Progress) -> None:
    try:
        write_result(path, result)
        progress.message(f"kept as {path}")
    except StsmError as error:  # the numbers are worth more than the file
        progress.message(f"warning: {error}")


def _is_of_another(path: Path, second: KeptTest) -> bool:
    """Whether the file tells of another second run: folders may be called alike."""
    try:
        kept, _ = read_stored(path, Result, "a result", StsmError)
    except StsmError:  # none, or not to be read
        return False
    return str(kept.weights_sha256).rpartition("+")[2] != str(second.result.weights_sha256)


def fused_file(
    first: KeptTest, second: KeptTest, *, weights: tuple[float, float] = (1.0, 1.0), by: By = "prob"
) -> Path:
    """The file of a fusion: `fuse-<second>-<protocol>.json`, with what is not the default."""
    parts = ["fuse", second.folder.path.resolve().name, second.result.protocol]
    parts += [] if by == "prob" else [by]
    parts += [] if weights == (1.0, 1.0) else [f"{weight:g}" for weight in weights]
    return first.folder.path / f"{'-'.join(parts)}.json"


def _fused_scores(
    first: SavedScores, second: SavedScores, weights: tuple[float, float], by: By
) -> tuple[Scores, Manifest]:
    """Scores of all videos that both decode, and the list of all."""
    both = first.probabilities.keys() & second.probabilities.keys()
    order = {path: place for place, path in enumerate(first.labels)}
    used = [path for path in order if path in both]
    rows = _mean([first, second], weights, used, by)
    labels = torch.tensor([first.labels[path] for path in used])
    broken = {order[path]: first.labels[path] for path in order if path not in both}
    records = [VideoRecord(path, label, 1, 0.0, 1, 1) for path, label in first.labels.items()]
    scores = Scores(rows, labels, tuple(order[path] for path in used), broken)
    return scores, Manifest(Path(), "val", first.classes, records)


def _mean(
    streams: Sequence[SavedScores], weights: Sequence[float], used: Sequence[str], by: By
) -> torch.Tensor:
    """Probabilities (M, K) of the videos `used`."""
    if not used:
        raise StsmError("no video was decoded in both tests")
    rows = [np.stack([stream.probabilities[path] for path in used]) for stream in streams]
    parts = torch.from_numpy(np.stack(rows)).double()  # (2, M, K)
    shares = torch.tensor(weights, dtype=torch.double)[:, None, None]
    match by:
        case "prob":
            return ((shares * parts).sum(0) / shares.sum()).float()
        case "logits":
            return (shares * parts.clamp_min(_TINY).log()).sum(0).softmax(-1).float()
    assert_never(by)

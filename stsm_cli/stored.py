"""Typed files of a run folder, and what a run record shares with them.

Writers and readers use the same kinds, which are strict and frozen. Keys that a kind does not have
are passed over: other versions of stsm wrote more, or will.
"""

import json
import math
from base64 import b64decode
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, cast

from pydantic import (
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveInt,
    TypeAdapter,
    ValidationError,
)
from pydantic.dataclasses import dataclass
from pydantic_core import to_json

from stsm_cli.cores import with_vectors
from stsm_cli.errors import StsmError

STRICT = ConfigDict(strict=True, allow_inf_nan=False)
Percent = Annotated[float, Field(ge=0, le=100)]
Text = Annotated[str, Field(min_length=1, pattern=r"^[^\x00]*$")]  # a file may be called so
By = Literal["prob", "logits"]
Kind = TypeVar("Kind")
DRAWN = ".predicted.mp4"
"""Ending of the videos that `stsm predict --save` draws."""

_SAME = 1e-3  # percent; the mean of 0 and 1 in float32 is that far from its fraction


@dataclass(frozen=True, config=STRICT)
class Pair:
    """Counts of a test on the videos of two classes that one thing alone tells apart."""

    classes: tuple[str, str]
    videos: NonNegativeInt
    correct: NonNegativeInt
    ordered: NonNegativeInt
    """Videos that score their own class above the other of the pair."""
    factor: str | None = None
    """What tells them apart, by the data set's card; None in results from before it was kept."""


@dataclass(frozen=True, config=STRICT)
class FactorScore:
    """Counts of a test on the videos of all pairs that the same thing tells apart."""

    videos: NonNegativeInt
    correct: NonNegativeInt
    ordered: NonNegativeInt

    @property
    def top1(self) -> float:
        """Percentage of these videos that are right, among all classes of the set."""
        return 100 * self.correct / max(1, self.videos)

    @property
    def in_pair(self) -> float:
        """Percentage of these videos that score their class above the other of its pair."""
        return 100 * self.ordered / max(1, self.videos)


@dataclass(frozen=True, config=STRICT)
class Score:
    """Outcome of a test: counts, and accuracies in percent."""

    num_videos: PositiveInt
    """Videos that decoded in this test."""
    num_listed: PositiveInt
    """Videos of the split's manifest; those that did not decode count as wrong."""
    correct: NonNegativeInt
    top1: Percent
    top1_interval: tuple[Percent, Percent]
    """95 % Wilson interval of `top1`."""
    top5: Percent
    mean_class: Percent
    pair_accuracy: Percent | None
    """Share of videos whose class scores above the other of its pair; None on sets without any."""
    pairs: tuple[Pair, ...] | None = None
    """One a pair; None on sets without any, and in records from before pairs were counted."""
    hits: str | None = None
    """The listed videos that are right, by the order of their paths: bits, packed, in base64. None
    in results from before they were kept."""

    @property
    def factors(self) -> dict[str, FactorScore]:
        """Its pairs by what tells them apart, in their order; empty where nothing says so."""
        names = dict.fromkeys(pair.factor for pair in self.pairs or () if pair.factor)
        return {name: _together(self.pairs or (), name) for name in names}


@dataclass(frozen=True, kw_only=True, config=STRICT)
class SplitScore(Score):
    """Outcome of a test on all videos of a split, with those that could not take part."""

    top5_interval: tuple[Percent, Percent] | None = None
    """95 % Wilson interval of `top5`; None in results from before it was kept."""
    broken: tuple[str, ...]
    """Paths of the videos that did not decode."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Fusion:
    """Origin of a result that was made of two others' scores."""

    names: tuple[str, str]
    """The recipes'."""
    weights: tuple[float, float]
    by: By


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Result(SplitScore):
    """`result.json`, and `eval-<protocol>.json`: a test and whose it is.

    What has a default is absent from files of older versions.
    """

    schema: str = "stsm.result/1"
    name: str
    """The recipe's."""
    checkpoint: str | None = None
    """File name of the weights; None in the result that ends a training."""
    protocol: str
    recipe_hash: str
    numerics: PositiveInt = 1
    split_id: str | None = None
    """Id of the split's videos."""
    list_sha256: str | None = None
    """SHA-256 of the split's list; None where it was made in memory."""
    class_hash: str | None = None
    num_in_lists: NonNegativeInt | None = None
    """Videos of the data set's own lists, usable or not; None where the set was not verified."""
    decoder: str | None = None
    reencoded: str | None = None
    """Folder of the videos that `prepare --short-side` made, named by their encoding; None where
    they are as they came."""
    weights_sha256: str | None = None
    seconds_train: NonNegativeFloat = 0.0
    seconds_eval: NonNegativeFloat
    environment: dict[str, Any] | None = None
    """Of the test; a training has `environment.json`."""
    fused: Fusion | None = None
    """None where one network was tested."""
    stopped_epoch: PositiveInt | None = None
    """The last epoch of a training that ended before its recipe's; None: it did not."""


_SCORE_KEYS = (
    *("num_videos", "num_listed", "correct", "top1", "top1_interval", "top5", "top5_interval"),
    *("mean_class", "pair_accuracy", "pairs", "hits", "broken"),
)
_DATA_KEYS = ("list_sha256", "class_hash", "num_in_lists", "decoder")
_TRAINING_KEYS = (
    *("schema", "name", "protocol", "recipe_hash", "numerics", "split_id", *_SCORE_KEYS),
    *("seconds_train", "seconds_eval", *_DATA_KEYS, "weights_sha256"),
)
_TEST_KEYS = (
    *("schema", "name", "checkpoint", "protocol", "recipe_hash", "numerics", *_SCORE_KEYS),
    *(*_DATA_KEYS, "split_id", "weights_sha256", "seconds_eval", "environment"),
)


_RARE_KEYS = ("fused", "stopped_epoch", "reencoded")  # absent where they are None


@dataclass(frozen=True, config=STRICT)
class Epoch:
    """A line of `metrics.jsonl`."""

    epoch: PositiveInt
    """From 1."""
    lr: NonNegativeFloat
    train_loss: float
    train_top1: Percent
    val_top1: Percent
    seconds: NonNegativeFloat
    seconds_val: NonNegativeFloat


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Origin:
    """Origin of a run, as its environment and its record tell."""

    class_hash: str | None = None
    init_sha256: str | None = None
    """Of the file that `model.init` names."""
    data_id: str | None = None
    """Id of the videos; None in runs from before it was kept."""
    files: dict[str, str] = Field(default_factory=dict)
    """Of a generated set, ids of its files by split; empty in runs from before they were kept."""
    numerics: PositiveInt = 1
    stsm: str | None = None
    packages: dict[str, str] = Field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class StepBatch:
    """The batch of an optimiser step, and the learning rate that goes with it."""

    batch_size: PositiveInt
    lr: NonNegativeFloat


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Machine(Origin):
    """And on what it ran, as its record tells."""

    commit: str | None = None
    python: str | None = None
    platform: str | None = None
    device: str | None = None
    cpu: str | None = None
    """The processor's name: another kind rounds otherwise. None in runs from before it was kept."""
    cpu_capability: str | None = None
    decoder: str | None = None
    batch: StepBatch | None = None

    @property
    def processor(self) -> str:
        """The kind of CPU."""
        return with_vectors(self.cpu or "a CPU of no name", self.cpu_capability)


@dataclass(frozen=True, config=STRICT)
class MirrorNames:
    """Which classes the training's mirror images swapped, and who said so."""

    pairs: tuple[tuple[str, str], ...]
    source: str


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Environment(Origin):
    """`environment.json`: what is needed to go on with a run, or to test it."""

    recipe: Text
    """Its name."""
    data: Text
    """The data set's folder."""
    decoder: str
    mirror: MirrorNames | None = None
    """None in runs from before it was kept."""


def result_record(result: Result) -> dict[str, Any]:
    """Content of a result's file: of the end of a training, or of a test of its own."""
    content = asdict(result)
    keys = _TRAINING_KEYS if result.checkpoint is None else _TEST_KEYS
    rare = {key: content[key] for key in _RARE_KEYS if content[key] is not None}
    return {key: content[key] for key in keys} | rare


def read_stored(
    path: Path, kind: type[Kind], what: str, error: type[StsmError], hint: str | None = None
) -> tuple[Kind, dict[str, Any]]:
    """The content of a JSON file, typed and as it stands.

    Args:
        path: The file.
        kind: What it must hold.
        what: The kind in words, for messages.
        error: What is raised, with `hint`.

    Raises:
        StsmError: It cannot be read or is no such thing; names the key.
    """
    return _parse(_content(path, error, hint), kind, f"{path}: not {what}", error, hint)


def read_lines(
    path: Path, kind: type[Kind], what: str, error: type[StsmError]
) -> list[tuple[Kind, dict[str, Any]]]:
    """The same of each line of a file but for the last, of which a kill may have left half.

    Raises:
        StsmError: As `read_stored`; names the line, too.
    """
    lines = _content(path, error, None).split(b"\n")[:-1]
    return [
        _parse(line, kind, f"{path}:{number}: not {what}", error, None)
        for number, line in enumerate(lines, start=1)
    ]


def _content(path: Path, error: type[StsmError], hint: str | None) -> bytes:
    try:
        return path.read_bytes()
    except OSError as problem:
        raise error(f"{path}: cannot be read ({problem.strerror})", hint=hint) from None


def _parse(
    content: bytes, kind: type[Kind], where: str, error: type[StsmError], hint: str | None
) -> tuple[Kind, dict[str, Any]]:
    try:
        typed: Kind = _adapter(cast(Hashable, kind)).validate_json(content)
        return typed, json.loads(content, parse_constant=_refuse)
    except ValidationError as problem:
        raise error(f"{where}: {first_problem(problem)}", hint=hint) from None
    except ValueError as problem:
        raise error(f"{where}: Invalid JSON: {problem}", hint=hint) from None


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:  # noqa: ANN401  # a class
    return TypeAdapter(kind)


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no number")


def as_stored(kind: type[Kind], plain: Mapping[str, Any]) -> Kind:
    """A `kind` of what JSON would hold of `plain`.

    Raises:
        ValidationError: It is none: what is written would not be read.
    """
    content = to_json(dict(plain), inf_nan_mode="constants")
    typed: Kind = _adapter(cast(Hashable, kind)).validate_json(content)
    return typed


def first_problem(error: ValidationError) -> str:
    """The first problem in words: the dotted key, then the rule."""
    first = error.errors(include_url=False)[0]
    where = ".".join(map(str, first["loc"]))
    rule = first["msg"].partition("\n")[0]  # of a recipe's several
    return f"{where}: {rule}" if where else rule


def wilson_interval(correct: int, total: int) -> tuple[float, float]:
    """The 95 % Wilson score interval of a proportion, as fractions (E. B. Wilson, 1927)."""
    z = 1.959964  # the normal distribution has 95 % within as many standard deviations
    share, spread = correct / total, z * z / total
    centre = (share + spread / 2) / (1 + spread)
    half = z / (1 + spread) * math.sqrt(share * (1 - share) / total + spread / (4 * total))
    return max(0.0, centre - half), min(1.0, centre + half)


def _together(pairs: Iterable[Pair], factor: str) -> FactorScore:
    own = [pair for pair in pairs if pair.factor == factor]
    videos, correct, ordered = (
        sum(getattr(pair, count) for pair in own) for count in ("videos", "correct", "ordered")
    )
    return FactorScore(videos, correct, ordered)


def contradiction(score: Score) -> str | None:
    """The first contradiction between counts and accuracies of a test; None where they agree."""
    total, correct = score.num_listed, score.correct
    if not correct <= score.num_videos <= total:
        return f"num_videos is {score.num_videos}, with {correct} correct of {total} listed"
    top1, (low, high) = 100 * correct / total, score.top1_interval
    wilson = [100 * bound for bound in wilson_interval(correct, total)]
    if not (_same(score.top1, top1) and _same(low, wilson[0]) and _same(high, wilson[1])):
        return (
            f"top1 is {score.top1:g} in {low:g} to {high:g}, but {correct} of {total} videos are "
            f"{top1:g} % in {wilson[0]:g} to {wilson[1]:g}"
        )
    if score.top5 < top1 - _SAME:
        return f"top5 is {score.top5:g}, less than top1, {top1:g}"
    return _hits_contradict(score) or _pairs_contradict(score)


def _hits_contradict(score: Score) -> str | None:
    if score.hits is None:
        return None
    try:
        packed = b64decode(score.hits, validate=True)
    except ValueError:
        return f"hits is {score.hits:.40}, not base64"
    if len(packed) != -(-score.num_listed // 8):
        return f"hits has {len(packed)} bytes, for {score.num_listed} listed videos"
    bits = int.from_bytes(packed, "big")
    if bits & ((1 << 8 * len(packed) - score.num_listed) - 1):
        return f"hits marks videos behind the last of {score.num_listed}"
    if (right := bits.bit_count()) != score.correct:
        return f"hits has {right} videos right, but correct is {score.correct}"
    return None


def _pairs_contradict(score: Score) -> str | None:
    if score.pairs is None:
        if score.pair_accuracy is not None and score.pair_accuracy < score.top1 - _SAME:
            return f"pair_accuracy is {score.pair_accuracy:g}, less than top1, {score.top1:g}"
        return None
    for pair in score.pairs:
        if not pair.correct <= pair.ordered <= pair.videos:
            return (
                f"pairs of {' and '.join(pair.classes)}: {pair.correct} correct, "
                f"{pair.ordered} ordered, of {pair.videos} videos"
            )
    videos, correct = (sum(getattr(p, key) for p in score.pairs) for key in ("videos", "correct"))
    if videos > score.num_listed:
        return f"pairs: they hold more than the {score.num_listed} listed videos"
    if correct > score.correct or (videos == score.num_listed and correct < score.correct):
        return f"pairs: {correct} of their {videos} videos are correct, {score.correct} of all"
    counted = 100 * sum(pair.ordered for pair in score.pairs) / score.num_listed
    if score.pair_accuracy is None or not _same(score.pair_accuracy, counted):
        return f"pair_accuracy is {score.pair_accuracy}, but its pairs give {counted:g}"
    return None


def _same(stated: float, counted: float) -> bool:
    return abs(stated - counted) < _SAME

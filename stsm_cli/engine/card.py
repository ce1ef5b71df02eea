"""The card of an exported network: all that is needed to use it, and to know what it is.

It travels inside the file as JSON, under the name `weights_kind.CARD`: in an ONNX file among the
metadata, in a safetensors file in the header, in a `.pt2` file as an extra file.
"""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from stsm_cli import __version__
from stsm_cli.config.kinds import FlowMethod
from stsm_cli.config.schema import Recipe
from stsm_cli.data.flow import LIMIT_PX
from stsm_cli.data.mirror import Mirror
from stsm_cli.errors import CheckpointError, StsmError
from stsm_cli.progress import Progress
from stsm_cli.stored import STRICT, MirrorNames, Percent, Result, first_problem, read_stored

if TYPE_CHECKING:
    from stsm_cli.engine.trained import Trained

SCHEMA = "stsm.card/1"


@dataclass(frozen=True, config=STRICT)
class Accuracy:
    """Outcome of a test of the same weights, under the protocol it names."""

    top1: Percent
    top5: Percent
    num_videos: int
    protocol: str
    split_id: str | None = None
    """Id of the videos; None in cards from before it was kept."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Reading:
    """Facts of `recipe` for programs that read videos without stsm."""

    sampling: str
    """`uniform`: the middle frame of each of `num_positions` equal parts of the video. `dense`:
    `num_positions` frames of a window of `window` frames, evenly spaced from its first on.
    `slowfast_uniform` and `slowfast_dense`, `tpn_uniform` and `tpn_dense`, `motion`: as in
    stsm_cli/data/sampling.py."""
    num_positions: int
    consecutive: int
    """Frames that are read at each position, `stride` frames apart."""
    stride: int
    window: int
    short_side_px: int
    """Size to which frames are resized, bilinear without antialiasing, before they are cropped."""
    crop_px: int
    mean: tuple[float, ...]
    """Of R, G and B on the scale of 0 to 255; to be subtracted, unless it is done inside."""
    std: tuple[float, ...]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class FlowReading:
    """Optical flow as a network of flow reads it: two channels a field, x and y, in that order."""

    method: FlowMethod
    """As `stsm prepare flow --method` names it."""
    limit_px: float
    """Of motion to the next frame, either way: level 128 is rest, 255 is this many pixels, and
    what is faster counts as this fast."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ModelCard:
    """The content of a card."""

    schema: str = SCHEMA
    stsm: str
    name: str
    """The recipe's title."""
    classes: tuple[str, ...]
    input: str
    """Its name, kind and shape; N is free."""
    output: str
    with_preprocessing: bool
    """True where it takes pixels as they are and gives probabilities, averaged over views."""
    reading: Reading
    flow: FlowReading | None = None
    """None: it reads frames."""
    protocol: str
    recipe: dict[str, Any]
    """As it was trained, its `test` section being the protocol."""
    mirror: MirrorNames | None
    """What a mirror image did to the classes in the training, where that is known."""
    accuracy: Accuracy | None
    weights_sha256: str
    """Over names and values of the tensors, as in a run's result."""

    def text(self) -> str:
        """The card as JSON."""
        return TypeAdapter(ModelCard).dump_json(self).decode()

    def as_dict(self) -> dict[str, Any]:
        """The card as plain data."""
        return asdict(self)


def reading(recipe: Recipe) -> Reading:
    """What a recipe's test reads of a video."""
    view = recipe.model.view
    return Reading(
        sampling=recipe.data.sampling,
        num_positions=view.num_positions,
        consecutive=view.consecutive,
        stride=1,
        window=view.window,
        short_side_px=recipe.data.short_side_px,
        crop_px=recipe.test.crop_px,
        mean=view.mean,
        std=view.std,
    )


def flow_reading(recipe: Recipe) -> FlowReading | None:
    """What a recipe's network reads in place of frames; None where it reads these."""
    if recipe.model.stream != "flow":
        return None
    return FlowReading(method=recipe.data.flow, limit_px=LIMIT_PX)


def make_card(
    subject: "Trained",
    classes: tuple[str, ...],
    weights_sha256: str,
    *,
    takes: str,
    gives: str,
    with_preprocessing: bool,
    mirror: Mirror | None,
    progress: Progress,
) -> ModelCard:
    """The card of what is made of `subject`.

    Args:
        classes: Names in label order.
        takes: Name, kind and shape of the input.
        gives: Likewise of the output.
        with_preprocessing: As in the card.
        mirror: What a mirror image did to the classes in the training, where that is known.
        progress: Is told why an accuracy is not known.
    """
    recipe = subject.recipe
    network = recipe.model.without_start(num_classes=len(classes))  # no path of a machine
    recipe = recipe.model_copy(update={"model": network})
    return ModelCard(
        stsm=__version__,
        name=subject.name,
        classes=classes,
        input=takes,
        output=gives,
        with_preprocessing=with_preprocessing,
        reading=reading(recipe),
        flow=flow_reading(recipe),
        protocol=subject.protocol,
        recipe=recipe.model_dump(mode="json", exclude_unset=True),
        mirror=MirrorNames(mirror.pairs, mirror.source) if mirror else None,
        accuracy=_accuracy(subject, weights_sha256, progress),
        weights_sha256=weights_sha256,
    )


def _accuracy(subject: "Trained", weights_sha256: str, progress: Progress) -> Accuracy | None:
    """Of the run's tests of these weights the one under the same protocol, else the first.

    The first is that at the end of the training; the others follow by their files' names.
    """
    if subject.card is not None and subject.card.weights_sha256 == weights_sha256:
        return subject.card.accuracy
    if subject.folder is None:
        return None
    files = [subject.folder.result_file, *sorted(subject.folder.path.glob("eval-*.json"))]
    found = []
    for file in filter(Path.is_file, files):  # a run that has not finished has no result
        try:
            result, _ = read_stored(file, Result, "a run's result", CheckpointError)
        except StsmError as error:  # the network is as good without it
            progress.message(f"warning: {error}")
            continue
        if result.weights_sha256 == weights_sha256:
            counted = (result.top1, result.top5, result.num_listed)
            found.append(Accuracy(*counted, result.protocol, result.split_id))
    same = [accuracy for accuracy in found if accuracy.protocol == subject.protocol]
    return next(iter([*same, *found]), None)


def read_card(path: Path, text: str | None) -> ModelCard:
    """The card in the file at `path`.

    Args:
        text: What the file holds under `CARD`; None: nothing.

    Raises:
        CheckpointError: There is none, or it is none that this version reads; names the key.
    """
    hint = "`stsm export` makes a file with a card"
    if text is None:
        raise CheckpointError(f"{path}: has no card of stsm", hint=hint)
    try:
        return TypeAdapter(ModelCard).validate_json(text)
    except ValidationError as problem:
        where = f"{path}: its card is not readable: {first_problem(problem)}"
        raise CheckpointError(where, hint=hint) from None


def card_recipe(path: Path, card: ModelCard) -> Recipe:
    """The recipe of a card.

    Raises:
        CheckpointError: It is none of this version.
    """
    try:
        return TypeAdapter(Recipe).validate_json(TypeAdapter(dict).dump_json(card.recipe))
    except ValidationError as problem:
        raise CheckpointError(
            f"{path}: its card's recipe is not readable: {first_problem(problem)}",
            hint=f"it was made by stsm {card.stsm}, and this is {__version__}",
        ) from None


def card_mirror(card: ModelCard) -> Mirror | None:
    """Effect of a mirror on the classes in the training, where the card tells it."""
    return Mirror(card.mirror.pairs, card.mirror.source) if card.mirror else None

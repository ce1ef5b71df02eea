"""The kinds of values that a recipe holds, and what all of its sections have in common."""

import os
from collections.abc import Iterable
from fractions import Fraction
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer

from stsm_cli.config.notation import parse_alpha, parse_dims

Alpha = Annotated[Fraction, BeforeValidator(parse_alpha), PlainSerializer(str)]


def _check_dims(value: Any) -> Any:  # noqa: ANN401
    if isinstance(value, str):
        parse_dims(value)
    return value


Dims = Annotated[str, BeforeValidator(_check_dims)]


def _check_integer(value: Any) -> Any:  # noqa: ANN401
    if isinstance(value, (bool, float)):  # trap: a Literal takes True and 1.0 for 1
        raise ValueError("must be an integer")
    return value


def _check_path(value: str) -> str:
    if "\0" in value or len(value) > 4096:
        raise ValueError("must be the path of a file")
    return os.path.expanduser(value)  # noqa: PTH111  # text stays text


# ours: bounds far beyond any use. A slip of the keyboard is told at once, not by a machine that
# has run out of memory; and products of them stay finite in float32.
MAX_FRAMES, MAX_PX, MAX_CLASSES = 4096, 8192, 1_000_000
NumFrames = Annotated[int, Field(gt=0, le=MAX_FRAMES)]
Pixels = Annotated[int, Field(gt=0, le=MAX_PX)]
NumClasses = Annotated[int, Field(gt=0, le=MAX_CLASSES)]
NumVideos = Annotated[int, Field(gt=0, le=10_000_000)]
Epochs = Annotated[int, Field(gt=0, le=1_000_000)]
Rate = Annotated[float, Field(gt=0, le=1000)]

BETWEEN = "\n\n"  # two problems; a line feed is between one and its cure

PartName = Annotated[str, Field(min_length=1, max_length=250)]
FilePath = Annotated[str, AfterValidator(_check_path)]
NumClips = Annotated[Literal[1, 2, 10], BeforeValidator(_check_integer)]
NumCrops = Annotated[Literal[1, 3, 10], BeforeValidator(_check_integer)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]
Stream = Literal["rgb", "flow"]
FlowMethod = Literal["dis", "farneback", "tvl1"]


def rules(message: str) -> list[tuple[str, str | None]]:
    """The problems in pydantic's message of a broken rule: each, and its cure where one is told."""
    told = (one.partition("\n") for one in message.removeprefix("Value error, ").split(BETWEEN))
    return [(rule, hint or None) for rule, _, hint in told]


def refuse(problems: Iterable[str]) -> None:
    """Raise one error of all `problems`, which `rules` takes apart.

    Raises:
        ValueError: There are problems.
    """
    if told := BETWEEN.join(problems):
        raise ValueError(told)


class Section(BaseModel):
    """A part of a recipe: immutable, strict about types, closed to unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

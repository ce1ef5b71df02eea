"""Settings of the data sets that are made here: a section of a recipe each, of the set's name.

`data/generated.py` says what such a set is.
"""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from stsm_cli.config.kinds import NumFrames, NumVideos, Pixels, Section, Seed

GeneratedName = Literal["synth", "scenes", "order"]


class GeneratedConfig(Section):
    """Settings of a generated data set, which is made where it is absent."""

    model_config = ConfigDict(use_attribute_docstrings=True)  # `stsm prepare NAME --help` has them

    train: NumVideos
    """Training videos."""
    val: NumVideos
    """Validation videos."""

    @property
    def splits(self) -> tuple[str, ...]:
        """Names of the splits that it has, `train` and `val` first."""
        return tuple(name for name in ("train", "val", "test") if name in type(self).model_fields)

    def num_videos(self, split: str) -> int:
        """Videos of one of its splits."""
        return int(getattr(self, split))


class SynthConfig(GeneratedConfig):
    """Settings of the embedded set of time-reversal pairs."""

    train: NumVideos = 2000
    """Training videos."""
    val: NumVideos = 960
    """Validation videos."""
    frames: NumFrames = 32
    """Frames a video."""
    short_side_px: Annotated[Pixels, Field(multiple_of=2)] = 96
    """The height to render."""
    difficulty: Annotated[float, Field(ge=0, le=1)] = 0.15
    """Clutter, distractors, camera motion and noise, from 0 (none) to 1."""
    seed: Seed = 0
    """Seed of what is drawn."""


class _WithTest(GeneratedConfig):
    """Settings of a set with a test split of its own, drawn as often as one likes."""

    test: NumVideos
    """Test videos."""
    short_side_px: Annotated[Pixels, Field(multiple_of=2)] = 54
    """The height to render; the pictures are 4:3."""
    draw: Seed = 0
    """Number of the draw; each has other videos in all splits."""


class ScenesConfig(_WithTest):
    """Settings of the scenes of handwriting and motion."""

    train: NumVideos = 1920
    """Training videos."""
    val: NumVideos = 480
    """Validation videos."""
    test: NumVideos = 960
    """Test videos."""
    frames: Annotated[NumFrames, Field(ge=16)] = 128
    """Frames a video; the action takes 50 to 80 of 128."""
    difficulty: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Clutter, distractors, camera motion and noise, from 0 (none) to 1."""
    size: Annotated[float, Field(ge=0.5, le=1.25)] = 1.25
    """Factor on the size of what acts; smaller is harder to tell, still or moving."""
    motion: Annotated[float, Field(ge=0.25, le=1)] = 1.0
    """Factor on how far things move; smaller is harder to tell from order."""


class OrderConfig(_WithTest):
    """Settings of the set that order alone tells apart."""

    train: NumVideos = 1920
    """Training videos."""
    val: NumVideos = 480
    """Validation videos."""
    test: NumVideos = 960
    """Test videos."""
    frames: Annotated[NumFrames, Field(ge=8)] = 48
    """Frames a video."""
    difficulty: Annotated[float, Field(ge=0, le=1)] = 0.1
    """Clutter, distractors, camera motion and noise, from 0 (none) to 1."""
    motion: Annotated[float, Field(ge=0.25, le=1)] = 1.0
    """Factor on how far things move, turn and swell; smaller is harder."""

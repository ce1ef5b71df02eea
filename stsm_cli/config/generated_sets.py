"""Settings of the data sets that are made here: a section of a recipe each, of the set's name.

`data/generated.py` says what such a set is.
"""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from stsm_cli.config.kinds import NumFrames, NumVideos, Pixels, Section, Seed

GeneratedName = Literal["synth"]


class GeneratedConfig(Section):
    """Settings of a generated data set, which is made where it is absent."""

    model_config = ConfigDict(use_attribute_docstrings=True)  # `stsm prepare NAME --help` has them

    train: NumVideos
    """Training videos."""
    val: NumVideos
    """Validation videos."""

    def num_videos(self, split: str) -> int:
        """Videos of the split `train` or `val`."""
        return {"train": self.train, "val": self.val}[split]


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

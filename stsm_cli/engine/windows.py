"""Class probabilities over time: windows that slide along a video, each scored as a video.

Shapes: W windows, K classes.
"""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from stsm_cli.config.schema import Recipe
from stsm_cli.data.frames import Frames, VideoInfo
from stsm_cli.data.manifest import Manifest, VideoRecord
from stsm_cli.data.motion import MotionCurves, measure
from stsm_cli.data.videos import Videos
from stsm_cli.engine.predict import Predictor, follows_motion, score_all
from stsm_cli.errors import DataError

STEPS = 4  # ours: windows begin a quarter of their length apart


@dataclass(frozen=True)
class Timeline:
    """The scores of a video's windows.

    Attributes:
        starts: First frame of each, ascending.
        length: Frames of each.
        probabilities: (W, K).
    """

    starts: tuple[int, ...]
    length: int
    probabilities: torch.Tensor

    def at(self, frame: int) -> torch.Tensor:
        """Probabilities (K,) of the window whose middle is nearest to a frame."""
        middles = np.array(self.starts) + (self.length - 1) / 2
        return self.probabilities[int(np.abs(middles - frame).argmin())]


@dataclass(frozen=True)
class _Parts(Videos):
    """Parts of one video, each read as a video that begins at its start."""

    starts: tuple[int, ...] = field(kw_only=True)

    def read(self, index: int, frame_indices: npt.NDArray[np.int64]) -> Frames:
        return self._decode(index, frame_indices + self.starts[index])


def slide(total: int, window: int) -> tuple[int, ...]:
    """First frames of windows over a video of `total` frames; the last one ends with it."""
    last = max(0, total - window)
    return (*range(0, last, max(1, window // STEPS)), last)


def one_view(recipe: Recipe) -> Recipe:
    """The recipe with a test of one view, the middle of the picture: enough for a window."""
    test = recipe.test.model_copy(update={"clips": 1, "crops": 1})
    return recipe.model_copy(update={"test": test})


def watch(predictor: Predictor, path: Path, info: VideoInfo, window: int) -> Timeline:
    """The scores of windows of `window` frames, or of the whole video where it is shorter.

    Raises:
        DataError: The video does not decode.
    """
    starts, length = slide(info.num_frames, window), min(window, info.num_frames)
    record = VideoRecord(str(path), 0, length, info.fps, info.width, info.height)
    parts = _Parts(
        Manifest(Path(), "predict", predictor.classes, (record,) * len(starts)),
        predictor.recipe.data.short_side_px,
        predictor.decoder,
        keep_damaged=True,
        motion=_motion(path, info, starts, length) if follows_motion(predictor) else None,
        starts=starts,
    )
    return Timeline(starts, length, score_all(predictor, parts))


def _motion(path: Path, info: VideoInfo, starts: tuple[int, ...], length: int) -> MotionCurves:
    curve = measure(path, info.num_frames, keep_damaged=True)
    if isinstance(curve, DataError):
        raise curve
    return MotionCurves.of(curve[start : start + length - 1] for start in starts)

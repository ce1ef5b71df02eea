"""Videos in memory: uint8 RGB frames, what is known of their file, and their resize.

Layout: frames (T, H, W, C): three colours, or stacks of flow.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Frames = npt.NDArray[np.uint8]
Indices = npt.NDArray[np.integer[Any]]
Resize = Callable[[Frames], Frames]  # each frame by itself, all to one size


@dataclass(frozen=True)
class VideoInfo:
    """A video's length, rate and size, and what is wrong with it.

    Attributes:
        num_frames: Frames that decode.
        fps: Frames a second; 0 where the file does not say.
        width: In pixels, as shown.
        height: In pixels, as shown.
        num_damaged: Frames that the decoder could not make right, or that are built from such.
        shortfall: How early the file ends, where that is before the time it claims; else empty.
        faults: What else is wrong with the file, in words.
    """

    num_frames: int
    fps: float
    width: int
    height: int
    num_damaged: int = 0
    shortfall: str = ""
    faults: tuple[str, ...] = ()


def resize_short_side(frames: Frames, short_side_px: int) -> Frames:
    """Frames (T, H', W', C) whose short side is `short_side_px`, as `resized_size` says.

    Frames that fit already are returned as they are.
    """
    height, width = frames.shape[1:3]
    return resize(frames, *resized_size(height, width, short_side_px))


def resized_size(height: int, width: int, short_side_px: int) -> tuple[int, int]:
    """Height and width in proportion: the long side is floor(x · scale + 0.5).

    Source: `Resize((-1, s))` of MMAction2 1.2, mmaction/datasets/transforms/processing.py.
    """
    scale = short_side_px / min(height, width)
    return math.floor(height * scale + 0.5), math.floor(width * scale + 0.5)


def resize(frames: Frames, height: int, width: int) -> Frames:
    """Frames (T, height, width, C), bilinear without antialiasing.

    Frames of this size are returned as they are.
    """
    if frames.shape[1:3] == (height, width):
        return frames
    from torch import from_numpy
    from torch.nn.functional import interpolate

    pixels = from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2)  # channels-last in memory
    resized = interpolate(pixels, (height, width), mode="bilinear").permute(0, 2, 3, 1)
    return resized.contiguous().numpy()

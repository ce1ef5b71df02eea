"""Where a network looks in a picture: square boxes, and mirror images of them.

All offsets are floored, so an odd remainder leaves a few pixels unused on the far side.

Source: `CenterCrop`, `ThreeCrop`, `TenCrop` of MMAction2 1.2,
mmaction/datasets/transforms/processing.py.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt


class Crop(NamedTuple):
    """A box of pixels, x1 <= x < x2 and y1 <= y < y2, `mirrored` left to right or not."""

    x1: int
    y1: int
    x2: int
    y2: int
    mirrored: bool


def center_crop(height: int, width: int, size: int) -> list[Crop]:
    """The `size` × `size` box in the middle of a picture.

    Raises:
        ValueError: The box does not fit.
    """
    _check_fits(height, width, size)
    return [_box((width - size) // 2, (height - size) // 2, size)]


def three_crop(height: int, width: int, size: int) -> list[Crop]:
    """Boxes at the start, the end and the middle of the long side, in this order.

    Raises:
        ValueError: The box does not fit.
    """
    _check_fits(height, width, size)
    step = (max(height, width) - size) // 2
    across = (min(height, width) - size) // 2  # ours: the reference asks for size = short side
    if width >= height:
        return [_box(x, across, size) for x in (0, 2 * step, step)]
    return [_box(across, y, size) for y in (0, 2 * step, step)]


def ten_crop(height: int, width: int, size: int) -> list[Crop]:
    """The four corners and the middle, each followed by its mirror image.

    Raises:
        ValueError: The box does not fit.
    """
    _check_fits(height, width, size)
    dx, dy = (width - size) // 4, (height - size) // 4
    corners = [(0, 0), (4 * dx, 0), (0, 4 * dy), (4 * dx, 4 * dy), (2 * dx, 2 * dy)]
    boxes = [_box(x, y, size) for x, y in corners]
    return [box._replace(mirrored=mirrored) for box in boxes for mirrored in (False, True)]


def cut(frames: npt.NDArray[np.uint8], crop: Crop) -> npt.NDArray[np.uint8]:
    """What `crop` shows of frames (T, H, W, 3), as a view of their memory."""
    box = frames[:, crop.y1 : crop.y2, crop.x1 : crop.x2]
    return box[:, :, ::-1] if crop.mirrored else box


def _box(x: int, y: int, size: int) -> Crop:
    return Crop(x, y, x + size, y + size, mirrored=False)


def _check_fits(height: int, width: int, size: int) -> None:
    if not 1 <= size <= min(height, width):
        raise ValueError(
            f"size ({size}) must be 1 to the short side of the picture, {width} × {height} pixels"
        )

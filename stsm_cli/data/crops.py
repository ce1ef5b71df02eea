"""The parts of a picture that a network sees: boxes, and mirror images of them.

All offsets are floored, so an odd remainder leaves a few pixels unused on the far side.

Source: `CenterCrop`, `ThreeCrop`, `TenCrop`, `MultiScaleCrop` of MMAction2 1.2,
mmaction/datasets/transforms/processing.py.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

_SCALES = (1.0, 0.875, 0.75, 0.66)  # of the short side, in MMAction2's TSM configs
_SNAP_PX = 2  # a side this close to the wanted size becomes it
_QUARTERS = (  # where a box lies, in quarters of the room that it leaves: across, down
    *((0, 0), (4, 0), (0, 4), (4, 4), (2, 2)),
    *((0, 2), (4, 2), (2, 4), (2, 0), (1, 1), (3, 1), (1, 3), (3, 3)),
)


class TrainCrop(Protocol):
    """Draws the crop of a training sample from a picture."""

    def __call__(
        self, height: int, width: int, size: int, rng: np.random.Generator, /, *, with_mirrors: bool
    ) -> "Crop":
        """A box that is to be `size` × `size`, mirrored only `with_mirrors`.

        Raises:
            ValueError: Such a box does not fit.
        """


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

    Those of TSM's `full_res` (and of TEA, TDN and ACTION-Net) take steps of a quarter of the room,
    floored: their second and third box lie up to 2 pixels nearer to the start.

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
    boxes = [_placed(height, width, size, size, *place) for place in _QUARTERS[:5]]
    return _with_mirror_images(boxes)


def multi_scale_crop(height: int, width: int, size: int) -> list[Crop]:
    """Boxes of ten shapes at thirteen places, each followed by its mirror image: 260.

    A side is one of four scales of the short side, and the two sides are neighbours among these;
    the box is then to be resized to `size` × `size`. The reference draws shape, place and mirror
    image evenly, which is to draw one of these boxes. They need not all differ.

    Raises:
        ValueError: A `size` × `size` box does not fit.
    """
    _check_fits(height, width, size)
    return list(_multi_scale_boxes(height, width, size))


def random_crop(
    height: int, width: int, size: int, rng: np.random.Generator, *, with_mirrors: bool
) -> Crop:
    """A `size` × `size` box anywhere in a picture, mirrored or not.

    Raises:
        ValueError: The box does not fit.
    """
    _check_fits(height, width, size)
    box = _box(int(rng.integers(width - size + 1)), int(rng.integers(height - size + 1)), size)
    return box._replace(mirrored=with_mirrors and bool(rng.integers(2)))


def _one_of(boxes: Callable[[int, int, int], list[Crop]]) -> TrainCrop:
    """The draw of one of a picture's boxes."""

    def draw(
        height: int, width: int, size: int, rng: np.random.Generator, *, with_mirrors: bool
    ) -> Crop:
        allowed = [box for box in boxes(height, width, size) if with_mirrors or not box.mirrored]
        return allowed[rng.integers(len(allowed))]

    return draw


TEST_CROPS = {1: center_crop, 3: three_crop, 10: ten_crop}
"""The test's crops, by their number."""
TRAIN_CROPS: dict[str, TrainCrop] = {
    "ten_crop": _one_of(ten_crop),
    "multi_scale": _one_of(multi_scale_crop),
    "random": random_crop,
}
"""The draw of a training sample's crop, by the recipe's name."""


def cut(frames: npt.NDArray[np.uint8], crop: Crop) -> npt.NDArray[np.uint8]:
    """The part of frames (T, H, W, C) in `crop`, as a view of their memory."""
    box = frames[:, crop.y1 : crop.y2, crop.x1 : crop.x2]
    return box[:, :, ::-1] if crop.mirrored else box


def _box(x: int, y: int, size: int) -> Crop:
    return Crop(x, y, x + size, y + size, mirrored=False)


@lru_cache(maxsize=256)  # half a millisecond; the videos of a set have few sizes
def _multi_scale_boxes(height: int, width: int, size: int) -> tuple[Crop, ...]:
    sides = [int(min(height, width) * scale) for scale in _SCALES]  # trap: in floating point
    sides = [size if abs(side - size) <= _SNAP_PX else side for side in sides]
    boxes = [
        _placed(height, width, box_height, box_width, *place)
        for i, box_height in enumerate(sides)
        for box_width in sides[max(0, i - 1) : i + 2]
        for place in _QUARTERS
    ]
    return tuple(_with_mirror_images(boxes))


def _placed(
    height: int, width: int, box_height: int, box_width: int, across: int, down: int
) -> Crop:
    """A box so many quarters of the room it leaves away from the upper left corner."""
    x, y = across * ((width - box_width) // 4), down * ((height - box_height) // 4)
    return Crop(x, y, x + box_width, y + box_height, mirrored=False)


def _with_mirror_images(boxes: list[Crop]) -> list[Crop]:
    return [box._replace(mirrored=mirrored) for box in boxes for mirrored in (False, True)]


def _check_fits(height: int, width: int, size: int) -> None:
    if not 1 <= size <= min(height, width):
        raise ValueError(
            f"size ({size}) must be 1 to the short side of the picture, {width} × {height} pixels"
        )

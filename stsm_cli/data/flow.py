"""Optical flow of a prepared set: by how much each frame's pixels move to the next frame.

`stsm prepare flow` (`prepare/flow.py`) computes it once; it is read here, as videos are. Field t is
about frames t and t + 1, so that a video of N frames has N - 1 fields; what is asked for behind
the last one is the last again. Fields are in pixels of the size at which they were computed, and
stay so where they are resized to a recipe's: so do those of the systems that read flow.

Eight bits hold ±20 pixels: level 128 is rest and a level is 20/127 of a pixel, so that a mirror
image, whose x is 256 minus the level, is exact, too. x lies above y in one grey picture of a
lossless H.264 video. `benchmarks/flow.py` compares this with others: JPEG and lossy H.264 have a
quarter of the bytes and half the time to read, but are wrong by a pixel and more at the borders of
what moves; FFV1 has 0.8 times the bytes and takes 1.9 times the time, PNG 1.6 and 1.7 times, arrays
under zlib 2.4 times the bytes.

Layout: fields (T, H, W, 2) uint8, x to the right and y downwards; stacks (T, H, W, 2n) of n fields
one after the other, x1, y1, x2, y2, ...
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from stsm_cli.config.kinds import FlowMethod
from stsm_cli.data.decode import absent, guarded
from stsm_cli.data.decode_pyav import read_pyav
from stsm_cli.data.display import Size
from stsm_cli.data.frames import Frames, Indices, resize_short_side
from stsm_cli.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable

    from av.video.frame import VideoFrame

Fields = npt.NDArray[np.uint8]
FlowPx = npt.NDArray[np.floating[Any]]

LIMIT_PX = 20  # TSN's bound, which I3D took over, too
REST = 128
QUANTUM_PX = LIMIT_PX / 127


@dataclass(frozen=True)
class Flow:
    """The flow of a data set by one method.

    Attributes:
        method: Which.
        consecutive: Fields that are read at each frame, one after the other.
    """

    method: FlowMethod
    consecutive: int = 1

    def positions(self, frames: Indices, num_frames: int) -> npt.NDArray[np.int64]:
        """Fields (T, consecutive) that are read at the frames (T,) of a video of `num_frames`."""
        wanted = frames[:, None] + np.arange(self.consecutive)
        fields: npt.NDArray[np.int64] = np.minimum(wanted, max(0, num_frames - 2))
        return fields


def flow_folder(method: FlowMethod) -> str:
    """The folder of a method's flow, below the data root."""
    return f"flow_{method}"


def flow_path(method: FlowMethod, path: str) -> str:
    """The path of the flow of the video at `path`, both relative to the data root."""
    return f"{flow_folder(method)}/{path}.mp4"


def as_levels(flow_px: FlowPx) -> Fields:
    """Levels of flow in pixels: clipped, and rounded to the nearest."""
    steps = np.rint(np.clip(flow_px, -LIMIT_PX, LIMIT_PX) / QUANTUM_PX)
    levels: Fields = (steps + REST).astype(np.uint8)
    return levels


def as_pixels(levels: Fields) -> FlowPx:
    """Flow in pixels of levels."""
    flow_px: FlowPx = (levels.astype(np.float32) - REST) * np.float32(QUANTUM_PX)
    return flow_px


def with_x_negated(stacks: Fields) -> Fields:
    """A copy of stacks (..., 2n) in which left has become right: the values of a mirror image."""
    turned: Fields = stacks.copy()
    np.negative(turned[..., ::2], out=turned[..., ::2])  # in eight bits: 256 minus the level
    return turned


def stacked(fields: Fields, consecutive: int) -> Fields:
    """Stacks (T, H, W, 2n) of fields (T·n, H, W, 2), those of a stack one after the other."""
    _, height, width, _ = fields.shape
    runs = fields.reshape(-1, consecutive, height, width, 2).transpose(0, 2, 3, 1, 4)
    stacks: Fields = runs.reshape(-1, height, width, 2 * consecutive)
    return stacks


def packed(field: Fields) -> Fields:
    """The picture (2H, W) that holds a field (H, W, 2)."""
    picture: Fields = np.concatenate([field[..., 0], field[..., 1]])
    return picture


def read_fields(path: Path, indices: Indices | None, *, short_side_px: int | None = None) -> Fields:
    """Fields (len(indices), H, W, 2) of a flow file.

    Args:
        path: The file.
        indices: 0-based, in any order, repeats allowed; None for all fields.
        short_side_px: Size to which each field is resized. None: as the file has them.

    Raises:
        DataError: The file is missing, does not decode, is damaged, or ends before an index.
    """
    if absent(path) is not None:
        raise DataError(f"{path}: no such file, the video {path.stem} has no optical flow")
    resize = _as_stored if short_side_px is None else partial(_resized, short_side_px)
    read = partial(read_pyav, path, resize=resize, screen=_screen)
    if indices is None:
        return guarded(path, partial(read, None))
    wanted, position = np.unique(indices, return_inverse=True)
    fields = guarded(path, partial(read, wanted))
    return fields if np.array_equal(wanted, indices) else fields[position]


def _as_stored(fields: Fields) -> Fields:
    return fields


def _resized(short_side_px: int, fields: Fields) -> Fields:
    return resize_short_side(fields, short_side_px)


def _screen(size: Size) -> "Callable[[VideoFrame], Frames]":
    return _unpacked


def _unpacked(frame: "VideoFrame") -> Fields:
    """The field in a frame, whose first plane holds it."""
    plane = frame.planes[0]
    picture = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
    x, y = picture[:, : frame.width].reshape(2, frame.height // 2, -1)
    pairs = np.multiply(y, 256, dtype="<u2")  # as bytes x, y: a third of the time of np.stack
    pairs += x
    return pairs.view(np.uint8).reshape(*x.shape, 2)

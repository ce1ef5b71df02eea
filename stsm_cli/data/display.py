"""The display matrix of a video, by which its frames are turned and mirrored when shown.

Layout: pictures (H, W, C).
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from stsm_cli.data.frames import Frames

if TYPE_CHECKING:
    from av.video.frame import VideoFrame


Size = tuple[int, int]
"""Width and height in pixels."""


@dataclass(frozen=True)
class Display:
    """One of the eight turns and mirrors of a picture.

    Attributes:
        is_transposed: Rows become columns; done first.
        is_upside_down: The order of rows is turned round.
        is_mirrored: The order of columns is turned round.
    """

    is_transposed: bool = False
    is_upside_down: bool = False
    is_mirrored: bool = False

    def size(self, width: int, height: int) -> Size:
        """Width and height as shown of a picture of this size; and the other way round."""
        return (height, width) if self.is_transposed else (width, height)

    def show(self, picture: Frames) -> Frames:
        """The picture as it is to be shown: itself, or one that is turned, and contiguous."""
        if self == Display():
            return picture
        shown = picture.swapaxes(0, 1) if self.is_transposed else picture
        rows, columns = (-1 if flag else 1 for flag in (self.is_upside_down, self.is_mirrored))
        return np.ascontiguousarray(shown[::rows, ::columns])


def display_of(frame: "VideoFrame") -> Display:
    """The turn and mirror of this frame: the nearest of the eight to its display matrix.

    A matrix that leaves no picture (zeros, say) is ignored.
    """
    from av.sidedata.sidedata import SideData

    data = frame.side_data.get("DISPLAYMATRIX")
    if not isinstance(data, SideData):
        return Display()
    # ISO/IEC 14496-12, 6.2.2: x' = a x + c y, y' = b x + d y
    a, b, _, c, d = map(int, np.frombuffer(bytes(data), dtype=np.int32)[:5])
    if a * d == b * c:
        return Display()
    if math.hypot(a, d) >= math.hypot(b, c):
        return Display(False, d < 0, a < 0)
    return Display(True, b < 0, c < 0)


class Screen:
    """The frames of a video as they are shown: RGB pictures (H, W, 3) of one size.

    Args:
        size: Of the first frame, before it is turned: others are scaled to it.
    """

    def __init__(self, size: Size) -> None:
        from av.video.reformatter import VideoReformatter

        self._reformatter = VideoReformatter()  # trap: a frame's own prepares each conversion anew
        self._size = size
        self._shown: Size | None = None  # as the first frame is shown

    def __call__(self, frame: "VideoFrame") -> Frames:
        """The frame as a picture."""
        display = display_of(frame)
        self._shown = self._shown or display.size(*self._size)
        width, height = display.size(*self._shown)
        rgb = self._reformatter.reformat(frame, width, height, "rgb24").to_ndarray()
        return display.show(rgb.astype(np.uint8, copy=False))

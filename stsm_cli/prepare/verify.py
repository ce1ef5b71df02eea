"""Whether a video can be used, by decoding it: headers and file names prove nothing."""

from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from stsm_cli.prepare.check import Check, UnusableError
from stsm_cli.prepare.strict import open_strictly
from stsm_cli.prepare.workers import Alive

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

_QUICK_FRAMES = 8  # decoded at the start and in the middle


def verify(root: Path, path: str, alive: Alive) -> Check:
    """What comes out of decoding all frames of the video `root`/`path`."""
    num_frames, frame = 0, None
    try:
        with open_strictly(root / path) as video:
            for num_frames, frame in enumerate(video.frames(), 1):  # noqa: B007  # the last one
                alive()
    except UnusableError as problem:
        return problem.check
    return _ok(num_frames, video.fps, frame)


def verify_quick(root: Path, path: str, alive: Alive) -> Check:
    """The same by decoding both ends and the middle, and counting packets.

    A video of which this shows anything wrong, or whose packets do not tell its frames, is decoded
    whole.
    """
    frame = None
    try:
        with open_strictly(root / path) as video:
            index = video.index()
            if index is None:
                return verify(root, path, alive)
            last = len(index.keys) - 1
            for number, stop in ((0, _QUICK_FRAMES), (last // 2, _QUICK_FRAMES), (last, None)):
                key = index.keys[number]
                for frame in islice(video.frames_from(key), stop):  # noqa: B007
                    alive()
    except UnusableError:
        return verify(root, path, alive)
    return _ok(len(index.times), video.fps, frame)


def _ok(num_frames: int, fps: float, frame: "VideoFrame | None") -> Check:
    assert frame is not None  # a video without any is unusable
    is_upright = round(frame.rotation / 90) % 2 == 0  # in quarter turns, as the readers turn it
    width, height = frame.width, frame.height
    return Check("ok", "", num_frames, fps, *((width, height) if is_upright else (height, width)))

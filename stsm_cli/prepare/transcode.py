"""Re-encoding for fast random access: small pictures and a key frame every few frames.

To show one frame, a reader decodes what it is built from, back to the key frame before it. A
default encoder sets one every 250 frames, which makes reading eight frames cost as much as reading
all. Frames stay the same in number, order and time; sound is left out.
"""

from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import av
import numpy as np
from av.video.reformatter import ColorRange, VideoReformatter

from stsm_cli.data.container import full_name
from stsm_cli.data.display import Display, display_of
from stsm_cli.prepare.check import Check, UnusableError
from stsm_cli.prepare.drafts import draft
from stsm_cli.prepare.strict import StrictVideo, open_strictly
from stsm_cli.prepare.verify import verdict, verify
from stsm_cli.prepare.workers import Alive

if TYPE_CHECKING:
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

DEFAULT_GOP = 16
DEFAULT_CRF = 20
# ours: no frame is built from three of every four, and a reader passes over those it does not need
_OPTIONS = {"bf": "3", "b_strategy": "0", "b-pyramid": "none", "tune": "fastdecode"}
_FALLBACK_RATE = 25  # where the file does not say; only the time stamps of the frames matter


@dataclass(frozen=True)
class Encoding:
    """Settings of the re-encoding by x264.

    Attributes:
        short_side_px: Size of the short side, even; a smaller video keeps its size.
        gop: Frames from one key frame to the next.
        crf: x264's constant rate factor; 18 is hardly told from the original, 23 its default.
    """

    short_side_px: int
    gop: int = DEFAULT_GOP
    crf: int = DEFAULT_CRF

    @property
    def folder(self) -> str:
        """The folder of the videos that are made, below the data root."""
        quality = "" if self.crf == DEFAULT_CRF else f"q{self.crf}"  # one folder holds one quality
        return f"videos_{self.short_side_px}g{self.gop}{quality}"

    @property
    def how(self) -> str:
        """The ledger's name for it."""
        return f"{self.folder} crf {self.crf}"

    def made_path(self, path: str) -> str:
        """The path of the video made from `path`, relative to the data root."""
        return f"{self.folder}/{PurePosixPath(path).with_suffix('.mp4')}"


def reencode(root: Path, encoding: Encoding, path: str, alive: Alive) -> Check:
    """The finding after re-encoding `root`/`path`: of the new video, or why there is none.

    Raises:
        OSError: The new video cannot be written; there is none then.
    """
    target = root / encoding.made_path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    return verdict(lambda: _reencode(root / path, target, encoding, alive))


def _reencode(source: Path, target: Path, encoding: Encoding, alive: Alive) -> Check:
    try:
        with open_strictly(source) as video, draft(target) as made_file:
            num_frames = _encode(video, made_file, encoding, alive)
            made = verify(made_file.parent, made_file.name, alive)
            if made.num_frames != num_frames:
                reason = f"{num_frames} frames, re-encoded {made.num_frames} {made.reason}"
                raise UnusableError("corrupt", reason, lasting=False)
            return replace(made, made_bytes=made_file.stat().st_size, note=video.note)
    except av.FFmpegError as error:
        if isinstance(error, OSError):  # the disk's fault
            raise
        return Check("corrupt", f"cannot be re-encoded ({error.strerror})", lasting=False)


def _encode(video: StrictVideo, draft: Path, encoding: Encoding, alive: Alive) -> int:
    """Write a video's frames anew; their number."""
    num_frames, tick = 0, -1
    reformat = VideoReformatter().reformat  # a frame's own prepares the conversion anew each time
    with av.open(
        full_name(draft), "w", format="mp4", options={"movflags": "faststart"}
    ) as container:
        for frame in map(upright, video.frames()):
            if num_frames == 0:
                rate = _rate(video.fps)
                stream = container.add_stream("libx264", rate=rate)
                _set_up(stream, frame, encoding, rate)
                first = frame.pts or 0
            size = stream.width, stream.height
            small = reformat(frame, *size, stream.pix_fmt, interpolation="BICUBIC")
            expected = num_frames if frame.pts is None else frame.pts - first
            tick = max(expected, tick + 1)  # strictly increasing, as the container demands
            small.pts, small.time_base, small.pict_type = tick, stream.codec_context.time_base, 0
            container.mux(stream.encode(small))
            num_frames += 1
            alive()
        container.mux(stream.encode(None))
    return num_frames


def upright(frame: "VideoFrame") -> "VideoFrame":
    """The frame as the readers show it: the file may ask for turns and mirrors."""
    display = display_of(frame)
    if display == Display():
        return frame
    rgb = frame.to_ndarray(format="rgb24").astype(np.uint8, copy=False)
    shown = av.VideoFrame.from_ndarray(display.show(rgb), format="rgb24")
    shown.pts, shown.time_base = frame.pts, frame.time_base
    return shown


def _rate(fps: float) -> Fraction:
    return Fraction(fps or _FALLBACK_RATE).limit_denominator(1001)


def _set_up(stream: "VideoStream", frame: "VideoFrame", encoding: Encoding, rate: Fraction) -> None:
    """Make the stream one that suits the first frame."""
    context = stream.codec_context
    scale = min(1.0, encoding.short_side_px / min(frame.width, frame.height))
    context.width, context.height = (
        2 * max(1, min(round(side * scale / 2), side // 2)) for side in (frame.width, frame.height)
    )
    is_full_range = frame.color_range == ColorRange.JPEG
    context.pix_fmt = "yuvj420p" if is_full_range else "yuv420p"
    if frame.pts is not None and frame.time_base is not None:
        context.time_base = frame.time_base
    else:  # frames without time stamps are as far apart as the rate says
        context.time_base = 1 / rate
    context.thread_count = 1
    context.options = {"crf": str(encoding.crf), "g": str(encoding.gop), **_OPTIONS}
    # trap: without these marks readers take other formulas, and colours move by 8 of 255
    context.color_range, context.colorspace = frame.color_range, frame.colorspace

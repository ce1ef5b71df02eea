"""Optical flow of one video, in a file of its own.

What a file is like, and why, stands in `data/flow.py`. It is kept when decoding it has given back
every level.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from itertools import chain, pairwise
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from stsm_cli.config.kinds import FlowMethod
from stsm_cli.data.container import full_name
from stsm_cli.data.display import Size
from stsm_cli.data.flow import Fields, as_levels, flow_folder, flow_path, packed, read_fields
from stsm_cli.data.frames import resized_size
from stsm_cli.prepare.check import Check, UnusableError
from stsm_cli.prepare.drafts import draft
from stsm_cli.prepare.flow_methods import GreyPicture, flow_of_pair
from stsm_cli.prepare.strict import StrictVideo, open_strictly
from stsm_cli.prepare.transcode import upright
from stsm_cli.prepare.verify import verdict
from stsm_cli.prepare.workers import Alive

VERSION = 1  # rises when the same videos get other flow, or other files
_AT_ONCE = 64  # fields in memory
_RATE = 25  # a container needs one; nothing reads it
_ENCODER = {
    "qp": "0",  # lossless
    "g": "1",  # each field by itself: prediction from the last one saves nothing
    "bf": "0",
    "preset": "veryfast",
    "tune": "fastdecode",
    "threads": "1",
    "x264-params": "log-level=error",
}


@dataclass(frozen=True)
class FlowSettings:
    """Settings of the flow of a set.

    Attributes:
        method: By which it is computed.
        short_side_px: Size to which frames are brought first; smaller ones keep theirs.
    """

    method: FlowMethod = "dis"
    short_side_px: int = 256

    @property
    def how(self) -> str:
        """The ledger's name for it, whatever the size: a video has one file a method."""
        return f"{flow_folder(self.method)} {VERSION}"


def make_flow(root: Path, settings: FlowSettings, path: str, alive: Alive) -> Check:
    """The finding after making the flow of `root`/`path`: of its file, or why there is none.

    Raises:
        OSError: The file cannot be written; there is none then.
    """
    target = root / flow_path(settings.method, path)
    target.unlink(missing_ok=True)  # of other settings, or of the video before it changed
    target.parent.mkdir(parents=True, exist_ok=True)
    return verdict(lambda: _make_flow(root / path, target, settings, alive))


def _make_flow(source: Path, target: Path, settings: FlowSettings, alive: Alive) -> Check:
    try:
        with open_strictly(source) as video, draft(target) as made:
            fields = _fields(_pictures(video, settings.short_side_px), settings.method)
            digests, (height, width) = _encode(fields, made, alive)
            if _digests_of(made, len(digests), alive) != digests:
                raise UnusableError("corrupt", "its flow is not read as written", lasting=False)
            size = made.stat().st_size
            return Check("ok", "", len(digests), video.fps, width, height, made_bytes=size)
    except av.FFmpegError as error:
        if isinstance(error, OSError):  # the disk's fault
            raise
        return Check("corrupt", f"its flow cannot be encoded ({error.strerror})", lasting=False)


def _pictures(video: StrictVideo, short_side_px: int) -> Iterator[GreyPicture]:
    """The frames in grey, upright, all of one size."""
    reformat = VideoReformatter().reformat
    size: Size | None = None
    for frame in map(upright, video.frames()):
        if size is None:
            least = min(short_side_px, frame.height, frame.width)
            height, width = resized_size(frame.height, frame.width, least)
            size = width, height
        grey = reformat(frame, *size, "gray", interpolation="BICUBIC")
        yield np.ascontiguousarray(grey.to_ndarray(), dtype=np.uint8)


def _fields(pictures: Iterator[GreyPicture], method: FlowMethod) -> Iterator[Fields]:
    flow = flow_of_pair(method)
    return (as_levels(flow(first, second)) for first, second in pairwise(pictures))


def _encode(
    fields: Iterator[Fields], path: Path, alive: Alive
) -> tuple[list[bytes], tuple[int, int]]:
    """Write fields; their digests, and their height and width."""
    first = next(fields, None)
    if first is None:
        raise UnusableError("short", "holds one frame, and flow is between two")
    digests = []
    with av.open(full_name(path), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=_RATE, options=_ENCODER)
        stream.height, stream.width = packed(first).shape
        stream.pix_fmt = "gray"
        for field in chain([first], fields):
            picture = av.VideoFrame.from_ndarray(packed(field), format="gray")
            container.mux(stream.encode(picture))
            digests.append(_digest(field))
            alive()
        container.mux(stream.encode(None))
    return digests, first.shape[:2]


def _digests_of(path: Path, num_fields: int, alive: Alive) -> list[bytes]:
    """Digests of the fields as they are read, a few at a time."""
    digests: list[bytes] = []
    for start in range(0, num_fields, _AT_ONCE):
        part = np.arange(start, min(start + _AT_ONCE, num_fields))
        digests += map(_digest, read_fields(path, part))
        alive()
    return digests


def _digest(field: Fields) -> bytes:
    return blake2b(field.tobytes()).digest()

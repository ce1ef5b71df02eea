"""Frames of a video by PyAV: from the key frame before each of them, or from the start.

Frames are turned as the file says they are to be shown (its display matrix, in quarter turns), as
decord turns them.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import chain, groupby, islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from stsm_cli.data.frames import Frames, Indices, Resize, VideoInfo
from stsm_cli.data.packets import PacketIndex, index_packets
from stsm_cli.errors import DataError

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream


def read_pyav(path: Path, wanted: Indices | None, resize: Resize) -> Frames:
    """Frames (T, H, W, 3) of the ascending indices `wanted`, resized; None for all frames.

    Raises:
        DataError: The video holds no frame, or ends before an index.
        av.FFmpegError: It does not decode.
    """
    if wanted is None:
        return _read_all(path, resize)
    is_from_start = len(wanted) == wanted[-1] + 1  # 0, 1, 2, ...: nothing to seek
    frames = None if is_from_start else _read_from_keys(path, wanted, resize)
    return _read_from_start(path, wanted, resize) if frames is None else frames


def probe_pyav(path: Path) -> VideoInfo:
    """What the video holds, by decoding all of it.

    Raises:
        DataError: The video holds no frame.
        av.FFmpegError: It does not decode.
    """
    num_frames, size = 0, (0, 0)
    with _open(path) as (container, stream):
        for num_frames, frame in enumerate(container.decode(stream), 1):
            if num_frames == 1:
                turned = _quarter_turns(frame) % 2
                size = (stream.height, stream.width) if turned else (stream.width, stream.height)
        fps = float(stream.average_rate or 0)
    if not num_frames:
        raise DataError(f"{path}: holds no frame")
    return VideoInfo(num_frames, fps, *size)


def packet_index(path: Path) -> PacketIndex | None:
    """The video's index, as `index_packets` gives it.

    Raises:
        DataError: The file holds no video stream.
        av.FFmpegError: It cannot be read.
    """
    # an open file has decoded a first frame, unless it is told to skip them: half of the time
    with _open(path, skip_frame="all") as (container, stream):
        return index_packets(container, stream)


@contextmanager
def _open(path: Path, **options: str) -> "Iterator[tuple[InputContainer, VideoStream]]":
    import av

    with av.open(str(path), options=options) as container:
        stream = next(iter(container.streams.video), None)
        if stream is None or stream.codec_context is None:  # None: of no known codec
            raise DataError(f"{path}: holds no video stream")
        stream.codec_context.thread_count = 1
        yield container, stream


def _read_all(path: Path, resize: Resize) -> Frames:
    with _open(path) as (container, stream):
        frames = list(_pictures(container.decode(stream), stream, resize))
    if not frames:
        raise DataError(f"{path}: holds no frame")
    return np.stack(frames)


def _read_from_start(path: Path, wanted: Indices, resize: Resize) -> Frames:
    """Frames by counting all that come before them."""
    chosen = set(wanted.tolist())
    with _open(path) as (container, stream):
        decoded = enumerate(islice(container.decode(stream), int(wanted[-1]) + 1))
        found = (frame for index, frame in decoded if index in chosen)
        frames = _fill(_pictures(found, stream, resize), len(wanted))
    if frames is None:
        total = probe_pyav(path).num_frames
        raise DataError(f"{path}: index {wanted[-1]} is past the end, {total} frames decode")
    return frames


def _read_from_keys(path: Path, wanted: Indices, resize: Resize) -> Frames | None:
    """Frames by their time stamps; None where packets do not tell them, or one does not come."""
    with _open(path) as (container, stream):
        index = index_packets(container, stream)
        if index is None or wanted[-1] >= len(index.times):
            return None
        runs = (
            _decode_run(container, stream, key, {index.times[i] for i in run})
            for key, run in groupby(wanted.tolist(), key=index.keys.__getitem__)
        )
        return _fill(_pictures(chain.from_iterable(runs), stream, resize), len(wanted))


def _decode_run(
    container: "InputContainer", stream: "VideoStream", key: int, times: set[int]
) -> "Iterator[VideoFrame]":
    """The frames of these time stamps, decoded from the key frame at time `key` straight on."""
    codec = stream.codec_context
    container.seek(key, stream=stream)
    for count, packet in enumerate(container.demux(stream)):
        if count == 0 and (packet.pts is None or packet.pts > key):
            return  # the seek went too far
        if codec.name == "h264":  # frames that no other is built from cost a third of the time
            codec.skip_frame = "DEFAULT" if packet.pts in times else "NONREF"
        for frame in packet.decode():
            if frame.pts in times:
                times.remove(frame.pts)
                yield frame
        if not times:
            return


def _pictures(
    frames: "Iterable[VideoFrame]", stream: "VideoStream", resize: Resize
) -> Iterator[Frames]:
    """Frames as RGB (H, W, 3), upright, resized, of one size even if the file changes its own."""
    from av.video.reformatter import VideoReformatter

    reformatter = VideoReformatter()  # trap: a frame's own reformat() prepares the conversion anew
    for frame in frames:
        rgb = reformatter.reformat(frame, stream.width, stream.height, "rgb24").to_ndarray()
        upright = np.ascontiguousarray(np.rot90(rgb, _quarter_turns(frame)), dtype=np.uint8)
        yield resize(upright[None])[0]


def _quarter_turns(frame: "VideoFrame") -> int:
    """Quarter turns counter-clockwise that show the frame upright."""
    return round(frame.rotation / 90)


def _fill(pictures: Iterator[Frames], count: int) -> Frames | None:
    """`count` pictures in one array (count, H, W, 3); None if there are fewer."""
    first = next(pictures, None)
    if first is None:
        return None
    frames = np.empty((count, *first.shape), dtype=np.uint8)
    filled = 0
    for filled, picture in enumerate(chain([first], pictures), 1):
        frames[filled - 1] = picture
    return frames if filled == count else None

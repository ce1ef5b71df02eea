"""A file opened for reading: one rule for which of its streams is the video.

It is the best video stream as FFmpeg ranks them. A picture that is attached to a file, such as a
cover, is none, and neither is a single picture beside a stream of more.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from stsm_cli.data.damage import Messages, cause
from stsm_cli.errors import DataError

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream


def full_name(path: Path) -> str:
    """The name by which FFmpeg and decord are given a file, to read or to write.

    trap: they take a relative `pose:left/a.mp4` for the address of a stream.
    """
    return str(path.absolute())


@contextmanager
def open_container(
    path: Path, messages: Messages, **options: str
) -> "Iterator[tuple[InputContainer, VideoStream]]":
    """The file and its video stream, to be decoded by one thread.

    Args:
        path: The file.
        messages: Where FFmpeg's arrive; the last one says why the file does not open.
        options: FFmpeg's.

    Raises:
        DataError: The file does not open, or holds no video stream.
    """
    import av

    try:  # trap: titles and names in other encodings than UTF-8 would raise
        container = av.open(full_name(path), options=options, metadata_errors="ignore")
    except av.FFmpegError as error:
        raise DataError(f"{path}: does not open ({cause(error, messages)})") from error
    with container:
        stream = video_stream(container)
        if stream is None:
            raise DataError(f"{path}: holds no video stream")
        stream.codec_context.thread_count = 1
        yield container, stream


def video_stream(container: "InputContainer") -> "VideoStream | None":
    """The stream that is read; None where the file holds none of a known codec."""
    videos = [stream for stream in container.streams.video if _is_video(stream)]
    videos = [stream for stream in videos if stream.frames != 1] or videos  # 0: not known
    best = container.streams.best("video")
    if best is not None:
        videos = [stream for stream in videos if stream.index == best.index] or videos
    return max(videos, key=_rank, default=None)


def _is_video(stream: "VideoStream") -> bool:
    from av.stream import Disposition

    is_picture = bool(stream.disposition & Disposition.attached_pic)
    return stream.codec_context is not None and not is_picture  # None: of no known codec


def _rank(stream: "VideoStream") -> tuple[bool, int]:
    """FFmpeg's rank of a stream, as far as PyAV tells: shown by default, then bits a second."""
    from av.stream import Disposition

    return bool(stream.disposition & Disposition.default), stream.codec_context.bit_rate or 0

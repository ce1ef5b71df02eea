"""Frames of a video by decord, where it is known to give the right ones; by PyAV elsewhere.

decord (not maintained since 2021) counts packets where it should count frames, takes one of several
streams without a choice, turns pictures by rules of its own, and does not report damage: a frame
that is concealed comes as if it were whole. So it reads H.264, HEVC and VP9 of 8 bits, 4:2:0, of
even size, progressive and not turned, from MP4, Matroska and WebM, with one video stream and closed
groups of pictures; all else is left to PyAV. Only damage goes unnoticed.
"""

from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stsm_cli.data.container import full_name, open_container
from stsm_cli.data.damage import hearing
from stsm_cli.data.deadline import alive
from stsm_cli.data.decode_pyav import read_pyav
from stsm_cli.data.display import Display, display_of
from stsm_cli.data.frames import Frames, Indices, Resize
from stsm_cli.data.packets import index_packets
from stsm_cli.errors import DataError

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

_BATCH = 8  # ours: frames that are decoded before they are resized
_FORMATS = ("yuv420p", "yuvj420p")


def read_decord(
    path: Path,
    wanted: Indices | None,
    resize: Resize,
    *,
    from_start: bool = False,
    keep_damaged: bool = False,
) -> Frames:
    """Frames (T, H, W, 3) of the ascending indices `wanted`, resized; None for all frames.

    The arguments are those of `read_pyav`.

    Raises:
        DataError: decord does not import here, or the video holds no frame or ends before an index.
        av.FFmpegError: It does not decode.
    """
    failures = _failures()
    # trap: decord cannot read some small widths, such as 24, 48 and 72 pixels
    with suppress(*failures):
        num_frames = 0 if from_start else _num_right(path)
        chosen = np.arange(num_frames) if wanted is None else wanted
        if num_frames and chosen[-1] < num_frames == len(reader := _open(path)):
            return _read(reader, chosen, resize)
    return read_pyav(path, wanted, resize, from_start=from_start, keep_damaged=keep_damaged)


def _num_right(path: Path) -> int:
    """Number of frames of a video that decord reads right; 0: not known, or it does not.

    trap: decord counts packets in order of decoding, hidden ones too. So a seek goes wrong in open
    GOPs (frames shown before a key frame that is decoded first), in clips cut without re-encoding
    (frames before time 0), and in containers without an index (MPEG-TS).
    """
    with hearing() as messages, open_container(path, messages) as (container, stream):
        index = index_packets(container, stream)
        if not (index and index.times and index.is_plain) or len(container.streams.video) > 1:
            return 0
        container.seek(index.keys[0], stream=stream)
        frame = next(container.decode(stream), None)
        return len(index.times) if frame is not None and _is_simple(frame) else 0


def _is_simple(frame: "VideoFrame") -> bool:
    """Tell whether decord would show this frame as PyAV does."""
    is_even = frame.width % 2 == frame.height % 2 == 0  # else it interpolates colour otherwise
    is_plain = frame.format.name in _FORMATS and not frame.interlaced_frame
    return is_even and is_plain and display_of(frame) == Display()


def _read(reader: Any, chosen: Indices, resize: Resize) -> Frames:  # noqa: ANN401
    """The frames in one array, with no more than a batch of them in memory before they fit."""
    batches = (chosen[start : start + _BATCH] for start in range(0, len(chosen), _BATCH))
    pictures = (resize(reader.get_batch(batch).asnumpy()) for batch in batches)
    first = next(pictures)
    frames = np.empty((len(chosen), *first.shape[1:]), dtype=np.uint8)
    filled = 0
    for batch in chain([first], pictures):
        alive()
        frames[filled : filled + len(batch)] = batch
        filled += len(batch)
    return frames


def _import() -> Any:  # noqa: ANN401  # decord has no types
    try:
        import decord
    except (ImportError, OSError) as error:
        raise DataError(
            f"decoder decord does not import here ({error})", hint="decoder pyav reads the same"
        ) from error
    decord.logging.set_level(decord.logging.QUIET)  # what matters is raised
    return decord


def _failures() -> tuple[type[Exception], ...]:
    decord = _import()
    return (decord.DECORDError, decord.DECORDLimitReachedError, RuntimeError)


def _open(path: Path) -> Any:  # noqa: ANN401
    decord = _import()
    # trap: where a frame does not come, decord puts a copy of another one and says nothing, unless
    # more than fault_tol (a fraction) of them are copies; 0 would mean "any number"
    return decord.VideoReader(full_name(path), ctx=decord.cpu(0), num_threads=1, fault_tol=1e-9)

"""A file and frame indices to uint8 RGB frames.

The one promise: frame i is the i-th in order of display, upright, with either decoder, or it
raises. decord is the default; PyAV reads where decord does not install, fails, or misnumbers
frames. Their pixels are the same, but for the interpolation of colour in videos of odd height.
Each call opens one reader with one thread and closes it, and ends by a deadline: callers
parallelise over videos.

Layout: frames (T, H, W, 3).
"""

from collections.abc import Callable
from concurrent.futures import TimeoutError as FutureTimeoutError  # its own class before 3.11
from functools import partial
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np

from stsm_cli.data.deadline import within
from stsm_cli.data.decode_decord import read_decord
from stsm_cli.data.decode_pyav import probe_pyav, read_pyav
from stsm_cli.data.frames import Frames, Indices, Resize, VideoInfo, resize_short_side
from stsm_cli.errors import DataError, UsageError

T = TypeVar("T")
Decoder = Literal["decord", "pyav"]

DEADLINE_SECONDS = 60.0  # ours: a thousand times what a ten-second video takes
_BYTES_A_SECOND = 1e6  # ours: long videos get more; a slow core decodes several times as fast


def available_decoders() -> tuple[Decoder, ...]:
    """The decoders that import here, the preferred one first."""
    import av  # noqa: F401  # trap: behind decord, PyAV would call decord's older libvpx

    try:
        import decord  # noqa: F401
    except (ImportError, OSError):  # no wheel for this platform, or a library it needs is missing
        return ("pyav",)
    return ("decord", "pyav")


def default_decoder() -> Decoder:
    """The preferred decoder: decord where it imports, else PyAV."""
    return available_decoders()[0]


def choose_decoder(name: str | None) -> Decoder:
    """The decoder of that name; None: the preferred one.

    Raises:
        UsageError: There is none of that name, or it does not import here.
    """
    available = available_decoders()
    for decoder in available:
        if name in (None, decoder):
            return decoder
    raise UsageError(
        f"--decoder: {name!r} is not available here", hint=f"choose {' or '.join(available)}"
    )


def probe(path: Path) -> VideoInfo:
    """Frames, rate and size of a video, found by decoding all of it: headers may lie.

    By PyAV: decord would write a line of its own about a file that it cannot open.

    Raises:
        DataError: The file is missing, does not decode, or not in time; names file and reason.
    """
    return _guarded(path, partial(probe_pyav, path))


def read_frames(
    path: Path,
    indices: Indices | None,
    *,
    decoder: Decoder = "decord",
    short_side_px: int | None = None,
) -> Frames:
    """RGB frames (len(indices), H, W, 3) of a video; frame i is the i-th in order of display.

    Args:
        path: The video.
        indices: 0-based, in any order, repeats allowed; None for all frames.
        decoder: Which library decodes.
        short_side_px: Size to which each frame is resized as soon as it is decoded, as
            `resize_short_side` does it: memory holds no other frames. None: as the file has them.

    Raises:
        DataError: The file is missing, does not decode, not in time, or ends before an index.
        ValueError: An index is negative, or there is none.
    """
    resize: Resize = (
        partial(resize_short_side, short_side_px=short_side_px) if short_side_px else _as_decoded
    )
    read = partial(read_decord if decoder == "decord" else read_pyav, path, resize=resize)
    if indices is None:
        return _guarded(path, partial(read, None))
    wanted, position = np.unique(indices, return_inverse=True)
    if not len(wanted) or wanted[0] < 0:
        raise ValueError(f"indices must be 0 or more and at least one, got {indices}")
    frames = _guarded(path, partial(read, wanted))
    return frames if np.array_equal(wanted, indices) else frames[position]


def _as_decoded(frames: Frames) -> Frames:
    return frames


def _guarded(path: Path, decode: Callable[[], T]) -> T:
    """What `decode` gives; what it raises, and that it does not end, in one line with the file."""
    import av

    if not path.is_file():
        raise DataError(f"{path}: no such file")
    seconds = DEADLINE_SECONDS + path.stat().st_size / _BYTES_A_SECOND
    try:
        return within(seconds, decode)
    except av.FFmpegError as error:
        raise DataError(f"{path}: does not decode ({error.strerror or error})") from error
    except FutureTimeoutError:
        raise DataError(f"{path}: decoding did not end within {seconds:.0f} seconds") from None

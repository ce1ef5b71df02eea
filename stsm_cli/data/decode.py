"""A file and frame indices to uint8 RGB frames.

The one promise: frame i is the i-th in order of display, shown as the file says, with either
decoder, or it raises. PyAV is the default; what decord cannot do is in `decode_decord`. Their
pixels are the same. Each call opens one reader with one thread and closes it, and is given up where
it stands still: callers parallelise over videos.

Layout: frames (T, H, W, 3).
"""

from collections.abc import Callable, Iterator
from concurrent.futures import TimeoutError as FutureTimeoutError  # its own class before 3.11
from functools import partial
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np

from stsm_cli.data.deadline import within
from stsm_cli.data.decode_decord import read_decord
from stsm_cli.data.decode_pyav import each_pyav, probe_pyav, read_pyav
from stsm_cli.data.frames import Frames, Indices, Resize, VideoInfo, resize_short_side
from stsm_cli.errors import DataError, StsmError, UsageError

T = TypeVar("T")
Decoder = Literal["decord", "pyav"]

DEADLINE_SECONDS = 60.0  # ours: for one frame; even a slow core decodes many a second
_BYTES_A_SECOND = 1e6  # ours: large files get more, as their index may come first


def available_decoders() -> tuple[Decoder, ...]:
    """The decoders that import here, the preferred one first."""
    import av  # noqa: F401  # trap: behind decord, PyAV would call decord's older libvpx

    try:
        import decord  # noqa: F401
    except (ImportError, OSError):  # no wheel for this platform, or a library it needs is missing
        return ("pyav",)
    return ("pyav", "decord")


def default_decoder() -> Decoder:
    """The preferred decoder: PyAV, which is exact and notices damage."""
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

    Raises:
        DataError: The file is missing or does not decode; names file and reason.
        ValueError: `path` is no Path.
    """
    return guarded(path, partial(probe_pyav, path))


def read_frames(
    path: Path,
    indices: Indices | None,
    *,
    decoder: Decoder = "pyav",
    short_side_px: int | None = None,
    from_start: bool = False,
    keep_damaged: bool = False,
) -> Frames:
    """RGB frames (len(indices), H, W, 3) of a video; frame i is the i-th in order of display.

    Args:
        path: The video.
        indices: 0-based, in any order, repeats allowed; None for all frames.
        decoder: Which library decodes.
        short_side_px: Size to which each frame is resized as soon as it is decoded, as
            `resize_short_side` does it: memory holds no other frames. None: as the file has them.
        from_start: Do not seek: seeks are known to mislead in this file.
        keep_damaged: Give frames that the decoder could not make right, too.

    Raises:
        DataError: The file is missing, does not decode, or ends before an index, or a frame that is
            asked for is damaged (PyAV alone notices).
        ValueError: An index is no whole number of 0 or more, or there is none; there is no such
            decoder, `short_side_px` is below 1, or `path` is no Path.
    """
    if decoder not in ("decord", "pyav"):
        raise ValueError(f"decoder must be decord or pyav, got {decoder!r}")
    if short_side_px is not None and short_side_px < 1:
        raise ValueError(f"short_side_px must be at least 1, got {short_side_px}")
    resize: Resize = (
        partial(resize_short_side, short_side_px=short_side_px) if short_side_px else _as_decoded
    )
    read = partial(
        {"decord": read_decord, "pyav": read_pyav}[decoder],
        path,
        resize=resize,
        from_start=from_start,
        keep_damaged=keep_damaged,
    )
    if indices is None:
        return guarded(path, partial(read, None))
    wanted, position = np.unique(indices, return_inverse=True)
    if not len(wanted) or wanted.dtype.kind not in "iu" or wanted[0] < 0:
        raise ValueError(
            f"indices must be whole numbers, 0 or more and at least one, got {indices}"
        )
    frames = guarded(path, partial(read, wanted))
    return frames if np.array_equal(wanted, indices) else frames[position]


def read_all(path: Path, resize: Resize, *, keep_damaged: bool = False) -> Frames:
    """All frames of a video, each as `resize` makes it of its RGB pixels, by PyAV.

    Raises:
        DataError: The file is missing, does not decode, or a frame is damaged.
    """
    return guarded(path, partial(read_pyav, path, None, resize, keep_damaged=keep_damaged))


def each_frame(path: Path) -> Iterator[Frames]:
    """All frames of a video, each as RGB (H, W, 3), one after the other, damaged ones too.

    Memory holds one of them. No deadline is kept: it is for what `probe` has decoded.

    Raises:
        DataError: The file does not decode.
    """
    import av

    try:
        yield from each_pyav(path)
    except av.FFmpegError as error:
        raise DataError(f"{path}: does not decode ({error.strerror or error})") from error


def absent(path: Path) -> DataError | None:
    """The reason why there is no file to decode at `path`; None where there is one."""
    try:
        if path.is_file():
            return None
        rule = "is a folder, not a video" if path.is_dir() else "no such file"
        return DataError(f"{path}: {rule}")
    except OSError as error:  # such as a name that is too long, or a disk that does not answer
        return _not_read(path, error)


def _not_read(path: Path, error: OSError) -> DataError:
    problem = DataError(f"{path}: cannot be read ({error.strerror or error})")
    problem.__cause__ = error  # by which it is known as one that may pass
    return problem


def _as_decoded(frames: Frames) -> Frames:
    return frames


def guarded(path: Path, decode: Callable[[], T]) -> T:
    """The result of `decode`; its errors and a standstill are told in one line with the file."""
    import av

    if not isinstance(path, Path):
        raise ValueError(f"path must be a pathlib.Path, got {path!r}")
    if (problem := absent(path)) is not None:
        raise problem
    try:
        seconds = DEADLINE_SECONDS + path.stat().st_size / _BYTES_A_SECOND
    except OSError as error:
        raise _not_read(path, error) from error
    try:
        return within(seconds, decode)
    except av.FFmpegError as error:
        raise DataError(f"{path}: does not decode ({error.strerror or error})") from error
    except FutureTimeoutError:
        raise DataError(f"{path}: decoding stood still for {seconds:.0f} seconds") from None
    except (StsmError, MemoryError):
        raise
    except Exception as error:  # any error is about this file alone
        raise DataError(f"{path}: cannot be read ({type(error).__name__}: {error})") from error

"""A file and frame indices to uint8 RGB frames; and the resize of the short side.

The one promise: frame i is the i-th in order of display, with either decoder, or it raises. decord
is the default; PyAV reads where decord does not install, fails, or misnumbers frames. Their pixels
are the same, but for the interpolation of colour in videos of odd height.
Each call opens one reader with one thread and closes it: callers parallelise over videos.

Layout: frames (T, H, W, 3).
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from stsm_cli.errors import DataError, UsageError

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

Decoder = Literal["decord", "pyav"]
Frames = npt.NDArray[np.uint8]
Indices = npt.NDArray[np.integer[Any]]

_INDEXED_CONTAINERS = ("mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm")  # as FFmpeg names them


@dataclass(frozen=True)
class VideoInfo:
    """What a video holds: frames that decode, frames a second (0: unknown), size in pixels."""

    num_frames: int
    fps: float
    width: int
    height: int


def available_decoders() -> tuple[Decoder, ...]:
    """The decoders that import here, the preferred one first."""
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


def probe(path: Path, decoder: Decoder = "decord") -> VideoInfo:
    """Frames, rate and size of a video, found by decoding all of it: headers may lie.

    Raises:
        DataError: The file is missing or does not decode; names file and reason.
    """
    with _clear_errors(path):
        return _probe_decord(path) if decoder == "decord" else _probe_pyav(path)


def read_frames(path: Path, indices: Indices | None, *, decoder: Decoder = "decord") -> Frames:
    """RGB frames (len(indices), H, W, 3) of a video; frame i is the i-th in order of display.

    Args:
        path: The video.
        indices: 0-based, in any order, repeats allowed; None for all frames.
        decoder: Which library decodes.

    Raises:
        DataError: The file is missing, does not decode, or ends before an index.
        ValueError: An index is negative, or there is none.
    """
    read = _read_decord if decoder == "decord" else _read_pyav
    with _clear_errors(path):
        if indices is None:
            return read(path, None)
        wanted, position = np.unique(indices, return_inverse=True)
        if not len(wanted) or wanted[0] < 0:
            raise ValueError(f"indices must be 0 or more and at least one, got {indices}")
        frames = read(path, wanted)
        return frames if np.array_equal(wanted, indices) else frames[position]


def resize_short_side(frames: Frames, short_side_px: int) -> Frames:
    """Frames (T, H', W', 3) whose short side is `short_side_px`, in proportion.

    Bilinear without antialiasing; the long side is floor(x · scale + 0.5). Frames that fit already
    are returned as they are.

    Source: `Resize((-1, s))` of MMAction2 1.2, mmaction/datasets/transforms/processing.py.
    """
    height, width = frames.shape[1:3]
    scale = short_side_px / min(height, width)
    if scale == 1:
        return frames
    from torch import from_numpy
    from torch.nn.functional import interpolate

    size = (math.floor(height * scale + 0.5), math.floor(width * scale + 0.5))
    pixels = from_numpy(frames).permute(0, 3, 1, 2)  # (T, 3, H, W), channels-last in memory
    resized = interpolate(pixels, size, mode="bilinear").permute(0, 2, 3, 1)
    return resized.contiguous().numpy()


@contextmanager
def _clear_errors(path: Path) -> Iterator[None]:
    """Turn what PyAV raises into one line that names the file."""
    import av

    if not path.is_file():
        raise DataError(f"{path}: no such file")
    try:
        yield
    except av.FFmpegError as error:
        raise DataError(f"{path}: does not decode ({error.strerror or error})") from error


def _import_decord() -> Any:  # noqa: ANN401  # decord has no types
    try:
        import decord
    except (ImportError, OSError) as error:
        raise DataError(
            f"decoder decord does not import here ({error})", hint="decoder pyav reads the same"
        ) from error
    decord.logging.set_level(decord.logging.QUIET)  # what matters is raised
    return decord


def _decord_failures() -> tuple[type[Exception], ...]:
    decord = _import_decord()
    return (decord.DECORDError, decord.DECORDLimitReachedError, RuntimeError)


def _open_decord(path: Path) -> Any:  # noqa: ANN401
    decord = _import_decord()
    # trap: where a frame does not come, decord puts a copy of another one and says nothing, unless
    # more than fault_tol (a fraction) of them are copies; 0 would mean "any number"
    return decord.VideoReader(str(path), ctx=decord.cpu(0), num_threads=1, fault_tol=1e-9)


def _read_decord(path: Path, wanted: Indices | None) -> Frames:
    """Frames by decord; by PyAV, which decodes in sequence, where decord fails or misnumbers them.

    trap: decord cannot read some small widths, such as 24, 48 and 72 pixels.
    """
    with suppress(*_decord_failures()):
        reader = _open_decord(path)
        chosen = np.arange(len(reader)) if wanted is None else wanted
        in_sequence = len(chosen) == chosen[-1] + 1  # 0, 1, 2, ...: nothing to seek
        if chosen[-1] < len(reader) and (in_sequence or _seeks_exactly(path)):
            return reader.get_batch(chosen).asnumpy()  # type: ignore[no-any-return]
    return _read_pyav(path, wanted)


def _seeks_exactly(path: Path) -> bool:
    """Whether decord's seeks land on the right frame.

    trap: decord counts key frames in decoding order, and frames that an edit list hides. So a seek
    goes wrong in open GOPs (frames shown before a key frame that is decoded first), in clips cut
    without re-encoding (frames before time 0), and in containers without an index (MPEG-TS).
    """
    import av

    key = latest = 0
    with av.open(str(path)) as container:
        if container.format.name not in _INDEXED_CONTAINERS:
            return False
        for packet in container.demux(video=0):
            if packet.size == 0:  # the flush at the end
                continue
            if packet.pts is None or packet.pts < (latest if packet.is_keyframe else key):
                return False
            key = packet.pts if packet.is_keyframe else key
            latest = max(latest, packet.pts)
    return True


def _probe_decord(path: Path) -> VideoInfo:
    with suppress(*_decord_failures()):
        reader = _open_decord(path)
        for _ in range(len(reader)):
            height, width, _ = reader.next().shape
        return VideoInfo(len(reader), float(reader.get_avg_fps()), width, height)
    return _probe_pyav(path)


def _read_pyav(path: Path, wanted: Indices | None) -> Frames:
    import av

    frames: list[Frames] = []
    total = 0
    with av.open(str(path)) as container:
        for total, frame in enumerate(container.decode(_video_stream(container, path)), 1):
            if wanted is None or wanted[len(frames)] == total - 1:
                frames.append(frame.to_ndarray(format="rgb24").astype(np.uint8, copy=False))
            if wanted is not None and len(frames) == len(wanted):
                break
    if not total:
        raise DataError(f"{path}: holds no frame")
    if wanted is not None and len(frames) < len(wanted):
        raise _past_the_end(path, int(wanted[-1]), total)
    return np.stack(frames)


def _probe_pyav(path: Path) -> VideoInfo:
    import av

    num_frames = 0
    with av.open(str(path)) as container:
        stream = _video_stream(container, path)
        for frame in container.decode(stream):
            num_frames += 1
            width, height = frame.width, frame.height
        fps = float(stream.average_rate or 0)
    if not num_frames:
        raise DataError(f"{path}: holds no frame")
    return VideoInfo(num_frames, fps, width, height)


def _video_stream(container: "InputContainer", path: Path) -> "VideoStream":
    stream = next(iter(container.streams.video), None)
    if stream is None or stream.codec_context is None:  # None: of no known codec
        raise DataError(f"{path}: holds no video stream")
    stream.codec_context.thread_count = 1
    return stream


def _past_the_end(path: Path, index: int, total: int) -> DataError:
    return DataError(f"{path}: index {index} is past the end, {total} frames decode")

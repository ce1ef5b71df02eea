"""Frames of a video by decord; by PyAV where decord fails, or would misnumber them.

decord turns frames as the file says they are to be shown.
"""

from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from stsm_cli.data.decode_pyav import packet_index, read_pyav
from stsm_cli.data.frames import Frames, Indices, Resize
from stsm_cli.errors import DataError

_BATCH = 8  # ours: frames that are decoded before they are resized


def read_decord(path: Path, wanted: Indices | None, resize: Resize) -> Frames:
    """Frames (T, H, W, 3) of the ascending indices `wanted`, resized; None for all frames.

    Raises:
        DataError: decord does not import here, or the video holds no frame or ends before an index.
        av.FFmpegError: It does not decode.
    """
    # trap: decord cannot read some small widths, such as 24, 48 and 72 pixels
    with suppress(*_failures()):
        reader = _open(path)
        chosen = np.arange(len(reader)) if wanted is None else wanted
        is_from_start = len(chosen) == chosen[-1] + 1  # 0, 1, 2, ...: nothing to seek
        if chosen[-1] < len(reader) and (is_from_start or _seeks_exactly(path)):
            return _read(reader, chosen, resize)
    return read_pyav(path, wanted, resize)


def _read(reader: Any, chosen: Indices, resize: Resize) -> Frames:  # noqa: ANN401
    """The frames in one array, with no more than a batch of them in memory before they fit."""
    batches = (chosen[start : start + _BATCH] for start in range(0, len(chosen), _BATCH))
    pictures = (resize(reader.get_batch(batch).asnumpy()) for batch in batches)
    first = next(pictures)
    frames = np.empty((len(chosen), *first.shape[1:]), dtype=np.uint8)
    filled = 0
    for batch in chain([first], pictures):
        frames[filled : filled + len(batch)] = batch
        filled += len(batch)
    return frames


def _seeks_exactly(path: Path) -> bool:
    """Whether decord's seeks land on the right frame.

    trap: decord counts packets in order of decoding, hidden ones too. So a seek goes wrong in open
    GOPs (frames shown before a key frame that is decoded first), in clips cut without re-encoding
    (frames before time 0), and in containers without an index (MPEG-TS).
    """
    index = packet_index(path)
    return index is not None and index.is_plain


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
    return decord.VideoReader(str(path), ctx=decord.cpu(0), num_threads=1, fault_tol=1e-9)

"""Motion of videos: how much each frame differs from the next, for samplers that follow it.

A video is decoded once for it. Its curve then stands in `ROOT/manifest/motion.jsonl`, a JSON object
a line, only ever appended to; a video is known by its path, its size in bytes and its number of
frames, so that a data set may be copied and one that was changed is measured again. A line that is
not whole (the process was killed) is measured again, too.

ours: the mean absolute difference of small grey frames; MGSampler's release has 1 - SSIM of whole
ones (generate_img_diff.py), at many times the cost.
"""

import base64
import binascii
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt

from stsm_cli.atomic import end_torn_line
from stsm_cli.data.content import THREADS
from stsm_cli.data.deadline import pool_of
from stsm_cli.data.decode import read_all
from stsm_cli.data.frames import Frames
from stsm_cli.data.manifest import Manifest, VideoRecord
from stsm_cli.data.sampling import MotionCurve
from stsm_cli.errors import DataError
from stsm_cli.progress import SILENT, Progress

WIDTH_PX = 64  # ours: enough to see what moves, and few enough to cost little beside decoding
_GREY = (0.299, 0.587, 0.114)  # ITU-R BT.601
_KEPT = np.dtype("<f2")


@dataclass(frozen=True)
class MotionCurves:
    """The curves of a split's videos, one after the other in one block of memory.

    Attributes:
        values: All curves, float16.
        ends: Where each ends.
        broken: Why videos have none, by index.
        num_added: Curves that were measured now, and not before.
    """

    values: MotionCurve
    ends: npt.NDArray[np.int64]
    broken: Mapping[int, DataError]
    num_added: int = 0

    @classmethod
    def of(cls, curves: Iterable[MotionCurve | DataError]) -> "MotionCurves":
        """The curves of videos in the manifest's order, or in their place what is wrong."""
        found = list(curves)
        broken = {i: curve for i, curve in enumerate(found) if isinstance(curve, DataError)}
        whole = [np.zeros(0, _KEPT) if isinstance(c, DataError) else c for c in found]
        values = np.concatenate([np.zeros(0, _KEPT), *whole])
        return cls(values, np.cumsum([len(curve) for curve in whole], dtype=np.int64), broken)

    def curve(self, index: int) -> MotionCurve:
        """The curve of video `index`.

        Raises:
            DataError: The video does not decode.
        """
        if index in self.broken:
            raise copy(self.broken[index])  # else its traceback would grow
        start = self.ends[index - 1] if index else 0
        return self.values[start : self.ends[index]]


def measure(path: Path, num_frames: int, *, keep_damaged: bool = False) -> MotionCurve | DataError:
    """The curve of a video's first `num_frames` frames, or the error that a broken one gives."""
    try:
        grey = read_all(path, small_grey, keep_damaged=keep_damaged)
    except DataError as error:
        return copy(error)  # without its traceback, which keeps what was being read
    if len(grey) < num_frames:
        return DataError(f"{path}: {len(grey)} frames decode, the manifest says {num_frames}")
    return differences(grey[:num_frames])


def small_grey(frames: Frames) -> Frames:
    """Frames (T, h, 64, 1) in grey, in proportion, of RGB frames (T, H, W, 3)."""
    from torch import from_numpy
    from torch.nn.functional import interpolate

    height = max(1, round(frames.shape[1] * WIDTH_PX / frames.shape[2]))
    pixels = from_numpy(frames).permute(0, 3, 1, 2)  # (T, 3, H, W), channels-last in memory
    small = interpolate(pixels, (height, WIDTH_PX), mode="bilinear", antialias=True)
    grey = small.permute(0, 2, 3, 1).numpy() @ np.array(_GREY, np.float32)  # (T, h, 64)
    out: Frames = grey.round().astype(np.uint8)[..., None]
    return out


def differences(grey: Frames) -> MotionCurve:
    """The curve of grey frames (T, h, w, 1): (T - 1,), float16, from 0 to 255."""
    steps = (np.abs(np.subtract(a, b, dtype=np.int16)).mean() for a, b in pairwise(grey))
    return np.fromiter(steps, _KEPT, len(grey) - 1)


def motion_path(root: Path) -> Path:
    """The path of the curves of a data root."""
    return root / "manifest" / "motion.jsonl"


def open_motion(manifest: Manifest, *, threads: int, progress: Progress = SILENT) -> MotionCurves:
    """The curves of a split; those that are not kept yet are measured now, and kept as they come.

    Where they cannot be written, on a disk that is read-only, this is said, and they are measured
    again the next time.

    Args:
        manifest: The split.
        threads: Videos that are decoded at a time.
        progress: Told about every video that is measured.

    Raises:
        DataError: The kept curves cannot be read.
    """
    records, path = manifest.records, motion_path(manifest.root)
    with pool_of(THREADS) as pool:
        keys = list(pool.map(partial(_key, manifest.root), records))
    known = _read(path)
    curves: dict[int, MotionCurve | DataError] = {
        i: known[key] for i, key in enumerate(keys) if key in known
    }
    missing = [i for i in range(len(records)) if i not in curves]
    if missing:
        jobs = [(manifest.root / records[i].path, records[i].num_frames) for i in missing]
        found = _measured(jobs, f"measuring motion of {manifest.split}", threads, progress)
        told = _kept(path, [keys[i] for i in missing], found, progress)
        curves |= zip(missing, told, strict=True)
    motion = MotionCurves.of(curves[i] for i in range(len(records)))
    return replace(motion, num_added=len(missing) - len(motion.broken))


def keep_motion(
    manifest: Manifest, curves: Mapping[str, bytes], *, progress: Progress = SILENT
) -> int:
    """Keep curves of a split, by path, that were measured while its videos were verified.

    Returns:
        How many they are.
    """
    path = motion_path(manifest.root)
    measured = [record for record in manifest.records if record.path in curves]
    keys = [_key(manifest.root, record) for record in measured]
    found = [np.frombuffer(curves[record.path], _KEPT) for record in measured]
    return len(list(_kept(path, keys, found, progress)))


_METHOD = 1
"""Version of `measure`, in every line of the file; one without is of version 1."""
_Key = tuple[str, int, int, int]  # path, bytes, frames, version


def _key(root: Path, record: VideoRecord) -> _Key:
    try:
        num_bytes = (root / record.path).stat().st_size
    except OSError:  # reading it tells what is wrong
        num_bytes = -1
    return record.path, num_bytes, record.num_frames, _METHOD


def _measured(
    jobs: Sequence[tuple[Path, int]], label: str, threads: int, progress: Progress
) -> Iterator[MotionCurve | DataError]:
    with pool_of(threads) as pool, progress.bar(label, len(jobs)) as bar:
        for curve in pool.map(lambda job: measure(*job), jobs):
            yield curve
            bar.advance()


def _kept(
    path: Path, keys: Sequence[_Key], curves: Iterable[MotionCurve | DataError], progress: Progress
) -> Iterator[MotionCurve | DataError]:
    """The curves, each written to the file before it is given on."""
    is_kept = True
    for key, curve in zip(keys, curves, strict=True):
        if is_kept and not isinstance(curve, DataError):
            try:
                with path.open("a+b") as file:
                    end_torn_line(file)
                    file.write(_line(key, curve))
            except OSError as error:
                is_kept = False
                reason = f"{path}: cannot be written ({error.strerror})"
                progress.message(f"warning: {reason}, motion will be measured again")
        yield curve


def _line(key: _Key, curve: MotionCurve) -> bytes:
    motion = base64.b64encode(curve.astype(_KEPT).tobytes()).decode()
    names = ("path", "bytes", "frames", "method", "motion")
    entry = dict(zip(names, (*key, motion), strict=True))
    return json.dumps(entry).encode() + b"\n"


def _read(path: Path) -> dict[_Key, MotionCurve]:
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
    known = {}
    for line in lines:
        try:
            entry = json.loads(line)
            key = entry["path"], entry["bytes"], entry["frames"], entry.get("method", 1)
            curve = np.frombuffer(base64.b64decode(entry["motion"], validate=True), _KEPT)
        except (ValueError, KeyError, TypeError, binascii.Error, RecursionError):
            continue  # not whole
        if len(curve) == key[2] - 1:
            known[key] = curve
    return known

"""Verification of a video by decoding it: headers and file names prove nothing."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import av
import numpy as np

from stsm_cli.data.decode import read_frames
from stsm_cli.data.decode_pyav import packet_index
from stsm_cli.data.display import Screen, display_of
from stsm_cli.data.frames import Frames
from stsm_cli.errors import DataError
from stsm_cli.prepare.check import Check, UnusableError
from stsm_cli.prepare.strict import StrictVideo, open_strictly
from stsm_cli.prepare.workers import Alive

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

_QUICK_FRAMES = 8  # decoded at the start and in the middle
_SEEKS = 2  # ours: key frames to which a seek is tried
_AFTER_KEY = 3  # ours: so many frames further a second one is compared


def verdict(work: Callable[[], Check]) -> Check:
    """The finding of `work` on a video, or the reason why it cannot be used."""
    try:
        return work()
    except UnusableError as problem:
        return problem.check
    except DataError as error:  # what the readers say of it
        lasting = not isinstance(error.__cause__, OSError | MemoryError)
        return Check("corrupt", str(error), lasting=lasting)


def verify(root: Path, path: str, alive: Alive, *, motion: bool = False) -> Check:
    """The finding after decoding all frames of `root`/`path`, and some again after a seek.

    With `motion` it holds their motion, too, for which nothing is decoded once more.
    """
    return verdict(lambda: _verify(root / path, alive, motion=motion))


def verify_quick(root: Path, path: str, alive: Alive) -> Check:
    """The same by decoding both ends and the middle, and counting packets.

    A video in which this finds anything wrong, or whose packets do not tell its frames, is decoded
    whole.
    """
    return verdict(lambda: _verify_quick(root / path, alive))


def _verify(path: Path, alive: Alive, *, motion: bool = False) -> Check:
    samples, seen, small = _samples(path), {}, []
    if motion:  # every worker would import it, with pydantic, and few are asked for it
        from stsm_cli.data.motion import differences, small_grey
    with open_strictly(path) as video:
        for number, frame in enumerate(video.frames()):
            if number == 0:
                first, screen = frame, Screen((frame.width, frame.height))
            if motion or number in samples:
                picture = screen(frame)
            if number in samples:
                seen[number] = _digest(picture)
            if motion:
                small.append(small_grey(picture[None])[0])
            alive()
        found = replace(_ok(number + 1, video, first), note=video.note)
    if motion:
        found = replace(found, motion=differences(np.stack(small)).tobytes())
    again = read_frames(path, np.array(list(seen))) if seen else ()
    return replace(found, from_start=list(map(_digest, again)) != list(seen.values()))


def _verify_quick(path: Path, alive: Alive) -> Check:
    first = None
    try:
        with open_strictly(path) as video:
            index = video.index()
            if index is None:
                return _verify(path, alive)
            last = len(index.keys) - 1
            for number, stop in ((0, _QUICK_FRAMES), (last // 2, _QUICK_FRAMES), (last, None)):
                for frame in islice(video.frames_from(index.keys[number]), stop):
                    first = first or frame
                    alive()
    except UnusableError:
        return _verify(path, alive)
    assert first is not None  # a video without any is unusable
    return _ok(len(index.times), video, first)


def _ok(num_frames: int, video: StrictVideo, first: "VideoFrame") -> Check:
    size = display_of(first).size(first.width, first.height)  # as the readers show all frames
    return Check("ok", "", num_frames, video.fps, *size)


def _samples(path: Path) -> set[int]:
    """Numbers of frames that are worth reading after a seek: from some key frames, just behind."""
    with suppress(DataError, av.FFmpegError):  # decoding the video gives the better message
        index = packet_index(path)
        if index is not None and index.keys:
            starts = [n for n in range(1, len(index.keys)) if index.keys[n - 1] != index.keys[n]]
            chosen = starts[:: max(1, len(starts) // _SEEKS)][:_SEEKS]
            return {min(n + step, len(index.keys) - 1) for n in chosen for step in (0, _AFTER_KEY)}
    return set()


def _digest(picture: Frames) -> bytes:
    return blake2b(picture.tobytes()).digest()

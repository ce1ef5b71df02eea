"""Which frames of a video a network sees: pure functions of integers.

Every function returns 0-based indices (clips, num_frames), in range for any video of one frame or
more, and equal to MMAction2 1.2's; `rng` gives the same distribution, not the same numbers.

Source: `SampleFrames` (uniform) and `DenseSampleFrames` (dense) with clip_len 1 and frame_interval
1, mmaction/datasets/transforms/loading.py.
"""

import numpy as np
import numpy.typing as npt
from typing_extensions import assert_never

from stsm_cli.config.schema import Sampling

IntArray = npt.NDArray[np.int64]

WINDOW_FRAMES = 64  # DenseSampleFrames' sample_range


def train_indices(
    sampling: Sampling, total: int, num_frames: int, rng: np.random.Generator
) -> IntArray:
    """The frames of a training sample: (1, num_frames).

    Raises:
        ValueError: A count is out of the sampler's range.
    """
    match sampling:
        case "uniform":
            return uniform_train(total, num_frames, rng)
        case "dense":
            return dense_train(total, num_frames, rng)
    assert_never(sampling)


def test_indices(sampling: Sampling, total: int, num_frames: int, clips: int) -> IntArray:
    """The frames of a test: (clips, num_frames).

    Raises:
        ValueError: A count is out of the sampler's range.
    """
    match sampling:
        case "uniform":
            return uniform_test(total, num_frames, twice={1: False, 2: True}[clips])
        case "dense":
            return dense_test(total, num_frames, positions=clips)
    assert_never(sampling)


def uniform_train(total: int, num_frames: int, rng: np.random.Generator) -> IntArray:
    """One random frame in each of `num_frames` equal segments: (1, num_frames).

    The last `total % num_frames` frames are never drawn. A video shorter than `num_frames` is
    spread out without chance, and its last indices may wrap to frame 0, as in the reference.

    Args:
        total: Frames of the video.
        num_frames: Frames to choose.
        rng: Where chance comes from.

    Raises:
        ValueError: A count is below 1.
    """
    _check_positive(total=total, num_frames=num_frames)
    segments, length = np.arange(num_frames), total // num_frames
    if length == 0:  # trap: halves round to even, and round(total - 0.5) may be total itself
        spread = np.around(segments * (total / num_frames))
        return (spread.astype(np.int64) % total)[None]
    return (segments * length + rng.integers(length, size=num_frames))[None]


def uniform_test(total: int, num_frames: int, twice: bool = False) -> IntArray:
    """The middle of each of `num_frames` equal segments: (1, num_frames).

    Args:
        total: Frames of the video.
        num_frames: Frames a clip.
        twice: Add the segments' starts as a second clip: (2, num_frames).

    Raises:
        ValueError: A count is below 1.
    """
    _check_positive(total=total, num_frames=num_frames)
    length = total / num_frames  # trap: in floating point, as the reference; 1/10 is inexact
    starts = np.arange(num_frames) * length
    clips = [starts + length / 2, starts] if twice else [starts + length / 2]
    return np.stack(clips).astype(np.int64)


def dense_train(total: int, num_frames: int, rng: np.random.Generator) -> IntArray:
    """Equally spaced frames of a window of 64 that starts at random: (1, num_frames).

    The window's last possible start is never drawn, as in the reference.

    Args:
        total: Frames of the video; a video shorter than the window starts again from its beginning.
        num_frames: Frames to choose, at most 64.
        rng: Where chance comes from.

    Raises:
        ValueError: A count is below 1, or `num_frames` above 64.
    """
    last = total - WINDOW_FRAMES
    return _windows(total, num_frames, np.array([rng.integers(last) if last > 0 else 0]))


def dense_test(total: int, num_frames: int, positions: int = 10) -> IntArray:
    """Equally spaced frames of windows of 64, spread over the video: (positions, num_frames).

    Args:
        total: Frames of the video; a video shorter than the window starts again from its beginning.
        num_frames: Frames a clip, at most 64.
        positions: Windows, the first (or only one) at the start of the video, the last at its end.

    Raises:
        ValueError: A count is below 1, or `num_frames` above 64.
    """
    _check_positive(positions=positions)
    last = max(0, total - WINDOW_FRAMES)
    return _windows(total, num_frames, np.linspace(0, last, positions, dtype=np.int64))


def _windows(total: int, num_frames: int, starts: IntArray) -> IntArray:
    _check_positive(total=total, num_frames=num_frames)
    if num_frames > WINDOW_FRAMES:
        raise ValueError(f"num_frames ({num_frames}) must be at most {WINDOW_FRAMES}")
    steps = np.arange(num_frames) * (WINDOW_FRAMES // num_frames)
    return (starts[:, None] + steps) % total  # (positions, num_frames)


def _check_positive(**counts: int) -> None:
    for name, count in counts.items():
        if count < 1:
            raise ValueError(f"{name} ({count}) must be at least 1")

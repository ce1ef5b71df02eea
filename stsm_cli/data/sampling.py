"""Positions of the frames that a network sees of a video: pure functions of integers.

Every function returns 0-based indices (clips, num_frames), in range for any video of one frame or
more, and equal to its source's; `rng` gives the same distribution, not the same numbers. ours: of
videos shorter than a view, networks of other sources too see what MMAction2's samplers choose.

Source: MMAction2 1.2, `SampleFrames` (uniform) and `DenseSampleFrames` (dense) with clip_len 1 and
frame_interval 1, mmaction/datasets/transforms/loading.py; MCG-NJU/MGSampler (motion),
`SampleFrames` in mmaction/datasets/pipelines/loading.py; facebookresearch/SlowFast,
slowfast/datasets/decoder.py and ssv2.py (slowfast); decisionforce/TPN,
mmaction/datasets/rawframes_dataset.py (tpn).

`SAMPLERS` is the table of all: a recipe's `data.sampling` is a key of it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from stsm_cli.config.schema import Sampling
from stsm_cli.config.view import View

Positions = npt.NDArray[np.int64]
MotionCurve = npt.NDArray[np.floating[Any]]
"""Motion from each frame to the next, not negative: one value less than frames."""

WINDOW_FRAMES = 64  # DenseSampleFrames' sample_range


def uniform_train(total: int, num_frames: int, rng: np.random.Generator) -> Positions:
    """One random frame in each of `num_frames` equal segments: (1, num_frames).

    The last `total % num_frames` frames are never drawn. A video shorter than `num_frames` is
    spread out without chance, and its last indices may wrap to frame 0, as in the reference.

    Args:
        total: Frames of the video.
        num_frames: Frames to choose.
        rng: Source of chance.

    Raises:
        ValueError: A count is below 1.
    """
    _check_positive(total=total, num_frames=num_frames)
    segments, length = np.arange(num_frames), total // num_frames
    if length == 0:  # trap: halves round to even, and round(total - 0.5) may be total itself
        spread = np.around(segments * (total / num_frames))
        return (spread.astype(np.int64) % total)[None]
    return (segments * length + rng.integers(length, size=num_frames))[None]


def uniform_test(total: int, num_frames: int, twice: bool = False) -> Positions:
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


def uniform_spread(total: int, num_frames: int, clips: int) -> Positions:
    """Clips of one frame in each of `num_frames` equal segments: (clips, num_frames).

    Clip k lies (k + 1/2) / `clips` of a segment behind its start, as two clips do in TPN. ours:
    where the authors of TEA and TDN draw ten clips at random, one frame in each segment, these are
    spread evenly, and so are the same in every test.

    Args:
        total: Frames of the video.
        num_frames: Frames a clip.
        clips: Their number.

    Raises:
        ValueError: A count is below 1.
    """
    _check_positive(total=total, num_frames=num_frames, clips=clips)
    places = np.arange(num_frames) + (2 * np.arange(clips)[:, None] + 1) / (2 * clips)
    return (places * (total / num_frames)).astype(np.int64)  # (clips, num_frames)


def dense_train(
    total: int, num_frames: int, rng: np.random.Generator, *, window: int = WINDOW_FRAMES
) -> Positions:
    """Equally spaced frames of a window that starts at random: (1, num_frames).

    The window's last possible start is never drawn, as in the reference.

    Args:
        total: Frames of the video; a video shorter than the window starts again from its beginning.
        num_frames: Frames to choose, at most `window`.
        rng: Source of chance.
        window: Its length in frames.

    Raises:
        ValueError: A count is below 1, or `num_frames` above `window`.
    """
    last = total - window
    starts = np.array([rng.integers(last) if last > 0 else 0])
    return _windows(total, num_frames, starts, window)


def dense_test(
    total: int, num_frames: int, positions: int = 10, *, window: int = WINDOW_FRAMES
) -> Positions:
    """Equally spaced frames of windows that are spread over the video: (positions, num_frames).

    Args:
        total: Frames of the video; a video shorter than the window starts again from its beginning.
        num_frames: Frames a clip, at most `window`.
        positions: Windows, the first (or only one) at the start of the video, the last at its end.
        window: Their length in frames.

    Raises:
        ValueError: A count is below 1, or `num_frames` above `window`.
    """
    _check_positive(positions=positions)
    last = max(0, total - window)
    starts = np.linspace(0, last, positions, dtype=np.int64)
    return _windows(total, num_frames, starts, window)


def _windows(total: int, num_frames: int, starts: Positions, window: int) -> Positions:
    _check_window(total, num_frames, window)
    steps = np.arange(num_frames) * (window // num_frames)
    return (starts[:, None] + steps) % total  # (positions, num_frames)


def slowfast_uniform_train(total: int, num_frames: int, rng: np.random.Generator) -> Positions:
    """One random frame in each of `num_frames` segments that share their ends: (1, num_frames).

    Of a video of fewer frames some are drawn repeatedly; none comes before one drawn earlier.

    Args:
        total: Frames of the video.
        num_frames: Frames to choose.
        rng: Source of chance.

    Raises:
        ValueError: A count is below 1.
    """
    ends = _slowfast_ends(total, num_frames)
    return rng.integers(ends[:-1], ends[1:], endpoint=True)[None]


def slowfast_uniform_test(total: int, num_frames: int) -> Positions:
    """The middle frame of each of these segments, rounded down: (1, num_frames).

    Raises:
        ValueError: A count is below 1.
    """
    ends = _slowfast_ends(total, num_frames)
    return ((ends[:-1] + ends[1:]) // 2)[None]


def _slowfast_ends(total: int, num_frames: int) -> Positions:
    """Ends of the segments from the first to the last frame: (num_frames + 1,)."""
    _check_positive(total=total, num_frames=num_frames)
    length = (total - 1) / num_frames  # trap: in floating point, and halves round to even
    return np.around(np.arange(num_frames + 1) * length).astype(np.int64)


def slowfast_dense_train(
    total: int, num_frames: int, rng: np.random.Generator, *, window: int = WINDOW_FRAMES
) -> Positions:
    """Frames from the first to the last of a window that starts at random: (1, num_frames).

    Args:
        total: Frames of the video; a video shorter than the window stays at its last frame.
        num_frames: Frames to choose, at most `window`.
        rng: Source of chance.
        window: Its length in frames.

    Raises:
        ValueError: A count is below 1, or `num_frames` above `window`.
    """
    starts = rng.uniform(0, max(0, total - window), size=1)
    return _slowfast_windows(total, num_frames, starts, window)


def slowfast_dense_test(
    total: int, num_frames: int, positions: int = 10, *, window: int = WINDOW_FRAMES
) -> Positions:
    """Frames from the first to the last of windows over the video: (positions, num_frames).

    Args:
        total: As `slowfast_dense_train`.
        num_frames: Frames a clip, at most `window`.
        positions: Windows, the first at the start of the video; where there are n, the last ends
            an n-th of the room before the video's end.
        window: Their length in frames.

    Raises:
        ValueError: A count is below 1, or `num_frames` above `window`.
    """
    _check_positive(positions=positions)
    starts = max(0, total - window) * np.arange(positions) / positions
    return _slowfast_windows(total, num_frames, starts, window)


def _slowfast_windows(
    total: int, num_frames: int, starts: npt.NDArray[np.float64], window: int
) -> Positions:
    _check_window(total, num_frames, window)
    places = _torch_linspace(starts, starts + window - 1, num_frames)
    return places.clip(0, total - 1).astype(np.int64)  # (positions, num_frames)


def _torch_linspace(
    first: npt.NDArray[np.float64], last: npt.NDArray[np.float64], num: int
) -> npt.NDArray[np.float32]:
    """Numbers from `first` to `last` as torch.linspace has them: (len(first), num).

    trap: where one is whole or just not is a matter of float32, of the end that is counted from
    (the nearer), and of one rounding of place * step + end, as processors have it that do both at
    once; on others torch itself differs in a few of 11 and more.
    """
    low, high = first.astype(np.float32)[:, None], last.astype(np.float32)[:, None]
    step = ((high - low) / np.float32(max(1, num - 1))).astype(np.float64)
    place = np.arange(num)
    rising, falling = low + place * step, high - (num - 1 - place) * step
    nearer: npt.NDArray[np.float64] = np.where(place < max(1, num // 2), rising, falling)
    return nearer.astype(np.float32)


def tpn_dense_train(
    total: int, num_frames: int, rng: np.random.Generator, *, window: int = WINDOW_FRAMES
) -> Positions:
    """Equally spaced frames of a window that starts at random, its last start too: (1, num_frames).

    Args:
        total: Frames of the video; one shorter than the window stays at the last of these frames
            that it holds, and that is not its last.
        num_frames: Frames to choose, at most `window`.
        rng: Source of chance.
        window: Its length in frames.

    Raises:
        ValueError: A count is below 1, or `num_frames` above `window`.
    """
    starts = rng.integers(max(1, total - window + 1), size=1)
    return _tpn_windows(total, num_frames, starts, window)


def tpn_dense_test(
    total: int, num_frames: int, positions: int = 10, *, window: int = WINDOW_FRAMES
) -> Positions:
    """Equally spaced frames of windows that start in the middles of equal parts of their room.

    Args:
        total: As `tpn_dense_train`.
        num_frames: Frames a clip, at most `window`.
        positions: Windows.
        window: Their length in frames.

    Returns:
        (positions, num_frames).

    Raises:
        ValueError: A count is below 1, or `num_frames` above `window`.
    """
    _check_positive(positions=positions)
    tick = max(0, total - window + 1) / positions  # trap: in floating point, as there
    starts = (tick / 2 + tick * np.arange(positions)).astype(np.int64)
    return _tpn_windows(total, num_frames, starts, window)


def _tpn_windows(total: int, num_frames: int, starts: Positions, window: int) -> Positions:
    _check_window(total, num_frames, window)
    step = window // num_frames
    held = max(0, total - 2) // step if total < window else num_frames
    steps: Positions = np.minimum(np.arange(num_frames), held) * step
    return starts[:, None] + steps  # (positions, num_frames)


def motion_train(curve: MotionCurve, num_frames: int, rng: np.random.Generator) -> Positions:
    """A frame at random in each of `num_frames` equal parts of the motion: (1, num_frames).

    The last frame, from which there is no motion, is never drawn; a frame may be drawn repeatedly.

    Args:
        curve: Motion from each frame to the next; where there is none at all, all frames of the
            video are sampled uniformly.
        num_frames: Frames to choose.
        rng: Source of chance.

    Raises:
        ValueError: `num_frames` is below 1.
    """
    _check_positive(num_frames=num_frames)
    if not np.any(curve):  # ours: the release divides by zero
        return uniform_train(len(curve) + 1, num_frames, rng)
    shares = (np.arange(num_frames) + rng.random(num_frames)) / num_frames
    return _nearest(curve, shares)[None]


def motion_test(curve: MotionCurve, num_frames: int, twice: bool = False) -> Positions:
    """The frame in the middle of each of `num_frames` equal parts of the motion: (1, num_frames).

    Args:
        curve: As `motion_train`.
        num_frames: Frames a clip.
        twice: Add those at the parts' starts as a second clip: (2, num_frames). ours: as in uniform
            sampling; the release has one clip.

    Raises:
        ValueError: `num_frames` is below 1.
    """
    _check_positive(num_frames=num_frames)
    if not np.any(curve):
        return uniform_test(len(curve) + 1, num_frames, twice)
    starts = np.arange(num_frames) / num_frames
    middles = starts + 1 / (2 * num_frames)
    clips = [middles, starts] if twice else [middles]
    return np.stack([_nearest(curve, shares) for shares in clips])


def _nearest(curve: MotionCurve, shares: npt.NDArray[np.float64]) -> Positions:
    """By share of the motion, 0 to 1: the first frame up to which, with its own, about it is done.

    Motion counts by its square root, as in the release.
    """
    rises = np.sqrt(curve, dtype=np.float64)
    done = np.cumsum(rises / rises.sum())
    nearest: Positions = np.abs(done - shares[:, None]).argmin(1)  # the first one of equals
    return nearest


def _check_positive(**counts: int) -> None:
    for name, count in counts.items():
        if count < 1:
            raise ValueError(f"{name} ({count}) must be at least 1")


def _check_window(total: int, num_frames: int, window: int) -> None:
    _check_positive(total=total, num_frames=num_frames)
    if num_frames > window:
        raise ValueError(f"num_frames ({num_frames}) must be at most {window}")


def _room(total: int, view: View) -> int:
    """Frames at which what is read at one position can begin; 1 in a video that is shorter."""
    return max(1, total - view.span + 1)


def _runs(starts: Positions, total: int, view: View) -> Positions:
    """Each start, and the frames that are read with it; behind its last frame a video begins again.

    So it does in MMAction2's `SampleFrames` (`out_of_bound_opt='loop'`).
    """
    run = np.arange(view.consecutive)
    return ((starts[..., None] + run) % total).reshape(len(starts), -1)


def _uniform_train(
    total: int, view: View, rng: np.random.Generator, motion: MotionCurve | None
) -> Positions:
    return uniform_train(_room(total, view), view.num_positions, rng)


def _uniform_test(total: int, view: View, clips: int, motion: MotionCurve | None) -> Positions:
    room, positions = _room(total, view), view.num_positions
    if clips in (1, 2):  # as in the reference
        return uniform_test(room, positions, twice=clips == 2)
    return uniform_spread(room, positions, clips)


def _dense_train(
    total: int, view: View, rng: np.random.Generator, motion: MotionCurve | None
) -> Positions:
    return dense_train(_room(total, view), view.num_positions, rng, window=view.window)


def _dense_test(total: int, view: View, clips: int, motion: MotionCurve | None) -> Positions:
    return dense_test(_room(total, view), view.num_positions, clips, window=view.window)


def _slowfast_uniform_train(
    total: int, view: View, rng: np.random.Generator, motion: MotionCurve | None
) -> Positions:
    return slowfast_uniform_train(_room(total, view), view.num_positions, rng)


def _slowfast_uniform_test(
    total: int, view: View, clips: int, motion: MotionCurve | None
) -> Positions:
    return slowfast_uniform_test(_room(total, view), view.num_positions)


def _slowfast_dense_train(
    total: int, view: View, rng: np.random.Generator, motion: MotionCurve | None
) -> Positions:
    return slowfast_dense_train(total, view.num_positions, rng, window=view.window)


def _slowfast_dense_test(
    total: int, view: View, clips: int, motion: MotionCurve | None
) -> Positions:
    return slowfast_dense_test(total, view.num_positions, clips, window=view.window)


def _tpn_uniform_test(total: int, view: View, clips: int, motion: MotionCurve | None) -> Positions:
    return uniform_spread(_room(total, view), view.num_positions, clips)


def _tpn_dense_train(
    total: int, view: View, rng: np.random.Generator, motion: MotionCurve | None
) -> Positions:
    return tpn_dense_train(total, view.num_positions, rng, window=view.window)


def _tpn_dense_test(total: int, view: View, clips: int, motion: MotionCurve | None) -> Positions:
    return tpn_dense_test(total, view.num_positions, clips, window=view.window)


def _motion_train(
    total: int, view: View, rng: np.random.Generator, motion: MotionCurve | None
) -> Positions:
    return motion_train(_up_to_the_last_run(total, view, motion), view.num_positions, rng)


def _motion_test(total: int, view: View, clips: int, motion: MotionCurve | None) -> Positions:
    twice = {1: False, 2: True}[clips]
    return motion_test(_up_to_the_last_run(total, view, motion), view.num_positions, twice)


def _up_to_the_last_run(total: int, view: View, motion: MotionCurve | None) -> MotionCurve:
    """The motion between the frames from which what is read at one position fits into the video."""
    if motion is None or len(motion) != total - 1:
        known = "unknown" if motion is None else f"known of {len(motion) + 1}"
        raise ValueError(f"motion of a video of {total} frames is {known}")
    return motion[: _room(total, view) - 1]


@dataclass(frozen=True)
class FrameSampler:
    """The two functions behind a recipe's `data.sampling`.

    Attributes:
        train: From a video's total of frames, a view, a source of chance and the video's motion,
            where that is known, to the positions of a training sample, (1, view.num_positions).
        test: From that total, a view, a number of clips, which `schema.sampling_limits` allows, and
            the motion to the positions of a test, (clips, view.num_positions).
    """

    train: Callable[[int, View, np.random.Generator, MotionCurve | None], Positions]
    test: Callable[[int, View, int, MotionCurve | None], Positions]


SAMPLERS: dict[Sampling, FrameSampler] = {
    "uniform": FrameSampler(_uniform_train, _uniform_test),
    "dense": FrameSampler(_dense_train, _dense_test),
    "motion": FrameSampler(_motion_train, _motion_test),
    "slowfast_uniform": FrameSampler(_slowfast_uniform_train, _slowfast_uniform_test),
    "slowfast_dense": FrameSampler(_slowfast_dense_train, _slowfast_dense_test),
    "tpn_uniform": FrameSampler(_uniform_train, _tpn_uniform_test),
    "tpn_dense": FrameSampler(_tpn_dense_train, _tpn_dense_test),
}


def train_indices(
    sampling: Sampling,
    total: int,
    view: View,
    rng: np.random.Generator,
    motion: MotionCurve | None = None,
) -> Positions:
    """The frames of a training sample: (1, view.num_frames).

    Args:
        sampling: How they are chosen.
        total: Frames of the video.
        view: What is read of it.
        rng: Source of chance.
        motion: Of the video, (total - 1,), for motion sampling.

    Raises:
        ValueError: A count is out of the sampler's range, or motion is not that of such a video.
    """
    return _runs(_sampler(sampling).train(total, view, rng, motion), total, view)


def test_indices(
    sampling: Sampling,
    total: int,
    view: View,
    clips: int,
    motion: MotionCurve | None = None,  # noqa: PT028  # no test of pytest's
) -> Positions:
    """The frames of a test: (clips, view.num_frames).

    Raises:
        ValueError: A count is out of the sampler's range, or motion is not that of such a video.
    """
    return _runs(_sampler(sampling).test(total, view, clips, motion), total, view)


def _sampler(name: Sampling) -> FrameSampler:
    """The entry of `SAMPLERS`; that there is one for every name of the schema is tested."""
    assert name in SAMPLERS, f"data.sampling {name!r} has no entry in SAMPLERS"
    return SAMPLERS[name]

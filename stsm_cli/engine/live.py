"""Scores of a camera or a stream while it goes on.

Frames come in a thread of their own. A network whose frames see none that come later takes them one
by one (`FrameStream`), as far apart as a view over the window has them; any other looks at the last
frames anew, each time a part of the window has come. Where it is slower than they come, the oldest
are dropped.

Shapes: K classes; frames (T, H, W, 3).
"""

import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from threading import Thread
from typing import Protocol

import numpy as np
import torch

from stsm_cli.config.view import View
from stsm_cli.data.crops import center_crop, cut
from stsm_cli.data.frames import Frames, resize_short_side
from stsm_cli.data.live import LiveVideo, Pending
from stsm_cli.data.loader import Batch
from stsm_cli.data.sampling import test_indices
from stsm_cli.engine.predict import Predictor, follows_motion
from stsm_cli.engine.step import normalise
from stsm_cli.engine.windows import STEPS
from stsm_cli.errors import UsageError
from stsm_cli.models.network import Network
from stsm_cli.models.stream import FrameStream, stream_obstacle

RATE_SECONDS = 3.0  # that a rate is about; the first frames come at once, as they have waited
JOIN_SECONDS = 2.0  # a thread that waits for a silent camera ends with the process


class Looker(Protocol):
    """What scores the newest frames.

    Attributes:
        every: Frames that come between two scores.
        window: Frames that a score is about.
    """

    every: int
    window: int

    def see(self, picture: Frames) -> None:
        """Take the next frame (H, W, 3), cropped."""

    def score(self) -> torch.Tensor:
        """Probabilities (K,) of what was seen last."""


class WindowLooker:
    """Scores of the last `window` frames, each time as of a video of these, one view."""

    def __init__(self, predictor: Predictor, window: int) -> None:
        self._predictor, self.window = predictor, window
        self.every = max(1, window // STEPS)
        self._seen: deque[Frames] = deque(maxlen=window)

    def see(self, picture: Frames) -> None:
        """Take the next frame."""
        self._seen.append(picture)

    def score(self) -> torch.Tensor:
        """Probabilities (K,); of fewer frames where fewer have come."""
        recipe = self._predictor.recipe
        (places,) = test_indices(recipe.data.sampling, len(self._seen), recipe.model.view, 1)
        view = np.stack([self._seen[place] for place in places.tolist()])  # (T, H, W, 3)
        pixels = torch.from_numpy(view).movedim(-1, 1)[None, None]  # (1, 1, T, 3, H, W)
        return self._predictor.score(Batch(pixels, torch.zeros(1, dtype=torch.int64), (0,), {}))[0]


class StreamLooker:
    """Scores of a network that takes frame by frame; the mean over as many as a view has."""

    def __init__(self, network: Network, view: View, window: int) -> None:
        self._stream, self._view, self.window = FrameStream(network), view, window
        self.every = max(1, window // view.num_positions)
        self._device = next(network.parameters()).device
        self._count = 0
        self._scores: deque[torch.Tensor] = deque(maxlen=view.num_positions)

    def see(self, picture: Frames) -> None:
        """Take the next frame; of `every` so many the network sees the first."""
        if self._count % self.every == 0:
            pixels = torch.from_numpy(np.ascontiguousarray(picture)).movedim(-1, 0)[None]
            self._scores.append(self._stream.step(normalise(pixels, self._view, self._device)))
        self._count += 1

    def score(self) -> torch.Tensor:
        """Probabilities (K,) by the mean of the last scores."""
        return torch.cat(tuple(self._scores)).mean(0).softmax(-1).cpu()


def looker(predictor: Predictor, window: int) -> Looker:
    """The quickest way in which the network of `predictor` can look at a stream.

    Raises:
        UsageError: It samples by the motion of a whole video, or takes several views of one.
    """
    num_views = predictor.recipe.test.clips * predictor.recipe.test.crops
    if predictor.network is None and num_views > 1:
        raise UsageError(
            f"the exported network takes {num_views} views of a video, a stream has one",
            hint="export it with --clips 1 --crops 1, or without --with-preprocessing",
        )
    if follows_motion(predictor):
        raise UsageError("data.sampling motion: is by a whole video, which a stream is not")
    if predictor.network is None or stream_obstacle(predictor.network) is not None:
        return WindowLooker(predictor, window)
    return StreamLooker(predictor.network, predictor.recipe.model.view, window)


@dataclass(frozen=True)
class Moment:
    """A score, and how the stream goes.

    Attributes:
        seconds: Time of the newest frame behind the first.
        num_frames: Frames so far, dropped ones too.
        num_dropped: Frames that the network was too slow for.
        num_scores: So far, with this one.
        frames_per_second: Of the last seconds, as they came, by the clock.
        scores_per_second: Likewise.
        probabilities: (K,).
    """

    seconds: float
    num_frames: int
    num_dropped: int
    num_scores: int
    frames_per_second: float
    scores_per_second: float
    probabilities: torch.Tensor


def watch_live(
    predictor: Predictor, looker: Looker, video: LiveVideo, *, seconds: float | None = None
) -> Iterator[Moment]:
    """The scores as they come, until the stream ends.

    Args:
        predictor: Its recipe says the size of the pictures.
        looker: What scores them.
        video: Is closed at the end.
        seconds: Of the stream, after which it is left.

    Raises:
        DataError: Nothing comes any more.
    """
    recipe = predictor.recipe
    room = looker.window if video.is_endless else looker.every
    pending = Pending[tuple[float | None, Frames]](room, may_drop=video.is_endless)
    pictures = _cropped(video, recipe.data.short_side_px, recipe.test.crop_px)
    thread = Thread(target=pending.fill, args=(pictures,), daemon=True)
    thread.start()
    try:
        yield from _moments(looker, pending, seconds)
    finally:
        pending.close()
        thread.join(JOIN_SECONDS)


def _moments(
    looker: Looker, pending: Pending[tuple[float | None, Frames]], seconds: float | None
) -> Iterator[Moment]:
    num_seen, num_scores, rates = 0, 0, _Rates()
    first = None
    while taken := pending.take(looker.every):
        for _, picture in taken:
            looker.see(picture)
        probabilities = looker.score()
        num_seen, num_scores = num_seen + len(taken), num_scores + 1
        first, last = (taken[0][0] if first is None else first), taken[-1][0]
        now = rates.elapsed() if first is None or last is None else last - first
        counts = num_seen + pending.num_dropped, pending.num_dropped, num_scores
        yield Moment(now, *counts, *rates.mark(counts[0], num_scores), probabilities)
        if seconds is not None and now >= seconds:
            return


class _Rates:
    """How often things happen, over the last `RATE_SECONDS`."""

    def __init__(self) -> None:
        self._begun = time.monotonic()
        self._marks = deque([(self._begun, 0, 0)])

    def elapsed(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self._begun

    def mark(self, num_frames: int, num_scores: int) -> tuple[float, float]:
        """Note how many there are now; frames and scores a second."""
        now = time.monotonic()
        while len(self._marks) > 1 and now - self._marks[1][0] >= RATE_SECONDS:
            self._marks.popleft()
        then, frames, scores = self._marks[0]
        self._marks.append((now, num_frames, num_scores))
        passed = max(now - then, 1e-3)
        return (num_frames - frames) / passed, (num_scores - scores) / passed


def _cropped(
    video: LiveVideo, short_side_px: int, size: int
) -> Iterator[tuple[float | None, Frames]]:
    for seconds, frame in video.frames():
        picture = resize_short_side(frame[None], short_side_px)
        (box,) = center_crop(picture.shape[1], picture.shape[2], size)
        yield seconds, cut(picture, box)[0]

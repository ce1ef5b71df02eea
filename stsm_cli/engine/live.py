"""Scores of a camera or a stream while it goes on.

Frames come in a thread of their own. A network whose frames see none that come later takes them one
by one (`FrameStream`), at the pace of its training; any other looks at the last frames anew, each
time a part of the window has come. Where it is slower than they come, the oldest are dropped.

Shapes: K classes; frames (T, H, W, 3).
"""

import time
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
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
from stsm_cli.models.stream import FrameStream

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
        UsageError: It samples by the motion of a whole video.
    """
    if follows_motion(predictor):
        raise UsageError("data.sampling motion: is by a whole video, which a stream is not")
    if predictor.network is not None:
        with suppress(ValueError):  # its frames see later ones
            return StreamLooker(predictor.network, predictor.recipe.model.view, window)
    return WindowLooker(predictor, window)


@dataclass(frozen=True)
class Moment:
    """A score, and how the stream goes.

    Attributes:
        seconds: Time of the newest frame behind the first.
        num_frames: Frames so far, dropped ones too.
        num_dropped: Frames that the network was too slow for.
        num_scores: So far, with this one.
        elapsed: Seconds since the beginning, by the clock.
        probabilities: (K,).
    """

    seconds: float
    num_frames: int
    num_dropped: int
    num_scores: int
    elapsed: float
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
    num_seen, num_scores, begun = 0, 0, time.monotonic()
    first = None
    while taken := pending.take(looker.every):
        for _, picture in taken:
            looker.see(picture)
        num_seen, num_scores = num_seen + len(taken), num_scores + 1
        probabilities, elapsed = looker.score(), time.monotonic() - begun
        first, last = (taken[0][0] if first is None else first), taken[-1][0]
        now = elapsed if first is None or last is None else last - first
        dropped = pending.num_dropped
        yield Moment(now, num_seen + dropped, dropped, num_scores, elapsed, probabilities)
        if seconds is not None and now >= seconds:
            return


def _cropped(
    video: LiveVideo, short_side_px: int, size: int
) -> Iterator[tuple[float | None, Frames]]:
    for seconds, frame in video.frames():
        picture = resize_short_side(frame[None], short_side_px)
        (box,) = center_crop(picture.shape[1], picture.shape[2], size)
        yield seconds, cut(picture, box)[0]

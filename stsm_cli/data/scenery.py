"""A stage for actions: background, distractors, camera and noise, and random pieces of motion.

Lengths are in units of the picture's short side, time runs from 0 to 1. Every draw, as a process in
time, is as likely as its reversal and its mirror image; what tells classes apart are the actors.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from stsm_cli.data.frames import Frames
from stsm_cli.data.render import SHAPES, TEXTURES, Floats, Scene, Shape, Sprite, draw

# ours: where backgrounds are of any colour, networks hardly learn (docs/log.md)
TINT = 0.25
# ours: of short sides; farther out, each crop of a 4:3 picture misses half of the actors
OFF_CENTRE = 0.15


def picture_size(short_side_px: int, width: float) -> tuple[int, int]:
    """Height and width in pixels, both even, of a picture that is `width` short sides wide."""
    return short_side_px, 2 * round(short_side_px * width / 2)


def turned(frames: Frames, *, is_mirrored: bool, is_reversed: bool) -> Frames:
    """Frames (T, H, W, 3), mirrored and played backwards as it is said."""
    if is_mirrored:
        frames = frames[:, :, ::-1]
    if is_reversed:
        frames = frames[::-1]
    return np.ascontiguousarray(frames)


@dataclass(frozen=True)
class Track:
    """Place and look of a sprite over time: arrays (T,) or constants."""

    x: Floats | float
    y: Floats | float
    angle: Floats | float = 0.0
    scale: Floats | float = 1.0
    opacity: Floats | float = 1.0


class StageSettings(Protocol):
    """Settings of a drawn set that its stage needs."""

    @property
    def frames(self) -> int:
        """T."""

    @property
    def short_side_px(self) -> int:
        """Height of the picture."""

    @property
    def difficulty(self) -> float:
        """Clutter, distractors, camera motion and noise, from 0 (none) to 1."""


class Scenery:
    """The random pieces that all actions of the drawn sets share."""

    def __init__(
        self,
        rng: np.random.Generator,
        settings: StageSettings,
        *,
        width: float,
        tint: float = 1.0,
        off_centre: float = np.inf,
    ) -> None:
        """An empty stage.

        Args:
            rng: All that is random comes from it.
            settings: Of the set that is drawn.
            width: Of the picture, in short sides.
            tint: Of the background, from 0 (grey) to 1 (of any colour).
            off_centre: How far to the side of the middle things are placed at most.
        """
        self.rng = rng
        self.hard = settings.difficulty
        self.num_frames = num_frames = settings.frames
        self.short_side_px = settings.short_side_px
        self.width = width
        self.time = ((np.arange(num_frames) + 0.5) / num_frames).astype(np.float32)
        self.tint, self.off_centre = tint, off_centre
        # ours: darker than objects, so they are soon found
        self.ground = _tinted(rng.uniform(0.1, 0.4, 3), tint)

    def scene(self, actors: Sequence[Sprite]) -> Scene:
        """The actors among what distracts from them."""
        hard, num_frames = self.hard, self.num_frames
        height, width = picture_size(self.short_side_px, self.width)
        distractors = [self.wanderer() for _ in range(self.rng.integers(round(3 * hard) + 1))]
        jitter = 0.008 * hard * self.rng.standard_normal((num_frames, 2))
        camera = np.clip(self.wander(0.1 * hard) + jitter, -0.14, 0.14)
        margin = round(0.15 * height) + 1
        noise = self.rng.random((num_frames, 1, height, width), np.float32) - np.float32(0.5)
        return Scene(
            canvas=self.backdrop(height + 2 * margin, width + 2 * margin),
            margin=margin,
            camera=(camera * height).astype(np.float32),
            sprites=(*distractors, *actors),
            gain=(1 + self.wander(0.2 * hard)[:, 0]).astype(np.float32),
            noise=np.float32(0.25 * hard) * noise,
        )

    def uniform(self, low: float, high: float) -> float:
        """A number between the two."""
        return float(self.rng.uniform(low, high))

    def progress(self, shortest: float = 0.4, longest: float = 0.9) -> Floats:
        """From 0 to 1 over time: rest, a more or less eased motion, rest."""
        duration = self.uniform(shortest, longest)
        start = self.uniform(0, 1 - duration)
        x: Floats = np.clip((self.time - start) / duration, 0, 1)
        ease = self.uniform(0, 1)
        return x + ease * (x * x * (3 - 2 * x) - x)

    def wander(self, size: float) -> Floats:
        """A smooth random path (T, 2) of about `size` around its middle."""
        speed, phase = self.rng.uniform(0.3, 1.0, (3, 2)), self.rng.uniform(0, 1, (3, 2))
        waves: Floats = np.sin(2 * np.pi * (self.time[:, None, None] * speed + phase))
        return np.asarray(1.2 * size * waves.mean(1), np.float32)

    def colors(self) -> Floats:
        """Two RGB colours (2, 3), the first of them unlike the background."""
        candidates = self.rng.uniform(0.45, 1, (6, 3))
        by_distance = np.argsort(np.abs(candidates - self.ground).sum(1))
        return candidates[by_distance[[-1, int(self.rng.integers(5))]]].astype(np.float32)

    def sprite(
        self,
        track: Track,
        radius: float,
        shapes: Sequence[Shape] = tuple(SHAPES.values()),
        textures: tuple[str, ...] = tuple(TEXTURES),
    ) -> Sprite:
        """An object of random looks on a track, with small motions of its own added."""
        size = self.short_side_px
        drift, turn = self.wander(0.02), self.wander(0.25)
        return Sprite(
            shape=shapes[int(self.rng.integers(len(shapes)))],
            texture=str(self.rng.choice(textures)),
            colors=self.colors(),
            radius=radius * size,
            x=((track.x + drift[:, 0]) * size).astype(np.float32),
            y=((track.y + drift[:, 1]) * size).astype(np.float32),
            angle=(self.uniform(0, 2 * np.pi) + track.angle + turn[:, 0]).astype(np.float32),
            scale=(track.scale * np.exp(0.3 * turn[:, 1])).astype(np.float32),
            opacity=np.broadcast_to(np.float32(track.opacity), self.time.shape),
        )

    def radius(self) -> float:
        """Half the size of an actor."""
        return self.uniform(14 / 96, 21 / 96)

    def place(self, reach_x: float, reach_y: float) -> tuple[float, float]:
        """A point at least `reach_x`, `reach_y` from the picture's sides where there is room.

        And not farther than `off_centre` to the side of its middle.
        """
        free_x, free_y = max(0.0, self.width / 2 - reach_x), max(0.0, 0.5 - reach_y)
        free_x = min(free_x, self.off_centre)
        return (
            self.width / 2 + self.uniform(-free_x, free_x),
            0.5 + self.uniform(-free_y, free_y),
        )

    def wanderer(self) -> Sprite:
        """A distractor: smaller than the actors, anywhere, on a smooth random way."""
        x, y = self.place(0.1, 0.1)
        way = self.wander(0.3)
        return self.sprite(Track(x + way[:, 0], y + way[:, 1]), self.uniform(0.05, 0.09))

    def backdrop(self, height: int, width: int) -> Floats:
        """A still background (3, height, width): value noise in three octaves, and clutter."""
        picture = np.repeat(self.ground[:, None, None], height, 1).repeat(width, 2)
        for octave, cells in enumerate((3, 6, 12)):
            lattice = _tinted(self.rng.uniform(-1, 1, (3, cells + 1, cells + 1)), self.tint)
            rows, columns = _interpolation(height, cells), _interpolation(width, cells)
            picture += (0.1 + 0.6 * self.hard) * 0.5**octave * (rows @ lattice @ columns.T)
        canvas = np.clip(picture, 0, 1).astype(np.float32)
        for _ in range(round(self.hard * self.uniform(6, 20))):
            self._clutter(canvas)
        return canvas

    def _clutter(self, canvas: Floats) -> None:
        size = self.short_side_px
        x, y = self.uniform(0, canvas.shape[2] / size), self.uniform(0, canvas.shape[1] / size)
        spot = self.sprite(Track(x, y), self.uniform(0.03, 0.12))
        tracks = {name: getattr(spot, name)[:1] for name in ("x", "y", "angle", "scale", "opacity")}
        draw(canvas[None], replace(spot, **tracks), np.zeros((1, 2), np.float32))


def _tinted(rgb: Floats, tint: float) -> Floats:
    """Values (3, ...), as colourful as it is said; at 1 the same bits."""
    return rgb if tint == 1 else rgb[:1] + tint * (rgb - rgb[:1])


def _interpolation(length: int, cells: int) -> Floats:
    """Weights (length, cells + 1) that interpolate lattice values linearly over `length` pixels."""
    position: Floats = (np.arange(length) + 0.5) * (cells / length)
    weights: Floats = np.clip(1 - np.abs(position[:, None] - np.arange(cells + 1)), 0, 1)
    return weights

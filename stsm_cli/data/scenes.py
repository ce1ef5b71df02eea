"""The scenes of the embedded data set: sixteen actions in eight pairs.

The second class of a pair is the first one played backwards: its videos are fresh draws of the
first's process, reversed as a whole, camera, distractors and noise included. So a frame taken at
random shows the same distribution of pictures in both, and only the order of frames tells them
apart.

Mirroring, too, maps classes onto classes exactly. Write P for the drawn process of a pair's first
class, R for reversal, M for mirroring. A fair coin turns P into

    Q = P or M P        where mirroring keeps the class: then M Q ~ Q;
    Q = P or M R P      where mirroring swaps the pair (left/right, clockwise): then M Q ~ R Q.

Both follow from M M = R R = identity and M R = R M, whatever P is. The first class shows Q, the
second R Q: every parasitic motion is symmetric with it. (A draw of M R P still shows the first
class: a mirrored, reversed motion to the right goes to the right.) Coding keeps the reversal exact,
frame by frame (`render.encode`); the mirror holds for the frames before it.

Lengths are in units of the picture's short side, time runs from 0 to 1.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from stsm_cli.config.generated_sets import SynthConfig
from stsm_cli.data.frames import Frames
from stsm_cli.data.manifest import SPLITS
from stsm_cli.data.render import SHAPES, TEXTURES, Floats, Scene, Sprite, draw, render

CLASSES: tuple[str, ...] = (
    "left_to_right",
    "right_to_left",
    "downward",
    "upward",
    "approach",
    "recede",
    "rotate_cw",
    "rotate_ccw",
    "appear",
    "disappear",
    "together",
    "apart",
    "left_first",
    "right_first",
    "cover",
    "uncover",
)
"""Classes 2k and 2k + 1 are each other's time reversal."""

MIRROR_SWAPS = frozenset({"left_to_right", "rotate_cw", "left_first"})
"""First classes of the pairs that mirroring swaps; it keeps every other class."""

WIDTH = 7 / 6  # ours: of the picture, in short sides


def frame_size(config: SynthConfig) -> tuple[int, int]:
    """Height and width of the videos in pixels, both even."""
    return config.short_side_px, 2 * round(config.short_side_px * WIDTH / 2)


def make_frames(config: SynthConfig, split: str, index: int) -> tuple[Frames, int]:
    """Video `index` of a split, as frames (T, H, W, 3) uint8 RGB, and its label.

    It depends on nothing but the arguments, so videos can be made in any order, anywhere.
    """
    label = index % len(CLASSES)
    rng = np.random.default_rng([config.seed, SPLITS.index(split), index])
    is_mirrored = bool(rng.integers(2))
    scene = draw_scene(label - label % 2, config, rng)
    return orient(render(scene), label, is_mirrored=is_mirrored), label


def orient(frames: Frames, label: int, *, is_mirrored: bool) -> Frames:
    """Frames of the drawn process of a pair, turned into those of class `label`.

    Args:
        frames: (T, H, W, 3) a draw of the process P of `label`'s pair.
        label: Which class of the pair.
        is_mirrored: The coin of this module's docstring.
    """
    swaps = CLASSES[label - label % 2] in MIRROR_SWAPS
    is_reversed = (label % 2 == 1) != (is_mirrored and swaps)
    if is_mirrored:
        frames = frames[:, :, ::-1]
    if is_reversed:
        frames = frames[::-1]
    return np.ascontiguousarray(frames)


def draw_scene(label: int, config: SynthConfig, rng: np.random.Generator) -> Scene:
    """A draw of the process of the pair whose first class is `label`."""
    stage = _Stage(config, rng)
    height, width = frame_size(config)
    hard = config.difficulty
    actors = _ACTIONS[label // 2](stage)
    distractors = [stage.wanderer() for _ in range(rng.integers(round(3 * hard) + 1))]
    jitter = 0.008 * hard * rng.standard_normal((config.frames, 2))
    camera = np.clip(stage.wander(0.1 * hard) + jitter, -0.14, 0.14)
    margin = round(0.15 * height) + 1
    noise = rng.random((config.frames, 1, height, width), np.float32) - np.float32(0.5)
    return Scene(
        canvas=stage.backdrop(height + 2 * margin, width + 2 * margin),
        margin=margin,
        camera=(camera * height).astype(np.float32),
        sprites=(*distractors, *actors),
        gain=(1 + stage.wander(0.2 * hard)[:, 0]).astype(np.float32),
        noise=np.float32(0.25 * hard) * noise,
    )


@dataclass(frozen=True)
class _Path:
    """Place and look of a sprite over time: arrays (T,) or constants."""

    x: Floats | float
    y: Floats | float
    angle: Floats | float = 0.0
    scale: Floats | float = 1.0
    opacity: Floats | float = 1.0


class _Stage:
    """The random pieces that all actions share."""

    def __init__(self, config: SynthConfig, rng: np.random.Generator) -> None:
        self.rng = rng
        self.hard = config.difficulty
        self.short_side_px = config.short_side_px
        self.time = ((np.arange(config.frames) + 0.5) / config.frames).astype(np.float32)
        self.ground = rng.uniform(0.1, 0.4, 3)  # ours: darker than objects, so they are soon found

    def uniform(self, low: float, high: float) -> float:
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
        path: _Path,
        radius: float,
        shapes: tuple[str, ...] = tuple(SHAPES),
        textures: tuple[str, ...] = tuple(TEXTURES),
    ) -> Sprite:
        """An object of random looks on a path, with small motions of its own added."""
        size = self.short_side_px
        drift, turn = self.wander(0.02), self.wander(0.25)
        return Sprite(
            shape=str(self.rng.choice(shapes)),
            texture=str(self.rng.choice(textures)),
            colors=self.colors(),
            radius=radius * size,
            x=((path.x + drift[:, 0]) * size).astype(np.float32),
            y=((path.y + drift[:, 1]) * size).astype(np.float32),
            angle=(self.uniform(0, 2 * np.pi) + path.angle + turn[:, 0]).astype(np.float32),
            scale=(path.scale * np.exp(0.3 * turn[:, 1])).astype(np.float32),
            opacity=np.broadcast_to(np.float32(path.opacity), self.time.shape),
        )

    def radius(self) -> float:
        return self.uniform(14 / 96, 21 / 96)

    def place(self, reach_x: float, reach_y: float) -> tuple[float, float]:
        """A point at least `reach_x`, `reach_y` from the picture's sides where there is room."""
        free_x, free_y = max(0.0, WIDTH / 2 - reach_x), max(0.0, 0.5 - reach_y)
        return (
            WIDTH / 2 + self.uniform(-free_x, free_x),
            0.5 + self.uniform(-free_y, free_y),
        )

    def wanderer(self) -> Sprite:
        """A distractor: smaller than the actors, anywhere, on a smooth random way."""
        x, y = self.place(0.1, 0.1)
        way = self.wander(0.3)
        return self.sprite(_Path(x + way[:, 0], y + way[:, 1]), self.uniform(0.05, 0.09))

    def backdrop(self, height: int, width: int) -> Floats:
        """A still background (3, height, width): value noise in three octaves, and clutter."""
        picture = np.repeat(self.ground[:, None, None], height, 1).repeat(width, 2)
        for octave, cells in enumerate((3, 6, 12)):
            lattice = self.rng.uniform(-1, 1, (3, cells + 1, cells + 1))
            rows, columns = _interpolation(height, cells), _interpolation(width, cells)
            picture += (0.1 + 0.6 * self.hard) * 0.5**octave * (rows @ lattice @ columns.T)
        canvas = np.clip(picture, 0, 1).astype(np.float32)
        for _ in range(round(self.hard * self.uniform(6, 20))):
            self._clutter(canvas)
        return canvas

    def _clutter(self, canvas: Floats) -> None:
        size = self.short_side_px
        x, y = self.uniform(0, canvas.shape[2] / size), self.uniform(0, canvas.shape[1] / size)
        spot = self.sprite(_Path(x, y), self.uniform(0.03, 0.12))
        tracks = {name: getattr(spot, name)[:1] for name in ("x", "y", "angle", "scale", "opacity")}
        draw(canvas[None], replace(spot, **tracks), np.zeros((1, 2), np.float32))


def _interpolation(length: int, cells: int) -> Floats:
    """Weights (length, cells + 1) that interpolate lattice values linearly over `length` pixels."""
    position: Floats = (np.arange(length) + 0.5) * (cells / length)
    weights: Floats = np.clip(1 - np.abs(position[:, None] - np.arange(cells + 1)), 0, 1)
    return weights


def _left_to_right(stage: _Stage) -> list[Sprite]:
    radius, way = stage.radius(), stage.uniform(0.35, 0.6)
    x, y = stage.place(way / 2 + radius, radius)
    return [stage.sprite(_Path(x + way * (stage.progress() - 0.5), y), radius)]


def _downward(stage: _Stage) -> list[Sprite]:
    radius, way = stage.radius(), stage.uniform(0.3, 0.5)
    x, y = stage.place(radius, way / 2 + radius)
    return [stage.sprite(_Path(x, y + way * (stage.progress() - 0.5)), radius)]


def _approach(stage: _Stage) -> list[Sprite]:
    radius, growth = stage.radius(), stage.uniform(1.7, 2.6)
    x, y = stage.place(radius * 1.3, radius * 1.3)
    scale = np.exp(np.log(growth) * (stage.progress() - 0.5))
    return [stage.sprite(_Path(x, y, scale=scale), radius)]


def _rotate_cw(stage: _Stage) -> list[Sprite]:
    radius, turn = stage.radius(), np.radians(stage.uniform(80, 140))
    x, y = stage.place(radius, radius)
    path = _Path(x, y, angle=turn * stage.progress())
    # A turning plain disc or a ring would look still; a star or square too much the same.
    return [stage.sprite(path, radius, ("triangle", "bar", "ell", "blob"))]


def _appear(stage: _Stage) -> list[Sprite]:
    radius = stage.radius()
    x, y = stage.place(radius, radius)
    opacity = stage.progress(0.15, 0.5)
    return [stage.sprite(_Path(x, y, opacity=opacity), radius)]


def _together(stage: _Stage) -> list[Sprite]:
    radii = stage.radius(), stage.radius()
    way, tilt = stage.uniform(0.3, 0.45), stage.uniform(-0.6, 0.6)
    cos, sin = float(np.cos(tilt)), float(np.sin(tilt))
    apart = (sum(radii) + way) / 2
    x, y = stage.place(apart * cos + max(radii), apart * abs(sin) + max(radii))
    distance = apart - way / 2 * stage.progress()
    return [
        stage.sprite(_Path(x + side * distance * cos, y + side * distance * sin), radius)
        for side, radius in zip((-1, 1), radii, strict=True)
    ]


def _left_first(stage: _Stage) -> list[Sprite]:
    height, duration = stage.uniform(0.16, 0.28), stage.uniform(0.25, 0.4)
    start = stage.uniform(0, 1 - 2 * duration)
    gap = stage.uniform(0.4, 0.6)
    x, y = stage.place(gap / 2 + 0.15, 0.18)
    sprites = []
    for side in (0, 1):
        phase = np.clip((stage.time - start - side * duration) / duration, 0, 1)
        hop = height * np.sin(np.pi * phase)
        path = _Path(x + (side - 0.5) * gap, y + height / 2 - hop)
        sprites.append(stage.sprite(path, stage.radius()))
    return sprites


def _cover(stage: _Stage) -> list[Sprite]:
    radius, way = stage.uniform(10 / 96, 13 / 96), stage.uniform(0.38, 0.5)
    tilt = stage.uniform(0, 2 * np.pi)
    cos, sin = float(np.cos(tilt)), float(np.sin(tilt))
    x, y = stage.place(way / 2 * abs(cos) + 2 * radius, way / 2 * abs(sin) + 2 * radius)
    left = way * (0.5 - stage.progress())  # from half a way before the middle to half behind it
    actor = _Path(x + left * cos, y + left * sin)
    screen = _Path(x - way / 2 * cos, y - way / 2 * sin)
    return [
        stage.sprite(actor, radius),
        stage.sprite(screen, 1.7 * radius, ("disc", "square")),
    ]


# In the order of the pairs.
_ACTIONS: tuple[Callable[[_Stage], list[Sprite]], ...] = (
    _left_to_right,
    _downward,
    _approach,
    _rotate_cw,
    _appear,
    _together,
    _left_first,
    _cover,
)

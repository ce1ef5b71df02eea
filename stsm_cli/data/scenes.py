"""The generated set of scenes: appearance first, motion too, as on Kinetics.

Twenty-four classes in twelve pairs. Four pairs differ in how parts are arranged in any one frame
(two digits in handwriting, two figures of the same parts, two orders of the same digits), four in
motion alone, and four in both at once: which of two moves, passes above or below, or comes first.
All have the same colours and, within a pair, the same mass.

The action takes a random stretch of the video, near the middle of the picture; before and after it
only what distracts is there, so begin and end of a video tell nothing. What tells the classes of a
pair apart is drawn from the same process with one coin turned: a motion played backwards, or two
roles exchanged. Mirroring maps classes onto classes: half of the videos are mirror images, of the
class whose image is the wanted one.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from stsm_cli.config.generated_sets import ScenesConfig
from stsm_cli.data.digits import handwritten
from stsm_cli.data.frames import Frames
from stsm_cli.data.render import Floats, Scene, Sprite, render
from stsm_cli.data.rendered_set import RenderedSet
from stsm_cli.data.scenery import OFF_CENTRE, TINT, Scenery, Track, picture_size, turned

CLASSES: tuple[str, ...] = (
    "four",
    "nine",
    "three",
    "five",
    "ell",
    "jay",
    "rows",
    "diagonals",
    "rightward",
    "leftward",
    "downward",
    "upward",
    "approach",
    "recede",
    "together",
    "apart",
    "zero_moves",
    "one_moves",
    "passes_above",
    "passes_below",
    "zero_first",
    "one_first",
    "zero_rightward",
    "one_rightward",
)
"""Classes 2k and 2k + 1 are a pair: four by appearance, four by motion, four by both."""

MIRROR_SWAPS = frozenset({"ell", "rightward", "zero_rightward"})
"""First classes of the pairs that mirroring swaps; it keeps every other class."""

WIDTH = 4 / 3
_OTHERS = (2, 6, 7, 8)  # digits that no class is told by
_SHORTEST, _LONGEST = 50 / 128, 80 / 128  # of a video, the stretch of its action
_FADE = 0.12  # of the stretch, in which the actors come, and again in which they go


def frame_shape(config: ScenesConfig) -> tuple[int, int, int]:
    """Frames, height and width of the videos."""
    return config.frames, *picture_size(config.short_side_px, WIDTH)


def make_frames(config: ScenesConfig, split: str, index: int) -> tuple[Frames, int]:
    """Video `index` of a split, as frames (T, H, W, 3) uint8 RGB, and its label."""
    label = index % len(CLASSES)
    rng = np.random.default_rng([config.draw, config.splits.index(split), index])
    is_mirrored = bool(rng.integers(2))
    shown = label ^ 1 if is_mirrored and CLASSES[label - label % 2] in MIRROR_SWAPS else label
    frames = render(draw_scene(shown, config, split, rng))
    return turned(frames, is_mirrored=is_mirrored, is_reversed=False), label


def draw_scene(label: int, config: ScenesConfig, split: str, rng: np.random.Generator) -> Scene:
    """A draw of class `label`, not mirrored, with handwriting of the split."""
    stage = Scenery(rng, config, width=WIDTH, tint=TINT, off_centre=OFF_CENTRE)
    cast = _Cast(stage, config, split)
    return stage.scene(_ACTIONS[label // 2](cast, label % 2))


@dataclass(frozen=True)
class _Spot:
    """Place of an actor over time, (T,) or constant, in short sides."""

    x: Floats | float
    y: Floats | float
    scale: Floats | float = 1.0


class _Cast:
    """Handwritten actors, and the stretch of time in which they act."""

    def __init__(self, stage: Scenery, config: ScenesConfig, split: str) -> None:
        self.stage, self.split = stage, split
        self.size, self.motion = config.size, config.motion
        length = stage.uniform(_SHORTEST, _LONGEST)
        margin = 1 / stage.num_frames  # first and last frame are without actors
        start = stage.uniform(margin, 1 - margin - length)
        self.local: Floats = (stage.time - start) / length
        near_end = np.minimum(self.local, 1 - self.local)
        self.presence: Floats = np.clip(near_end / _FADE, 0, 1)

    def way(self, *, backwards: bool = False) -> Floats:
        """From -1/2 to 1/2 in the time between coming and going, with or without haste."""
        x: Floats = np.clip((self.local - _FADE) / (1 - 2 * _FADE), 0, 1)
        x = 1 - x if backwards else x
        ease = self.stage.uniform(0, 1)
        return x + ease * (x * x * (3 - 2 * x) - x) - 0.5

    def turn(self, number: int) -> Floats:
        """One hop, 0 to 1 to 0, in the first half of the time (`number` 0) or the second (1)."""
        x: Floats = np.clip((self.local - _FADE) / (1 - 2 * _FADE), 0, 1)
        return np.asarray(np.sin(np.pi * np.clip(2 * x - number, 0, 1)))

    def actor(self, digit: int, spot: _Spot, radius: float, colors: Floats | None = None) -> Sprite:
        """A digit that is there while the action lasts."""
        track = Track(spot.x, spot.y, scale=spot.scale, opacity=self.presence)
        shape = handwritten(digit, self.split, self.stage.rng)
        sprite = self.stage.sprite(track, radius, [shape], ("plain", "gradient"))
        lean = self.stage.uniform(-0.25, 0.25) + self.stage.wander(0.15)[:, 0]
        return replace(sprite, angle=lean, colors=sprite.colors if colors is None else colors)

    def radius(self, low: float = 0.2, high: float = 0.26) -> float:
        return self.stage.uniform(low, high) * self.size

    def other(self) -> int:
        """A digit that no class is told by."""
        return int(self.stage.rng.choice(_OTHERS))

    def pair(self, second: int) -> tuple[int, int]:
        """The digits 0 and 1, or 1 and 0."""
        return (1, 0) if second else (0, 1)

    def sign(self) -> int:
        return 2 * int(self.stage.rng.integers(2)) - 1


def _alone(cast: _Cast, digit: int) -> list[Sprite]:
    radius = cast.radius()
    x, y = cast.stage.place(radius, radius)
    way = cast.stage.wander(0.06 * cast.motion)
    return [cast.actor(digit, _Spot(x + way[:, 0], y + way[:, 1]), radius)]


def _four(cast: _Cast, second: int) -> list[Sprite]:
    return _alone(cast, (4, 9)[second])


def _three(cast: _Cast, second: int) -> list[Sprite]:
    return _alone(cast, (3, 5)[second])


def _parts(cast: _Cast, places: Floats, digits: list[int], radius: float) -> list[Sprite]:
    """Digits at `places` (N, 2), in units of the radius, that move together."""
    places = 2 * radius * (places - places.mean(0))
    reach_x, reach_y = np.abs(places).max(0) + radius
    x, y = cast.stage.place(float(reach_x), float(reach_y))
    way = cast.stage.wander(0.05 * cast.motion)
    colors = cast.stage.colors()
    return [
        cast.actor(digit, _Spot(x + way[:, 0] + dx, y + way[:, 1] + dy), radius, colors)
        for digit, (dx, dy) in zip(digits, places, strict=True)
    ]


def _ell(cast: _Cast, second: int) -> list[Sprite]:
    column = np.array([[0, 0], [0, 1], [0, 2], [1, 2]], float)  # x, y downwards: an L
    column[:, 0] *= 1 - 2 * second
    for _ in range(int(cast.stage.rng.integers(4))):  # quarter turns keep which it is
        column = np.stack([-column[:, 1], column[:, 0]], 1)
    return _parts(cast, column, [cast.other()] * 4, cast.radius(0.1, 0.12))


def _rows(cast: _Cast, second: int) -> list[Sprite]:
    square = np.array([[0, 0], [1, 0], [0, 1], [1, 1]], float)
    first, then = cast.pair(int(cast.stage.rng.integers(2)))
    if second:
        digits = [first, then, then, first]
    else:
        digits = [first, first, then, then]
        square = square[:, :: cast.sign()]  # rows, or columns
    return _parts(cast, square, digits, cast.radius(0.13, 0.15))


def _rightward(cast: _Cast, second: int) -> list[Sprite]:
    radius, way = cast.radius(), cast.stage.uniform(0.5, 0.7) * cast.motion
    x, y = cast.stage.place(way / 2 + radius, radius)
    along = way * cast.way(backwards=bool(second))
    return [cast.actor(cast.other(), _Spot(x + along, y), radius)]


def _downward(cast: _Cast, second: int) -> list[Sprite]:
    radius, way = cast.radius(), cast.stage.uniform(0.4, 0.55) * cast.motion
    x, y = cast.stage.place(radius, way / 2 + radius)
    along = way * cast.way(backwards=bool(second))
    return [cast.actor(cast.other(), _Spot(x, y + along), radius)]


def _approach(cast: _Cast, second: int) -> list[Sprite]:
    radius, growth = cast.radius(), cast.stage.uniform(0.8, 1.1) * cast.motion
    x, y = cast.stage.place(radius * 1.5, radius * 1.5)
    scale = np.exp(growth * cast.way(backwards=bool(second)))
    return [cast.actor(cast.other(), _Spot(x, y, scale), radius)]


def _together(cast: _Cast, second: int) -> list[Sprite]:
    radius, way = cast.radius(0.15, 0.19), cast.stage.uniform(0.2, 0.28) * cast.motion
    tilt = cast.stage.uniform(-0.5, 0.5)
    cos, sin = float(np.cos(tilt)), float(np.sin(tilt))
    x, y = cast.stage.place((way + radius) * cos + radius, (way + radius) * abs(sin) + radius)
    distance = radius + way * (0.5 - cast.way(backwards=bool(second)))
    return [
        cast.actor(
            cast.other(), _Spot(x + side * distance * cos, y + side * distance * sin), radius
        )
        for side in (-1, 1)
    ]


def _zero_moves(cast: _Cast, second: int) -> list[Sprite]:
    radius, way = cast.radius(0.16, 0.2), cast.stage.uniform(0.3, 0.4) * cast.motion
    gap, side = cast.stage.uniform(0.4, 0.5), cast.sign()
    x, y = cast.stage.place(gap / 2 + radius, way / 2 + radius)
    swing = cast.sign() * way / 2 * np.sin(2 * np.pi * cast.way())  # to and fro
    mover, stander = cast.pair(second)
    return [
        cast.actor(mover, _Spot(x + side * gap / 2, y + swing), radius),
        cast.actor(stander, _Spot(x - side * gap / 2, y), radius),
    ]


def _passes_above(cast: _Cast, second: int) -> list[Sprite]:
    radius, way = cast.radius(0.15, 0.18), cast.stage.uniform(0.55, 0.7) * cast.motion
    lane = (2 * second - 1) * radius * cast.stage.uniform(1.0, 1.2)  # above is less y
    x, y = cast.stage.place(way / 2 + radius, abs(lane) + radius)
    along = cast.sign() * way * cast.way()
    # Anywhere on the way, as the mover is: else one frame shows by its middle which one stands.
    met = way * cast.stage.uniform(-0.42, 0.42)
    return [
        cast.actor(cast.other(), _Spot(x + met, y - lane), radius),
        cast.actor(cast.other(), _Spot(x + along, y + lane), radius),
    ]


def _zero_first(cast: _Cast, second: int) -> list[Sprite]:
    radius, height = cast.radius(0.16, 0.2), cast.stage.uniform(0.25, 0.35) * cast.motion
    gap, side, up = cast.stage.uniform(0.4, 0.5), cast.sign(), cast.sign()
    x, y = cast.stage.place(gap / 2 + radius, height / 2 + radius)
    return [
        cast.actor(
            digit,
            _Spot(x + side * place * gap, y + up * height * (cast.turn(number) - 0.5)),
            radius,
        )
        for number, (digit, place) in enumerate(zip(cast.pair(second), (0.5, -0.5), strict=True))
    ]


def _zero_rightward(cast: _Cast, second: int) -> list[Sprite]:
    radius, way = cast.radius(0.15, 0.18), cast.stage.uniform(0.5, 0.65) * cast.motion
    lane = cast.sign() * radius * cast.stage.uniform(1.0, 1.2)
    x, y = cast.stage.place(way / 2 + radius, abs(lane) + radius)
    along = way * cast.way()
    right, left = cast.pair(second)
    return [
        cast.actor(right, _Spot(x + along, y + lane), radius),
        cast.actor(left, _Spot(x - along, y - lane), radius),
    ]


# In the order of the pairs: by appearance, by motion, by both.
_ACTIONS: tuple[Callable[[_Cast, int], list[Sprite]], ...] = (
    _four,
    _three,
    _ell,
    _rows,
    _rightward,
    _downward,
    _approach,
    _together,
    _zero_moves,
    _passes_above,
    _zero_first,
    _zero_rightward,
)

SCENES = RenderedSet(
    name="scenes",
    label="set of scenes",
    version=2,
    settings=ScenesConfig,
    classes=CLASSES,
    frame_shape=frame_shape,
    make_frames=make_frames,
    quantiser=34,  # ours: files of half the size, the actors as clear
)

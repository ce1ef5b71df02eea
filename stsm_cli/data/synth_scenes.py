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

import numpy as np

from stsm_cli.config.generated_sets import SynthConfig
from stsm_cli.data.frames import Frames
from stsm_cli.data.manifest import SPLITS
from stsm_cli.data.render import SHAPES, Scene, Sprite, render
from stsm_cli.data.scenery import Scenery, Track, picture_size, turned

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
    return picture_size(config.short_side_px, WIDTH)


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
    return turned(frames, is_mirrored=is_mirrored, is_reversed=is_reversed)


def draw_scene(label: int, config: SynthConfig, rng: np.random.Generator) -> Scene:
    """A draw of the process of the pair whose first class is `label`."""
    stage = Scenery(rng, config, width=WIDTH)
    return stage.scene(_ACTIONS[label // 2](stage))


def _left_to_right(stage: Scenery) -> list[Sprite]:
    radius, way = stage.radius(), stage.uniform(0.35, 0.6)
    x, y = stage.place(way / 2 + radius, radius)
    return [stage.sprite(Track(x + way * (stage.progress() - 0.5), y), radius)]


def _downward(stage: Scenery) -> list[Sprite]:
    radius, way = stage.radius(), stage.uniform(0.3, 0.5)
    x, y = stage.place(radius, way / 2 + radius)
    return [stage.sprite(Track(x, y + way * (stage.progress() - 0.5)), radius)]


def _approach(stage: Scenery) -> list[Sprite]:
    radius, growth = stage.radius(), stage.uniform(1.7, 2.6)
    x, y = stage.place(radius * 1.3, radius * 1.3)
    scale = np.exp(np.log(growth) * (stage.progress() - 0.5))
    return [stage.sprite(Track(x, y, scale=scale), radius)]


def _rotate_cw(stage: Scenery) -> list[Sprite]:
    radius, turn = stage.radius(), np.radians(stage.uniform(80, 140))
    x, y = stage.place(radius, radius)
    track = Track(x, y, angle=turn * stage.progress())
    # A turning plain disc or a ring would look still; a star or square too much the same.
    return [
        stage.sprite(track, radius, [SHAPES[name] for name in ("triangle", "bar", "ell", "blob")])
    ]


def _appear(stage: Scenery) -> list[Sprite]:
    radius = stage.radius()
    x, y = stage.place(radius, radius)
    opacity = stage.progress(0.15, 0.5)
    return [stage.sprite(Track(x, y, opacity=opacity), radius)]


def _together(stage: Scenery) -> list[Sprite]:
    radii = stage.radius(), stage.radius()
    way, tilt = stage.uniform(0.3, 0.45), stage.uniform(-0.6, 0.6)
    cos, sin = float(np.cos(tilt)), float(np.sin(tilt))
    apart = (sum(radii) + way) / 2
    x, y = stage.place(apart * cos + max(radii), apart * abs(sin) + max(radii))
    distance = apart - way / 2 * stage.progress()
    return [
        stage.sprite(Track(x + side * distance * cos, y + side * distance * sin), radius)
        for side, radius in zip((-1, 1), radii, strict=True)
    ]


def _left_first(stage: Scenery) -> list[Sprite]:
    height, duration = stage.uniform(0.16, 0.28), stage.uniform(0.25, 0.4)
    start = stage.uniform(0, 1 - 2 * duration)
    gap = stage.uniform(0.4, 0.6)
    x, y = stage.place(gap / 2 + 0.15, 0.18)
    sprites = []
    for side in (0, 1):
        phase = np.clip((stage.time - start - side * duration) / duration, 0, 1)
        hop = height * np.sin(np.pi * phase)
        track = Track(x + (side - 0.5) * gap, y + height / 2 - hop)
        sprites.append(stage.sprite(track, stage.radius()))
    return sprites


def _cover(stage: Scenery) -> list[Sprite]:
    radius, way = stage.uniform(10 / 96, 13 / 96), stage.uniform(0.38, 0.5)
    tilt = stage.uniform(0, 2 * np.pi)
    cos, sin = float(np.cos(tilt)), float(np.sin(tilt))
    x, y = stage.place(way / 2 * abs(cos) + 2 * radius, way / 2 * abs(sin) + 2 * radius)
    left = way * (0.5 - stage.progress())  # from half a way before the middle to half behind it
    actor = Track(x + left * cos, y + left * sin)
    screen = Track(x - way / 2 * cos, y - way / 2 * sin)
    return [
        stage.sprite(actor, radius),
        stage.sprite(screen, 1.7 * radius, [SHAPES[name] for name in ("disc", "square")]),
    ]


# In the order of the pairs.
_ACTIONS: tuple[Callable[[Scenery], list[Sprite]], ...] = (
    _left_to_right,
    _downward,
    _approach,
    _rotate_cw,
    _appear,
    _together,
    _left_first,
    _cover,
)

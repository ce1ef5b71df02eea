"""The generated set whose classes only the order of frames tells apart: `Something`-like.

Sixteen actions in eight pairs, as in `synth_scenes.py`: the second class of a pair is the first one
played backwards, exactly, and mirroring maps classes onto classes. Here an action also leaves no
trace in where it begins and ends: it closes on itself, or its direction is drawn by lot, so no sum
over a video leans towards a class, and the difference between two frames should not. It does in one
pair, `disc_leads` (results/probes.md): a disc is larger than a star of the same radius.
"""

from collections.abc import Callable

import numpy as np

from stsm_cli.config.generated_sets import OrderConfig
from stsm_cli.data.frames import Frames
from stsm_cli.data.render import SHAPES, Floats, Scene, Sprite, render
from stsm_cli.data.rendered_set import RenderedSet
from stsm_cli.data.scenery import OFF_CENTRE, TINT, Scenery, Track, picture_size, turned

CLASSES: tuple[str, ...] = (
    "orbit_cw",
    "orbit_ccw",
    "rotate_cw",
    "rotate_ccw",
    "left_first",
    "right_first",
    "quick_out",
    "slow_out",
    "strong_first",
    "weak_first",
    "sideways_first",
    "upright_first",
    "speeding_up",
    "slowing_down",
    "disc_leads",
    "star_leads",
)
"""Classes 2k and 2k + 1 are each other's time reversal."""

MIRROR_SWAPS = frozenset({"orbit_cw", "rotate_cw", "left_first"})
"""First classes of the pairs that mirroring swaps; it keeps every other class."""

WIDTH = 4 / 3


def frame_shape(config: OrderConfig) -> tuple[int, int, int]:
    """Frames, height and width of the videos."""
    return config.frames, *picture_size(config.short_side_px, WIDTH)


def make_frames(config: OrderConfig, split: str, index: int) -> tuple[Frames, int]:
    """Video `index` of a split, as frames (T, H, W, 3) uint8 RGB, and its label."""
    label = index % len(CLASSES)
    rng = np.random.default_rng([config.draw, config.splits.index(split), index])
    is_mirrored = bool(rng.integers(2))
    swaps = CLASSES[label - label % 2] in MIRROR_SWAPS
    is_reversed = (label % 2 == 1) != (is_mirrored and swaps)
    frames = render(draw_scene(label - label % 2, config, rng))
    return turned(frames, is_mirrored=is_mirrored, is_reversed=is_reversed), label


def draw_scene(label: int, config: OrderConfig, rng: np.random.Generator) -> Scene:
    """A draw of the process of the pair whose first class is `label`."""
    stage = Scenery(rng, config, width=WIDTH, tint=TINT, off_centre=OFF_CENTRE)
    return stage.scene(_ACTIONS[label // 2](stage, config.motion))


def _sign(stage: Scenery) -> int:
    return 2 * int(stage.rng.integers(2)) - 1


def _line(stage: Scenery, radius: float, *along: Floats) -> list[Track]:
    """Tracks along one line of random place and direction; each `along` (T,), 0 is its middle."""
    angle = stage.uniform(0, 2 * np.pi)
    cos, sin = float(np.cos(angle)), float(np.sin(angle))
    reach = float(np.abs(along).max())
    x, y = stage.place(reach * abs(cos) + radius, reach * abs(sin) + radius)
    return [Track(x + places * cos, y + places * sin) for places in along]


def _orbit(stage: Scenery, motion: float) -> list[Sprite]:
    radius, ring = stage.uniform(0.1, 0.15), stage.uniform(0.18, 0.26)
    x, y = stage.place(ring + radius, ring + radius)
    turn = np.radians(stage.uniform(140, 230)) * motion
    angle = stage.uniform(0, 2 * np.pi) + turn * stage.progress(0.5, 0.9)
    return [stage.sprite(Track(x + ring * np.cos(angle), y + ring * np.sin(angle)), radius)]


def _rotate(stage: Scenery, motion: float) -> list[Sprite]:
    radius = stage.uniform(0.2, 0.28)
    x, y = stage.place(radius, radius)
    turn = np.radians(stage.uniform(110, 170)) * motion
    track = Track(x, y, angle=turn * stage.progress(0.5, 0.9))
    return [stage.sprite(track, radius, [SHAPES[name] for name in ("triangle", "bar", "ell")])]


def _left_first(stage: Scenery, motion: float) -> list[Sprite]:
    height = stage.uniform(0.2, 0.32) * motion * _sign(stage)
    duration = stage.uniform(0.25, 0.4)
    start = stage.uniform(0, 1 - 2 * duration)
    gap = stage.uniform(0.4, 0.6)
    x, y = stage.place(gap / 2 + 0.15, 0.18)
    sprites = []
    for side in (0, 1):
        phase = np.clip((stage.time - start - side * duration) / duration, 0, 1)
        hop = height * (np.sin(np.pi * phase) - 0.5)
        sprites.append(stage.sprite(Track(x + (side - 0.5) * gap, y - hop), stage.radius()))
    return sprites


def _quick_out(stage: Scenery, motion: float) -> list[Sprite]:
    radius, way = stage.radius(), stage.uniform(0.35, 0.5) * motion
    out, back = stage.uniform(0.2, 0.3), stage.uniform(0.4, 0.55)
    start = stage.uniform(0, 1 - out - back)
    along = way * (np.interp(stage.time, [start, start + out, start + out + back], [0, 1, 0]) - 0.5)
    (track,) = _line(stage, radius, along)
    return [stage.sprite(track, radius)]


def _strong_first(stage: Scenery, motion: float) -> list[Sprite]:
    radius, duration = stage.uniform(0.13, 0.17), stage.uniform(0.25, 0.4)
    start = stage.uniform(0, 1 - 2 * duration)
    x, y = stage.place(radius * 1.5, radius * 1.5)
    pulses = [np.clip((stage.time - start - n * duration) / duration, 0, 1) for n in (0, 1)]
    strong, weak = (np.sin(np.pi * pulse) for pulse in pulses)
    swelling = _sign(stage) * motion * (np.log(1.9) * strong + np.log(1.25) * weak)
    return [stage.sprite(Track(x, y, scale=np.exp(swelling)), radius)]


def _sideways_first(stage: Scenery, motion: float) -> list[Sprite]:
    radius, duration = stage.uniform(0.12, 0.17), stage.uniform(0.25, 0.4)
    start = stage.uniform(0, 1 - 2 * duration)
    way = stage.uniform(0.35, 0.5) * motion
    x, y = stage.place(way / 2 + radius, way / 2 + radius)
    first, then = (
        _sign(stage) * way * (np.clip((stage.time - start - n * duration) / duration, 0, 1) - 0.5)
        for n in (0, 1)
    )
    return [stage.sprite(Track(x + first, y + then), radius)]


def _speeding_up(stage: Scenery, motion: float) -> list[Sprite]:
    radius, way = stage.uniform(0.12, 0.17), stage.uniform(0.5, 0.65)
    along = way * (stage.time ** (1 + 0.8 * motion) - 0.5)
    (track,) = _line(stage, radius, along)
    return [stage.sprite(track, radius)]


def _disc_leads(stage: Scenery, motion: float) -> list[Sprite]:
    # Small enough to stay in the picture whole: a leader that leaves it would darken the end.
    radius, gap = stage.uniform(0.11, 0.14), stage.uniform(0.3, 0.34)
    way = stage.uniform(0.24, 0.32) * motion * (stage.progress(0.5, 0.9) - 0.5)
    tracks = _line(stage, radius, way + gap / 2, way - gap / 2)
    return [
        stage.sprite(track, radius, [SHAPES[name]])
        for track, name in zip(tracks, ("disc", "star"), strict=True)
    ]


# In the order of the pairs.
_ACTIONS: tuple[Callable[[Scenery, float], list[Sprite]], ...] = (
    _orbit,
    _rotate,
    _left_first,
    _quick_out,
    _strong_first,
    _sideways_first,
    _speeding_up,
    _disc_leads,
)

ORDER = RenderedSet(
    name="order",
    label="set of order",
    version=2,
    settings=OrderConfig,
    classes=CLASSES,
    frame_shape=frame_shape,
    make_frames=make_frames,
    quantiser=34,  # ours: files of half the size, the actors as clear
)

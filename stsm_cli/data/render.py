"""Pictures of the drawn data sets: a scene (what stands where, when) to frames to H.264.

Everything is an array over time, so a sprite costs one evaluation of its signed distance function
on a (T, P, P) patch around it, not one a frame. Lengths here are pixels; what a scene contains is
decided in `synth_scenes.py`, `scenes.py` and `order.py`. Layouts: `canvas` (3, H, W) and `video`
(T, 3, H, W) float32 in [0, 1]; frames (T, H, W, 3) uint8 RGB.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from stsm_cli.data.frames import Frames

Floats = npt.NDArray[np.floating[Any]]
Shape = Callable[[Floats, Floats], Floats]
"""A signed distance at points (u, v), in units of the radius, negative inside."""

QUANTISER = 28
ENCODER_OPTIONS = {
    "preset": "veryfast",
    "g": "1",  # ours: every frame a key frame; prediction would tell the direction of time
    "threads": "1",
    "x264-params": "log-level=error",
}


@dataclass(frozen=True)
class Sprite:
    """One textured object and its path.

    Attributes:
        shape: One of `SHAPES`, or another that reaches no further than `EXTENT`.
        texture: A key of `TEXTURES`.
        colors: (2, 3) RGB in [0, 1], mixed by the texture.
        radius: Pixels at scale 1.
        x: (T,) centre, pixels from the left edge of the first frame.
        y: (T,) centre, pixels from the top.
        angle: (T,) radians, clockwise on the screen.
        scale: (T,) factor on `radius`.
        opacity: (T,) from 0 to 1.
    """

    shape: Shape
    texture: str
    colors: Floats
    radius: float
    x: Floats
    y: Floats
    angle: Floats
    scale: Floats
    opacity: Floats


@dataclass(frozen=True)
class Scene:
    """All that a video shows.

    Attributes:
        canvas: (3, H + 2 margin, W + 2 margin) the still background, larger than the picture.
        margin: Pixels of canvas around the picture; the camera moves less than this.
        camera: (T, 2) displacement (x, y) of everything in the picture, pixels.
        sprites: Drawn in this order, the last in front.
        gain: (T,) brightness factor.
        noise: (T, 1, H, W) added at the end.
    """

    canvas: Floats
    margin: int
    camera: Floats
    sprites: tuple[Sprite, ...]
    gain: Floats
    noise: Floats


def _box(u: Floats, v: Floats, half_width: float, half_height: float) -> Floats:
    return np.maximum(np.abs(u) - half_width, np.abs(v) - half_height)


def _petals(u: Floats, v: Floats, *waves: tuple[int, float, float]) -> Floats:
    """Distance to a circle whose radius 0.8 is modulated by (count, amplitude, phase) waves."""
    theta = np.arctan2(v, u)
    edge = 0.8 + sum(size * np.cos(count * theta + phase) for count, size, phase in waves)
    return 0.7 * (np.hypot(u, v) - edge)  # 0.7: the level lines lie closer than distances


# Signed distances, in units of the radius, negative inside.
SHAPES: dict[str, Shape] = {
    "disc": lambda u, v: np.hypot(u, v) - 0.95,
    "square": lambda u, v: _box(u, v, 0.8, 0.8),
    "triangle": lambda u, v: np.maximum(-v - 0.5, 0.866 * np.abs(u) + 0.5 * v - 0.5),
    "ring": lambda u, v: np.abs(np.hypot(u, v) - 0.7) - 0.28,
    "bar": lambda u, v: _box(u, v, 1.05, 0.4),
    "star": lambda u, v: _petals(u, v, (5, 0.25, 0.0)),
    "ell": lambda u, v: np.minimum(_box(u + 0.5, v, 0.35, 0.9), _box(u, v - 0.55, 0.85, 0.35)),
    "blob": lambda u, v: _petals(u, v, (2, 0.15, 0.0), (3, 0.2, 1.0)),
}
EXTENT = 1.25  # no shape reaches further, in units of the radius

# How much of the second colour shows, from 0 to 1.
TEXTURES: dict[str, Callable[[Floats, Floats], Floats]] = {
    "plain": lambda u, v: np.zeros_like(u),
    "stripes": lambda u, v: np.clip(0.5 + 2.0 * np.sin(6.0 * u + 1.0), 0, 1),
    "checker": lambda u, v: np.clip(0.5 + 3.0 * np.sin(4.5 * u) * np.sin(4.5 * v), 0, 1),
    "gradient": lambda u, v: np.clip(0.5 + 0.6 * u, 0, 1),
}


def draw(video: Floats, sprite: Sprite, offset: Floats) -> None:
    """Paint a sprite, displaced by `offset` (T, 2) as (x, y), onto `video` (T, 3, H, W)."""
    half = int(np.ceil(sprite.radius * float(sprite.scale.max()) * EXTENT)) + 1
    center_x, center_y = sprite.x + offset[:, 0], sprite.y + offset[:, 1]
    left = np.floor(center_x).astype(np.int64) - half
    top = np.floor(center_y).astype(np.int64) - half
    patch = np.arange(2 * half + 2, dtype=np.float32) + np.float32(0.5)
    dx = (patch + (left - center_x)[:, None].astype(np.float32))[:, None, :]  # (T, 1, P)
    dy = (patch + (top - center_y)[:, None].astype(np.float32))[:, :, None]  # (T, P, 1)
    radius = (sprite.radius * sprite.scale)[:, None, None]
    cos, sin = np.cos(sprite.angle)[:, None, None], np.sin(sprite.angle)[:, None, None]
    u, v = (cos * dx + sin * dy) / radius, (cos * dy - sin * dx) / radius  # (T, P, P)
    alpha = np.clip(0.5 - sprite.shape(u, v) * radius, 0, 1)
    alpha *= sprite.opacity[:, None, None]
    mix = TEXTURES[sprite.texture](u, v)[:, None]  # (T, 1, P, P)
    first, second = sprite.colors[:, :, None, None]
    color = first + (second - first) * mix  # (T, 3, P, P)
    for frame in range(len(video)):
        _blend(video[frame], color[frame], alpha[frame], int(top[frame]), int(left[frame]))


def _blend(picture: Floats, color: Floats, alpha: Floats, top: int, left: int) -> None:
    height, width = picture.shape[1:]
    size = len(alpha)
    rows = slice(max(0, -top), max(0, min(size, height - top)))
    columns = slice(max(0, -left), max(0, min(size, width - left)))
    under = picture[
        :,
        rows.start + top : max(0, rows.stop + top),
        columns.start + left : max(0, columns.stop + left),
    ]
    if under.size:
        under += (color[:, rows, columns] - under) * alpha[rows, columns]


def _crop(canvas: Floats, margin: int, offset: Floats, out: Floats) -> None:
    """The picture inside the canvas, displaced by `offset` (x, y), bilinear, into `out`."""
    height, width = out.shape[1:]
    x, y = margin - float(offset[0]), margin - float(offset[1])
    left, top = int(np.floor(x)), int(np.floor(y))
    part = canvas[:, top : top + height + 1, left : left + width + 1]
    rows = part[:, :-1] + (part[:, 1:] - part[:, :-1]) * np.float32(y - top)
    out[:] = rows[:, :, :-1] + (rows[:, :, 1:] - rows[:, :, :-1]) * np.float32(x - left)


def render(scene: Scene) -> Frames:
    """Frames (T, H, W, 3) uint8 RGB of a scene."""
    num_frames, _, height, width = scene.noise.shape
    video = np.empty((num_frames, 3, height, width), np.float32)
    for picture, offset in zip(video, scene.camera, strict=True):
        _crop(scene.canvas, scene.margin, offset, picture)
    for sprite in scene.sprites:
        draw(video, sprite, scene.camera)
    video *= 255 * scene.gain[:, None, None, None]
    video += 255 * scene.noise + np.float32(0.5)
    np.clip(video, 0, 255, out=video)
    return np.ascontiguousarray(video.astype(np.uint8).transpose(0, 2, 3, 1))


def encode(frames: Frames, fps: int, quantiser: int = QUANTISER) -> bytes:
    """An MP4 file with H.264 video of `frames` (T, H, W, 3) uint8 RGB; H and W even.

    Equal frames give equal bytes; a higher `quantiser`, up to 51, gives fewer. Each frame is coded
    by itself with a constant quantiser, so a decoded frame does not depend on the order of the
    frames.
    """
    import av

    file = io.BytesIO()
    with av.open(file, "w", format="mp4", options={"fflags": "+bitexact"}) as container:
        # ours: constant, so that a frame's quality does not depend on its neighbours
        options = ENCODER_OPTIONS | {"qp": str(quantiser)}
        stream = container.add_stream("libx264", rate=fps, options=options)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return file.getvalue()

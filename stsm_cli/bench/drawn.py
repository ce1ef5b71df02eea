"""Videos to read: a panning camera, moving things and noise, encoded as most videos are.

Ten seconds at 340×256, the size at which Kinetics-400 is mostly kept.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from stsm_cli.data.container import full_name
from stsm_cli.data.frames import Frames
from stsm_cli.data.manifest import Manifest, VideoRecord
from stsm_cli.prepare.transcode import Encoding, reencode

NUM_FRAMES, FPS, WIDTH, HEIGHT = 300, 30, 340, 256
DEFAULT_GOP = 250  # of x264


def draw(seed: int, num_frames: int = NUM_FRAMES) -> Iterator[Frames]:
    """Frames of a video: a textured wall that the camera pans over, six moving discs, noise."""
    rng = np.random.default_rng(seed)
    wall = _wall(rng)
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    start, speed = rng.uniform(0, HEIGHT, (6, 2)), rng.uniform(-4, 4, (6, 2))
    radius, colour = rng.integers(20, 60, 6), rng.integers(0, 255, (6, 3))
    for i in range(num_frames):
        left, top = int(WIDTH / 2 * (1 + np.sin(i / 40))), int(HEIGHT / 2 * (1 + np.cos(i / 57)))
        frame = wall[top : top + HEIGHT, left : left + WIDTH].copy()
        for disc in range(6):
            cx, cy = (start[disc] + i * speed[disc]) % (WIDTH, HEIGHT)
            frame[(x - cx) ** 2 + (y - cy) ** 2 < radius[disc] ** 2] = colour[disc]
        frame += rng.normal(0, 3, (HEIGHT, WIDTH, 1)).astype(np.float32)
        yield np.clip(frame, 0, 255).astype(np.uint8)


def _wall(rng: np.random.Generator) -> npt.NDArray[np.float32]:
    wall: npt.NDArray[np.float32] = np.zeros((2 * HEIGHT, 2 * WIDTH, 3), dtype=np.float32)
    for size in (8, 16, 32, 64):
        coarse = rng.normal(size=(2 * HEIGHT // size, 2 * WIDTH // size + 1, 3))
        fine = coarse.repeat(size, 0).repeat(size, 1)[:, : 2 * WIDTH].astype(np.float32)
        for axis in (0, 1):  # a box blur
            total = fine.cumsum(axis)
            fine = (np.roll(total, -size // 2, axis) - np.roll(total, size // 2, axis)) / size
        wall += size * fine
    return (128 + 1.5 * wall).clip(0, 255)


def encode(path: Path, frames: Iterator[Frames]) -> None:
    """Write an H.264 video with x264's defaults."""
    import av

    options = {"g": str(DEFAULT_GOP)}
    with av.open(full_name(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options=options)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


def draw_videos(
    root: Path, number: int, encoding: Encoding, told: Callable[[], None]
) -> dict[str, Manifest]:
    """Videos as drawn and as `stsm prepare` re-encodes them: `unprepared` and `prepared`.

    Args:
        root: Where they are written.
        number: How many.
        encoding: Of the prepared ones.
        told: Called after each.
    """
    names = [f"{i}.mp4" for i in range(number)]
    for seed, name in enumerate(names):
        encode(root / name, draw(seed, NUM_FRAMES))
        reencode(root, encoding, name, lambda: None)
        told()
    made = [encoding.made_path(name) for name in names]
    return {"unprepared": _manifest(root, names), "prepared": _manifest(root, made)}


def _manifest(root: Path, paths: list[str]) -> Manifest:
    records = [VideoRecord(path, 0, NUM_FRAMES, float(FPS), WIDTH, HEIGHT) for path in paths]
    return Manifest(root, "train", ("all",), records)


def kilobits(manifest: Manifest) -> float:
    """Mean rate of the videos, in kbit a second."""
    sizes = [(manifest.root / record.path).stat().st_size for record in manifest.records]
    return sum(sizes) * 8 * FPS / NUM_FRAMES / len(sizes) / 1000

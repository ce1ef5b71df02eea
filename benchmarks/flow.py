"""Optical flow: what its methods are worth and cost, how it is stored best, how fast it is read.

Run: python benchmarks/flow.py [--frames 100] [--rounds 9] [--cpu-time] [--only reading]

`methods`: the mean endpoint error, in pixels, and the time of a pair. Of a smooth texture, 340×256,
that moves by a known part of a pixel, away from its borders; and of the embedded set's videos as
they are prepared, 112×96, against the motion that the generator drew: everywhere, and where it is
more than a pixel. TV-L1 is there with OpenCV's contrib wheel.

`storage`: fields of a video of 340×256 by DIS, in each way: bytes, the time to write and to read
one, and the error against the flow before it was rounded. `as prepared` is what `stsm prepare flow`
writes.

`reading`: 64 fields against the 64 RGB frames of the video prepared with `--short-side 256`, both
by the readers that training uses, taking turns; and what FFmpeg's decoder alone takes for the
fields.
"""

import argparse
import io
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise
from pathlib import Path
from statistics import median
from zlib import compress, decompress

import av
import numpy as np

from stsm_cli.bench import drawn
from stsm_cli.config.generated_sets import SynthConfig
from stsm_cli.config.kinds import FlowMethod
from stsm_cli.data.decode import read_frames
from stsm_cli.data.flow import Fields, FlowPx, as_levels, as_pixels, flow_path, packed, read_fields
from stsm_cli.data.render import EXTENT, Scene, encode, render
from stsm_cli.data.synth_scenes import CLASSES, draw_scene
from stsm_cli.prepare.flow_file import FlowSettings, make_flow
from stsm_cli.prepare.flow_methods import GreyPicture, flow_of_pair, require
from stsm_cli.prepare.transcode import Encoding, reencode

BORDER_PX = 16
MOTIONS_PX = ((0.25, 0.0), (3.0, 0.0), (-1.5, 2.25), (8.5, -4.0))
SCENE_FPS = 16
PARTS = ("methods", "storage", "reading")
Clock = Callable[[], float]


def texture(height: int, width: int) -> FlowPx:
    """A smooth random picture, continued over its borders."""
    noise = np.random.default_rng(0).normal(size=(height, width))
    waves = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)) * 8
    smooth = np.fft.ifft2(np.fft.fft2(noise) * np.exp(-(waves**2))).real
    scaled: FlowPx = 40 * smooth / smooth.std()
    return scaled


def moved(picture: FlowPx, x: float, y: float) -> GreyPicture:
    """The picture moved by any part of a pixel, to the right and downwards."""
    fy, fx = np.fft.fftfreq(picture.shape[0])[:, None], np.fft.fftfreq(picture.shape[1])
    there = np.fft.ifft2(np.fft.fft2(picture) * np.exp(-2j * np.pi * (fx * x + fy * y))).real
    return np.clip(128 + there, 0, 255).astype(np.uint8)


def true_flow(scene: Scene, frame: int) -> FlowPx:
    """(H, W, 2) by how much what is seen in a frame moves to the next, as the scene was drawn."""
    height, width = scene.noise.shape[2:]
    y, x = np.mgrid[:height, :width] + 0.5
    pan = scene.camera[frame + 1] - scene.camera[frame]
    flow: FlowPx = np.broadcast_to(pan, (height, width, 2)).copy()
    for sprite in scene.sprites:
        here, there = (
            (sprite.x[t] + scene.camera[t, 0], sprite.y[t] + scene.camera[t, 1])
            for t in (frame, frame + 1)
        )
        dx, dy = x - here[0], y - here[1]
        radius, angle = sprite.radius * sprite.scale[frame], sprite.angle[frame]
        u = (np.cos(angle) * dx + np.sin(angle) * dy) / radius
        v = (np.cos(angle) * dy - np.sin(angle) * dx) / radius
        shown = (np.abs(u) < EXTENT) & (np.abs(v) < EXTENT) & (sprite.shape(u, v) < 0)
        shown &= bool(sprite.opacity[frame] > 0.5)
        growth, turn = (
            sprite.scale[frame + 1] / sprite.scale[frame],
            sprite.angle[frame + 1] - angle,
        )
        new_x = there[0] + growth * (np.cos(turn) * dx - np.sin(turn) * dy)
        new_y = there[1] + growth * (np.sin(turn) * dx + np.cos(turn) * dy)
        flow[shown] = np.stack([new_x - x, new_y - y], -1)[shown]
    return flow


def scene_pairs() -> Iterator[tuple[GreyPicture, GreyPicture, FlowPx]]:
    """Neighbouring frames of a video of each pair of classes, decoded, with their true flow."""
    config = SynthConfig()
    for label in range(0, len(CLASSES), 2):
        scene = draw_scene(label, config, np.random.default_rng([0, label]))
        with av.open(io.BytesIO(encode(render(scene), SCENE_FPS))) as container:
            grey = [f.to_ndarray(format="gray") for f in container.decode(video=0)]
        for number, (first, second) in islice(enumerate(pairwise(grey)), 4, None, 8):
            yield (
                np.ascontiguousarray(first),
                np.ascontiguousarray(second),
                true_flow(scene, number),
            )


def error_px(found: FlowPx, true: FlowPx | tuple[float, float]) -> FlowPx:
    """(H, W) the distance between where a pixel goes and where it was said to go."""
    distance: FlowPx = np.linalg.norm(found - np.asarray(true), axis=-1)
    return distance


def methods(names: Sequence[FlowMethod], clock: Clock) -> None:
    """Print a line for each method."""
    picture, inner = texture(256, 340), slice(BORDER_PX, -BORDER_PX)
    first, pairs = moved(picture, 0, 0), list(scene_pairs())
    seconds = [moved(picture, *motion) for motion in MOTIONS_PX]
    for name in names:
        flow = flow_of_pair(name)
        flow(first, first)
        start = clock()
        found = [flow(first, second) for second in seconds]
        ms = 1000 * (clock() - start) / len(MOTIONS_PX)
        parts = [
            error_px(f, m)[inner, inner].mean() for f, m in zip(found, MOTIONS_PX, strict=True)
        ]
        errors = [(error_px(flow(a, b), true), true) for a, b, true in pairs]
        everywhere = np.mean([error.mean() for error, _ in errors])
        moving = np.concatenate([e[np.linalg.norm(true, axis=-1) > 1] for e, true in errors])
        told = ", ".join(f"{part:.3f}" for part in parts)
        print(
            f"{name:10}{ms:8.1f} ms a pair; texture {told} px; embedded set {everywhere:.2f} px, "
            f"where it moves {moving.mean():.2f} px"
        )


@dataclass(frozen=True)
class Way:
    """A way to keep fields: to bytes, and back."""

    name: str
    write: Callable[[Fields], bytes]
    read: Callable[[bytes], Fields]


def in_video(codec: str, pix_fmt: str, container: str, options: dict[str, str]) -> Way:
    """Fields in a video: x above y in grey, or as the first two planes of three."""

    def write(fields: Fields) -> bytes:
        file = io.BytesIO()
        with av.open(file, "w", format=container) as out:
            stream = out.add_stream(codec, rate=25, options={"threads": "1", **options})
            pictures = [packed(f) if pix_fmt == "gray" else _as_planes(f) for f in fields]
            stream.height, stream.width = pictures[0].shape[-2:]
            stream.pix_fmt = pix_fmt
            for picture in pictures:
                out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format=pix_fmt)))
            out.mux(stream.encode(None))
        return file.getvalue()

    def read(content: bytes) -> Fields:
        with av.open(io.BytesIO(content)) as file:
            file.streams.video[0].codec_context.thread_count = 1
            return np.stack([_from_planes(f, pix_fmt) for f in file.decode(video=0)])

    told = " ".join(f"{key} {value}" for key, value in options.items() if key in ("qp", "g"))
    return Way(f"{codec} {pix_fmt} {told}", write, read)


def _as_planes(field: Fields) -> Fields:
    return np.stack([field[..., 0], field[..., 1], np.full(field.shape[:2], 128, np.uint8)])


def _from_planes(frame: av.VideoFrame, pix_fmt: str) -> Fields:
    planes = [
        np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)[:, : frame.width]
        for plane in frame.planes[: 1 if pix_fmt == "gray" else 2]
    ]
    return np.stack(np.split(planes[0], 2) if pix_fmt == "gray" else planes, -1)


def in_pictures(suffix: str, quality: int | None = None) -> Way:
    """A picture a field, x above y."""
    import cv2

    options = [] if quality is None else [cv2.IMWRITE_JPEG_QUALITY, quality]

    def write(fields: Fields) -> bytes:
        files = [cv2.imencode(suffix, packed(field), options)[1].tobytes() for field in fields]
        sizes = np.array([len(fields), *map(len, files)], np.int64)
        return sizes.tobytes() + b"".join(files)

    def read(content: bytes) -> Fields:
        count = int(np.frombuffer(content, np.int64, 1)[0])
        ends = 8 * (count + 1) + np.cumsum([0, *np.frombuffer(content, np.int64, count, 8)])
        parts = [np.frombuffer(content[a:b], np.uint8) for a, b in pairwise(ends)]
        pictures = (np.asarray(cv2.imdecode(part, cv2.IMREAD_GRAYSCALE)) for part in parts)
        return np.stack([np.stack(np.split(picture, 2), -1) for picture in pictures])

    return Way(f"{suffix[1:]} {quality or ''}".rstrip(), write, read)


def ways(shape: tuple[int, ...]) -> list[Way]:
    """All that is compared."""
    fast = {"bf": "0", "preset": "veryfast", "tune": "fastdecode", "x264-params": "log-level=error"}
    h264 = [
        in_video("libx264", pix_fmt, "mp4", {**fast, "qp": qp, "g": g})
        for qp, g in (("0", "1"), ("0", "16"), ("8", "1"), ("18", "1"))
        for pix_fmt in ("gray", "yuv444p")
    ]
    return [
        *h264,
        in_video("ffv1", "gray", "matroska", {"level": "3", "g": "1"}),
        in_video("magicyuv", "gray", "nut", {}),
        in_pictures(".png"),
        in_pictures(".jpg", 95),
        in_pictures(".jpg", 75),
        Way(
            "array, zlib",
            lambda fields: compress(fields.tobytes(), 1),
            lambda content: np.frombuffer(decompress(content), np.uint8).reshape(shape),
        ),
        Way(
            "array",
            lambda fields: fields.tobytes(),
            lambda content: np.frombuffer(content, np.uint8).reshape(shape).copy(),
        ),
    ]


def storage(flow_px: FlowPx, rounds: int, clock: Clock) -> None:
    """Print a line for each way to keep the fields."""
    levels = as_levels(flow_px)
    kept: dict[Way, bytes] = {}
    seconds: dict[Way, list[float]] = {}
    for way in ways(levels.shape):
        start = clock()
        kept[way] = way.write(levels)
        seconds[way] = [clock() - start]
    for _ in range(rounds):
        for way, content in kept.items():
            start = clock()
            way.read(content)
            seconds[way].append(clock() - start)
    clipped = np.clip(flow_px, -20, 20)
    for way, content in kept.items():
        error = np.abs(as_pixels(way.read(content)) - clipped)
        written, *read = (1000 * value / len(levels) for value in seconds[way])
        print(
            f"{way.name:32}{len(content) / len(levels) / 1000:7.1f} kB{written:7.2f} ms to write"
            f"{median(read):7.2f} ms to read; error mean {error.mean():.3f}, 99 % below "
            f"{np.percentile(error, 99):.3f}, most {error.max():.2f} px"
        )


def decode_bare(path: Path, num_frames: int) -> None:
    """Decode the first frames of a file, and nothing more."""
    with av.open(str(path)) as container:
        container.streams.video[0].codec_context.thread_count = 1
        for _ in islice(container.decode(video=0), num_frames):
            pass


def fields_of(path: Path) -> FlowPx:
    """(T, H, W, 2) the flow of a video by DIS, in pixels."""
    flow, to_grey = flow_of_pair("dis"), np.array([0.299, 0.587, 0.114])
    frames = read_frames(path, None)
    grey = [np.ascontiguousarray(frame @ to_grey, np.uint8) for frame in frames]
    return np.stack([flow(*pair) for pair in pairwise(grey)])


def read_both(root: Path, video: str, num_frames: int, rounds: int, clock: Clock) -> None:
    """Print what 64 fields and 64 RGB frames cost, from the start of the video and from within."""
    file = root / flow_path("dis", video)
    for first in (0, num_frames - 65):
        wanted = np.arange(first, first + 64)
        times: list[tuple[float, float, float]] = []
        for turn in range(rounds + 1):
            start = clock()
            read_frames(root / video, wanted, short_side_px=256)
            between = clock()
            read_fields(file, wanted, short_side_px=256)
            after = clock()
            decode_bare(file, 64)
            if turn:  # before it: files into the page cache
                times.append((between - start, after - between, clock() - after))
        frames, fields, bare = (1000 * median(part) for part in zip(*times, strict=True))
        ratio = median(fields / frames for frames, fields, _ in times)
        share = median(bare / fields for _, fields, bare in times)
        print(
            f"64 frames from number {first} on: {frames:.1f} ms, fields {fields:.1f} ms, "
            f"{ratio:.2f} ×; FFmpeg's decoder alone {bare:.1f} ms, {share:.0%} of these"
        )


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--cpu-time", action="store_true")
    parser.add_argument("--only", choices=PARTS, action="append")
    options = parser.parse_args()
    require("dis")
    import cv2

    clock = time.process_time if options.cpu_time else time.perf_counter
    parts = options.only or PARTS
    if "methods" in parts:
        names: list[FlowMethod] = ["dis", "farneback"]
        methods(names + (["tvl1"] if hasattr(cv2, "optflow") else []), clock)
    with tempfile.TemporaryDirectory() as name:
        root, encoding = Path(name), Encoding(short_side_px=256)
        drawn.encode(root / "a.mp4", islice(drawn.draw(0), options.frames))
        reencode(root, encoding, "a.mp4", lambda: None)
        video = encoding.made_path("a.mp4")
        start = clock()
        made = make_flow(root, FlowSettings(), video, lambda: None)
        ms = 1000 * (clock() - start) / made.num_frames
        each = made.made_bytes / made.num_frames / 1000
        of_video = (root / video).stat().st_size / options.frames / 1000
        print(f"as prepared: {ms:.1f} ms a field, {each:.1f} kB each; a frame {of_video:.1f} kB")
        if "storage" in parts:
            storage(fields_of(root / video), options.rounds, clock)
        if "reading" in parts:
            read_both(root, video, options.frames, options.rounds, clock)


if __name__ == "__main__":
    main()

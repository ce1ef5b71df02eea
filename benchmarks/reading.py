"""What a training sample and a test of a real video cost, against bare decord on the same frames.

Run: python benchmarks/reading.py [--videos 3] [--rounds 15] [--gop 16] [--cpu-time]
     python benchmarks/reading.py --manifest --memory

Makes videos of ten seconds, 340×256, 30 fps, with panning, moving things and noise, as a default
encoder leaves them (a key frame every 250 frames), and prepares them (`--short-side 256 --gop 16`).
The contestants take turns, each reading the same frames of the same video. Printed: the median time
of a read, and the medians of its ratio to two others in the same turn. `--cpu-time` counts the time
that the process was given, all its threads together: what to look at on a busy machine.

`--manifest` instead loads a manifest of 240,000 videos, and `--memory` reads a small video 2,000
times; both look at the resident memory.
"""

import argparse
import csv
import pickle
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import numpy.typing as npt

from stsm_cli.config.schema import DataConfig, TestConfig
from stsm_cli.config.view import View
from stsm_cli.data.decode import available_decoders, read_frames
from stsm_cli.data.manifest import Manifest, VideoRecord, read_manifest
from stsm_cli.data.samples import TestSet, TrainingSet
from stsm_cli.data.sampling import dense_test, dense_train
from stsm_cli.data.videos import Videos
from stsm_cli.prepare.transcode import Encoding, reencode

NUM_FRAMES, FPS, WIDTH, HEIGHT = 300, 30, 340, 256
Picture = npt.NDArray[np.uint8]
Read = Callable[[int], Any]


def draw(seed: int) -> Iterator[Picture]:
    """Frames of a video: a textured wall that the camera pans over, six moving discs, noise."""
    rng = np.random.default_rng(seed)
    wall = np.zeros((2 * HEIGHT, 2 * WIDTH, 3), dtype=np.float32)
    for size in (8, 16, 32, 64):
        coarse = rng.normal(size=(2 * HEIGHT // size, 2 * WIDTH // size + 1, 3))
        fine = coarse.repeat(size, 0).repeat(size, 1)[:, : 2 * WIDTH].astype(np.float32)
        for axis in (0, 1):  # a box blur
            total = fine.cumsum(axis)
            fine = (np.roll(total, -size // 2, axis) - np.roll(total, size // 2, axis)) / size
        wall += size * fine
    wall = np.clip(128 + 1.5 * wall, 0, 255)
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    start, speed = rng.uniform(0, HEIGHT, (6, 2)), rng.uniform(-4, 4, (6, 2))
    radius, colour = rng.integers(20, 60, 6), rng.integers(0, 255, (6, 3))
    for i in range(NUM_FRAMES):
        left, top = int(WIDTH / 2 * (1 + np.sin(i / 40))), int(HEIGHT / 2 * (1 + np.cos(i / 57)))
        frame = wall[top : top + HEIGHT, left : left + WIDTH].copy()
        for disc in range(6):
            cx, cy = (start[disc] + i * speed[disc]) % (WIDTH, HEIGHT)
            frame[(x - cx) ** 2 + (y - cy) ** 2 < radius[disc] ** 2] = colour[disc]
        frame += rng.normal(0, 3, (HEIGHT, WIDTH, 1)).astype(np.float32)
        yield np.clip(frame, 0, 255).astype(np.uint8)


def encode(path: Path, frames: Iterator[Picture]) -> None:
    """Write an H.264 video with x264's defaults."""
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"g": "250"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


def bare_decord(path: Path, wanted: npt.NDArray[np.int64]) -> Any:  # noqa: ANN401
    """Frames of a video, with nothing around decord."""
    import decord

    reader = decord.VideoReader(str(path), ctx=decord.cpu(0), num_threads=1)
    return reader.get_batch(wanted).asnumpy()


def train_reads(manifest: Manifest) -> dict[str, Read]:
    """Readers of a training sample, eight dense frames: bare decord, and ours with each decoder."""

    def bare(turn: int) -> Any:  # noqa: ANN401
        index = turn % len(manifest.records)
        rng = np.random.default_rng([0, turn, 1 + index])  # as the training set's
        path = manifest.root / manifest.records[index].path
        return bare_decord(path, dense_train(NUM_FRAMES, 8, rng)[0])

    def ours(samples: TrainingSet, turn: int) -> Any:  # noqa: ANN401
        return samples[turn, turn % len(manifest.records)].pixels

    config = DataConfig(dataset="folder", sampling="dense")
    reads: dict[str, Read] = {"bare decord": bare}
    for decoder in available_decoders():
        videos = Videos(manifest, config.short_side_px, decoder)
        reads[f"training sample, {decoder}"] = partial(
            ours, TrainingSet(videos, config, View(8), seed=0)
        )
    return reads


def test_reads(manifest: Manifest) -> dict[str, Read]:
    """Readers of ten clips × three crops of a video: bare decord, and ours with each decoder."""
    wanted = np.unique(dense_test(NUM_FRAMES, 8))

    def bare(turn: int) -> Any:  # noqa: ANN401
        record = manifest.records[turn % len(manifest.records)]
        return bare_decord(manifest.root / record.path, wanted)

    def ours(samples: TestSet, turn: int) -> Any:  # noqa: ANN401
        return samples[turn % len(manifest.records)].pixels

    test = TestConfig(clips=10, crops=3)
    reads: dict[str, Read] = {"bare decord": bare}
    for decoder in available_decoders():
        videos = Videos(manifest, test.crop_px, decoder)
        reads[f"10 clips × 3 crops, {decoder}"] = partial(
            ours, TestSet(videos, "dense", test, View(8))
        )
    return reads


def measure(kinds: dict[str, dict[str, Read]], rounds: int, clock: Callable[[], float]) -> None:
    """Print a line for each reader of each kind of video."""
    seconds: dict[tuple[str, str], list[float]] = {}
    for turn in range(-1, rounds):
        for kind, reads in kinds.items():
            for name, read in reads.items():
                start = clock()
                read(max(0, turn))
                if turn >= 0:  # before it: imports, and files into the page cache
                    seconds.setdefault((kind, name), []).append(clock() - start)
    origin = next(iter(seconds.values()))
    for (kind, name), times in seconds.items():
        bare, beside = (
            median(one / other for one, other in zip(times, others, strict=True))
            for others in (seconds[kind, "bare decord"], origin)
        )
        line = f"{kind:10}{name:30}{1000 * median(times):7.1f} ms{bare:7.2f} × bare decord"
        print(f"{line}{beside:7.2f} × the first line")


def reading(options: argparse.Namespace) -> None:
    """Make the videos and measure."""
    encoding = Encoding(short_side_px=HEIGHT, gop=options.gop)
    clock = time.process_time if options.cpu_time else time.perf_counter
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        names = [f"{number}.mp4" for number in range(options.videos)]
        for number, path in enumerate(names):
            encode(root / path, draw(number))
            reencode(root, encoding, path, lambda: None)
        kinds = {"default": names, "prepared": [encoding.made_path(path) for path in names]}
        manifests = {}
        for kind, paths in kinds.items():
            records = [VideoRecord(p, 0, NUM_FRAMES, float(FPS), WIDTH, HEIGHT) for p in paths]
            manifests[kind] = Manifest(root, "train", ("all",), records)
            size = sum((root / path).stat().st_size for path in paths)
            print(f"{kind}: {size * 8 * FPS / NUM_FRAMES / len(paths) / 1000:.0f} kbit/s")
        for reads in (train_reads, test_reads):
            measure({kind: reads(m) for kind, m in manifests.items()}, options.rounds, clock)


def manifest() -> None:
    """Load a manifest of 240,000 videos."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "manifest"
        folder.mkdir()
        (folder / "classes.txt").write_text("".join(f"class {i}\n" for i in range(400)))
        with (folder / "train.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(("path", "label", "frames", "fps", "width", "height"))
            for i in range(240_000):
                path = f"videos_train/name_of_class_{i % 400:03}/abcdefghijk_{i:06}_{i + 10:06}.mp4"
                writer.writerow((path, i % 400, 240 + i % 61, 29.97, 340 + i % 90, 256))
        before, start = memory_mb("VmHWM"), time.perf_counter()
        loaded = read_manifest(Path(name), "train")
        seconds, peak = time.perf_counter() - start, memory_mb("VmHWM") - before
        start = time.perf_counter()
        sent = pickle.dumps(loaded)
        pickle.loads(sent)
        print(f"manifest of {len(loaded.records)}: {seconds:.2f} s, {peak:.0f} MB more at its peak")
        print(f"to a worker: {len(sent) / 1e6:.0f} MB in {time.perf_counter() - start:.2f} s")


def memory() -> None:
    """Read a small video 2,000 times with each decoder."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "video.mp4"
        encode(path, islice(draw(0), 24))
        for decoder in available_decoders():
            for count in range(2300):
                read_frames(path, np.array([3, 11, 20]), decoder=decoder)
                if count == 299:
                    before = memory_mb("VmRSS")
            print(f"2,000 reads with {decoder}: {memory_mb('VmRSS') - before:+.1f} MB")


def memory_mb(entry: str) -> float:
    """Resident memory of this process: VmRSS now, VmHWM at its peak."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return float(dict(line.split(":", 1) for line in lines)[entry].split()[0]) / 1000


def main() -> None:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--videos", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--gop", type=int, default=16)
    parser.add_argument("--cpu-time", action="store_true")
    parser.add_argument("--manifest", action="store_true")
    parser.add_argument("--memory", action="store_true")
    options = parser.parse_args()
    if options.manifest:
        manifest()
    if options.memory:
        memory()
    if options.manifest or options.memory:
        return
    if "decord" not in available_decoders():
        raise SystemExit("decord does not import here: nothing to compare with")
    reading(options)


if __name__ == "__main__":
    main()

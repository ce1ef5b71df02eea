"""What `stsm prepare` costs, and what re-encoding buys, on the embedded set rendered at 256 px.

Run: python benchmarks/prepare.py [--videos 16] [--frames 300] [--copies 8] [--rounds 5]

1. Full verification against bare decoding of the same files by as many processes (PyAV, one thread
   each), both with the start of their processes; the median ratio over rounds that take turns.
2. The second `stsm prepare` over 10,000 finished videos (tiny ones), as typed.
3. Reading 8 dense frames of a random place, before and after `--short-side 256 --gop 16`; before
   is what x264's defaults make, a key frame every 250.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from statistics import median

import av
import numpy as np

from stsm_cli.config.generated_sets import SynthConfig
from stsm_cli.data.decode import Decoder, available_decoders, read_frames
from stsm_cli.data.synth import SYNTH
from stsm_cli.prepare.examine import examine, reencoding, verification
from stsm_cli.prepare.transcode import Encoding

NUM_TINY = 10_000
STRIDE = 8  # K400's dense sampling of 8 frames


def encode_by_default(source: Path, target: Path) -> None:
    """The same frames as x264 encodes them when it is told nothing."""
    with av.open(str(source)) as old, av.open(str(target), "w") as new:
        given = old.streams.video[0]
        stream = new.add_stream("libx264", rate=given.average_rate)
        stream.width, stream.height, stream.pix_fmt = given.width, given.height, "yuv420p"
        for frame in old.decode(given):
            frame.pict_type = 0
            new.mux(stream.encode(frame))
        new.mux(stream.encode())


def make_videos(folder: Path, num_videos: int, num_frames: int) -> Path:
    """A folder of two classes, `a` and `b`, of videos with default encoding."""
    SYNTH.make(
        folder / "synth",
        SynthConfig(train=num_videos, val=1, short_side_px=256, frames=num_frames),
    )
    for number, source in enumerate(sorted((folder / "synth" / "train").glob("*.mp4"))):
        target = folder / "set" / "ab"[number % 2] / source.name
        target.parent.mkdir(parents=True, exist_ok=True)
        encode_by_default(source, target)
    return folder / "set"


def relative(root: Path) -> list[str]:
    """The videos below a folder."""
    return sorted(path.relative_to(root).as_posix() for path in root.glob("[ab]/*.mp4"))


def multiply(paths: list[Path], folder: Path, count: int) -> None:
    """`count` hard links, in the classes `a` and `b`."""
    for number in range(count):
        link = folder / "ab"[number % 2] / f"{number:05d}.mp4"
        link.parent.mkdir(parents=True, exist_ok=True)
        os.link(paths[number % len(paths)], link)


def bare_decode(path: str) -> int:
    """Frames that PyAV decodes, with nothing around it."""
    num_frames = 0
    with av.open(path) as container:
        container.streams.video[0].codec_context.thread_count = 1
        for _ in container.decode(video=0):
            num_frames += 1
    return num_frames


def bare_seconds(root: Path, workers: int) -> float:
    """The time in which a pool of processes decodes all videos."""
    paths = [str(root / path) for path in relative(root)]
    start = time.perf_counter()
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        sum(pool.map(bare_decode, paths))
    return time.perf_counter() - start


def verify_seconds(root: Path, workers: int) -> float:
    """The time of a full verification that knows nothing."""
    (root / "manifest" / "ledger.jsonl").unlink(missing_ok=True)
    start = time.perf_counter()
    checks = examine(root, relative(root), verification(root, quick=False), workers=workers)
    assert {check.status for check in checks.values()} == {"ok"}
    return time.perf_counter() - start


def measure_verification(root: Path, copies: int, rounds: int) -> None:
    """Print the rate of verification relative to bare decoding."""
    workers = os.cpu_count() or 1
    many = root.parent / "many"
    paths = [root / path for path in relative(root)]
    multiply(paths, many, copies * len(paths))
    bare, ours = [], []
    for _ in range(rounds):
        bare.append(bare_seconds(many, workers))
        ours.append(verify_seconds(many, workers))
    share = median(one / other for one, other in zip(bare, ours, strict=True))
    count = copies * len(paths)
    print(f"{count} videos, {workers} processes, {rounds} rounds")
    print(f"bare decoding {count / median(bare):8.1f} videos/s")
    print(f"verification  {count / median(ours):8.1f} videos/s  {100 * share:.1f} % of it\n")


def measure_second_run(folder: Path) -> None:
    """Print how long `stsm prepare` takes for the first and the second time."""
    SYNTH.make(folder / "tiny", SynthConfig(train=16, val=1, short_side_px=32, frames=4))
    multiply(sorted((folder / "tiny" / "train").glob("*.mp4")), folder / "finished", NUM_TINY)
    stsm = [sys.executable, "-m", "stsm_cli", "-q"]
    command = [*stsm, "prepare", "folder", str(folder / "finished")]
    for name in ("first", "second"):
        start = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        print(f"{name} run over {NUM_TINY} tiny videos: {time.perf_counter() - start:.1f} s")
    print()


def read_milliseconds(paths: list[Path], decoder: Decoder, seed: int) -> float:
    """The mean time to read 8 frames at stride 8 from a random place of each video."""
    rng = np.random.default_rng(seed)
    start = time.perf_counter()
    for path in paths:
        num_frames = NUM_FRAMES[path]
        first = rng.integers(max(1, num_frames - 64 + 1))
        read_frames(path, (first + STRIDE * np.arange(8)) % num_frames, decoder=decoder)
    return 1000 * (time.perf_counter() - start) / len(paths)


NUM_FRAMES: dict[Path, int] = {}


def measure_reencoding(root: Path, rounds: int) -> None:
    """Print bytes and reading time before and after."""
    encoding = Encoding(256)
    start = time.perf_counter()
    workers = os.cpu_count() or 1
    checks = examine(root, relative(root), reencoding(root, encoding), workers=workers)
    seconds = time.perf_counter() - start
    sets = {
        "before": [root / path for path in checks],
        "after": [root / encoding.made_path(path) for path in checks],
    }
    for path, made, check in zip(sets["before"], sets["after"], checks.values(), strict=True):
        NUM_FRAMES[path] = NUM_FRAMES[made] = check.num_frames
    print(f"re-encoding: {len(checks) / seconds:.2f} videos/s by {workers} processes")
    megabytes = {name: sum(p.stat().st_size for p in paths) / 1e6 for name, paths in sets.items()}
    print(f"bytes: {megabytes['before']:.1f} MB before, {megabytes['after']:.1f} MB after")
    for decoder in available_decoders():
        times: dict[str, list[float]] = {name: [] for name in sets}
        for number in range(rounds + 1):
            for name, paths in sets.items():
                times[name].append(read_milliseconds(paths, decoder, number))
        before, after = (times[name][1:] for name in sets)  # the first is to warm up
        gain = median(one / other for one, other in zip(before, after, strict=True))
        print(
            f"{decoder:7} {median(before):6.1f} ms before, {median(after):6.1f} ms after: "
            f"{1000 / median(before):.1f} and {1000 / median(after):.1f} clips/s, {gain:.2f} ×"
        )


def main() -> None:
    """Make the videos and measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--videos", type=int, default=16)
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--copies", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        root = make_videos(folder, options.videos, options.frames)
        measure_verification(root, options.copies, options.rounds)
        measure_second_run(folder)
        measure_reencoding(root, options.rounds)


if __name__ == "__main__":
    main()

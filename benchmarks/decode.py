"""How fast the embedded set is read, against bare decord on the same files with as many threads.

Run: python benchmarks/decode.py [--videos 400] [--threads 2] [--rounds 7]

The contestants take turns; each round reads every video once. Printed: median videos a second, and
the median over rounds of the rate relative to bare decord's in the same round.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from stsm_cli.bench.reading import bare_decord
from stsm_cli.config.generated_sets import SynthConfig
from stsm_cli.data.decode import available_decoders, read_frames
from stsm_cli.data.frames import resize_short_side
from stsm_cli.data.synth import SYNTH

Reader = Callable[[Path], Any]


def read_and_resize(path: Path) -> Any:  # noqa: ANN401
    """What the loader does with a video that it keeps in memory, by decord."""
    return resize_short_side(read_frames(path, None, decoder="decord"), 54)


def videos_per_second(read: Reader, paths: list[Path], threads: int) -> float:
    """The rate at which a pool of threads reads the videos."""
    start = time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(read, paths):
            pass
    return len(paths) / (time.perf_counter() - start)


def measure(readers: dict[str, Reader], paths: list[Path], threads: int, rounds: int) -> None:
    """Print a line for each reader."""
    rates: dict[str, list[float]] = {name: [] for name in readers}
    for read in readers.values():
        videos_per_second(read, paths[:20], threads)  # imports, and the files into the page cache
    for _ in range(rounds):
        for name, read in readers.items():
            rates[name].append(videos_per_second(read, paths, threads))
    bare = rates["bare decord"]
    print(f"{len(paths)} videos, {threads} threads, {rounds} rounds")
    for name, rate in rates.items():
        share = median(one / other for one, other in zip(rate, bare, strict=True))
        print(f"{name:32}{median(rate):8.1f} videos/s{100 * share:8.1f} % of bare decord")


def main() -> None:
    """Make the videos and measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--videos", type=int, default=400)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    if "decord" not in available_decoders():
        raise SystemExit("decord does not import here: nothing to compare with")
    readers: dict[str, Reader] = {
        "bare decord": partial(bare_decord, wanted=None),
        "read_frames, decord": partial(read_frames, indices=None, decoder="decord"),
        "read_frames, decord, resized": read_and_resize,
        "read_frames, PyAV": partial(read_frames, indices=None, decoder="pyav"),
    }
    with tempfile.TemporaryDirectory() as folder:
        SYNTH.make(Path(folder), SynthConfig(train=options.videos, val=1))
        paths = sorted((Path(folder) / "train").glob("*.mp4"))
        measure(readers, paths, options.threads, options.rounds)


if __name__ == "__main__":
    main()

"""What a large manifest and many reads take of a process's memory.

    python benchmarks/memory.py

It loads a manifest of 240,000 videos, and reads a small video 2,000 times with each decoder; both
look at the resident memory. How fast videos are read, `stsm bench reading` tells.
"""

import csv
import pickle
import tempfile
import time
from pathlib import Path

import numpy as np

from stsm_cli.bench.drawn import draw, encode
from stsm_cli.data.decode import available_decoders, read_frames
from stsm_cli.data.manifest import read_manifest


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


def reads() -> None:
    """Read a small video 2,000 times with each decoder."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "video.mp4"
        encode(path, draw(0, 24))
        for decoder in available_decoders():
            for count in range(2300):
                read_frames(path, np.array([3, 11, 20]), decoder=decoder)
                if count == 299:
                    before = memory_mb("VmRSS")
            print(f"2,000 reads with {decoder}: {memory_mb('VmRSS') - before:+.1f} MB")


def memory_mb(entry: str) -> float:
    """Resident memory of this process: VmRSS now, VmHWM at its peak."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return float(dict(line.split(":", 1) for line in lines)[entry].split()[0]) * 1024 / 1e6


if __name__ == "__main__":
    manifest()
    reads()

"""What a training sample and a test of a video cost, against bare decord on the same frames."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from stsm_cli.bench.drawn import NUM_FRAMES
from stsm_cli.bench.record import Table
from stsm_cli.bench.turns import Stopwatch, Variant, milliseconds, ratio, take_turns
from stsm_cli.config.schema import DataConfig, TestConfig
from stsm_cli.config.view import View
from stsm_cli.data.container import full_name
from stsm_cli.data.decode import available_decoders
from stsm_cli.data.manifest import Manifest
from stsm_cli.data.samples import TestSet, TrainingSet
from stsm_cli.data.sampling import dense_test, dense_train
from stsm_cli.data.videos import Videos
from stsm_cli.errors import UsageError
from stsm_cli.progress import SILENT, Progress

BARE = "bare decord"
CONFIG = DataConfig(dataset="folder", sampling="dense")
TEST = TestConfig(clips=10, crops=3)
VIEW = View(8)


def bare_decord(path: Path, wanted: npt.NDArray[np.int64] | None) -> Any:  # noqa: ANN401
    """Frames of a video, None for all, with nothing around decord."""
    import decord

    reader = decord.VideoReader(full_name(path), ctx=decord.cpu(0), num_threads=1)
    return reader.get_batch(range(len(reader)) if wanted is None else wanted).asnumpy()


def require_decord() -> None:
    """Refuse to compare without what is compared with.

    Raises:
        UsageError: decord does not import here.
    """
    if "decord" not in available_decoders():
        raise UsageError("decord does not import here: there is nothing to compare with")


def measure_reading(
    manifests: Mapping[str, Manifest],
    rounds: int,
    stopwatch: Stopwatch,
    progress: Progress = SILENT,
) -> Iterator[Table]:
    """Tables of a training sample and of a test, each as soon as it is measured.

    Args:
        manifests: The same videos, of `NUM_FRAMES` frames, in several encodings.
        rounds: Each reads the next video.
        stopwatch: Takes the time.
        progress: Told how it goes.
    """
    for what, make in (
        ("training sample of 8 dense frames", training_reads),
        ("test of 10 clips × 3 crops", test_reads),
    ):
        reads = {
            f"{kind}, {name}": read
            for kind, manifest in manifests.items()
            for name, read in make(manifest).items()
        }
        with progress.bar(what, (rounds + 1) * len(reads)) as bar:
            seconds = take_turns(reads, rounds, stopwatch, bar)
        first, *_ = reads
        rows = {
            name: {
                "ms": milliseconds(seconds, name),
                "ratio": ratio(seconds, name, f"{name.partition(', ')[0]}, {BARE}"),
                "ratio_first": ratio(seconds, name, first),
            }
            for name in reads
        }
        yield Table(what, rows)


def training_reads(manifest: Manifest) -> dict[str, Variant]:
    """Readers of a training sample: bare decord, and ours with each decoder."""

    def bare(turn: int) -> Any:  # noqa: ANN401
        index = turn % len(manifest.records)
        rng = np.random.default_rng([0, turn, 1 + index])  # as the training set's
        path = manifest.root / manifest.records[index].path
        return bare_decord(path, dense_train(NUM_FRAMES, VIEW.num_frames, rng)[0])

    def ours(samples: TrainingSet) -> Variant:
        return lambda turn: samples[turn, turn % len(manifest.records)].pixels

    return {BARE: bare} | {
        decoder: ours(TrainingSet(Videos(manifest, CONFIG.short_side_px, decoder), CONFIG, VIEW, 0))
        for decoder in available_decoders()
    }


def test_reads(manifest: Manifest) -> dict[str, Variant]:
    """Readers of a test of ten clips × three crops: bare decord, and ours with each decoder."""
    wanted = np.unique(dense_test(NUM_FRAMES, VIEW.num_frames))

    def bare(turn: int) -> Any:  # noqa: ANN401
        record = manifest.records[turn % len(manifest.records)]
        return bare_decord(manifest.root / record.path, wanted)

    def ours(samples: TestSet) -> Variant:
        return lambda turn: samples[turn % len(manifest.records)].pixels

    return {BARE: bare} | {
        decoder: ours(TestSet(Videos(manifest, TEST.crop_px, decoder), "dense", TEST, VIEW))
        for decoder in available_decoders()
    }

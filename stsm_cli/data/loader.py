"""From samples to batches, with results that do not depend on how many processes read them.

Pixels stay uint8; they are normalised on the device (`engine/step.py`).

Layouts: `videos` (N, T, C, H, W) and `views` (N, V, T, C, H, W). The tensors are permuted views, so
that their frames are channels-last without a copy.
"""

import multiprocessing
import multiprocessing.util
import signal
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import forkserver
from multiprocessing.context import BaseContext
from pathlib import Path
from tempfile import gettempdir
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from stsm_cli.allocator import keep_freed_memory
from stsm_cli.config.batch import BatchPlan, plan_batch
from stsm_cli.config.schema import DataConfig, OptimConfig, Sampling, TestConfig
from stsm_cli.config.view import View
from stsm_cli.data import crops
from stsm_cli.data.interrupts import children_ignore_ctrl_c
from stsm_cli.data.samples import Sample, TestSet, TrainingSet
from stsm_cli.data.videos import Videos
from stsm_cli.errors import DataError, StsmError
from stsm_cli.lifeline import end_with_parent


@dataclass(frozen=True)
class Batch:
    """A batch, as a loader yields it.

    Attributes:
        pixels: uint8; `videos` (N, T, C, H, W) in training, `views` (N, V, T, C, H, W) in tests.
        labels: int64 (N,).
        indices: Which videos of the manifest these are, length N.
        broken: Label and message of each video that did not decode, by index; it is not among
            the N.
    """

    pixels: torch.Tensor
    labels: torch.Tensor
    indices: tuple[int, ...]
    broken: dict[int, tuple[int, str]]

    def pin_memory(self) -> "Batch":
        """The same in memory from which a GPU copies by itself; `DataLoader` calls it."""
        return replace(self, pixels=self.pixels.pin_memory(), labels=self.labels.pin_memory())


class TrainLoader:
    """Shuffled, augmented batches, epoch by epoch.

    Where several processes train one model, each gets its part of every batch, and where gradients
    are accumulated, each part comes in several. All parts of a batch together hold the videos that
    one process would see. Parts are of one size, but where the whole split is smaller than a batch:
    there they differ by one video at most.

    Workers are started afresh from a clean process, not forked: a script that uses them needs the
    usual `if __name__ == "__main__"`.

    Args:
        videos: The training split.
        config: Sampling, crops and mirroring.
        view: What is read of a video.
        optim: How many videos an optimiser step takes, of all processes together, and in how many
            parts each splits its share of them.
        seed: Of every random choice.
        workers: Processes that read ahead; none are used for videos in memory.
        rank: Which of the training processes this is.
        world_size: How many there are.
        pin_memory: Whether batches are to be copied to a GPU.

    Raises:
        RecipeError: The batch cannot be shared out evenly.
        DataError: The split holds too few videos to give one to each part.
    """

    def __init__(
        self,
        videos: Videos,
        config: DataConfig,
        *,
        view: View,
        optim: OptimConfig,
        seed: int,
        workers: int,
        rank: int = 0,
        world_size: int = 1,
        pin_memory: bool = False,
    ) -> None:
        indices = videos.trained_on
        self.num_videos = len(indices)
        plan = plan_batch(optim, world_size, self.num_videos)
        if plan.lack:
            raise DataError(f"{videos.manifest.root}: {plan.lack}")
        own = range(rank * plan.num_parts, (rank + 1) * plan.num_parts)
        self._batches = _EpochBatches(indices, plan, seed, own)
        self._loader = _loader(
            TrainingSet(videos, config, view, seed),
            videos,
            workers,
            batch_sampler=self._batches,
            persistent_workers=True,
            pin_memory=pin_memory,
        )

    def __len__(self) -> int:
        """Batches an epoch, or parts of them, that this process gets."""
        return len(self._batches)

    def epoch(self, epoch: int, first_batch: int = 0) -> Iterator[Batch]:
        """The batches of an epoch, from `first_batch` on.

        Raises:
            DataError: A process that reads videos died.
        """
        self._batches.epoch, self._batches.first_batch = epoch, first_batch
        return _guarded(self._loader)


def evaluation_batches(
    videos: Videos,
    sampler: Sampling,
    test: TestConfig,
    *,
    view: View,
    batch_size: int,
    workers: int,
    rank: int = 0,
    world_size: int = 1,
    pin_memory: bool = False,
) -> Iterator[Batch]:
    """Batches of `views`: videos rank, rank + world_size, ... of the split, each exactly once.

    Workers are started, and memory is pinned, as in `TrainLoader`.

    Raises:
        DataError: A process that reads videos died.
    """
    loader = _loader(
        TestSet(videos, sampler, test, view),
        videos,
        workers,
        sampler=range(rank, len(videos.manifest.records), world_size),
        batch_size=batch_size,
        pin_memory=pin_memory,
    )
    return _guarded(loader)


def epoch_order(indices: npt.NDArray[np.int64], seed: int, epoch: int) -> npt.NDArray[np.int64]:
    """The videos `indices` in the order in which an epoch's batches take them."""
    rng = np.random.default_rng([seed, epoch])
    return indices[rng.permutation(len(indices))]


def mirrored_views(test: TestConfig) -> list[bool]:
    """Marks of the views of a video that are mirror images, in the order of `views`."""
    boxes = crops.TEST_CROPS[test.crops](1, 1, 1)
    return [box.mirrored for box in boxes for _ in range(test.clips)]


class _EpochBatches(Sampler[list[tuple[int, int]]]):
    """The `own` parts of the shuffled batches of `epoch`, from the `first_batch`-th of them on.

    They are of the videos `indices`.

    Both attributes may be set between epochs.
    """

    def __init__(
        self, indices: npt.NDArray[np.int64], plan: BatchPlan, seed: int, own: Sequence[int]
    ) -> None:
        self.indices, self.plan, self.seed, self.own = indices, plan, seed, own
        self.epoch = self.first_batch = 0

    def __len__(self) -> int:
        # ours: an incomplete last batch is dropped
        return len(self.indices) // self.plan.batch_size * len(self.own)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        order = epoch_order(self.indices, self.seed, self.epoch)
        for number in range(self.first_batch, len(self)):
            step, part = divmod(number, len(self.own))
            batch = order[step * self.plan.batch_size : (step + 1) * self.plan.batch_size]
            chosen = np.array_split(batch, self.plan.num_shares)[self.own[part]]
            yield [(self.epoch, int(index)) for index in chosen]


def _loader(
    dataset: Dataset[Sample],
    videos: Videos,
    workers: int,
    *,
    persistent_workers: bool = False,
    **batching: Any,  # noqa: ANN401
) -> DataLoader[Sample]:
    workers = 0 if videos.cache is not None else workers
    return DataLoader(
        dataset,
        collate_fn=_collate,
        num_workers=workers,
        multiprocessing_context=_worker_context() if workers else None,
        worker_init_fn=partial(_live_with_parent, remains=_remains() if workers else None),
        persistent_workers=persistent_workers and workers > 0,
        generator=torch.Generator(),  # trap: the default one would advance torch's own state
        **batching,
    )


def _worker_context() -> BaseContext:
    """Workers come from a server that has imported what they need, and done nothing else.

    trap: a fork of this process may hang, for decord, CUDA or any thread has left locks behind.
    """
    context = multiprocessing.get_context("forkserver" if _has_forkserver() else "spawn")
    context.set_forkserver_preload(["__main__", "stsm_cli.data.loader", "av"])
    if _has_forkserver():
        with children_ignore_ctrl_c(), _telling_of_tmpdir():
            forkserver.ensure_running()
    return context


@contextmanager
def _telling_of_tmpdir() -> Iterator[None]:
    """The processes meet at a socket there, whose path may be too long for one."""
    try:
        yield
    except OSError as error:
        raise StsmError(
            f"{gettempdir()}: processes that read videos cannot meet there ({error})",
            hint="set TMPDIR to a short path on a local disk; `--workers 0` needs none",
        ) from None


def _has_forkserver() -> bool:
    return "forkserver" in multiprocessing.get_all_start_methods()


def _remains() -> Path | None:
    """The folder of the server's socket, which a killed process leaves behind."""
    return Path(multiprocessing.util.get_temp_dir()) if _has_forkserver() else None


def _live_with_parent(worker: int, *, remains: Path | None) -> None:
    """Leave Ctrl-C to the parent, and end with it."""
    keep_freed_memory()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_parent(remains=remains)


def _guarded(batches: Iterable[Batch]) -> Iterator[Batch]:
    try:
        yield from batches
    except (RuntimeError, ConnectionError, EOFError) as error:  # the latter: what it last sent
        if isinstance(error, RuntimeError) and not str(error).startswith("DataLoader worker"):
            raise
        raise DataError(
            "a process that reads videos died",
            hint="if memory or /dev/shm ran out, use fewer --workers",
        ) from error


def _collate(samples: Sequence[Sample]) -> Batch:
    good = [sample for sample in samples if sample.pixels is not None]
    stacked = np.stack([s.pixels for s in good if s.pixels is not None]) if good else np.empty(0)
    pixels = torch.from_numpy(stacked)
    return Batch(
        pixels.movedim(-1, -3) if good else pixels,  # (..., H, W, C) -> (..., C, H, W)
        torch.tensor([sample.label for sample in good]),
        tuple(sample.index for sample in good),
        {s.index: (s.label, s.error) for s in samples if s.pixels is None},
    )

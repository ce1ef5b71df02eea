"""From a manifest to batches of uint8 videos, with results that do not depend on worker count.

The one idea: every random choice of a sample comes from a generator seeded by (seed, epoch, index),
so a sample is the same whoever reads it, and a resumed epoch needs no history. Pixels stay uint8;
they are normalised on the device (`engine/pixels.py`).

Layouts: frames (T, H, W, 3) in numpy; `videos` (N, T, 3, H, W) and `views` (N, V, T, 3, H, W) in
torch. The tensors are permuted views, so that their frames are channels-last without a copy.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from stsm_cli.config.schema import DataConfig, TestConfig
from stsm_cli.data import crops, sampling
from stsm_cli.data.catalog import load_card, mirror_labels
from stsm_cli.data.videos import Frames, Videos
from stsm_cli.errors import DataError


@dataclass(frozen=True)
class Batch:
    """What a loader yields.

    Attributes:
        pixels: uint8; `videos` (N, T, 3, H, W) in training, `views` (N, V, T, 3, H, W) in tests.
        labels: int64 (N,).
        indices: Which videos of the manifest these are, length N.
        broken: Label and message of each video that did not decode, by index; it is not among
            the N.
    """

    pixels: torch.Tensor
    labels: torch.Tensor
    indices: tuple[int, ...]
    broken: dict[int, tuple[int, str]]


@dataclass(frozen=True)
class _Sample:
    index: int
    label: int
    pixels: Frames | None
    error: str = ""


def _collate(samples: Sequence[_Sample]) -> Batch:
    good = [sample for sample in samples if sample.pixels is not None]
    stacked = np.stack([s.pixels for s in good if s.pixels is not None]) if good else np.empty(0)
    pixels = torch.from_numpy(stacked)
    return Batch(
        pixels.movedim(-1, -3) if good else pixels,  # (..., H, W, 3) -> (..., 3, H, W)
        torch.tensor([sample.label for sample in good]),
        tuple(sample.index for sample in good),
        {s.index: (s.label, s.error) for s in samples if s.pixels is None},
    )


class _TrainingSet(Dataset[_Sample]):
    """Augmented training samples, addressed by (epoch, index)."""

    def __init__(self, videos: Videos, config: DataConfig, num_frames: int, seed: int) -> None:
        self.videos, self.config, self.num_frames, self.seed = videos, config, num_frames, seed
        card, classes = load_card(config.dataset), videos.manifest.classes
        identity = np.arange(len(classes))
        label_aware = config.flip == "label_aware"
        self.mirrored_label = mirror_labels(card, classes) if label_aware else identity

    def __getitem__(self, key: tuple[int, int]) -> _Sample:
        epoch, index = key
        record = self.videos.manifest.records[index]
        rng = np.random.default_rng(
            [self.seed, epoch, 1 + index]
        )  # trap: [a, b] seeds as [a, b, 0]
        sample = (
            sampling.uniform_train if self.config.sampling == "uniform" else sampling.dense_train
        )
        frame_indices = sample(record.num_frames, self.num_frames, rng)[0]
        try:
            frames = self.videos.read(index, frame_indices)
        except DataError as error:
            return _Sample(index, record.label, None, str(error))
        return self._augment(frames, index, record.label, rng)

    def _augment(self, frames: Frames, index: int, label: int, rng: np.random.Generator) -> _Sample:
        boxes = crops.ten_crop(frames.shape[1], frames.shape[2], self.config.crop_px)
        if self.config.flip == "none":
            boxes = [box for box in boxes if not box.mirrored]
        box = boxes[rng.integers(len(boxes))]  # paper 4.2: one crop for the whole video
        if box.mirrored:
            label = int(self.mirrored_label[label])
        return _Sample(index, label, crops.cut(frames, box))


class _EpochBatches(Sampler[list[tuple[int, int]]]):
    """The shuffled batches of `epoch`, from `first_batch` on; both may be set between epochs."""

    def __init__(self, num_videos: int, batch_size: int, seed: int) -> None:
        self.num_videos, self.batch_size, self.seed = num_videos, batch_size, seed
        self.epoch = self.first_batch = 0

    def __len__(self) -> int:
        return max(1, self.num_videos // self.batch_size)  # ours: an incomplete last one is dropped

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        order = np.random.default_rng([self.seed, self.epoch]).permutation(self.num_videos)
        for batch in range(self.first_batch, len(self)):
            chosen = order[batch * self.batch_size : (batch + 1) * self.batch_size]
            yield [(self.epoch, int(index)) for index in chosen]


class TrainLoader:
    """Shuffled, augmented batches, epoch by epoch.

    Args:
        videos: The training split.
        config: Sampling, crops and mirroring.
        num_frames: Frames a video.
        batch_size: Videos a batch; fewer only when the whole split is smaller.
        seed: Of every random choice.
        workers: Processes that read ahead; none are used for videos in memory.
    """

    def __init__(
        self,
        videos: Videos,
        config: DataConfig,
        *,
        num_frames: int,
        batch_size: int,
        seed: int,
        workers: int,
    ) -> None:
        self.num_videos = len(videos.manifest.records)
        self._batches = _EpochBatches(self.num_videos, batch_size, seed)
        workers = 0 if videos.cache is not None else workers
        self._loader = DataLoader(
            _TrainingSet(videos, config, num_frames, seed),
            batch_sampler=self._batches,
            collate_fn=_collate,
            num_workers=workers,
            persistent_workers=workers > 0,
            generator=torch.Generator(),  # trap: the default one would advance torch's own state
            pin_memory=torch.cuda.is_available(),
        )

    def __len__(self) -> int:
        """Batches an epoch."""
        return len(self._batches)

    def epoch(self, epoch: int, first_batch: int = 0) -> Iterator[Batch]:
        """The batches of an epoch, from `first_batch` on."""
        self._batches.epoch, self._batches.first_batch = epoch, first_batch
        return iter(self._loader)


class _TestSet(Dataset[_Sample]):
    """All views of each video: crops × clips, crop-major as in the reference."""

    def __init__(
        self, videos: Videos, sampling_name: str, test: TestConfig, num_frames: int
    ) -> None:
        self.videos, self.test, self.num_frames = videos, test, num_frames
        self.sampling_name = sampling_name

    def __getitem__(self, index: int) -> _Sample:
        record = self.videos.manifest.records[index]
        clips = self._clips(record.num_frames)  # (clips, T)
        wanted, position = np.unique(clips, return_inverse=True)  # each frame is decoded once
        try:
            frames = self.videos.read(index, wanted)
        except DataError as error:
            return _Sample(index, record.label, None, str(error))
        crop = {1: crops.center_crop, 3: crops.three_crop, 10: crops.ten_crop}[self.test.crops]
        boxes = crop(frames.shape[1], frames.shape[2], self.test.crop_px)
        cuts = [crops.cut(frames, box)[position.reshape(clips.shape)] for box in boxes]
        return _Sample(index, record.label, np.concatenate(cuts))  # (crops·clips, T, H, W, 3)

    def _clips(self, total: int) -> npt.NDArray[np.int64]:
        if self.sampling_name == "uniform":
            return sampling.uniform_test(total, self.num_frames, twice=self.test.clips == 2)
        return sampling.dense_test(total, self.num_frames, positions=self.test.clips)


def mirrored_views(test: TestConfig) -> list[bool]:
    """Which of a video's views are mirror images, in the order of `views`."""
    if test.crops != 10:
        return [False] * test.crops * test.clips
    return [box.mirrored for box in crops.ten_crop(1, 1, 1) for _ in range(test.clips)]


def evaluation_batches(
    videos: Videos,
    sampling_name: str,
    test: TestConfig,
    *,
    num_frames: int,
    batch_size: int,
    workers: int,
) -> DataLoader[_Sample]:
    """Batches of `views`, every video of the split exactly once and in order."""
    return DataLoader(
        _TestSet(videos, sampling_name, test, num_frames),
        sampler=range(len(videos.manifest.records)),
        batch_size=batch_size,
        collate_fn=_collate,
        num_workers=0 if videos.cache is not None else workers,
        generator=torch.Generator(),  # as in training
    )

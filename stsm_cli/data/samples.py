"""From a video to what a network sees of it: an augmented training sample, or all views of a test.

The one idea: every random choice of a sample comes from a generator seeded by (seed, epoch, index),
so a sample is the same whoever reads it, and a resumed epoch needs no history.

Layout: frames (T, H, W, 3).
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from torch.utils.data import Dataset

from stsm_cli.config.schema import DataConfig, TestConfig
from stsm_cli.data import crops, sampling
from stsm_cli.data.catalog import load_card, mirror_labels
from stsm_cli.data.frames import Frames, resize
from stsm_cli.data.videos import Videos
from stsm_cli.errors import DataError


@dataclass(frozen=True)
class Sample:
    """What was read of a video.

    Attributes:
        index: Of the video in its manifest.
        label: Its class, or that of its mirror image.
        pixels: uint8; (T, H, W, 3) in training, (V, T, H, W, 3) in tests; None if it is broken.
        error: Why it is broken.
    """

    index: int
    label: int
    pixels: Frames | None
    error: str = ""


class TrainingSet(Dataset[Sample]):
    """Augmented training samples, addressed by (epoch, index)."""

    def __init__(self, videos: Videos, config: DataConfig, num_frames: int, seed: int) -> None:
        self.videos, self.config, self.num_frames, self.seed = videos, config, num_frames, seed
        card, classes = load_card(config.dataset), videos.manifest.classes
        identity = np.arange(len(classes))
        label_aware = config.flip == "label_aware"
        self.mirrored_label = mirror_labels(card, classes) if label_aware else identity

    def __getitem__(self, key: tuple[int, int]) -> Sample:
        epoch, index = key
        record = self.videos.manifest.records[index]
        # trap: [a, b] seeds as [a, b, 0]
        rng = np.random.default_rng([self.seed, epoch, 1 + index])
        sample = (
            sampling.uniform_train if self.config.sampling == "uniform" else sampling.dense_train
        )
        frame_indices = sample(record.num_frames, self.num_frames, rng)[0]
        try:
            frames = self.videos.read(index, frame_indices)
        except DataError as error:
            return Sample(index, record.label, None, str(error))
        return self._augment(frames, index, record.label, rng)

    def _augment(self, frames: Frames, index: int, label: int, rng: np.random.Generator) -> Sample:
        size = self.config.crop_px
        crop = crops.ten_crop if self.config.train_crop == "ten_crop" else crops.multi_scale_crop
        boxes = crop(frames.shape[1], frames.shape[2], size)
        if self.config.flip == "none":
            boxes = [box for box in boxes if not box.mirrored]
        box = boxes[rng.integers(len(boxes))]  # paper 4.2: one crop for the whole video
        pixels = resize(crops.cut(frames, box._replace(mirrored=False)), size, size)
        if box.mirrored:
            return Sample(index, int(self.mirrored_label[label]), pixels[:, :, ::-1])
        return Sample(index, label, pixels)


class TestSet(Dataset[Sample]):
    """All views of each video: crops × clips, crop-major as in the reference."""

    __test__ = False  # not a test case, whatever pytest makes of the name

    def __init__(
        self, videos: Videos, sampling_name: str, test: TestConfig, num_frames: int
    ) -> None:
        self.videos, self.test, self.num_frames = videos, test, num_frames
        self.sampling_name = sampling_name

    def __getitem__(self, index: int) -> Sample:
        record = self.videos.manifest.records[index]
        clips = self._clips(record.num_frames)  # (clips, T)
        wanted, position = np.unique(clips, return_inverse=True)  # each frame is decoded once
        try:
            frames = self.videos.read(index, wanted)
        except DataError as error:
            return Sample(index, record.label, None, str(error))
        views = self._views(frames, position.ravel())  # (crops·clips·T, H, W, 3)
        return Sample(index, record.label, views.reshape(-1, self.num_frames, *views.shape[1:]))

    def _clips(self, total: int) -> npt.NDArray[np.int64]:
        if self.sampling_name == "uniform":
            return sampling.uniform_test(total, self.num_frames, twice=self.test.clips == 2)
        return sampling.dense_test(total, self.num_frames, positions=self.test.clips)

    def _views(self, frames: Frames, position: npt.NDArray[np.int64]) -> Frames:
        size = self.test.crop_px
        crop = {1: crops.center_crop, 3: crops.three_crop, 10: crops.ten_crop}[self.test.crops]
        boxes = crop(frames.shape[1], frames.shape[2], size)
        views = np.empty((len(boxes) * len(position), size, size, 3), dtype=np.uint8)
        shown = ((box, place) for box in boxes for place in position)
        for view, (box, place) in zip(views, shown, strict=True):  # 47 MB a video: copied once
            view[:] = crops.cut(frames[place : place + 1], box)[0]
        return views

"""From a video to what a network sees of it: an augmented training sample, or all views of a test.

The one idea: every random choice of a sample comes from a generator seeded by (seed, epoch, index),
so a sample is the same whoever reads it, and a resumed epoch needs no history.

Layout: frames (T, H, W, C), RGB, or the channels of optical flow (`flow.py`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from torch.utils.data import Dataset

from stsm_cli.config.schema import DataConfig, Sampling, TestConfig
from stsm_cli.config.view import View
from stsm_cli.data import crops, sampling
from stsm_cli.data.augment import rand_augmented
from stsm_cli.data.flow import with_x_negated
from stsm_cli.data.frames import Frames, resize
from stsm_cli.data.mirror import find_mirror
from stsm_cli.data.sampling import Positions
from stsm_cli.data.videos import Videos
from stsm_cli.errors import DataError

MIRRORS = {"none": False, "plain": True, "label_aware": True}
"""Mirror images are among the crops or not, by the recipe's `flip`."""


@dataclass(frozen=True)
class Sample:
    """A video as it was read.

    Attributes:
        index: Of the video in its manifest.
        label: Its class, or that of its mirror image.
        pixels: uint8; (T, H, W, C) in training, (V, T, H, W, C) in tests; None if it is broken.
        error: Why it is broken.
        frame_indices: Which frames of the video these are: (T,) in training, (clips, T) in tests.
        boxes: The parts of the resized picture that they show: one in training, in tests all crops.
    """

    index: int
    label: int
    pixels: Frames | None
    error: str = ""
    frame_indices: Positions | None = None
    boxes: tuple[crops.Crop, ...] = ()


class TrainingSet(Dataset[Sample]):
    """Augmented training samples, addressed by (epoch, index)."""

    def __init__(self, videos: Videos, config: DataConfig, view: View, seed: int) -> None:
        self.videos, self.config, self.view, self.seed = videos, config, view, seed
        manifest = videos.manifest
        self.mirrored_label = np.arange(len(manifest.classes))
        if config.flip == "label_aware":
            mirror = find_mirror(config.dataset, manifest.classes, manifest.root)
            self.mirrored_label = mirror.labels(manifest.classes)

    def __getitem__(self, key: tuple[int, int]) -> Sample:
        epoch, index = key
        record = self.videos.manifest.records[index]
        # trap: [a, b] seeds as [a, b, 0]
        rng = np.random.default_rng([self.seed, epoch, 1 + index])
        try:
            (frame_indices,) = sampling.train_indices(
                self.config.sampling,
                record.num_frames,
                self.view,
                rng,
                self.videos.curve(index),
            )
            frames = self.videos.read(index, frame_indices)
        except DataError as error:
            return Sample(index, record.label, None, str(error))
        sample = self._augment(frames, index, record.label, rng)
        return replace(sample, frame_indices=frame_indices)

    def _augment(self, frames: Frames, index: int, label: int, rng: np.random.Generator) -> Sample:
        size, height, width = self.config.crop_px, *frames.shape[1:3]
        draw, with_mirrors = crops.TRAIN_CROPS[self.config.train_crop], MIRRORS[self.config.flip]
        side = self._side(min(height, width), rng)
        box = draw(height, width, side, rng, with_mirrors=with_mirrors)  # paper 4.2: for all frames
        pixels = resize(crops.cut(frames, box._replace(mirrored=False)), size, size)
        if box.mirrored:
            pixels, label = _mirror_image(pixels, self.view), int(self.mirrored_label[label])
        if self.config.rand_augment is not None:
            pixels = rand_augmented(pixels, self.config.rand_augment, rng)
        return Sample(index, label, pixels, boxes=(box,))

    def _side(self, short_side: int, rng: np.random.Generator) -> int:
        """Side of the crop's box, in pixels; a picture made larger is a box made smaller."""
        size, jitter = self.config.crop_px, self.config.jitter_px
        return size if jitter is None else round(size * short_side / rng.uniform(*jitter))


class TestSet(Dataset[Sample]):
    """All views of each video: crops × clips, crop-major as in the reference."""

    __test__ = False  # not a test case, whatever pytest makes of the name

    def __init__(self, videos: Videos, sampler: Sampling, test: TestConfig, view: View) -> None:
        self.videos, self.sampler, self.test, self.view = videos, sampler, test, view

    def __getitem__(self, index: int) -> Sample:
        record = self.videos.manifest.records[index]
        try:
            clips = sampling.test_indices(  # (clips, T)
                self.sampler,
                record.num_frames,
                self.view,
                self.test.clips,
                self.videos.curve(index),
            )
            wanted, position = np.unique(clips, return_inverse=True)  # each frame is decoded once
            frames = self.videos.read(index, wanted)
        except DataError as error:
            return Sample(index, record.label, None, str(error))
        height, width = frames.shape[1:3]
        boxes = crops.TEST_CROPS[self.test.crops](height, width, self.test.crop_px)
        views = self._views(frames, position.ravel(), boxes)  # (crops·clips·T, H, W, C)
        pixels = views.reshape(-1, self.view.num_frames, *views.shape[1:])  # (V, T, H, W, C)
        return Sample(index, record.label, pixels, frame_indices=clips, boxes=tuple(boxes))

    def _views(
        self, frames: Frames, position: npt.NDArray[np.int64], boxes: Sequence[crops.Crop]
    ) -> Frames:
        size = self.test.crop_px
        shape = len(boxes) * len(position), size, size, frames.shape[-1]
        views = np.empty(shape, dtype=np.uint8)
        shown = ((box, place) for box in boxes for place in position)
        for view, (box, place) in zip(views, shown, strict=True):  # 47 MB a video: copied once
            cut = crops.cut(frames[place : place + 1], box._replace(mirrored=False))
            view[:] = _mirror_image(cut, self.view)[0] if box.mirrored else cut[0]
        return views


def _mirror_image(pixels: Frames, view: View) -> Frames:
    """The mirror image of frames (T, H, W, C); what moves to the left moves to the right there."""
    mirrored = pixels[:, :, ::-1]
    return with_x_negated(mirrored) if view.flow_fields else mirrored

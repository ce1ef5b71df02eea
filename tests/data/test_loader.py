import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from stsm_cli.config.schema import DataConfig, SynthConfig, TestConfig
from stsm_cli.data import crops
from stsm_cli.data.loader import TrainLoader, evaluation_batches, mirrored_views
from stsm_cli.data.manifest import Manifest, VideoRecord
from stsm_cli.data.synth import CLASSES
from stsm_cli.data.videos import Videos
from stsm_cli.errors import DataError

FRAMES, HEIGHT, WIDTH = 6, 10, 14


def traceable(index):
    """A video whose red is its index, green its frame number, blue its column."""
    frames = np.zeros((FRAMES, HEIGHT, WIDTH, 3), dtype=np.uint8)
    frames[..., 0] = index
    frames[..., 1] = np.arange(FRAMES)[:, None, None]
    frames[..., 2] = np.arange(WIDTH)
    return frames


def make_videos(count):
    records = tuple(
        VideoRecord(f"{i}.mp4", i % len(CLASSES), FRAMES, 8.0, WIDTH, HEIGHT) for i in range(count)
    )
    cache = tuple(traceable(i) for i in range(count))
    return Videos(Manifest(Path("nowhere"), "train", CLASSES, records), HEIGHT, "pyav", cache)


def config(**changes):
    values = {"dataset": "synth", "sampling": "uniform", "short_side_px": HEIGHT, "crop_px": 8}
    return DataConfig(**{**values, "synth": SynthConfig(), "flip": "none", **changes})


def train_loader(videos, data, **changes):
    options = {"num_frames": 3, "batch_size": 4, "seed": 0, "workers": 0}
    return TrainLoader(videos, data, **{**options, **changes})


def flat(batches):
    return [(batch.indices, batch.labels.tolist(), batch.pixels.clone()) for batch in batches]


def assert_equal(one, other):
    assert len(one) == len(other)
    for a, b in zip(one, other, strict=True):
        assert a[:2] == b[:2]
        assert torch.equal(a[2], b[2])


def test_a_batch_is_uint8_videos_with_channels_last_frames():
    batch = next(train_loader(make_videos(8), config()).epoch(0))
    assert batch.pixels.shape == (4, 3, 3, 8, 8)
    assert batch.pixels.dtype == torch.uint8
    assert batch.pixels.flatten(0, 1).is_contiguous(memory_format=torch.channels_last)
    assert batch.labels.dtype == torch.int64


def test_an_epoch_shows_every_video_once_and_drops_the_incomplete_batch():
    seen = [i for b in train_loader(make_videos(11), config()).epoch(0) for i in b.indices]
    assert len(seen) == len(set(seen)) == 8


def test_a_split_smaller_than_a_batch_is_one_batch():
    loader_ = train_loader(make_videos(3), config())
    assert len(loader_) == 1
    assert sorted(next(loader_.epoch(0)).indices) == [0, 1, 2]


def test_epochs_and_seeds_differ_and_repeat():
    videos = make_videos(12)
    first = flat(train_loader(videos, config()).epoch(0))
    assert_equal(first, flat(train_loader(videos, config()).epoch(0)))
    assert first[0][0] != flat(train_loader(videos, config()).epoch(1))[0][0]
    assert first[0][0] != flat(train_loader(videos, config(), seed=1).epoch(0))[0][0]


def test_an_epoch_can_start_in_the_middle():
    videos = make_videos(12)
    whole = flat(train_loader(videos, config()).epoch(2))
    assert_equal(whole[1:], flat(train_loader(videos, config()).epoch(2, first_batch=1)))


def test_reading_leaves_torchs_generator_alone():
    before = torch.get_rng_state()
    flat(train_loader(make_videos(8), config()).epoch(0))
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_results_do_not_depend_on_the_number_of_workers(monkeypatch):
    on_disk = dataclasses.replace(make_videos(12), cache=None)
    monkeypatch.setattr(Videos, "_decode", lambda self, index, wanted: traceable(index)[wanted])
    data = config(flip="label_aware")
    results = []
    for workers in (0, 1, 2):
        loader_ = train_loader(on_disk, data, workers=workers)
        results.append(flat(loader_.epoch(0)) + flat(loader_.epoch(1)))
    assert_equal(results[0], results[1])
    assert_equal(results[0], results[2])


def views_seen(data, epochs=40):
    """(index, label, is mirrored) of every training sample of some epochs."""
    videos = make_videos(16)
    loader_ = train_loader(videos, data, batch_size=16)
    seen = set()
    for epoch in range(epochs):
        batch = next(loader_.epoch(epoch))
        for index, label, video in zip(batch.indices, batch.labels, batch.pixels, strict=True):
            columns = video[0, 2, 0].tolist()
            assert (video[:, 0] == index).all()
            assert (video[:, 2] == video[0, 2]).all()  # one crop for the whole video
            seen.add((index, int(label), columns[0] > columns[-1]))
    return seen


def test_without_flip_labels_stay():
    assert views_seen(config()) == {(i, i, False) for i in range(16)}


def test_plain_flip_mirrors_and_keeps_labels():
    assert views_seen(config(flip="plain")) == {
        (i, i, mirrored) for i in range(16) for mirrored in (False, True)
    }


def test_label_aware_flip_swaps_left_and_right():
    seen = views_seen(config(flip="label_aware"))
    left, up = CLASSES.index("left_to_right"), CLASSES.index("upward")
    right = CLASSES.index("right_to_left")
    assert {s[1:3] for s in seen if s[0] == left} == {(left, False), (right, True)}
    assert {s[1:3] for s in seen if s[0] == up} == {(up, False), (up, True)}


def test_training_crops_are_the_five_positions():
    boxes = {tuple(box[:2]) for box in crops.ten_crop(HEIGHT, WIDTH, 8)}
    seen = set()
    loader_ = train_loader(make_videos(16), config(), batch_size=16)
    for epoch in range(20):
        seen |= {int(video[0, 2, 0, 0]) for video in next(loader_.epoch(epoch)).pixels}
    assert seen == {x for x, _ in boxes}


@pytest.mark.parametrize(("clips", "num_crops"), [(1, 1), (1, 3), (2, 3), (2, 10)])
def test_every_video_is_tested_once_and_in_order(clips, num_crops):
    test = TestConfig(clips=clips, crops=num_crops, crop_px=8)
    options = {"num_frames": 3, "batch_size": 4, "workers": 0}
    batches = list(evaluation_batches(make_videos(11), "uniform", test, **options))
    assert [i for batch in batches for i in batch.indices] == list(range(11))
    assert batches[0].pixels.shape == (4, clips * num_crops, 3, 3, 8, 8)
    assert batches[-1].pixels.shape[0] == 3


def test_views_are_crop_major_and_clips_are_the_samplers():
    test = TestConfig(clips=2, crops=3, crop_px=HEIGHT)
    options = {"num_frames": 3, "batch_size": 1, "workers": 0}
    batch = next(iter(evaluation_batches(make_videos(1), "uniform", test, **options)))
    views = batch.pixels[0]
    assert views[:, 0, 2, 0, 0].tolist() == [0, 0, 4, 4, 2, 2]  # left, right, middle
    assert views[:, :, 1, 0, 0].tolist() == [[1, 3, 5], [0, 2, 4]] * 3


def test_mirrored_views_are_every_second_crop_of_ten():
    assert mirrored_views(TestConfig(crops=10)) == [False, True] * 5
    assert mirrored_views(TestConfig(crops=10, clips=2)) == [False, False, True, True] * 5
    assert mirrored_views(TestConfig(crops=3, clips=2)) == [False] * 6


def test_broken_videos_are_reported_not_replaced():
    videos = make_videos(4)
    broken = dataclasses.replace(
        videos, cache=(DataError("0.mp4: bad"), *videos.cache[1:3], DataError("3.mp4: bad"))
    )
    batch = next(train_loader(broken, config()).epoch(0))
    assert sorted(batch.indices) == [1, 2]
    assert batch.broken == {0: (0, "0.mp4: bad"), 3: (3, "3.mp4: bad")}
    only = dataclasses.replace(videos, cache=(DataError("bad"),) * 4)
    assert next(train_loader(only, config()).epoch(0)).indices == ()

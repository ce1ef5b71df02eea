import dataclasses
import os
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data._utils.pin_memory import pin_memory

from stsm_cli.config.generated_sets import SynthConfig
from stsm_cli.config.regularisation import RandAugmentConfig
from stsm_cli.config.schema import DataConfig, OptimConfig, TestConfig
from stsm_cli.config.view import View
from stsm_cli.data import crops, loader
from stsm_cli.data.decode import default_decoder
from stsm_cli.data.loader import TrainLoader, epoch_order, evaluation_batches, mirrored_views
from stsm_cli.data.manifest import Manifest, PackedRecords, VideoRecord
from stsm_cli.data.synth import CLASSES
from stsm_cli.data.videos import Videos
from stsm_cli.errors import DataError, RecipeError, StsmError

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
    return Videos(Manifest(Path("nowhere"), "train", CLASSES, records), HEIGHT, "pyav", cache=cache)


def config(**changes):
    values = {"dataset": "synth", "sampling": "uniform", "short_side_px": HEIGHT, "crop_px": 8}
    return DataConfig(**{**values, "synth": SynthConfig(), "flip": "none", **changes})


def train_loader(videos, data, **changes):
    shares = {key: changes.pop(key) for key in ("batch_size", "accumulate") if key in changes}
    optim = OptimConfig(**{"lr": 1.0, "epochs": 1, "batch_size": 4} | shares)
    options = {"view": View(3), "optim": optim, "seed": 0, "workers": 0}
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


@pytest.mark.parametrize("pin_memory", [True, False])
def test_batches_are_pinned_where_they_go_to_a_gpu(pin_memory, monkeypatch):
    asked = []
    monkeypatch.setattr(loader, "DataLoader", lambda *_, **options: asked.append(options) or [])
    train_loader(make_videos(4), config(), pin_memory=pin_memory)
    options = {"view": View(3), "batch_size": 1, "workers": 0, "pin_memory": pin_memory}
    list(evaluation_batches(make_videos(1), "uniform", TestConfig(), **options))
    assert [one["pin_memory"] for one in asked] == [pin_memory] * 2


def test_a_batch_is_pinned_for_a_gpu(monkeypatch):
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: tensor + 1)
    (batch, *_) = train_loader(make_videos(4), config()).epoch(0)
    pinned = pin_memory(batch)  # as the DataLoader does
    assert torch.equal(pinned.pixels, batch.pixels + 1)
    assert torch.equal(pinned.labels, batch.labels + 1)
    assert (pinned.indices, pinned.broken) == (batch.indices, batch.broken)


def test_an_epoch_shows_every_video_once_and_drops_the_incomplete_batch():
    seen = [i for b in train_loader(make_videos(11), config()).epoch(0) for i in b.indices]
    assert len(seen) == len(set(seen)) == 8


def test_batches_follow_the_order_of_the_epoch():
    loader = train_loader(make_videos(10), config())
    seen = [index for batch in loader.epoch(3) for index in batch.indices]
    assert seen == epoch_order(np.arange(10), 0, 3)[: len(seen)].tolist()


def test_videos_that_are_known_to_have_no_flow_are_left_out():
    without = frozenset(["2.mp4", "7.mp4"])
    videos = dataclasses.replace(make_videos(12), without_flow=without)
    loader = train_loader(videos, config(), batch_size=5)
    assert (loader.num_videos, len(loader)) == (10, 2)
    seen = [i for batch in loader.epoch(3) for i in batch.indices]
    assert sorted(seen) == [0, 1, 3, 4, 5, 6, 8, 9, 10, 11]


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


@pytest.fixture(scope="module")
def on_disk(tmp_path_factory, encode_counter):
    """Twelve videos in files, the last of which is broken."""
    root = tmp_path_factory.mktemp("videos")
    for i in range(11):
        encode_counter(root / f"{i}.mp4", FRAMES + i, "libx264", g=4)
    (root / "11.mp4").write_text("not a video")
    records = PackedRecords(VideoRecord(f"{i}.mp4", i, FRAMES + i, 25.0, 64, 48) for i in range(12))
    return Videos(Manifest(root, "train", CLASSES, records), 48, default_decoder())


def test_results_do_not_depend_on_the_number_of_workers(on_disk):
    on_disk.read(0, np.array([0, 5]))  # trap: after this, a forked process hangs in decord
    augment = RandAugmentConfig()
    data = config(flip="label_aware", short_side_px=48, crop_px=40, rand_augment=augment)
    test = TestConfig(clips=2, crops=3, crop_px=40)
    results, broken = [], []
    for workers in (0, 2):
        loader_ = train_loader(on_disk, data, workers=workers)
        batches = [*loader_.epoch(0), *loader_.epoch(1)]
        batches += evaluation_batches(
            on_disk, "uniform", test, view=View(3), batch_size=5, workers=workers
        )
        results.append(flat(batches))
        broken.append([batch.broken for batch in batches])
    assert_equal(results[0], results[1])
    assert broken[0] == broken[1]
    assert {index for batch in broken[0] for index in batch} == {11}
    assert str(on_disk.manifest.root / "11.mp4") in broken[0][-1][11][1]


def test_a_worker_survives_ctrl_c_and_its_death_is_told(on_disk, monkeypatch):
    loader_ = train_loader(on_disk, config(short_side_px=48), batch_size=1, workers=1)
    batches = loader_.epoch(0)
    next(batches)
    iterator = loader_._loader._iterator
    monkeypatch.setattr(type(iterator)._try_get_data, "__defaults__", (0.1,))  # looks after 5 s
    pid = iterator._workers[0].pid
    os.kill(pid, signal.SIGINT)  # Ctrl-C reaches workers too; they leave it to their parent
    assert len([next(batches) for _ in range(5)]) == 5
    os.kill(pid, signal.SIGKILL)  # as the kernel does when memory runs out
    with pytest.raises(DataError, match=r"a process that reads videos died$") as caught:
        list(batches)
    assert "--workers" in caught.value.hint


@pytest.mark.parametrize(
    ("raised", "expected", "message"),
    [
        (
            RuntimeError("DataLoader worker (pid 7) is killed"),
            DataError,
            "process that reads .* died",
        ),
        (ConnectionResetError(), DataError, "process that reads videos died"),
        (EOFError(), DataError, "process that reads videos died"),
        (RuntimeError("out of ideas"), RuntimeError, "out of ideas"),
    ],
)
def test_the_death_of_a_worker_is_told_from_other_errors(raised, expected, message):
    def batches():
        yield 1
        raise raised

    guarded = loader._guarded(batches())
    assert next(guarded) == 1
    with pytest.raises(expected, match=message):
        next(guarded)


def parts_of_steps(videos, world_size, accumulate, **changes):
    """For each step, what all processes get: a list of the indices of each part."""
    options = {"batch_size": 12, "world_size": world_size, "accumulate": accumulate, **changes}
    ranks = [
        [batch.indices for batch in train_loader(videos, config(), rank=rank, **options).epoch(1)]
        for rank in range(world_size)
    ]
    steps = len(ranks[0]) // accumulate
    assert {len(parts) for parts in ranks} == {steps * accumulate}
    return [
        [part for parts in ranks for part in parts[step * accumulate : (step + 1) * accumulate]]
        for step in range(steps)
    ]


@pytest.mark.parametrize(("world_size", "accumulate"), [(1, 1), (2, 1), (1, 3), (2, 3), (4, 3)])
def test_all_parts_of_a_step_are_what_one_process_sees(world_size, accumulate):
    videos = make_videos(29)
    whole = [
        sorted(batch.indices) for batch in train_loader(videos, config(), batch_size=12).epoch(1)
    ]
    steps = parts_of_steps(videos, world_size, accumulate)
    assert [sorted(sum(parts, ())) for parts in steps] == whole
    assert {len(part) for parts in steps for part in parts} == {12 // world_size // accumulate}


def test_a_split_smaller_than_a_batch_is_shared_out_too():
    (parts,) = parts_of_steps(make_videos(7), world_size=2, accumulate=2)
    assert sorted(map(len, parts)) == [1, 2, 2, 2]
    assert sorted(sum(parts, ())) == list(range(7))


def test_the_length_of_an_epoch_counts_parts_and_it_can_start_at_any():
    loader_ = train_loader(make_videos(29), config(), batch_size=12, world_size=2, accumulate=3)
    assert len(loader_) == 6
    assert_equal(flat(loader_.epoch(0))[4:], flat(loader_.epoch(0, first_batch=4)))


def test_what_cannot_be_shared_out_is_told():
    message = r"optim\.batch_size \(12\) cannot be shared equally among 5 processes x 2 parts"
    with pytest.raises(RecipeError, match=message):
        train_loader(make_videos(29), config(), batch_size=12, world_size=5, accumulate=2)
    message = r"nowhere: 3 training videos are too few for 2 processes x 2 parts"
    with pytest.raises(DataError, match=message):
        train_loader(make_videos(3), config(), batch_size=12, world_size=2, accumulate=2)
    message = r"nowhere: 3 training videos are too few for 1 process x 4 parts"
    with pytest.raises(DataError, match=message):
        train_loader(make_videos(3), config(), batch_size=12, accumulate=4)


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


def test_multi_scale_crops_have_one_size_and_mirror_as_told():
    assert views_seen(config(train_crop="multi_scale")) == {(i, i, False) for i in range(16)}
    seen = views_seen(config(train_crop="multi_scale", flip="label_aware"))
    left, right = CLASSES.index("left_to_right"), CLASSES.index("right_to_left")
    assert {s[1:3] for s in seen if s[0] == left} == {(left, False), (right, True)}
    batch = next(train_loader(make_videos(16), config(train_crop="multi_scale")).epoch(0))
    assert batch.pixels.shape == (4, 3, 3, 8, 8)


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
    options = {"view": View(3), "batch_size": 4, "workers": 0}
    batches = list(evaluation_batches(make_videos(11), "uniform", test, **options))
    assert [i for batch in batches for i in batch.indices] == list(range(11))
    assert batches[0].pixels.shape == (4, clips * num_crops, 3, 3, 8, 8)
    assert batches[-1].pixels.shape[0] == 3


def test_processes_share_the_videos_of_a_test():
    test = TestConfig(crop_px=8)
    options = {"view": View(3), "batch_size": 4, "workers": 0, "world_size": 2}
    seen = [
        [
            index
            for batch in evaluation_batches(make_videos(11), "uniform", test, rank=rank, **options)
            for index in batch.indices
        ]
        for rank in range(2)
    ]
    assert seen == [[0, 2, 4, 6, 8, 10], [1, 3, 5, 7, 9]]


def test_views_are_crop_major_and_clips_are_the_samplers():
    test = TestConfig(clips=2, crops=3, crop_px=HEIGHT)
    options = {"view": View(3), "batch_size": 1, "workers": 0}
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
    broken = dataclasses.replace(videos, cache=(None, *videos.cache[1:3], None))
    batch = next(train_loader(broken, config()).epoch(0))
    assert sorted(batch.indices) == [1, 2]
    assert batch.broken == {
        0: (0, "nowhere/0.mp4: no such file"),
        3: (3, "nowhere/3.mp4: no such file"),
    }
    only = dataclasses.replace(videos, cache=(None,) * 4)
    assert next(train_loader(only, config()).epoch(0)).indices == ()


def test_a_folder_whose_path_is_too_long_for_a_socket_is_named(monkeypatch):
    def fail():
        raise OSError("AF_UNIX path too long")

    monkeypatch.setattr(loader.forkserver, "ensure_running", fail)
    with pytest.raises(StsmError, match=r"cannot meet there \(AF_UNIX path too long\)") as caught:
        loader._worker_context()
    assert "TMPDIR" in caught.value.hint

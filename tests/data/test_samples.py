from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from stsm_cli.config.generated_sets import SynthConfig
from stsm_cli.config.schema import DataConfig, TestConfig
from stsm_cli.config.view import View
from stsm_cli.data import sampling
from stsm_cli.data.crops import TEST_CROPS
from stsm_cli.data.flow import Flow
from stsm_cli.data.manifest import Manifest, VideoRecord
from stsm_cli.data.motion import MotionCurves
from stsm_cli.data.samples import TestSet, TrainingSet
from stsm_cli.data.synth import CLASSES
from stsm_cli.data.videos import Videos
from stsm_cli.errors import DataError

FRAMES, HEIGHT, WIDTH = 100, 40, 56


@pytest.fixture(scope="module")
def videos():
    """One video whose green is its frame number, blue its column."""
    frames = np.zeros((FRAMES, HEIGHT, WIDTH, 3), dtype=np.uint8)
    frames[..., 1] = np.arange(FRAMES)[:, None, None]
    frames[..., 2] = 4 * np.arange(WIDTH)
    record = VideoRecord("0.mp4", 0, FRAMES, 8.0, WIDTH, HEIGHT)
    manifest = Manifest(Path("nowhere"), "train", CLASSES, (record,))
    return Videos(manifest, HEIGHT, "pyav", cache=(frames,))


def training_samples(videos, **changes):
    values = {"dataset": "synth", "sampling": "uniform", "short_side_px": HEIGHT, "crop_px": 16}
    config = DataConfig(**{**values, "synth": SynthConfig(), "flip": "none", **changes})
    dataset = TrainingSet(videos, config, View(8), seed=0)
    return [dataset[epoch, 0].pixels for epoch in range(20)]


def test_training_takes_a_dense_window(videos):
    frames = np.array([s[:, 0, 0, 1] for s in training_samples(videos, sampling="dense")])
    assert ((np.diff(frames.astype(int), axis=1) % FRAMES) == 64 // 8).all()
    assert len(set(frames[:, 0].tolist())) > 5


def test_training_takes_one_frame_of_each_segment(videos):
    frames = np.array([s[:, 0, 0, 1] for s in training_samples(videos)]).astype(int)
    assert (frames // (FRAMES // 8) == np.arange(8)).mean() > 0.9
    assert len(set(np.diff(frames, axis=1).ravel().tolist())) > 5


@pytest.mark.parametrize("crop", ["ten_crop", "multi_scale", "random"])
def test_a_training_sample_says_what_it_is_of(videos, crop):
    values = {"dataset": "synth", "sampling": "dense", "short_side_px": HEIGHT, "crop_px": 16}
    config = DataConfig(**values, synth=SynthConfig(), train_crop=crop, flip="plain")
    dataset = TrainingSet(videos, config, View(8), seed=0)
    mirrored = set()
    for epoch in range(20):
        sample = dataset[epoch, 0]
        assert sample.frame_indices.tolist() == sample.pixels[:, 0, 0, 1].tolist()
        (box,) = sample.boxes
        ends = sorted(sample.pixels[0, 0, [0, -1], 2] / 4)
        assert ends == pytest.approx([box.x1, box.x2 - 1], abs=1)  # where it is resized
        assert (sample.pixels[0, 0, 0, 2] > sample.pixels[0, 0, -1, 2]) == box.mirrored
        mirrored.add(box.mirrored)
    assert mirrored == {False, True}


@pytest.mark.parametrize("crops", [1, 3, 10])
def test_a_test_sample_says_what_its_views_are_of(videos, crops):
    test = TestConfig(clips=10, crops=crops, crop_px=16)
    sample = TestSet(videos, "dense", test, View(8))[0]
    assert sample.frame_indices.tolist() == sampling.dense_test(FRAMES, 8, 10).tolist()
    assert sample.boxes == tuple(TEST_CROPS[crops](HEIGHT, WIDTH, 16))
    for view, pixels in enumerate(sample.pixels):
        box, clip = sample.boxes[view // 10], sample.frame_indices[view % 10]
        assert pixels[:, 0, 0, 1].tolist() == clip.tolist()
        columns = pixels[0, 0, :, 2] // 4
        assert sorted(columns) == list(range(box.x1, box.x2))
        assert (columns[0] > columns[-1]) == box.mirrored


def in_the_last_ten(videos):
    """`videos`, of which nothing moves but the last ten frames."""
    curve = np.zeros(FRAMES - 1, np.float16)
    curve[-10:] = 1
    return replace(videos, motion=MotionCurves.of([curve]))


def test_training_follows_motion(videos):
    samples = training_samples(in_the_last_ten(videos), sampling="motion")
    frames = np.array([pixels[:, 0, 0, 1] for pixels in samples])
    assert (frames[:, 1:] >= FRAMES - 11).all()
    assert len(set(frames.ravel().tolist())) > 5


@pytest.mark.parametrize("clips", [1, 2])
def test_a_test_follows_motion(videos, clips):
    moving = in_the_last_ten(videos)
    test = TestConfig(clips=clips, crops=1, crop_px=16)
    views = TestSet(moving, "motion", test, View(8))[0].pixels
    expected = sampling.motion_test(moving.curve(0), 8, twice=clips == 2)
    assert (views[:, :, 0, 0, 1] == expected).all()


def test_a_video_whose_motion_cannot_be_measured_is_broken(videos):
    broken = replace(videos, motion=MotionCurves.of([DataError("0.mp4: does not decode")]))
    test = TestConfig(clips=1, crops=1, crop_px=16)
    sample = TestSet(broken, "motion", test, View(8))[0]
    assert (sample.pixels, sample.error) == (None, "0.mp4: does not decode")
    config = DataConfig(dataset="k400", sampling="motion", short_side_px=HEIGHT, crop_px=16)
    sample = TrainingSet(broken, config, View(8), seed=0)[0, 0]
    assert (sample.pixels, sample.error) == (None, "0.mp4: does not decode")


@pytest.mark.parametrize("clips", [1, 10])
def test_a_test_takes_dense_clips(videos, clips):
    test = TestConfig(clips=clips, crops=1, crop_px=16)
    views = TestSet(videos, "dense", test, View(8))[0].pixels
    assert views.shape == (clips, 8, 16, 16, 3)
    assert (views[:, :, 0, 0, 1] == sampling.dense_test(FRAMES, 8, positions=clips)).all()


def test_multi_scale_crops_are_resized(videos):
    samples = training_samples(videos, train_crop="multi_scale")
    assert {pixels.shape for pixels in samples} == {(8, 16, 16, 3)}
    widths = {int(pixels[0, 0, -1, 2]) - int(pixels[0, 0, 0, 2]) for pixels in samples}
    assert len(widths) > 1
    assert {int(p[0, 0, -1, 2]) - int(p[0, 0, 0, 2]) for p in training_samples(videos)} == {4 * 15}


def corners(videos, **changes):
    """First and last column and the width of each training sample's crop."""
    for pixels in training_samples(videos, train_crop="random", **changes):
        first, last = int(pixels[0, 0, 0, 2]), int(pixels[0, 0, -1, 2])
        yield first // 4, last // 4


def test_random_crops_lie_anywhere(videos):
    found = list(corners(videos))
    assert {last - first for first, last in found} == {15}
    assert len({first for first, _ in found}) > 10
    mirrored = [first > last for first, last in corners(videos, flip="plain")]
    assert 0 < sum(mirrored) < len(mirrored)


def test_a_picture_drawn_larger_shows_less_of_itself(videos):
    widths = {last - first for first, last in corners(videos, jitter_px=(40, 80))}
    assert 7 <= min(widths) < 10
    assert 12 < max(widths) <= 15
    assert {last - first for first, last in corners(videos, jitter_px=(80, 80))} <= {6, 7}


@pytest.mark.parametrize("jitter", [None, (256, 320)])
def test_what_is_drawn_is_the_same_again(videos, jitter):
    changes = {"short_side_px": HEIGHT, "crop_px": 16, "jitter_px": jitter}
    first, second = (list(corners(videos, **changes)) for _ in range(2))
    assert first == second


@pytest.fixture(scope="module")
def flow():
    """One video of flow that goes to the right on its left half: x is 20 levels above rest."""
    fields = np.full((FRAMES - 1, HEIGHT, HEIGHT, 2), 128, dtype=np.uint8)
    fields[:, :, : HEIGHT // 2, 0] += 20
    fields[..., 1] += 7
    record = VideoRecord("0.mp4", 0, FRAMES, 8.0, HEIGHT, HEIGHT)
    manifest = Manifest(Path("nowhere"), "train", CLASSES, (record,))
    return Videos(manifest, HEIGHT, "pyav", cache=(fields,), flow=Flow("dis", 2))


FLOW = View(4, mean=(128.0,) * 4, std=(127.0,) * 4, flow_fields=2)
TO_THE_RIGHT, TO_THE_LEFT = [148, 135, 148, 135], [108, 135, 108, 135]
AT_REST = [128, 135, 128, 135]


def test_in_a_mirror_image_of_flow_right_is_left(flow):
    views = TestSet(flow, "uniform", TestConfig(clips=1, crops=10, crop_px=HEIGHT), FLOW)[0].pixels
    assert views.shape == (10, 4, HEIGHT, HEIGHT, 4)
    for plain, mirrored in (views[i : i + 2] for i in range(0, 10, 2)):
        assert plain[0, 0, [0, -1]].tolist() == [TO_THE_RIGHT, AT_REST]
        assert mirrored[0, 0, [0, -1]].tolist() == [AT_REST, TO_THE_LEFT]


def test_training_sees_both(flow):
    values = {"dataset": "synth", "sampling": "uniform", "short_side_px": HEIGHT}
    config = DataConfig(**values, crop_px=HEIGHT, synth=SynthConfig(), flip="plain")
    dataset = TrainingSet(flow, config, FLOW, seed=0)
    seen = {str(dataset[epoch, 0].pixels[0, 0, [0, -1]].tolist()) for epoch in range(20)}
    assert seen == {str([TO_THE_RIGHT, AT_REST]), str([AT_REST, TO_THE_LEFT])}


def test_resized_crops_of_flow_keep_their_values(flow):
    values = {"dataset": "synth", "sampling": "uniform", "short_side_px": HEIGHT, "crop_px": 16}
    config = DataConfig(**values, synth=SynthConfig(), train_crop="multi_scale", flip="none")
    dataset = TrainingSet(flow, config, FLOW, seed=0)
    for epoch in range(20):
        pixels = dataset[epoch, 0].pixels
        assert pixels.shape == (4, 16, 16, 4)
        assert set(pixels[..., 0].ravel().tolist()) <= set(range(128, 149))
        assert set(pixels[..., 1].ravel().tolist()) == {135}

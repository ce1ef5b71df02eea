import numpy as np
import pytest

from stsm_cli.config.generated_sets import SynthConfig
from stsm_cli.data.catalog import load_card, partner_labels
from stsm_cli.data.mirror import find_mirror
from stsm_cli.data.render import render
from stsm_cli.data.synth_scenes import CLASSES, draw_scene, frame_size, make_frames, orient

TINY = SynthConfig(train=16, val=16, frames=4, short_side_px=32)
CLEAN = SynthConfig(difficulty=0.0, short_side_px=100)
SEEDS = range(25)
LABELS = range(len(CLASSES))


def any_frames():
    return np.random.default_rng(0).integers(0, 256, (4, 6, 8, 3), np.uint8)


def actors(first_class, seed):
    scene = draw_scene(CLASSES.index(first_class), CLEAN, np.random.default_rng(seed))
    return scene.sprites


def rise(values):
    return float(values[-1] - values[0])


@pytest.mark.parametrize("is_mirrored", [False, True])
@pytest.mark.parametrize("label", LABELS)
def test_playing_backwards_gives_the_other_class_of_the_pair(label, is_mirrored):
    other = partner_labels(load_card("synth"), CLASSES)[label]
    assert other == label ^ 1
    frames = orient(any_frames(), label, is_mirrored=is_mirrored)
    reversed_ = orient(any_frames(), other, is_mirrored=is_mirrored)
    np.testing.assert_array_equal(frames[::-1], reversed_)


@pytest.mark.parametrize("is_mirrored", [False, True])
@pytest.mark.parametrize("label", LABELS)
def test_mirroring_gives_the_class_that_the_card_says(label, is_mirrored):
    other = find_mirror("synth", CLASSES).labels(CLASSES)[label]
    frames = orient(any_frames(), label, is_mirrored=is_mirrored)
    mirrored = orient(any_frames(), other, is_mirrored=not is_mirrored)
    np.testing.assert_array_equal(frames[:, :, ::-1], mirrored)


def test_the_first_class_of_a_pair_is_drawn_as_it_is():
    for label in LABELS[::2]:
        np.testing.assert_array_equal(orient(any_frames(), label, is_mirrored=False), any_frames())


def test_videos_of_a_pair_show_the_oriented_scene():
    sides = set()
    for index in range(64):
        frames, label = make_frames(TINY, "val", index)
        assert label == index % 16
        rng = np.random.default_rng([0, 1, index])
        is_mirrored = bool(rng.integers(2))
        sides.add(is_mirrored)
        drawn = render(draw_scene(label // 2 * 2, TINY, rng))
        np.testing.assert_array_equal(frames, orient(drawn, label, is_mirrored=is_mirrored))
    assert sides == {False, True}


def test_a_video_depends_on_seed_split_and_number_alone():
    frames, _ = make_frames(TINY, "train", 5)
    np.testing.assert_array_equal(make_frames(TINY, "train", 5)[0], frames)
    larger = TINY.model_copy(update={"train": 999})
    np.testing.assert_array_equal(make_frames(larger, "train", 5)[0], frames)
    others = [(TINY, "val", 5), (TINY, "train", 21)]
    others.append((TINY.model_copy(update={"seed": 1}), "train", 5))
    assert all((make_frames(*other)[0] != frames).any() for other in others)


@pytest.mark.parametrize("short_side_px", [2, 18, 96, 240])
def test_both_sides_are_even(short_side_px):
    height, width = frame_size(SynthConfig(short_side_px=short_side_px))
    assert (height, width % 2) == (short_side_px, 0)
    assert width == pytest.approx(7 / 6 * height, abs=1)


@pytest.mark.parametrize("seed", SEEDS)
def test_translation(seed):
    (actor,) = actors("left_to_right", seed)
    assert rise(actor.x) > 25 > 12 > abs(rise(actor.y))
    (actor,) = actors("downward", seed)
    assert rise(actor.y) > 22 > 12 > abs(rise(actor.x))


@pytest.mark.parametrize("seed", SEEDS)
def test_approach_rotate_appear(seed):
    (actor,) = actors("approach", seed)
    assert actor.scale[-1] / actor.scale[0] > 1.3
    (actor,) = actors("rotate_cw", seed)
    assert rise(actor.angle) > np.radians(45)
    assert np.abs(np.diff(actor.angle[::4])).max() < np.radians(80)  # eight samples see the sense
    (actor,) = actors("appear", seed)
    assert rise(actor.opacity) > 0.8


@pytest.mark.parametrize("seed", SEEDS)
def test_together_and_cover(seed):
    for name in ("together", "cover"):
        first, second = actors(name, seed)
        distance = np.hypot(first.x - second.x, first.y - second.y)
        assert rise(distance) < -20
    assert distance[-1] + first.radius < second.radius * 1.2


@pytest.mark.parametrize("seed", SEEDS)
def test_the_left_one_hops_first(seed):
    left, right = actors("left_first", seed)
    assert (left.x < right.x).all()
    assert left.y.argmin() < right.y.argmin()
    assert min(np.ptp(left.y), np.ptp(right.y)) > 10


@pytest.mark.parametrize("name", CLASSES[::2])
def test_actors_stay_in_the_picture(name):
    height, width = frame_size(CLEAN)
    for seed in SEEDS:
        for actor in actors(name, seed):
            assert (actor.x.min() > -2) & (actor.x.max() < width + 2)
            assert (actor.y.min() > -2) & (actor.y.max() < height + 2)


def test_difficulty_scales_everything_that_distracts():
    rngs = [np.random.default_rng(3) for _ in range(2)]
    easy = draw_scene(0, TINY.model_copy(update={"difficulty": 0.0}), rngs[0])
    hard = draw_scene(0, TINY.model_copy(update={"difficulty": 1.0}), rngs[1])
    assert (len(easy.sprites), np.ptp(easy.camera), np.ptp(easy.noise)) == (1, 0, 0)
    assert np.ptp(easy.gain) == 0
    assert np.ptp(hard.camera) > 0.5
    assert np.abs(hard.camera).max() < hard.margin
    assert min(np.ptp(hard.gain), np.ptp(hard.noise)) > 0.05
    counts = [
        len(draw_scene(0, SynthConfig(difficulty=1.0), np.random.default_rng(seed)).sprites)
        for seed in range(12)
    ]
    assert set(counts) == {1, 2, 3, 4}

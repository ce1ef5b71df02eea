import numpy as np
import pytest

from stsm_cli.config.generated_sets import ScenesConfig
from stsm_cli.data.catalog import load_card, partner_labels, swapped_labels
from stsm_cli.data.digits import _pictures
from stsm_cli.data.mirror import find_mirror
from stsm_cli.data.render import render
from stsm_cli.data.scenes import CLASSES, draw_scene, frame_shape, make_frames

TINY = ScenesConfig(train=24, val=24, test=24, frames=16, short_side_px=32)
CLEAN = ScenesConfig(difficulty=0.0, short_side_px=100)
SEEDS = range(12)


def actors(name, seed):
    return draw_scene(CLASSES.index(name), CLEAN, "train", np.random.default_rng(seed)).sprites


def there(actor):
    """Frames in which an actor is wholly there."""
    return np.flatnonzero(actor.opacity == 1)


def rise(values, actor):
    at = there(actor)
    return float(values[at[-1]] - values[at[0]])


def extent(values, actor):
    return float(np.ptp(values[there(actor)]))


@pytest.mark.parametrize("name", CLASSES)
def test_the_action_takes_50_to_80_frames_of_128_within_the_picture(name):
    _, height, width = frame_shape(CLEAN)
    for seed in SEEDS:
        for actor in actors(name, seed):
            seen = np.flatnonzero(actor.opacity)
            assert 48 <= len(seen) <= 81
            assert np.ptp(seen) == len(seen) - 1
            assert actor.opacity[0] == actor.opacity[-1] == 0
            assert (actor.x[seen].min() > -3) & (actor.x[seen].max() < width + 3)
            assert (actor.y[seen].min() > -3) & (actor.y[seen].max() < height + 3)


def test_actions_begin_anywhere_in_the_video_and_the_picture():
    begun = [np.flatnonzero(actors("four", seed)[0].opacity)[0] for seed in range(40)]
    places = [actors("four", seed)[0].x[64] for seed in range(40)]
    assert np.ptp(begun) > 30
    assert 15 < np.ptp(places) < 40  # of 72: crops of a wide picture cut what is farther out


@pytest.mark.parametrize("name", CLASSES)
def test_a_mirrored_video_shows_the_class_whose_image_is_wanted(name):
    label = CLASSES.index(name)
    image = int(find_mirror("scenes", CLASSES).labels(CLASSES)[label])
    sides = set()
    for index in range(label, label + 24 * 12, 24):
        frames, found = make_frames(TINY, "test", index)
        rng = np.random.default_rng([0, 2, index])
        is_mirrored = bool(rng.integers(2))
        drawn = render(draw_scene(image if is_mirrored else label, TINY, "test", rng))
        np.testing.assert_array_equal(frames, drawn[:, :, ::-1] if is_mirrored else drawn)
        assert found == label
        sides.add(is_mirrored)
    assert sides == {False, True}


def test_the_card_pairs_neighbours_by_what_tells_them_apart():
    card = load_card("scenes")
    pairs = [pair for factor in card.factors.values() for pair in factor]
    assert pairs == list(zip(CLASSES[::2], CLASSES[1::2], strict=True))
    assert list(card.factors) == ["appearance", "motion", "both"]
    assert partner_labels(card, CLASSES).tolist() == [label ^ 1 for label in range(24)]
    reversed_ = swapped_labels("card", card.reverse_pairs, CLASSES)
    assert [CLASSES[i] for i in range(24) if reversed_[i] == i] == [
        *CLASSES[:8],
        *CLASSES[16:20],
    ]


@pytest.mark.parametrize("seed", SEEDS)
def test_the_ell_turns_the_other_way_than_the_jay(seed):
    for name, sense in (("ell", 1), ("jay", -1)):
        places = [np.array([part.x[64], part.y[64]]) for part in actors(name, seed)]
        along, foot = places[2] - places[0], places[3] - places[2]
        assert sense * (along[0] * foot[1] - along[1] * foot[0]) < 0


@pytest.mark.parametrize("seed", SEEDS)
def test_equal_digits_stand_beside_each_other_in_rows_and_across_in_diagonals(seed):
    for name, nearest in (("rows", 1.0), ("diagonals", 2**0.5)):
        parts = actors(name, seed)
        places = np.array([[part.x[64], part.y[64]] for part in parts])
        side = np.sort(np.hypot(*(places - places[0]).T))[1]
        pairs = ((0, 1), (2, 3)) if name == "rows" else ((0, 3), (1, 2))
        for first, second in pairs:
            apart = np.hypot(*(places[first] - places[second]))
            assert apart / side == pytest.approx(nearest, abs=0.25)


@pytest.mark.parametrize("seed", SEEDS)
def test_motions(seed):
    (actor,) = actors("rightward", seed)
    assert rise(actor.x, actor) > 30 > 15 > abs(rise(actor.y, actor))
    (actor,) = actors("leftward", seed)
    assert rise(actor.x, actor) < -30
    (actor,) = actors("downward", seed)
    assert rise(actor.y, actor) > 25
    (actor,) = actors("upward", seed)
    assert rise(actor.y, actor) < -25
    (actor,) = actors("approach", seed)
    assert rise(np.log(actor.scale), actor) > 0.4
    (actor,) = actors("recede", seed)
    assert rise(np.log(actor.scale), actor) < -0.4
    for name, sense in (("together", -1), ("apart", 1)):
        first, second = actors(name, seed)
        assert sense * rise(np.hypot(first.x - second.x, first.y - second.y), first) > 25


@pytest.mark.parametrize("seed", SEEDS)
def test_the_one_that_is_named_acts(seed):
    for second, digit in enumerate(("zero", "one")):
        mover, stander = actors(f"{digit}_moves", seed)
        assert extent(mover.y, mover) > 20 > extent(stander.y, stander)
        assert digit_of(mover) == second == 1 - digit_of(stander)
        early, late = actors(f"{digit}_first", seed)
        assert digit_of(early) == second == 1 - digit_of(late)
        peaks = [np.abs(hop.y - hop.y[there(hop)[0]])[there(hop)].argmax() for hop in (early, late)]
        assert peaks[0] < peaks[1]
        right, left = actors(f"{digit}_rightward", seed)
        assert digit_of(right) == second == 1 - digit_of(left)
        assert rise(right.x, right) > 30 > -30 > rise(left.x, left)


def digit_of(sprite):
    """The digit of the sample that a sprite shows."""
    pictures, targets = _pictures("train")
    shown = sprite.shape.args[0]
    return int(targets[(pictures == shown).all((1, 2)).argmax()])


@pytest.mark.parametrize("seed", SEEDS)
def test_the_one_that_moves_passes_above_or_below(seed):
    for name, sense in (("passes_above", -1), ("passes_below", 1)):
        stander, mover = actors(name, seed)
        assert extent(mover.x, mover) > 40 > extent(stander.x, stander)
        at = there(mover)
        meeting = at[np.abs(mover.x[at] - stander.x[at]).argmin()]
        assert sense * (mover.y[meeting] - stander.y[meeting]) > 15


def test_size_and_motion_scale_the_actors():
    small = CLEAN.model_copy(update={"size": 0.5, "motion": 0.5})
    large, less = (
        draw_scene(8, config, "train", np.random.default_rng(0)).sprites[0]
        for config in (CLEAN, small)
    )
    assert less.radius / small.size == pytest.approx(large.radius / CLEAN.size)
    assert rise(less.x, less) < 0.7 * rise(large.x, large)


def test_draw_and_split_are_part_of_what_is_drawn():
    frames, _ = make_frames(TINY, "train", 5)
    np.testing.assert_array_equal(make_frames(TINY, "train", 5)[0], frames)
    others = [
        (TINY, "val", 5),
        (TINY, "test", 5),
        (TINY.model_copy(update={"draw": 1}), "train", 5),
    ]
    assert all((make_frames(*other)[0] != frames).any() for other in others)

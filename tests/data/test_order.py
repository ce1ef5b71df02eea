import numpy as np
import pytest

from stsm_cli.config.generated_sets import OrderConfig
from stsm_cli.data.catalog import load_card, partner_labels
from stsm_cli.data.mirror import find_mirror
from stsm_cli.data.order import CLASSES, draw_scene, frame_shape, make_frames
from stsm_cli.data.render import SHAPES, render

TINY = OrderConfig(train=16, val=16, test=16, frames=8, short_side_px=32)
CLEAN = OrderConfig(difficulty=0.0, short_side_px=100)
SEEDS = range(20)
LABELS = range(len(CLASSES))


def actors(first_class, seed):
    return draw_scene(CLASSES.index(first_class), CLEAN, np.random.default_rng(seed)).sprites


def rise(values):
    return float(values[-1] - values[0])


def way_of(actor):
    """Length of the way from the first place, over time."""
    return np.hypot(actor.x - actor.x[0], actor.y - actor.y[0])


def turning(actor):
    """Sense in which a track turns: positive is clockwise on the screen."""
    dx, dy = np.diff(actor.x[::6]), np.diff(actor.y[::6])
    return float((dx[:-1] * dy[1:] - dy[:-1] * dx[1:]).sum())


@pytest.mark.parametrize("label", LABELS)
def test_a_video_is_its_pair_s_process_turned_by_the_coin_and_the_label(label):
    sides, is_second = set(), label % 2 == 1
    swaps = find_mirror("order", CLASSES).labels(CLASSES)[label] != label
    for index in range(label, label + 192, 16):
        frames, found = make_frames(TINY, "val", index)
        rng = np.random.default_rng([0, 1, index])
        is_mirrored = bool(rng.integers(2))
        drawn = render(draw_scene(label - label % 2, TINY, rng))
        drawn = drawn[:, :, ::-1] if is_mirrored else drawn
        is_reversed = is_second != (is_mirrored and swaps)
        np.testing.assert_array_equal(frames, drawn[::-1] if is_reversed else drawn)
        assert found == label
        sides.add(is_mirrored)
    assert sides == {False, True}


def test_neighbours_are_each_other_s_reversal():
    assert partner_labels(load_card("order"), CLASSES).tolist() == [label ^ 1 for label in LABELS]


@pytest.mark.parametrize("seed", SEEDS)
def test_what_turns_turns_clockwise(seed):
    (actor,) = actors("orbit_cw", seed)
    assert turning(actor) > 0
    (actor,) = actors("rotate_cw", seed)
    assert rise(actor.angle) > np.radians(60)
    assert np.abs(np.diff(actor.angle[::6])).max() < np.radians(90)  # eight samples see the sense


@pytest.mark.parametrize("seed", SEEDS)
def test_the_left_one_hops_first(seed):
    left, right = actors("left_first", seed)
    assert (left.x < right.x).all()
    hops = [int(way_of(actor).argmax()) for actor in (left, right)]
    assert hops[0] < hops[1]


@pytest.mark.parametrize("seed", SEEDS)
def test_out_quickly_and_back_slowly(seed):
    (actor,) = actors("quick_out", seed)
    way = way_of(actor)
    assert way.max() > 20
    far = way > 0.2 * way.max()
    peak = int(way.argmax())
    assert far[:peak].sum() < far[peak:].sum() / 1.2


@pytest.mark.parametrize("seed", SEEDS)
def test_the_strong_pulse_comes_first(seed):
    (actor,) = actors("strong_first", seed)
    swelling = np.abs(np.log(actor.scale / actor.scale[0]))
    half = np.flatnonzero(swelling > 0.35)  # the strong pulse alone reaches so far
    assert len(half)
    assert half.mean() < 0.6 * len(swelling)


@pytest.mark.parametrize("seed", SEEDS)
def test_sideways_then_upright(seed):
    (actor,) = actors("sideways_first", seed)
    when = [np.average(np.arange(47), weights=np.abs(np.diff(axis))) for axis in (actor.x, actor.y)]
    assert when[0] < when[1]


@pytest.mark.parametrize("seed", SEEDS)
def test_it_speeds_up(seed):
    (actor,) = actors("speeding_up", seed)
    way = way_of(actor)
    assert way[-1] > 40
    assert way[len(way) // 2] < 0.35 * way[-1]


@pytest.mark.parametrize("seed", SEEDS)
def test_the_disc_leads(seed):
    disc, star = actors("disc_leads", seed)
    assert (disc.shape, star.shape) == (SHAPES["disc"], SHAPES["star"])
    ahead = (disc.x[0] - star.x[0], disc.y[0] - star.y[0])
    assert rise(star.x) * ahead[0] + rise(star.y) * ahead[1] > 0


@pytest.mark.parametrize("name", CLASSES[::2])
def test_actors_stay_in_the_picture(name):
    _, height, width = frame_shape(CLEAN)
    for seed in SEEDS:
        for actor in actors(name, seed):
            assert (actor.x.min() > -3) & (actor.x.max() < width + 3)
            assert (actor.y.min() > -3) & (actor.y.max() < height + 3)


def test_less_motion_moves_less():
    less = CLEAN.model_copy(update={"motion": 0.5})
    for label in (0, 4, 6, 10, 14):
        far, near = (
            max(way_of(a).max() for a in draw_scene(label, c, np.random.default_rng(1)).sprites)
            for c in (CLEAN, less)
        )
        assert near < 0.8 * far


def test_draw_and_split_are_part_of_what_is_drawn():
    frames, _ = make_frames(TINY, "train", 5)
    np.testing.assert_array_equal(make_frames(TINY, "train", 5)[0], frames)
    others = [
        (TINY, "val", 5),
        (TINY, "test", 5),
        (TINY.model_copy(update={"draw": 1}), "train", 5),
    ]
    assert all((make_frames(*other)[0] != frames).any() for other in others)

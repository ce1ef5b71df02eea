from itertools import product
from typing import get_args

import numpy as np
import pytest
import torch

from stsm_cli.config.kinds import NumClips
from stsm_cli.config.schema import Sampling, sampling_limits
from stsm_cli.config.view import View
from stsm_cli.data import sampling
from stsm_cli.data.sampling import (
    SAMPLERS,
    dense_test,
    dense_train,
    motion_test,
    motion_train,
    slowfast_dense_test,
    slowfast_dense_train,
    slowfast_uniform_test,
    slowfast_uniform_train,
    tpn_dense_test,
    tpn_dense_train,
    train_indices,
    uniform_spread,
    uniform_test,
    uniform_train,
)

# (total, num_frames): middles of the segments | starts of the segments
UNIFORM_TEST = {
    (1, 8): "0 0 0 0 0 0 0 0 | 0 0 0 0 0 0 0 0",
    (4, 8): "0 0 1 1 2 2 3 3 | 0 0 1 1 2 2 3 3",
    (7, 8): "0 1 2 3 3 4 5 6 | 0 0 1 2 3 4 5 6",
    (8, 8): "0 1 2 3 4 5 6 7 | 0 1 2 3 4 5 6 7",
    (30, 8): "1 5 9 13 16 20 24 28 | 0 3 7 11 15 18 22 26",
    (63, 8): "3 11 19 27 35 43 51 59 | 0 7 15 23 31 39 47 55",
    (64, 8): "4 12 20 28 36 44 52 60 | 0 8 16 24 32 40 48 56",
    (65, 8): "4 12 20 28 36 44 52 60 | 0 8 16 24 32 40 48 56",
    (300, 8): "18 56 93 131 168 206 243 281 | 0 37 75 112 150 187 225 262",
    (1, 16): "0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 | 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0",
    (4, 16): "0 0 0 0 1 1 1 1 2 2 2 2 3 3 3 3 | 0 0 0 0 1 1 1 1 2 2 2 2 3 3 3 3",
    (7, 16): "0 0 1 1 1 2 2 3 3 4 4 5 5 5 6 6 | 0 0 0 1 1 2 2 3 3 3 4 4 5 5 6 6",
    (8, 16): "0 0 1 1 2 2 3 3 4 4 5 5 6 6 7 7 | 0 0 1 1 2 2 3 3 4 4 5 5 6 6 7 7",
    (30, 16): "0 2 4 6 8 10 12 14 15 17 19 21 23 25 27 29 | "
    "0 1 3 5 7 9 11 13 15 16 18 20 22 24 26 28",
    (63, 16): "1 5 9 13 17 21 25 29 33 37 41 45 49 53 57 61 | "
    "0 3 7 11 15 19 23 27 31 35 39 43 47 51 55 59",
    (64, 16): "2 6 10 14 18 22 26 30 34 38 42 46 50 54 58 62 | "
    "0 4 8 12 16 20 24 28 32 36 40 44 48 52 56 60",
    (65, 16): "2 6 10 14 18 22 26 30 34 38 42 46 50 54 58 62 | "
    "0 4 8 12 16 20 24 28 32 36 40 44 48 52 56 60",
    (300, 16): "9 28 46 65 84 103 121 140 159 178 196 215 234 253 271 290 | "
    "0 18 37 56 75 93 112 131 150 168 187 206 225 243 262 281",
}
# (total, num_frames): a video with fewer frames than asked for
UNIFORM_TRAIN_SHORT = {
    (1, 8): "0 0 0 0 0 0 0 0",
    (4, 8): "0 0 1 2 2 2 3 0",
    (7, 8): "0 1 2 3 4 4 5 6",
    (1, 16): "0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0",
    (4, 16): "0 0 0 1 1 1 2 2 2 2 2 3 3 3 0 0",
    (7, 16): "0 0 1 1 2 2 3 3 4 4 4 5 5 6 6 0",
    (8, 16): "0 0 1 2 2 2 3 4 4 4 5 6 6 6 7 0",
    (15, 16): "0 1 2 3 4 5 6 7 8 8 9 10 11 12 13 14",
}
# (total, num_frames): first | last of the ten windows
DENSE_TEST = {
    (1, 8): "0 0 0 0 0 0 0 0 | 0 0 0 0 0 0 0 0",
    (4, 8): "0 0 0 0 0 0 0 0 | 0 0 0 0 0 0 0 0",
    (7, 8): "0 1 2 3 4 5 6 0 | 0 1 2 3 4 5 6 0",
    (8, 8): "0 0 0 0 0 0 0 0 | 0 0 0 0 0 0 0 0",
    (30, 8): "0 8 16 24 2 10 18 26 | 0 8 16 24 2 10 18 26",
    (63, 8): "0 8 16 24 32 40 48 56 | 0 8 16 24 32 40 48 56",
    (64, 8): "0 8 16 24 32 40 48 56 | 0 8 16 24 32 40 48 56",
    (65, 8): "0 8 16 24 32 40 48 56 | 1 9 17 25 33 41 49 57",
    (300, 8): "0 8 16 24 32 40 48 56 | 236 244 252 260 268 276 284 292",
    (1, 16): "0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 | 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0",
    (4, 16): "0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 | 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0",
    (7, 16): "0 4 1 5 2 6 3 0 4 1 5 2 6 3 0 4 | 0 4 1 5 2 6 3 0 4 1 5 2 6 3 0 4",
    (8, 16): "0 4 0 4 0 4 0 4 0 4 0 4 0 4 0 4 | 0 4 0 4 0 4 0 4 0 4 0 4 0 4 0 4",
    (30, 16): "0 4 8 12 16 20 24 28 2 6 10 14 18 22 26 0 | "
    "0 4 8 12 16 20 24 28 2 6 10 14 18 22 26 0",
    (63, 16): "0 4 8 12 16 20 24 28 32 36 40 44 48 52 56 60 | "
    "0 4 8 12 16 20 24 28 32 36 40 44 48 52 56 60",
    (64, 16): "0 4 8 12 16 20 24 28 32 36 40 44 48 52 56 60 | "
    "0 4 8 12 16 20 24 28 32 36 40 44 48 52 56 60",
    (65, 16): "0 4 8 12 16 20 24 28 32 36 40 44 48 52 56 60 | "
    "1 5 9 13 17 21 25 29 33 37 41 45 49 53 57 61",
    (300, 16): "0 4 8 12 16 20 24 28 32 36 40 44 48 52 56 60 | "
    "236 240 244 248 252 256 260 264 268 272 276 280 284 288 292 296",
}
LENGTHS = range(1, 401)


def lists(text):
    return [[int(number) for number in part.split()] for part in text.split("|")]


def in_range(indices, total, shape):
    assert indices.dtype == np.int64
    assert indices.shape == shape
    assert indices.min() >= 0
    assert indices.max() < total


@pytest.mark.parametrize("key", UNIFORM_TEST)
def test_uniform_test_literally(key):
    middles, starts = lists(UNIFORM_TEST[key])
    assert uniform_test(*key).tolist() == [middles]
    assert uniform_test(*key, twice=True).tolist() == [middles, starts]


@pytest.mark.parametrize("key", UNIFORM_TRAIN_SHORT)
def test_uniform_train_of_short_videos_literally(key):
    for seed in range(3):  # no chance in it
        rng = np.random.default_rng(seed)
        assert uniform_train(*key, rng).tolist() == lists(UNIFORM_TRAIN_SHORT[key])


@pytest.mark.parametrize("key", DENSE_TEST)
def test_dense_test_literally(key):
    clips = dense_test(*key)
    assert clips.shape == (10, key[1])
    assert [clips[0].tolist(), clips[-1].tolist()] == lists(DENSE_TEST[key])


def test_dense_starts_are_spread_evenly_and_floored():
    assert dense_test(300, 8)[:, 0].tolist() == [0, 26, 52, 78, 104, 131, 157, 183, 209, 236]
    assert dense_test(65, 8)[:, 0].tolist() == [0] * 9 + [1]
    assert dense_test(300, 8, positions=3)[:, 0].tolist() == [0, 118, 236]


def test_one_dense_clip_is_the_first_window():
    assert dense_test(300, 8, positions=1).tolist() == [list(range(0, 64, 8))]
    assert dense_test(67, 8, positions=1)[0, 0] == 0
    assert dense_test(30, 8, positions=1).tolist() == lists("0 8 16 24 2 10 18 26")


@pytest.mark.parametrize("num_frames", [8, 16])
def test_uniform_test_equals_the_integer_formula_for_every_length(num_frames):
    i = np.arange(num_frames)
    for total in LENGTHS:
        expected = [(2 * i + 1) * total // (2 * num_frames), i * total // num_frames]
        clips = uniform_test(total, num_frames, twice=True)
        in_range(clips, total, (2, num_frames))
        assert (clips == expected).all()


def test_segments_that_floating_point_cannot_divide_follow_the_reference():
    # 28 frames in 10 segments: the middle of the eighth is 21, in floating point a hair less
    assert uniform_test(28, 10).tolist() == lists("1 4 7 9 12 15 18 20 23 26")
    assert uniform_test(6, 7).tolist() == lists("0 1 2 2 3 4 5")


@pytest.mark.parametrize("num_frames", [1, 8, 16])
def test_uniform_train_draws_from_each_segment(num_frames):
    rng = np.random.default_rng(0)
    for total in LENGTHS:
        indices = uniform_train(total, num_frames, rng)
        in_range(indices, total, (1, num_frames))
        length = total // num_frames
        if length:
            segments = np.arange(num_frames)
            assert (indices // length == segments).all()
        else:
            body = np.trim_zeros(indices[0], "b")  # the end may wrap to frame 0
            assert (np.diff(body) >= 0).all()


def test_uniform_train_draws_every_frame_but_the_tail_equally_often():
    rng = np.random.default_rng(0)
    drawn = np.concatenate([uniform_train(30, 8, rng)[0] for _ in range(3000)])
    counts = np.bincount(drawn, minlength=30)
    assert counts[24:].tolist() == [0] * 6
    assert (abs(counts[:24] - 1000) < 130).all()  # 5 standard deviations


@pytest.mark.parametrize("num_frames", [1, 8, 16, 64])
def test_dense_windows_are_evenly_spaced_for_every_length(num_frames):
    rng = np.random.default_rng(0)
    for total in LENGTHS:
        for clips, count in [
            (dense_train(total, num_frames, rng), 1),
            (dense_test(total, num_frames), 10),
            (dense_test(total, num_frames, positions=1), 1),
        ]:
            in_range(clips, total, (count, num_frames))
            steps = np.diff(clips, axis=1) % total
            assert (steps == 64 // num_frames % total).all()
            if total >= 64:  # nothing wraps
                assert (np.diff(clips, axis=1) > 0).all()


def test_dense_train_draws_every_start_but_the_last():
    rng = np.random.default_rng(0)
    starts = {total: {int(dense_train(total, 8, rng)[0, 0]) for _ in range(200)}
              for total in (1, 30, 64, 65, 66, 70)}  # fmt: skip
    assert starts == {1: {0}, 30: {0}, 64: {0}, 65: {0}, 66: {0, 1}, 70: set(range(6))}


def test_the_same_generator_state_gives_the_same_frames():
    for sample in (uniform_train, dense_train):
        one, other, third = (sample(300, 8, np.random.default_rng(s)).tolist() for s in (1, 1, 2))
        assert one == other != third


@pytest.mark.parametrize(
    "sample",
    [
        uniform_test,
        dense_test,
        slowfast_uniform_test,
        slowfast_dense_test,
        tpn_dense_test,
        lambda total, n: uniform_train(total, n, np.random.default_rng(0)),
        lambda total, n: dense_train(total, n, np.random.default_rng(0)),
    ],
)
def test_counts_below_one_are_named(sample):
    with pytest.raises(ValueError, match=r"^total \(0\) must be at least 1$"):
        sample(0, 8)
    with pytest.raises(ValueError, match=r"^total \(-3\) must be at least 1$"):
        sample(-3, 8)
    with pytest.raises(ValueError, match=r"^num_frames \(0\) must be at least 1$"):
        sample(8, 0)


def test_dense_limits_are_named():
    for sample in (dense_test, slowfast_dense_test, tpn_dense_test):
        with pytest.raises(ValueError, match=r"^num_frames \(65\) must be at most 64$"):
            sample(100, 65)
        with pytest.raises(ValueError, match=r"^positions \(0\) must be at least 1$"):
            sample(100, 8, positions=0)
    for sample in (dense_train, slowfast_dense_train, tpn_dense_train):
        with pytest.raises(ValueError, match=r"^num_frames \(65\) must be at most 64$"):
            sample(100, 65, np.random.default_rng(0))


def test_the_sampler_s_name_chooses_it():
    rng = np.random.default_rng
    twice = uniform_test(30, 8, twice=True)
    assert np.array_equal(sampling.test_indices("uniform", 30, View(8), 2), twice)
    assert np.array_equal(sampling.test_indices("uniform", 30, View(8), 1), uniform_test(30, 8))
    assert np.array_equal(sampling.test_indices("dense", 300, View(8), 10), dense_test(300, 8))
    assert np.array_equal(
        train_indices("uniform", 300, View(8), rng(1)), uniform_train(300, 8, rng(1))
    )
    assert np.array_equal(train_indices("dense", 300, View(8), rng(1)), dense_train(300, 8, rng(1)))


def test_every_sampling_of_a_recipe_has_an_entry_that_gives_what_the_schema_allows():
    assert set(SAMPLERS) == set(get_args(Sampling))
    rng = np.random.default_rng(0)
    for name in SAMPLERS:
        clips, most_frames = sampling_limits(name)
        assert set(clips) <= set(get_args(get_args(NumClips)[0]))
        for total, num_frames in product((1, 30, 300), (8, most_frames)):
            view, curve = View(num_frames), rng.random(total - 1)
            in_range(train_indices(name, total, view, rng, curve), total, (1, num_frames))
            for number in clips:
                drawn = sampling.test_indices(name, total, view, number, curve)
                in_range(drawn, total, (number, num_frames))


def test_no_other_sampler_is_one_of_these():
    with pytest.raises(AssertionError, match=r"data\.sampling 'other' has no entry in SAMPLERS"):
        train_indices("other", 30, View(8), np.random.default_rng(0))
    with pytest.raises(AssertionError, match=r"data\.sampling 'other' has no entry in SAMPLERS"):
        sampling.test_indices("other", 30, View(8), 1)


def test_ten_uniform_clips_are_spread_over_their_segments():
    clips = sampling.test_indices("uniform", 40, View(2), 10)  # segments of 20 frames
    assert clips[:, 0].tolist() == [1, 3, 5, 7, 9, 11, 13, 15, 17, 19]
    assert (clips[:, 1] == clips[:, 0] + 20).all()
    assert uniform_spread(16, 8, 10)[[0, 9]].tolist() == [
        [0, 2, 4, 6, 8, 10, 12, 14],
        [1, 3, 5, 7, 9, 11, 13, 15],
    ]
    assert uniform_spread(300, 8, 1).tolist() == uniform_test(300, 8).tolist()
    tdn = View(2, consecutive=5)
    assert sampling.test_indices("uniform", 44, tdn, 10)[0].tolist() == [
        *range(1, 6),
        *range(21, 26),
    ]


@pytest.mark.parametrize("counts", [(0, 8, 10), (30, 0, 10), (30, 8, 0)])
def test_clips_of_nothing_are_refused(counts):
    with pytest.raises(ValueError, match=r"\(0\) must be at least 1"):
        uniform_spread(*counts)


def test_frames_that_are_read_together_follow_one_another():
    view = View(3, consecutive=2)
    clips = sampling.test_indices("uniform", 31, view, 2)  # positions 0 to 29, segments of 10
    assert clips.tolist() == [[5, 6, 15, 16, 25, 26], [0, 1, 10, 11, 20, 21]]
    (drawn,) = train_indices("uniform", 31, view, np.random.default_rng(0))
    assert (drawn[1::2] - drawn[::2] == 1).all()
    assert (drawn[::2] // 10 == [0, 1, 2]).all()


def test_a_video_too_short_for_frames_together_begins_again():
    view = View(2, consecutive=5)
    assert sampling.test_indices("uniform", 3, view, 1).tolist() == [[0, 1, 2, 0, 1] * 2]
    dense = View(2, consecutive=2, window=8)
    assert sampling.test_indices("dense", 9, dense, 1).tolist() == [[0, 1, 4, 5]]
    (last,) = sampling.test_indices("dense", 5, View(4, consecutive=2, window=4), 1)
    assert last.tolist() == [0, 1, 1, 2, 2, 3, 3, 4]


@pytest.mark.parametrize("total", [80, 100, 321])
def test_frames_that_are_read_together_do_not_begin_again_behind_a_video_that_is_long_enough(total):
    view = View(16, consecutive=5)
    rng = np.random.default_rng(0)
    clips = sampling.test_indices("dense", total, view, 10)
    for clip in (*clips, *(train_indices("dense", total, view, rng)[0] for _ in range(99))):
        runs = clip.reshape(16, 5)
        assert (np.diff(runs, axis=1) == 1).all()
        assert clip.max() < total


def test_the_dense_window_is_the_view_s():
    half = View(8, window=32)
    assert sampling.test_indices("dense", 40, half, 1).tolist() == [list(range(0, 32, 4))]
    (drawn,) = train_indices("dense", 40, half, np.random.default_rng(0))
    assert drawn[0] < 8
    assert (np.diff(drawn) == 4).all()
    with pytest.raises(ValueError, match=r"^num_frames \(8\) must be at most 4$"):
        sampling.test_indices("dense", 40, View(8, window=4), 1)


# (total, num_frames): first | last of the ten windows
SLOWFAST_DENSE_TEST = {
    (1, 4): "0 0 0 0 | 0 0 0 0",
    (30, 4): "0 21 29 29 | 0 21 29 29",  # stays at the last frame
    (64, 4): "0 21 42 63 | 0 21 42 63",
    (300, 4): "0 21 42 63 | 212 233 254 275",  # the room is 236, nine tenths of it 212.4
    (300, 8): "0 9 18 27 36 45 54 63 | 212 221 230 239 248 257 266 275",
}
TPN_DENSE_TEST = {
    (1, 8): "0 0 0 0 0 0 0 0 | 0 0 0 0 0 0 0 0",
    (30, 8): "0 8 16 24 24 24 24 24 | 0 8 16 24 24 24 24 24",
    (57, 8): "0 8 16 24 32 40 48 48 | 0 8 16 24 32 40 48 48",
    (64, 8): "0 8 16 24 32 40 48 56 | 0 8 16 24 32 40 48 56",
    (300, 8): "11 19 27 35 43 51 59 67 | 225 233 241 249 257 265 273 281",  # 237 starts
}


@pytest.mark.parametrize("key", SLOWFAST_DENSE_TEST)
def test_slowfast_dense_test_literally(key):
    clips = slowfast_dense_test(*key)
    assert clips.shape == (10, key[1])
    assert [clips[0].tolist(), clips[-1].tolist()] == lists(SLOWFAST_DENSE_TEST[key])
    assert slowfast_dense_test(*key, positions=1).tolist() == clips[:1].tolist()


@pytest.mark.parametrize(
    ("key", "clip", "expected"),
    [
        ((65, 6), 6, "0 13 25 38 51 63"),  # from 0.6; just below 51 in float64
        ((66, 6), 8, "1 14 26 39 52 64"),
        ((65, 11), 3, "0 6 12 19 25 31 38 44 50 57 63"),
        ((65, 16), 4, "0 4 8 12 17 21 25 29 34 38 42 46 50 55 59 63"),  # just below 13 in float32
        ((65, 1), 6, "0"),
    ],
)
def test_slowfast_s_places_are_of_32_bits(key, clip, expected):
    assert [slowfast_dense_test(*key)[clip].tolist()] == lists(expected)


@pytest.mark.parametrize("num_frames", [1, 4, 6, 8, 11, 15, 32])
def test_slowfast_s_places_are_torch_s(num_frames):
    for total in range(1, 400, 3):
        starts = [max(0, total - 64) * clip / 10 for clip in range(10)]
        places = [torch.linspace(start, start + 63, num_frames) for start in starts]
        expected = torch.stack(places).clamp(0, total - 1).long()
        assert slowfast_dense_test(total, num_frames).tolist() == expected.tolist()


@pytest.mark.parametrize("key", TPN_DENSE_TEST)
def test_tpn_dense_test_literally(key):
    clips = tpn_dense_test(*key)
    assert [clips[0].tolist(), clips[-1].tolist()] == lists(TPN_DENSE_TEST[key])
    assert tpn_dense_test(300, 8, positions=1)[0, 0] == 118  # the middle of 237


def test_fast_frames_reach_the_end_of_their_window():
    (clip,) = slowfast_dense_test(64, 32, positions=1)
    assert clip.tolist() == [63 * k // 31 for k in range(32)]


def test_slowfast_s_windows_start_anywhere_and_tpn_s_at_their_last_start_too():
    rng = np.random.default_rng(0)
    for sample, last in ((slowfast_dense_train, 5), (tpn_dense_train, 6)):
        drawn = np.concatenate([sample(70, 8, rng) for _ in range(200)])
        in_range(drawn, 70, (200, 8))
        assert set(drawn[:, 0]) == set(range(last + 1))
        assert (np.diff(drawn) == (9 if last == 5 else 8)).all()


class Ends:
    """A source of chance that draws the first or the last number of each range."""

    def __init__(self, last):
        self.last = last

    def integers(self, low, high, endpoint):
        assert endpoint
        return high if self.last else low


@pytest.mark.parametrize("num_frames", [1, 8, 64])
def test_slowfast_s_segments_equal_a_loop_for_every_length(num_frames):
    for total in LENGTHS:
        length = (total - 1) / num_frames
        ends = [(round(length * i), round(length * (i + 1))) for i in range(num_frames)]
        expected = [(start + end) // 2 for start, end in ends]
        clips = slowfast_uniform_test(total, num_frames)
        in_range(clips, total, (1, num_frames))
        assert clips.tolist() == [expected]
        for last in (0, 1):
            drawn = slowfast_uniform_train(total, num_frames, Ends(last))
            assert drawn.tolist() == [[end[last] for end in ends]]


def test_a_video_of_fewer_frames_than_segments_is_drawn_at_random_and_never_wraps():
    rng = np.random.default_rng(0)
    drawn = [slowfast_uniform_train(30, 64, rng)[0] for _ in range(20)]
    assert len({tuple(clip) for clip in drawn}) > 1
    assert all((np.diff(clip) >= 0).all() for clip in drawn)


def test_tpn_s_two_uniform_clips_are_every_second_of_16_segments():
    clips = sampling.test_indices("tpn_uniform", 300, View(8), 2)
    middles = uniform_test(300, 16)[0].tolist()
    assert clips.tolist() == [middles[::2], middles[1::2]]
    drawn = [
        train_indices(name, 300, View(8), np.random.default_rng(1)).tolist()
        for name in ("tpn_uniform", "uniform")
    ]
    assert drawn[0] == drawn[1]


# motion of each frame to the next, 4 frames a clip: middles of the parts | their starts
MOTION_TEST = {
    (1, 1, 1, 1, 1, 1, 1, 1): "0 2 4 6 | 0 1 3 5",  # done: 1/8, 2/8, ...; 3/8 is the third frame's
    (0, 0, 9, 0, 0, 0, 9, 0): "0 2 2 6 | 0 0 2 2",  # done: 0 0 1/2 1/2 1/2 1/2 1 1
    (16, 1, 1, 1, 1): "0 0 1 3 | 0 0 0 2",  # roots 4 1 1 1 1, done: 4/8 5/8 6/8 7/8 8/8
    (0, 0, 0, 0, 5): "0 0 4 4 | 0 0 0 4",
    (3,): "0 0 0 0 | 0 0 0 0",
    (): "0 0 0 0 | 0 0 0 0",  # one frame
    (0, 0, 0, 0, 0, 0, 0): "1 3 5 7 | 0 2 4 6",  # nothing moves: uniform, its last frame too
}


def slow_nearest(curve, share):
    """The definition, frame by frame: the first of those whose motion done is nearest."""
    total, best, far = sum(value**0.5 for value in curve), 0, 2.0
    done = 0.0
    for frame, value in enumerate(curve):
        done += value**0.5 / total
        if abs(done - share) < far:
            best, far = frame, abs(done - share)
    return best


@pytest.mark.parametrize("curve", MOTION_TEST)
def test_motion_test_literally(curve):
    middles, starts = lists(MOTION_TEST[curve])
    assert motion_test(np.array(curve), 4).tolist() == [middles]
    assert motion_test(np.array(curve), 4, twice=True).tolist() == [middles, starts]


class Draws:
    """A source of chance that draws these."""

    def __init__(self, *values):
        self.values = np.array(values)

    def random(self, size):
        assert size == len(self.values)
        return self.values


def test_motion_train_draws_once_in_each_part():
    curve = np.array([16, 1, 1, 1, 1])  # done: 4/8 5/8 6/8 7/8 8/8
    draws = Draws(0.99, 0.5, 0.6, 0.5)  # shares 0.2475, 0.375, 0.65, 0.875
    assert motion_train(curve, 4, draws).tolist() == [[0, 0, 1, 3]]
    assert motion_train(curve, 2, Draws(0.0, 0.999)).tolist() == [[0, 4]]


@pytest.mark.parametrize("num_frames", [1, 8, 16])
def test_motion_sampling_equals_a_loop_over_frames_for_every_length(num_frames):
    rng = np.random.default_rng(0)
    for total in range(2, 120):
        curve = (rng.random(total - 1) * rng.integers(0, 2, total - 1)).astype(np.float16)
        curve[rng.integers(total - 1)] = 1
        drawn = rng.random(num_frames)
        shares = [(k + drawn[k]) / num_frames for k in range(num_frames)]
        found = motion_train(curve, num_frames, Draws(*drawn))
        in_range(found, total - 1, (1, num_frames))  # the last frame is never chosen
        assert found.tolist() == [[slow_nearest(curve.tolist(), share) for share in shares]]
        middles = [(2 * k + 1) / (2 * num_frames) for k in range(num_frames)]
        expected = [slow_nearest(curve.tolist(), share) for share in middles]
        assert motion_test(curve, num_frames).tolist() == [expected]
        assert (np.diff(found) >= 0).all()


def test_a_video_in_which_nothing_moves_is_sampled_uniformly():
    still = np.zeros(29)
    assert (motion_test(still, 8, twice=True) == uniform_test(30, 8, twice=True)).all()
    found, expected = (
        sample(np.random.default_rng(1))
        for sample in (
            lambda rng: motion_train(still, 8, rng),
            lambda rng: uniform_train(30, 8, rng),
        )
    )
    assert (found == expected).all()


def test_frames_that_are_read_together_begin_where_there_is_motion_and_fit():
    view = View(2, consecutive=5)
    curve = np.array([0.0] * 20 + [1] + [0] * 4 + [9] * 4)  # 30 frames, runs begin at 0 to 25
    clips = sampling.test_indices("motion", 30, view, 1, curve)
    assert clips.tolist() == [[0, 1, 2, 3, 4, 20, 21, 22, 23, 24]]  # at 1/4 and 3/4; done: 0 and 1
    short = sampling.test_indices("motion", 3, view, 2, np.ones(2))
    assert short.tolist() == [[0, 1, 2, 0, 1] * 2] * 2
    still = sampling.test_indices("motion", 30, view, 1, np.zeros(29))
    assert (still == sampling.test_indices("uniform", 30, view, 1)).all()


@pytest.mark.parametrize(("curve", "known"), [(None, "unknown"), (np.ones(30), "known of 31")])
def test_motion_of_another_video_is_refused(curve, known):
    says = f"^motion of a video of 30 frames is {known}$"
    with pytest.raises(ValueError, match=says):
        sampling.test_indices("motion", 30, View(8), 1, curve)
    with pytest.raises(ValueError, match=says):
        train_indices("motion", 30, View(8), np.random.default_rng(0), curve)


@pytest.mark.parametrize("sample", [motion_test, lambda *given: motion_train(*given, None)])
def test_motion_sampling_asks_for_a_frame_at_least(sample):
    with pytest.raises(ValueError, match=r"^num_frames \(0\) must be at least 1$"):
        sample(np.ones(3), 0)

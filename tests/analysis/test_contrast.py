"""Contrasts of rows, against data whose variances are known."""

from base64 import b64encode
from dataclasses import replace

import numpy as np
import pytest

from stsm_cli.analysis.contrast import contrast, contrast_of
from stsm_cli.analysis.records import read_records

D, S, V = 6, 4, 30


def simulated(rng, draw, run, video, rest):
    """Differences of 0.1 with effects of these standard deviations, and a row of nothing."""
    rows = [
        0.1
        + draw * rng.normal()
        + run * rng.normal(size=(S, 1))
        + video * rng.normal(size=V)
        + rest * rng.normal(size=(S, V))
        for _ in range(D)
    ]
    return [dict(enumerate(row)) for row in rows], [dict.fromkeys(range(S), np.zeros(V))] * D


@pytest.mark.parametrize(
    ("draw", "run", "video", "rest"),
    [(0, 0, 1, 1), (0, 1, 0, 1), (1, 0, 0.3, 0.3), (0.5, 0.5, 2, 2)],
)
def test_the_interval_is_as_wide_as_draws_runs_and_videos_make_it(draw, run, video, rest):
    rng, found = np.random.default_rng(0), []
    for _ in range(40):
        found.append(contrast(*simulated(rng, draw, run, video, rest), resamples=200))
    true = (draw**2 + (run**2 + video**2 * S / V + rest**2 / V) / S) / D
    widths = np.array([np.diff(one.interval).item() / 100 for one in found])
    # a variance that is 0 is estimated as 0 half of the time, and else above it
    assert 0.8 < (widths**2).mean() / (2 * 1.96) ** 2 / true < 1.5
    assert np.mean([one.difference for one in found]) == pytest.approx(10, abs=400 * true**0.5)
    inside = [one.interval[0] <= 10 <= one.interval[1] for one in found]
    assert np.mean(inside) > 0.8


def hits(rng, share, runs=3, videos=200):
    return {seed: rng.random(videos) < share for seed in range(runs)}


def test_rows_that_have_the_same_videos_right_do_not_differ():
    row = [hits(np.random.default_rng(0), 0.7)] * 2
    same = contrast(row, row, resamples=100)
    assert (same.difference, same.interval, same.p) == (0, (0, 0), 1)


def test_rows_far_apart_differ_and_p_says_so_as_the_interval_does():
    rng = np.random.default_rng(0)
    good, bad = ([hits(rng, share) for _ in range(3)] for share in (0.8, 0.5))
    up, down = contrast(good, bad, resamples=999), contrast(bad, good, resamples=999)
    assert up.difference == -down.difference == pytest.approx(30, abs=5)
    assert 20 < up.interval[0] < up.difference < up.interval[1] < 40
    assert (up.p, up.num_draws, up.num_runs) == (0.002, 3, (9, 9))
    for share in np.linspace(0.45, 0.55, 7):
        other = contrast([hits(rng, share) for _ in range(3)], bad, resamples=999)
        assert (other.p < 0.05) == (other.interval[0] > 0 or other.interval[1] < 0)


def test_runs_of_other_seeds_are_not_paired():
    rng = np.random.default_rng(0)
    first, second = [hits(rng, 0.7, runs=5)] * 2, [hits(rng, 0.7, runs=2)] * 2
    found = contrast(first, second, resamples=200)
    means = [np.mean([*row[0].values()]) for row in (first, second)]
    assert found.difference == pytest.approx(100 * (means[0] - means[1]))
    assert found.num_runs == (10, 4)
    again = contrast(first, [{seed + 9: own for seed, own in draw.items()} for draw in second])
    assert again.difference == found.difference


def test_a_seed_that_both_share_is_compared_with_itself():
    """What a seed does to both rows alike is no part of their difference."""
    rng = np.random.default_rng(0)
    shares = (0.3, 0.5, 0.7, 0.9)
    first = [{seed: rng.random(400) < share for seed, share in enumerate(shares)}]
    second = [{seed: own ^ (rng.random(400) < 0.05) for seed, own in first[0].items()}]
    other = [{seed + 9: own for seed, own in second[0].items()}]
    paired, apart = (contrast(first, row, resamples=400) for row in (second, other))
    assert np.diff(apart.interval) > 3 * np.diff(paired.interval)


def test_one_run_on_one_draw_leaves_the_test_videos():
    rng = np.random.default_rng(0)
    row, other = [hits(rng, 0.5, runs=1, videos=400)], [hits(rng, 0.5, runs=1, videos=400)]
    low, high = contrast(row, other, resamples=2000).interval
    assert high - low == pytest.approx(2 * 196 * (0.5 / 400) ** 0.5, rel=0.1)


@pytest.mark.parametrize(
    ("first", "second", "says"),
    [
        ([], [], "0 and 0 draws; both rows need the same, any"),
        ([{0: [1, 0]}], [], "1 and 0 draws"),
        ([{0: [1, 0]}], [{}], "draw 0: 1 and 0 runs"),
        ([{0: [1, 0]}], [{0: [1, 0, 1]}], "draw 0: runs of 2 and 3 videos"),
    ],
)
def test_rows_that_do_not_compare_are_refused(first, second, says):
    with pytest.raises(ValueError, match=says):
        contrast(first, second)


def with_hits(record, right):
    packed = b64encode(np.packbits(right).tobytes()).decode()
    return replace(record, score=replace(record.score, hits=packed))


def test_records_are_compared_draw_by_draw(measure, tmp_path):
    rng, accuracy = np.random.default_rng(0), {"T": 70, "H": 50}
    for draw in range(2):
        measure(
            "spatial",
            lambda run: accuracy.get(run.row.name),
            seeds=2,
            overrides=[f"data.order.draw={draw}"],
        )
    rows = {
        name: [
            with_hits(record, rng.permutation(100) < accuracy[name])
            for record in read_records(tmp_path)
            if record.row == name
        ]
        for name in accuracy
    }
    found = contrast_of(rows["T"], rows["H"])
    assert found.difference == pytest.approx(20)
    assert (found.num_draws, found.num_runs) == (2, (4, 4))
    one_draw = [r for r in rows["H"] if r.recipe.data.draw == 1]
    found = contrast_of(rows["T"], one_draw)
    assert (found.num_draws, found.num_runs) == (1, (2, 2))
    assert contrast_of([], one_draw) is None
    silent = [replace(r, score=replace(r.score, hits=None)) for r in one_draw]
    assert contrast_of(rows["T"], silent) is None

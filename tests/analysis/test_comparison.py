from base64 import b64encode
from dataclasses import replace

import numpy as np
import pytest

from stsm_cli.analysis.comparison import (
    ONE_SEED,
    TEST,
    TEST_OF_SEEDS,
    WITHOUT_VIDEOS,
    compare,
    judge,
    meaning,
    name_pairs,
)
from stsm_cli.analysis.contrast import contrast_of


@pytest.fixture
def pairs(prepared):
    """Row T of Table 2 against each other row; `correct(name, seed)` answers right."""

    def do(correct, seeds=3):
        rows, _ = prepared("spatial", lambda run: correct(run.row.name, run.seed), seeds=seeds)
        best = rows[1]
        assert best.row.name == "T"
        return compare([(best, row) for row in rows if row is not best])

    return do


def test_p_is_corrected_for_all_pairs(pairs):
    found = pairs(lambda name, seed: {"T": 5, "TSN": 3}.get(name, 9) + seed)
    # 2 apart: t = √6, p = 0.0705, the largest of five; 4 apart: t = 2 √6, p = 0.00805
    assert found[0].p == found[0].corrected == pytest.approx(0.0705, abs=1e-4)
    assert [pair.p for pair in found[1:]] == pytest.approx([0.00805] * 4, abs=1e-4)
    assert [pair.corrected for pair in found[1:]] == pytest.approx([5 * 0.00805] * 4, abs=1e-4)
    assert [pair.gap for pair in found] == [2, -4, -4, -4, -4]
    assert [pair.is_clear for pair in found] == [False, True, True, True, True]
    assert not any(pair.holds for pair in found)
    assert [pair.is_contradicted for pair in found] == [False, True, True, True, True]
    assert judge(found) == "does not hold"


def test_four_of_five_are_undecided(pairs):
    found = pairs(lambda name, seed: {"T": 50, "W": 49}.get(name, 10) + seed)
    assert sum(pair.holds for pair in found) == 4
    assert judge(found) == "is undecided by these seeds"


def test_all_hold(pairs):
    assert judge(pairs(lambda name, seed: (50 if name == "T" else 10) + seed)) == "holds"


def test_less_than_a_point_on_a_set_that_is_made_here_is_no_difference(prepared):
    rows, _ = prepared("spatial", lambda run: {"T": 51, "TSN": 50}.get(run.row.name), seeds=3)
    best, other = rows[1], rows[0]

    def near(runs, by):
        return tuple(replace(r, score=replace(r.score, top1=by + r.seed / 1e3)) for r in runs)

    for gap, is_clear in ((0.99, False), (1.01, True)):
        above = replace(best, records=near(best.records, 50 + gap))
        (pair,) = compare([(above, replace(other, records=near(other.records, 50)))])
        assert pair.corrected < 0.001
        assert (pair.is_clear, pair.certainty) == (is_clear, ["not clearly", "clearly"][is_clear])
    real = tuple(replace(r, dataset="k400") for r in near(best.records, 50.5))
    (pair,) = compare([(replace(best, records=real), other)])
    assert pair.is_clear  # there the paper's own differences are as small


def test_two_seeds_can_be_clear(pairs):
    found = pairs(lambda name, seed: (90 if name == "T" else 10) + seed, seeds=2)
    assert judge(found) == "holds"


def test_a_single_seed_says_nothing(pairs):
    found = pairs(lambda name, seed: 90 if name == "T" else 10, seeds=1)
    assert [(pair.p, pair.corrected) for pair in found] == [(None, None)] * 5
    assert judge(found) == "is undecided by these seeds"


def test_rows_that_are_not_run_leave_a_claim_open(pairs):
    found = pairs(lambda name, seed: {"T": 50 + seed, "H": 10 + seed}.get(name))
    assert [pair.is_run for pair in found] == [False, True, False, False, False]
    assert judge(found) == "is open"
    assert found[1].holds


@pytest.mark.parametrize(
    ("apart", "p", "verdict"),
    [
        (4, 0.00805, "does not hold"),  # whatever the others will give
        (3, 0.0213, "is open"),  # t = 1.5 √6
    ],
)
def test_a_pair_is_corrected_for_those_that_are_not_run(pairs, apart, p, verdict):
    found = pairs(lambda name, seed: {"T": 5 + seed, "H": 5 + apart + seed}.get(name))
    assert found[1].corrected == pytest.approx(5 * p, abs=3e-4)
    assert judge(found) == verdict


def test_what_clearly_means_is_said_of_all_rows_that_are_run(prepared):
    one, _ = prepared("spatial", lambda run: 50 if run.row.name == "T" else None)
    assert meaning(one) == ONE_SEED
    assert meaning([row for row in one if not row.records]) == ""
    some, _ = prepared("spatial", lambda run: None if run.row.name == "H" else 9, seeds=2)
    assert meaning(some) == TEST_OF_SEEDS


def test_pairs_are_named_as_they_were_measured(pairs):
    found = pairs(lambda name, seed: {"T": 50, "W": 53, "H": 50}.get(name, 10) + seed)
    assert name_pairs(found[:3]) == (
        "T above TSN (p 1e-06), H level with T (p 1), W above T (p 0.021)"
    )


def test_pairs_of_single_seeds_have_no_p(pairs):
    found = pairs(lambda name, seed: 90 if name == "T" else 10, seeds=1)
    assert name_pairs(found[:1]) == "T above TSN"


@pytest.mark.parametrize(("seeds", "word"), [(25, "level with"), (15, "above")])  # 0.04 and 0.07
def test_a_pair_is_level_where_the_table_shows_no_difference(pairs, seeds, word):
    found = pairs(lambda name, seed: 50 + (name == "T" and seed == 0), seeds=seeds)
    assert name_pairs(found[:1]).startswith(f"T {word} TSN")


def with_videos(row, rng):
    """The row, its runs telling which of the 100 videos they had right."""
    records = []
    for record in row.records:
        right = rng.permutation(100) < record.score.correct
        hits = b64encode(np.packbits(right).tobytes()).decode()
        records.append(replace(record, score=replace(record.score, hits=hits)))
    return replace(row, records=tuple(records))


def test_where_videos_are_known_they_count_too(prepared):
    """Seeds that agree by luck do not make 100 videos tell 60 % from 55 %."""
    rows, _ = prepared("spatial", lambda run: {"T": 60, "H": 55}.get(run.row.name), seeds=3)
    best, other = (next(row for row in rows if row.row.name == name) for name in "TH")
    shaky = replace(other, records=tuple(_right(r, 54 + r.seed) for r in other.records))
    rng = np.random.default_rng(0)
    videos = [with_videos(row, rng) for row in (best, shaky)]
    (seeds,), (all_three,) = compare([(best, shaky)]), compare([tuple(videos)])
    assert seeds.is_clear
    assert not all_three.is_clear
    assert all_three.p == contrast_of(*(row.records for row in videos)).p
    assert meaning([best, shaky]) == TEST_OF_SEEDS
    assert meaning(videos) == TEST
    assert meaning([best, videos[1]]) == f"{TEST} {WITHOUT_VIDEOS}"


def test_rows_of_unequal_seeds_are_apart_by_what_the_test_sees(prepared):
    """Draws differ by far more than rows do: their means alone would turn the pair round."""
    by_draw = (60, 80, 20)
    rows, _ = prepared(
        "spatial", lambda run: by_draw[run.seed % 3] + (run.row.name == "T"), seeds=3
    )
    best, other = (next(row for row in rows if row.row.name == name) for name in "TH")
    rng = np.random.default_rng(0)
    above, below = with_videos(best, rng), with_videos(other, rng)
    (pair,) = compare([(above, replace(below, records=below.records[:2]))])
    assert above.top1.mean < below.records[0].score.top1 < below.records[1].score.top1
    assert pair.gap == pytest.approx(1)
    assert name_pairs([pair]).startswith("T above H (p ")
    (alone,) = compare(
        [(replace(above, records=above.records[1:]), replace(below, records=below.records[:2]))]
    )
    assert (alone.p, alone.certainty) == (
        None,
        "by one seed",
    )  # one seed of each is on a draw of both


def _right(record, correct):
    score = replace(record.score, correct=correct, top1=float(correct))
    return replace(record, score=score)

from base64 import b64decode
from pathlib import Path

import numpy as np
import pytest
import torch

from stsm_cli.config.load import load_recipe
from stsm_cli.data.manifest import Manifest, VideoRecord
from stsm_cli.data.scenes import SCENES
from stsm_cli.engine.accuracy import (
    ClassResult,
    PairResult,
    class_results,
    confusion_matrix,
    pair_results,
    summarise,
    summary,
    wilson_interval,
)
from stsm_cli.engine.scores import Scores
from stsm_cli.stored import FactorScore, contradiction


def scores(rows, labels, broken=None):
    probabilities = torch.tensor(rows)
    return Scores(probabilities, torch.tensor(labels), tuple(range(len(rows))), broken or {})


def test_wilson_interval_against_published_values():
    # 15 of 50: R. G. Newcombe, Statistics in Medicine 17 (1998), and the closed form by hand
    assert wilson_interval(15, 50) == pytest.approx((0.1910, 0.4375), abs=1e-4)
    assert wilson_interval(0, 10) == pytest.approx((0.0, 0.2775), abs=1e-4)
    assert wilson_interval(10, 10) == pytest.approx((0.7225, 1.0), abs=1e-4)


def test_summary_counts():
    rows = [[0.6, 0.4, 0.0], [0.5, 0.3, 0.2], [0.1, 0.2, 0.7], [0.4, 0.1, 0.5]]
    summary = summarise(scores(rows, [0, 1, 2, 0]), None)
    assert (summary.num_videos, summary.num_listed, summary.correct) == (4, 4, 2)
    assert summary.top1 == 50.0
    assert summary.top5 == 100.0
    assert summary.mean_class == pytest.approx(100 * (1 / 2 + 0 + 1) / 3)
    assert summary.pair_accuracy is None


def test_top5_looks_at_five_and_has_an_interval_of_its_own():
    ranked = [[0.3, 0.2, 0.15, 0.12, 0.1, 0.08, 0.05]] * 2
    summary = summarise(scores(ranked, [4, 5]), None)
    assert (summary.top1, summary.top5) == (0.0, 50.0)
    assert summary.top1_interval == tuple(100 * bound for bound in wilson_interval(0, 2))
    assert summary.top5_interval == tuple(100 * bound for bound in wilson_interval(1, 2))


def test_pairs_count_both_classes_and_what_does_not_decode():
    rows = [[0.6, 0.1, 0.3, 0.0], [0.4, 0.5, 0.1, 0.0], [0.5, 0.2, 0.2, 0.1], [0.1, 0.2, 0.3, 0.4]]
    assert pair_results(scores(rows, [0, 0, 2, 3], {9: 3}), np.array([2, 3, 0, 1])) == [
        PairResult((0, 2), videos=3, correct=1, ordered=2),
        PairResult((1, 3), videos=2, correct=1, ordered=1),
    ]


def test_pair_accuracy_compares_a_class_with_its_reversal_only():
    rows = [[0.2, 0.1, 0.7, 0.0], [0.1, 0.2, 0.3, 0.4]]
    summary = summarise(scores(rows, [0, 2]), np.array([1, 0, 3, 2]))
    assert summary.top1 == 0.0
    assert summary.pair_accuracy == 50.0


def test_each_video_is_kept_in_the_order_of_the_paths():
    classes = tuple(f"class {label}" for label in range(400))
    rows = torch.eye(400)[[0, 9, 2]]  # of the first, the third and the fourth of the list
    videos = [
        VideoRecord(f"val/{name}.mp4", label, 1, 0.0, 1, 1) for label, name in enumerate("dcba")
    ]
    manifest = Manifest(Path(), "val", classes, videos)
    found = Scores(rows, torch.tensor([0, 2, 2]), (0, 2, 3), {1: 1})
    result = summary(found, manifest, load_recipe("k400/tsm_r50_8f").recipe)
    right = np.unpackbits(np.frombuffer(b64decode(result.hits), np.uint8), count=4)
    assert right.tolist() == [1, 0, 0, 1]  # a, b, c, which does not decode, and d
    assert (result.pairs, result.correct, contradiction(result)) == (None, 2, None)


def test_the_pairs_of_a_set_are_those_of_its_card_with_what_tells_them_apart():
    videos = [VideoRecord(f"val/{label}.mp4", label, 1, 0.0, 1, 1) for label in range(24)]
    manifest = Manifest(Path(), "val", SCENES.classes, videos)
    rows = torch.eye(24)
    rows[[0, 9]] = rows[[1, 8]].clone()  # taken for the other of their pair
    found = Scores(rows, torch.arange(24), tuple(range(24)), {})
    result = summary(found, manifest, load_recipe("scenes/tsm").recipe)
    assert [pair.classes for pair in result.pairs][::4] == [
        ("four", "nine"),
        ("rightward", "leftward"),
        ("zero_moves", "one_moves"),
    ]
    assert result.factors == {
        "appearance": FactorScore(8, 7, 7),
        "motion": FactorScore(8, 7, 7),
        "both": FactorScore(8, 8, 8),
    }
    assert result.pair_accuracy == pytest.approx(100 * 22 / 24)
    assert contradiction(result) is None


def test_a_constant_score_is_never_right():
    same = scores([[0.25] * 4] * 4, [0, 1, 2, 3])
    summary = summarise(same, np.array([1, 0, 3, 2]))
    assert (summary.top1, summary.pair_accuracy) == (0.0, 0.0)
    assert confusion_matrix(same, 4).sum() == 0


def test_a_broken_video_is_counted_as_wrong_everywhere():
    rows = [[0.9, 0.1, 0, 0, 0, 0], [0.1, 0.9, 0, 0, 0, 0]]
    partners = np.array([1, 0, 3, 2, 5, 4])
    broken = scores(rows, [0, 1], broken={7: 0, 8: 2})
    summary = summarise(broken, partners)
    assert (summary.num_videos, summary.num_listed, summary.correct) == (2, 4, 2)
    assert (summary.top1, summary.top5, summary.pair_accuracy) == (50.0, 50.0, 50.0)
    assert summary.mean_class == pytest.approx(100 * (1 / 2 + 1 + 0) / 3)
    assert [(row.videos, row.correct) for row in class_results(broken, 6)[:3]] == [
        (2, 1),
        (1, 1),
        (1, 0),
    ]


def test_a_broken_video_is_not_among_the_best_five_of_two_classes():
    broken = scores([[0.9, 0.1]], [0], broken={7: 0, 8: 1})
    summary = summarise(broken, None)
    assert (summary.top1, summary.top5) == (pytest.approx(100 / 3), pytest.approx(100 / 3))


def test_nan_is_never_right():
    nothing = scores([[float("nan")] * 6] * 2, [0, 1])
    summary = summarise(nothing, np.array([1, 0, 3, 2, 5, 4]))
    assert (summary.top1, summary.top5, summary.pair_accuracy) == (0.0, 0.0, 0.0)
    assert confusion_matrix(nothing, 6).sum() == 0


def test_the_confusion_matrix_has_a_row_for_each_true_class():
    rows = [[0.6, 0.4, 0.0], [0.5, 0.3, 0.2], [0.1, 0.2, 0.7], [0.4, 0.1, 0.5]]
    matrix = confusion_matrix(scores(rows, [0, 1, 2, 0]), 3)
    assert matrix.tolist() == [[1, 0, 1], [1, 0, 0], [0, 0, 1]]


def test_the_diagonal_counts_the_correct_ones():
    generator = torch.Generator().manual_seed(0)
    rows = torch.randint(0, 4, (200, 5), generator=generator).float()  # with many ties
    labels = torch.randint(0, 5, (200,), generator=generator)
    random = Scores(rows, labels, tuple(range(200)), {})
    matrix = confusion_matrix(random, 5)
    assert matrix.trace() == summarise(random, None).correct > 0


def test_a_class_is_told_what_it_is_most_often_taken_for():
    likely = {0: [0.8, 0.1, 0.1], 1: [0.1, 0.8, 0.1], 2: [0.1, 0.1, 0.8]}
    taken_for = [0, 1, 1, 2, 1]
    results = class_results(scores([likely[k] for k in taken_for], [0, 0, 0, 0, 1]), 3)
    assert results == [
        ClassResult(0, videos=4, correct=1, confused_with=1, confused=2),
        ClassResult(1, videos=1, correct=1, confused_with=None, confused=0),
        ClassResult(2, videos=0, correct=0, confused_with=None, confused=0),
    ]

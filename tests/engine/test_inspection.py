from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from stsm_cli.data.loader import TrainLoader
from stsm_cli.data.manifest import Manifest, VideoRecord
from stsm_cli.data.samples import TestSet
from stsm_cli.engine.inspection import (
    AnswerGroup,
    as_scores,
    confusions,
    middle_clip,
    middle_crop,
    right_answers,
    training_samples,
)
from stsm_cli.engine.score_files import SavedScores
from stsm_cli.engine.scores import Scores


def scores_of(rows, labels):
    """Scores of videos 0, 1, ..., of which all decode."""
    labels = torch.tensor(labels)
    return Scores(torch.tensor(rows), labels, tuple(range(len(labels))), {})


def test_training_samples_are_what_the_loader_hands_over(recipe, train_videos):
    loader = TrainLoader(
        train_videos,
        recipe.data,
        view=recipe.model.view,
        optim=recipe.optim,
        seed=recipe.seed,
        workers=0,
    )
    batches = list(loader.epoch(0))
    samples = list(training_samples(train_videos, recipe, 10))
    assert [sample.index for sample in samples] == [i for b in batches for i in b.indices][:10]
    assert [s.label for s in samples] == [k for b in batches for k in b.labels.tolist()][:10]
    pixels = torch.cat([batch.pixels for batch in batches]).movedim(2, -1).numpy()
    assert pixels.dtype == np.uint8
    for sample, expected in zip(samples, pixels, strict=False):
        assert (sample.pixels == expected).all()
        (box,) = sample.boxes
        read = train_videos.read(sample.index, sample.frame_indices)
        part = read[:, box.y1 : box.y2, box.x1 : box.x2]
        assert (sample.pixels == (part[:, :, ::-1] if box.mirrored else part)).all()
    assert {sample.boxes[0].mirrored for sample in samples} == {False, True}


def test_there_are_no_more_samples_than_videos(recipe, train_videos):
    assert len(list(training_samples(train_videos, recipe, 99))) == 20


@pytest.mark.parametrize(
    ("clips", "crops", "first", "frames", "place"),
    [
        (1, 1, 0, [0, 2, 3, 5], (3, 1, 19, 17, False)),  # middles of four segments of six frames
        (2, 3, 4, [0, 1, 3, 4], (3, 1, 19, 17, False)),  # their starts
        (2, 10, 16, [0, 1, 3, 4], (2, 0, 18, 16, False)),  # two quarters of the room, rounded down
    ],
)
def test_the_middle_view_is_one_of_the_test(recipe, val_videos, clips, crops, first, frames, place):
    test = recipe.test.model_copy(update={"clips": clips, "crops": crops})
    recipe = recipe.model_copy(update={"test": test})
    whole = TestSet(val_videos, "uniform", test, recipe.model.view)[3]
    middle = middle_crop(val_videos, 3, recipe)
    assert (middle.pixels == whole.pixels[first : first + clips]).all()
    assert (middle.frame_indices == whole.frame_indices).all()
    assert middle.boxes == whole.boxes
    clip = middle_clip(middle)
    assert (clip.pixels == whole.pixels[first + clips // 2]).all()
    assert clip.frame_indices.tolist() == frames
    (box,) = clip.boxes
    assert box == place


def test_a_video_that_broke_has_no_view_and_says_why(recipe, val_videos):
    cache = (None, *val_videos.cache[1:])
    sample = middle_crop(replace(val_videos, cache=cache), 0, recipe)
    assert (sample.pixels, sample.error) == (None, "nowhere/val/0.mp4: no such file")


def test_confusions_are_counted_and_shown_by_the_surest():
    scores = scores_of(
        [
            [0.1, 0.6, 0.3],
            [0.2, 0.8, 0.0],  # 0 for 1, surest
            [0.9, 0.1, 0.0],
            [0.6, 0.2, 0.2],  # 1 for 0
            [0.4, 0.4, 0.2],  # a tie is no answer
            [float("nan")] * 3,
        ],
        [0, 0, 0, 1, 1, 1],
    )
    assert confusions(scores, 3) == [AnswerGroup(0, 1, 2, 1), AnswerGroup(1, 0, 1, 3)]
    assert right_answers(scores) == [AnswerGroup(0, 0, 1, 2)]


def test_of_400_classes_the_20_commonest_confusions_are_shown():
    labels = [k for k in range(399) for _ in range(1 + (k == 7))]
    rows = torch.zeros(len(labels), 400)
    rows[torch.arange(len(labels)), torch.tensor(labels) + 1] = 1.0  # each for the next
    found = confusions(scores_of(rows.tolist(), labels), 400)
    assert [group.label for group in found] == [7, *range(7), *range(8, 20)]
    assert [group.videos for group in found] == [2] + [1] * 19


def test_right_answers_are_the_surest_of_four_classes():
    rows = torch.eye(6).mul(torch.arange(1.0, 7.0)[:, None] / 6)
    found = right_answers(scores_of(rows.tolist(), list(range(6))))
    assert [group.label for group in found] == [5, 4, 3, 2]


def test_where_nothing_is_right_or_nothing_wrong_there_is_nothing_to_show():
    wrong, right = scores_of([[0.0, 1.0]], [0]), scores_of([[0.0, 1.0]], [1])
    assert right_answers(wrong) == []
    assert confusions(right, 2) == []


def test_kept_scores_find_their_videos_in_any_order():
    rows = {"b": np.array([0.3, 0.7], np.float32), "a": np.array([0.6, 0.4], np.float32)}
    saved = SavedScores({"b": 1, "a": 0, "c": 1}, rows, ("x", "y"), ("", "", ""))
    records = [VideoRecord(path, 0, 1, 0, 1, 1) for path in "abc"]
    scores = as_scores(saved, Manifest(Path(), "val", ("x", "y"), records))
    assert scores.indices == (1, 0)
    assert scores.labels.tolist() == [1, 0]
    assert torch.equal(scores.probabilities, torch.tensor([[0.3, 0.7], [0.6, 0.4]]))
    assert scores.broken_labels == {2: 1}

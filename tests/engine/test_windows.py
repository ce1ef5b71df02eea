from pathlib import Path

import numpy as np
import pytest
import torch

from stsm_cli.data.decode import probe, read_frames
from stsm_cli.engine.predict import Predictor
from stsm_cli.engine.windows import Timeline, one_view, slide, watch
from stsm_cli.errors import DataError

A = Path("data/synth/val/00000.mp4")


@pytest.mark.parametrize(
    ("total", "window", "starts"),
    [
        (64, 64, (0,)),
        (10, 64, (0,)),
        (1, 1, (0,)),
        (12, 8, (0, 2, 4)),
        (13, 8, (0, 2, 4, 5)),
        (5, 3, (0, 1, 2)),
        (100, 64, (0, 16, 32, 36)),
    ],
)
def test_windows_cover_the_video_and_end_with_it(total, window, starts):
    assert slide(total, window) == starts


def test_a_frame_belongs_to_the_window_around_it():
    timeline = Timeline((0, 4, 7), 4, torch.tensor([[0.0], [1.0], [2.0]]))
    # middles at 1.5, 5.5 and 8.5; of two equally near ones the first
    found = [int(timeline.at(frame)) for frame in range(11)]
    assert found == [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2]


def test_each_window_is_read_as_a_video_of_its_own(small_run):
    seen = []

    def score(batch):
        seen.append(batch.pixels)
        return torch.full((1, 16), float(len(seen)))

    recipe = one_view(small_run.recipe())
    predictor = Predictor(recipe, small_run.classes(), "pyav", score)
    timeline = watch(predictor, A, probe(A), 8)
    assert (timeline.starts, timeline.length) == ((0, 2, 4), 8)
    assert timeline.probabilities[:, 0].tolist() == [1, 2, 3]
    assert seen[1].shape == (1, 1, 4, 3, 28, 28)
    wanted = read_frames(A, 2 + np.array([1, 3, 5, 7]), short_side_px=32)  # middles of segments
    height, width = ((size - 28) // 2 for size in wanted.shape[1:3])
    middle = wanted[:, height : height + 28, width : width + 28]
    assert np.array_equal(seen[1][0, 0].movedim(1, -1).numpy(), middle)


def test_a_window_that_does_not_decode_is_told(small_run):
    predictor = Predictor(small_run.recipe(), small_run.classes(), "pyav", lambda batch: None)
    info = probe(A)
    with pytest.raises(DataError, match="index 13 is past the end, 12 frames decode"):
        watch(predictor, A, type(info)(20, info.fps, info.width, info.height), 8)


def test_one_view_is_the_middle_of_the_picture(small_run):
    recipe = small_run.recipe()
    many = recipe.model_copy(
        update={"test": recipe.test.model_copy(update={"clips": 2, "crops": 10})}
    )
    assert one_view(many) == recipe

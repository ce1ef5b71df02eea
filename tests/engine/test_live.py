from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from stsm_cli.config.load import load_recipe
from stsm_cli.data.crops import center_crop, cut
from stsm_cli.data.decode import probe, read_frames
from stsm_cli.data.live import LiveVideo, stream
from stsm_cli.engine.live import StreamLooker, WindowLooker, _Rates, looker, watch_live
from stsm_cli.engine.predict import by_network
from stsm_cli.engine.step import normalise
from stsm_cli.engine.windows import one_view, watch
from stsm_cli.errors import DataError, UsageError
from stsm_cli.models.build import build_model

A = Path("data/synth/val/00000.mp4")
SIZES = ["data.short_side_px=32", "data.crop_px=28", "test.crop_px=28", "precision=fp32"]


def predictor(name, *edits):
    torch.manual_seed(0)
    recipe = one_view(load_recipe(name, ["model.num_frames=4", *SIZES, *edits]).recipe)
    network = build_model(recipe.model).eval()
    torch.nn.init.normal_(network.fc.weight)
    classes = tuple(map(str, range(network.num_classes)))
    return by_network(network, recipe, classes, torch.device("cpu"), decoder="pyav")


@pytest.mark.usefixtures("small_run")
def test_windows_of_a_stream_score_as_those_of_a_file():
    part = predictor("synth/stsm")
    look = looker(part, 8)
    assert isinstance(look, WindowLooker)
    moments = list(watch_live(part, look, LiveVideo(stream(str(A)))))
    assert [moment.num_frames for moment in moments] == [2, 4, 6, 8, 10, 12]
    assert [moment.num_scores for moment in moments] == [1, 2, 3, 4, 5, 6]
    assert moments[-1].seconds == pytest.approx(11 / 16)
    assert {moment.num_dropped for moment in moments} == {0}
    found = torch.stack([moment.probabilities for moment in moments[3:]])
    timeline = watch(part, A, probe(A), 8)
    torch.testing.assert_close(found, timeline.probabilities)


@pytest.mark.usefixtures("small_run")
@pytest.mark.parametrize("name", ["synth/stsm_causal", "synth/tsn"])
def test_a_causal_network_takes_frame_by_frame(name):
    part = predictor(name)
    look = looker(part, 8)
    assert isinstance(look, StreamLooker)
    assert (look.every, look.window) == (2, 8)
    moments = list(watch_live(part, look, LiveVideo(stream(str(A)))))
    assert [moment.num_frames for moment in moments] == [2, 4, 6, 8, 10, 12]
    frames = read_frames(A, np.array([0, 2, 4, 6]), short_side_px=32)
    (box,) = center_crop(*frames.shape[1:3], 28)
    pixels = torch.from_numpy(cut(frames, box)).movedim(-1, 1)[None]
    with torch.inference_mode():
        wanted = part.network(normalise(pixels, part.network.view, torch.device("cpu"))).softmax(-1)
    torch.testing.assert_close(moments[3].probabilities, wanted[0])


@pytest.mark.usefixtures("small_run")
def test_a_stream_is_left_after_so_many_seconds():
    part = predictor("synth/stsm")
    video = LiveVideo(stream(str(A)))
    moments = list(watch_live(part, looker(part, 8), video, seconds=0.3))
    assert [moment.num_frames for moment in moments] == [2, 4, 6]


def test_what_breaks_off_is_told_behind_the_scores():
    class Broken:
        is_endless = True

        def frames(self):
            picture = torch.zeros(32, 40, 3, dtype=torch.uint8).numpy()
            yield from [(None, picture)] * 2
            raise DataError("door: broke off")

    part = predictor("synth/stsm")
    moments = watch_live(part, looker(part, 8), Broken())
    assert next(moments).num_frames == 2
    with pytest.raises(DataError, match="door: broke off"):
        next(moments)


def test_a_rate_is_of_the_last_seconds(monkeypatch):
    clock = [100.0]
    monkeypatch.setattr("stsm_cli.engine.live.time.monotonic", lambda: clock[0])
    rates, found = _Rates(), []
    for now, num_frames in [(101, 100), (102, 125), (103, 150), (104, 175), (105, 200)]:
        clock[0] = now
        found.append(rates.mark(num_frames, now - 100))
    assert found == [(100, 1), (62.5, 1), (50, 1), (25, 1), (25, 1)]
    assert rates.elapsed() == 5


def test_sampling_by_motion_needs_a_whole_video():
    part = predictor("synth/mg_tsm")
    with pytest.raises(UsageError, match=r"data\.sampling motion: is by a whole video"):
        looker(part, 8)


def test_an_exported_network_of_several_views_takes_no_stream():
    part = replace(predictor("synth/stsm"), network=None)
    assert looker(part, 8).window == 8
    test = part.recipe.test.model_copy(update={"crops": 3})
    part = replace(part, recipe=part.recipe.model_copy(update={"test": test}))
    with pytest.raises(UsageError, match="network takes 3 views of a video, a stream has") as error:
        looker(part, 8)
    assert error.value.hint.startswith("export it with --clips 1 --crops 1, or without")

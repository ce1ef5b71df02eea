import json
from pathlib import Path

import numpy as np
import pytest
import torch

from stsm_cli.engine.fusion import fuse
from stsm_cli.engine.kept_tests import KeptTest, kept_test
from stsm_cli.engine.runlog import RunFolder
from stsm_cli.engine.score_files import SavedScores
from stsm_cli.engine.testing import run_test
from stsm_cli.engine.trained import trained
from stsm_cli.errors import StsmError
from stsm_cli.stored import Result, result_record

CLASSES = ("left_to_right", "right_to_left", "up")


@pytest.fixture
def stream(small_run, monkeypatch):
    """Makes a test of three videos of the given probabilities; None: it does not decode."""
    monkeypatch.setattr("stsm_cli.engine.fusion.summary", _summary)

    def make(name, *rows):
        paths = [f"val/{number}.mp4" for number in range(len(rows))]
        scores = SavedScores(
            {path: number for number, path in enumerate(paths)},
            {
                path: np.array(row, np.float32)
                for path, row in zip(paths, rows, strict=True)
                if row is not None
            },
            CLASSES,
            ("", "", ""),
        )
        folder = RunFolder(Path("runs") / name)
        folder.path.mkdir(parents=True, exist_ok=True)
        return KeptTest(folder, small_run.recipe(), _result(name), scores)

    return make


def _summary(scores, manifest, recipe):
    from stsm_cli.engine.accuracy import summarise

    return summarise(scores, None)


def _result(name):
    return Result(
        **{"num_videos": 3, "num_listed": 3, "correct": 1, "top1": 33.3, "top5": 100.0},
        **{"top1_interval": (6.1, 79.2), "mean_class": 33.3, "pair_accuracy": None, "broken": ()},
        name=f"{name} + seed=1",
        protocol="synth-1x1@28",
        recipe_hash=f"hash {name}",
        weights_sha256=f"sha {name}",
        decoder="pyav",
        seconds_eval=1.25,
    )


RGB = ([0.6, 0.3, 0.1], [0.2, 0.2, 0.6], [0.5, 0.4, 0.1])
FLOW = ([0.1, 0.8, 0.1], [0.1, 0.8, 0.1], [0.0, 0.1, 0.9])


def test_probabilities_are_averaged_by_weight(stream):
    tested = fuse(stream("rgb", *RGB), stream("flow", *FLOW), weights=(1.0, 3.0))
    expected = (np.array(RGB) + 3 * np.array(FLOW)) / 4
    np.testing.assert_allclose(tested.scores.probabilities.numpy(), expected, atol=1e-6)
    assert tested.result.correct == 2


def test_logits_are_added_by_weight(stream):
    tested = fuse(stream("rgb", *RGB), stream("flow", *FLOW), weights=(1.0, 1.5), by="logits")
    logits = torch.tensor(RGB).log() + 1.5 * torch.tensor(FLOW).log()
    expected = logits.softmax(-1)
    np.testing.assert_allclose(tested.scores.probabilities.numpy(), expected.numpy(), atol=1e-6)
    assert tested.scores.probabilities.isfinite().all()  # of a probability of 0, too


def test_a_video_that_one_does_not_decode_counts_as_wrong(stream):
    tested = fuse(stream("rgb", RGB[0], None, RGB[2]), stream("flow", *FLOW))
    assert tested.scores.indices == (0, 2)
    assert tested.scores.broken_labels == {1: 1}
    assert (tested.result.num_videos, tested.result.num_listed) == (2, 3)
    with pytest.raises(StsmError, match="no video was decoded in both tests"):
        fuse(stream("rgb", RGB[0], None, None), stream("flow", None, *FLOW[1:]))


def test_the_result_says_what_it_was_made_of_and_is_kept(stream):
    result = fuse(stream("rgb", *RGB), stream("flow", *FLOW), weights=(2.0, 1.0)).result
    kept = Path("runs/rgb/fuse-flow-synth-1x1@28-2-1.json").read_bytes()
    fuse(stream("rgb", *RGB), stream("flow", *FLOW), by="logits")
    fuse(stream("rgb", *RGB), stream("flow", *FLOW), weights=(3.0, 3.0))
    names = sorted(path.name for path in Path("runs/rgb").glob("fuse-*"))
    assert names == [f"fuse-flow-synth-1x1@28{how}.json" for how in ("-2-1", "-3-3", "-logits")]
    assert (result.name, result.checkpoint) == ("rgb and flow", "last.pt and last.pt")
    assert (result.recipe_hash, result.weights_sha256) == ("hash rgb+hash flow", "sha rgb+sha flow")
    assert (result.protocol, result.seconds_eval) == ("synth-1x1@28", 2.5)
    kept = json.loads(kept)
    assert kept == json.loads(json.dumps(result_record(result)))
    assert kept["fused"] == {
        "names": ["rgb + seed=1", "flow + seed=1"],
        "weights": [2.0, 1.0],
        "by": "prob",
    }


def test_a_run_with_itself_is_itself(small_run):
    subject = trained(None, None)
    alone = run_test(subject, data_root=None, device=torch.device("cpu"), workers=0, decoder="pyav")
    kept = kept_test(small_run.path, None)
    fused = fuse(kept, kept)
    torch.testing.assert_close(fused.scores.probabilities, alone.scores.probabilities)
    for key in ("correct", "top5", "mean_class", "pair_accuracy", "pairs", "split_id"):
        assert getattr(fused.result, key) == getattr(alone.result, key)

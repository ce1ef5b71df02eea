"""The files of results: their keys in order, and what older versions left out."""

import json
from dataclasses import fields, replace

import pytest

from stsm_cli.errors import CheckpointError
from stsm_cli.stored import (
    FactorScore,
    Fusion,
    Pair,
    Result,
    contradiction,
    read_stored,
    result_record,
    wilson_interval,
)

SCORE = {
    "num_videos": 3,
    "num_listed": 4,
    "correct": 2,
    "top1": 50.0,
    "top1_interval": (15.0, 85.0),
    "top5": 75.0,
    "top5_interval": (30.1, 95.4),
    "mean_class": 50.0,
    "pair_accuracy": 50.0,
    "pairs": (Pair(("a", "b"), 4, 2, 2, "order"),),
    "hits": "oA==",
    "broken": ("val/1.mp4",),
}
DATA = {"list_sha256": "l", "class_hash": "c", "num_in_lists": None, "decoder": "pyav"}
WHOSE = {"name": "synth/stsm", "protocol": "synth-1x1@16", "recipe_hash": "r", "numerics": 2}
TRAINED = Result(
    **SCORE, **DATA, **WHOSE, split_id="s", weights_sha256="w", seconds_train=2.0, seconds_eval=1.0
)
TESTED = replace(TRAINED, checkpoint="last.pt", environment={"threads": 1}, seconds_train=0.0)
STOPPED = replace(TRAINED, stopped_epoch=3, reencoded="videos_256g16")
FUSED = replace(TESTED, fused=Fusion(names=("a", "b"), weights=(1.0, 2.0), by="prob"))


def test_the_result_of_a_training_has_its_keys_in_order():
    assert list(result_record(TRAINED)) == [
        *("schema", "name", "protocol", "recipe_hash", "numerics", "split_id", *SCORE),
        *("seconds_train", "seconds_eval", *DATA, "weights_sha256"),
    ]


def test_the_result_of_a_test_has_its_keys_in_order():
    assert list(result_record(TESTED)) == [
        *("schema", "name", "checkpoint", "protocol", "recipe_hash", "numerics", *SCORE, *DATA),
        *("split_id", "weights_sha256", "seconds_eval", "environment"),
    ]


def test_nothing_of_a_result_is_left_out():
    kept = result_record(STOPPED).keys() | result_record(FUSED).keys()
    assert list(result_record(STOPPED)) == [*result_record(TRAINED), "stopped_epoch", "reencoded"]
    assert list(result_record(FUSED)) == [*result_record(TESTED), "fused"]
    assert kept == {field.name for field in fields(Result)}


@pytest.mark.parametrize("result", [TRAINED, TESTED, FUSED, STOPPED])
def test_a_result_is_read_as_it_was_written(tmp_path, result):
    (tmp_path / "result.json").write_text(json.dumps(result_record(result)))
    typed, plain = read_stored(tmp_path / "result.json", Result, "a result", CheckpointError)
    assert typed == result
    counts = {"videos": 4, "correct": 2, "ordered": 2, "factor": "order"}
    assert plain["pairs"] == [{"classes": ["a", "b"], **counts}]


def test_a_result_of_an_older_version_is_read(tmp_path):
    new = (
        *("schema", "numerics", "split_id", "pairs", "hits", "top5_interval", "weights_sha256"),
        *DATA,
    )
    old = {key: value for key, value in result_record(TRAINED).items() if key not in new}
    (tmp_path / "result.json").write_text(json.dumps(old))
    typed, plain = read_stored(tmp_path / "result.json", Result, "a result", CheckpointError)
    assert (typed.top1, typed.numerics, typed.split_id, typed.decoder) == (50.0, 1, None, None)
    assert plain == json.loads(json.dumps(old))


def score(**changes):
    interval = tuple(100 * bound for bound in wilson_interval(2, 4))
    return replace(TRAINED, top1_interval=interval, **changes)


PAIRS = (Pair(("a", "b"), 2, 1, 1, "look"), Pair(("c", "d"), 2, 1, 2, "move"))


def test_pairs_that_the_same_thing_tells_apart_are_counted_together():
    more = Pair(("e", "f"), 6, 3, 4, "look")
    assert score(pairs=(*PAIRS, more)).factors == {
        "look": FactorScore(8, 4, 5),
        "move": FactorScore(2, 1, 2),
    }
    assert FactorScore(8, 4, 5).top1 == 50.0
    assert FactorScore(8, 4, 5).in_pair == 62.5
    assert score(pairs=None).factors == {}
    assert score(pairs=(Pair(("a", "b"), 4, 2, 2),)).factors == {}


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"hits": "oA="}, "hits is oA=, not base64"),
        ({"hits": "oKA="}, "hits has 2 bytes, for 4 listed videos"),
        ({"hits": "4A=="}, "hits has 3 videos right, but correct is 2"),
        ({"hits": "AQ=="}, "hits marks videos behind the last of 4"),
        ({"hits": None, "pairs": PAIRS, "pair_accuracy": 75.0}, None),
        (
            {"pairs": (PAIRS[0], replace(PAIRS[1], correct=0)), "pair_accuracy": 75.0},
            "pairs: 1 of their 4 videos are correct, 2 of all",
        ),
        ({"pairs": (PAIRS[0],), "pair_accuracy": 25.0}, None),
        (
            {"pairs": (replace(PAIRS[0], videos=3), PAIRS[1]), "pair_accuracy": 75.0},
            "pairs: they hold more than the 4 listed videos",
        ),
        ({"pairs": None, "pair_accuracy": 40.0}, "pair_accuracy is 40, less than top1, 50"),
        ({"pairs": None, "pair_accuracy": None}, None),
    ],
)
def test_what_a_score_says_of_itself_is_computed(changes, problem):
    assert contradiction(score()) is None
    assert contradiction(score(**changes)) == problem

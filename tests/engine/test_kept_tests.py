import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from stsm_cli.engine.kept_tests import check_same, kept_test, last_test
from stsm_cli.engine.runlog import RunFolder, write_result
from stsm_cli.engine.testing import run_test
from stsm_cli.engine.trained import trained
from stsm_cli.errors import CheckpointError, DataError, UsageError


def evaluate(**edits):
    subject = trained(None, None).under(**edits)
    return run_test(subject, data_root=None, device=torch.device("cpu"), workers=0, decoder="pyav")


def test_the_test_of_a_protocol_is_found(small_run):
    evaluate()
    evaluate(crops=3)
    assert kept_test(small_run.path, None).result.protocol == "synth-1x1@28"
    stream = kept_test(small_run.path, "1x3@28")
    assert stream.result.protocol == "synth-1x3@28"
    assert len(stream.scores.labels) == len(stream.scores.probabilities) == 21


def test_the_test_that_ends_a_training_is_found(small_run):
    evaluate()
    for suffix in ("json", "npz"):
        Path(small_run.path, f"eval-synth-1x1@28.{suffix}").rename(
            small_run.path / f"result.{suffix}"
        )
    assert kept_test(small_run.path, None).result.protocol == "synth-1x1@28"
    with pytest.raises(CheckpointError, match="runs/small: keeps no scores of synth-1x3@28"):
        kept_test(Path("runs/small"), "1x3@28")


def test_the_test_that_ended_a_training_is_kept_apart_from_later_ones(small_run):
    tested = evaluate().result
    with pytest.raises(CheckpointError, match="small: keeps no scores of synth-1x1@28") as caught:
        last_test(Path("runs/small"))
    assert caught.value.hint.startswith("move runs/small away; the same command")
    ended = replace(tested, split_id="whole")
    write_result(small_run.result_file, ended)
    shutil.copy(small_run.path / "eval-synth-1x1@28.npz", small_run.scores_file)
    assert kept_test(small_run.path, None).result == tested  # may be of other videos
    assert last_test(small_run.path).result == ended


@pytest.mark.parametrize("suffix", ["json", "npz"])
def test_a_damaged_test_does_not_hide_a_whole_one(suffix, small_run):
    ended = replace(evaluate().result, seconds_eval=99.0)
    scores = (small_run.path / "eval-synth-1x1@28.npz").read_bytes()
    (small_run.path / f"eval-synth-1x1@28.{suffix}").write_text("damaged")
    with pytest.raises(CheckpointError, match=rf"eval-synth-1x1@28\.{suffix}: ") as caught:
        kept_test(Path("runs/small"), None)
    assert caught.value.hint == "`stsm eval runs/small` keeps them"
    write_result(small_run.result_file, ended)
    small_run.scores_file.write_bytes(scores)
    assert kept_test(small_run.path, None).result == ended


def test_a_test_of_weights_from_before_the_end_is_passed_over(small_run):
    before, more = evaluate().result, evaluate(crops=3).result
    ended = replace(before, seconds_eval=99.0, environment=None, weights_sha256="ab")
    write_result(small_run.result_file, ended)
    with np.load(small_run.path / "eval-synth-1x1@28.npz") as kept:
        np.savez(small_run.scores_file, **dict(kept) | {"weights_sha256": np.array("ab")})
    assert kept_test(small_run.path, None).result == ended
    message = r"small: its scores of synth-1x3@28 are not of the weights that it ended with$"
    with pytest.raises(CheckpointError, match=message) as caught:
        kept_test(Path("runs/small"), "1x3@28")
    assert caught.value.hint == "`stsm eval runs/small --protocol 1x3@28` keeps them"
    write_result(small_run.result_file, replace(ended, weights_sha256=more.weights_sha256))
    assert kept_test(small_run.path, "1x3@28").result == more


def test_scores_of_another_test_than_the_result_are_passed_over(small_run):
    """As a kill between the writing of the two leaves them."""
    result = evaluate().result
    path = small_run.path / "eval-synth-1x1@28.npz"
    with np.load(path) as file:
        scores = dict(file)
    for key in ("protocol", "weights_sha256", "list_sha256"):
        np.savez(path, **scores | {key: np.array("other")})
        message = r"small: its scores of synth-1x1@28 are of another test than its result$"
        with pytest.raises(CheckpointError, match=message):
            kept_test(small_run.path, None)
    np.savez(path, **scores)
    assert kept_test(small_run.path, None).result == result


def test_of_results_from_before_weights_were_known_any_test_counts(small_run):
    tested = evaluate().result
    write_result(small_run.result_file, replace(tested, weights_sha256=None))
    assert kept_test(small_run.path, None).result == tested


@pytest.mark.parametrize(
    ("protocol", "command"),
    [(None, "`stsm eval runs/small`"), ("1x3@28", "`stsm eval runs/small --protocol 1x3@28`")],
)
def test_a_run_without_scores_is_told_with_the_cure(small_run, protocol, command):
    with pytest.raises(CheckpointError, match="runs/small: keeps no scores of synth-1x") as caught:
        kept_test(Path("runs/small"), protocol)
    assert command in caught.value.hint


def test_what_is_no_run_and_no_protocol_is_told(small_run):
    with pytest.raises(CheckpointError, match="nowhere: not a run folder"):
        kept_test(Path("nowhere"), None)
    with pytest.raises(UsageError, match="--protocol k400-1x1@28: belongs to k400"):
        kept_test(Path("runs/small"), "k400-1x1@28")


@pytest.fixture
def kept(small_run):
    evaluate()
    return kept_test(Path("runs/small"), None)


def other(stream, **changes):
    """The test of another run, with other scores."""
    folder = RunFolder(Path("runs/other"))
    return replace(stream, folder=folder, scores=replace(stream.scores, **changes))


def test_equal_tests_pass(kept):
    check_same(kept, other(kept))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"protocol": "synth-1x3@28"}, "its protocol is synth-1x3@28, that of runs/small is"),
        ({"split_id": "synth/2"}, "its split is synth/2, that of runs/small is synth/1"),
        ({"numerics": 2}, "was tested by code of numerics 2, runs/small of 1"),
    ],
)
def test_another_protocol_or_split_is_refused_by_name(kept, change, message):
    second = replace(other(kept), result=replace(kept.result, **change))
    with pytest.raises(DataError, match=f"runs/other: {message}"):
        check_same(kept, second)


def test_other_videos_are_refused_by_name(kept):
    labels = dict(kept.scores.labels)
    first = next(iter(labels))
    del labels[first]
    second = other(kept, labels=labels)
    with pytest.raises(DataError, match=f"runs/other: was not tested on {first}, the other run"):
        check_same(kept, second)
    with pytest.raises(
        DataError, match=f"runs/other: was not tested on {first}, the other run"
    ) as caught:
        check_same(second, kept)
    assert "`stsm eval RUN --data ROOT`" in caught.value.hint
    none = other(kept, labels={})
    with pytest.raises(DataError, match=f"not tested on {first}, and 20 more, the other run was"):
        check_same(kept, none)


@pytest.mark.parametrize("ids", [("0a" * 16, "1b" * 16), ("0a" * 16, None)])
def test_other_files_of_the_same_names_are_refused_in_words(kept, ids):
    first, second = (
        replace(test, result=replace(kept.result, split_id=known))
        for test, known in zip((kept, other(kept)), ids, strict=True)
    )
    message = "^runs/other: was tested on other files of the same names than runs/small$"
    with pytest.raises(DataError, match=message):
        check_same(first, second)


def test_other_labels_are_refused_by_name(kept):
    labels = kept.scores.labels
    first = next(iter(labels))
    second = other(kept, labels=labels | {first: 5})
    with pytest.raises(DataError, match=f"runs/other: {first} is of class 'recede', in runs/small"):
        check_same(kept, second)


def test_other_classes_are_refused_by_name(kept):
    names = kept.scores.classes
    swapped = (names[1], names[0], *names[2:])
    with pytest.raises(DataError, match="runs/other: class 0 is 'right_to_left', in runs/small 'l"):
        check_same(kept, other(kept, classes=swapped))
    with pytest.raises(DataError, match="runs/other: knows 15 classes, runs/small 16"):
        check_same(kept, other(kept, classes=names[:-1]))


@pytest.mark.parametrize("content", [b"no scores", b"PK"])
def test_what_is_no_file_of_scores_is_told(kept, content):
    (kept.folder.path / "eval-synth-1x1@28.npz").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"eval-synth-1x1@28\.npz: not a file of scores"):
        kept_test(kept.folder.path, None)


def test_a_file_of_other_arrays_is_told(kept):
    np.savez(kept.folder.path / "eval-synth-1x1@28.npz", paths=np.array(["a"]))
    with pytest.raises(CheckpointError, match=r"not a file of scores .*broken_paths"):
        kept_test(kept.folder.path, None)

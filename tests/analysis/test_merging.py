"""Records of two machines in one folder."""

import json
import shutil
from base64 import b64encode
from dataclasses import replace

import numpy as np
import pytest

from stsm_cli.analysis.ablation import plan_sweep
from stsm_cli.analysis.merging import merge_records
from stsm_cli.analysis.records import read_records, record_path
from stsm_cli.analysis.sweep import run_sweep
from stsm_cli.errors import DataError, UsageError


@pytest.fixture
def machines(measure, tmp_path):
    """Two folders: the first with row 3/8, the second with rows 3/8 and 1/2, of seed 0."""
    measure("alpha", lambda run: {"3/8": 70, "1/2": 60}.get(run.row.name))
    shutil.move(tmp_path / "records", tmp_path / "b" / "records")
    shutil.copytree(tmp_path / "b", tmp_path / "a")
    next((tmp_path / "a").glob("records/*/*/1-2-*.json")).unlink()
    return tmp_path / "a", tmp_path / "b"


def edit(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def score_otherwise(path):
    edit(path, score=json.loads(path.read_text())["score"] | {"top5": 98.0})


def test_what_is_missing_is_copied_as_it_is_and_the_rest_left(machines):
    a, b = machines
    (theirs,) = b.glob("records/*/*/1-2-*.json")
    before = {path: path.read_bytes() for path in (*a.rglob("*.json"), *b.rglob("*.json"))}
    (new,), twice = merge_records(a, [b])
    assert new == a / theirs.relative_to(b)
    assert new.read_bytes() == theirs.read_bytes()
    assert twice == []
    assert {path: path.read_bytes() for path in before} == before
    assert len(read_records(a)) == 2
    assert merge_records(a, [b, b]) == ([], [])


def test_of_a_run_that_both_did_the_first_record_stays_and_both_are_told(machines):
    a, b = machines
    (ours,), (theirs,) = (folder.glob("records/*/*/3-8-*.json") for folder in machines)
    before = ours.read_bytes()
    edit(theirs, seconds=9.0)
    assert merge_records(a, [b])[1] == []  # another time is no other result
    score_otherwise(theirs)
    _, (twice,) = merge_records(a, [b])
    assert ours.read_bytes() == before
    assert str(twice) == f"{ours} stays, top-1 70.00 %; {theirs} is of the same run, 70.00 %"


@pytest.mark.parametrize(
    ("origin", "says"),
    [
        ({"data_id": "order/3"}, "its data is order/3, that of {ours} is order/2"),
        ({"numerics": 2}, "its numerics is 2, that of {ours} is 1"),
    ],
)
def test_records_of_different_runs_at_one_place_are_refused(machines, origin, says):
    a, b = machines
    (ours,), (theirs,) = (folder.glob("records/*/*/3-8-*.json") for folder in machines)
    edit(theirs, environment=json.loads(theirs.read_text())["environment"] | origin)
    with pytest.raises(DataError) as caught:
        merge_records(a, [b])
    assert str(caught.value) == f"{theirs}: {says.format(ours=ours)}"
    assert caught.value.hint == "they are not of one run: move one of them away"
    assert len(read_records(a)) == 1


def test_a_run_that_lies_elsewhere_here_is_refused_before_anything_is_copied(
    tmp_path, fake_outcome
):
    found = []
    for row in ("1/8", "T 1/8"):  # alike with this override
        sweep = plan_sweep("alpha", only=["1/2", row], overrides=["model.shift.dims=T"])
        (run,) = [run for run in sweep.runs if run.row.name == row]
        sweep, out = replace(sweep, runs=(run,)), tmp_path / str(len(found))
        done = [(0, fake_outcome(70, run))]
        run_sweep(sweep, out, lambda tasks, done=done: done, on_record=lambda *told: None)
        found.append(record_path(out, sweep, run))
    ours, theirs = found
    with pytest.raises(DataError) as caught:
        merge_records(tmp_path / "0", [tmp_path / "1"])
    assert str(caught.value) == f"{theirs}: tells of the same run as {ours}"
    assert caught.value.hint == "move one of them away"
    assert len(read_records(tmp_path / "0")) == 1


def test_a_folder_without_records_is_refused(machines, tmp_path):
    with pytest.raises(UsageError, match=r"--from .*elsewhere: holds no records/"):
        merge_records(machines[0], [tmp_path / "elsewhere"])


def test_nothing_is_copied_where_a_later_folder_is_refused(machines, tmp_path):
    a, b = machines
    before = sorted(a.rglob("*"))
    shutil.copytree(b, tmp_path / "c")
    (broken,) = (tmp_path / "c").glob("records/*/*/1-2-*.json")
    broken.write_text("{")
    with pytest.raises(DataError) as caught:
        merge_records(a, [b, tmp_path / "c"])
    assert str(caught.value).startswith(f"{broken}: not a run record: Invalid JSON")
    with pytest.raises(UsageError, match=r"--from .*elsewhere: holds no records/"):
        merge_records(a, [b, tmp_path / "elsewhere"])
    assert sorted(a.rglob("*")) == before


def test_of_two_folders_that_have_what_is_missing_the_first_counts(machines, tmp_path):
    a, b = machines
    shutil.copytree(b, tmp_path / "c")
    (theirs,) = b.glob("records/*/*/1-2-*.json")
    third = tmp_path / "c" / theirs.relative_to(b)
    score_otherwise(third)
    (new,), (twice,) = merge_records(a, [b, tmp_path / "c"])
    assert new.read_bytes() == theirs.read_bytes()
    assert str(twice) == f"{new} stays, top-1 60.00 %; {third} is of the same run, 60.00 %"


def test_a_run_that_two_other_folders_did_on_other_videos_is_refused(machines, tmp_path):
    a, b = machines
    shutil.copytree(b, tmp_path / "c")
    (theirs,) = b.glob("records/*/*/1-2-*.json")
    third = tmp_path / "c" / theirs.relative_to(b)
    environment = json.loads(theirs.read_text())["environment"]
    edit(third, environment=environment | {"data_id": "order/3"})
    with pytest.raises(DataError) as caught:
        merge_records(a, [b, tmp_path / "c"])
    assert str(caught.value) == f"{third}: its data is order/3, that of {theirs} is order/2"
    assert len(read_records(a)) == 1


@pytest.fixture
def tables(measure, tmp_path):
    """The record of row T in Table 2 of one folder, and in Table 3 of another: 70 and 60 right."""
    found = []
    for name, correct in (("spatial", 70), ("spatiotemporal", 60)):
        measure(name, lambda run, correct=correct: correct if run.row.name == "T" else None)
        (tmp_path / name).mkdir()
        shutil.move(tmp_path / "records", tmp_path / name)
        found += (tmp_path / name).glob("records/*/*/T-seed0.json")
    return found


def test_a_run_with_two_scores_in_two_tables_is_told(tables, tmp_path):
    second, third = tables
    ours = tmp_path / "spatial"
    there = ours / third.relative_to(tmp_path / "spatiotemporal")
    told = f"{second} has top-1 70.00 %; {there} is of the same run, 60.00 %"
    copied, twice = merge_records(ours, [tmp_path / "spatiotemporal"])
    assert (copied, [str(run) for run in twice]) == ([there], [told])
    copied, twice = merge_records(ours, [])
    assert (copied, [str(run) for run in twice]) == ([], [told])


def test_what_another_version_did_not_keep_is_no_other_score(tables, tmp_path):
    second, third = tables
    score = json.loads(second.read_text())["score"]
    hits = b64encode(np.packbits([True] * 70 + [False] * 30).tobytes()).decode()
    edit(second, score=score | {"hits": hits})
    edit(third, score=score)
    shutil.copytree(tmp_path / "spatiotemporal", tmp_path / "spatial", dirs_exist_ok=True)
    assert merge_records(tmp_path / "spatial", []) == ([], [])
    here = tmp_path / "spatial" / third.relative_to(tmp_path / "spatiotemporal")
    others = b64encode(np.packbits([False] * 30 + [True] * 70).tobytes()).decode()
    edit(here, score=score | {"hits": others})
    _, (twice,) = merge_records(tmp_path / "spatial", [])
    assert str(twice) == f"{second} has top-1 70.00 %; {here} is of the same run, 70.00 %"

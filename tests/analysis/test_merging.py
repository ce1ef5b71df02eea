"""Records of two machines in one folder."""

import json
import shutil

import pytest

from stsm_cli.analysis.merging import merge_records
from stsm_cli.analysis.records import read_records
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
    edit(theirs, seconds=9.0)
    before = ours.read_bytes()
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


def test_a_run_that_lies_elsewhere_here_is_refused_before_anything_is_copied(machines):
    a, b = machines
    (ours,), (theirs,) = (folder.glob("records/*/*/3-8-*.json") for folder in machines)
    edit(theirs, row="three eighths")
    theirs = theirs.rename(theirs.with_name("three-eighths-seed0.json"))
    with pytest.raises(DataError) as caught:
        merge_records(a, [b])
    assert str(caught.value) == f"{theirs}: tells of the same run as {ours}"
    assert caught.value.hint == "move one of them away"
    assert len(read_records(a)) == 1


def test_a_folder_without_records_is_refused(machines, tmp_path):
    with pytest.raises(UsageError, match=r"--from .*elsewhere: holds no records/"):
        merge_records(machines[0], [tmp_path / "elsewhere"])

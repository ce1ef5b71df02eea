import json

import pytest

from stsm_cli.data.content import files_id
from stsm_cli.data.flow_report import (
    check_flow,
    check_flow_files,
    flow_id,
    told_without_flow,
    videos_without_flow,
)
from stsm_cli.data.manifest import (
    Manifest,
    VideoRecord,
    manifest_digest,
    read_manifest,
    write_manifest,
)
from stsm_cli.errors import DataError


@pytest.fixture
def report(tmp_path):
    """Writes the report on flow by DIS at short side 128."""

    def write(**more):
        path = tmp_path / "manifest/flow_dis.json"
        path.parent.mkdir(exist_ok=True)
        content = {"method": "dis", "short_side_px": 128, "version": 1, "bytes": 7}
        path.write_text(json.dumps(content | more))

    return write


@pytest.mark.parametrize(
    ("method", "command"),
    [("dis", "`stsm prepare flow {}`"), ("tvl1", "`stsm prepare flow {} --method tvl1`")],
)
def test_a_set_without_flow_is_told_with_the_cure(tmp_path, method, command):
    with pytest.raises(DataError, match=f"{tmp_path}: has no optical flow by {method}") as caught:
        check_flow(tmp_path, method)
    assert command.format(tmp_path) in caught.value.hint


def test_flow_of_another_list_of_videos_is_told(tmp_path, report):
    records = [VideoRecord(f"{number}.mp4", 0, 6, 8.0, 22, 18) for number in range(2)]
    write_manifest(Manifest(tmp_path, "val", ("a",), records))
    report(manifests={"val": manifest_digest(tmp_path, "val")})
    assert check_flow(tmp_path, "dis").how == "flow:dis@128/1"
    write_manifest(Manifest(tmp_path, "val", ("a",), records[:1]))
    with pytest.raises(DataError, match="is of another list of val videos than") as caught:
        check_flow(tmp_path, "dis")
    assert caught.value.hint == f"`stsm prepare flow {tmp_path}` makes what is missing"


def test_flow_of_files_that_have_changed_is_told(tmp_path, report):
    video = tmp_path / "0.mp4"
    video.write_bytes(b"before")
    write_manifest(Manifest(tmp_path, "val", ("a",), [VideoRecord("0.mp4", 0, 6, 8.0, 22, 18)]))
    manifest = read_manifest(tmp_path, "val")
    check_flow_files(manifest, "dis")  # nothing is known of any
    report(files={"val": files_id(manifest)})
    check_flow_files(manifest, "dis")
    video.write_bytes(b"and after")
    with pytest.raises(DataError, match="files of its val videos have changed since") as caught:
        check_flow_files(manifest, "dis")
    assert caught.value.hint == f"`stsm prepare flow {tmp_path}` makes theirs anew"
    video.unlink()  # a training on flow needs no RGB
    check_flow_files(manifest, "dis")


def test_flow_is_known_by_method_size_version_and_what_has_none(tmp_path, report):
    assert flow_id(tmp_path, "dis") is None
    report()
    assert flow_id(tmp_path, "dis") == "flow:dis@128/1"
    report(without_flow={"train": [], "val": []})
    assert flow_id(tmp_path, "dis") == "flow:dis@128/1"
    known = set()
    for without in ({"train": ["a", "b"]}, {"train": ["a"], "val": ["b"]}, {"train": ["a", "c"]}):
        report(without_flow=without)
        known.add(flow_id(tmp_path, "dis"))
    assert len(known) == 3
    assert all(one.startswith("flow:dis@128/1/without-2-") for one in known)
    report(short_side_px=0)
    with pytest.raises(DataError, match=r"flow_dis\.json: not a report on flow: short_side_px"):
        flow_id(tmp_path, "dis")


def test_videos_without_flow_are_named_by_their_split(tmp_path, report):
    assert videos_without_flow(tmp_path, "dis", "train") == frozenset()
    report(without_flow={"train": ["a", "b"], "val": []})
    assert videos_without_flow(tmp_path, "dis", "train") == {"a", "b"}
    assert videos_without_flow(tmp_path, "dis", "val") == frozenset()
    assert videos_without_flow(tmp_path, "dis", "test") == frozenset()


def test_they_are_told_in_one_line(tmp_path):
    place = tmp_path / "manifest/flow_dis_problems.csv"
    many = frozenset(f"{number}.mp4" for number in range(1003))
    assert told_without_flow(tmp_path, "dis", "train", many, 2000) == (
        "1,003 of 2,000 train videos have no optical flow by dis and are left out: 0.mp4, 1.mp4, "
        f"10.mp4, ... ({place} says why)"
    )
    assert told_without_flow(tmp_path, "dis", "val", frozenset(["a"]), 7) == (
        "1 of 7 val videos has no optical flow by dis and is counted as wrong: a "
        f"({place} says why)"
    )
    with pytest.raises(DataError, match="none of its 1,003 train videos has optical flow by dis"):
        told_without_flow(tmp_path, "dis", "train", many, 1003)

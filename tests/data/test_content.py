"""What videos are known by: their content, never their place."""

import errno
import shutil
from pathlib import Path

import pytest

from stsm_cli.data.content import (
    data_id,
    data_id_at,
    flow_of,
    made_files,
    split_id,
    without_flow,
)
from stsm_cli.data.manifest import Manifest, VideoRecord, read_manifest, write_manifest
from stsm_cli.errors import DataError


@pytest.fixture
def root(tmp_path):
    """Two splits of two files each."""
    root = tmp_path / "set"
    for split in ("train", "val"):
        records = tuple(VideoRecord(f"{split}/{i}.mp4", i, 6, 8.0, 22, 18) for i in range(2))
        write_manifest(Manifest(root, split, ("a", "b"), records))
        (root / split).mkdir()
        for record in records:
            (root / record.path).write_bytes(b"video")
    return root


def test_a_set_may_move(root, tmp_path):
    before = data_id_at("folder", root)
    assert len(before.split("+")) == 2
    shutil.move(root, tmp_path / "elsewhere")
    assert data_id_at("folder", tmp_path / "elsewhere") == before
    assert data_id_at("folder", root) is None


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("val/1.mp4", "longer"),  # another video, the same name
        ("manifest/classes.txt", "b\na\n"),
        (
            "manifest/val.csv",
            "path,label,frames,fps,width,height\nval/1.mp4,1,6,8.0,22,18\nval/0.mp4,0,6,8.0,22,18\n",
        ),
        (
            "manifest/val.csv",
            "path,label,frames,fps,width,height\nval/0.mp4,1,6,8.0,22,18\nval/1.mp4,1,6,8.0,22,18\n",
        ),
    ],
)
def test_another_video_list_or_order_is_another_set(root, file, content):
    before = data_id_at("folder", root)
    (root / file).write_text(content)
    assert data_id_at("folder", root) != before


def test_a_file_that_is_gone_is_another_set_and_no_error(root):
    before = data_id_at("folder", root)
    (root / "train" / "0.mp4").unlink()
    assert data_id_at("folder", root) != before


def test_a_disk_that_does_not_answer_makes_no_other_set(root, monkeypatch):
    manifest, stat = read_manifest(root, "train"), Path.stat

    def stale(self, **options):
        if self.suffix == ".mp4":
            raise OSError(errno.ESTALE, "Stale file handle")
        return stat(self, **options)

    monkeypatch.setattr(Path, "stat", stale)
    with pytest.raises(DataError, match=r"0\.mp4: cannot be read \(Stale file handle\)"):
        split_id("folder", manifest)
    (root / "train" / "0.mp4").unlink()
    (root / "train" / "0.mp4").mkdir()
    with pytest.raises(DataError, match=r"0\.mp4: cannot be read \(Is a directory\)"):
        made_files("synth", [manifest])


def test_the_embedded_set_is_known_by_its_generator(root):
    manifest = Manifest(root, "val", ("a",), ())
    assert split_id("synth", manifest) == data_id_at("synth", root / "nowhere") == "synth/1"
    assert data_id(["synth/1", "synth/1"]) == "synth/1"


def test_the_files_of_a_generated_set_are_known_by_their_bytes(root, tmp_path):
    splits = [read_manifest(root, split) for split in ("train", "val")]
    before = made_files("synth", splits)
    assert list(before) == ["train", "val"]
    assert before["train"] != before["val"]
    (root / "val" / "1.mp4").write_bytes(b"other")  # as long, by another encoder
    after = made_files("synth", splits)
    assert (after["train"], after["val"] != before["val"]) == (before["train"], True)
    (root / "val" / "1.mp4").unlink()
    assert made_files("synth", splits)["val"] not in (before["val"], after["val"])
    assert made_files("folder", splits) == {}
    shutil.move(root, tmp_path / "elsewhere")
    assert made_files("synth", [read_manifest(tmp_path / "elsewhere", "train")]) == {
        "train": before["train"]
    }


def test_what_is_known_of_flow_is_a_part_of_it():
    assert data_id(["ab", "cd", "flow:dis@128/1"]) == "ab+cd+flow:dis@128/1"
    for known in ("ab+cd+flow:dis@128/1", "ab+cd+flow:dis@128/1/without-2-0123456789ab"):
        assert without_flow(known) == "ab+cd"
        assert flow_of(known) == "flow:dis@128/1"
    assert without_flow("ab+cd") == "ab+cd"
    assert flow_of("ab+cd") is None

import os
import re

import pytest

from stsm_cli.errors import DataError
from stsm_cli.prepare.tree import folder_of, scan, split_of, stem
from stsm_cli.progress import SILENT


def test_a_tree_has_files_folders_and_among_them_videos(plant):
    root = plant({"b/x.MP4": None, "a/y.webm": None, "a/notes.txt": "", "top.avi": None})
    tree = scan(root, SILENT)
    assert tree.files == ("a/notes.txt", "a/y.webm", "b/x.MP4", "top.avi")
    assert tree.folders == ("a", "b")
    assert tree.videos == ("a/y.webm", "b/x.MP4", "top.avi")


def test_hidden_files_and_the_folders_of_prepare_itself_do_not_count(plant):
    hidden = {
        "._x.mp4": "",
        ".cache/x.mp4": "",
        "manifest/train.csv": "",
        "videos_256g16/x.mp4": "",
    }
    root = plant(hidden | {"videos_256/x.mp4": None, "sub/manifest/y.mp4": None})
    tree = scan(root, SILENT)
    assert tree.files == ("sub/manifest/y.mp4", "videos_256/x.mp4")
    assert tree.folders == ("sub", "sub/manifest", "videos_256")


def test_links_to_folders_are_followed_but_not_in_circles(plant, tmp_path):
    elsewhere = plant({"x.mp4": None}, tmp_path / "disk")
    root = plant({"a/y.mp4": None})
    (root / "linked").symlink_to(elsewhere)
    (root / "a" / "up").symlink_to(root)
    assert scan(root, SILENT).videos == ("a/y.mp4", "linked/x.mp4")


def test_names_nearest_the_root_come_first(plant):
    root = plant(
        {"a/b/labels.json": "", "z/labels.json": "", "labels.json": "", "xlabels.json": ""}
    )
    assert scan(root, SILENT).named(r"labels\.json") == (
        "labels.json",
        "z/labels.json",
        "a/b/labels.json",
    )


def test_stem_drops_folders_and_one_suffix():
    assert [stem(path) for path in ("a/b.c.mp4", "b", "a b/12.webm")] == ["b.c", "b", "12"]


def test_the_folder_of_a_path():
    assert [folder_of(path) for path in ("a/b/c.mp4", "a/b", "a")] == ["a/b", "a", ""]


@pytest.mark.parametrize(
    ("folder", "split"),
    [
        ("videos_val", "val"),
        ("train/validation", "val"),
        ("k400-Train-256/archery", "train"),
        ("test", "test"),
        ("training dogs/valley", None),
        ("", None),
    ],
)
def test_a_folder_says_which_split_it_holds(folder, split):
    assert split_of(folder) == split


def test_a_root_that_is_not_there(tmp_path):
    with pytest.raises(DataError, match=re.escape(f"{tmp_path / 'none'}: no such folder")):
        scan(tmp_path / "none", SILENT)
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=re.escape(f"{tmp_path / 'file'}: is no folder")):
        scan(tmp_path / "file", SILENT)


def test_an_empty_root(tmp_path):
    with pytest.raises(DataError, match=re.escape(f"{tmp_path}: is empty")):
        scan(tmp_path, SILENT)


def test_a_folder_that_cannot_be_read(plant, monkeypatch):
    root = plant({"a/x.mp4": None})

    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(DataError, match=re.escape(f"{root}: cannot be read (Permission denied)")):
        scan(root, SILENT)


def test_a_name_that_no_list_can_hold(plant):
    root = plant({"a/x.mp4": None})
    try:
        (root / "a" / os.fsdecode(b"caf\xe9.mp4")).write_bytes(b"")
    except OSError:
        pytest.skip("this file system refuses such names")
    with pytest.raises(DataError, match=r"the name of 'a/caf\\udce9.mp4' is not UTF-8") as caught:
        scan(root, SILENT)
    assert caught.value.hint == "rename these files"

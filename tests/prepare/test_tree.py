import os
import re
import subprocess
from pathlib import Path

import pytest

from stsm_cli.errors import DataError
from stsm_cli.prepare.tree import Tree, folder_of, scan, split_of, stem
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
        "flow_dis/a/x.mp4.mp4": "",
    }
    root = plant(hidden | {"videos_256/x.mp4": None, "sub/manifest/y.mp4": None})
    tree = scan(root, SILENT)
    assert tree.files == ("sub/manifest/y.mp4", "videos_256/x.mp4")
    assert tree.folders == ("sub", "sub/manifest", "videos_256")


@pytest.mark.parametrize("sign", ["report.json", "ledger.jsonl"])
def test_what_an_earlier_prepare_made_further_down_does_not_count(plant, sign):
    made = {"videos_32g16/a/x.mp4": None, "flow_dis/a/x.mp4.mp4": None, f"manifest/{sign}": "{}"}
    root = plant({f"deep/set/{path}": content for path, content in made.items()})
    plant({"deep/set/a/x.mp4": None, "deep/flow_dis/y.mp4": None}, root)
    tree = scan(root, SILENT)
    assert tree.files == ("deep/flow_dis/y.mp4", "deep/set/a/x.mp4")
    assert tree.folders == ("deep", "deep/flow_dis", "deep/set", "deep/set/a")
    assert tree.outputs == ("deep/set/flow_dis", "deep/set/manifest", "deep/set/videos_32g16")
    assert tree.passes_over("deep/set/videos_32g16/a/x.mp4")
    assert not tree.passes_over("deep/flow_dis/y.mp4")


def test_links_to_folders_are_followed_but_not_in_circles(plant, tmp_path):
    elsewhere = plant({"x.mp4": None}, tmp_path / "disk")
    root = plant({"a/y.mp4": None})
    (root / "linked").symlink_to(elsewhere)
    (root / "a" / "up").symlink_to(root)
    assert scan(root, SILENT).videos == ("a/y.mp4", "linked/x.mp4")


def test_a_folder_that_is_linked_to_is_at_both_places(plant):
    root = plant({"train/run/1.mp4": None, "val/run/2.mp4": None})
    (root / "favourites").symlink_to(root / "train" / "run")
    (root / "train" / "run" / "back").symlink_to(root / "train")
    tree = scan(root, SILENT)
    assert tree.videos == ("favourites/1.mp4", "train/run/1.mp4", "val/run/2.mp4")
    assert "train/run/back" not in tree.folders


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
        ("validate", "val"),
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


def test_a_folder_below_that_cannot_be_read_is_a_fault_and_no_end(plant, monkeypatch):
    root = plant({"a/x.mp4": None, "b/y.mp4": None})
    look = os.scandir

    def refuse(path):
        if path == root / "a":
            raise PermissionError(13, "Permission denied", str(path))
        return look(path)

    monkeypatch.setattr(os, "scandir", refuse)
    tree = scan(root, SILENT)
    assert (tree.videos, tree.folders) == (("b/y.mp4",), ("b",))
    assert tree.faults == {"a": "cannot be read (Permission denied)"}


def test_links_in_a_circle_and_into_nothing_are_judged_as_videos_or_are_faults(plant):
    root = plant({"a/x.mp4": None})
    for name, target in (("self.mp4", "self.mp4"), ("self", "self"), ("gone.mp4", "gone")):
        (root / "a" / name).symlink_to(root / "a" / target)
    (root / "walking").symlink_to(root / "unmounted")
    tree = scan(root, SILENT)
    assert tree.videos == ("a/gone.mp4", "a/self.mp4", "a/x.mp4")
    assert tree.faults == {
        "a/self": "cannot be read (Too many levels of symbolic links)",
        "walking": "is a link that leads nowhere",
    }


def test_a_tree_may_be_deeper_than_python_recurses_and_than_a_path_may_be_long(plant):
    root = plant({"x.mp4": None})
    depth, here = 0, os.open(root, os.O_RDONLY)
    while depth < 2200:
        os.mkdir("d", dir_fd=here)  # below what a path can name
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        depth, here = depth + 1, below
    os.close(here)
    try:
        tree = scan(root, SILENT)
    finally:
        subprocess.run(["rm", "-rf", str(root / "d")], check=True)
    assert tree.videos == ("x.mp4",)
    assert list(tree.faults.values()) == ["cannot be read (File name too long)"]


def test_a_root_that_cannot_be_looked_at():
    with pytest.raises(DataError, match=r"n{300}: cannot be read \(File name too long\)"):
        scan(Path("n" * 300), SILENT)


def test_gifs_and_transport_streams_are_videos_and_typescript_is_none(plant):
    stream = bytes([0x47, 0x40, 0, 0x10]) + bytes(184)
    videos = {"a/1.GIF": b"GIF89a", "a/2.ts": stream, "a/3.mts": stream, "a/4.m2ts": stream}
    text = {"b/1.ts": "const é = 1\n" * 200, "b/2.mts": "export {}"}
    tree = scan(plant(videos | text | {"b/3.ts": b"", "b/4.ts": b"\xff" * 9}), SILENT)
    assert tree.videos == (*videos, "b/3.ts", "b/4.ts")
    assert tree.count_others() == {".ts": 1, ".mts": 1}


def test_a_gif_beside_a_video_of_its_name_is_its_preview(plant):
    files = dict.fromkeys(("a/x.gif", "a/x.mp4", "a/y.gif", "b/x.GIF", "b/x.gif.mp4"))
    tree = scan(plant(files), SILENT)
    assert tree.videos == ("a/x.mp4", "a/y.gif", "b/x.GIF", "b/x.gif.mp4")
    assert tree.count_others() == {".gif": 1}


def test_a_pipe_is_not_opened_to_see_what_it_holds(plant):
    root = plant({"a/x.mp4": None})
    os.mkfifo(root / "a" / "pipe.ts")
    assert scan(root, SILENT).videos == ("a/pipe.ts", "a/x.mp4")


def test_what_is_left_out_is_counted_by_suffix(plant):
    root = plant(
        {"a/x.mp4": None, "a/1.JPG": "", "a/2.jpg": "", "a/notes.txt": "", "a/README": ""}
        | {"b/x.zip": "", "lists/train.csv": "", "train.csv": "", "readme.md": "", "y.mp4": None}
        | {"part_1.tar.gz": "", "20bn-something-something-v2-00": ""}
    )
    left_out = scan(root, SILENT).count_others({"b/x.zip"})
    assert left_out == {".jpg": 2, ".txt": 1, "without suffix": 1, ".md": 1}
    assert next(iter(left_out)) == ".jpg"


def test_no_video_is_told_with_what_could_not_be_looked_at(tmp_path):
    tree = Tree(tmp_path, ("a.txt",), ("b",), {"b": "cannot be read (Permission denied)"})
    with pytest.raises(DataError) as caught:
        tree.check_videos("do this")
    assert str(caught.value).splitlines() == [
        f"{tmp_path}: no video found",
        f"{tmp_path / 'b'}: cannot be read (Permission denied)",
    ]
    assert caught.value.hint == "do this"


def test_a_name_that_no_list_can_hold(plant):
    root = plant({"a/x.mp4": None})
    try:
        (root / "a" / os.fsdecode(b"caf\xe9.mp4")).write_bytes(b"")
    except OSError:
        pytest.skip("this file system refuses such names")
    tree = scan(root, SILENT)
    assert tree.videos == ("a/x.mp4",)
    assert tree.faults == {"a/caf\udce9.mp4": "its name is not UTF-8"}

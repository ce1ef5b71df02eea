import hashlib
import os
import pickle
import re
from dataclasses import replace
from pathlib import Path

import pytest

from stsm_cli.data.manifest import (
    Manifest,
    PackedRecords,
    VideoRecord,
    filled_splits,
    read_manifest,
    write_manifest,
)
from stsm_cli.errors import DataError

HEADER = "path,label,frames,fps,width,height"
GOOD = "a.mp4,0,32,25.0,112,96"


def write(root, *lines, classes="jump\nrun\n", header=HEADER):
    folder = root / "manifest"
    folder.mkdir()
    (folder / "classes.txt").write_text(classes, encoding="utf-8")
    (folder / "train.csv").write_text("\n".join([header, *lines, ""]), encoding="utf-8")


def refused(root):
    with pytest.raises(DataError) as caught:
        read_manifest(root, "train")
    message = str(caught.value).replace(f"{root / 'manifest'}{os.sep}", "")
    return message, caught.value.hint


def test_what_is_written_reads_back_equal(tmp_path):
    records = (
        VideoRecord("train/a b, c.mp4", 1, 32, 29.97002997002997, 112, 96),
        VideoRecord('ein "Käse"/視頻.webm', 0, 1, 0.0, 427, 240),
        VideoRecord("new\nline.mp4", 0, 7, 1 / 3, 1, 1),
    )
    manifest = Manifest(tmp_path, "val", ("riding, or walking", "größer"), records)
    write_manifest(manifest)
    assert read_manifest(tmp_path, "val") == manifest
    assert sorted(p.name for p in (tmp_path / "manifest").iterdir()) == ["classes.txt", "val.csv"]


def test_videos_to_be_read_from_their_start_are_noted_beside_the_others(tmp_path):
    records = tuple(
        VideoRecord(name, 0, 1, 1.0, 9, 9) for name in ("a.mp4", "b, c.mp4", "d\ne.mp4")
    )
    noted = Manifest(tmp_path, "val", ("x",), records, frozenset(["b, c.mp4", "d\ne.mp4"]))
    write_manifest(noted)
    assert read_manifest(tmp_path, "val") == noted
    write_manifest(replace(noted, from_start=frozenset()))  # prepared again
    assert read_manifest(tmp_path, "val").from_start == frozenset()


RECORDS = tuple(
    VideoRecord(f"größe/{'a' * i}.mp4", i, 10**12 + i, i / 7, 100 + i, 200 - i) for i in range(6)
)


def test_packed_records_are_a_sequence_of_records():
    packed = PackedRecords(iter(RECORDS))
    assert (len(packed), tuple(packed)) == (6, RECORDS)
    assert (packed[0], packed[5], packed[-1], packed[-6]) == (*RECORDS[::5], *RECORDS[::-5])
    assert (packed[1:4], packed[::-2], packed[4:99]) == (RECORDS[1:4], RECORDS[::-2], RECORDS[4:])
    for index in (6, -7):
        with pytest.raises(IndexError):
            packed[index]


def test_packed_records_equal_the_same_records_in_any_sequence():
    packed = PackedRecords(RECORDS)
    assert packed == RECORDS
    assert RECORDS == packed == PackedRecords(RECORDS)
    assert packed == list(RECORDS)
    assert packed not in (RECORDS[:-1], PackedRecords(RECORDS[::-1]), 6)
    assert PackedRecords([]) == ()


def test_packed_records_travel_to_other_processes_in_little_more_than_their_paths():
    records = (VideoRecord(f"videos/{i:020}.mp4", 1, 300, 30.0, 340, 256) for i in range(1000))
    content = pickle.dumps(PackedRecords(records))
    assert len(content) < 1000 * (len("videos/.mp4") + 20 + 50)
    assert pickle.loads(content)[999].path == f"videos/{999:020}.mp4"


def test_the_file_is_what_the_format_says(tmp_path):
    record = VideoRecord("a.mp4", 0, 32, 25.0, 112, 96)
    write_manifest(Manifest(tmp_path, "train", ("jump", "run"), (record,)))
    assert (tmp_path / "manifest/train.csv").read_bytes() == f"{HEADER}\n{GOOD}\n".encode()
    assert (tmp_path / "manifest/classes.txt").read_bytes() == b"jump\nrun\n"


def test_a_spreadsheets_file_reads(tmp_path):
    write(tmp_path, GOOD)
    for path in (tmp_path / "manifest").iterdir():
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    manifest = read_manifest(tmp_path, "train")
    assert manifest.classes == ("jump", "run")
    assert manifest.records == (VideoRecord("a.mp4", 0, 32, 25.0, 112, 96),)


def test_the_class_hash_is_of_the_list_in_its_order():
    def class_hash(*classes):
        return Manifest(Path(), "train", classes, ()).class_hash

    assert class_hash("jump", "run") == hashlib.sha256(b"jump\nrun").hexdigest()[:12]
    assert len({class_hash(*c) for c in [("a", "b"), ("b", "a"), ("ab",), ("a",)]}) == 4


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("a.mp4,0,32,25.0,112", "6 columns expected, got 5"),
        ("a.mp4,0,32,25.0,112,96,1", "6 columns expected, got 7"),
        ("", "6 columns expected, got 0"),
        (",0,32,25.0,112,96", "path is empty"),
        ("a.mp4,2,32,25.0,112,96", "label must be a whole number, 0 to 1, got '2'"),
        ("a.mp4,-1,32,25.0,112,96", "label must be a whole number, 0 to 1, got '-1'"),
        ("a.mp4,jump,32,25.0,112,96", "label must be a whole number, 0 to 1, got 'jump'"),
        ("a.mp4,0,0,25.0,112,96", "frames must be a whole number, at least 1, got '0'"),
        ("a.mp4,0,3.5,25.0,112,96", "frames must be a whole number, at least 1, got '3.5'"),
        ("a.mp4,0,1_0,25.0,112,96", "frames must be a whole number, at least 1, got '1_0'"),
        ("a.mp4,0,32,fast,112,96", "fps must be a number, at least 0, got 'fast'"),
        ("a.mp4,0,32,nan,112,96", "fps must be a number, at least 0, got 'nan'"),
        ("a.mp4,0,32,inf,112,96", "fps must be a number, at least 0, got 'inf'"),
        ("a.mp4,0,32,-1,112,96", "fps must be a number, at least 0, got '-1'"),
        ("a.mp4,0,32,25.0,0,96", "width must be a whole number, at least 1, got '0'"),
        ("a.mp4,0,32,25.0,112,", "height must be a whole number, at least 1, got ''"),
        ("first.mp4,0,32,25.0,112,96", "path 'first.mp4' is listed twice"),
        ('"a.mp4,0,32,25.0,112,96', "not CSV (unexpected end of data)"),
        ('"a"b.mp4,0,32,25.0,112,96', "not CSV (',' expected after '\"')"),
    ],
)
def test_a_wrong_line_is_named(tmp_path, line, problem):
    write(tmp_path, "first.mp4,0,32,25.0,112,96", line)
    message, _ = refused(tmp_path)
    assert message == f"train.csv:3: {problem}"


def test_several_problems_come_at_once(tmp_path):
    write(tmp_path, "a,9,1,1,1,1", "b,0,0,1,1,1", GOOD, "c,0,1,x,1,1")
    message, _ = refused(tmp_path)
    assert re.findall(r"train\.csv:(\d+): (\w+)", message) == [
        ("2", "label"),
        ("3", "frames"),
        ("5", "fps"),
    ]


def test_many_problems_are_counted(tmp_path):
    write(tmp_path, *(f"{i},9,1,1,1,1" for i in range(40)))
    lines = refused(tmp_path)[0].split("\n")
    assert [line.split(":")[1] for line in lines[:-1]] == ["2", "3", "4", "5", "6"]
    assert lines[-1] == "... and 35 more"


@pytest.mark.parametrize("header", ["path,label,frames,fps,width", "a.mp4,0,32,25,112,96", ""])
def test_a_wrong_header_is_shown(tmp_path, header):
    write(tmp_path, GOOD, header=header)
    assert refused(tmp_path)[0] == f"train.csv:1: columns must be {HEADER}, got {header!r}"


@pytest.mark.parametrize(
    ("classes", "problem"),
    [
        ("jump\nrun\njump\n", "classes.txt:3: class 'jump' stands on line 1 too"),
        ("jump\n\nrun\n", "classes.txt:2: class name is empty"),
        ("", "classes.txt:1: class name is empty"),
    ],
)
def test_a_wrong_class_list_is_named(tmp_path, classes, problem):
    write(tmp_path, GOOD, classes=classes)
    assert refused(tmp_path)[0] == problem


def test_what_is_missing_or_empty_comes_with_a_hint(tmp_path):
    hint = "prepare the data set there first, or name its folder with --data"
    with pytest.raises(DataError, match=r"nowhere: no such data root$") as caught:
        read_manifest(tmp_path / "nowhere", "train")
    assert caught.value.hint == hint
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"file: is a file, a data root is a folder$"):
        read_manifest(tmp_path / "file", "train")
    assert refused(tmp_path) == ("classes.txt: not found", hint)
    write(tmp_path)
    assert refused(tmp_path) == ("train.csv: lists no videos", hint)
    (tmp_path / "manifest/train.csv").unlink()
    assert refused(tmp_path) == ("train.csv: not found", hint)
    (tmp_path / "manifest/train.csv").touch()
    assert refused(tmp_path)[0] == f"train.csv:1: columns must be {HEADER}, got ''"


def test_other_encodings_and_folders_are_named(tmp_path):
    write(tmp_path, GOOD)
    path = tmp_path / "manifest/train.csv"
    path.write_bytes(path.read_bytes() + b"K\xe4se")
    assert refused(tmp_path)[0] == f"train.csv: not UTF-8 text (byte {len(HEADER + GOOD) + 3})"
    path.unlink()
    path.mkdir()
    assert refused(tmp_path)[0] == "train.csv: cannot be read (Is a directory)"


def test_a_split_that_lists_nothing_is_left_out_unless_both_do(tmp_path):
    record = VideoRecord("a.mp4", 0, 32, 25.0, 112, 96)
    assert filled_splits(tmp_path) == ("train", "val")
    write_manifest(Manifest(tmp_path, "train", ("jump",), ()))
    assert filled_splits(tmp_path) == ("val",)  # which is missing: reading tells it
    write_manifest(Manifest(tmp_path, "val", ("jump",), (record,)))
    assert filled_splits(tmp_path) == ("val",)
    write_manifest(Manifest(tmp_path, "val", ("jump",), ()))
    assert filled_splits(tmp_path) == ("train", "val")


@pytest.mark.parametrize("end", ["", "\n", "\r\n", "\n\n"])
def test_a_list_counts_its_rows_however_it_ends(tmp_path, end):
    (tmp_path / "manifest").mkdir()
    (tmp_path / "manifest" / "train.csv").write_text(HEADER + end)
    (tmp_path / "manifest" / "val.csv").write_text(f"{HEADER}\n{GOOD}{end}")
    assert filled_splits(tmp_path) == ("val",)


def test_writing_replaces_whole_files(tmp_path, monkeypatch):
    record = VideoRecord("a.mp4", 0, 32, 25.0, 112, 96)
    old = Manifest(tmp_path, "train", ("jump",), (record,))
    write_manifest(old)

    def full_disk(file):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(DataError, match=r"classes\.txt: cannot be written \(No space left"):
        write_manifest(Manifest(tmp_path, "train", ("fly", "run"), (record, record)))
    assert read_manifest(tmp_path, "train") == old


def test_a_root_that_is_a_file_cannot_be_written(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"classes\.txt: cannot be written \(Not a directory\)"):
        write_manifest(Manifest(tmp_path / "file", "train", ("jump",), ()))

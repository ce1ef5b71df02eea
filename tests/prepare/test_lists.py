import os
import re

import pytest

from stsm_cli.errors import DataError, raise_problems
from stsm_cli.prepare.lists import (
    read_csv,
    read_json,
    read_lines,
    read_list,
    read_text,
)


def put(tmp_path, content):
    path = tmp_path / "list.txt"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_five_problems_are_shown_and_the_rest_counted():
    raise_problems([])
    with pytest.raises(DataError) as caught:
        raise_problems([f"p{number}" for number in range(8)], hint="cure")
    assert str(caught.value).splitlines() == ["p0", "p1", "p2", "p3", "p4", "... and 3 more"]
    assert caught.value.hint == "cure"


def test_text_may_begin_with_a_byte_order_mark(tmp_path):
    assert read_text(put(tmp_path, b"\xef\xbb\xbfa,b")) == "a,b"


def test_text_that_is_no_text(tmp_path):
    path = put(tmp_path, b"ab\xff")
    with pytest.raises(DataError, match=re.escape(f"{path}: not UTF-8 text (byte 2)")):
        read_text(path)


def test_text_that_is_not_there(tmp_path):
    with pytest.raises(DataError, match=re.escape("none: cannot be read (No such file")):
        read_text(tmp_path / "none")


def test_blank_lines_count_but_are_not_read(tmp_path):
    path = put(tmp_path, "a\n\n  b \n")
    assert list(read_lines(path)) == [(f"{path}:1", "a"), (f"{path}:3", "b")]


def test_csv_rows_come_by_column(tmp_path):
    path = put(tmp_path, 'path,label,more\n a.mp4 ,"x, y",1\n\nb.mp4,z,2\n')
    assert read_csv(path, ("label", "path")) == [
        (f"{path}:2", {"path": "a.mp4", "label": "x, y", "more": "1"}),
        (f"{path}:4", {"path": "b.mp4", "label": "z", "more": "2"}),
    ]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_the_first_line_shows_what_stands_between_cells(tmp_path, delimiter):
    path = put(tmp_path, f'"path"{delimiter}label\r\n"a,;\tb"{delimiter}x\r\n')
    assert read_csv(path, ("path", "label")) == [(f"{path}:2", {"path": "a,;\tb", "label": "x"})]


def test_a_list_that_is_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "list.csv")
    with pytest.raises(DataError, match=re.escape(f"{tmp_path / 'list.csv'}: is no file")):
        read_text(tmp_path / "list.csv")


def test_csv_without_a_column(tmp_path):
    path = put(tmp_path, "path,class\n")
    message = f"{path}:1: needs the columns path,label, got ['path', 'class']"
    with pytest.raises(DataError, match=re.escape(message)):
        read_csv(path, ("path", "label"))


def test_csv_problems_come_all_at_once(tmp_path):
    path = put(tmp_path, 'path,label\na\nb,c,d\n"x"y,1\n')
    with pytest.raises(DataError) as caught:
        read_csv(path, ("path", "label"))
    short, long, broken = str(caught.value).splitlines()
    assert short == f"{path}:2: 2 columns expected, got 1"
    assert long == f"{path}:3: 2 columns expected, got 3"
    assert broken.startswith(f"{path}:4: not CSV (")


def test_a_list_may_count_frames_and_paths_may_hold_spaces(tmp_path):
    path = put(tmp_path, "a/b.mp4 3\nplaying guitar/c d.mp4 4\na/e 120 5\n")
    lines = read_list(path)
    assert [(line.path, line.num_frames, line.label) for line in lines] == [
        ("a/b.mp4", None, 3),
        ("playing guitar/c d.mp4", None, 4),
        ("a/e", 120, 5),
    ]
    assert lines[2].where == f"{path}:3"


def test_a_list_may_have_backslashes(tmp_path):
    line, framed = read_list(put(tmp_path, "a b\\c.mp4 3\nd\\e 120 5\n"))
    assert (line.path, line.label) == ("a b/c.mp4", 3)
    assert (framed.path, framed.num_frames) == ("d/e", 120)


def test_a_list_line_without_a_label(tmp_path):
    path = put(tmp_path, "a.mp4 1\nb.mp4\nc.mp4 x\n")
    with pytest.raises(DataError) as caught:
        read_list(path)
    expected = "expected `path label` or `path frames label`"
    assert str(caught.value).splitlines() == [
        f"{path}:2: {expected}, got 'b.mp4'",
        f"{path}:3: {expected}, got 'c.mp4 x'",
    ]


def test_json_that_is_none_names_the_line(tmp_path):
    path = put(tmp_path, '{"a": 1,\n b}')
    with pytest.raises(DataError, match=re.escape(f"{path}:2: not JSON (")):
        read_json(path)


@pytest.mark.parametrize(
    ("content", "reason"),
    [("9" * 5000, "digits"), ("[" * 100_000, "recursion")],
    ids=["digits", "depth"],
)
def test_json_that_python_gives_up(tmp_path, content, reason):
    path = put(tmp_path, content)
    with pytest.raises(DataError, match=f"{re.escape(str(path))}: not JSON .*{reason}"):
        read_json(path)

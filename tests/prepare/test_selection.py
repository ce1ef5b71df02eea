from pathlib import Path

import pytest

from stsm_cli.prepare.selection import select
from stsm_cli.progress import SILENT


@pytest.fixture(autouse=True)
def files():
    """Files by their names alone: nothing is decoded here."""
    names = (
        "clips/b.mp4",
        "clips/a.webm",
        "clips/deep/c.MP4",
        "clips/notes.md",
        "d.mov",
        "odd.xyz",
    )
    for name in names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_bytes(b"\0")


def chosen(*names):
    found = select([Path(name) for name in names])
    return [str(path) for path in found.videos], {str(k): str(v) for k, v in found.failed.items()}


def test_files_are_taken_whatever_their_suffix_and_once():
    assert chosen("d.mov", "odd.xyz", "d.mov") == (["d.mov", "odd.xyz"], {})


def test_a_folder_stands_for_the_videos_below_it():
    assert chosen("clips") == (["clips/a.webm", "clips/b.mp4", "clips/deep/c.MP4"], {})


def test_drawn_videos_in_a_folder_are_left_out_and_told(monkeypatch):
    Path("clips/deep/b.predicted.mp4").touch()
    lines = []
    monkeypatch.setattr(SILENT, "message", lines.append)
    found = select([Path("clips")])
    assert [path.name for path in found.videos] == ["a.webm", "b.mp4", "c.MP4"]
    assert "clips: 1 video of an earlier --save left out" in lines
    assert chosen("clips/deep/b.predicted.mp4")[0] == ["clips/deep/b.predicted.mp4"]
    Path("clips/deep/c.MP4").unlink()
    told = {"clips/deep": "clips/deep: holds nothing but videos that `--save` drew"}
    assert chosen("clips/deep") == ([], told)


def test_a_pattern_stands_for_what_it_matches():
    assert chosen("clips/*.mp4") == (["clips/b.mp4"], {})
    assert chosen("**/*.MP4") == (["clips/deep/c.MP4"], {})
    assert chosen(f"{Path.cwd()}/clips/d*") == ([f"{Path.cwd()}/clips/deep/c.MP4"], {})


def test_a_file_whose_name_looks_like_a_pattern_is_a_file():
    Path("a[1].mp4").touch()
    assert chosen("a[1].mp4") == (["a[1].mp4"], {})


def test_a_list_names_files_beside_it_or_below_the_working_folder():
    Path("clips/mine.txt").write_text("\ufeffb.mp4\n\n# not this\nd.mov\ngone.mp4\n")
    assert chosen("clips/mine.txt") == (
        ["clips/b.mp4", "d.mov"],
        {"gone.mp4": 'clips/mine.txt:5: no such file: "gone.mp4"'},
    )


@pytest.mark.parametrize("heading", ["", "path,label\n", "Video\n", "path;label\n"])
def test_of_a_csv_the_first_column_counts(heading):
    rows = '"d.mov",3\nclips/b.mp4\n'
    Path("mine.csv").write_text(heading + (rows.replace(",", ";") if ";" in heading else rows))
    assert chosen("mine.csv") == (["d.mov", "clips/b.mp4"], {})


def test_what_means_nothing_is_told_and_the_others_are_taken():
    Path("empty").mkdir()
    Path("papers").mkdir()
    Path("papers/a.md").touch()
    Path("none.txt").write_text("# nothing\n")
    Path("bytes.txt").write_bytes(b"\xff\xfe\xfa")
    names = ("empty", "papers", "*.gif", "none.txt", "bytes.txt", "gone.txt", "gone.mp4", "d.mov")
    videos, failed = chosen(*names)
    assert videos == ["d.mov"]
    assert failed.pop("bytes.txt").startswith("bytes.txt: not a list of files (")
    assert failed == {
        "empty": "empty: is empty",
        "papers": "papers: no video found",
        "*.gif": "*.gif: no file matches",
        "none.txt": "none.txt: names no file",
        "gone.txt": "gone.txt: no such file",
        "gone.mp4": "gone.mp4: no such file",
    }


def test_the_list_of_a_data_set_names_files_below_its_root():
    Path("manifest").mkdir()
    Path("manifest/val.csv").write_text("path,label,frames\nclips/b.mp4,0,9\nd.mov,1,9\n")
    assert chosen("manifest/val.csv") == (["clips/b.mp4", "d.mov"], {})


def test_a_name_that_begins_as_a_comment_does_is_a_name():
    Path("#tag").mkdir()
    Path("#tag/a.mp4").touch()
    Path("mine.txt").write_text("#tag/a.mp4\n#tag/gone.mp4\nd.mov\n")
    Path("mine.csv").write_text("#tag/a.mp4,0\n#tag/gone.mp4,1\n")
    assert chosen("mine.txt") == (["#tag/a.mp4", "d.mov"], {})
    assert chosen("mine.csv") == (
        ["#tag/a.mp4"],
        {"#tag/gone.mp4": 'mine.csv:2: no such file: "#tag/gone.mp4"'},
    )


def test_a_list_of_windows_is_read():
    Path("mine.txt").write_bytes(b"clips\\b.mp4\r\nclips\\deep\\c.MP4\r\n")
    assert chosen("mine.txt") == (["clips/b.mp4", "clips/deep/c.MP4"], {})


def test_a_line_that_is_no_file_is_told_with_its_number_and_value():
    Path("mine.txt").write_text(f"d.mov\nclips\nd.mov;3\n{'n' * 300}\n")
    videos, failed = chosen("mine.txt")
    assert videos == ["d.mov"]
    assert list(failed.values()) == [
        'mine.txt:2: is a folder, not a video: "clips"',
        'mine.txt:3: no such file: "d.mov;3"',
        f'mine.txt:4: no such file: "{"n" * 59}…',
    ]


def test_a_document_is_told_in_one_line():
    Path("paper.txt").write_text("%PDF-1.4\n1 0 obj\n<< >>\nendobj\n")
    Path("paper.csv").write_text('path,label\n"' + "a" * 200_000)
    Path("page.csv").write_text("gone.mp4;2\n\n")
    assert chosen("paper.txt", "paper.csv", "page.csv", "n" * 300)[1] == {
        "paper.txt": 'paper.txt:1: no such file: "%PDF-1.4", nor in 3 other lines',
        "paper.csv": "paper.csv:2: not CSV (field larger than field limit (131072))",
        "gone.mp4": 'page.csv:1: no such file: "gone.mp4"',
        "n" * 300: f"{'n' * 300}: cannot be read (File name too long)",
    }


def test_a_link_that_cannot_be_followed_does_not_stop_the_others():
    Path("clips/0.mp4").symlink_to("x" * 300)
    videos, failed = chosen("clips")
    assert videos == ["clips/a.webm", "clips/b.mp4", "clips/deep/c.MP4"]
    assert failed == {"clips/0.mp4": "clips/0.mp4: cannot be read (File name too long)"}


def test_names_in_a_list_end_at_line_feeds_alone():
    for name in ("a\u2028b.mp4", "a\x0bb.mp4", "a\x85b.mp4"):
        Path(name).touch()
        Path("list.txt").write_text(f"# mine\r\n{name}\r\nd.mov\r\n", encoding="utf-8")
        assert chosen("list.txt") == ([name, "d.mov"], {})

from pathlib import Path

import pytest

from stsm_cli.prepare.selection import select


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
        {"gone.mp4": "gone.mp4: no such file"},
    )


@pytest.mark.parametrize("heading", ["", "path,label\n", "Video\n"])
def test_of_a_csv_the_first_column_counts(heading):
    Path("mine.csv").write_text(f'{heading}"d.mov",3\nclips/b.mp4\n')
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

import os
from pathlib import Path

import pytest

from stsm_cli.prepare import copies
from stsm_cli.prepare.copies import find_copies


@pytest.fixture
def reads(monkeypatch):
    """Names of the files that are opened, in order."""
    opened, really_open = [], Path.open

    def note(path, *args, **kwargs):
        opened.append(path.name)
        return really_open(path, *args, **kwargs)

    monkeypatch.setattr(Path, "open", note)
    return opened


def make(root, files):
    for name, content in files.items():
        (root / name).write_bytes(content)
    return list(files)


def test_copies_are_known_by_their_content(tmp_path):
    long = bytes(1 << 17)
    names = make(
        tmp_path,
        {"1": b"one", "2": b"two", "3": b"one", "4": b"longer", "5": b"two", "6": b"one"}
        | {"7": long, "8": long[:-1] + b"x", "9": long},
    )
    assert find_copies(tmp_path, names) == {"3": "1", "6": "1", "5": "2", "9": "7"}


def test_the_first_is_the_original(tmp_path):
    make(tmp_path, {"1": b"one", "2": b"one"})
    assert find_copies(tmp_path, ["2", "1"]) == {"1": "2"}


def test_empty_files_and_files_that_are_gone_are_no_copies(tmp_path):
    names = make(tmp_path, {"1": b"", "2": b"", "3": b"one"})
    (tmp_path / "4").hardlink_to(tmp_path / "1")
    assert find_copies(tmp_path, [*names, "4", "gone"]) == {}


def test_a_file_that_cannot_be_read_is_left_out(tmp_path, monkeypatch):
    def deny(path):
        raise PermissionError(13, "Permission denied", str(path))

    names = make(tmp_path, {"1": b"one", "2": b"one"})
    monkeypatch.setattr(copies, "file_sha256", deny)
    assert find_copies(tmp_path, names) == {}


def test_links_to_one_file_are_copies_without_being_read(tmp_path, reads):
    names = make(tmp_path, {"1": b"one", "2": b"other size"})
    (tmp_path / "hard").hardlink_to(tmp_path / "1")
    (tmp_path / "soft").symlink_to("1")
    reads.clear()
    assert find_copies(tmp_path, [*names, "hard", "soft"]) == {"hard": "1", "soft": "1"}
    assert reads == []


def test_a_file_with_links_is_read_once_to_compare_it_with_others(tmp_path, reads):
    names = make(tmp_path, {"1": b"one", "3": b"one"})
    os.link(tmp_path / "3", tmp_path / "4")
    (tmp_path / "2").symlink_to("1")
    reads.clear()
    found = find_copies(tmp_path, [*names, "2", "4"])
    assert found == {"2": "1", "3": "1", "4": "1"}
    assert sorted(reads) == ["1", "1", "3", "3"]  # the beginning, and the whole

import os
import stat
from pathlib import Path

import pytest

from stsm_cli.atomic import (
    folder_if_filled,
    is_draft,
    may_replace,
    try_file,
    whole_file,
    write_file,
)
from stsm_cli.errors import StsmError


def test_a_file_takes_its_name_when_it_is_whole(tmp_path):
    with whole_file(tmp_path / "a") as file:
        file.write(b"new")
        assert not (tmp_path / "a").exists()
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a", b"new")]


def test_content_reaches_the_disk_before_the_name_does(tmp_path, monkeypatch):
    synced, real = [], os.fsync

    def fsync(handle):
        synced.append((stat.S_ISDIR(os.fstat(handle).st_mode), (tmp_path / "a").exists()))
        real(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    with whole_file(tmp_path / "a") as file:
        file.write(b"new")
    assert synced == [(False, False), (True, True)]


def test_what_a_kill_leaves_is_known_by_the_file_it_was_to_be(tmp_path):
    with whole_file(tmp_path / "a.pt") as file:
        assert is_draft(Path(file.name), tmp_path / "a.pt")
    others = (
        "b.pt.7.tmp",
        "a.pt.tmp",
        "a.pt.x.tmp",
        "old-a.pt.7.tmp",
        "axpt.7.tmp",
        "b/a.pt.7.tmp",
    )
    assert not any(is_draft(tmp_path / name, tmp_path / "a.pt") for name in others)


def test_a_folder_that_cannot_be_synced_does_not_matter(tmp_path, monkeypatch):
    def fsync(handle):
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            raise OSError

    monkeypatch.setattr(os, "fsync", fsync)
    with whole_file(tmp_path / "a") as file:
        file.write(b"new")
    assert (tmp_path / "a").read_bytes() == b"new"


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_half_a_file_leaves_nothing_and_the_old_one(tmp_path, error):
    def write_half():
        with whole_file(tmp_path / "a") as file:
            file.write(b"ha")
            raise error

    (tmp_path / "a").write_bytes(b"old")
    with pytest.raises(error):
        write_half()
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a", b"old")]


def test_a_place_that_cannot_be_written_is_an_os_error(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(NotADirectoryError), whole_file(tmp_path / "file" / "a"):
        pass


def test_a_file_is_written_with_its_folder(tmp_path):
    path = tmp_path / "new" / "folder" / "a"
    for content in (b"old", b"new"):
        write_file(path, content)
        assert [(file.name, file.read_bytes()) for file in path.parent.iterdir()] == [
            ("a", content)
        ]


@pytest.mark.parametrize("name", ["file/a.csv", "file/new/a.csv", "folder"])
def test_a_file_that_cannot_be_written_is_named(tmp_path, name):
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    rule = r"cannot be written \((Not a directory|File exists|Is a directory)\)$"
    with pytest.raises(StsmError, match=rf"{name}: {rule}"):
        write_file(tmp_path / name, b"")


def test_a_folder_that_stays_empty_goes_with_those_that_were_made_for_it(tmp_path):
    with folder_if_filled(tmp_path / "a" / "b"):
        assert (tmp_path / "a" / "b").is_dir()
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "old").mkdir()
    with pytest.raises(ZeroDivisionError), folder_if_filled(tmp_path / "old"):
        1 / 0  # noqa: B018
    assert (tmp_path / "old").is_dir()


def test_a_folder_that_holds_something_stays(tmp_path):
    with folder_if_filled(tmp_path / "a" / "b"):
        (tmp_path / "a" / "file").touch()
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["file"]


@pytest.mark.parametrize("name", ["a", "new/folder/a"])
def test_to_try_a_file_leaves_nothing(tmp_path, name):
    try_file(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_what_could_not_be_written_is_known_beforehand(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="Not a directory"):
        try_file(tmp_path / "file" / "deep" / "a")
    with pytest.raises(OSError, match="name too long"):
        try_file(tmp_path / ("a" * 254))


def test_only_a_file_with_the_beginning_is_replaced(tmp_path):
    page = tmp_path / "README.md"
    assert may_replace(page, "# Speed\n")
    page.write_text("# Speed\nand more")
    assert may_replace(page, "# Speed\n")
    for content in (b"# Mine\n", b"\xff", b""):
        page.write_bytes(content)
        assert not may_replace(page, "# Speed\n")
    assert not may_replace(tmp_path, "# Speed\n")

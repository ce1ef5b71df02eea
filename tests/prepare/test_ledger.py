import json

import pytest

from stsm_cli.prepare.check import Check
from stsm_cli.prepare.ledger import FileVersion, Ledger

SOURCE = FileVersion('a "b"/ü,\n.mp4', 1000, 123456789)
OK = Check("ok", "", 300, 29.97, 340, 256, 5000)
CORRUPT = Check("corrupt", "frame 7 does not decode")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "manifest" / "ledger.jsonl"


def fill(path, *entries):
    with Ledger(path) as ledger:
        for entry in entries:
            ledger.add(*entry)


def test_what_was_found_is_found_again(path):
    fill(path, (SOURCE, "full", OK), (SOURCE, "quick", CORRUPT))
    for ledger in (Ledger(path), Ledger(path)):
        assert ledger.find(SOURCE, "full") == OK
        assert ledger.find(SOURCE, "quick") == CORRUPT
        assert ledger.find(SOURCE, "other") is None


@pytest.mark.parametrize("changed", [("x", 1000, 123456789), (SOURCE.path, 1001, 123456789)])
def test_another_file_is_unknown(path, changed):
    fill(path, (SOURCE, "full", OK))
    assert Ledger(path).find(FileVersion(*changed), "full") is None
    assert Ledger(path).find(FileVersion(SOURCE.path, SOURCE.size, 1), "full") is None


def test_the_last_entry_counts(path):
    fill(path, (SOURCE, "full", CORRUPT))
    fill(path, (SOURCE, "full", OK))
    assert Ledger(path).find(SOURCE, "full") == OK
    assert len(path.read_text().splitlines()) == 2


def test_without_a_file_nothing_is_known(path):
    assert Ledger(path).find(SOURCE, "full") is None


@pytest.mark.parametrize("keep", [1, 20, -2])
def test_a_torn_line_is_unknown_and_spoils_no_other(path, keep):
    other = FileVersion("b.mp4", 5, 6)
    fill(path, (SOURCE, "full", OK), (other, "full", OK))
    content = path.read_bytes()
    first = content.index(b"\n") + 1
    path.write_bytes(content[:first] + content[first:][:keep])
    assert Ledger(path).find(SOURCE, "full") == OK
    assert Ledger(path).find(other, "full") is None
    fill(path, (other, "full", CORRUPT))
    assert Ledger(path).find(SOURCE, "full") == OK
    assert Ledger(path).find(other, "full") == CORRUPT


@pytest.mark.parametrize(
    "line",
    ["[]", "7", "{}", '{"path": "a"}', "\0\0", "{'a'}", "9" * 5000, "[" * 100_000],
    ids=lambda line: line[:9],
)
def test_a_line_that_is_no_entry_is_skipped(path, line):
    fill(path, (SOURCE, "full", OK))
    path.write_text(f"{line}\n{path.read_text()}{line}\n")
    assert Ledger(path).find(SOURCE, "full") == OK


def test_what_was_taken_for_an_address_was_not_looked_into(path):
    mistaken = Check("corrupt", "does not open (Protocol not found)")
    other = FileVersion("pose:left/a.mp4", 5, 6)
    fill(path, (SOURCE, "full", OK), (SOURCE, "full", mistaken), (other, "full", mistaken))
    assert Ledger(path).find(SOURCE, "full") == OK
    assert Ledger(path).find(other, "full") is None


def test_an_entry_is_one_line_that_people_can_read(path):
    fill(path, (SOURCE, "full", CORRUPT))
    assert json.loads(path.read_text()) == {
        "path": SOURCE.path,
        "size": 1000,
        "mtime_ns": 123456789,
        "how": "full",
        "status": "corrupt",
        "reason": "frame 7 does not decode",
    }


def test_a_reason_may_name_a_folder_that_is_not_utf8(path):
    check = Check("corrupt", "no such file: d\udcff/a.mp4")
    fill(path, (SOURCE, "full", check))
    assert Ledger(path).find(SOURCE, "full") == check

import hashlib
import os
import re
import shutil
import threading

import pytest

from stsm_cli.errors import DataError
from stsm_cli.prepare import download
from stsm_cli.prepare.download import Download, download_files

BODY = os.urandom(300_000)
OTHER = os.urandom(250_000)


def test_files_arrive_whole_and_leave_nothing_else(server, fetch):
    server.files = {f"d/{number}.tgz": os.urandom(1000 + number) for number in range(9)}
    assert fetch(*server.files) == set(server.files)
    for name, body in server.files.items():
        assert (fetch.disk / name).read_bytes() == body


def test_what_is_there_is_not_asked_for_again(server, fetch):
    server.files = {"a": BODY}
    fetch("a")
    server.log.clear()
    fetch("a")
    assert server.log == []


def test_all_files_that_are_not_there_are_named(server, fetch):
    server.files = {"a": BODY}
    with pytest.raises(DataError) as caught:
        fetch("a", "b", "c")
    assert [line.split(" Not")[0] for line in str(caught.value).splitlines()] == [
        f"{server.url}/b: the server answers 404",
        f"{server.url}/c: the server answers 404",
    ]
    assert server.requests() == []


def test_a_file_that_goes_while_it_is_fetched(server, fetch):
    server.files, server.faults = {"a": BODY, "b": OTHER}, {"a": ["403"]}
    with pytest.raises(DataError, match=re.escape(f"{server.url}/a: the server answers 403")):
        fetch("a", "b")
    assert (fetch.disk / "b").read_bytes() == OTHER


def test_a_url_that_is_none(tmp_path):
    item = Download("http://a..b/c", tmp_path / "c")
    message = r"^http://a\.\.b/c: cannot be reached \(.*'a\.\.b'"
    with pytest.raises(DataError, match=message):
        download_files([item], pause_seconds=0.0)


def test_no_server_at_all(server, fetch, tmp_path):
    item = Download("http://127.0.0.1:1/a", tmp_path / "a")
    with pytest.raises(DataError) as caught:
        download_files([item], pause_seconds=0.0)
    assert str(caught.value) == (
        "http://127.0.0.1:1/a: cannot be reached "
        "(Failed to establish a new connection: [Errno 111] Connection refused)"
    )


def test_the_disk_must_hold_all_of_it_and_what_is_made_of_it(server, fetch, monkeypatch):
    server.files = {"a": BODY, "b": OTHER}
    usage = shutil.disk_usage(fetch.disk.parent)._replace(free=1_200_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    message = f"{fetch.disk}: 0.00165 GB are needed on this disk, 0.0012 GB are free"
    with pytest.raises(DataError, match=re.escape(message)):
        fetch("a", "b", then_needs=2.0)
    assert server.requests() == []
    assert fetch("a", "b", then_needs=1.0) == {"a", "b"}


def test_what_is_here_already_needs_no_room(server, fetch, put_part, monkeypatch):
    server.files = {"a": BODY}
    put_part(BODY[:200_000], f'"{hashlib.md5(BODY).hexdigest()}"')
    usage = shutil.disk_usage(fetch.disk)._replace(free=100_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    assert fetch("a") == {"a"}


def test_big_sizes_are_said_in_gigabytes():
    assert download._gigabytes(870_100_000_000) == "870 GB"


def test_a_folder_that_cannot_be_made(server, fetch):
    server.files = {"d/a": BODY}
    fetch.disk.write_text("a file")
    with pytest.raises(DataError, match=re.escape(f"{fetch.disk / 'd'}: cannot be made (")):
        fetch("d/a")


def test_a_file_that_cannot_be_written(server, fetch):
    server.files = {"a": BODY}
    (fetch.disk / "a.part").mkdir(parents=True)
    with pytest.raises(DataError, match=re.escape(f"{fetch.disk / 'a'}: cannot be written (")):
        fetch("a")


def test_an_interruption_keeps_what_came(server, fetch, monkeypatch):
    server.files, server.faults = {"a": BODY}, {"a": ["stall:1000"]}

    def interrupt(futures):
        wait(futures, timeout=0 if calls else None)
        calls.append(futures)
        if len(calls) == 2:  # the first are the sizes, the second the transfers
            assert server.reached.wait(5)
            raise KeyboardInterrupt

    calls, wait = [], download.wait
    monkeypatch.setattr(download, "wait", interrupt)
    with pytest.raises(KeyboardInterrupt):
        fetch("a")
    assert (fetch.disk / "a.part").stat().st_size >= 1000
    assert not (fetch.disk / "a").exists()
    monkeypatch.undo()
    assert fetch("a") == {"a"}
    assert (fetch.disk / "a").read_bytes() == BODY


def test_several_files_come_at_once(server, fetch, monkeypatch):
    server.files = {"a": BODY, "b": OTHER}
    both = threading.Barrier(2, timeout=5)
    attempt = download.Transfer._attempt

    def together(self, *args):
        both.wait()
        attempt(self, *args)

    monkeypatch.setattr(download.Transfer, "_attempt", together)
    assert fetch("a", "b", jobs=2) == {"a", "b"}

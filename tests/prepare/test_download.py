import hashlib
import json
import os
import re
import shutil
import threading
from pathlib import Path

import pytest

from stsm_cli.errors import DataError
from stsm_cli.prepare import download
from stsm_cli.prepare.download import Download, download_files

BODY = os.urandom(300_000)
OTHER = os.urandom(250_000)
RETRIES = 2


@pytest.fixture
def fetch(server, tmp_path):
    """Download `names` from the server into `disk/`; the files that are there afterwards."""

    def run(*names, **options):
        items = [Download(f"{server.url}/{name}", disk / name) for name in names]
        download_files(items, **{"pause_seconds": 0.0, "retries": RETRIES} | options)
        return {path.relative_to(disk).as_posix() for path in disk.rglob("*") if path.is_file()}

    disk = tmp_path / "disk"
    run.disk = disk
    return run


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


@pytest.mark.parametrize("version", ["ETag", "Last-Modified"])
def test_a_cut_connection_goes_on_where_it_was(server, fetch, version):
    server.files = {"a": BODY}
    date = "Thu, 01 Jan 2026 00:00:00 GMT"
    server.headers = {"a": {"ETag": 'W/"weak"', "Last-Modified": date}} if "L" in version else {}
    server.faults = {"a": ["cut:1000", "cut:5000"]}
    assert fetch("a") == {"a"}
    assert (fetch.disk / "a").read_bytes() == BODY
    assert server.requests() == [
        ("a", None, 200),
        ("a", "bytes=1000-", 206),
        ("a", "bytes=6000-", 206),
    ]


def test_the_next_command_goes_on_where_the_last_one_stopped(server, fetch):
    server.files = {"a": BODY}
    server.faults = {"a": ["cut:1000", "drop", "drop", "drop", "drop"]}
    with pytest.raises(DataError):
        fetch("a", retries=0)
    assert (fetch.disk / "a.part").stat().st_size == 1000
    server.faults, server.log = {}, []
    assert fetch("a") == {"a"}
    assert server.requests() == [("a", "bytes=1000-", 206)]
    assert (fetch.disk / "a").read_bytes() == BODY


def test_a_file_that_changed_on_the_server_starts_over(server, fetch):
    server.files = {"a": BODY}
    server.faults = {"a": ["cut:1000", "500", "500", "500", "500"]}
    with pytest.raises(DataError):
        fetch("a", retries=0)
    server.files, server.faults = {"a": OTHER}, {}
    fetch("a")
    assert (fetch.disk / "a").read_bytes() == OTHER
    assert server.requests()[-1] == ("a", "bytes=1000-", 200)


def test_a_server_without_ranges_starts_over(server, fetch):
    server.files = {"a": BODY}
    server.faults = {"a": ["cut:1000", "ignore-range"]}
    fetch("a")
    assert (fetch.disk / "a").read_bytes() == BODY


def test_without_a_version_nothing_is_resumed(server, fetch):
    server.files, server.headers = {"a": BODY}, {"a": {"ETag": None}}
    server.faults = {"a": ["cut:1000"]}
    fetch("a")
    assert server.requests() == [("a", None, 200), ("a", None, 200)]
    assert (fetch.disk / "a").read_bytes() == BODY


def test_a_part_without_its_version_is_not_trusted(server, fetch):
    server.files = {"a": BODY}
    fetch.disk.mkdir()
    (fetch.disk / "a.part").write_bytes(b"who knows")
    fetch("a")
    assert (fetch.disk / "a").read_bytes() == BODY


def test_a_wrong_range_is_not_believed(server, fetch):
    server.files = {"a": BODY}
    server.faults = {"a": ["cut:1000", "shift"]}
    fetch("a")
    assert (fetch.disk / "a").read_bytes() == BODY


def test_a_server_may_send_a_range_in_pieces(server, fetch):
    server.files = {"a": BODY}
    server.faults = {"a": ["cut:1000", "piece:2000", "piece:3000"]}
    fetch("a")
    assert (fetch.disk / "a").read_bytes() == BODY
    assert server.requests()[-1] == ("a", "bytes=6000-", 206)


def put_part(disk, content, version):
    disk.mkdir()
    (disk / "a.part").write_bytes(content)
    (disk / "a.part.json").write_text(json.dumps({"validator": version}))


def test_a_whole_part_only_needs_its_name(server, fetch):
    server.files = {"a": BODY}
    put_part(fetch.disk, BODY, f'"{hashlib.md5(BODY).hexdigest()}"')
    server.headers = {"a": {}}
    assert fetch("a") == {"a"}
    assert server.requests() == [("a", f"bytes={len(BODY)}-", 416)]
    assert (fetch.disk / "a").read_bytes() == BODY


def test_a_part_that_is_too_long_starts_over(server, fetch):
    server.files = {"a": BODY}
    put_part(fetch.disk, BODY + b"more", f'"{hashlib.md5(BODY).hexdigest()}"')
    fetch("a")
    assert (fetch.disk / "a").read_bytes() == BODY


def test_old_bytes_never_stand_beside_a_new_version(server, fetch, monkeypatch):
    server.files = {"a": BODY}
    put_part(fetch.disk, OTHER, '"another version"')

    def full(path, *args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(DataError, match=re.escape("cannot be written (No space left on device)")):
        fetch("a")
    assert not (fetch.disk / "a.part").exists()


@pytest.mark.parametrize("fault", ["500", "503", "drop"])
def test_errors_of_the_server_pass(server, fetch, fault):
    server.files, server.faults = {"a": BODY}, {"a": [fault] * 6}
    assert fetch("a") == {"a"}


def test_patience_ends_with_the_url_and_the_reason(server, fetch):
    server.files, server.faults = {"a": BODY}, {"a": ["503"] * 100}
    with pytest.raises(DataError) as caught:
        fetch("a")
    assert str(caught.value).startswith(f"{server.url}/a: given up (the server answers 503 ")
    assert caught.value.hint == "run the same command again: it goes on where it was"


def test_new_bytes_renew_the_patience(server, fetch):
    server.files = {"a": BODY}
    server.faults = {"a": ["cut:100"] * (RETRIES + 5)}
    assert fetch("a") == {"a"}


def test_the_same_bytes_again_do_not_renew_it(server, fetch):
    server.files, server.headers = {"a": BODY}, {"a": {"ETag": None}}
    server.faults = {"a": ["cut:100"] * 100}
    with pytest.raises(DataError, match=re.escape(f"{server.url}/a: given up (")):
        fetch("a")
    assert len(server.requests()) == RETRIES + 1


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


def test_a_size_that_was_a_lie(server, fetch):
    server.files, server.announced = {"a": BODY}, {"a": 1234}
    message = f"{server.url}/a: 1234 bytes were announced, {len(BODY)} came"
    with pytest.raises(DataError, match=re.escape(message)):
        fetch("a")
    assert list(fetch.disk.iterdir()) == []


def test_a_body_shorter_than_its_stated_size(server, fetch):
    server.files, server.headers = {"a": BODY}, {"a": {"Content-Length": len(BODY) + 10}}
    server.announced = {"a": len(BODY) + 10}
    server.faults = {"a": [f"cut:{len(BODY)}"] * 100}
    message = f"{server.url}/a: {len(BODY) + 10} bytes were announced, {len(BODY)} came"
    with pytest.raises(DataError, match=re.escape(message)):
        fetch("a")


@pytest.mark.parametrize("announced", [None, "no HEAD"])
def test_a_size_that_nobody_states(server, fetch, announced):
    server.files, server.announced = {"a": BODY}, {"a": announced}
    server.headers = {"a": {"Content-Length": None, "Connection": "close"}}
    fetch("a")
    assert (fetch.disk / "a").read_bytes() == BODY


def test_an_etag_that_is_an_md5_is_checked(server, fetch):
    server.files, server.headers = {"a": BODY}, {"a": {"ETag": f'"{"0" * 32}"'}}
    found = hashlib.md5(BODY).hexdigest()
    message = f"{server.url}/a: MD5 must be {'0' * 32}, got {found}"
    with pytest.raises(DataError, match=message):
        fetch("a")
    assert list(fetch.disk.iterdir()) == []


def test_an_etag_of_an_upload_in_parts_is_no_md5(server, fetch):
    server.files, server.headers = {"a": BODY}, {"a": {"ETag": f'"{"0" * 32}-17"'}}
    assert fetch("a") == {"a"}


def test_the_disk_must_hold_all_of_it_and_what_is_made_of_it(server, fetch, monkeypatch):
    server.files = {"a": BODY, "b": OTHER}
    usage = shutil.disk_usage(fetch.disk.parent)._replace(free=1_200_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    message = f"{fetch.disk}: 0.00165 GB are needed on this disk, 0.0012 GB are free"
    with pytest.raises(DataError, match=re.escape(message)):
        fetch("a", "b", then_needs=2.0)
    assert server.requests() == []
    assert fetch("a", "b", then_needs=1.0) == {"a", "b"}


def test_what_is_here_already_needs_no_room(server, fetch, monkeypatch):
    server.files = {"a": BODY}
    put_part(fetch.disk, BODY[:200_000], f'"{hashlib.md5(BODY).hexdigest()}"')
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

import hashlib
import itertools
import os
import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from stsm_cli.errors import DataError
from stsm_cli.prepare import transfer

BODY = os.urandom(300_000)
OTHER = os.urandom(250_000)


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


def test_a_whole_part_only_needs_its_name(server, fetch, put_part):
    server.files = {"a": BODY}
    put_part(BODY, f'"{hashlib.md5(BODY).hexdigest()}"')
    server.headers = {"a": {}}
    assert fetch("a") == {"a"}
    assert server.requests() == [("a", f"bytes={len(BODY)}-", 416)]
    assert (fetch.disk / "a").read_bytes() == BODY


def test_a_part_that_is_too_long_starts_over(server, fetch, put_part):
    server.files = {"a": BODY}
    put_part(BODY + b"more", f'"{hashlib.md5(BODY).hexdigest()}"')
    fetch("a")
    assert (fetch.disk / "a").read_bytes() == BODY


def test_old_bytes_never_stand_beside_a_new_version(server, fetch, put_part, monkeypatch):
    server.files = {"a": BODY}
    put_part(OTHER, '"another version"')

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
    server.faults = {"a": ["cut:100"] * (fetch.retries + 5)}
    assert fetch("a") == {"a"}


def test_the_same_bytes_again_do_not_renew_it(server, fetch):
    server.files, server.headers = {"a": BODY}, {"a": {"ETag": None}}
    server.faults = {"a": ["cut:100"] * 100}
    with pytest.raises(DataError, match=re.escape(f"{server.url}/a: given up (")):
        fetch("a")
    assert len(server.requests()) == fetch.retries + 1


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


ENDLESS = {"Content-Length": None, "Connection": "close"}


def test_no_more_is_taken_than_was_announced(server, fetch, monkeypatch):
    monkeypatch.setattr(transfer, "_CHUNK", 1000)
    server.files, server.announced, server.headers = {"a": BODY}, {"a": 1500}, {"a": ENDLESS}
    written = []
    monkeypatch.setattr(transfer.Megabytes, "add", lambda self, count: written.append(count))
    with pytest.raises(DataError, match=f"{server.url}/a: 1500 bytes were announced, more came"):
        fetch("a")
    assert sum(written) <= 2500
    assert list(fetch.disk.iterdir()) == []


def test_no_more_is_taken_than_the_disk_can_bear(server, fetch, monkeypatch):
    usage = SimpleNamespace(free=2000)
    monkeypatch.setattr(transfer, "shutil", SimpleNamespace(disk_usage=lambda path: usage))
    server.files, server.announced, server.headers = {"a": BODY}, {"a": None}, {"a": ENDLESS}
    with pytest.raises(DataError, match=f"{server.url}/a: 1000 bytes fit on the disk, more came"):
        fetch("a")
    assert list(fetch.disk.iterdir()) == []


def test_a_server_that_hardly_sends_is_given_up_and_what_came_is_kept(server, fetch, monkeypatch):
    """A second between two looks at the clock, and 100 bytes in it."""
    server.files = {"a": BODY}
    with monkeypatch.context() as slow:
        slow.setattr(transfer, "_CHUNK", 100)
        slow.setattr(transfer, "time", SimpleNamespace(monotonic=itertools.count().__next__))
        with pytest.raises(DataError) as caught:
            fetch("a")
    assert re.fullmatch(rf"{server.url}/a: given up \(\d+ bytes came in 30 s\)", str(caught.value))
    assert caught.value.hint == "run the same command again: it goes on where it was"
    assert len(server.requests()) == fetch.retries + 1
    here = (fetch.disk / "a.part").stat().st_size
    assert here > 0
    assert fetch("a") == {"a"}
    assert server.requests()[-1] == ("a", f"bytes={here}-", 206)
    assert (fetch.disk / "a").read_bytes() == BODY


def test_a_pace_is_measured_anew(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(transfer, "time", SimpleNamespace(monotonic=lambda: now[0]))
    pace = transfer._Pace()
    for seconds, num_bytes in ((29, 1), (30, 30_000), (59, 1), (60, 30_000), (89, 29_998)):
        now[0] = float(seconds)
        pace.add(num_bytes)
    now[0] = 90.0
    with pytest.raises(transfer._TooSlowError, match="29999 bytes came in 30 s"):
        pace.add(1)


@pytest.mark.parametrize("place", ["HEAD", "GET"])
def test_a_size_of_absurd_digits(server, fetch, place):
    server.files, digits = {"a": BODY}, "9" * 5000
    server.announced = {"a": digits} if place == "HEAD" else {"a": None}
    server.headers = {"a": {"Content-Length": digits}}
    with pytest.raises(DataError, match=f"{server.url}/a: the server states a size of 5000 digits"):
        fetch("a")


def test_a_range_of_absurd_digits_is_not_believed(server, fetch):
    server.files = {"a": BODY}
    server.faults = {"a": ["partial"]}
    server.headers = {"a": {"Content-Range": f"bytes 0-1/{'9' * 5000}"}}
    fetch("a")
    assert (fetch.disk / "a").read_bytes() == BODY


@pytest.mark.parametrize("headers", [{}, {"Content-Range": None}])
def test_a_part_that_nobody_asked_for_and_that_is_all(server, fetch, headers):
    server.files, server.headers = {"a": BODY}, {"a": headers}
    server.faults = {"a": ["partial"]}
    assert fetch("a") == {"a"}
    assert (fetch.disk / "a").read_bytes() == BODY


def test_a_beginning_that_nobody_asked_for_goes_on(server, fetch):
    server.files, server.faults = {"a": BODY}, {"a": ["partial:1000"]}
    assert fetch("a") == {"a"}
    assert (fetch.disk / "a").read_bytes() == BODY
    assert server.requests() == [("a", None, 206), ("a", "bytes=1000-", 206)]


def test_a_middle_that_nobody_asked_for_is_not_taken(server, fetch):
    server.files, server.faults = {"a": BODY}, {"a": ["partial"]}
    server.headers = {"a": {"Content-Range": f"bytes 5-{len(BODY) - 1}/{len(BODY)}"}}
    assert fetch("a") == {"a"}
    assert (fetch.disk / "a").read_bytes() == BODY
    assert len(server.requests()) == 2


def test_a_range_without_its_place_starts_over(server, fetch, put_part):
    server.files = {"a": BODY}
    put_part(BODY[:1000], f'"{hashlib.md5(BODY).hexdigest()}"')
    server.headers = {"a": {"Content-Range": None}}
    server.faults = {"a": ["partial", "partial"]}
    assert fetch("a") == {"a"}
    assert server.requests() == [("a", "bytes=1000-", 206), ("a", None, 206)]
    assert (fetch.disk / "a").read_bytes() == BODY


def test_what_is_encoded_is_not_the_file(server, fetch):
    server.files = {"a": BODY, "a.tar.gz": BODY}
    server.headers = {path: {"Content-Encoding": "gzip"} for path in server.files}
    assert fetch("a.tar.gz") == {"a.tar.gz"}  # servers call the bytes of a .gz an encoding
    assert (fetch.disk / "a.tar.gz").read_bytes() == BODY
    with pytest.raises(DataError, match=f"{server.url}/a: the server sends the file encoded"):
        fetch("a")


def test_redirects_are_followed_but_not_in_circles(server, fetch):
    server.files, server.moved = {"b": BODY}, {"a": "b", "x": "x"}
    server.faults = {"b": ["cut:1000"]}
    assert fetch("a") == {"a"}
    assert (fetch.disk / "a").read_bytes() == BODY
    with pytest.raises(DataError, match=f"{server.url}/x: cannot be reached .Exceeded 30 redirect"):
        fetch("x")

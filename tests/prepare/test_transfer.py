import hashlib
import os
import re
from pathlib import Path

import pytest

from stsm_cli.errors import DataError

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

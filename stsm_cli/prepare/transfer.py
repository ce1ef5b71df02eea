"""One file by HTTP: asked about, fetched, and fetched on after a cut, until it is whole.

Source: RFC 9110, 13.1.5 (If-Range) and 14 (range requests).
"""

import hashlib
import json
import os
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event

import requests
import urllib3
from requests import codes

from stsm_cli.errors import DataError
from stsm_cli.prepare.megabytes import Megabytes

STATUS_TO_RETRY = (408, 429, 500, 502, 503, 504)
_TIMEOUT_SECONDS = (10.0, 60.0)  # to connect, and between two bytes
_LONGEST_PAUSE_SECONDS = 120.0
_CHUNK = 1 << 18
_AS_STORED = {"Accept-Encoding": "identity"}  # sizes and ranges count the bytes of the file
_RANGE = re.compile(r"bytes (?:(\d+)-\d+|\*)/(\d+)")
_MD5 = re.compile('"([0-9a-f]{32})"')  # S3's ETag of what was uploaded in one part
_GO_ON = "run the same command again: it goes on where it was"


@dataclass(frozen=True)
class Patience:
    """How a file is retried.

    Attributes:
        retries: Attempts in a row that may bring nothing new.
        pause_seconds: Before the second of them; each further one waits about twice as long.
        stop: Set from outside to end all reading and waiting.
    """

    retries: int
    pause_seconds: float
    stop: Event


class _TryAgainError(Exception):
    """This attempt failed; the next may not."""


_FAILED_ATTEMPTS = (_TryAgainError, requests.RequestException, urllib3.exceptions.HTTPError)


def remote_size(session: requests.Session, url: str) -> int | None:
    """Bytes of the file at a URL; None where the server does not say.

    Raises:
        DataError: There is no such file, or no such server.
    """
    try:
        response = session.head(
            url, headers=_AS_STORED, allow_redirects=True, timeout=_TIMEOUT_SECONDS
        )
    except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
        raise DataError(f"{url}: cannot be reached ({_reason(error)})", hint=_GO_ON) from error
    if response.status_code in (codes.not_allowed, codes.not_implemented):
        return None
    if response.status_code != codes.ok:
        raise DataError(f"{url}: the server answers {response.status_code} {response.reason}")
    return _length(response)


class Transfer:
    """A file on its way.

    Args:
        session: Asks the server.
        url: Where it comes from.
        path: Where it goes.
        num_bytes: Its size as announced; None where it is not known.
    """

    def __init__(
        self, session: requests.Session, url: str, path: Path, num_bytes: int | None
    ) -> None:
        self._session, self._url, self._path = session, url, path
        self._announced = num_bytes
        self._part = path.with_name(f"{path.name}.part")
        self._version = path.with_name(f"{path.name}.part.json")
        self._counted = 0

    @property
    def num_bytes_here(self) -> int:
        """What came of the file before and can be built on."""
        return self._part.stat().st_size if self._part.exists() and self._validator() else 0

    def run(self, meter: Megabytes, patience: Patience) -> None:
        """Fetch what is missing, check it, and give the file its name.

        Raises:
            DataError: It cannot be had, is not what was announced, or cannot be written.
        """
        most, failures = self.num_bytes_here, 0
        while not patience.stop.is_set():
            try:
                return self._attempt(meter, patience.stop)
            except _FAILED_ATTEMPTS as error:
                here = self.num_bytes_here
                most, failures = (here, 0) if here > most else (most, failures + 1)
                if failures > patience.retries:
                    raise DataError(
                        f"{self._url}: given up ({_reason(error)})", hint=_GO_ON
                    ) from error
            except OSError as error:
                raise DataError(f"{self._path}: cannot be written ({error.strerror})") from error
            pause = patience.pause_seconds * (2**failures - 1)  # none where new bytes came
            patience.stop.wait(min(pause, _LONGEST_PAUSE_SECONDS))

    def _attempt(self, meter: Megabytes, stop: Event) -> None:
        here = self.num_bytes_here
        headers = dict(_AS_STORED)
        if here:
            headers |= {"Range": f"bytes={here}-", "If-Range": self._validator()}
        with self._session.get(
            self._url, headers=headers, stream=True, timeout=_TIMEOUT_SECONDS
        ) as response:
            here, total = self._answer(response, here)
            self._count(meter, here)
            if response.status_code != codes.range_not_satisfiable:  # else all of it is here
                self._receive(response, here, meter, stop)
        if not stop.is_set():
            self._finish(total, response.headers.get("ETag", ""))

    def _receive(
        self, response: requests.Response, here: int, meter: Megabytes, stop: Event
    ) -> None:
        with self._part.open("ab" if here else "wb") as file:
            for chunk in response.raw.stream(_CHUNK, decode_content=False):
                file.write(chunk)
                self._count(meter, self._counted + len(chunk))
                if stop.is_set():
                    break
            file.flush()
            os.fsync(file.fileno())

    def _answer(self, response: requests.Response, here: int) -> tuple[int, int | None]:
        """From which byte on the server sends, and the size of the whole file."""
        status = response.status_code
        if status == codes.ok:  # all of it: it has changed, or this server knows no ranges
            etag = response.headers.get("ETag", "")
            validator = "" if etag.startswith("W/") else etag
            validator = validator or response.headers.get("Last-Modified", "")
            self._discard()  # first: the old bytes must never stand beside the new version
            self._version.write_text(json.dumps({"validator": validator}), encoding="utf-8")
            return 0, _length(response)
        if status in (codes.partial_content, codes.range_not_satisfiable):
            span = _RANGE.fullmatch(response.headers.get("Content-Range", ""))
            if span and int(span[1] or span[2]) == here:  # where nothing is left: `bytes */total`
                return here, int(span[2])
            self._discard()
            raise _TryAgainError("the server sent another range than was asked for")
        answer = f"the server answers {status} {response.reason}"
        if status in STATUS_TO_RETRY:
            raise _TryAgainError(answer)
        raise DataError(f"{self._url}: {answer}")

    def _finish(self, total: int | None, etag: str) -> None:
        size = self._part.stat().st_size
        if total is not None and size < total:
            raise _TryAgainError(f"{size} of {total} bytes came")
        if self._announced not in (None, size):
            self._discard()
            raise DataError(f"{self._url}: {self._announced} bytes were announced, {size} came")
        md5 = _MD5.fullmatch(etag)
        if md5 and md5[1] != (found := _md5_of(self._part)):
            self._discard()
            raise DataError(f"{self._url}: MD5 must be {md5[1]}, got {found}", hint=_GO_ON)
        self._part.replace(self._path)
        self._version.unlink()

    def _validator(self) -> str:
        """Which version of the file the part belongs to: an ETag or a date; empty: unknown."""
        with suppress(OSError, ValueError, KeyError, TypeError):
            return str(json.loads(self._version.read_text(encoding="utf-8"))["validator"])
        return ""

    def _discard(self) -> None:
        self._part.unlink(missing_ok=True)
        self._version.unlink(missing_ok=True)

    def _count(self, meter: Megabytes, num_bytes: int) -> None:
        meter.add(num_bytes - self._counted)
        self._counted = num_bytes


def _reason(error: Exception) -> str:
    """What went wrong, without the wrappings of the libraries."""
    inner = error.args[0] if error.args else None
    return str(getattr(inner, "reason", None) or error).rpartition("): ")[2]


def _length(response: requests.Response) -> int | None:
    length = response.headers.get("Content-Length", "")
    return int(length) if length.isdecimal() else None


def _md5_of(path: Path) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()

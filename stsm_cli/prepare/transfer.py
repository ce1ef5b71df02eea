"""One file by HTTP: asked about, fetched, and fetched on after a cut, until it is whole.

A server is not trusted: no more is taken than it announced, and a transfer may not be too slow.

Source: RFC 9110, 13.1.5 (If-Range) and 14 (range requests).
"""

import hashlib
import json
import os
import re
import shutil
import time
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
_LEAST_RATE = 1000  # ours: bytes a second; a modem of 1995 is quicker
_RATE_SECONDS = 30.0  # over which that is measured
_MOST_DIGITS = 15  # of a length: a petabyte
_RANGE = re.compile(r"bytes (?:(\d{1,15})-\d{1,15}|\*)/(\d{1,15})")
_MD5 = re.compile('"([0-9a-f]{32})"')  # S3's ETag of what was uploaded in one part
_GO_ON = "run the same command again: it goes on where it was"


@dataclass(frozen=True)
class Patience:
    """Limits of the retries of a file.

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


class _TooSlowError(_TryAgainError):
    """This attempt brought next to nothing in its time."""


class _Pace:
    """A watch on the rate at which bytes come."""

    def __init__(self) -> None:
        self._since, self._bytes = time.monotonic(), 0

    def add(self, num_bytes: int) -> None:
        """So many came.

        Raises:
            _TooSlowError: Too few in the last `_RATE_SECONDS`.
        """
        self._bytes += num_bytes
        seconds = time.monotonic() - self._since
        if seconds >= _RATE_SECONDS:
            if self._bytes < _LEAST_RATE * seconds:
                raise _TooSlowError(f"{self._bytes} bytes came in {seconds:.0f} s")
            self._since, self._bytes = time.monotonic(), 0


_FAILED_ATTEMPTS = (_TryAgainError, requests.RequestException, urllib3.exceptions.HTTPError)


def remote_size(session: requests.Session, url: str) -> int | None:
    """Bytes of the file at a URL; None where the server does not say.

    Raises:
        DataError: There is no such file, or no such server, or it states an absurd size.
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
    return _length(response, url)


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
        """Bytes of the file that came before and can be built on."""
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
                is_news = here > most and not isinstance(error, _TooSlowError)
                most, failures = max(most, here), 0 if is_news else failures + 1
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
                self._receive(response, here, total, meter, stop)
        if not stop.is_set():
            self._finish(total, response.headers.get("ETag", ""))

    def _receive(
        self,
        response: requests.Response,
        here: int,
        total: int | None,
        meter: Megabytes,
        stop: Event,
    ) -> None:
        """Append what comes, until it is more than the file's size, or than the disk can bear."""
        most, rule, pace = total, "were announced", _Pace()
        if most is None:  # ours: half of what is free, for others write there too
            most, rule = shutil.disk_usage(self._part.parent).free // 2, "fit on the disk"
        with self._part.open("ab" if here else "wb") as file:
            # read1: what is there now, for a slow server must not be waited for
            while chunk := response.raw.read1(_CHUNK, decode_content=False):
                file.write(chunk)
                self._count(meter, self._counted + len(chunk))
                if stop.is_set() or self._counted > most:
                    break
                pace.add(len(chunk))
            file.flush()
            os.fsync(file.fileno())
        if self._counted > most:
            self._discard()
            raise DataError(f"{self._url}: {most} bytes {rule}, more came")

    def _answer(self, response: requests.Response, here: int) -> tuple[int, int | None]:
        """From which byte on the server sends, and the size of the whole file."""
        status = response.status_code
        self._check_encoding(response)
        if status == codes.ok:  # all of it: it has changed, or this server knows no ranges
            self._begin(response)
            return 0, self._agreed(_length(response, self._url))
        span = _RANGE.fullmatch(response.headers.get("Content-Range", ""))
        if status == codes.partial_content and not here and (not span or span[1] == "0"):
            self._begin(response)  # all of it, or its beginning, though no range was asked for
            return 0, self._agreed(int(span[2]) if span else None)
        if status in (codes.partial_content, codes.range_not_satisfiable):
            if here and span and int(span[1] or span[2]) == here:  # nothing left: `bytes */total`
                return here, self._agreed(int(span[2]))
            self._discard()
            raise _TryAgainError("the server sent another range than was asked for")
        answer = f"the server answers {status} {response.reason}"
        if status in STATUS_TO_RETRY:
            raise _TryAgainError(answer)
        raise DataError(f"{self._url}: {answer}")

    def _check_encoding(self, response: requests.Response) -> None:
        """Refuse what is not the file's own bytes; of a .gz, servers call these an encoding."""
        encoding = response.headers.get("Content-Encoding", "identity").lower()
        is_gzip = encoding in ("gzip", "x-gzip") and self._path.suffix in (".gz", ".tgz")
        if encoding != "identity" and not is_gzip:
            raise DataError(f"{self._url}: the server sends the file encoded ({encoding!r})")

    def _begin(self, response: requests.Response) -> None:
        """Forget what is here, and note the version that comes now."""
        etag = response.headers.get("ETag", "")
        validator = "" if etag.startswith("W/") else etag
        validator = validator or response.headers.get("Last-Modified", "")
        self._discard()  # first: the old bytes must never stand beside the new version
        self._version.write_text(json.dumps({"validator": validator}), encoding="utf-8")

    def _agreed(self, total: int | None) -> int | None:
        """The size of the file, of which what was announced and what is sent must agree."""
        if self._announced is not None and total not in (None, self._announced):
            self._discard()
            raise DataError(f"{self._url}: {self._announced} bytes were announced, {total} came")
        return self._announced if total is None else total

    def _finish(self, total: int | None, etag: str) -> None:
        size = self._part.stat().st_size
        if total is not None and size < total:
            raise _TryAgainError(f"{size} of {total} bytes came")
        md5 = _MD5.fullmatch(etag)
        if md5 and md5[1] != (found := _md5_of(self._part)):
            self._discard()
            raise DataError(f"{self._url}: MD5 must be {md5[1]}, got {found}", hint=_GO_ON)
        self._part.replace(self._path)
        self._version.unlink()

    def _validator(self) -> str:
        """The version of the file that the part belongs to: an ETag or a date; empty: unknown."""
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
    """The cause of an error, without the wrappings of the libraries."""
    inner = error.args[0] if error.args else None
    return str(getattr(inner, "reason", None) or error).rpartition("): ")[2]


def _length(response: requests.Response, url: str) -> int | None:
    """The size that an answer states; None where it states none.

    Raises:
        DataError: It is absurd.
    """
    length = response.headers.get("Content-Length", "")
    if not length.isdecimal():
        return None
    if len(length) > _MOST_DIGITS:
        raise DataError(f"{url}: the server states a size of {len(length)} digits")
    return int(length)


def _md5_of(path: Path) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()

"""Many files by HTTP: several at once, resumed, retried, checked, and whole or not there.

A file grows as `NAME.part`, beside a `NAME.part.json` that says which version of it this is, and is
renamed when its size (and MD5, where the server's ETag is one) is right. What is there under its
own name is done: it is not asked for again. Nothing here knows what the files are.
"""

import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import TypeVar

import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from stsm_cli.errors import DataError, raise_problems
from stsm_cli.prepare.megabytes import megabytes
from stsm_cli.prepare.transfer import STATUS_TO_RETRY, Patience, Transfer, remote_size
from stsm_cli.progress import SILENT, Progress

_QUICK_RETRIES = 3  # of a request that was not answered; a transfer that breaks off has its own

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class Download:
    """A file to fetch: from where, to where."""

    url: str
    path: Path


def download_files(
    downloads: Sequence[Download],
    *,
    jobs: int = 4,
    retries: int = 8,
    pause_seconds: float = 1.0,
    then_needs: float = 0.0,
    progress: Progress = SILENT,
) -> None:
    """Fetch the files that are not there yet.

    Args:
        downloads: What to fetch, all onto one disk.
        jobs: Files at a time.
        retries: Attempts in a row that may bring nothing new before a file is given up.
        pause_seconds: Between the first two of them; each further pause is about twice as long.
        then_needs: Bytes that each fetched byte will need on that disk later, for unpacking.
        progress: Shows the megabytes.

    Raises:
        DataError: The disk is too small, or files cannot be had: each with its URL and why. What
            came of them is kept, and the next call goes on from there.
    """
    missing = [download for download in downloads if not download.path.exists()]
    if not missing:
        return
    stop = Event()
    with _session(jobs, pause_seconds) as session:
        sizes = _each(missing, lambda item: remote_size(session, item.url), jobs, stop)
        transfers = [
            Transfer(session, item.url, item.path, size)
            for item, size in zip(missing, sizes, strict=True)
        ]
        _make_folders(missing)
        num_bytes = sum(size or 0 for size in sizes)
        here = sum(transfer.num_bytes_here for transfer in transfers)
        _check_disk(missing[0].path.parent, num_bytes - here + round(then_needs * num_bytes))
        patience = Patience(retries, pause_seconds, stop)
        with megabytes(progress, "download", num_bytes) as meter:
            _each(transfers, lambda transfer: transfer.run(meter, patience), jobs, stop)


def _session(jobs: int, pause_seconds: float) -> requests.Session:
    session = requests.Session()
    retry = Retry(
        _QUICK_RETRIES,
        backoff_factor=pause_seconds,
        status_forcelist=STATUS_TO_RETRY,
        raise_on_status=False,  # the answer is named in the error
    )
    adapter = HTTPAdapter(pool_maxsize=jobs, max_retries=retry)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return session


def _each(items: Sequence[T], work: Callable[[T], R], jobs: int, stop: Event) -> list[R]:
    """The results of `work` on the items, in order; all their errors are raised together."""
    with ThreadPoolExecutor(jobs) as pool:
        futures = [pool.submit(work, item) for item in items]
        try:
            wait(futures)
        except BaseException:  # Ctrl-C
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    errors = [future.exception() for future in futures]
    known = [error for error in errors if isinstance(error, DataError)]
    raise_problems([str(error) for error in known], hint=known[0].hint if known else None)
    return [future.result() for future in futures]


def _make_folders(downloads: Sequence[Download]) -> None:
    for folder in {download.path.parent for download in downloads}:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DataError(f"{folder}: cannot be made ({error.strerror})") from error


def _check_disk(folder: Path, num_bytes: int) -> None:
    free = shutil.disk_usage(folder).free
    if num_bytes > free:
        needed = f"{_gigabytes(num_bytes)} are needed on this disk"
        raise DataError(f"{folder}: {needed}, {_gigabytes(free)} are free")


def _gigabytes(num_bytes: int) -> str:
    return f"{num_bytes / 1e9:,.3g} GB" if num_bytes < 1e10 else f"{num_bytes / 1e9:,.0f} GB"

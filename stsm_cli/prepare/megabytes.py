"""A bar over bytes: a `Progress` counts steps, here of a megabyte."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

from stsm_cli.progress import SILENT, Bar, Progress

MB = 10**6


class Megabytes:
    """Counts bytes, from any number of threads, and moves a bar.

    Attributes:
        status: Shown behind the bar.
    """

    def __init__(self, bar: Bar, total: int) -> None:
        self.status = ""
        self._bar, self._total = bar, total
        self._bytes = self._shown = 0
        self._lock = Lock()

    def add(self, num_bytes: int) -> None:
        """Move on; a negative number takes back, and the bar waits until that is made up for."""
        with self._lock:
            self._bytes += num_bytes
            steps = min(self._bytes // MB, self._total) - self._shown
            if steps > 0:
                self._shown += steps
                self._bar.advance(steps, self.status)


@contextmanager
def megabytes(progress: Progress, label: str, num_bytes: int) -> Iterator[Megabytes]:
    """A bar that is shown while the context is open; none where there are no bytes."""
    total = -(-num_bytes // MB)
    with (progress if total else SILENT).bar(f"{label} (MB)", total) as bar:
        yield Megabytes(bar, total)

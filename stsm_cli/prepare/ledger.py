"""The findings on all videos, kept so that no file is examined twice.

`ROOT/manifest/ledger.jsonl` has one JSON object a line and is only ever appended to; the last line
of a video counts. A video is known by its path, size and time of change, so one that was changed
is unknown again. A line that is not whole (the process was killed, the disk was full) is unknown,
and so is what was never looked into: a name that was taken for an address.
"""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any

from stsm_cli.atomic import end_torn_line
from stsm_cli.prepare.check import Check

# Until version 0.12 this was found of a relative `pose:left/a.mp4`, whatever was in the file.
_TAKEN_FOR_ADDRESS = "does not open (Protocol not found)"


@dataclass(frozen=True)
class FileVersion:
    """A video file as it is now.

    Attributes:
        path: Relative to the data root, with forward slashes.
        size: In bytes.
        mtime_ns: Its time of change, in nanoseconds.
    """

    path: str
    size: int
    mtime_ns: int


class Ledger:
    """The ledger of a data root, read; open for new entries as a context.

    Args:
        path: The file; it need not exist.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: dict[tuple[FileVersion, str], Check] = {}
        for line in _lines(path):
            try:
                entry = json.loads(line)
                version = FileVersion(entry.pop("path"), entry.pop("size"), entry.pop("mtime_ns"))
                how = entry.pop("how")
                if (check := Check(**entry)).reason != _TAKEN_FOR_ADDRESS:
                    self._known[version, how] = check
            except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
                continue  # not whole: the video is examined again

    def find(self, version: FileVersion, how: str) -> Check | None:
        """The finding of an examination of this kind; None where there was none."""
        return self._known.get((version, how))

    def __enter__(self) -> "Ledger":
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self._path.open("a+b")
        end_torn_line(self._file)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def add(self, version: FileVersion, how: str, check: Check) -> None:
        """Keep what was found.

        Raises:
            OSError: It cannot be written.
        """
        self._known[version, how] = check
        entry = {**asdict(version), "how": how, **_told(check)}
        self._file.write(
            json.dumps(entry, ensure_ascii=False).encode(errors="backslashreplace") + b"\n"
        )
        self._file.flush()


def _lines(path: Path) -> Iterable[bytes]:
    return path.read_bytes().split(b"\n") if path.exists() else []


def _told(check: Check) -> dict[str, Any]:
    """The fields that are not as they are by default; curves of motion have a file of their own."""
    told = asdict(replace(check, motion=b""))
    return {key: value for key, value in told.items() if value != Check.__dict__.get(key)}

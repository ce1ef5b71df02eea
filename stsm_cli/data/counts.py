"""Counts of the videos that a split's lists name, and of the usable ones: `manifest/report.json`.

*Listed* are the videos that the data set's own lists name, *usable* those that the manifest holds.
Listed videos that are not usable are in no result, so a result gives their number, found here,
beside that of its videos.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import NonNegativeInt, ValidationError
from pydantic.dataclasses import dataclass

from stsm_cli.data.generated import GENERATED
from stsm_cli.errors import DataError
from stsm_cli.stored import STRICT, first_problem


@dataclass(frozen=True, config=STRICT)
class SplitCounts:
    """The videos of one split; `listed` = `usable` + `missing` + `corrupt` + `short`.

    Attributes:
        listed: Named by the data set's lists.
        usable: In the manifest.
        missing: Of these there is no file.
        corrupt: These do not decode, or not all of them.
        short: These end before the time that they claim.
    """

    listed: NonNegativeInt
    usable: NonNegativeInt
    missing: NonNegativeInt
    corrupt: NonNegativeInt
    short: NonNegativeInt

    @property
    def present(self) -> int:
        """Videos of which there is a file."""
        return self.listed - self.missing

    def as_dict(self) -> dict[str, int]:
        """For a report."""
        return asdict(self) | {"present": self.present}


def report_path(root: Path) -> Path:
    """The path of the report on a data root."""
    return root / "manifest" / "report.json"


def prepared_as(root: Path) -> str | None:
    """The data set that `stsm prepare` took this folder for; None where it did not make the lists.

    Raises:
        DataError: The report cannot be read.
    """
    for name, made in GENERATED.items():
        if made.is_at(root):
            return name
    path = report_path(root)
    if not path.exists():
        return None
    with _readable(path, "a data set"):
        return str(json.loads(path.read_bytes())["dataset"])


def read_counts(root: Path, split: str) -> SplitCounts | None:
    """The counts of a split; None where the set was not verified (a generated one; your own CSV).

    Raises:
        DataError: The report cannot be read.
    """
    path = report_path(root)
    if not path.exists():
        return None
    with _readable(path, split):
        counts: dict[str, Any] = json.loads(path.read_bytes())["splits"][split]
        return SplitCounts(**{key: counts[key] for key in SplitCounts.__dataclass_fields__})


@contextmanager
def _readable(path: Path, subject: str) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        what = f"{type(error).__name__}: {error}"
        if isinstance(error, ValidationError):
            what = first_problem(error)
        raise DataError(
            f"{path}: not a report on {subject} ({what})",
            hint="prepare the data set again; what was verified is kept",
        ) from error

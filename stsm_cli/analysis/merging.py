"""Records of several machines in one folder of results.

Of a run that both have, the record that is already there stays: which of two counts must not hang
on what came out.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from stsm_cli.analysis.records import (
    RunRecord,
    place_of,
    read_record,
    read_records,
    run_of,
    write_whole,
)
from stsm_cli.errors import DataError, UsageError


@dataclass(frozen=True)
class Twice:
    """A run that two machines did."""

    kept: Path
    other: Path
    top1: tuple[float, float]
    """Of both, in this order."""

    def __str__(self) -> str:
        here, there = self.top1
        return (
            f"{self.kept} stays, top-1 {here:.2f} %; {self.other} is of the same run, {there:.2f} %"
        )


def merge_records(out: Path, others: Sequence[Path]) -> tuple[list[Path], list[Twice]]:
    """Copy the records below `others` that are missing below `out`.

    Returns:
        The new files, and the runs of which both had a record, but not the same.

    Raises:
        UsageError: A folder has no records, or `out` cannot be written.
        DataError: A record is broken, or two that lie at one place are of different runs, or of one
            run and lie at two. Nothing of its folder is copied then.
    """
    copied, twice = [], []
    for other in others:
        if not (other / "records").is_dir():
            raise UsageError(f"--from {other}: holds no records/")
        missing, again = _compared(out, other)
        for place in missing:
            write_whole(out / place, (other / place).read_bytes())
        copied += [out / place for place in missing]
        twice += again
    return copied, twice


def _compared(out: Path, other: Path) -> tuple[list[Path], list[Twice]]:
    missing, twice = [], []
    known = {run_of(record): place_of(record) for record in read_records(out)}
    for theirs in read_records(other):
        place = place_of(theirs)
        if (there := known.get(run_of(theirs), place)) != place:
            problem = f"tells of the same run as {out / there}"
            raise DataError(f"{other / place}: {problem}", hint="move one of them away")
        if not (out / place).exists():
            missing.append(place)
            continue
        ours = read_record(out / place)
        _check_same(out / place, ours, other / place, theirs)
        if ours != theirs:
            scores = ours.score.top1, theirs.score.top1
            twice.append(Twice(out / place, other / place, scores))
    return missing, twice


def _check_same(path: Path, ours: RunRecord, other: Path, theirs: RunRecord) -> None:
    known, there = (
        (record.recipe_hash, record.identity.data, record.identity.numerics)
        for record in (ours, theirs)
    )
    for what, here, elsewhere in zip(("recipe", "data", "numerics"), known, there, strict=True):
        if here != elsewhere:
            raise DataError(
                f"{other}: its {what} is {elsewhere}, that of {path} is {here}",
                hint="they are not of one run: move one of them away",
            )

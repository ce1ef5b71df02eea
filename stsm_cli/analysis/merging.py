"""Records of several machines in one folder of results.

Of a run that both have, the record that is already there stays: which of two counts must not hang
on what came out. Tables share runs, and each table has a record of its own: where two of these
differ, both are told.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from stsm_cli.analysis.records import (
    RunRecord,
    place_of,
    read_records,
    run_of,
    write_whole,
)
from stsm_cli.config.run_identity import Identity
from stsm_cli.errors import DataError, UsageError
from stsm_cli.stored import Score


@dataclass(frozen=True)
class Twice:
    """A run that two machines did.

    Attributes:
        top1: Of both, in this order.
        is_of_two_tables: Whether both lie in the folder of results, in two of its tables; else
            `other` lies in another folder, and was not copied.
    """

    kept: Path
    other: Path
    top1: tuple[float, float]
    is_of_two_tables: bool = False

    def __str__(self) -> str:
        here, there = self.top1
        which = f"has top-1 {here:.2f} %" if self.is_of_two_tables else f"stays, top-1 {here:.2f} %"
        return f"{self.kept} {which}; {self.other} is of the same run, {there:.2f} %"


@dataclass(frozen=True)
class _Found:
    """A record and its file."""

    file: Path
    record: RunRecord


def merge_records(out: Path, others: Sequence[Path]) -> tuple[list[Path], list[Twice]]:
    """Copy the records below `others` that are missing below `out`; all are read before.

    Returns:
        The new files, and the runs with two records whose scores differ: of `out` and of another
        folder, or, of those that `out` has now, in two tables.

    Raises:
        UsageError: A folder has no records, or `out` cannot be written.
        DataError: A record is broken, or two that lie at one place are of different runs, or of one
            run and lie at two. Nothing is copied then.
    """
    known, twice = _by_place(out), []
    for other in others:
        if not (other / "records").is_dir():
            raise UsageError(f"--from {other}: holds no records/")
        theirs = _by_place(other)
        _check_places(known, theirs)
        twice += [
            Twice(out / place, found.file, _top1(known[place], found))
            for place, found in theirs.items()
            if place in known and _differ(known[place].record.score, found.record.score)
        ]
        known |= {place: found for place, found in theirs.items() if place not in known}
    missing = [place for place, found in known.items() if found.file != out / place]
    for place in missing:
        write_whole(out / place, known[place].file.read_bytes())
    return [out / place for place in missing], [*twice, *_of_two_tables(out, known)]


def _by_place(folder: Path) -> dict[Path, _Found]:
    places = {place_of(record): record for record in read_records(folder)}
    return {place: _Found(folder / place, record) for place, record in places.items()}


def _check_places(known: Mapping[Path, _Found], theirs: Mapping[Path, _Found]) -> None:
    """Refuse a run that lies elsewhere than the known one, and another at the place of one."""
    places = {run_of(found.record): place for place, found in known.items()}
    for place, found in theirs.items():
        if (there := places.get(run_of(found.record), place)) != place:
            problem = f"tells of the same run as {known[there].file}"
            raise DataError(f"{found.file}: {problem}", hint="move one of them away")
        if place in known:
            _check_same(known[place], found)


def _check_same(ours: _Found, theirs: _Found) -> None:
    known, there = (
        (record.recipe_hash, record.identity.data, record.identity.numerics)
        for record in (ours.record, theirs.record)
    )
    for what, here, elsewhere in zip(("recipe", "data", "numerics"), known, there, strict=True):
        if here != elsewhere:
            raise DataError(
                f"{theirs.file}: its {what} is {elsewhere}, that of {ours.file} is {here}",
                hint="they are not of one run: move one of them away",
            )


def _of_two_tables(out: Path, known: Mapping[Path, _Found]) -> Iterator[Twice]:
    """Runs with other scores in a later table of `out` than in the first that has them."""
    firsts: dict[Identity, Path] = {}
    for place in sorted(known):
        first = firsts.setdefault(known[place].record.identity, place)
        if _differ(known[first].record.score, known[place].record.score):
            top1 = _top1(known[first], known[place])
            yield Twice(out / first, out / place, top1, is_of_two_tables=True)


def _differ(one: Score, other: Score) -> bool:
    """True if the scores are of two tests; what older versions did not keep tells nothing."""
    counts = (
        (score.num_videos, score.num_listed, score.correct, score.top5, score.mean_class)
        for score in (one, other)
    )
    return len({*counts}) > 1 or (None not in (one.hits, other.hits) and one.hits != other.hits)


def _top1(ours: _Found, theirs: _Found) -> tuple[float, float]:
    return ours.record.score.top1, theirs.record.score.top1

"""Run records: the small JSON files from which every table and figure is made.

    OUT/records/table1_alpha/<data set>-<budget>-<experiment>/<row>-seed<k>.json

A record is whole or absent, holds no path of the machine it was made on, and names its run by the
hash of the recipe: a run is finished if, and only if, its record is there with the same hash.
"""

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from stsm_cli.analysis.ablation import Budget, Run, Sweep
from stsm_cli.atomic import folder_if_filled, whole_file
from stsm_cli.config.schema import DatasetName
from stsm_cli.errors import DataError, UsageError


@dataclass(frozen=True)
class Pair:
    """What a test gave on the videos of two classes that are each other's time reversal: counts."""

    classes: tuple[str, str]
    videos: int
    correct: int
    ordered: int
    """Videos that score their own class above its reversal."""


@dataclass(frozen=True)
class Score:
    """What a test gave: counts, and accuracies in percent."""

    num_videos: int
    num_listed: int
    correct: int
    top1: float
    top1_interval: tuple[float, float]
    """95 % Wilson interval of `top1`."""
    top5: float
    mean_class: float
    pair_accuracy: float | None
    """How often a video's class scores above its time reversal; None on sets without such pairs."""
    pairs: tuple[Pair, ...] | None = None
    """One a pair; None on sets without any, and in records from before pairs were counted."""


@dataclass(frozen=True)
class Curve:
    """One number an epoch, from the first; accuracies in percent."""

    train_loss: tuple[float, ...]
    train_top1: tuple[float, ...]
    val_top1: tuple[float, ...]


@dataclass(frozen=True)
class Network:
    """What a network costs: multiply-adds of one view, and parameters."""

    size_px: int
    macs: int
    params: int


@dataclass(frozen=True)
class RunRecord:
    """All that is kept of one run."""

    schema: Literal["stsm.record/1"] = field(default="stsm.record/1", kw_only=True)
    table: str
    row: str
    seed: int
    dataset: DatasetName
    budget: Budget
    base: str
    command: str
    experiment: str
    recipe_hash: str
    protocol: str
    score: Score
    curve: Curve
    seconds: float
    """Training and test together."""
    network: Network
    recipe: dict[str, Any]
    environment: dict[str, Any]


_ADAPTER = TypeAdapter(RunRecord)


def record_path(out: Path, sweep: Sweep, run: Run) -> Path:
    """Where the record of `run` belongs."""
    return out / "records" / sweep.table / sweep.slug / f"{run.slug}.json"


def read_records(out: Path, table: str = "*") -> list[RunRecord]:
    """All records below `out`, of one table or of all, in the order of their paths.

    Raises:
        DataError: A file is not a record, or lies with another table's, or tells of the same run as
            another.
    """
    found: dict[tuple[str, ...], Path] = {}
    records = []
    for path in sorted(out.glob(f"records/{table}/*/*.json")):
        record = read_record(path)
        if record.table != path.parents[1].name:
            raise DataError(
                f"{path}: is a record of {record.table}", hint="move it there, or delete it"
            )
        run = (record.table, record.dataset, record.budget, record.recipe_hash)
        other = found.setdefault(run, path)
        if other != path:
            raise DataError(f"{path}: tells of the same run as {other}", hint="delete one of them")
        records.append(record)
    return records


def read_record(path: Path) -> RunRecord:
    """The record in `path`.

    Raises:
        DataError: It is not one.
    """
    try:
        record = _ADAPTER.validate_json(path.read_bytes(), strict=True)
        _check_curve(path, record)
        _check_score(path, record.score)
        return record
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise DataError(
            f"{path}: not a run record: {where}{': ' if where else ''}{first['msg']}",
            hint="delete the file; the run is done again",
        ) from None


def _check_curve(path: Path, record: RunRecord) -> None:
    """Refuse a record of a run that lost its metrics, or that two wrote at once (stsm 0.3)."""
    epochs = record.recipe["optim"]["epochs"]
    for name, values in asdict(record.curve).items():
        if len(values) != epochs:
            raise DataError(
                f"{path}: curve.{name} has {len(values)} values, the recipe's optim.epochs is "
                f"{epochs}",
                hint="delete the file and the run's folder below runs/; the run is done again",
            )


def _check_score(path: Path, score: Score) -> None:
    """Refuse an accuracy that is not that of the counts."""
    counted = 100 * score.correct / score.num_listed
    low, high = score.top1_interval
    if not (abs(score.top1 - counted) < 1e-6 and low <= score.top1 <= high):
        raise DataError(
            f"{path}: score.top1 is {score.top1:g} in {low:g} to {high:g}, but "
            f"{score.correct} of {score.num_listed} videos are {counted:g} %",
            hint="delete the file; the run is done again",
        )


def write_record(path: Path, record: RunRecord) -> None:
    """Write a record, atomically: one top-level key a line.

    Raises:
        UsageError: The folder cannot be written.
    """
    lines = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in asdict(record).items()]
    write_whole(path, "{\n" + ",\n".join(lines) + "\n}\n")


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file that is whole or absent, and its folder.

    Raises:
        UsageError: It cannot be written.
    """
    data = content.encode() if isinstance(content, str) else content
    make_folder(path.parent)
    try:
        with whole_file(path) as file:
            file.write(data)
    except OSError as error:
        raise UsageError(f"--out: {path} cannot be written ({error.strerror})") from None


@contextmanager
def records_folder(out: Path) -> Iterator[None]:
    """The folder of records, tried before hours of training; gone again if nothing is recorded.

    Raises:
        UsageError: It cannot be made.
    """
    with ExitStack() as held:
        try:
            held.enter_context(folder_if_filled(out / "records"))
        except OSError as error:
            raise _cannot_make(out / "records", error) from None
        yield


def make_folder(path: Path) -> None:
    """Make a folder and those above it.

    Raises:
        UsageError: It cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _cannot_make(path, error) from None


def _cannot_make(path: Path, error: OSError) -> UsageError:
    return UsageError(f"--out: {path} cannot be made ({error.strerror})")


def finished(out: Path, sweep: Sweep) -> dict[str, RunRecord]:
    """The records of the runs of `sweep` that have finished, by the recipe's hash.

    Tables share rows (TSN, T), so a record of the same recipe under another table counts too.

    Raises:
        DataError: A record is broken.
    """
    wanted = {run.recipe_hash: run for run in sweep.runs}
    found: dict[str, RunRecord] = {}
    for record in sorted(read_records(out), key=lambda record: not _is_of(sweep, record)):
        if run := wanted.get(record.recipe_hash):
            found.setdefault(record.recipe_hash, _as_part_of(sweep, run, record))
    return found


def _is_of(sweep: Sweep, record: RunRecord) -> bool:
    own = (sweep.table, sweep.budget, sweep.experiment)
    return (record.table, record.budget, record.experiment) == own


def _as_part_of(sweep: Sweep, run: Run, record: RunRecord) -> RunRecord:
    return replace(
        record,
        table=sweep.table,
        row=run.row.name,
        budget=sweep.budget,
        command=sweep.command,
        experiment=sweep.experiment,
    )

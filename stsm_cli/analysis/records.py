"""Run records: the small JSON files from which every table and figure is made.

    OUT/records/table1_alpha/<data set>-<budget>-<experiment>/<row>-seed<k>.json

A record is whole or absent, holds no path of the machine it was made on, and names its run by the
hash of the recipe: a run is finished if, and only if, its record is there with the same hash.
"""

import errno
import json
import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, field, replace
from functools import cached_property
from operator import attrgetter
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import JsonValue, NonNegativeFloat, PositiveInt, ValidationError
from pydantic.dataclasses import dataclass

from stsm_cli.analysis.ablation import Budget, Run, Sweep, joined_hash, slug
from stsm_cli.analysis.labels import mislabelled
from stsm_cli.atomic import folder_if_filled, try_file, whole_file
from stsm_cli.config.generated_sets import GeneratedName
from stsm_cli.config.kinds import Seed
from stsm_cli.config.load import recipe_hash
from stsm_cli.config.networks_3d import fusion_of
from stsm_cli.config.run_identity import NUMERICS, Identity, content_hash
from stsm_cli.config.schema import DatasetName, Recipe
from stsm_cli.errors import DataError, StsmError, UsageError
from stsm_cli.stored import (
    STRICT,
    Fusion,
    Machine,
    Percent,
    Score,
    as_stored,
    contradiction,
    first_problem,
    read_stored,
)

AGAIN = (
    "another version of stsm may have written it; else move the file away, the same `stsm ablate` "
    "makes it again"
)
UNKNOWN = "unknown"  # no data set's id


@dataclass(frozen=True, config=STRICT)
class Curve:
    """One number an epoch, from the first; accuracies in percent."""

    train_loss: tuple[float, ...]
    train_top1: tuple[Percent, ...]
    val_top1: tuple[Percent, ...]

    def gain(self, last: int) -> float:
        """Points of validation top-1 gained over the last epochs, of which there are more."""
        return self.val_top1[-1] - self.val_top1[-1 - last]


@dataclass(frozen=True, config=STRICT)
class NetworkCost:
    """Cost of a network: multiply-adds of one view, and parameters."""

    size_px: PositiveInt
    macs: PositiveInt
    params: PositiveInt


@dataclass(frozen=True, config=STRICT)
class FlowStream:
    """The second stream of a record of two, of optical flow."""

    fusion: Fusion
    score: Score
    """Of flow alone; the record's is of both."""
    curve: Curve
    recipe: Recipe
    environment: dict[str, JsonValue]
    """Of its training, as a record's."""

    @property
    def recipe_hash(self) -> str:
        """Identity of its recipe, recomputed."""
        return content_hash(self.recipe, as_stored(Machine, self.environment).init_sha256)


@dataclass(frozen=True, config=STRICT)
class RunRecord:
    """All that is kept of one run, or of two whose scores are fused.

    Of two, `score`, `seconds` and `network` are of both, and `curve`, `recipe` and `environment` of
    RGB's.
    """

    schema: Literal["stsm.record/1"] = field(default="stsm.record/1", kw_only=True)
    table: str
    row: str
    seed: Seed
    dataset: DatasetName
    budget: Budget
    base: str
    command: str
    experiment: str
    recipe_hash: str
    protocol: str
    score: Score
    curve: Curve
    seconds: NonNegativeFloat
    """Training and test together; 0 of less than a twentieth."""
    network: NetworkCost
    recipe: Recipe
    """With all keys of today, whatever version wrote it."""
    environment: dict[str, JsonValue]
    """As it was written: `machine` is what is read of it."""
    flow: FlowStream | None = None
    """None: one network was tested."""

    @property
    def num_epochs(self) -> int:
        """Length of the training."""
        return len(self.curve.val_top1)

    @cached_property
    def machine(self) -> Machine:
        """On what it ran, typed.

        Raises:
            ValidationError: `environment` does not tell.
        """
        return as_stored(Machine, self.environment)

    @cached_property
    def identity(self) -> Identity:
        """All that the run is known by, recomputed."""
        # before it was kept, the embedded set had one version
        data = self.machine.data_id or ("synth/1" if self.dataset == "synth" else UNKNOWN)
        hashes = [content_hash(self.recipe, self.machine.init_sha256)]
        hashes += [self.flow.recipe_hash] if self.flow else []
        return Identity(joined_hash(hashes), data, self.machine.numerics)


def record_path(out: Path, sweep: Sweep, run: Run) -> Path:
    """Place of the record of `run`."""
    return out / "records" / sweep.table / sweep.slug / f"{run.slug}.json"


def place_of(record: RunRecord) -> Path:
    """Place of a record below the folder of results, by what it holds."""
    return Path(
        "records",
        record.table,
        f"{record.dataset}-{record.budget}-{record.experiment}",
        f"{slug(record.row)}-seed{record.seed}.json",
    )


def run_of(record: RunRecord) -> tuple[str, ...]:
    """Key of the run of a record, of which each folder of results has one record a table."""
    told = record.table, record.dataset, record.budget, record.experiment
    return (*told, record.recipe_hash)


def read_records(out: Path, table: str = "*") -> list[RunRecord]:
    """All records below `out`, of one table or of all, in the order of their paths.

    Raises:
        DataError: A file is not a record, or does not lie where it belongs, or tells of the same
            run as another.
    """
    found: dict[tuple[str, ...], Path] = {}
    records = []
    for path in sorted(out.glob(f"records/{table}/*/*.json")):
        record = read_record(path)
        if record.table != path.parents[1].name:
            raise DataError(f"{path}: is a record of {record.table}", hint="move it there")
        other = found.setdefault(run_of(record), path)
        if other != path:
            hint = "move one of them away"
            raise DataError(f"{path}: tells of the same run as {other}", hint=hint)
        if (place := place_of(record)) != path.relative_to(out):
            own = place.relative_to(*place.parts[:2])
            raise DataError(f"{path}: is the record {own} of its table", hint="move it there")
        records.append(record)
    return records


def read_record(path: Path) -> RunRecord:
    """The record in `path`; what can be computed of it has been, and is what it says.

    Raises:
        DataError: It is not one, contradicts itself, or is of no row that there is.
    """
    record, _ = read_stored(path, RunRecord, "a run record", DataError, AGAIN)
    try:
        known = record.identity
    except ValidationError as error:
        problem = f"environment.{first_problem(error)}"
        raise DataError(f"{path}: not a run record: {problem}", hint=AGAIN) from None
    _check_recipe(path, record, known.recipe)
    if contradicts := mislabelled(record):
        raise DataError(f"{path}: {contradicts}", hint=AGAIN)
    _check_stream(path, record, "")
    if record.flow is not None:
        _check_stream(path, record.flow, "flow.")
    return record


def _check_stream(path: Path, stream: RunRecord | FlowStream, prefix: str) -> None:
    """Refuse a curve, a score or a learning rate that is not what the rest of the stream gives."""
    _check_curve(path, stream.curve, stream.recipe.optim.epochs, prefix)
    if contradicts := contradiction(stream.score):
        raise DataError(f"{path}: {prefix}score.{contradicts}", hint=AGAIN)
    batch, optim = as_stored(Machine, stream.environment).batch, stream.recipe.optim
    if batch is None:  # stsm 0.2 did not keep it
        return
    lr = optim.lr * batch.batch_size / optim.lr_batch_size
    if not math.isclose(batch.lr, lr):
        told = f"{prefix}environment.batch.lr is {batch.lr:g}, but its recipe gives {lr:g}"
        raise DataError(f"{path}: {told}", hint=AGAIN)


def _check_recipe(path: Path, record: RunRecord, known: str) -> None:
    """Refuse what is not of the recipe that the record holds, whose hash is `known`."""
    recipe = record.recipe
    if record.recipe_hash == recipe_hash(recipe):  # until 0.4.0 weights counted by their path
        known = record.recipe_hash
    computed = {
        "recipe_hash": known,
        "seed": recipe.seed,
        "dataset": recipe.data.dataset,
        "protocol": recipe.protocol,
        "network.size_px": recipe.test.crop_px,
    }
    if record.dataset in get_args(GeneratedName) and record.machine.data_id:
        made = record.machine.data_id.partition("/")[0]
        if made != record.dataset:
            told = f"environment.data_id is {record.machine.data_id}, but its dataset is"
            raise DataError(f"{path}: {told} {record.dataset}", hint=AGAIN)
    for key, value in computed.items():
        if (found := attrgetter(key)(record)) != value:
            told = f"{key} is {found}, but its recipe gives {value}"
            raise DataError(f"{path}: {told}", hint=AGAIN)


def _check_curve(path: Path, curve: Curve, epochs: int, prefix: str) -> None:
    """Refuse a record of a run that lost its metrics, or that two wrote at once (stsm 0.3)."""
    for name, values in asdict(curve).items():
        if len(values) != epochs:
            raise DataError(
                f"{path}: {prefix}curve.{name} has {len(values)} values, the recipe's "
                "optim.epochs is "
                f"{epochs}",
                hint="move the file and the run's folder below runs/ away; the same "
                "`stsm ablate` does the run again",
            )


def write_record(path: Path, record: RunRecord) -> None:
    """Write a record, atomically: one top-level key a line.

    Raises:
        UsageError: The folder cannot be written.
    """
    plain = _plain(record)
    if record.flow is None:  # as before there were two streams
        del plain["flow"]
    else:
        plain["flow"] = _plain(record.flow)
    lines = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in plain.items()]
    write_whole(path, "{\n" + ",\n".join(lines) + "\n}\n")


def _plain(stream: RunRecord | FlowStream) -> dict[str, Any]:
    return asdict(stream) | {"recipe": stream.recipe.model_dump(mode="json")}


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file that is whole or absent, and its folder.

    Raises:
        UsageError: It cannot be written.
        StsmError: The disk is full or fails.
    """
    data = content.encode() if isinstance(content, str) else content
    make_folder(path.parent)
    try:
        with whole_file(path) as file:
            file.write(data)
    except OSError as error:
        raise _refused(path, "written", error) from None


@contextmanager
def records_folder(out: Path) -> Iterator[None]:
    """The folder of records, tried before hours of training; gone again if nothing is recorded.

    Raises:
        UsageError: It cannot be made, or takes no files.
        StsmError: The disk is full or fails.
    """
    folder = out / "records"
    with ExitStack() as held:
        try:
            held.enter_context(folder_if_filled(folder))
        except OSError as error:
            raise _refused(folder, "made", error) from None
        try:
            try_file(folder / "record.json")
        except OSError as error:
            raise _refused(folder, "written", error) from None
        yield


def make_folder(path: Path) -> None:
    """Make a folder and those above it.

    Raises:
        UsageError: It cannot be made.
        StsmError: The disk is full or fails.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _refused(path, "made", error) from None


def _refused(path: Path, done: str, error: OSError) -> StsmError:
    """The error of a place that takes nothing: of the command line, unless it is the disk's."""
    told = f"--out: {path} cannot be {done} ({error.strerror})"
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
        return StsmError(told, hint="make room, or mend the disk; the same command then goes on")
    return UsageError(told)


def finished(out: Path, sweep: Sweep) -> dict[str, RunRecord]:
    """The records of the runs of `sweep` that have finished, by the recipe's hash.

    Tables share rows (TSN, T), so a record of the same run under another table counts too.

    Raises:
        DataError: A record is broken.
    """
    return finished_among(read_records(out), sweep)


def finished_among(records: Sequence[RunRecord], sweep: Sweep) -> dict[str, RunRecord]:
    """The same among `records`."""
    wanted = {run.recipe_hash: run for run in sweep.runs}
    found: dict[str, RunRecord] = {}
    for record in sorted(records, key=lambda record: not is_of(record, sweep)):
        known = record.identity
        run = wanted.get(known.recipe)
        is_same = run and known.is_same(Identity(run.recipe_hash, sweep.data_id, NUMERICS))
        if run and is_same and _has_its_flow(record, sweep, run):
            found.setdefault(run.recipe_hash, _as_part_of(sweep, run, record))
    return found


def _has_its_flow(record: RunRecord, sweep: Sweep, run: Run) -> bool:
    """True of one stream, and of two if flow was computed and fused as it is now.

    How it was computed is not known of all.
    """
    if record.flow is None or run.flow is None:
        return True
    if record.flow.fusion.by != fusion_of(record.recipe.model.backbone):
        return False
    was, now = as_stored(Machine, record.flow.environment).data_id, sweep.data_of(run.flow)
    return None in (was, now) or now == sweep.data_id or was == now


def is_of(record: RunRecord, sweep: Sweep) -> bool:
    """True if a record belongs in the table of `sweep`, and is of its videos and this code."""
    own, known = (sweep.table, sweep.budget, sweep.experiment), record.identity
    is_made_for_it = (record.table, record.budget, record.experiment) == own
    return is_made_for_it and known.is_same(Identity(known.recipe, sweep.data_id, NUMERICS))


def _as_part_of(sweep: Sweep, run: Run, record: RunRecord) -> RunRecord:
    return replace(
        record,
        table=sweep.table,
        row=run.row.name,
        recipe_hash=run.recipe_hash,
        budget=sweep.budget,
        command=sweep.command_of(run.row),
        experiment=sweep.experiment,
    )

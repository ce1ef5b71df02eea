"""Sweeps before they run: the channels that really move, and the cost of training, row by row."""

from collections import Counter
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import get_args

from stsm_cli.analysis.ablation import Row, Run, Sweep, SystemRow
from stsm_cli.analysis.cost import Cost, model_cost
from stsm_cli.analysis.records import RunRecord, finished_among, read_records
from stsm_cli.analysis.sweep import is_trained
from stsm_cli.config.generated_sets import GeneratedName
from stsm_cli.config.schema import OptimConfig, Recipe, ShiftConfig
from stsm_cli.data.catalog import known_counts
from stsm_cli.models.shift_slices import channel_slices, group_sizes
from stsm_cli.progress import SILENT, Progress

TIMELESS: dict[str, bool | set[str] | dict[str, set[str]]] = {
    "model": {"shift", "dropout", "weights", "init"},
    "optim": set(OptimConfig.model_fields) - {"optimizer", "batch_size", "accumulate", "frozen"},
    "data": {name: {"draw"} for name in get_args(GeneratedName)},
    "seed": True,
}
"""Keys that do not change how long an epoch takes."""
Time = tuple[str, float]
"""The work of a recorded run in an epoch (`_work`), and the seconds that took."""


@dataclass(frozen=True)
class Moved:
    """The channels that move before the convolutions of one width."""

    channels: int
    num_sites: int
    moved: int
    parts: str
    """By group and direction (from the next position, from the previous): `T 1+1, H 1+1`."""


@dataclass(frozen=True)
class Training:
    """A network that is to be trained, of which a run of two streams has two.

    Attributes:
        recipe_hash: What it is known by.
        macs: Forward multiply-adds of the training.
        seconds: By the records of runs of this network on these data; None without any.
    """

    recipe_hash: str
    macs: int
    seconds: float | None


@dataclass(frozen=True)
class RowPlan:
    """One row of a sweep before it runs.

    Attributes:
        finished: Recipe hashes of its runs that are recorded, one a seed.
        missing: Of those that are to do.
        size_px: Side of the square that training sees.
        macs: Multiply-adds of one training view forward, of two streams together.
        params: Of the network.
        num_videos: Training videos.
        epochs: Length of a run.
        seconds: Of one run, by the records of runs of this network on these data; None without any.
        moved: By width of the layer, narrow ones first.
        trained: Recipe hashes of the networks of the runs that are recorded.
        kept: Of the networks of those that are to do, those whose run folders are there.
        to_train: The others of these: a record holds no scores that could be fused.
    """

    row: Row
    finished: tuple[str, ...]
    missing: tuple[str, ...]
    size_px: int
    macs: int
    params: int
    num_videos: int
    epochs: int
    seconds: float | None
    moved: tuple[Moved, ...]
    trained: tuple[str, ...]
    kept: tuple[str, ...]
    to_train: tuple[Training, ...]

    @property
    def macs_run(self) -> int:
        """Forward multiply-adds of one run's training: view × videos × epochs."""
        return self.macs * self.num_videos * self.epochs


@dataclass(frozen=True)
class Plan:
    """A sweep before it runs."""

    sweep: Sweep
    rows: tuple[RowPlan, ...]

    @property
    def recipes_to_do(self) -> list[Recipe]:
        """Those of the missing runs, of two streams each."""
        missing = {run for row in self.rows for run in row.missing}
        runs = [run for run in self.sweep.runs if run.recipe_hash in missing]
        return [stream.recipe for run in runs for stream in run.streams]


@dataclass(frozen=True)
class Workload:
    """Work that several sweeps have to do together; a training that they share counts once.

    Attributes:
        num_finished: Trainings whose runs are recorded.
        num_missing: Trainings that are to do.
        macs: Forward multiply-adds of the missing ones.
        seconds: Of the missing ones that are `num_timed`, one after another.
        num_timed: Missing ones whose time some record tells.
    """

    num_finished: int
    num_missing: int
    macs: int
    seconds: float
    num_timed: int


def describe_sweeps(
    sweeps: Sequence[Sweep], out: Path, progress: Progress = SILENT
) -> tuple[Plan, ...]:
    """The plans of `sweeps`, given what is recorded below `out`.

    Raises:
        DataError: A record is broken.
    """
    records = read_records(out)
    times = _times(records)
    with progress.bar("counting multiply-adds", sum(len(s.rows) for s in sweeps)) as bar:
        plans = []
        for sweep in sweeps:
            rows, recorded = [], finished_among(records, sweep)
            for row in sweep.rows:
                runs = [run for run in sweep.runs if run.row == row]
                kept = partial(is_trained, out, sweep)
                rows.append(_row_plan(runs, recorded, times, kept))
                bar.advance(1, sweep.name)
            plans.append(Plan(sweep, tuple(rows)))
    return tuple(plans)


def total_work(plans: Sequence[Plan]) -> Workload:
    """Work that `plans` have to do together."""
    rows = [row for plan in plans for row in plan.rows]
    done = {known for row in rows for known in row.trained}
    kept = {known for row in rows for known in row.kept}
    missing = {training.recipe_hash: training for row in rows for training in row.to_train}
    left = list(missing.values())
    seconds = [training.seconds for training in left if training.seconds is not None]
    return Workload(
        num_finished=len((done | kept) - missing.keys()),
        num_missing=len(left),
        macs=sum(training.macs for training in left),
        seconds=sum(seconds),
        num_timed=len(seconds),
    )


def num_train_videos(recipe: Recipe) -> int:
    """Training videos of the recipe's data set; those that its card knows to be present."""
    if recipe.data.generated is not None:
        return recipe.data.generated.train
    return known_counts(recipe.data.dataset)["train"]["present"]


def moved_channels(shift: ShiftConfig | None, channels: int, num_sites: int) -> Moved:
    """Channels that `shift` moves of `channels`."""
    if shift is None:
        return Moved(channels, num_sites, 0, "")
    slices = channel_slices(channels, shift.dims, shift.alpha)
    sizes = group_sizes(slices, shift.dims)
    parts = ", ".join(f"{group} {ahead}+{back}" for group, (ahead, back) in sizes.items())
    num_moved = slices[-1].stop
    return Moved(channels, num_sites, num_moved, parts if num_moved else "")


def _row_plan(
    runs: Sequence[Run],
    recorded: Container[str],
    times: Sequence[Time],
    is_kept: Callable[[Run], bool],
) -> RowPlan:
    recipes = [stream.recipe for stream in runs[0].streams]
    recipe = recipes[0]
    costs = [_cost(runs[0].row, recipe) for recipe in recipes]
    widths = sorted(Counter(site.channels for site in costs[0].sites).items())
    seconds = [_seconds(recipe, times) for recipe in recipes]
    num_videos, epochs = num_train_videos(recipe), recipe.optim.epochs
    macs_run = [cost.macs * num_videos * epochs for cost in costs]
    hashes = [run.recipe_hash for run in runs]
    missing = [
        told
        for run in runs
        if run.recipe_hash not in recorded
        for told in zip(run.streams, macs_run, seconds, strict=True)
    ]
    kept = [stream for stream, *_ in missing if is_kept(stream)]
    return RowPlan(
        row=runs[0].row,
        finished=tuple(run for run in hashes if run in recorded),
        missing=tuple(run for run in hashes if run not in recorded),
        size_px=recipe.data.crop_px,
        macs=sum(cost.macs for cost in costs),
        params=sum(cost.params for cost in costs),
        num_videos=num_videos,
        epochs=epochs,
        seconds=None if None in seconds else sum(filter(None, seconds)),
        moved=tuple(moved_channels(recipe.model.shift, *width) for width in widths),
        trained=tuple(
            stream.recipe_hash
            for run in runs
            if run.recipe_hash in recorded
            for stream in run.streams
        ),
        kept=tuple(stream.recipe_hash for stream in kept),
        to_train=tuple(
            Training(stream.recipe_hash, macs, took)
            for stream, macs, took in missing
            if stream not in kept
        ),
    )


def _cost(row: Row, recipe: Recipe) -> Cost:
    """Of the row's network, with a shift even in TSN to see every site: no shift costs anything.

    Of a system it is as it is: not each has a place for a shift.
    """
    shift = {} if isinstance(row, SystemRow) else {"shift": ShiftConfig()}
    network = recipe.model.without_start(**shift)  # so networks are counted once
    return model_cost(network, size_px=recipe.data.crop_px)


def _times(records: Sequence[RunRecord]) -> list[Time]:
    return [
        (_work(record.recipe), record.seconds / len(record.curve.val_top1))
        for record in records
        if record.flow is None  # else they are of two runs
    ]


def _seconds(recipe: Recipe, times: Sequence[Time]) -> float | None:
    """Mean seconds an epoch of the runs alike, times the epochs."""
    wanted = _work(recipe)
    alike = [seconds for work, seconds in times if work == wanted]
    return sum(alike) / len(alike) * recipe.optim.epochs if alike else None


def _work(recipe: Recipe) -> str:
    """All that decides how long an epoch of a recipe takes."""
    return recipe.model_dump_json(exclude=TIMELESS)

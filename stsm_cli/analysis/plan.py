"""What a sweep would do: the channels that really move, and what training costs."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from stsm_cli.analysis.ablation import Row, Run, Sweep
from stsm_cli.analysis.cost import model_cost
from stsm_cli.analysis.records import RunRecord, finished, read_records
from stsm_cli.config.load import load_yaml
from stsm_cli.config.schema import Recipe, ShiftConfig
from stsm_cli.models.shift import channel_slices
from stsm_cli.resources import resource_dir


@dataclass(frozen=True)
class Moved:
    """The channels that move before the convolutions of one width."""

    channels: int
    num_sites: int
    moved: int
    parts: str
    """By group and direction (from the next position, from the previous): `T 1+1, H 1+1`."""


@dataclass(frozen=True)
class RowPlan:
    """One row of a sweep before it runs."""

    row: Row
    num_finished: int
    num_seeds: int
    moved: tuple[Moved, ...]


@dataclass(frozen=True)
class Plan:
    """A sweep before it runs.

    Attributes:
        rows: The settings.
        macs: Multiply-adds of one training view forward; no setting adds any.
        num_videos: Training videos.
        epochs: Length of a run.
        seconds: Of one run, from the records of runs on the same data; None without any.
    """

    rows: tuple[RowPlan, ...]
    macs: int
    num_videos: int
    epochs: int
    seconds: float | None

    @property
    def macs_run(self) -> int:
        """Forward multiply-adds of one run's training: view × videos × epochs."""
        return self.macs * self.num_videos * self.epochs


def describe_sweep(sweep: Sweep, out: Path) -> Plan:
    """The plan of `sweep`, given what is recorded below `out`.

    Raises:
        DataError: A record is broken.
    """
    recipe = sweep.runs[0].recipe
    shifted = recipe.model.model_copy(update={"shift": ShiftConfig()})  # to see every site
    cost = model_cost(shifted, size_px=recipe.data.crop_px)
    widths = Counter(site.channels for site in cost.sites)
    first_seed = [run for run in sweep.runs if run.seed == recipe.seed]
    rows = tuple(_row_plan(sweep, out, run, widths) for run in first_seed)
    num_videos, epochs = num_train_videos(recipe), recipe.optim.epochs
    measured = [record for record in read_records(out) if _is_alike(record, recipe)]
    seconds = sum(record.seconds / len(record.curve.val_top1) for record in measured)
    return Plan(
        rows,
        cost.macs,
        num_videos,
        epochs,
        seconds / len(measured) * epochs if measured else None,
    )


def num_train_videos(recipe: Recipe) -> int:
    """Training videos of the recipe's data set; those that its card knows to be present."""
    if recipe.data.synth is not None:
        return recipe.data.synth.train
    card = load_yaml(resource_dir("datasets") / f"{recipe.data.dataset}.yaml")
    present: int = card["videos"]["train"]["present"]
    return present


def moved_channels(shift: ShiftConfig | None, channels: int, num_sites: int) -> Moved:
    """What `shift` moves of `channels` channels."""
    if shift is None:
        return Moved(channels, num_sites, 0, "")
    sizes = [part.stop - part.start for part in channel_slices(channels, shift.dims, shift.alpha)]
    parts = ", ".join(
        f"{group} {sizes[2 * i]}+{sizes[2 * i + 1]}"
        for i, group in enumerate(shift.dims.split("+"))
    )
    return Moved(channels, num_sites, sum(sizes), parts if sum(sizes) else "")


def _row_plan(sweep: Sweep, out: Path, run: Run, widths: Counter[int]) -> RowPlan:
    same = [other for other in sweep.runs if other.row == run.row]
    done = sum(finished(out, sweep, other) is not None for other in same)
    shift = run.recipe.model.shift
    moved = tuple(moved_channels(shift, width, widths[width]) for width in sorted(widths))
    return RowPlan(run.row, done, len(same), moved)


def _is_alike(record: RunRecord, recipe: Recipe) -> bool:
    """Whether a record's seconds tell about `recipe`: only the shift and the epochs may differ."""
    model, data = record.recipe["model"], recipe.model_dump(mode="json")
    sizes = ("backbone", "num_frames", "non_local")
    return record.recipe["data"] == data["data"] and all(
        model[k] == data["model"][k] for k in sizes
    )

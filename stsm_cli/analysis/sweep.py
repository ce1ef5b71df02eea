"""Carries out a planned sweep: what is finished is kept, what is missing is run and recorded.

Training itself is not known here: the caller passes a function that does one run.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import Any

from stsm_cli.analysis.ablation import Run, Sweep
from stsm_cli.analysis.cost import model_cost
from stsm_cli.analysis.records import (
    Curve,
    FlowStream,
    NetworkCost,
    RunRecord,
    finished,
    read_record,
    record_path,
    records_folder,
    write_record,
)
from stsm_cli.config.load import read_recipe
from stsm_cli.config.run_identity import NUMERICS, content_hash, init_sha256
from stsm_cli.config.schema import ModelConfig, Recipe
from stsm_cli.data.content import without_flow
from stsm_cli.errors import CheckpointError, RecipeError
from stsm_cli.stored import (
    Environment,
    Epoch,
    Fusion,
    Result,
    Score,
    as_stored,
    contradiction,
    read_lines,
    read_stored,
)

MACHINE_KEYS = ("command", "data", "recipe")  # of the environment: paths, and what records hold


@dataclass(frozen=True)
class Outcome:
    """Everything that a run leaves behind.

    Attributes:
        result: The test's counts and accuracies, `seconds_train` and `seconds_eval`.
        epochs: One mapping an epoch with `train_loss`, `train_top1` and `val_top1`.
        environment: Versions, device, decoder.
        flow: Of the second of two streams; `result` is then of both, the rest of the first.
    """

    result: Mapping[str, Any]
    epochs: Sequence[Mapping[str, Any]]
    environment: Mapping[str, Any]
    flow: "Outcome | None" = None


RunAll = Callable[[Sequence[tuple[Run, Path]]], Iterable[tuple[int, Outcome]]]


def run_folder(out: Path, sweep: Sweep, run: Run) -> Path:
    """The run folder of `run`: recipe, metrics, checkpoints."""
    return out / "runs" / f"{sweep.name}-{sweep.slug}" / run.folder


def is_trained(out: Path, sweep: Sweep, run: Run) -> bool:
    """True if the folder of a run of one stream is whole and its own, so that it is taken over."""
    folder = run_folder(out, sweep, run)
    if not (folder / "result.json").is_file():
        return False
    try:
        result, _ = read_stored(folder / "result.json", Result, "a result", CheckpointError)
        begun, _ = read_stored(
            folder / "environment.json", Environment, "an environment", CheckpointError
        )
        epochs = read_lines(folder / "metrics.jsonl", Epoch, "an epoch", CheckpointError)
        recipe = read_recipe(folder / "recipe.yaml")
    except (CheckpointError, RecipeError):  # what carries out the run says which
        return False
    is_logged = {epoch.epoch for epoch, _ in epochs} == {*range(1, recipe.optim.epochs + 1)}
    is_whole = is_logged and contradiction(result) is None
    return is_whole and _is_of_videos(begun, sweep, run) and _is_of_recipe(begun, recipe, run)


def _is_of_videos(begun: Environment, sweep: Sweep, run: Run) -> bool:
    """True if a run folder was begun on the videos of `run`, as far as known, and by this code."""
    now = sweep.data_of(run)
    is_same = now is None or begun.data_id in (None, now, without_flow(now))
    return is_same and begun.numerics == NUMERICS


def _is_of_recipe(begun: Environment, recipe: Recipe, run: Run) -> bool:
    """True if the recipe of a run folder is that of `run`, weights to start from by content."""
    was, now = begun.init_sha256, init_sha256(run.recipe)
    if None in (was, now):
        was = now = None  # both by their path
    return content_hash(recipe, was) == content_hash(run.recipe, now)


def run_sweep(
    sweep: Sweep,
    out: Path,
    run_all: RunAll,
    *,
    on_record: Callable[[Run, RunRecord, bool], None],
) -> None:
    """Do the runs of `sweep` that are not finished and record each; interrupted, it goes on there.

    Args:
        out: Records and run folders lie below it.
        run_all: Trains and tests runs, each inside a run folder, which it resumes if it exists;
            gives the number and the outcome of each as it finishes. A run of two streams has no
            folder of its own: beside the one it is given are those of its streams.
        on_record: Told of every finished run as soon as its record is written, and whether it was
            run now.

    Raises:
        UsageError: `out` cannot be written.
        DataError: A record is broken.
    """
    with records_folder(out):
        recorded, missing = finished(out, sweep), []
        for run in sweep.runs:
            old, path = recorded.get(run.recipe_hash), record_path(out, sweep, run)
            if old is None:
                missing.append(run)
                continue
            if not path.is_file() or read_record(path) != old:  # it is another table's
                write_record(path, old)
            on_record(run, old, False)
        for number, outcome in run_all([(run, run_folder(out, sweep, run)) for run in missing]):
            record = make_record(sweep, missing[number], outcome)
            write_record(record_path(out, sweep, missing[number]), record)
            on_record(missing[number], record, True)


def make_record(sweep: Sweep, run: Run, outcome: Outcome) -> RunRecord:
    """Record of a run; its network is counted here."""
    result = outcome.result
    return RunRecord(
        table=sweep.table,
        row=run.row.name,
        seed=run.seed,
        dataset=sweep.dataset,
        budget=sweep.budget,
        base=" + ".join(stream.base for stream in run.streams),
        command=sweep.command_of(run.row),
        experiment=sweep.experiment,
        recipe_hash=run.recipe_hash,
        protocol=run.recipe.protocol,
        score=as_stored(Score, result),
        curve=_curve(outcome),
        seconds=round(result["seconds_train"] + result["seconds_eval"], 1),
        network=_networks([stream.recipe for stream in run.streams]),
        recipe=run.recipe,
        environment=_machine(outcome),
        flow=None if run.flow is None else _flow_stream(run.flow, outcome),
    )


def _flow_stream(run: Run, fused: Outcome) -> FlowStream:
    outcome = fused.flow
    assert outcome is not None  # it is of two streams
    return FlowStream(
        fusion=as_stored(Fusion, fused.result["fused"]),
        score=as_stored(Score, outcome.result),
        curve=_curve(outcome),
        recipe=run.recipe,
        environment=_machine(outcome),
    )


def _curve(outcome: Outcome) -> Curve:
    parts = {
        part.name: tuple(round(epoch[part.name], 4) for epoch in outcome.epochs)
        for part in fields(Curve)
    }
    return Curve(**parts)


def _machine(outcome: Outcome) -> dict[str, Any]:
    return {key: value for key, value in outcome.environment.items() if key not in MACHINE_KEYS}


def _networks(recipes: Sequence[Recipe]) -> NetworkCost:
    """The cost of the networks together."""
    costs = [network(recipe.model, recipe.test.crop_px) for recipe in recipes]
    macs, params = (sum(getattr(cost, key) for cost in costs) for key in ("macs", "params"))
    return NetworkCost(costs[0].size_px, macs, params)


@lru_cache
def network(config: ModelConfig, size_px: int) -> NetworkCost:
    """The cost of one view of `size_px`² pixels in the network of `config`."""
    cost = model_cost(config, size_px=size_px)
    return NetworkCost(size_px, cost.macs, cost.params)

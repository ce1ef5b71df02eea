"""An ablation: a base recipe and named rows of `--set` overrides, planned as runs.

The one idea: a row is exactly what a user could type after `--set`. Each row and seed gives one
recipe, and a run is known by the hash of that recipe. A row of another system has a recipe of its
own in place of the base, or two: of RGB and of optical flow, whose scores are fused.
"""

import re
import shlex
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from functools import cache
from typing import Annotated, Literal, get_args

from pydantic import Field, PositiveInt, model_validator

from stsm_cli.analysis.definition import read_definition
from stsm_cli.config.generated_sets import GeneratedName
from stsm_cli.config.kinds import FlowMethod, Section
from stsm_cli.config.load import load_recipe
from stsm_cli.config.run_identity import content_hash, init_sha256
from stsm_cli.config.schema import DatasetName, Recipe
from stsm_cli.errors import RecipeError, UsageError
from stsm_cli.resources import resource_dir

Budget = Literal["full", "short", "custom"]
DRAWS = 3
"""Draws of a generated set: seed k of a row reads draw k mod 3."""


class Row(Section):
    """One setting of an ablation."""

    name: str
    paper: tuple[str, ...] = ()
    """Printed settings of the paper's rows that are this setting."""
    timeless: bool = False
    """True of a system that gives a clip and its reversal the same scores, by construction."""
    added: bool = False
    """True of a row that came after the plan of the experiment, and so is exploratory."""
    overrides: tuple[str, ...] = Field(alias="set")
    """Words after `--set`, on top of the base recipe."""
    also: dict[DatasetName, tuple[str, ...]] = Field(default={})
    """And more of it, by data set."""
    only: tuple[DatasetName, ...] = ()
    """Data sets that have the row; none named: all. A row that the paper has not is a control."""

    def on(self, dataset: DatasetName) -> tuple[str, ...]:
        """All overrides of the row on a data set."""
        return (*self.overrides, *self.also.get(dataset, ()))

    def undoes(self, override: str, dataset: DatasetName) -> bool:
        """True if the row sets what `override` does or what it is a part of, or parts of a null."""
        key, _, value = override.partition("=")
        own = [words.partition("=")[0] for words in self.on(dataset)]
        is_null = value.strip() in ("", "~", "null")
        return any(f"{key}.".startswith(f"{name}.") for name in own) or (
            is_null and any(name.startswith(f"{key}.") for name in own)
        )

    @property
    def slug(self) -> str:
        """The name as a file name."""
        return slug(self.name)


class SystemRow(Row):
    """A system that the paper compares with."""

    overrides: tuple[str, ...] = Field(default=(), alias="set", max_length=0)
    also: dict[DatasetName, tuple[str, ...]] = Field(default={}, max_length=0)
    recipes: dict[DatasetName, Annotated[tuple[str, ...], Field(min_length=1, max_length=2)]]
    """By data set: its recipe, or of two streams RGB's and flow's."""


def slug(row: str) -> str:
    """The name of a row as a file name."""
    return re.sub(r"[^A-Za-z0-9+]", "-", row)


class Ablation(Section):
    """A table of the paper as an experiment (`recipes/ablations/<name>.yaml`)."""

    table: PositiveInt
    title: str
    base: dict[DatasetName, str]
    """The recipe that every row starts from, by data set; the first unless another is named."""
    shared: dict[DatasetName, tuple[str, ...]] = Field(default={})
    """Words after `--set` for every row, by data set."""
    full: dict[DatasetName, tuple[str, ...]]
    """Words that `--full` adds, by data set; where absent, the base recipe is the full budget."""
    quick: tuple[str, ...] = ()
    """Rows of the short budget where none is named; none: all."""
    notes: tuple[str, ...] = ()
    rows: tuple[Row, ...] = Field(min_length=1)
    systems: tuple[SystemRow, ...] = ()
    """Rows of other systems, run where they are asked for."""

    @property
    def made_here(self) -> tuple[DatasetName, ...]:
        """Data sets that it has a recipe for and that need nothing."""
        return tuple(known for known in self.base if known in get_args(GeneratedName))

    @property
    def all_rows(self) -> tuple[Row, ...]:
        """The rows of the base recipe, and those of other systems."""
        return (*self.rows, *self.systems)

    @model_validator(mode="after")
    def _rows_differ(self) -> "Ablation":
        slugs = [row.slug for row in self.all_rows]
        for row in self.all_rows:
            if slugs.count(row.slug) > 1:
                raise ValueError(f"two rows share the name {row.name} (as files: {row.slug})")
        return self


def ablation_names() -> list[str]:
    """The shipped ablations, in the order of the paper's tables."""
    paths = (resource_dir("recipes") / "ablations").glob("*.yaml")
    return sorted((path.stem for path in paths), key=lambda name: load_ablation(name).table)


def load_ablation(name: str) -> Ablation:
    """The shipped ablation `name`.

    Raises:
        UsageError: There is none of this name.
        RecipeError: Its file is wrong; every problem with file and line.
    """
    path = resource_dir("recipes") / "ablations" / f"{name}.yaml"
    if not re.fullmatch(r"[\w-]+", name) or not path.is_file():
        names = ablation_names()
        near = get_close_matches(name, [*names, "all"], n=1)
        raise UsageError(
            f"ablation {name}: unknown; there are {', '.join(names)}, and all",
            hint=f"did you mean `{near[0]}`?" if near else None,
        )
    return read_definition(path, Ablation)


def names_with(dataset: str) -> list[str]:
    """The shipped ablations with a recipe for `dataset`, in the order of the paper's tables."""
    return [name for name in ablation_names() if dataset in load_ablation(name).base]


def table_name(name: str, ablation: Ablation) -> str:
    """For example `table1_alpha`."""
    return f"table{ablation.table}_{name}"


@dataclass(frozen=True)
class Run:
    """One row with one seed.

    Attributes:
        recipe: What is run; of two streams RGB's.
        base: The recipe's name before the overrides.
        overrides: Words that make `base` this recipe, as `--set` takes them.
        title: Its name with them, as results have it.
        flow: The second of two streams, whose scores are fused with those of this one.
    """

    row: Row
    seed: int
    recipe: Recipe
    base: str
    overrides: tuple[str, ...]
    title: str
    flow: "Run | None" = None

    @property
    def streams(self) -> "tuple[Run, ...]":
        """The runs that are trained: itself, or of two streams each."""
        return (self,) if self.flow is None else (replace(self, flow=None), self.flow)

    @property
    def recipe_hash(self) -> str:
        """Identity of the run on given videos; the weights it starts from by their content."""
        recipes = (stream.recipe for stream in self.streams)
        return joined_hash(content_hash(recipe, init_sha256(recipe)) for recipe in recipes)

    @property
    def slug(self) -> str:
        """The run's name as a file name."""
        return f"{self.row.slug}-seed{self.seed}"

    @property
    def folder(self) -> str:
        """The name of its folder, which rows with the same recipe share."""
        if isinstance(self.row, SystemRow):
            return f"{slug(self.base)}-seed{self.seed}"
        return self.slug


def joined_hash(hashes: Iterable[str]) -> str:
    """The identity of runs whose scores are fused."""
    return "+".join(hashes)


@dataclass(frozen=True)
class Sweep:
    """All runs of an ablation on one data set with one budget.

    Attributes:
        name: The ablation's name.
        base: The base recipe's name.
        command: What repeats the sweep, but for the number of seeds and, as `ROOT`, the place of
            data that are not made here.
        experiment: Hash of the recipe that the rows share; only runs with the same one compare.
        notes: How the overrides changed its schedule, a line each.
        data_id: What the videos are known by; None where they are not at hand.
        flow_ids: What their flow is known by, by its method.
    """

    name: str
    ablation: Ablation
    dataset: DatasetName
    base: str
    budget: Budget
    command: str
    experiment: str
    runs: tuple[Run, ...]
    notes: tuple[str, ...] = ()
    data_id: str | None = None
    flow_ids: Mapping[FlowMethod, str] = field(default_factory=dict)

    def data_of(self, run: Run) -> str | None:
        """What all that a run of one stream reads is known by; None where it is not at hand."""
        flow = self.flow_ids.get(run.recipe.data.flow)
        reads_flow = run.recipe.model.stream == "flow" and flow is not None
        return f"{self.data_id}+{flow}" if reads_flow and self.data_id else self.data_id

    @property
    def rows(self) -> tuple[Row, ...]:
        """The rows that are run, in the table's order."""
        return tuple({run.row.name: run.row for run in self.runs}.values())

    def missing(self, recorded: Container[str]) -> list[Run]:
        """The streams of the runs whose recipes' hashes are not among `recorded`."""
        runs = (run for run in self.runs if run.recipe_hash not in recorded)
        return [stream for run in runs for stream in run.streams]

    def command_of(self, row: Row) -> str:
        """The command that repeats a row of the sweep."""
        return f"{self.command} --systems" if isinstance(row, SystemRow) else self.command

    @property
    def table(self) -> str:
        """The name that the table's files share."""
        return table_name(self.name, self.ablation)

    @property
    def slug(self) -> str:
        """Name of the folder that keeps this sweep's records."""
        return f"{self.dataset}-{self.budget}-{self.experiment}"


def plan_sweep(
    name: str,
    dataset: str | None = None,
    *,
    seeds: int = 1,
    full: bool = False,
    systems: bool = False,
    only: Sequence[str] = (),
    overrides: Sequence[str] = (),
    data_id: str | None = None,
    flow_ids: Mapping[FlowMethod, str] | None = None,
) -> Sweep:
    """The runs of an ablation, seed by seed, so that a whole table stands after the first.

    Args:
        name: A shipped ablation.
        dataset: Which of its base recipes; None: the first.
        seeds: How many seeds, counted up from the base recipe's.
        full: The longer budget.
        systems: Other systems that have a recipe for the data set, too.
        only: Names of the rows that are run; none: all.
        overrides: `--set` for every row; rows win, and a shift's keys are for rows with a shift.
            Such a sweep's budget is `custom`.
        data_id: What the videos are known by, where they are at hand.
        flow_ids: What their flow is known by, by its method, where there is any.

    Raises:
        UsageError: No such ablation or row, it has no recipe for the data set, each of its rows
            sets what an override sets, an override leaves two rows alike, or runs would end early.
        RecipeError: An override is wrong, or a row's own recipe has no place for it.
    """
    ablation = load_ablation(name)
    chosen = _chosen_set(name, ablation, dataset)
    is_full = full or chosen not in ablation.full
    rows, asked = _rows_on(chosen, ablation, systems=systems, only=only)
    left_out = _left_out(ablation, rows) if not (is_full or only) else []
    rows = [row for row in rows if row.name not in left_out]
    _check_undone(name, chosen, rows, overrides)
    base = ablation.base[chosen]
    longer = ablation.full.get(chosen, ()) if full else ()
    shared = (*ablation.shared.get(chosen, ()), *longer, *overrides)
    loaded = load_recipe(base, shared)
    common = loaded.recipe
    _check_length(common)
    runs = tuple(
        _plan_run(row, row.recipes[chosen] if isinstance(row, SystemRow) else (base,), words, seed)
        for seed in range(common.seed, common.seed + seeds)
        for row in (*rows, *asked)
        for words in [(*shared, *row.on(chosen))]
    )
    _check_different(runs)
    return Sweep(
        name=name,
        ablation=ablation,
        dataset=chosen,
        base=base,
        budget="custom" if overrides else "full" if is_full else "short",
        command=_command(name, chosen, full, overrides),
        experiment=content_hash(common, init_sha256(common)),
        runs=runs,
        notes=(
            *loaded.notes,
            *([_LEFT_OUT.format(", ".join(left_out))] if left_out else []),
            *_notes_of_shift(asked, chosen, overrides),
        ),
        data_id=data_id,
        flow_ids=flow_ids or {},
    )


def _chosen_set(name: str, ablation: Ablation, dataset: str | None) -> DatasetName:
    """The data set of that name among those of an ablation; None: its first."""
    chosen = next((known for known in ablation.base if dataset in (None, known)), None)
    if chosen is None:
        others = ", ".join(names_with(str(dataset)))
        raise UsageError(
            f"--dataset {dataset}: {name} has recipes for {', '.join(ablation.base)} only",
            hint=f"for {dataset} there are {others}" if others else None,
        )
    return chosen


def _check_undone(
    name: str, dataset: DatasetName, rows: Sequence[Row], overrides: Sequence[str]
) -> None:
    """Refuse an override that each row sets anew."""
    for override in overrides:
        if rows and all(row.undoes(override, dataset) for row in rows):
            raise UsageError(f"--set {override.partition('=')[0]}: every row of {name} sets it")


def _check_length(common: Recipe) -> None:
    """Refuse runs that would end early."""
    if (patience := common.optim.patience_epochs) is not None:
        raise UsageError(
            f"optim.patience_epochs ({patience}): runs of an ablation are compared at one length"
        )


def _command(name: str, dataset: str, full: bool, overrides: Sequence[str]) -> str:
    """The command that runs it again."""
    words = command_words(name, dataset) + (["--full"] if full else [])
    words += [word for override in overrides for word in ("--set", override)]
    return shlex.join(words)


def _check_different(runs: Sequence[Run]) -> None:
    known: dict[str, Run] = {}
    for run in runs:
        other = known.setdefault(run.recipe_hash, run)
        if other is not run:
            raise UsageError(
                f"--set: leaves rows {other.row.name} and {run.row.name} alike",
                hint="--row runs those that are named alone",
            )


def _rows_on(
    dataset: DatasetName, ablation: Ablation, *, systems: bool, only: Sequence[str]
) -> tuple[list[Row], list[SystemRow]]:
    """The rows to run on a data set, and those of other systems."""
    rows = [row for row in ablation.rows if not row.only or dataset in row.only]
    asked = [row for row in ablation.systems if systems and dataset in row.recipes]
    known = [row.name for row in (*rows, *asked)]
    for name in only:
        if name not in known:
            told = f"--row {name}: unknown; there are {', '.join(known)}"
            raise UsageError(told, hint=_hint_on_system(name, dataset, ablation))
    if not only:
        return rows, asked
    return [row for row in rows if row.name in only], [row for row in asked if row.name in only]


def _hint_on_system(name: str, dataset: DatasetName, ablation: Ablation) -> str | None:
    """What to type for a row of another system, if `name` is one."""
    system = next((row for row in ablation.systems if row.name == name), None)
    if system is None:
        return None
    on = [known for known in system.recipes if known != dataset]
    elsewhere = f"it has recipes for {', '.join(on)} only: --dataset {on[0]} --systems"
    return "`--systems` adds the rows of other systems" if dataset in system.recipes else elsewhere


_LEFT_OUT = "the short budget leaves out {}: `--row` runs a row by its name, `--full` all"


def _left_out(ablation: Ablation, rows: Sequence[Row]) -> list[str]:
    """Names of the rows that the short budget has no time for."""
    return [row.name for row in rows if ablation.quick and row.name not in ablation.quick]


def command_words(name: str, dataset: str) -> list[str]:
    """Words of the command that runs an ablation on a data set.

    Where data are not made here, `ROOT` is their place: records hold no path of a machine, and who
    repeats a sweep says where the data lie.
    """
    words = ["stsm", "ablate", name, "--dataset", dataset]
    words += ["--data", "ROOT"] if dataset not in get_args(GeneratedName) else []
    return words


def _plan_run(row: Row, bases: Sequence[str], words: Sequence[str], seed: int) -> Run:
    words = [*_draw(bases[0], seed), *words]  # first, so that a draw that is given wins
    first, *second = (_plan_stream(row, base, words, seed) for base in bases)
    return replace(first, flow=second[0]) if second else first


def _draw(base: str, seed: int) -> list[str]:
    """The override by which a seed reads its draw, where it is not the first."""
    data, draw = _recipe(base).data, seed % DRAWS
    return [f"data.{data.dataset}.draw={draw}"] if draw and hasattr(data.generated, "draw") else []


def _plan_stream(row: Row, base: str, words: Sequence[str], seed: int) -> Run:
    if isinstance(row, SystemRow) and not _has_shift(base):  # else it would get one
        words = [word for word in words if not _is_of_shift(word)]
    overrides = (*words, f"seed={seed}")
    try:
        loaded = load_recipe(base, overrides)
        return Run(row, seed, loaded.recipe, base, overrides, loaded.title)
    except RecipeError as error:
        raise RecipeError(f"row {row.name}, {base}: {error}", hint=error.hint) from None


def _notes_of_shift(
    rows: Sequence[SystemRow], dataset: DatasetName, overrides: Sequence[str]
) -> list[str]:
    """The line on rows that overrides of a shift leave as they are."""
    keys = [override.partition("=")[0] for override in overrides if _is_of_shift(override)]
    names = [row.name for row in rows if not any(map(_has_shift, row.recipes[dataset]))]
    if not (keys and names):
        return []
    return [f"--set {', '.join(keys)}: not for rows without a shift: {', '.join(names)}"]


def _is_of_shift(override: str) -> bool:
    return f"{override.partition('=')[0]}.".startswith("model.shift.")


def _has_shift(recipe: str) -> bool:
    return _recipe(recipe).model.shift is not None


@cache  # asked for each row and seed
def _recipe(name: str) -> Recipe:
    return load_recipe(name).recipe

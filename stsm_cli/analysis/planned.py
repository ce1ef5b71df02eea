"""What `docs/plan.md` asks, and what came of it: each contrast once, in however many tables it is.

A row of the plan is looked for by its recipe, so its runs count whatever table they were made for.
Nothing is said of a contrast before all of its runs are there: the plan has no look in between.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from stsm_cli.analysis.ablation import names_with, plan_sweep
from stsm_cli.analysis.contrast import Contrast, contrast_of
from stsm_cli.analysis.paper import load_paper_table
from stsm_cli.analysis.records import RunRecord, place_of
from stsm_cli.analysis.statistics import LEAST, LEVEL, holm
from stsm_cli.config.run_identity import NUMERICS
from stsm_cli.config.schema import DatasetName

PlannedRow = tuple[str, str]
"""An ablation and one of its rows."""
PlannedVerdict = Literal["better", "worse", "equal", "no difference called", "not yet run"]

SETS: tuple[DatasetName, ...] = ("scenes", "order")
VERSION = 2
"""Of both sets."""
SEEDS, OTHER_SEEDS = 9, 3
"""Seeds of the rows in `PRIMARY_ROWS`, and of every other one."""
TSN: PlannedRow = ("spatiotemporal", "TSN")
TSM: PlannedRow = ("spatiotemporal", "T")
TSM_1_8: PlannedRow = ("spatiotemporal", "T 1/8")
STSM: PlannedRow = ("alpha", "3/8")
STSM_1_4: PlannedRow = ("alpha", "1/4")
STSM_1_2: PlannedRow = ("alpha", "1/2")
PRIMARY_ROWS = (TSN, TSM, TSM_1_8, STSM_1_4, STSM, STSM_1_2)


@dataclass(frozen=True)
class PlannedContrast:
    """Two rows that are compared on a set.

    Attributes:
        name: For example `P1`; empty of a secondary contrast.
        asked: What it is about, in words.
        in_paper: A table and two of its rows in which the paper's own difference is; of a
            secondary contrast none.
    """

    name: str
    dataset: DatasetName
    first: PlannedRow
    other: PlannedRow
    asked: str
    in_paper: tuple[int, str, str] | None = None

    @property
    def printed(self) -> tuple[float, int]:
        """Points by which the paper has the first row above the other, and in which table."""
        assert self.in_paper is not None
        number, first, other = self.in_paper
        table = load_paper_table(number)
        gap = table.row(first).percent - table.row(other).percent
        return float(gap), number


_NAMED = "STSM (T+H+W, α = 3/8) against TSM (T, α = 1/4)"


def _of_alpha(name: str, dataset: DatasetName, other: PlannedRow) -> PlannedContrast:
    asked = f"T+H+W, α = 3/8 against {other[1]}"
    return PlannedContrast(name, dataset, STSM, other, asked, (1, "3/8", other[1]))


PRIMARY = (
    PlannedContrast("P1", "scenes", STSM, TSM, _NAMED, (3, "T+H+W", "T(MMAction2)")),
    PlannedContrast(
        "P2", "order", STSM, TSM, _NAMED, (7, "STSM+TSN, R-50, 8", "TSM+TSN [17], R-50, 8")
    ),
    _of_alpha("P3", "scenes", STSM_1_4),
    _of_alpha("P4", "scenes", STSM_1_2),
    _of_alpha("P5", "order", STSM_1_4),
    _of_alpha("P6", "order", STSM_1_2),
)
_CONTROLS: tuple[tuple[PlannedRow, PlannedRow, str], ...] = (
    (STSM, TSM_1_8, "What H and W add: T+H+W, α = 3/8, against T, α = 1/8, with as many in time"),
    (TSM, TSM_1_8, "What more channels in time add: T, α = 1/4, against 1/8"),
    (("spatiotemporal", "H+W 1/4"), TSN, "Space alone: H+W, α = 1/4, against no shift"),
    (
        ("spatiotemporal", "TSN dilated"),
        TSN,
        "A field as large without a shift: TSN with dilated convolutions against TSN",
    ),
    (("spatial", "HW+Hw"), ("spatial", "HW"), "All four diagonals of HW against two, α = 1/4"),
    (
        ("spatiotemporal", "T+HW+Hw"),
        ("spatiotemporal", "T+HW"),
        "All four diagonals of T+HW against two, α = 3/8",
    ),
)
SECONDARY = tuple(
    PlannedContrast("", dataset, first, other, asked)
    for first, other, asked in _CONTROLS
    for dataset in SETS
)


@dataclass(frozen=True)
class PlannedAnswer:
    """What came of a question.

    Attributes:
        num_runs: Of both rows, of those that the plan has.
        num_seeds: That the plan has of each.
        contrast: None before all of these are run.
        p: Corrected for all primary contrasts; of a secondary one as it is.
    """

    question: PlannedContrast
    num_runs: tuple[int, int]
    num_seeds: tuple[int, int]
    contrast: Contrast | None
    p: float | None

    @property
    def verdict(self) -> PlannedVerdict:
        """By the plan's rule."""
        if self.contrast is None or self.p is None:
            return "not yet run"
        difference, (low, high) = self.contrast.difference, self.contrast.interval
        if self.p <= LEVEL and abs(difference) >= LEAST:
            return "better" if difference > 0 else "worse"
        return "equal" if low >= -LEAST and high <= LEAST else "no difference called"


def primary_answers(records: Sequence[RunRecord]) -> list[PlannedAnswer]:
    """The primary contrasts; p is corrected for all of them, also those that are not yet run."""
    found = [_compared(question, records) for question in PRIMARY]
    corrected = holm([1.0 if one is None else one.p for _, _, one in found])
    return [
        PlannedAnswer(question, num_runs, num_seeds, one, None if one is None else p)
        for question, (num_runs, num_seeds, one), p in zip(PRIMARY, found, corrected, strict=True)
    ]


def question_of(first: Sequence[RunRecord], other: Sequence[RunRecord]) -> PlannedContrast | None:
    """The primary contrast that the runs of two rows are of; None: the plan does not ask it."""
    for question in PRIMARY:
        sides = ((first, question.first), (other, question.other))
        if all(
            {run.identity.recipe for run in runs} <= _hashes(row, question.dataset)
            for runs, row in sides
        ):
            return question
    return None


def secondary_answers(records: Sequence[RunRecord]) -> list[PlannedAnswer]:
    """The controls, on both sets."""
    answers = []
    for question in SECONDARY:
        num_runs, num_seeds, one = _compared(question, records)
        answers.append(
            PlannedAnswer(question, num_runs, num_seeds, one, None if one is None else one.p)
        )
    return answers


def _compared(
    question: PlannedContrast, records: Sequence[RunRecord]
) -> tuple[tuple[int, int], tuple[int, int], Contrast | None]:
    """Runs and seeds of both rows, and their contrast where these are equal."""
    rows = question.first, question.other
    first, other = (runs_of(row, question.dataset, records) for row in rows)
    num_runs, num_seeds = (len(first), len(other)), (seeds_of(rows[0]), seeds_of(rows[1]))
    is_whole = num_runs == num_seeds
    return num_runs, num_seeds, contrast_of(first, other) if is_whole else None


def seeds_of(row: PlannedRow) -> int:
    """How many seeds of a row the plan has."""
    return SEEDS if row in PRIMARY_ROWS else OTHER_SEEDS


def runs_of(row: PlannedRow, dataset: DatasetName, records: Sequence[RunRecord]) -> list[RunRecord]:
    """Runs of a row that the plan has and that are recorded, by seed."""
    wanted = _hashes(row, dataset)
    planned = [
        record for record in records if record.identity.recipe in wanted and is_as_planned(record)
    ]
    found: dict[str, RunRecord] = {}
    # two machines may have made a run, each for another table: the first table's record counts,
    # for which of two scores it is must hang neither on their order here nor on what came out
    for record in sorted(planned, key=place_of):
        found.setdefault(record.identity.recipe, record)
    return sorted(found.values(), key=lambda record: record.seed)


def is_as_planned(record: RunRecord) -> bool:
    """Tell whether a run was made on the plan's videos, where it says and by this code."""
    known = record.identity
    is_of_set = known.data == f"{record.dataset}/{VERSION}"
    return is_of_set and known.numerics == NUMERICS and record.machine.device == "cpu"


@lru_cache
def _hashes(row: PlannedRow, dataset: DatasetName) -> frozenset[str]:
    """Recipes of a row's runs in the plan."""
    name, setting = row
    sweep = plan_sweep(name, dataset, seeds=seeds_of(row), full=True, only=[setting])
    return frozenset(run.recipe_hash for run in sweep.runs)


def progress(records: Sequence[RunRecord]) -> dict[DatasetName, tuple[int, int]]:
    """By set, how many runs of the primary rows are recorded, and how many the plan has."""
    return {
        dataset: (
            sum(len(runs_of(row, dataset, records)) for row in PRIMARY_ROWS),
            len(PRIMARY_ROWS) * SEEDS,
        )
        for dataset in SETS
    }


def exploratory(records: Sequence[RunRecord]) -> Mapping[str, list[RunRecord]]:
    """Runs of the long budget on the plan's sets that it has not, by table, row and set."""
    found: dict[str, list[RunRecord]] = {}
    for record in records:
        if record.dataset in SETS and record.budget == "full" and not _is_planned(record):
            place = f"`{record.table}`, {record.row}, {record.dataset}"
            found.setdefault(place, []).append(record)
    return found


def _is_planned(record: RunRecord) -> bool:
    return record.identity.recipe in _every_hash(record.dataset) and is_as_planned(record)


@lru_cache
def _every_hash(dataset: DatasetName) -> frozenset[str]:
    """Recipes of all runs in the plan on a set."""
    sweeps = [
        plan_sweep(name, dataset, seeds=OTHER_SEEDS, full=True, systems=True)
        for name in names_with(dataset)
    ]
    others = (run for sweep in sweeps for run in sweep.runs if not run.row.added)
    return frozenset(run.recipe_hash for run in others).union(
        *(_hashes(row, dataset) for row in PRIMARY_ROWS)
    )

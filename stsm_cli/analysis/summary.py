"""Records arranged as the rows of a table, beside the paper's."""

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import get_args

from stsm_cli.analysis.ablation import Ablation, Budget, Row, SystemRow, joined_hash
from stsm_cli.analysis.paper import PaperRow, PaperTable
from stsm_cli.analysis.planned import SETS
from stsm_cli.analysis.records import UNKNOWN, RunRecord
from stsm_cli.analysis.statistics import Spread
from stsm_cli.config.generated_sets import GeneratedName
from stsm_cli.config.run_identity import NUMERICS, content_hash
from stsm_cli.config.schema import DatasetName, Recipe, ShiftConfig
from stsm_cli.data.generated import GENERATED
from stsm_cli.printable import counted, either
from stsm_cli.stored import Machine, as_stored

LABELS: dict[DatasetName, str] = {
    "k400": "Kinetics-400",
    "sthv2": "Something-Something V2",
    "ucf101": "UCF101",
    "hmdb51": "HMDB51",
    "folder": "own videos",
    **{name: GENERATED[name].label for name in get_args(GeneratedName)},
}
"""Names of data sets in tables and figures; the order is theirs too."""

NETWORK = {"backbone": "bottleneck_small", "num_frames": 8, "non_local": False, "system": None}
SHIFTS = {
    "TSN": None,
    "TSM": ShiftConfig(dims="T", alpha=Fraction(1, 4)),
    "STSM": ShiftConfig(dims="T+H+W", alpha=Fraction(3, 8)),
}
"""TSN, TSM and STSM in the small ResNet of the plan (`NETWORK`), whatever table they stand in."""

_Key = tuple[DatasetName, Budget, str, int, str, str]
"""Data set, budget, shared recipe, numerics, what the videos are known by, and kind of device."""


@dataclass(frozen=True)
class Group:
    """Records that compare, at least one: of one budget, recipe, data set, code and device."""

    records: tuple[RunRecord, ...]

    @property
    def first(self) -> RunRecord:
        """A record, for what all of them share."""
        return self.records[0]

    @property
    def epochs(self) -> int:
        """Length of most trainings; other systems may have their own."""
        lengths = Counter(record.num_epochs for record in self.records)
        return max(lengths, key=lambda length: (lengths[length], length))

    @property
    def seeds(self) -> list[int]:
        """All seeds, rising."""
        return sorted({record.seed for record in self.records})

    @property
    def apart(self) -> str:
        """What it has not in common with runs of today's code and videos on a CPU, to follow."""
        known, kind = self.first.identity, device_kind(self.first)
        where = "" if kind == "CPU" else f" on {kind}s"
        then = f", of `{known.data or UNKNOWN}` and numerics {known.numerics}"
        return where if _is_todays(self.first) else f"{where}{then}"

    @property
    def extent(self) -> str:
        """For example `20 epochs, 3 seeds`, or `3 or 9 seeds` where rows have unequal numbers."""
        seeds_of: dict[str, set[int]] = {}
        for record in self.records:
            seeds_of.setdefault(record.row, set()).add(record.seed)
        numbers = sorted({len(seeds) for seeds in seeds_of.values()})
        seeds = f"{either(list(map(str, numbers)))} seed{'s' if numbers != [1] else ''}"
        return f"{counted(self.epochs, 'epoch')}, {seeds}"

    def of(self, row: str) -> list[RunRecord]:
        """The records of a row, by seed."""
        return sorted((r for r in self.records if r.row == row), key=lambda record: record.seed)


def comparable(records: Sequence[RunRecord]) -> list[Group]:
    """Records in groups that compare.

    Real data come first; of a set runs of today's code and videos, the longer budget, the larger
    group.
    """
    groups: dict[_Key, list[RunRecord]] = {}
    for record in records:
        groups.setdefault(key_of(record), []).append(record)

    def place(key: _Key) -> tuple[int, bool, int, int, _Key]:
        is_old = not _is_todays(groups[key][0])
        order = (list(LABELS).index(key[0]), is_old, get_args(Budget).index(key[1]))
        return (*order, -len(groups[key]), key)

    return [Group(tuple(groups[key])) for key in sorted(groups, key=place)]


def key_of(record: RunRecord) -> _Key:
    """What records that compare have in common."""
    known = record.identity  # its data, too: a list of videos may have changed since
    return (
        record.dataset,
        record.budget,
        record.experiment,
        known.numerics,
        known.data or UNKNOWN,
        device_kind(record),
    )


def _is_todays(record: RunRecord) -> bool:
    """True of the code's numerics and, of a generated set, its version."""
    known, made = record.identity, GENERATED.get(record.dataset)
    is_old_set = made is not None and known.data is not None and known.data != made.identify()
    return known.numerics == NUMERICS and not is_old_set


def device_kind(record: RunRecord) -> str:
    """`CPU`, as of runs from before it was kept, or `GPU`, whichever it is."""
    return "CPU" if record.machine.device in (None, "cpu") else "GPU"


def standard(records: Iterable[RunRecord]) -> list[RunRecord]:
    """Runs without overrides of the user's (budget `custom`), which no claim counts."""
    return [record for record in records if record.budget != "custom"]


def best_group(records: Iterable[RunRecord]) -> Group | None:
    """The first group that compares of the runs that claims count; None if there is none."""
    return next(iter(comparable(standard(records))), None)


@dataclass(frozen=True)
class RowSummary:
    """A row of the table: what the paper prints and what was measured."""

    row: Row
    paper: tuple[PaperRow, ...]
    records: tuple[RunRecord, ...]

    @property
    def method(self) -> str:
        """Of a row of several networks, such as `TSM R-50 8f`, its method: TSN, TSM or STSM."""
        return self.row.name.partition(" ")[0]

    @property
    def network(self) -> str:
        """And its network with its frames; empty in a table of one network, and beside it."""
        return "" if self.is_beside else self.row.name.partition(" ")[2]

    @property
    def is_beside(self) -> bool:
        """True of another system and of a control, on which no claim of the paper is."""
        return isinstance(self.row, SystemRow) or not self.row.paper

    @property
    def top1(self) -> Spread | None:
        """Measured top-1 in percent, one value a seed; None if nobody has run the row."""
        return Spread(tuple(r.score.top1 for r in self.records)) if self.records else None

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % Wilson intervals of its runs' test videos together; of a measured row."""
        lows, highs = zip(*(record.score.top1_interval for record in self.records), strict=True)
        return min(lows), max(highs)

    @property
    def pair_accuracy(self) -> Spread | None:
        """Percentage of videos that score their class above its reversal; None if unknown."""
        values = [record.score.pair_accuracy for record in self.records]
        known = tuple(value for value in values if value is not None)
        return Spread(known) if known else None

    @property
    def factors(self) -> dict[str, tuple[Spread, Spread]]:
        """Top-1 and accuracy in pair of the pairs of each factor; empty unless all runs tell."""
        runs = [record.score.factors for record in self.records]
        names = [name for name in (runs[0] if runs else ()) if all(name in run for run in runs)]
        return {
            name: (
                Spread(tuple(run[name].top1 for run in runs)),
                Spread(tuple(run[name].in_pair for run in runs)),
            )
            for name in names
        }

    @property
    def strongest(self) -> PaperRow | None:
        """Printed row; of several baselines for one setting the best."""
        return max(self.paper, key=lambda printed: printed.percent, default=None)

    @property
    def paper_top1(self) -> float | None:
        """The paper's top-1 in percent, of `strongest`."""
        return float(self.strongest.top1) if self.strongest else None


def summarise(ablation: Ablation, paper: PaperTable, group: Group | None) -> list[RowSummary]:
    """The table's rows in its order, other systems and controls where they are measured.

    Without a group nothing is.
    """
    rows = [
        RowSummary(
            row,
            tuple(paper.row(setting) for setting in row.paper),
            tuple(group.of(row.name)) if group else (),
        )
        for row in ablation.all_rows
    ]
    return [row for row in rows if row.records or not row.is_beside]


def claimed(rows: Iterable[RowSummary]) -> list[RowSummary]:
    """The rows on which the paper's claims are: without other systems and controls."""
    return [row for row in rows if not row.is_beside]


@dataclass(frozen=True)
class Line:
    """A line of the paper's table with the row of this suite that it is."""

    printed: tuple[PaperRow, ...]
    """More than one where the paper prints several baselines for one setting."""
    row: RowSummary | None
    """None: a system that is not measured."""

    @property
    def name(self) -> str:
        """Of the row of this suite, or else of the paper's."""
        return self.row.row.name if self.row else self.printed[0].label


def printed_lines(rows: Sequence[RowSummary], paper: PaperTable) -> list[Line]:
    """The paper's table line by line; each of `rows` where the first of its lines is printed."""
    ours = {printed.label: row for row in rows for printed in row.paper}
    lines: list[Line] = []
    shown: set[str] = set()
    for printed in paper.rows:
        row = ours.get(printed.label)
        if row is None:
            lines.append(Line((printed,), None))
        elif row.row.name not in shown:
            shown.add(row.row.name)
            lines.append(Line(row.paper, row))
    return lines


def by_network(rows: Sequence[RowSummary]) -> dict[str, list[RowSummary]]:
    """Rows of a table of several networks, such as `TSM R-50 8f`, by network.

    Empty for a table of one network, whose rows are named by their shift.
    """
    networks: dict[str, list[RowSummary]] = {}
    for row in rows:
        if row.network:
            networks.setdefault(row.network, []).append(row)
    return networks


def pair_group(records: Sequence[RunRecord], dataset: DatasetName) -> Group | None:
    """Runs of TSN, TSM and STSM on a set that compare, each once, whatever table they stand in.

    In the plan's network and with counts of each pair; of the longest budget, of that the most
    runs, and of these the seeds that all its methods have. None if there is no such run.
    """
    runs: dict[Hashable, RunRecord] = {}
    for record in standard(records):
        if record.dataset == dataset and record.score.pairs and method_of(record) is not None:
            runs.setdefault((record.identity, device_kind(record)), record)
    groups = comparable(list(runs.values()))
    if not groups:
        return None
    seeds: dict[str | None, set[int]] = {}
    for record in groups[0].records:
        seeds.setdefault(method_of(record), set()).add(record.seed)
    shared = set.intersection(*seeds.values())
    return Group(tuple(r for r in groups[0].records if r.seed in shared)) if shared else groups[0]


def method_of(record: RunRecord) -> str | None:
    """Which of SHIFTS a run is; None if it is none, or of another network or not of the plan."""
    model = record.recipe.model
    is_network = all(getattr(model, key) == value for key, value in NETWORK.items())
    if record.dataset not in SETS or not is_network or record.recipe.data.sampling == "motion":
        return None
    return next((name for name, shift in SHIFTS.items() if model.shift == shift), None)


def setting_of(record: RunRecord) -> str:
    """Hash of all that the seeds of a row share: of its recipe without seed and draw."""
    streams = [(record.recipe, record.machine.init_sha256)]
    if (flow := record.flow) is not None:
        streams.append((flow.recipe, as_stored(Machine, flow.environment).init_sha256))
    return joined_hash(content_hash(_without_seed(recipe), init) for recipe, init in streams)


def _without_seed(recipe: Recipe) -> Recipe:
    """A recipe as that of seed 0, with the draw of that."""
    data, generated = recipe.data, recipe.data.generated
    if data.draw and generated is not None:
        data = data.model_copy(update={data.dataset: generated.model_copy(update={"draw": 0})})
    return recipe.model_copy(update={"seed": 0, "data": data})

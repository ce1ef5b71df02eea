"""The first page of the results: what there is, what each table says, and what is open."""

from dataclasses import dataclass
from pathlib import Path

from stsm_cli.analysis.ablation import (
    Ablation,
    ablation_names,
    command_words,
    load_ablation,
    table_name,
)
from stsm_cli.analysis.cells import joined, markdown
from stsm_cli.analysis.comparison import TEST
from stsm_cli.analysis.conditions import paper_protocol
from stsm_cli.analysis.limits import in_words, limits, shared_settings
from stsm_cli.analysis.paper import PaperTable, load_paper_table
from stsm_cli.analysis.reading import built, conclude, verdicts
from stsm_cli.analysis.records import RunRecord, read_records, write_whole
from stsm_cli.analysis.summary import (
    LABELS,
    PAIRED_SET,
    Group,
    RowSummary,
    comparable,
    pair_group,
    summarise,
)
from stsm_cli.config.schema import DatasetName
from stsm_cli.data.generated import GENERATED

HEAD = """\
# Results

Made by `stsm report` from the run records below `records/`; nothing here is written by hand, but
for the notes that lie beside the records (`records/notes.md`), where there are any.
Numbers of the embedded set are of small videos that `stsm` generates: they are no Kinetics or
Something-Something numbers. Each table's file has its numbers beside the paper's, their spread,
what the paper's networks cost, and the command that makes it again.
"""
PAGES = """\
## The paper itself

- [The audit](audit.md): the paper's statements against its own tables, its sources, and what is
  counted and measured here.
- [Figure 1](figure1.svg): accuracy against multiply-adds. [Figure 4](figure4.svg): which channel
  takes its value from where, read off the operator's own output.
"""
CLASS_PAIRS = """\
- [Class by class](class_pairs.svg): accuracy of TSN, TSM and STSM on each pair of classes of the
  embedded set that are each other's time reversal.
"""
VERDICTS = f"""\
A claim holds if every pair of rows that it orders is clearly in that order, and does not hold if
any is clearly in the other. It is open while pairs are not run, and otherwise undecided.
{TEST}
"""
SHARED = """\
Tables share settings: the same recipe and seed, and so the same result (a table with more seeds has
other means). What two such rows say of each other is one finding, in however many tables it stands.
On {}:
"""


def write_index(out: Path) -> Path:
    """Write `README.md` into the folder of results; its path.

    Raises:
        DataError: A record is broken.
        UsageError: `out` cannot be written.
    """
    path = out / "README.md"
    write_whole(path, index_text(out))
    return path


def index_text(out: Path) -> str:
    """The page as Markdown.

    Raises:
        DataError: A record is broken.
    """
    records = read_records(out)
    tables = [_table(name, records) for name in ablation_names()]
    pages = PAGES if pair_group(records) is None else PAGES + CLASS_PAIRS
    parts = [HEAD, _conclusions(out, records, tables), _overview(tables)]
    parts += [_shared(tables), _open(tables), pages]
    return "\n".join([*filter(None, parts), *map(_section, tables)])


@dataclass(frozen=True)
class _Table:
    name: str
    file: str
    ablation: Ablation
    paper: PaperTable
    groups: tuple[Group, ...]
    has_custom: bool
    """Runs with overrides of the user's are recorded, which have a file of their own."""

    def group(self, dataset: DatasetName) -> Group | None:
        """Runs on a data set, of the longest budget."""
        return next((group for group in self.groups if group.first.dataset == dataset), None)

    def rows(self, group: Group | None) -> list[RowSummary]:
        return summarise(self.ablation, self.paper, group)


def _table(name: str, records: list[RunRecord]) -> _Table:
    ablation = load_ablation(name)
    file = table_name(name, ablation)
    own = [record for record in records if record.table == file]
    groups = comparable([record for record in own if record.budget != "custom"])
    has_custom = any(record.budget == "custom" for record in own)
    return _Table(name, file, ablation, load_paper_table(ablation.table), tuple(groups), has_custom)


def _conclusions(out: Path, records: list[RunRecord], tables: list[_Table]) -> str:
    """Sentences on what the measurements can show, and how they came about; empty where none."""
    claims = [
        (table.ablation.table, conclude(table.rows(group)).comparisons)
        for table in tables
        if (group := table.group(PAIRED_SET))
    ]
    lines = [f"- {sentence}" for sentence in limits(records, claims)]
    notes = out / "records" / "notes.md"
    if notes.is_file():
        lines.append(notes.read_text(encoding="utf-8").rstrip())
    return "\n".join(["## What can be concluded", "", *lines, ""]) if lines else ""


def _overview(tables: list[_Table]) -> str:
    """Claims of the paper, table by table, and their verdicts on each data set."""
    datasets = _asked(tables)
    cells = [
        [
            f"[{table.ablation.table}]({table.file}.md)",
            conclude(table.rows(None)).claim,
            *(_holds(table, dataset) for dataset in datasets),
        ]
        for table in tables
    ]
    columns = ["table", "the paper's claim", *(LABELS[known] for known in datasets)]
    return "\n".join(["## Does it hold?", "", *markdown(columns, cells), "", VERDICTS])


def _asked(tables: list[_Table]) -> list[DatasetName]:
    """The data sets that some table has a recipe for."""
    return [known for known in LABELS if any(known in table.ablation.base for table in tables)]


def _holds(table: _Table, dataset: DatasetName) -> str:
    if dataset not in table.ablation.base:
        return "–"
    group = table.group(dataset)
    if group is None:
        return "not run"
    conclusion = conclude(table.rows(group))
    verdict = conclusion.verdict.removeprefix("is ").removesuffix(" by these seeds")
    return f"{verdict}: {conclusion.counts}"


def _shared(tables: list[_Table]) -> str:
    """The settings that several tables share, of each data set that something was measured on."""
    parts = []
    for dataset in _asked(tables):
        if any(table.group(dataset) for table in tables):
            lines = [f"- {in_words(places)}" for places in shared_settings(dataset)]
            parts.append("\n".join([SHARED.format(_named(dataset)), *lines, ""]))
    return "\n".join(parts)


def _open(tables: list[_Table]) -> str:
    """The real data sets that nobody has run anything on."""
    absent = [known for known in _asked(tables) if not any(table.group(known) for table in tables)]
    real = [LABELS[known] for known in absent if known not in GENERATED]
    if not real:
        return ""
    return (
        f"Open: no run of these tables on {' or '.join(real)} is recorded, so nothing here says "
        "whether the paper's accuracies are reached there. The recipes are shipped; what is "
        "missing is somebody with the videos and the GPUs.\n"
    )


def _section(table: _Table) -> str:
    rows = table.rows(None)
    lines = [f"## [Table {table.ablation.table}: {table.ablation.title}]({table.file}.md)", ""]
    lines += [" ".join([verdicts(rows)[0], *built(rows, table.paper)]), ""]
    lines += [f"- {_measured(table, group)}" for group in table.groups]
    for dataset in table.ablation.base:
        if table.group(dataset) is None:
            command = " ".join(command_words(table.name, dataset))
            lines.append(f"- Not run on {_named(dataset)}: `{command}`")
    if table.has_custom:
        custom = f"{table.file}_custom.md"
        lines.append(f"- Runs with `--set`, which no claim above counts: [{custom}]({custom})")
    return "\n".join([*lines, ""])


def _named(dataset: DatasetName) -> str:
    return f"the {LABELS[dataset]}" if dataset in GENERATED else LABELS[dataset]


def _measured(table: _Table, group: Group) -> str:
    """On what, how long, how tested, and whether the paper's claim holds."""
    label, seeds = LABELS[group.first.dataset], joined(map(str, group.seeds))
    protocols = joined(f"`{record.protocol}`" for record in group.records)
    return (
        f"{label[0].upper()}{label[1:]}, {group.first.budget} budget: {group.epochs} epochs, "
        f"seed{'s' if len(group.seeds) > 1 else ''} {seeds}, test protocol {protocols} "
        f"(the paper's: `{paper_protocol(table.ablation, table.paper.dataset)}`). "
        f"{conclude(table.rows(group)).sentence}"
    )

"""The first page of the results: what there is, what each table says, and what is open."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from stsm_cli.analysis.ablation import (
    Ablation,
    ablation_names,
    command_words,
    load_ablation,
    table_name,
)
from stsm_cli.analysis.cells import joined
from stsm_cli.analysis.comparison import clear_test
from stsm_cli.analysis.conditions import paper_protocol
from stsm_cli.analysis.controls import controls, shortfalls
from stsm_cli.analysis.limits import (
    in_words,
    limits,
    on_other_processors,
    opening,
    shared_settings,
)
from stsm_cli.analysis.paper import PaperTable, load_paper_table
from stsm_cli.analysis.planned import (
    SETS,
    PlannedAnswer,
    exploratory,
    primary_answers,
    question_of,
    secondary_answers,
)
from stsm_cli.analysis.probes_page import PROBES_PAGE
from stsm_cli.analysis.reading import built, conclude, verdicts
from stsm_cli.analysis.records import RunRecord, read_records, write_whole
from stsm_cli.analysis.summary import (
    LABELS,
    Group,
    RowSummary,
    comparable,
    device_kind,
    pair_group,
    standard,
    summarise,
)
from stsm_cli.analysis.template import fill
from stsm_cli.config.schema import DatasetName
from stsm_cli.data.generated import GENERATED
from stsm_cli.errors import DataError
from stsm_cli.printable import markdown

INDEX = "README.md"


def write_index(out: Path) -> Path:
    """Write `README.md` into the folder of results; its path.

    Raises:
        DataError: A record is broken.
        UsageError: `out` cannot be written.
    """
    path = out / INDEX
    write_whole(path, index_text(out))
    return path


def index_text(out: Path) -> str:
    """The page as Markdown.

    Raises:
        DataError: A record is broken.
    """
    records = read_records(out)
    tables = [_table(name, records) for name in ablation_names()]
    primary, secondary = primary_answers(records), secondary_answers(records)
    return fill(
        "index.md",
        opening=[*opening(records), *controls(records)],
        limits=[*limits(records), *shortfalls(records)],
        primary=markdown(*_primary(primary)),
        secondary=markdown(*_secondary(secondary)),
        mixed=on_other_processors([*primary, *secondary], records),
        exploratory=_exploratory(records),
        cost=_cost(records),
        has_probes=(out / PROBES_PAGE).is_file(),
        has_history=(out / "history" / INDEX).is_file(),
        notes=_notes(out / "records" / "notes.md"),
        overview=_overview(tables),
        overruled=_overruled(tables, primary),
        test=clear_test(records),
        shared=_shared(tables),
        absent=_absent(tables),
        pairs={on: LABELS[on] for on in SETS if pair_group(records, on) is not None},
        tables=tables,
    )


def _notes(path: Path) -> str:
    """What people wrote beside the records."""
    try:
        return path.read_text(encoding="utf-8").rstrip() if path.is_file() else ""
    except UnicodeDecodeError:
        raise DataError(f"{path}: is not UTF-8", hint="save it as UTF-8") from None


@dataclass(frozen=True)
class _Table:
    """A table's part of the page."""

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

    @property
    def paper_best(self) -> str:
        """The best row by the paper's own numbers."""
        rows = self.rows(None)
        return " ".join([verdicts(rows)[0], *built(rows, self.paper)])

    def measured(self, group: Group) -> str:
        """Data, budget, seeds and protocol of a group, and whether the paper's claim holds."""
        label = LABELS[group.first.dataset]
        protocols = joined(f"`{record.protocol}`" for record in group.records)
        return (
            f"{label[0].upper()}{label[1:]}, {group.first.budget} budget{group.apart}: "
            f"{group.extent}, test protocol {protocols} (the paper's: "
            f"`{paper_protocol(self.ablation, self.paper.dataset)}`). "
            f"{conclude(self.rows(group)).sentence}"
        )

    @property
    def not_run(self) -> dict[str, str]:
        """Data sets that nobody has run it on, each with the command that would."""
        missing = [known for known in self.ablation.base if self.group(known) is None]
        return {_named(known): " ".join(command_words(self.name, known)) for known in missing}


def _table(name: str, records: list[RunRecord]) -> _Table:
    ablation = load_ablation(name)
    file = table_name(name, ablation)
    own = [record for record in records if record.table == file]
    groups = comparable(standard(own))
    has_custom = any(record.budget == "custom" for record in own)
    return _Table(name, file, ablation, load_paper_table(ablation.table), tuple(groups), has_custom)


def _primary(answers: Sequence[PlannedAnswer]) -> tuple[list[str], list[list[str]]]:
    """Head and cells of the plan's contrasts."""
    head = ["", "set", "contrast", "the paper prints", "points of top-1", "95 % interval", "p"]
    cells = []
    for answer in answers:
        question = answer.question
        gap, number = question.printed
        printed = f"{gap:+.2f} (Table {number}, {LABELS[load_paper_table(number).dataset]})"
        raw = "–" if answer.contrast is None else f"{answer.contrast.p:.2g}"
        corrected = "–" if answer.p is None else f"{answer.p:.2g}"
        told = [question.name, LABELS[question.dataset], question.asked, printed]
        judged = [raw, corrected, f"**{_verdict(answer)}**", _of_draws(answer)]
        cells.append([*told, *_measured(answer), *judged])
    return [*head, "p, corrected", "verdict", _OF_DRAWS], cells


def _secondary(answers: Sequence[PlannedAnswer]) -> tuple[list[str], list[list[str]]]:
    """Head and cells of the controls, a line for each on each set."""
    cells = [
        [
            answer.question.asked,
            LABELS[answer.question.dataset],
            *_measured(answer),
            _verdict(answer) if answer.p is None else f"{answer.p:.2g}",
            _of_draws(answer),
        ]
        for answer in answers
    ]
    return ["contrast", "set", "points of top-1", "95 % interval", "p", _OF_DRAWS], cells


_OF_DRAWS = "p, draws alone"


def _of_draws(answer: PlannedAnswer) -> str:
    p = None if answer.contrast is None else answer.contrast.p_of_draws
    return "–" if p is None else f"{p:.2g}"


def _measured(answer: PlannedAnswer) -> list[str]:
    return ["–", "–"] if answer.contrast is None else answer.contrast.cells


def _verdict(answer: PlannedAnswer) -> str:
    """In words; of what is not yet run, how much of it is."""
    if answer.contrast is not None:
        return answer.verdict
    counts = [f"{run} of {of}" for run, of in zip(answer.num_runs, answer.num_seeds, strict=True)]
    return f"{answer.verdict} ({' and '.join(dict.fromkeys(counts))} seeds)"


def _cost(records: list[RunRecord]) -> str:
    """How long the runs of the long budget on generated sets took, each once."""
    runs = {
        (record.identity, device_kind(record)): record
        for record in standard(records)
        if record.budget == "full" and record.dataset in GENERATED
    }
    hours: dict[str, list[float]] = {}
    for run in runs.values():
        hours.setdefault(run.machine.processor, []).append(run.seconds / 3600)
    told = [f"{sum(of):.1f} h on {cpu} ({len(of)} runs)" for cpu, of in sorted(hours.items())]
    return ", ".join(told)


def _exploratory(records: list[RunRecord]) -> list[str]:
    """Runs that the plan has not, a line for each row."""
    return [f"{place}: {len(runs)}" for place, runs in exploratory(records).items()]


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
    return markdown(columns, cells)


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


def _overruled(tables: list[_Table], answers: Sequence[PlannedAnswer]) -> list[str]:
    """Contrasts that a claim of a table counts as clear and the plan does not call one."""
    called = {answer.question for answer in answers if answer.verdict in ("better", "worse")}
    places: dict[str, list[str]] = {}
    for table, dataset in ((table, dataset) for table in tables for dataset in SETS):
        for pair in conclude(table.rows(table.group(dataset))).comparisons:
            question = question_of(pair.better.records, pair.other.records)
            if pair.is_clear and question is not None and question not in called:
                places.setdefault(question.name, []).append(str(table.ablation.table))
    return [
        f"{name} in Table{'s' if len(numbers) > 1 else ''} {' and '.join(numbers)}"
        for name, numbers in sorted(places.items())
    ]


def _shared(tables: list[_Table]) -> dict[str, list[str]]:
    """The settings that several tables share, of each data set that something was measured on."""
    return {
        _named(dataset): [in_words(places) for places in shared_settings(dataset)]
        for dataset in _asked(tables)
        if any(table.group(dataset) for table in tables)
    }


def _absent(tables: list[_Table]) -> list[str]:
    """The real data sets that nobody has run anything on."""
    return [
        LABELS[known]
        for known in _asked(tables)
        if known not in GENERATED and not any(table.group(known) for table in tables)
    ]


def _named(dataset: DatasetName) -> str:
    return f"the {LABELS[dataset]}" if dataset in GENERATED else LABELS[dataset]

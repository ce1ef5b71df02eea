"""From records to a Markdown table: the paper's row and the measured row, side by side.

A pure function of the records, the ablation and the paper's table; the same records give the same
bytes. Nothing in the text is a typed result: every sentence about numbers is built from them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from stsm_cli.analysis.ablation import Ablation, Row, ablation_names, load_ablation
from stsm_cli.analysis.cells import adds, joined, mega
from stsm_cli.analysis.conditions import conditions
from stsm_cli.analysis.counted import count, paper_model
from stsm_cli.analysis.paper import PaperRow, PaperTable
from stsm_cli.analysis.paper_cost import TEST_CROP_PX, TRAIN_CROP_PX
from stsm_cli.analysis.printed_cost import num_classes
from stsm_cli.analysis.reading import against_longer, built, still_rising, verdicts
from stsm_cli.analysis.records import RunRecord
from stsm_cli.analysis.statistics import Spread
from stsm_cli.analysis.summary import (
    LABELS,
    Group,
    Line,
    RowSummary,
    by_network,
    claimed,
    device_kind,
    printed_lines,
    summarise,
)
from stsm_cli.analysis.system_cost import (
    COLUMNS,
    NOT_BUILT,
    shifted_cell,
    system_costs,
    system_legend,
    system_reasons,
)
from stsm_cli.analysis.template import fill
from stsm_cli.data.generated import GENERATED
from stsm_cli.printable import markdown

NOT_RUN, NOT_RUN_YET = "not run", "not run yet"
TIMELESS = "blind to order"
NOTHING = ("–",) * 4
PRINTED: dict[str, Callable[[PaperRow], str | None]] = {
    "model": lambda row: row.setting,
    "backbone": lambda row: row.backbone,
    "stream": lambda row: row.stream,
    "pretrain": lambda row: row.pretrain,
    "#F": lambda row: row.num_frames,
}
"""Printed columns of a table of several networks."""


def render(
    ablation: Ablation,
    paper: PaperTable,
    groups: Sequence[Group],
    figures: Sequence[Sequence[str]],
) -> str:
    """The Markdown file of one table.

    Args:
        ablation: The rows.
        paper: The paper's table.
        groups: What was measured, a section each; none if nobody has run the table.
        figures: Pictures of each section, as paths relative to the table's file.
    """
    rows = summarise(ablation, paper, None)
    lines = printed_lines(rows, paper)
    datasets = [group.first.dataset for group in groups]
    return fill(
        "table.md",
        ablation=ablation,
        paper=paper,
        dataset=LABELS[paper.dataset],
        made_here=dict.fromkeys(LABELS[known] for known in datasets if known in GENERATED),
        has_networks=bool(by_network(rows)),
        has_citations=any(row.cited for row in paper.rows),
        sections=[
            _section(ablation, paper, group, pictures, _longer(group, groups))
            for group, pictures in zip(groups, figures, strict=True)
        ],
        timeless=TIMELESS if any(row.timeless for row in ablation.all_rows) else "",
        printed=markdown(*_whole_table(rows, paper, None)),
        sentences=_sentences(rows, paper),
        name=next(n for n in ablation_names() if load_ablation(n).table == ablation.table),
        costs=markdown(*cost_table(ablation, paper, lines)),
        cost_legend=cost_legend(paper),
        cost_reasons=system_reasons(paper, lines) if _has_systems(paper) else [],
    )


@dataclass(frozen=True)
class _Section:
    """A group of runs in the table's file."""

    title: str
    table: str
    factors: str
    """Accuracy by what tells the classes apart; empty where one thing does, or none is known."""
    figures: Sequence[str]
    sentences: Sequence[str]
    conclusion: str
    conditions: Sequence[str]


def _longer(group: Group, groups: Sequence[Group]) -> Group | None:
    """The long budget of a group of the short one, if it is recorded."""
    if group.first.budget != "short":
        return None
    return next((g for g in groups if g.first.budget == "full" and _alike(g, group)), None)


def _alike(one: Group, other: Group) -> bool:
    """True of runs on the same videos and kind of device, by the same code."""
    first, second = (
        (run.dataset, run.identity.data, run.identity.numerics, device_kind(run))
        for run in (one.first, other.first)
    )
    return first == second


def _section(
    ablation: Ablation,
    paper: PaperTable,
    group: Group,
    figures: Sequence[str],
    longer: Group | None,
) -> _Section:
    rows = summarise(ablation, paper, group)
    label = LABELS[group.first.dataset]
    *sentences, conclusion = _sentences(rows, paper)
    return _Section(
        title=f"{label[0].upper()}{label[1:]}, {group.first.budget} budget{group.apart}: "
        f"{group.extent}",
        table=markdown(*_whole_table(rows, paper, group)),
        factors=_factors(rows),
        figures=figures,
        sentences=[
            *sentences,
            *still_rising(group),
            *(against_longer(rows, summarise(ablation, paper, longer)) if longer else ()),
        ],
        conclusion=conclusion,
        conditions=conditions(ablation, paper.dataset, group),
    )


def _factors(rows: Sequence[RowSummary]) -> str:
    """Top-1 of the videos of each factor's classes, with the accuracy in pair in brackets."""
    names = list(dict.fromkeys(name for row in rows for name in row.factors))
    if len(names) < 2:
        return ""
    return markdown(
        ["setting", *names],
        [
            [row.row.name, *(_factor_cell(row.factors.get(name)) for name in names)]
            for row in rows
            if row.records
        ],
    )


def _factor_cell(of: tuple[Spread, Spread] | None) -> str:
    if of is None:
        return "–"
    top1, in_pair = of
    spread = "" if top1.sd is None else f" ± {top1.sd:.1f}"
    return f"{mean_cell(top1)}{spread} ({mean_cell(in_pair)})"


def _sentences(rows: Sequence[RowSummary], paper: PaperTable) -> list[str]:
    """The reading of the numbers, the conclusion last."""
    paper_best, *sentences = verdicts(rows)
    return [paper_best, *built(rows, paper), *sentences]


def main_table(
    rows: Sequence[RowSummary], paper: PaperTable, group: Group | None, *, bold: str = ""
) -> tuple[list[str], list[list[str]]]:
    """Head and cells of the rows that this suite builds; `bold` goes around the best."""
    cells = _Cells(rows, paper, bold)
    return ["setting", *_heads(paper, group)], [
        [row.row.name, cells.paper(row.paper), *cells.measured(row)] for row in rows
    ]


def _whole_table(
    rows: Sequence[RowSummary], paper: PaperTable, group: Group | None
) -> tuple[list[str], list[list[str]]]:
    """Head and cells of every row that the paper prints, with what it prints of its network."""
    if not any(row.backbone for row in paper.rows):
        return main_table(rows, paper, group, bold="**")
    printed = {head: of for head, of in PRINTED.items() if any(map(of, paper.rows))}
    cells = _Cells(rows, paper, "**")
    return [*printed, "row here", *_heads(paper, group)], [
        [
            *(joined(map(of, line.printed)) for of in printed.values()),
            _name(line.row.row) if line.row else "–",
            cells.paper(line.printed),
            *(cells.measured(line.row) if line.row else _unmeasured(line.printed[0])),
        ]
        for line in printed_lines(rows, paper)
    ]


def _name(row: Row) -> str:
    return f"{row.name}, {TIMELESS}" if row.timeless else row.name


def _heads(paper: PaperTable, group: Group | None) -> list[str]:
    measured = f"measured: {LABELS[group.first.dataset]}" if group else "measured"
    heads = [f"paper: {LABELS[paper.dataset]}", measured]
    return [*heads, "spread", "seeds", "in pair", "multiply-adds"]


class _Cells:
    """Cells of one table; `bold` goes around the paper's best, and each network's best measured."""

    def __init__(self, rows: Sequence[RowSummary], paper: PaperTable, bold: str) -> None:
        self._bold = bold
        self._best_paper = max(row.percent for row in paper.rows)
        means: dict[str, list[float]] = {}  # by network
        for row in claimed(rows):
            if row.top1:
                means.setdefault(row.network, []).append(row.top1.mean)
        self._best = {name: max(found) for name, found in means.items() if len(found) > 1}

    def paper(self, printed: Sequence[PaperRow]) -> str:
        is_best = any(row.percent == self._best_paper for row in printed)
        return self._mark(paper_cell(printed), is_best)

    def measured(self, row: RowSummary) -> list[str]:
        if row.top1 is None:
            return [NOT_RUN, *NOTHING]
        return [
            self._mark(mean_cell(row.top1), self._is_best(row, row.top1.mean)),
            _spread(row, row.top1),
            str(len(row.records)),
            mean_cell(row.pair_accuracy) if row.pair_accuracy else "–",
            joined(map(_adds, row.records)),
        ]

    def _is_best(self, row: RowSummary, mean: float) -> bool:
        best = self._best.get(row.network)
        return not row.is_beside and best is not None and f"{mean:.1f}" == f"{best:.1f}"

    def _mark(self, text: str, is_best: bool) -> str:
        return f"{self._bold}{text}{self._bold}" if is_best else text


def _adds(record: RunRecord) -> str:
    """Multiply-adds; of ATFR counted with no time step merged, which is the most."""
    most = "at most " if record.recipe.model.system == "atfr" else ""
    return f"{most}{adds(record.network.macs)}"


def _unmeasured(printed: PaperRow) -> list[str]:
    """Cells of a system that nobody has run."""
    return [NOT_RUN_YET if printed.is_built else NOT_BUILT, *NOTHING]


def paper_cell(printed: Sequence[PaperRow]) -> str:
    """Printed top-1 of a line, with its source where the paper cites it."""
    cited = [f"{line.top1} {line.source}" if line.cited else line.top1 for line in printed]
    return ", ".join(cited) or "–"


def mean_cell(spread: Spread | None) -> str:
    """A mean in percent, or that nobody has run it."""
    return NOT_RUN if spread is None else f"{spread.mean:.1f}"


def _spread(row: RowSummary, top1: Spread) -> str:
    if top1.sd is None:
        low, high = row.records[0].score.top1_interval
        return f"[{low:.1f}, {high:.1f}]"
    return f"± {top1.sd:.1f} ({top1.low:.1f} – {top1.high:.1f})"


def cost_table(
    ablation: Ablation, paper: PaperTable, lines: Sequence[Line]
) -> tuple[list[str], list[list[str]]]:
    """Head and cells: what the paper prints, if it does, and what its networks really cost."""
    if _has_systems(paper):
        return [*COLUMNS], system_costs(paper, lines)
    prints = any(row.flops for row in paper.rows)
    columns = ["row", f"a view of {TRAIN_CROP_PX}²", f"of {TEST_CROP_PX}²", "parameters"]
    columns += ["channels shifted"]
    if prints:
        columns = [columns[0], "FLOPs printed", *columns[1:3], "#Para printed", *columns[3:]]
    cells = []
    for line in lines:
        name, *counted = _counted_cells(ablation, paper, line)
        if prints:
            flops = joined(row.flops for row in line.printed) or "–"
            params = joined(row.params for row in line.printed) or "–"
            counted = [flops, *counted[:2], params, *counted[2:]]
        cells.append([name, *counted])
    return columns, cells


def cost_legend(paper: PaperTable) -> str:
    """Meaning of the cells of `cost_table`."""
    if _has_systems(paper):
        return system_legend(paper)
    return (
        f"The paper's networks at {num_classes(paper.dataset)} classes "
        f"({LABELS[paper.dataset]}), counted by fvcore: multiply-adds of one view of "
        f"{TRAIN_CROP_PX}² pixels, where the paper counts its FLOPs, and of {TEST_CROP_PX}², where "
        "it tests; a shift adds none. Channels shifted: over the inputs of all convolutions that "
        "stand behind a shift, and of them in each group of axes. Why printed and counted differ: "
        "`audit.md`, which `stsm report` writes."
    )


def _has_systems(paper: PaperTable) -> bool:
    return any(row.recipes for row in paper.rows)


def _counted_cells(ablation: Ablation, paper: PaperTable, line: Line) -> list[str]:
    assert line.row is not None  # the other systems' have a table of their own
    cost = count(paper_model(ablation, line.row.row, paper.dataset))
    return [
        line.row.row.name,
        adds(cost.macs_train_crop),
        adds(cost.macs_test_crop),
        mega(cost.params),
        shifted_cell(cost),
    ]

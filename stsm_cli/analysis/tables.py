"""From records to a Markdown table: the paper's row and the measured row, side by side.

A pure function of the records, the ablation and the paper's table; the same records give the same
bytes. Nothing in the text is a typed result: every sentence about numbers is built from them.
"""

from collections.abc import Callable, Sequence

from stsm_cli.analysis.ablation import Ablation, ablation_names, load_ablation
from stsm_cli.analysis.cells import adds, joined, markdown, mega
from stsm_cli.analysis.conditions import conditions
from stsm_cli.analysis.counted import Counted, count, paper_model
from stsm_cli.analysis.paper import PaperRow, PaperTable
from stsm_cli.analysis.paper_cost import TEST_CROP_PX, TRAIN_CROP_PX, num_classes
from stsm_cli.analysis.reading import built, still_rising, verdicts
from stsm_cli.analysis.statistics import Spread
from stsm_cli.analysis.summary import (
    LABELS,
    Group,
    Line,
    RowSummary,
    by_network,
    printed_lines,
    summarise,
)
from stsm_cli.data.generated import GENERATED

NOT_RUN, NOT_BUILT = "not run", "not built"
MADE_HERE = (
    "**Numbers of the “{}” are of videos that `stsm` generates itself and of small "
    "networks made for them. They are not {} numbers; what can be set beside the paper's column is "
    "the order of the rows.**"
)
LEGEND = (
    "Top-1 in percent; bold: the paper's best, and the best measured{}. Measured: mean over seeds; "
    "spread: sample standard deviation (smallest – largest), or of a single seed the 95 % Wilson "
    "interval of its test videos. “In pair”: how often a video's class scores above its time "
    "reversal (chance: 50). Multiply-adds: of a view in the measured network."
)
PRINTED: dict[str, Callable[[PaperRow], str | None]] = {
    "model": lambda row: row.setting,
    "backbone": lambda row: row.backbone,
    "stream": lambda row: row.stream,
    "pretrain": lambda row: row.pretrain,
    "#F": lambda row: row.num_frames,
}
"""Printed columns of a table of several networks."""


def render(
    ablation: Ablation, paper: PaperTable, groups: Sequence[Group], figures: Sequence[str]
) -> str:
    """The Markdown file of one table.

    Args:
        ablation: The rows.
        paper: The paper's table.
        groups: What was measured, a section each; none if nobody has run the table.
        figures: Pictures of the first section, as paths relative to the table's file.
    """
    lines = [
        f"# Table {ablation.table}: {ablation.title}",
        "",
        f"The paper's caption: “{paper.caption}”",
        "",
    ]
    lines += [f"Note: {note}\n" for note in ablation.notes]
    made_here = {g.first.dataset: None for g in groups if g.first.dataset in GENERATED}
    for dataset in made_here:
        lines += [MADE_HERE.format(LABELS[dataset], LABELS[paper.dataset]), ""]
    for number, group in enumerate(groups):
        lines += _section(ablation, paper, group, [] if number else figures)
    if not groups:
        lines += _not_run(ablation, paper)
    rows = printed_lines(summarise(ablation, paper, None), paper)
    lines += ["## Cost of the paper's networks", ""]
    lines += [*markdown(*cost_table(ablation, paper, rows)), "", cost_legend(paper), ""]
    return "\n".join(lines)


def _section(
    ablation: Ablation, paper: PaperTable, group: Group, figures: Sequence[str]
) -> list[str]:
    rows = summarise(ablation, paper, group)
    title = LABELS[group.first.dataset]
    paper_best, *sentences, conclusion = verdicts(rows)
    sentences = [paper_best, *built(rows, paper), *sentences, *still_rising(group)]
    return [
        f"## {title[0].upper()}{title[1:]}, {group.first.budget} budget: {group.extent}",
        "",
        *markdown(*_whole_table(rows, paper, group)),
        "",
        _legend(rows, paper),
        "",
        *(f"![{figure}]({figure})\n" for figure in figures),
        "What these numbers say, computed from them:",
        "",
        *(f"- {sentence}" for sentence in sentences),
        "",
        f"**{conclusion}**",
        "",
        *(f"- {line}" for line in conditions(ablation, paper.dataset, group)),
        "",
    ]


def _legend(rows: Sequence[RowSummary], paper: PaperTable) -> str:
    text = LEGEND.format(" in each network" if by_network(rows) else "")
    cites = any(row.cited for row in paper.rows)
    return f"{text} Numbers in brackets: the paper's references." if cites else text


def _not_run(ablation: Ablation, paper: PaperTable) -> list[str]:
    rows = summarise(ablation, paper, None)
    paper_best, *sentences = verdicts(rows)
    name = next(n for n in ablation_names() if load_ablation(n).table == ablation.table)
    return [
        "## Not run",
        "",
        *markdown(*_whole_table(rows, paper, None)),
        "",
        *(f"- {sentence}" for sentence in (paper_best, *built(rows, paper), *sentences)),
        f"- Command: `stsm ablate {name}`",
        "",
    ]


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
            line.row.row.name if line.row else "–",
            cells.paper(line.printed),
            *cells.measured(line.row),
        ]
        for line in printed_lines(rows, paper)
    ]


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
        for row in rows:
            if row.top1:
                means.setdefault(row.network, []).append(row.top1.mean)
        self._best = {name: max(found) for name, found in means.items() if len(found) > 1}

    def paper(self, printed: Sequence[PaperRow]) -> str:
        is_best = any(row.percent == self._best_paper for row in printed)
        return self._mark(paper_cell(printed), is_best)

    def measured(self, row: RowSummary | None) -> list[str]:
        if row is None or row.top1 is None:
            return [NOT_RUN if row else NOT_BUILT, "–", "–", "–", "–"]
        return [
            self._mark(mean_cell(row.top1), row.top1.mean == self._best.get(row.network)),
            _spread(row, row.top1),
            str(len(row.records)),
            mean_cell(row.pair_accuracy) if row.pair_accuracy else "–",
            joined(adds(record.network.macs) for record in row.records),
        ]

    def _mark(self, text: str, is_best: bool) -> str:
        return f"{self._bold}{text}{self._bold}" if is_best else text


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
    return (
        f"The paper's networks at {num_classes(paper.dataset)} classes "
        f"({LABELS[paper.dataset]}), counted by fvcore: multiply-adds of one view of "
        f"{TRAIN_CROP_PX}² pixels, where the paper counts its FLOPs, and of {TEST_CROP_PX}², where "
        "it tests; a shift adds none. Channels shifted: over the inputs of all convolutions that "
        "stand behind a shift, and of them in each group of axes. Why printed and counted differ: "
        "`audit.md`, which `stsm report` writes."
    )


def _counted_cells(ablation: Ablation, paper: PaperTable, line: Line) -> list[str]:
    if line.row is None:
        return [line.printed[0].label, NOT_BUILT, "–", "–", "–"]
    cost = count(paper_model(ablation, line.row.row, paper.dataset))
    return [
        line.row.row.name,
        adds(cost.macs_train_crop),
        adds(cost.macs_test_crop),
        mega(cost.params),
        shifted_cell(cost),
    ]


def shifted_cell(cost: Counted) -> str:
    """For example `4,920 of 13,120, 1,640 a group`, or with each group where they differ."""
    if not cost.sites:
        return "none"
    text = f"{cost.shifted:,} of {cost.channels:,}"
    sizes = set(cost.by_group.values())
    if len(cost.by_group) == 1:
        return text
    if len(sizes) == 1:
        return f"{text}, {sizes.pop():,} a group"
    return f"{text}: {', '.join(f'{group} {n:,}' for group, n in cost.by_group.items())}"

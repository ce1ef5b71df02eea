"""The paper's Figure 1: accuracy on Something-Something V2 against multiply-adds.

The paper's points are Table 5's, as printed; ours stand in a panel of their own, on axes of their
own, since they are of other data and another network.
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from stsm_cli.analysis.figure_cost_measured import measured_panel
from stsm_cli.analysis.figures import FAINT, METHODS, canvas, cut_axes, title_axes
from stsm_cli.analysis.paper import PaperRow, load_paper_table
from stsm_cli.analysis.summary import LABELS, Group, RowSummary

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TABLE = 5
MARKS = {
    **{name: METHODS[name][:2] for name in ("STSM", "TSM", "TSN")},
    "TRN": ("#D55E00", "^"),
    "SmallBigNet": ("#009E73", "D"),
    "ACTION-Net": ("#CC79A7", "P"),
    "SELFYNet": ("#56B4E9", "X"),
    "TDN": ("#E69F00", "*"),
}
"""Colour and marker of each system; the markers alone tell them apart."""
BREAK = (31.5, 47.0)
"""Top-1 between TSN and everything else, where the axis is cut."""


def shown_rows() -> list[PaperRow]:
    """Rows whose cost of a view is printed, with the number of views."""
    return [row for row in load_paper_table(TABLE).rows if (row.flops or "").count("×") == 2]


def system(row: PaperRow) -> str:
    """Which of MARKS a row is."""
    words = row.setting.replace("+", " ").replace("-R50", "").split(" ")
    return next(word for word in words if word in MARKS)


def view_gmacs(row: PaperRow) -> float:
    """The printed cost of a view, in G."""
    return float((row.flops or "").split("×")[0])


def trade_off_figure(rows: Sequence[RowSummary] = (), group: Group | None = None) -> "Figure":
    """Accuracy against the multiply-adds of a view: the paper's panel, and ours if it was run."""
    is_run = any(row.records for row in rows)
    with canvas(12.4 if is_run else 7.4, 5.4) as figure:
        widths = (4, 3) if is_run else (1,)
        grid = figure.add_gridspec(2, len(widths), height_ratios=(5, 1), width_ratios=widths)
        upper = figure.add_subplot(grid[0, 0])
        lower = figure.add_subplot(grid[1, 0], sharex=upper)
        _paper_panel(upper, lower)
        if group is not None and is_run:
            measured_panel(figure, grid, rows, group)
    return figure


def _paper_panel(upper: "Axes", lower: "Axes") -> None:
    rows = shown_rows()
    title_axes(
        upper,
        f"Paper: {LABELS['sthv2']}",
        f"Table {TABLE} as printed, {len(rows)} of {len(load_paper_table(TABLE).rows)} rows: "
        "those with a cost a view",
    )
    for axes in (upper, lower):
        for line in _lines(rows):
            _draw(axes, line)
    upper.set_ylim(bottom=BREAK[1])
    lower.set_ylim(min(float(row.top1) for row in rows) - 1.5, BREAK[0])
    upper.margins(y=0.08)
    upper.set_xscale("log")
    lower.set_xlim(1.9, 135)
    lower.set_xticks((2, 5, 10, 20, 50, 100), ("2", "5", "10", "20", "50", "100"))
    lower.minorticks_off()
    lower.set_xlabel("multiply-adds a view (G), as printed")
    upper.set_ylabel("top-1 (%)")
    cut_axes(upper, lower)
    _legend(upper)


def _lines(rows: Iterable[PaperRow]) -> list[list[PaperRow]]:
    """The rows that differ in their frames alone, together."""
    lines: dict[tuple[str, str | None, str | None], list[PaperRow]] = {}
    for row in rows:
        lines.setdefault((system(row), row.backbone, row.stream), []).append(row)
    return list(lines.values())


def _draw(axes: "Axes", line: Sequence[PaperRow]) -> None:
    colour, marker = MARKS[system(line[0])]
    x, y = [view_gmacs(row) for row in line], [float(row.top1) for row in line]
    face = "white" if line[0].cited else colour
    size = 10 if marker == "*" else 7
    axes.plot(x, y, color=colour, linewidth=1.1, zorder=2)
    axes.plot(x, y, marker, color=colour, markerfacecolor=face, markersize=size, zorder=3)
    if not line[0].cited:
        for row, place in zip(line, zip(x, y, strict=True), strict=True):
            axes.annotate(row.top1, place, (8, -11), textcoords="offset points", fontsize=9)


def _legend(axes: "Axes") -> None:
    for name, (colour, marker) in MARKS.items():
        face = colour if name == "STSM" else "white"
        axes.plot([], [], marker, color=colour, markerfacecolor=face, label=name)
    axes.plot([], [], color=FAINT, linewidth=1.1, label="8 to 16 frames")
    axes.legend(
        loc="lower left",
        ncols=2,
        frameon=False,
        fontsize=8.5,
        title_fontsize=8.5,
        title="filled: the paper's own",
    )

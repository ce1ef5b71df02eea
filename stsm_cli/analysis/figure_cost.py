"""The paper's Figure 1: accuracy on Something-Something V2 against multiply-adds.

The paper's points are Table 5's, as printed; ours stand in a panel of their own, on axes of their
own, since they are of other data and another network.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import sqrt

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpec

from stsm_cli.analysis.figures import (
    FAINT,
    METHODS,
    SOFT,
    canvas,
    cut_axes,
    label_axes,
    measured_title,
    number_at,
    set_ticks,
)
from stsm_cli.analysis.paper import PaperRow, load_paper_table
from stsm_cli.analysis.statistics import Spread
from stsm_cli.analysis.summary import LABELS, Group, RowSummary

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


def trade_off_figure(rows: Sequence[RowSummary] = (), group: Group | None = None) -> Figure:
    """Accuracy against the multiply-adds of a view: the paper's panel, and ours if it was run."""
    is_run = any(row.records for row in rows)
    with canvas(12.4 if is_run else 7.4, 5.4) as figure:
        widths = (4, 3) if is_run else (1,)
        grid = figure.add_gridspec(2, len(widths), height_ratios=(5, 1), width_ratios=widths)
        upper = figure.add_subplot(grid[0, 0])
        _paper_panel(upper, figure.add_subplot(grid[1, 0], sharex=upper))
        if group is not None and is_run:
            _measured_panel(figure, grid, rows, group)
    return figure


def shown_rows() -> list[PaperRow]:
    """Rows whose cost of a view is printed, with the number of views."""
    return [row for row in load_paper_table(TABLE).rows if (row.flops or "").count("×") == 2]


def _paper_panel(upper: Axes, lower: Axes) -> None:
    rows = shown_rows()
    shown = f"{len(rows)} of {len(load_paper_table(TABLE).rows)} rows: those with a cost a view"
    conditions = f"Table {TABLE} as printed, {shown}"
    label_axes(upper, f"Paper: {LABELS['sthv2']}", conditions, ylabel="top-1 (%)")
    lines: dict[tuple[str, str | None, str | None], list[PaperRow]] = {}
    for row in rows:  # those that differ in their frames alone are joined
        lines.setdefault((_system(row), row.backbone, row.stream), []).append(row)
    for axes in (upper, lower):
        for line in lines.values():
            _draw_printed(axes, line)
    upper.set_ylim(bottom=BREAK[1])
    lower.set_ylim(min(float(row.top1) for row in rows) - 1.5, BREAK[0])
    upper.margins(y=0.08)
    set_ticks(lower, (2, 5, 10, 20, 50, 100), 1.9, 135)
    lower.set_xlabel("multiply-adds a view (G), as printed")
    cut_axes(upper, lower)
    _legend(upper)


def _system(row: PaperRow) -> str:
    """Which of MARKS a row is."""
    words = row.setting.replace("+", " ").replace("-R50", "").split(" ")
    return next(word for word in words if word in MARKS)


def _draw_printed(axes: Axes, line: Sequence[PaperRow]) -> None:
    colour, marker = MARKS[_system(line[0])]
    x = [float((row.flops or "").split("×")[0]) for row in line]  # of a view, in G
    y = [float(row.top1) for row in line]
    face = "white" if line[0].cited else colour
    size = 10 if marker == "*" else 7
    axes.plot(x, y, color=colour, linewidth=1.1, zorder=2)
    axes.plot(x, y, marker, color=colour, markerfacecolor=face, markersize=size, zorder=3)
    if not line[0].cited:
        for row, place in zip(line, zip(x, y, strict=True), strict=True):
            axes.annotate(row.top1, place, (8, -11), textcoords="offset points", fontsize=9)


def _legend(axes: Axes) -> None:
    for name, (colour, marker) in MARKS.items():
        face = colour if name == "STSM" else "white"
        axes.plot([], [], marker, color=colour, markerfacecolor=face, label=name)
    axes.plot([], [], color=FAINT, linewidth=1.1, label="8 to 16 frames")
    axes.legend(loc="lower left", ncols=2, title="filled: the paper's own")


@dataclass(frozen=True)
class _Mark:
    """A row that was run; its multiply-adds in the unit of the axis."""

    method: str
    backbone: str
    num_frames: int
    cost: float
    top1: Spread

    @property
    def ends(self) -> tuple[float, float]:
        """Ends of its bar."""
        sd = self.top1.sd or 0
        return self.top1.mean - sd, self.top1.mean + sd


def _measured_panel(
    figure: Figure, grid: GridSpec, rows: Sequence[RowSummary], group: Group
) -> None:
    """Draw what was measured into the second column of a grid of two lines.

    The axis is cut where nothing was measured over more than half of its length.
    """
    run = [row for row in rows if row.records]
    is_small = max(row.records[0].network.macs for row in run) < 1e9
    unit, name = (1e6, "M") if is_small else (1e9, "G")
    marks = [mark for row in rows for mark in _marks(row, unit)]
    values, cut = [value for mark in marks for value in mark.ends], _cut(marks)
    parts = [figure.add_subplot(grid[0, 1] if cut else grid[:, 1])]
    if cut:
        parts.append(figure.add_subplot(grid[1, 1], sharex=parts[0]))
        cut_axes(*parts)
        _set_limits(parts[1], [value for value in values if value <= cut[0]], room=0.4)
        values = [value for value in values if value >= cut[1]]
    _set_limits(parts[0], values, room=0.18)
    title, ylabel = measured_title(group), "top-1 (%), mean ± sample standard deviation"
    label_axes(parts[0], title, group.extent, ylabel=ylabel)
    for axes in parts:
        _draw_measured(axes, marks)
    _name_networks(parts[0], marks)
    costs = [mark.cost for mark in marks]
    low, high = min(costs) / 1.6, max(costs) * 1.8  # room for the numbers beside the marks
    ticks = (step * 10**power for power in range(-3, 6) for step in (1, 2, 5))
    set_ticks(parts[-1], tuple(tick for tick in ticks if low < tick < high), low, high)
    parts[-1].set_xlabel(f"multiply-adds a view ({name}), counted")


def _marks(row: RowSummary, unit: float) -> Iterable[_Mark]:
    if row.top1 is not None:
        model, cost = row.records[0].recipe.model, row.records[0].network.macs / unit
        backbone = f"{model.backbone}{'+NL' if model.non_local else ''}"
        yield _Mark(row.method, backbone, model.num_frames, cost, row.top1)


def _cut(marks: Sequence[_Mark]) -> tuple[float, float] | None:
    """The ends of the largest gap between marks, bars included, if it is most of their range."""
    ends = sorted(mark.ends for mark in marks)
    gaps = [(max(high for _, high in ends[:n]), ends[n][0]) for n in range(1, len(ends))]
    low, high = max(gaps, key=lambda gap: gap[1] - gap[0], default=(0.0, 0.0))
    span = max(high for _, high in ends) - ends[0][0]
    return (low, high) if high - low > span / 2 else None


def _set_limits(axes: Axes, values: Sequence[float], *, room: float) -> None:
    span = max(values) - min(values) or 2
    axes.set_ylim(min(values) - room * span, max(values) + room * span)


def _draw_measured(axes: Axes, marks: Sequence[_Mark]) -> None:
    lines: dict[tuple[str, str], list[_Mark]] = {}
    for mark in sorted(marks, key=lambda mark: mark.num_frames):
        lines.setdefault((mark.method, mark.backbone), []).append(mark)
    for (name, _), line in lines.items():
        colour, marker, dashes = METHODS[name]
        axes.errorbar(
            [mark.cost for mark in line],
            [mark.top1.mean for mark in line],
            yerr=[mark.top1.sd or 0 for mark in line],
            fmt=marker,
            linestyle=dashes,
            color=colour,
            linewidth=1.1,
            markersize=7,
            capsize=3,
        )
        for mark in line:
            _number(axes, mark, marks, is_last=mark is line[-1])


def _number(axes: Axes, mark: _Mark, marks: Sequence[_Mark], *, is_last: bool) -> None:
    """Top-1 left of a mark, or right where no line goes on; at a line's last with its method."""
    low, high = axes.get_ylim()
    if low < mark.top1.mean < high:
        place, text = (mark.cost, mark.top1.mean), f"{mark.top1.mean:.1f}"
        text = f"{mark.method} {text}" if is_last else text
        best = max(other.top1.mean for other in marks if other.cost == mark.cost)
        up = 2 if mark.top1.mean == best else -9
        if mark.cost == max(other.cost for other in marks if other.backbone == mark.backbone):
            number_at(axes, text, place, (8, up), ha="left")
        else:
            number_at(axes, text, place, (-8, up), ha="right")


def _name_networks(axes: Axes, marks: Sequence[_Mark]) -> None:
    """Each network's name and numbers of frames, above its marks."""
    above = axes.get_xaxis_transform()  # x in data, y in axes
    for backbone in dict.fromkeys(mark.backbone for mark in marks):
        of_it = [mark for mark in marks if mark.backbone == backbone]
        costs, frames = {mark.cost for mark in of_it}, {mark.num_frames for mark in of_it}
        text = f"{backbone}\n{' and '.join(map(str, sorted(frames)))} frames"
        middle = sqrt(min(costs) * max(costs))
        axes.text(middle, 1, text, transform=above, ha="center", va="top", fontsize=9, color=SOFT)

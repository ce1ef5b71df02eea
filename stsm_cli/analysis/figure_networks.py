"""The settings of a table of several networks: by network, the methods one below the other.

As in `figure_settings`, paper and measurement have axes of their own.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from stsm_cli.analysis.figure_points import (
    Point,
    draw_dot,
    legend,
    measured_point,
    paper_point,
)
from stsm_cli.analysis.figures import SOFT, Align, canvas, network_text, title_axes
from stsm_cli.analysis.paper import PaperTable
from stsm_cli.analysis.summary import LABELS, Group, RowSummary, by_network

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def networks_figure(rows: Sequence[RowSummary], group: Group, paper: PaperTable) -> "Figure":
    """Top-1 of every row, the paper's panel beside the measured one; marks as `settings_figure`'s.

    Where the paper prints several baselines for one setting, each has its mark.
    """
    lines = _lines(rows)
    with canvas(9.6, 0.36 * len(lines) + 2.0) as figure:
        left, right = figure.subplots(1, 2, sharey=True)
        title_axes(left, f"Paper: {LABELS[paper.dataset]}", f"Table {paper.table}, as printed")
        title_axes(right, f"Measured: {LABELS[group.first.dataset]}", group.extent)
        printed = [line.paper if line else () for _, line in lines]
        legend(left, _dots(left, [list(map(paper_point, of)) for of in printed]))
        measured = [measured_point(line) if line else None for _, line in lines]
        legend(right, _dots(right, [[point] if point else [] for point in measured]))
        _name_lines(left, lines)
        _name_networks(right, rows)
    return figure


def _lines(rows: Sequence[RowSummary]) -> list[tuple[str, RowSummary | None]]:
    """What stands in each line of the chart: a network's name, and below it its methods."""
    lines: list[tuple[str, RowSummary | None]] = []
    for network, of_network in by_network(rows).items():
        lines += [(network, None), *((row.method, row) for row in of_network)]
    return lines


def _dots(axes: "Axes", lines: Sequence[Sequence[Point]]) -> list[Point]:
    """Draw the points of each line; all of them."""
    for y, points in enumerate(lines):
        if points:
            axes.axhline(y, color="#dddddd", linewidth=0.8, zorder=0)
        for point in points:
            draw_dot(axes, y, point, ha=_side(point, points))
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel("top-1 (%)")
    axes.margins(x=0.12)
    return [point for points in lines for point in points]


def _side(point: Point, points: Sequence[Point]) -> Align:
    """Where its number goes, so that the numbers of two baselines do not meet."""
    if len(points) == 1:
        return "center"
    return "left" if point.value == max(other.value for other in points) else "right"


def _name_lines(axes: "Axes", lines: Sequence[tuple[str, RowSummary | None]]) -> None:
    axes.set_yticks(range(len(lines)), [name for name, _ in lines])
    axes.set_ylim(len(lines) + 0.9, -0.7)  # room for the legend below the last
    for label, (_, row) in zip(axes.get_yticklabels(), lines, strict=True):
        label.set_fontweight("bold" if row is None else "normal")


def _name_networks(axes: "Axes", rows: Sequence[RowSummary]) -> None:
    """Which network was measured, in the line that names the paper's."""
    y = 0
    for of_network in by_network(rows).values():
        model = next((record.recipe.model for row in of_network for record in row.records), None)
        text = network_text(model) if model else "not run"
        beside = axes.get_yaxis_transform()  # x in axes, y in data
        axes.text(0.02, y, text, transform=beside, va="center", fontsize=9, color=SOFT)
        y += 1 + len(of_network)

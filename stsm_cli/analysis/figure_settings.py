"""The settings of a table as a figure: the α curve, or a dot chart, beside the paper's.

Paper and measurement stand in panels of their own with axes of their own: the numbers come from
different data and networks, and only the order of the settings is comparable.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

from stsm_cli.analysis.figure_points import (
    SEED,
    Point,
    draw_dot,
    legend,
    mark,
    measured_point,
    paper_point,
)
from stsm_cli.analysis.figures import FAINT, INK, canvas, number_at, run_text, title_axes
from stsm_cli.analysis.summary import LABELS, Group, RowSummary

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Reference:
    """A horizontal line for comparison: the temporal shift alone, TSM; top-1 as it is printed."""

    label: str
    paper: str | None
    measured: str | None


def settings_figure(
    rows: Sequence[RowSummary], group: Group, reference: Reference | None = None
) -> "Figure":
    """Top-1 of every setting, the paper's panel beside the measured one.

    Numeric settings (α) become a curve, others a dot chart. Measured: the mean with a bar of one
    sample standard deviation (of a single seed its Wilson interval), and beside it every seed.
    """
    numeric = all(_number(row.row.name) is not None for row in rows)
    paper = [paper_point(row.strongest) if row.strongest else None for row in rows]
    measured = [measured_point(row) for row in rows]
    with canvas(9.6, 4.4 if numeric else 0.42 * len(rows) + 2.0) as figure:
        left, right = figure.subplots(1, 2, sharey=not numeric)
        title_axes(left, "Paper: Kinetics-400", "ResNet-50, as printed")
        title_axes(right, f"Measured: {LABELS[group.first.dataset]}", run_text(group))
        names = [row.row.name for row in rows]
        for axes, points in ((left, paper), (right, measured)):
            _curve(axes, names, points) if numeric else _dots(axes, names, points)
        if reference is not None:
            _line(left, reference.label, reference.paper)
            _line(right, reference.label, reference.measured)
        for axes, points in ((left, paper), (right, measured)):
            legend(axes, [point for point in points if point is not None])
    return figure


def _number(name: str) -> float | None:
    try:
        return float(Fraction(name))
    except ValueError:
        return None


def _curve(axes: "Axes", names: Sequence[str], points: Sequence[Point | None]) -> None:
    """Top-1 over α."""
    places = [(_number(name) or 0.0, point) for name, point in zip(names, points, strict=True)]
    known = [(x, point) for x, point in places if point is not None]
    axes.plot([x for x, _ in known], [point.value for _, point in known], color=INK, linewidth=1.2)
    for x, point in known:
        axes.plot([x + 0.018] * len(point.seeds), point.seeds, **SEED)
        axes.errorbar([x], [point.value], yerr=[[length] for length in point.error], **mark(point))
        top = max(point.value + point.error[1], *point.seeds, point.value)
        number_at(axes, point.label, (x, top), (0, 6))
    axes.set_xticks([x for x, _ in places], names)
    axes.set_xlabel("α, the share of channels that move (T+H+W)")
    axes.set_ylabel("top-1 (%)")
    axes.margins(x=0.06, y=0.12)


def _dots(axes: "Axes", names: Sequence[str], points: Sequence[Point | None]) -> None:
    """Top-1 along x, a line of the chart for each setting, the first on top."""
    for y, point in enumerate(points):
        if point is not None:
            draw_dot(axes, y, point)
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) + 0.2, -0.7)  # room for the legend below the last
    axes.grid(axis="y", color="#dddddd", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.set_xlabel("top-1 (%)")
    axes.margins(x=0.12)


def _line(axes: "Axes", label: str, value: str | None) -> None:
    if value is not None:
        text = f"{label}: {value}"
        axes.axhline(float(value), color=FAINT, linestyle="--", linewidth=1.1, zorder=0, label=text)

"""The rows of a table as a figure: the α curve, or a dot chart, beside the paper's.

Paper and measurement stand in panels of their own with axes of their own: the numbers come from
different data and networks, and only the order of the settings is comparable.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from stsm_cli.analysis.figures import (
    FAINT,
    GUIDE,
    INK,
    SOFT,
    Align,
    canvas,
    label_axes,
    measured_title,
    network_text,
    number_at,
    run_text,
)
from stsm_cli.analysis.paper import PaperRow, PaperTable
from stsm_cli.analysis.summary import LABELS, Group, RowSummary, by_network, claimed

MEAN: dict[str, Any] = {"fmt": "o", "color": INK, "markersize": 6, "elinewidth": 1.1, "zorder": 3}
SEED: dict[str, Any] = {
    "linestyle": "none",
    "marker": "o",
    "markersize": 3.6,
    "markerfacecolor": "white",
    "markeredgecolor": FAINT,
    "zorder": 2,
}


_ALIGN: dict[tuple[bool, bool], Align] = {
    (False, False): "center",
    (True, False): "left",
    (False, True): "right",
}
"""Side of a number above a curve, by its being higher to the left and to the right."""


@dataclass(frozen=True)
class Reference:
    """A horizontal line for comparison: the temporal shift alone, TSM; top-1 as it is printed."""

    label: str
    paper: str | None
    measured: str | None


@dataclass(frozen=True)
class Point:
    """A mark: its value, the bar's lengths below and above, and the single seeds beside it."""

    value: float
    error: tuple[float, float]
    seeds: tuple[float, ...]
    label: str
    cited: bool = False

    @property
    def bar(self) -> list[list[float]]:
        """The lengths, as an error bar takes them."""
        return [[length] for length in self.error]

    @property
    def style(self) -> dict[str, Any]:
        """Looks of the mark; hollow where it is cited."""
        face = "white" if self.cited else INK
        return MEAN | {"markerfacecolor": face, "capsize": 3 if any(self.error) else 0}


def paper_point(printed: PaperRow) -> Point:
    """The number that the paper prints for a row."""
    return Point(float(printed.top1), (0, 0), (), printed.top1, printed.cited)


def measured_point(row: RowSummary) -> Point | None:
    """The mean with one sample standard deviation, or a single seed with its Wilson interval."""
    if row.top1 is None:
        return None
    mean, sd = row.top1.mean, row.top1.sd
    if sd is None:
        low, high = row.records[0].score.top1_interval
        return Point(mean, (mean - low, high - mean), (), f"{mean:.1f}")
    return Point(mean, (sd, sd), row.top1.values, f"{mean:.1f}")


def settings_figure(
    rows: Sequence[RowSummary], group: Group, reference: Reference | None = None
) -> Figure:
    """Top-1 of every setting, the paper's panel beside the measured one.

    Numeric settings (α) become a curve without the controls, others a dot chart with them.
    Measured: the mean with a bar of one sample standard deviation (of a single seed its Wilson
    interval), and beside it every seed.
    """
    numeric = all(_number(row.row.name) is not None for row in claimed(rows))
    rows = claimed(rows) if numeric else rows
    names = [row.row.name for row in rows]
    points = (
        [paper_point(row.strongest) if row.strongest else None for row in rows],
        [measured_point(row) for row in rows],
    )
    levels = (reference.paper, reference.measured) if reference else (None, None)
    with canvas(9.6, 4.4 if numeric else 0.42 * len(rows) + 2.0) as figure:
        panels = figure.subplots(1, 2, sharey=not numeric)
        label_axes(panels[0], "Paper: Kinetics-400", "ResNet-50, as printed")
        label_axes(panels[1], measured_title(group), run_text(group))
        for axes, shown, level in zip(panels, points, levels, strict=True):
            _curve(axes, names, shown) if numeric else _dots(axes, names, shown)
            if reference is not None and level is not None:
                text = f"{reference.label}: {level}"
                line: Any = {"color": FAINT, "linestyle": "--", "linewidth": 1.1, "zorder": 0}
                axes.axhline(float(level), label=text, **line)
            _legend(axes, [point for point in shown if point is not None])
    return figure


def networks_figure(rows: Sequence[RowSummary], group: Group, paper: PaperTable) -> Figure:
    """The same of a table of several networks: by network, the methods one below the other.

    Where the paper prints several baselines for one setting, each has its mark.
    """
    lines: list[tuple[str, RowSummary | None]] = []  # a network's name, and below it its methods
    for network, of_network in by_network(rows).items():
        lines += [(network, None), *((row.method, row) for row in of_network)]
    printed = [[*map(paper_point, row.paper)] if row else [] for _, row in lines]
    measured = [measured_point(row) if row else None for _, row in lines]
    with canvas(9.6, 0.36 * len(lines) + 2.0) as figure:
        left, right = figure.subplots(1, 2, sharey=True)
        label_axes(left, f"Paper: {LABELS[paper.dataset]}", f"Table {paper.table}, as printed")
        label_axes(right, measured_title(group), group.extent)
        _lines_of_dots(left, printed)
        _lines_of_dots(right, [[point] if point else [] for point in measured])
        left.set_yticks(range(len(lines)), [name for name, _ in lines])
        left.set_ylim(len(lines) + 0.9, -0.7)  # room for the legend below the last
        for label, (_, row) in zip(left.get_yticklabels(), lines, strict=True):
            label.set_fontweight("bold" if row is None else "normal")
        _name_networks(right, rows)
    return figure


def _number(name: str) -> float | None:
    try:
        return float(Fraction(name))
    except ValueError:
        return None


def _curve(axes: Axes, names: Sequence[str], points: Sequence[Point | None]) -> None:
    """Top-1 over α."""
    places = [(_number(name) or 0.0, point) for name, point in zip(names, points, strict=True)]
    known = [(x, point) for x, point in places if point is not None]
    values = [point.value for _, point in known]
    axes.plot([x for x, _ in known], values, color=INK, linewidth=1.2)
    for (x, point), before, after in zip(known, [None, *values], [*values[1:], None], strict=False):
        axes.plot([x + 0.018] * len(point.seeds), point.seeds, **SEED)
        axes.errorbar([x], [point.value], yerr=point.bar, **point.style)
        _number_off_curve(axes, x, point, before, after)
    axes.set_xticks([x for x, _ in places], names)
    axes.set_xlabel("α, the share of channels that move (T+H+W)")
    axes.set_ylabel("top-1 (%)")
    axes.margins(x=0.06, y=0.12)


def _number_off_curve(
    axes: Axes, x: float, point: Point, before: float | None, after: float | None
) -> None:
    """A point's number where the curve from `before` to `after` leaves room; None: it ends here."""
    left, right = (value is None or value > point.value for value in (before, after))
    if left and right:
        bottom = min(point.value - point.error[0], *point.seeds, point.value)
        number_at(axes, point.label, (x, bottom), (0, -14))
    else:
        top = max(point.value + point.error[1], *point.seeds, point.value)
        number_at(axes, point.label, (x, top), (0, 6), ha=_ALIGN[left, right])


def _dots(axes: Axes, names: Sequence[str], points: Sequence[Point | None]) -> None:
    """Top-1 along x, a line of the chart for each setting, the first on top."""
    for y, point in enumerate(points):
        if point is not None:
            _dot(axes, y, point)
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) + 0.2, -0.7)  # room for the legend below the last
    axes.grid(axis="y", **GUIDE)
    axes.set_axisbelow(True)
    axes.set_xlabel("top-1 (%)")
    axes.margins(x=0.12)


def _lines_of_dots(axes: Axes, lines: Sequence[Sequence[Point]]) -> None:
    """Top-1 along x, none, one or several points in each line of the chart."""
    for y, points in enumerate(lines):
        if points:
            axes.axhline(y, zorder=0, **GUIDE)
        for point in points:
            _dot(axes, y, point, ha=_side(point, points))
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel("top-1 (%)")
    axes.margins(x=0.12)
    _legend(axes, [point for points in lines for point in points])


def _dot(axes: Axes, y: float, point: Point, *, ha: Align = "center") -> None:
    """A point in line `y` of a dot chart, its seeds below and its number above."""
    axes.plot(point.seeds, [y + 0.24] * len(point.seeds), **SEED)
    axes.errorbar([point.value], [y], xerr=point.bar, **point.style)
    number_at(axes, point.label, (point.value, y), (0, 5), ha=ha)


def _side(point: Point, points: Sequence[Point]) -> Align:
    """The side where its number goes, so that the numbers of two baselines do not meet."""
    if len(points) == 1:
        return "center"
    return "left" if point.value == max(other.value for other in points) else "right"


def _name_networks(axes: Axes, rows: Sequence[RowSummary]) -> None:
    """Which network was measured, in the line that names the paper's."""
    y, beside = 0, axes.get_yaxis_transform()  # x in axes, y in data
    for of_network in by_network(rows).values():
        model = next((record.recipe.model for row in of_network for record in row.records), None)
        text = network_text(model) if model else "not run"
        axes.text(0.02, y, text, transform=beside, va="center", fontsize=9, color=SOFT)
        y += 1 + len(of_network)


def _legend(axes: Axes, shown: Sequence[Point]) -> None:
    """Explain the marks that a panel really has."""
    if any(point.cited for point in shown):
        cited = MEAN | {"markerfacecolor": "white", "capsize": 0}
        axes.errorbar([], [], label="cited from other work", **cited)
    with_error = [point for point in shown if any(point.error)]
    meanings = []
    if any(point.seeds for point in with_error):
        axes.plot([], [], label="one seed", **SEED)
        meanings.append("mean ± sample standard deviation")
    if not all(point.seeds for point in with_error):
        meanings.append("single seed, 95 % Wilson interval")
    if meanings:
        axes.errorbar([], [], xerr=[], label=" or\n".join(meanings), capsize=3, **MEAN)
    if axes.get_legend_handles_labels()[1]:
        axes.legend(loc="lower right")

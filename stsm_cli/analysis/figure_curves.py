"""Validation accuracy epoch by epoch; in tables of several networks a panel each."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle, pairwise

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from stsm_cli.analysis.figures import (
    METHODS,
    STYLES,
    canvas,
    label_axes,
    measured_title,
    network_text,
    run_text,
)
from stsm_cli.analysis.statistics import Spread
from stsm_cli.analysis.summary import Group, RowSummary, by_network

TOP1 = "validation top-1 (%), mean over seeds"


@dataclass(frozen=True)
class _Line:
    """The mean over the seeds of a row, with its colour, marker and dashes."""

    name: str
    values: tuple[float, ...]
    style: tuple[str, str, str]


def curves_figure(rows: Sequence[RowSummary], group: Group) -> Figure:
    """Validation top-1 by epoch, one line a setting, the mean over its seeds."""
    title = f"{measured_title(group)}, epoch by epoch"
    networks = {name: _run(of_network) for name, of_network in by_network(rows).items()}
    if any(networks.values()):
        return _panels({name: run for name, run in networks.items() if run}, group, title)
    styles = zip(_run(rows), cycle(STYLES), strict=False)
    lines = [_line(row, row.row.name, style) for row, style in styles]
    with canvas(7.6, 4.8) as figure:
        axes = figure.subplots()
        label_axes(axes, title, run_text(group), xlabel="epoch", ylabel=TOP1)
        _draw(axes, lines, group.epochs)
        _label_ends(axes, lines)
    return figure


def _panels(networks: dict[str, list[RowSummary]], group: Group, title: str) -> Figure:
    num_columns = 2 if len(networks) == 4 else len(networks)
    num_lines = len(networks) // num_columns
    with canvas(3.8 * num_columns, 3.4 * num_lines + 0.6) as figure:
        text = f"{title}; {group.extent}"
        figure.suptitle(text, x=0.01, ha="left", fontsize=11, fontweight="bold")
        grid = figure.subplots(num_lines, num_columns, sharey=True, squeeze=False)
        drawn = []
        for axes, (network, rows) in zip(grid.flat, networks.items(), strict=True):
            lines = [_line(row, row.method, METHODS[row.method]) for row in rows]
            label_axes(axes, network, network_text(rows[0].records[0].recipe.model), xlabel="epoch")
            _draw(axes, lines, group.epochs)
            drawn.append((axes, lines))
        figure.supylabel(TOP1, fontsize=10)
        for axes, lines in drawn:  # when the axis that they share is settled
            _label_ends(axes, lines, room=0.1)
    return figure


def _run(rows: Sequence[RowSummary]) -> list[RowSummary]:
    return [row for row in rows if row.records]


def _line(row: RowSummary, name: str, style: tuple[str, str, str]) -> _Line:
    curves = [record.curve.val_top1 for record in row.records]
    epochs = zip(*curves, strict=False)  # those of all: a recipe may change between two seeds
    return _Line(name, tuple(Spread(of).mean for of in epochs), style)


def _draw(axes: Axes, lines: Sequence[_Line], epochs: int) -> None:
    for number, line in enumerate(lines):
        colour, marker, dashes = line.style
        axes.plot(
            range(1, len(line.values) + 1),
            line.values,
            color=colour,
            marker=marker,
            linestyle=dashes,
            linewidth=1.4,
            markersize=5,
            markevery=_marked(number, len(line.values)),
        )
    axes.set_xlim(1 - 0.02 * epochs, epochs * 1.02)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def _marked(number: int, epochs: int) -> list[int]:
    """Which epochs of line `number` bear a marker: the last, and some staggered by line."""
    step = max(1, epochs // 6)
    return [*range(number % step, epochs - step, step), epochs - 1]


def _label_ends(axes: Axes, lines: Sequence[_Line], *, room: float = 0.05) -> None:
    """Names `room` axes' widths right of the ends of lines, pushed apart until none is covered."""
    low, high = axes.get_ylim()
    places = _apart([line.values[-1] for line in lines], (high - low) * 0.052)
    beside = axes.get_yaxis_transform()  # x in axes, y in data
    for line, y in zip(lines, places, strict=True):
        (colour, marker, _), value = line.style, line.values[-1]
        leader = {"arrowstyle": "-", "color": colour, "linewidth": 0.7, "shrinkA": 0, "shrinkB": 4}
        end, start = (len(line.values), value), (1 + 0.8 * room, y)
        axes.annotate("", end, start, textcoords=beside, arrowprops=leader, annotation_clip=False)
        x = 1 + room
        axes.plot(x, y, marker, color=colour, markersize=5, transform=beside, clip_on=False)
        text = f"{line.name}  {value:.1f}"
        axes.text(1 + 1.4 * room, y, text, transform=beside, va="center", fontsize=9)
    axes.set_ylim(low, high)


def _apart(values: Sequence[float], step: float) -> list[float]:
    """The values moved as little as needed to lie `step` apart, in the same order."""
    order = sorted(range(len(values)), key=values.__getitem__)
    places = list(values)
    for _ in range(50):
        for below, above in pairwise(order):
            overlap = step - (places[above] - places[below])
            if overlap > 0:
                places[below] -= overlap / 2
                places[above] += overlap / 2
    return places

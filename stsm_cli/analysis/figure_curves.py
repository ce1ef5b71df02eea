"""Validation accuracy epoch by epoch; in tables of several networks a panel each."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle, pairwise
from typing import TYPE_CHECKING

from stsm_cli.analysis.figures import METHODS, STYLES, canvas, network_text, run_text, title_axes
from stsm_cli.analysis.spread import Spread
from stsm_cli.analysis.summary import LABELS, Group, RowSummary, by_network

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class _Line:
    """The mean over the seeds of a row, with its colour, marker and dashes."""

    name: str
    values: tuple[float, ...]
    style: tuple[str, str, str]


def curves_figure(rows: Sequence[RowSummary], group: Group) -> "Figure":
    """Validation top-1 by epoch, one line a setting, the mean over its seeds."""
    networks = {name: _run(of_network) for name, of_network in by_network(rows).items()}
    if any(networks.values()):
        return _panels({name: run for name, run in networks.items() if run}, group)
    run = _run(rows)
    lines = [
        _line(row, row.row.name, style) for row, style in zip(run, cycle(STYLES), strict=False)
    ]
    with canvas(7.6, 4.8) as figure:
        axes = figure.subplots()
        title_axes(axes, _title(group), run_text(group))
        _draw(axes, lines, group.epochs)
        axes.set_xlabel("epoch")
        axes.set_ylabel("validation top-1 (%), mean over seeds")
        _label_ends(axes, lines)
    return figure


def _panels(networks: dict[str, list[RowSummary]], group: Group) -> "Figure":
    num_columns = 2 if len(networks) == 4 else len(networks)
    num_lines = len(networks) // num_columns
    with canvas(3.8 * num_columns, 3.4 * num_lines + 0.6) as figure:
        title = f"{_title(group)}; {group.extent}"
        figure.suptitle(title, x=0.01, ha="left", fontsize=11, fontweight="bold")
        grid = figure.subplots(num_lines, num_columns, sharey=True, squeeze=False)
        drawn = []
        for axes, (network, rows) in zip(grid.flat, networks.items(), strict=True):
            lines = [_line(row, row.method, METHODS[row.method]) for row in rows]
            title_axes(axes, network, network_text(rows[0].records[0].recipe.model))
            _draw(axes, lines, group.epochs)
            axes.set_xlabel("epoch")
            drawn.append((axes, lines))
        figure.supylabel("validation top-1 (%), mean over seeds", fontsize=10)
        for axes, lines in drawn:  # when the axis that they share is settled
            _label_ends(axes, lines, room=0.1)
    return figure


def _run(rows: Sequence[RowSummary]) -> list[RowSummary]:
    return [row for row in rows if row.records]


def _title(group: Group) -> str:
    return f"Measured: {LABELS[group.first.dataset]}, epoch by epoch"


def _line(row: RowSummary, name: str, style: tuple[str, str, str]) -> _Line:
    curves = [record.curve.val_top1 for record in row.records]
    return _Line(name, tuple(Spread(of).mean for of in zip(*curves, strict=True)), style)


def _draw(axes: "Axes", lines: Sequence[_Line], epochs: int) -> None:
    from matplotlib.ticker import MaxNLocator

    for number, line in enumerate(lines):
        colour, marker, dashes = line.style
        axes.plot(
            range(1, epochs + 1),
            line.values,
            color=colour,
            marker=marker,
            linestyle=dashes,
            linewidth=1.4,
            markersize=5,
            markevery=_marked(number, epochs),
        )
    axes.set_xlim(1 - 0.02 * epochs, epochs * 1.02)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def _marked(number: int, epochs: int) -> list[int]:
    """Which epochs of line `number` bear a marker: the last, and some staggered by line."""
    step = max(1, epochs // 6)
    return [*range(number % step, epochs - step, step), epochs - 1]


def _label_ends(axes: "Axes", lines: Sequence[_Line], *, room: float = 0.05) -> None:
    """Names `room` axes' widths right of the ends of lines, pushed apart until none is covered."""
    low, high = axes.get_ylim()
    places = _apart([line.values[-1] for line in lines], (high - low) * 0.052)
    beside = axes.get_yaxis_transform()  # x in axes, y in data
    for line, place in zip(lines, places, strict=True):
        (colour, marker, _), value = line.style, line.values[-1]
        leader = {"arrowstyle": "-", "color": colour, "linewidth": 0.7, "shrinkA": 0, "shrinkB": 4}
        axes.annotate(
            "",
            (len(line.values), value),
            (1 + 0.8 * room, place),
            textcoords=beside,
            arrowprops=leader,
            annotation_clip=False,
        )
        axes.plot(
            1 + room, place, marker, color=colour, markersize=5, transform=beside, clip_on=False
        )
        text = f"{line.name}  {value:.1f}"
        axes.text(1 + 1.4 * room, place, text, transform=beside, va="center", fontsize=9)
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

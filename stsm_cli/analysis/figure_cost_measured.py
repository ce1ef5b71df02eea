"""The measured panel of Figure 1: our rows, each at the multiply-adds of its own network."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import TYPE_CHECKING

from stsm_cli.analysis.figures import METHODS, SOFT, cut_axes, number_at, title_axes
from stsm_cli.analysis.spread import Spread
from stsm_cli.analysis.summary import LABELS, Group, RowSummary

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.gridspec import GridSpec


@dataclass(frozen=True)
class _Mark:
    """A row that was run."""

    method: str
    backbone: str
    num_frames: int
    macs: int
    top1: Spread

    @property
    def ends(self) -> tuple[float, float]:
        """Where its bar ends."""
        sd = self.top1.sd or 0
        return self.top1.mean - sd, self.top1.mean + sd


def measured_panel(
    figure: "Figure", grid: "GridSpec", rows: Sequence[RowSummary], group: Group
) -> None:
    """Draw what was measured into the second column of a grid of two lines.

    The axis is cut where nothing was measured over more than half of its length.
    """
    marks = [mark for row in rows for mark in _marks(row)]
    values, cut = [value for mark in marks for value in mark.ends], _cut(marks)
    parts = [figure.add_subplot(grid[0, 1] if cut else grid[:, 1])]
    if cut:
        parts.append(figure.add_subplot(grid[1, 1], sharex=parts[0]))
        cut_axes(*parts)
        _set_limits(parts[1], [value for value in values if value <= cut[0]], room=0.4)
        values = [value for value in values if value >= cut[1]]
    _set_limits(parts[0], values, room=0.18)
    title_axes(parts[0], f"Measured: {LABELS[group.first.dataset]}", group.extent)
    unit, name = (1e6, "M") if max(mark.macs for mark in marks) < 1e9 else (1e9, "G")
    for axes in parts:
        _draw(axes, marks, unit)
    _name_networks(parts[0], marks, unit)
    _set_costs(parts[-1], [mark.macs / unit for mark in marks])
    parts[-1].set_xlabel(f"multiply-adds a view ({name}), counted")
    parts[0].set_ylabel("top-1 (%), mean ± sample standard deviation")


def _marks(row: RowSummary) -> Iterable[_Mark]:
    if row.top1 is not None:
        model, network = row.records[0].recipe.model, row.records[0].network
        backbone = f"{model.backbone}{'+NL' if model.non_local else ''}"
        yield _Mark(row.method, backbone, model.num_frames, network.macs, row.top1)


def _cut(marks: Sequence[_Mark]) -> tuple[float, float] | None:
    """The ends of the largest gap between marks, bars included, if it is most of their range."""
    ends = sorted(mark.ends for mark in marks)
    gaps = [(max(high for _, high in ends[:n]), ends[n][0]) for n in range(1, len(ends))]
    low, high = max(gaps, key=lambda gap: gap[1] - gap[0], default=(0.0, 0.0))
    span = max(high for _, high in ends) - ends[0][0]
    return (low, high) if high - low > span / 2 else None


def _set_limits(axes: "Axes", values: Sequence[float], *, room: float) -> None:
    span = max(values) - min(values) or 2
    axes.set_ylim(min(values) - room * span, max(values) + room * span)


def _draw(axes: "Axes", marks: Sequence[_Mark], unit: float) -> None:
    lines: dict[tuple[str, str], list[_Mark]] = {}
    for mark in sorted(marks, key=lambda mark: mark.num_frames):
        lines.setdefault((mark.method, mark.backbone), []).append(mark)
    for (name, _), line in lines.items():
        colour, marker, dashes = METHODS[name]
        axes.errorbar(
            [mark.macs / unit for mark in line],
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
            _number(axes, mark, marks, unit, is_last=mark is line[-1])


def _number(
    axes: "Axes", mark: _Mark, marks: Sequence[_Mark], unit: float, *, is_last: bool
) -> None:
    """Top-1 left of a line's marks; right of its last, with the name of the method."""
    low, high = axes.get_ylim()
    if low < mark.top1.mean < high:
        place, text = (mark.macs / unit, mark.top1.mean), f"{mark.top1.mean:.1f}"
        best = max(other.top1.mean for other in marks if other.macs == mark.macs)
        up = 2 if mark.top1.mean == best else -9
        if is_last:
            number_at(axes, f"{mark.method} {text}", place, (8, up), ha="left")
        else:
            number_at(axes, text, place, (-8, up), ha="right")


def _name_networks(axes: "Axes", marks: Sequence[_Mark], unit: float) -> None:
    """Each network's name and numbers of frames, above its marks."""
    above = axes.get_xaxis_transform()  # x in data, y in axes
    for backbone in dict.fromkeys(mark.backbone for mark in marks):
        of_it = [mark for mark in marks if mark.backbone == backbone]
        macs, frames = {mark.macs / unit for mark in of_it}, {mark.num_frames for mark in of_it}
        text = f"{backbone}\n{' and '.join(map(str, sorted(frames)))} frames"
        middle = sqrt(min(macs) * max(macs))
        axes.text(middle, 1, text, transform=above, ha="center", va="top", fontsize=9, color=SOFT)


def _set_costs(axes: "Axes", costs: Sequence[float]) -> None:
    """A logarithmic axis with room for the numbers beside the marks."""
    low, high = min(costs) / 1.6, max(costs) * 1.8
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    ticks = [step * 10**power for power in range(-3, 6) for step in (1, 2, 5)]
    shown = [tick for tick in ticks if low < tick < high]
    axes.set_xticks(shown, [f"{tick:g}" for tick in shown])
    axes.minorticks_off()

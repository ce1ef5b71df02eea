"""The marks of accuracies: a value with its bar, its seeds and its number."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stsm_cli.analysis.figures import FAINT, INK, Align, number_at
from stsm_cli.analysis.paper import PaperRow
from stsm_cli.analysis.summary import RowSummary

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MEAN: dict[str, Any] = {
    "fmt": "o",
    "color": INK,
    "markersize": 6,
    "capsize": 3,
    "elinewidth": 1.1,
    "zorder": 3,
}
SEED: dict[str, Any] = {
    "linestyle": "none",
    "marker": "o",
    "markersize": 3.6,
    "markerfacecolor": "white",
    "markeredgecolor": FAINT,
    "zorder": 2,
}


@dataclass(frozen=True)
class Point:
    """A mark: its value, the bar's lengths below and above, and the single seeds beside it."""

    value: float
    error: tuple[float, float]
    seeds: tuple[float, ...]
    label: str
    cited: bool = False


def paper_point(printed: PaperRow) -> Point:
    """What the paper prints for a row."""
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


def draw_dot(axes: "Axes", y: float, point: Point, *, ha: Align = "center") -> None:
    """A point in line `y` of a dot chart, its seeds below and its number above."""
    axes.plot(point.seeds, [y + 0.24] * len(point.seeds), **SEED)
    axes.errorbar([point.value], [y], xerr=[[length] for length in point.error], **mark(point))
    number_at(axes, point.label, (point.value, y), (0, 5), ha=ha)


def mark(point: Point) -> dict[str, Any]:
    """How the mark of a point is drawn; hollow where it is cited."""
    face = "white" if point.cited else INK
    return MEAN | {"markerfacecolor": face, "capsize": 3 if any(point.error) else 0}


def legend(axes: "Axes", shown: Sequence[Point]) -> None:
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
        axes.errorbar([], [], xerr=[], label=" or\n".join(meanings), **MEAN)
    if axes.get_legend_handles_labels()[1]:
        axes.legend(loc="lower right", frameon=False, fontsize=8.5)

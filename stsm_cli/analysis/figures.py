"""Figures from records: the α curve or a dot chart beside the paper's, and the curves by epoch.

Paper and measurement stand in panels of their own with axes of their own: the numbers come from
different data and networks, and only the order of the settings is comparable. Nothing is told by
colour alone. The same records give the same bytes.
"""

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from itertools import cycle, pairwise
from typing import TYPE_CHECKING, Any

from stsm_cli.analysis.spread import Spread
from stsm_cli.analysis.summary import LABELS, Group, RowSummary

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# colours that stay apart for colour-blind readers (Okabe and Ito, 2008), each with its own marker
# and line, so that print in grey loses nothing
STYLES = (
    ("#000000", "o", "-"),
    ("#0072B2", "s", "--"),
    ("#D55E00", "^", "-."),
    ("#009E73", "D", "-"),
    ("#CC79A7", "v", "--"),
    ("#56B4E9", "P", "-."),
    ("#E69F00", "X", ":"),
)
INK, SOFT, FAINT = "#222222", "#555555", "#8a8a8a"
SETTINGS: Any = {  # matplotlib's key type is the list of all keys
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": INK,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "svg.hashsalt": "stsm",
    "svg.fonttype": "path",
}


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
class Reference:
    """A horizontal line for comparison: the temporal shift alone, TSM; top-1 as it is printed."""

    label: str
    paper: str | None
    measured: str | None


@dataclass(frozen=True)
class _Point:
    """A mark: its value, the bar's lengths below and above, and the single seeds beside it."""

    value: float
    error: tuple[float, float]
    seeds: tuple[float, ...]
    label: str
    cited: bool = False


def settings_figure(
    rows: Sequence[RowSummary], group: Group, reference: Reference | None = None
) -> "Figure":
    """Top-1 of every setting, the paper's panel beside the measured one.

    Numeric settings (α) become a curve, others a dot chart. Measured: the mean with a bar of one
    sample standard deviation (of a single seed its Wilson interval), and beside it every seed.
    """
    numeric = all(_number(row.row.name) is not None for row in rows)
    paper = [_paper_point(row) for row in rows]
    measured = [_measured_point(row) for row in rows]
    with canvas(9.6, 4.4 if numeric else 0.42 * len(rows) + 2.0) as figure:
        left, right = figure.subplots(1, 2, sharey=not numeric)
        title_axes(left, "Paper: Kinetics-400", "ResNet-50, as printed")
        title_axes(right, f"Measured: {LABELS[group.first.dataset]}", _conditions(group))
        names = [row.row.name for row in rows]
        for axes, points in ((left, paper), (right, measured)):
            _curve(axes, names, points) if numeric else _dots(axes, names, points)
        if reference is not None:
            _line(left, reference.label, reference.paper)
            _line(right, reference.label, reference.measured)
        _legend(left, paper)
        _legend(right, measured)
    return figure


def curves_figure(rows: Sequence[RowSummary], group: Group) -> "Figure":
    """Validation top-1 by epoch, one line a setting, the mean over its seeds."""
    from matplotlib.ticker import MaxNLocator

    lines = [
        (row.row.name, _mean_curve([record.curve.val_top1 for record in row.records]))
        for row in rows
        if row.records
    ]
    epochs = group.epochs
    with canvas(7.6, 4.8) as figure:
        axes = figure.subplots()
        title_axes(
            axes, f"Measured: {LABELS[group.first.dataset]}, epoch by epoch", _conditions(group)
        )
        for number, ((_, values), (colour, marker, dashes)) in enumerate(
            zip(lines, cycle(STYLES), strict=False)
        ):
            axes.plot(
                range(1, epochs + 1),
                values,
                color=colour,
                marker=marker,
                linestyle=dashes,
                linewidth=1.4,
                markersize=5,
                markevery=_marked(number, epochs),
            )
        axes.set_xlim(1 - 0.02 * epochs, epochs * 1.02)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel("epoch")
        axes.set_ylabel("validation top-1 (%), mean over seeds")
        _label_ends(axes, epochs, [(name, values[-1]) for name, values in lines])
    return figure


def encode(figure: "Figure", kind: str) -> bytes:
    """The bytes of a figure as `svg` or `png`, the same for the same figure."""
    import matplotlib

    buffer = io.BytesIO()
    metadata = {"Date": None, "Creator": None} if kind == "svg" else {"Software": None}
    with matplotlib.rc_context(SETTINGS):
        figure.savefig(buffer, format=kind, dpi=160, metadata=metadata)
    return buffer.getvalue()


@contextmanager
def canvas(width: float, height: float) -> Iterator["Figure"]:
    """An empty figure of so many inches, drawn in the style of all figures."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(SETTINGS):
        yield Figure(figsize=(width, height), layout="constrained")


def title_axes(axes: "Axes", title: str, subtitle: str) -> None:
    """Write a title in bold above a panel, and its conditions below the title."""
    axes.set_title(f"{title}\n", fontweight="bold")
    axes.annotate(
        subtitle, (0, 1), (0, 6), xycoords="axes fraction", textcoords="offset points", color=SOFT
    )


def _conditions(group: Group) -> str:
    return f"{group.first.recipe['model']['backbone']}, {group.extent}"


def _number(name: str) -> float | None:
    try:
        return float(Fraction(name))
    except ValueError:
        return None


def _paper_point(row: RowSummary) -> _Point | None:
    if not row.paper:
        return None
    printed = row.paper[-1]
    value = float(printed.top1)
    return _Point(value, (0, 0), (), printed.top1, printed.cited)


def _measured_point(row: RowSummary) -> _Point | None:
    if row.top1 is None:
        return None
    mean, sd = row.top1.mean, row.top1.sd
    if sd is None:
        low, high = row.records[0].score.top1_interval
        return _Point(mean, (mean - low, high - mean), (), f"{mean:.1f}")
    return _Point(mean, (sd, sd), row.top1.values, f"{mean:.1f}")


def _curve(axes: "Axes", names: Sequence[str], points: Sequence[_Point | None]) -> None:
    """Top-1 over α."""
    places = [(_number(name) or 0.0, point) for name, point in zip(names, points, strict=True)]
    known = [(x, point) for x, point in places if point is not None]
    axes.plot([x for x, _ in known], [point.value for _, point in known], color=INK, linewidth=1.2)
    for x, point in known:
        axes.plot([x + 0.018] * len(point.seeds), point.seeds, **SEED)
        axes.errorbar([x], [point.value], yerr=[[length] for length in point.error], **_mark(point))
        top = max(point.value + point.error[1], *point.seeds, point.value)
        _number_at(axes, point.label, (x, top), (0, 6))
    axes.set_xticks([x for x, _ in places], names)
    axes.set_xlabel("α, the share of channels that move (T+H+W)")
    axes.set_ylabel("top-1 (%)")
    axes.margins(x=0.06, y=0.12)


def _dots(axes: "Axes", names: Sequence[str], points: Sequence[_Point | None]) -> None:
    """Top-1 along x, a line of the chart for each setting, the first on top."""
    for y, point in enumerate(points):
        if point is None:
            continue
        axes.plot(point.seeds, [y + 0.24] * len(point.seeds), **SEED)
        axes.errorbar([point.value], [y], xerr=[[length] for length in point.error], **_mark(point))
        _number_at(axes, point.label, (point.value, y), (0, 5))
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) + 0.2, -0.7)  # room for the legend below the last
    axes.grid(axis="y", color="#dddddd", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.set_xlabel("top-1 (%)")
    axes.margins(x=0.12)


def _mark(point: _Point) -> dict[str, Any]:
    face = "white" if point.cited else INK
    return MEAN | {"markerfacecolor": face, "capsize": 3 if any(point.error) else 0}


def _number_at(
    axes: "Axes", text: str, place: tuple[float, float], offset: tuple[float, float]
) -> None:
    from matplotlib.patheffects import withStroke

    halo = [withStroke(linewidth=3, foreground="white")]
    axes.annotate(
        text,
        place,
        offset,
        textcoords="offset points",
        ha="center",
        fontsize=9,
        path_effects=halo,
    )


def _line(axes: "Axes", label: str, value: str | None) -> None:
    if value is not None:
        text = f"{label}: {value}"
        axes.axhline(float(value), color=FAINT, linestyle="--", linewidth=1.1, zorder=0, label=text)


def _legend(axes: "Axes", points: Sequence[_Point | None]) -> None:
    """Explains the marks that the panel really has."""
    shown = [point for point in points if point is not None]
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


def _mean_curve(curves: Sequence[Sequence[float]]) -> list[float]:
    return [Spread(values).mean for values in zip(*curves, strict=True)]


def _marked(number: int, epochs: int) -> list[int]:
    """Which epochs of line `number` bear a marker: the last, and some staggered by line."""
    step = max(1, epochs // 6)
    return [*range(number % step, epochs - step, step), epochs - 1]


def _label_ends(axes: "Axes", x: int, ends: Sequence[tuple[str, float]]) -> None:
    """Names at the right ends of lines, pushed apart until none covers another."""
    low, high = axes.get_ylim()
    places = _apart([value for _, value in ends], (high - low) * 0.052)
    beside = axes.get_yaxis_transform()  # x in axes, y in data
    for (name, value), place, (colour, marker, _) in zip(ends, places, cycle(STYLES), strict=False):
        leader = {"arrowstyle": "-", "color": colour, "linewidth": 0.7, "shrinkA": 0, "shrinkB": 4}
        axes.annotate(
            "",
            (x, value),
            (1.04, place),
            textcoords=beside,
            arrowprops=leader,
            annotation_clip=False,
        )
        axes.plot(1.05, place, marker, color=colour, markersize=5, transform=beside, clip_on=False)
        axes.text(1.07, place, f"{name}  {value:.1f}", transform=beside, va="center", fontsize=9)
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

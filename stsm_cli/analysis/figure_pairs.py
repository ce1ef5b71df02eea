"""Accuracy on each pair of classes that one thing alone tells apart: TSN, TSM and STSM."""

from collections.abc import Callable
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from stsm_cli.analysis.figures import (
    FAINT,
    GUIDE,
    METHODS,
    canvas,
    label_axes,
    measured_title,
    network_text,
    number_at,
)
from stsm_cli.analysis.statistics import Spread
from stsm_cli.analysis.summary import SHIFTS, Group, method_of
from stsm_cli.stored import Pair

BLIND = 50
"""Percent that frames without their order reach on average: a pair's classes show the same ones."""
BLIND_LABELS = {
    True: "the most without the order of frames (right: chance)",
    False: "chance in a pair (right)",
}
"""By being of order alone."""
BARS = "; bars: ± sample standard deviation"
BLIND_LINE: Any = {"color": FAINT, "linestyle": "--", "linewidth": 1.1}
WORDS = {"cw": "clockwise", "ccw": "anticlockwise"}


def pairs_figure(group: Group) -> Figure:
    """Top-1 of each pair's videos, and how often they score their own class above its other.

    Marks: mean over seeds with a bar of one sample standard deviation; a single seed has no bar.
    """
    first, pairs = group.first, group.first.score.pairs or ()
    videos = ", ".join(dict.fromkeys(str(pair.videos) for pair in pairs))
    of_order = {pair.factor for pair in pairs} <= {"order", None}
    other = "its reversal" if of_order else "the other"
    with canvas(9.6, 0.62 * len(pairs) + 1.9) as figure:
        left, right = figure.subplots(1, 2, sharey=True)
        label_axes(
            left,
            f"{measured_title(group)}, pair by pair",
            f"{network_text(first.recipe.model)}; {first.budget} budget, {group.epochs} epochs",
            xlabel="top-1 of the pair's videos (%)",
        )
        label_axes(
            right,
            f"Told from {'its time reversal' if of_order else 'the other class of its pair'}",
            f"{videos} videos a pair" + (BARS if len(group.seeds) > 1 else ""),
            xlabel=f"own class scores above {other} (%)",
        )
        _draw(left, group, lambda pair: pair.correct)
        _draw(right, group, lambda pair: pair.ordered)
        left.set_yticks(range(len(pairs)), [pair_text(pair) for pair in pairs])
        left.set_ylim(len(pairs) - 0.5, -0.5)
        for axes in (left, right) if of_order else (right,):
            axes.axvline(BLIND, zorder=0, **BLIND_LINE)
        left.plot([], [], label=BLIND_LABELS[of_order], **BLIND_LINE)
        marks = left.get_legend_handles_labels()
        figure.legend(*marks, loc="outside lower center", ncols=4, fontsize=10)
    return figure


def pair_text(pair: Pair) -> str:
    """The two classes in words, for example `left to right` and `right to left`, a line each.

    Where it is not order, with what tells them apart.
    """
    first, second = (
        " ".join(WORDS.get(word, word) for word in name.split("_")) for name in pair.classes
    )
    factor = "" if pair.factor in ("order", None) else f" ({pair.factor})"
    return f"{first} /\n{second}{factor}"


def _draw(axes: Axes, group: Group, count: Callable[[Pair], int]) -> None:
    for number, name in enumerate(SHIFTS):
        runs = [record for record in group.records if method_of(record) == name]
        for place, same in enumerate(zip(*(run.score.pairs or () for run in runs), strict=True)):
            share = Spread(tuple(100 * count(pair) / pair.videos for pair in same))
            label = f"{name} ({len(runs)} seed{'s' if len(runs) > 1 else ''})"
            _mark(axes, name, share, place + 0.26 * (number - 1), "" if place else label)
    for place in range(1, len(group.first.score.pairs or ())):
        axes.axhline(place - 0.5, zorder=0, **GUIDE)
    axes.tick_params(axis="y", length=0)
    axes.set_xlim(0, 104)


def _mark(axes: Axes, name: str, share: Spread, y: float, label: str) -> None:
    """A mark with its bar, and its number on the side where there is room."""
    colour, marker, _ = METHODS[name]
    sd = share.sd or 0
    axes.errorbar(
        [share.mean],
        [y],
        xerr=[sd],
        fmt=marker,
        color=colour,
        markerfacecolor="white" if name == "TSN" else colour,
        markersize=5.5,
        capsize=2 if sd else 0,
        elinewidth=1.1,
        label=label,
    )
    is_left = share.mean + sd > 85 or (share.mean <= BLIND and share.mean - sd > 12)
    x, offset = (share.mean - sd, (-7, -3)) if is_left else (share.mean + sd, (7, -3))
    number_at(axes, f"{share.mean:.1f}", (x, y), offset, ha="right" if is_left else "left")

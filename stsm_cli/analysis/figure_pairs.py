"""Accuracy on each pair of classes that are each other's time reversal: TSN, TSM and STSM."""

from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from stsm_cli.analysis.figures import FAINT, METHODS, canvas, network_text, number_at, title_axes
from stsm_cli.analysis.records import RunRecord
from stsm_cli.analysis.spread import Spread
from stsm_cli.analysis.summary import LABELS, Group, comparable
from stsm_cli.config.schema import DatasetName, ShiftConfig
from stsm_cli.stored import Pair

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DATASET: DatasetName = "synth"
"""The data set whose pairs are shown: the one that is made of nothing else."""
NETWORK = {"backbone": "resnet_small", "num_frames": 8, "non_local": False}
SHIFTS = {
    "TSN": None,
    "TSM": ShiftConfig(dims="T", alpha=Fraction(1, 4)),
    "STSM": ShiftConfig(dims="T+H+W", alpha=Fraction(3, 8)),
}
BLIND = 50
"""Percent that frames without their order reach on average: a pair's classes show the same ones."""
BLIND_LABEL = "the most without the order of frames (right: chance)"
BLIND_LINE: dict[str, Any] = {"color": FAINT, "linestyle": "--", "linewidth": 1.1}
WORDS = {"cw": "clockwise", "ccw": "anticlockwise"}


def pair_group(records: Sequence[RunRecord]) -> Group | None:
    """Runs of TSN, TSM and STSM that compare, each once, whatever table they stand in.

    Of the embedded set, in `resnet_small` with 8 frames and with counts of each pair; of the
    longest budget, of that the most runs, and of these the seeds that all its methods have. None if
    there is no such run.
    """
    runs: dict[str, RunRecord] = {}
    for record in records:
        if record.score.pairs and record.budget != "custom" and method_of(record) is not None:
            runs.setdefault(record.recipe_hash, record)
    groups = comparable(list(runs.values()))
    if not groups:
        return None
    seeds: dict[str | None, set[int]] = {}
    for record in groups[0].records:
        seeds.setdefault(method_of(record), set()).add(record.seed)
    shared = set.intersection(*seeds.values())
    return Group(tuple(r for r in groups[0].records if r.seed in shared)) if shared else groups[0]


def pairs_figure(group: Group) -> "Figure":
    """Top-1 of each pair's videos, and how often they score their own class above its reversal.

    Marks: mean over seeds with a bar of one sample standard deviation; a single seed has no bar.
    """
    first, pairs = group.first, group.first.score.pairs or ()
    videos = ", ".join(dict.fromkeys(str(pair.videos) for pair in pairs))
    with canvas(9.6, 0.62 * len(pairs) + 1.9) as figure:
        left, right = figure.subplots(1, 2, sharey=True)
        title_axes(
            left,
            f"Measured: {LABELS[first.dataset]}, pair by pair",
            f"{network_text(first.recipe.model)}; {first.budget} budget, {group.epochs} epochs",
        )
        title_axes(
            right,
            "Told from its time reversal",
            f"{videos} videos a pair; bars: ± sample standard deviation",
        )
        _draw(left, group, lambda pair: pair.correct)
        _draw(right, group, lambda pair: pair.ordered)
        left.set_xlabel("top-1 of the pair's videos (%)")
        right.set_xlabel("own class scores above its reversal (%)")
        left.set_yticks(range(len(pairs)), [pair_text(pair) for pair in pairs])
        left.set_ylim(len(pairs) - 0.5, -0.5)
        left.plot([], [], label=BLIND_LABEL, **BLIND_LINE)
        figure.legend(
            *left.get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False
        )
    return figure


def pair_text(pair: Pair) -> str:
    """The two classes in words, for example `left to right` and `right to left`, a line each."""
    first, second = (
        " ".join(WORDS.get(word, word) for word in name.split("_")) for name in pair.classes
    )
    return f"{first} /\n{second}"


def method_of(record: RunRecord) -> str | None:
    """Which of SHIFTS a run is; None if it is none of them, or of another set or network."""
    model = record.recipe.model
    is_network = all(getattr(model, key) == value for key, value in NETWORK.items())
    if record.dataset != DATASET or not is_network:
        return None
    return next((name for name, shift in SHIFTS.items() if model.shift == shift), None)


def _draw(axes: "Axes", group: Group, count: Callable[[Pair], int]) -> None:
    for number, name in enumerate(SHIFTS):
        runs = [record for record in group.records if method_of(record) == name]
        for place, same in enumerate(zip(*(run.score.pairs or () for run in runs), strict=True)):
            share = Spread(tuple(100 * count(pair) / pair.videos for pair in same))
            label = f"{name} ({len(runs)} seed{'s' if len(runs) > 1 else ''})"
            _mark(axes, name, share, place + 0.26 * (number - 1), "" if place else label)
    axes.axvline(BLIND, zorder=0, **BLIND_LINE)
    for place in range(1, len(group.first.score.pairs or ())):
        axes.axhline(place - 0.5, color="#dddddd", linewidth=0.8, zorder=0)
    axes.tick_params(axis="y", length=0)
    axes.set_xlim(0, 104)


def _mark(axes: "Axes", name: str, share: Spread, y: float, label: str) -> None:
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
    if share.mean + sd > 85 or (share.mean <= BLIND and share.mean - sd > 12):
        number_at(axes, f"{share.mean:.1f}", (share.mean - sd, y), (-7, -3), ha="right")
    else:
        number_at(axes, f"{share.mean:.1f}", (share.mean + sd, y), (7, -3), ha="left")

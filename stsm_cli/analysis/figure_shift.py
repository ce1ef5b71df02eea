"""The shift as a picture (the paper's Figure 4), read off the operator itself.

A tensor that holds its own indices goes through `shift`, and the picture shows what came out:
nothing here knows which channels should move.
"""

from typing import Any

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from matplotlib.patheffects import withStroke

from stsm_cli.analysis.figures import INK, SOFT, canvas, label_axes
from stsm_cli.models.shift import shift

AXES = ("time", "height", "width")
SIDE = 5  # positions along each axis
MIDDLE = SIDE // 2
CELL: Any = {"edgecolor": "#b5b5b5", "linewidth": 0.6}
STAYS: Any = {**CELL, "facecolor": "white", "hatch": ""}
SHADES: dict[int, Any] = {
    +1: {**CELL, "facecolor": "#cfe3f3", "hatch": "///"},
    -1: {**CELL, "facecolor": "#f7dcc4", "hatch": "\\\\\\"},
}
"""Cells of values from the next and from the previous position."""
MEANINGS = {+1: "from the next position", -1: "from the previous", 0: "stays"}


def source_positions(num_channels: int, dims: str, alpha: str) -> torch.Tensor:
    """Origin of each output value: (3, C, P) positions 0 … P-1 along each axis, -1: zero.

    Entry (a, c, p) is of channel c at position p of axis a and in the middle of the other two, and
    says at which position of axis a the value stood before.

    Raises:
        ValueError: `dims` or `alpha` is not valid.
    """
    before = torch.arange(SIDE**3, dtype=torch.float64).view(SIDE, 1, SIDE, SIDE) + 1  # 0: zero
    after = shift(before.repeat(1, num_channels, 1, 1), num_frames=SIDE, dims=dims, alpha=alpha)
    lines = torch.stack(
        [
            after[:, :, MIDDLE, MIDDLE].T,
            after[MIDDLE, :, :, MIDDLE],
            after[MIDDLE, :, MIDDLE, :],
        ]
    ).long()  # (3, C, P)
    steps = torch.tensor([SIDE**2, SIDE, 1]).view(3, 1, 1)
    return torch.where(lines > 0, (lines - 1) // steps % SIDE, -1)


def shift_figure(num_channels: int = 16, dims: str = "T+H+W", alpha: str = "3/8") -> Figure:
    """One panel an axis; a column is a channel, a row a position, the number where it comes from.

    Raises:
        ValueError: `dims` or `alpha` is not valid.
    """
    sources = source_positions(num_channels, dims, alpha)
    title = f"What the shift {dims}, α = {alpha}, does to {num_channels} channels"
    reading = "each number: the position that the value comes from; 0: a zero entered at the border"
    with canvas(0.34 * num_channels + 3.0, 7.4) as figure:
        panels = figure.subplots(3, 1, sharex=True)
        for axes, name, channels in zip(panels, AXES, sources.tolist(), strict=True):
            _panel(axes, name, channels)
        label_axes(panels[0], title, reading)
        panels[-1].set_xlabel("channel")
        panels[-1].set_xticks(range(num_channels), [*map(str, range(1, num_channels + 1))])
        handles = [Patch(**SHADES.get(step, STAYS), label=name) for step, name in MEANINGS.items()]
        panels[0].legend(handles=handles, loc="upper left", bbox_to_anchor=(1.01, 1), fontsize=9)
    return figure


def _panel(axes: Axes, name: str, channels: list[list[int]]) -> None:
    for x, positions in enumerate(channels):
        step = positions[MIDDLE] - MIDDLE
        for y, source in enumerate(positions):
            style = SHADES.get(step, STAYS) if source >= 0 else STAYS
            axes.add_patch(Rectangle((x - 0.5, y - 0.5), 1, 1, **style))
            _write(axes, x, y, source, moved=step != 0)
    axes.set_xlim(-0.5, len(channels) - 0.5)
    axes.set_ylim(SIDE - 0.5, -0.5)
    axes.set_yticks(range(SIDE), [str(place + 1) for place in range(SIDE)])
    axes.set_ylabel(f"{name}\nposition")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def _write(axes: Axes, x: int, y: int, source: int, *, moved: bool) -> None:
    style: Any = {"color": SOFT}
    if moved:
        halo = [withStroke(linewidth=2.5, foreground="white")]
        style = {"color": INK, "fontweight": "bold", "path_effects": halo}
    axes.text(x, y, str(source + 1), ha="center", va="center", fontsize=9, **style)

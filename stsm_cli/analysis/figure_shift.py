"""The shift as a picture (the paper's Figure 4), read off the operator itself.

A tensor that holds its own indices goes through `shift`, and the picture shows what came out:
nothing here knows which channels should move.
"""

from typing import TYPE_CHECKING

import torch

from stsm_cli.analysis.figures import INK, SOFT, canvas, title_axes
from stsm_cli.models.shift import shift

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

AXES = ("time", "height", "width")
SIDE = 5  # positions along each axis
MIDDLE = SIDE // 2
SHADES = {+1: ("#cfe3f3", "///"), -1: ("#f7dcc4", "\\\\\\")}
"""Fill and hatching of values from the next and from the previous position."""


def source_positions(num_channels: int, dims: str, alpha: str) -> torch.Tensor:
    """Where each output value comes from: (3, C, P) positions 0 … P-1 along each axis, -1: zero.

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


def shift_figure(num_channels: int = 16, dims: str = "T+H+W", alpha: str = "3/8") -> "Figure":
    """One panel an axis; a column is a channel, a row a position, the number where it comes from.

    Raises:
        ValueError: `dims` or `alpha` is not valid.
    """
    sources = source_positions(num_channels, dims, alpha)
    with canvas(0.34 * num_channels + 3.0, 7.4) as figure:
        panels = figure.subplots(3, 1, sharex=True)
        for axes, name, channels in zip(panels, AXES, sources.tolist(), strict=True):
            _panel(axes, name, channels)
        title_axes(
            panels[0],
            f"What the shift {dims}, α = {alpha}, does to {num_channels} channels",
            "each number: the position that the value comes from; 0: a zero entered at the border",
        )
        panels[-1].set_xlabel("channel")
        panels[-1].set_xticks(
            range(num_channels), [str(channel + 1) for channel in range(num_channels)]
        )
        _legend(panels[0])
    return figure


def _panel(axes: "Axes", name: str, channels: list[list[int]]) -> None:
    from matplotlib.patches import Rectangle

    for channel, positions in enumerate(channels):
        step = positions[MIDDLE] - MIDDLE
        fill, hatch = SHADES.get(step, ("white", ""))
        for position, source in enumerate(positions):
            cell = Rectangle(
                (channel - 0.5, position - 0.5),
                1,
                1,
                facecolor=fill if source >= 0 else "white",
                hatch=hatch if source >= 0 else "",
                edgecolor="#b5b5b5",
                linewidth=0.6,
            )
            axes.add_patch(cell)
            _write(axes, channel, position, source, moved=step != 0)
    axes.set_xlim(-0.5, len(channels) - 0.5)
    axes.set_ylim(SIDE - 0.5, -0.5)
    axes.set_yticks(range(SIDE), [str(place + 1) for place in range(SIDE)])
    axes.set_ylabel(f"{name}\nposition")
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _write(axes: "Axes", x: int, y: int, source: int, *, moved: bool) -> None:
    from matplotlib.patheffects import withStroke

    axes.text(
        x,
        y,
        str(source + 1),
        ha="center",
        va="center",
        fontsize=9,
        color=INK if moved else SOFT,
        fontweight="bold" if moved else "normal",
        path_effects=[withStroke(linewidth=2.5, foreground="white")] if moved else [],
    )


def _legend(axes: "Axes") -> None:
    from matplotlib.patches import Patch

    names = {+1: "from the next position", -1: "from the previous", 0: "stays"}
    handles = []
    for step, name in names.items():
        fill, hatch = SHADES.get(step, ("white", ""))
        handles.append(
            Patch(facecolor=fill, hatch=hatch, edgecolor="#b5b5b5", linewidth=0.6, label=name)
        )
    axes.legend(
        handles=handles, loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False, fontsize=9
    )

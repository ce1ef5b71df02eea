"""The style of all figures: their axes, their marks, their bytes.

Nothing is told by colour alone, and the same records give the same bytes.
"""

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont, fontManager, get_font
from matplotlib.patheffects import withStroke

from stsm_cli.analysis.summary import LABELS, Group
from stsm_cli.config.schema import ModelConfig

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
METHODS = {
    "TSN": ("#555555", "v", ":"),
    "TSM": ("#0072B2", "s", "--"),
    "STSM": ("#000000", "o", "-"),
}
"""The same for the three methods, wherever they are compared."""
INK, SOFT, FAINT = "#222222", "#555555", "#8a8a8a"
GUIDE: Any = {"color": "#dddddd", "linewidth": 0.8}
"""Lines that guide the eye along a row."""
FONT = "DejaVu Sans"  # comes with matplotlib
SETTINGS: Any = {  # matplotlib's key type is the list of all keys
    "font.family": FONT,
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": INK,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "legend.title_fontsize": 8.5,
    "svg.hashsalt": "stsm",
    "svg.fonttype": "path",
}
Align = Literal["left", "center", "right"]


def encode(figure: Figure, kind: str) -> bytes:
    """The bytes of a figure as `svg` or `png`, the same for the same figure."""
    buffer = io.BytesIO()
    metadata = {"Date": None, "Creator": None} if kind == "svg" else {"Software": None}
    with matplotlib.rc_context(SETTINGS), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")  # see `fonts_for`
        figure.savefig(buffer, format=kind, dpi=160, metadata=metadata)
    return buffer.getvalue()


def fonts_for(text: str) -> tuple[list[str], str]:
    """The font of all figures and, behind it, those of this machine that have what it lacks.

    Returns:
        The fonts, and the letters of `text` that none here has: they are drawn as boxes.
    """
    names = [FONT]
    missing = _lacking(findfont(FONT), {letter for letter in text if letter.isprintable()})
    others = [font for font in fontManager.ttflist if not font.name.startswith("Last Resort")]
    while missing:
        best = min(others, key=lambda font: len(_lacking(font.fname, missing)))
        still = _lacking(best.fname, missing)
        if still == missing:
            break
        names.append(best.name)
        missing = still
    return names, "".join(sorted(missing))


def _lacking(file: str, letters: set[str]) -> set[str]:
    try:
        font = get_font(file)
    except (OSError, RuntimeError):  # the list of fonts is older than the folder
        return letters
    return {letter for letter in letters if not font.get_char_index(ord(letter))}


@contextmanager
def canvas(width: float, height: float) -> Iterator[Figure]:
    """An empty figure of so many inches, drawn in the style of all figures."""
    with matplotlib.rc_context(SETTINGS):
        yield Figure(figsize=(width, height), layout="constrained")


def label_axes(axes: Axes, title: str, conditions: str, **names: str) -> None:
    """Write a title above a panel and its conditions below that; `names`: `xlabel`, `ylabel`."""
    axes.set(title=title + "\n" * (1 + conditions.count("\n")), **names)
    axes.annotate(
        conditions, (0, 1), (0, 6), xycoords="axes fraction", textcoords="offset points", color=SOFT
    )


def cut_axes(upper: Axes, lower: Axes) -> None:
    """Make two panels one whose axis is cut between them."""
    upper.tick_params(bottom=False, labelbottom=False, which="both")
    upper.spines["bottom"].set_visible(False)
    stroke: Any = {"marker": [(-1, -0.6), (1, 0.6)], "markersize": 8, "linestyle": "none"}
    for axes, end in ((upper, 0), (lower, 1)):
        axes.plot([0], [end], transform=axes.transAxes, color=INK, clip_on=False, **stroke)


def set_ticks(axes: Axes, values: tuple[float, ...], low: float, high: float) -> None:
    """Make the x axis logarithmic from `low` to `high`, with these numbers of it written."""
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    axes.set_xticks(values, [f"{value:g}" for value in values])
    axes.minorticks_off()


def number_at(
    axes: Axes,
    text: str,
    place: tuple[float, float],
    offset: tuple[float, float],
    *,
    ha: Align = "center",
) -> None:
    """Write a number beside a mark, `offset` points from its place."""
    halo = [withStroke(linewidth=3, foreground="white")]
    beside: Any = {"textcoords": "offset points", "path_effects": halo}
    axes.annotate(text, place, offset, ha=ha, fontsize=9, **beside)


def measured_title(group: Group) -> str:
    """Title of a panel of our own numbers, such as `Measured: embedded set`."""
    return f"Measured: {LABELS[group.first.dataset]}"


def network_text(model: ModelConfig) -> str:
    """The network in words, for example `resnet_small with non-local blocks, 8 frames`."""
    blocks = " with non-local blocks" if model.non_local else ""
    return f"{model.backbone}{blocks}, {model.num_frames} frames"


def run_text(group: Group) -> str:
    """The one network of a group and how long it ran: `resnet_small, 20 epochs, 3 seeds`."""
    return f"{group.first.recipe.model.backbone}, {group.extent}"

"""The confusion matrix as a figure: which class is taken for which, while names still fit."""

from collections.abc import Sequence
from textwrap import fill

import numpy as np
import numpy.typing as npt
from matplotlib import rc_context
from matplotlib.figure import Figure

from stsm_cli.analysis.figures import FAINT, INK, canvas, fonts_for, label_axes
from stsm_cli.errors import UsageError

MAX_CLASSES = 50  # more cannot be read
LEAST_INCHES = 3.2  # of the matrix, and so of the title's lines above it


def check_drawable(num_classes: int) -> None:
    """Refuse a matrix that nobody could read.

    Raises:
        UsageError: It has too many classes.
    """
    if num_classes > MAX_CLASSES:
        raise UsageError(
            f"--confusion: at most {MAX_CLASSES} classes can be drawn, there are {num_classes}",
            hint="--per-class names for each class the one it is most often taken for",
        )


def confusion_figure(
    matrix: npt.NDArray[np.int64], classes: Sequence[str], *, title: str, subtitle: str
) -> Figure:
    """Counts of videos, a row for each true class and a column for each predicted one.

    The shade is the share of the row's videos; 0 is left empty.

    Args:
        matrix: (K, K) counts.
        classes: K names.
        title: In bold above the figure.
        subtitle: What was tested, below the title.

    Raises:
        UsageError: There are too many classes.
    """
    check_drawable(len(classes))
    inches, name_inches = max(LEAST_INCHES, 0.36 * len(classes)), 0.085 * max(map(len, classes))
    title = fill(title, int(inches / 0.105))  # of bold letters, which are wider
    subtitle = fill(subtitle, int(inches / 0.085))
    line_inches = 0.19 * len(f"{title}\n{subtitle}".splitlines())
    shares, places = matrix / np.maximum(1, matrix.sum(1, keepdims=True)), range(len(classes))
    fonts, _ = fonts_for("".join((title, subtitle, *classes)))
    width = inches + name_inches + 0.6
    with canvas(width, width + line_inches) as figure, rc_context({"font.family": fonts}):
        axes = figure.subplots()
        label_axes(axes, title, subtitle, xlabel="predicted", ylabel="true")
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1.25)  # dark, not black, at 1
        for row, column in np.argwhere(matrix):
            colour, text = "white" if shares[row, column] > 0.6 else INK, str(matrix[row, column])
            axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=8)
        axes.set_xticks(places, classes, rotation=60, ha="right", rotation_mode="anchor")
        axes.set_yticks(places, classes)
        axes.set_xticks(np.arange(len(classes) + 1) - 0.5, minor=True)
        axes.set_yticks(np.arange(len(classes) + 1) - 0.5, minor=True)
        axes.tick_params(which="both", length=0)
        axes.grid(which="minor", color="#e4e4e4", linewidth=0.6)
        axes.spines[:].set(visible=True, color=FAINT)
    return figure

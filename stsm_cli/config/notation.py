"""The paper's notation for a shift as text: `dims` such as `T+H+W`, `alpha` such as `3/8`.

Both are read here and nowhere else, so that recipes, the command line and the library agree.
"""

import re
from fractions import Fraction
from numbers import Real
from reprlib import repr as brief

AXES = "THW"
"""The axes that a shift knows, in the order of their indices: time, height, width."""

# ours: the paper does not say which half of a group moves which way, nor along which of the four
# diagonals two axes move together; T is TSM's, and HW takes the two on which both axes agree
BOTH_WAYS, FROM_THE_PAST = (+1, -1), (-1,)
"""Directions in which a group's channels look: +1 at the next position, -1 at the previous."""

Groups = tuple[tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]], ...]
"""Groups of axes, each with its directions, and with those of its axes that move against them."""

_LARGEST_DENOMINATOR = 10**6
_NUMBER = re.compile(r"[-+]?[0-9./]{1,40}([eE][-+]?[0-9]{1,3})?")  # trap: of 1e9999999, 4 MB


def parse_dims(dims: str) -> Groups:
    """The groups of axes that `dims` names, in its order, each with the directions of its shift.

    Args:
        dims: Groups joined by `+`. The axes of one group, indices into `AXES`, move together,
            diagonally; their order does not matter (`TH` is `HT`). The order of the groups does: it
            is the order of their channels. One half of a group's channels looks at the next
            position, the other at the previous; behind a `-` all look at the previous one, so that
            `T-` needs no frame of the future. A lower-case axis moves the other way: `HW` takes two
            of the four diagonals, `Hw` the other two, and `HW+Hw` moves along all four. The first
            axis of a group, in the order of `AXES`, is upper case, so that `hW` is not one, too.

    Raises:
        ValueError: It is no text, a group is empty, an axis unknown or repeated in its group, or a
            group repeated.

    Examples:
        >>> parse_dims("T-+HW")
        (((0,), (-1,), ()), ((1, 2), (1, -1), ()))
        >>> parse_dims("Hw")
        (((1, 2), (1, -1), (2,)),)
    """
    if not isinstance(dims, str):
        raise ValueError(f"dims {brief(dims)} is not a text such as T+H+W")
    groups: list[tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]] = []
    for name in dims.split("+"):
        axes, against = _parse_axes(dims, name)
        if (axes, against) in ((known, opposed) for known, _, opposed in groups):
            raise ValueError(f"dims {brief(dims)}: group {brief(name)} is repeated")
        groups.append((axes, FROM_THE_PAST if name.endswith("-") else BOTH_WAYS, against))
    return tuple(groups)


def _parse_axes(dims: str, name: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The axes of a group, and those of them that are lower case."""
    letters = name.removesuffix("-")
    if not letters:
        raise ValueError(f"dims {brief(dims)}: a group is empty; write axes of {AXES} such as T+HW")
    first = min(letters, key=lambda axis: AXES.find(axis.upper()))
    known = AXES + AXES.lower() if first in AXES else AXES
    if unknown := [axis for axis in letters if axis not in known]:
        raise ValueError(
            f"dims {brief(dims)}: unknown axis {unknown[0]!r}; the axes are T, H and W"
            + ", the first of a group in upper case" * (unknown[0].upper() in AXES)
        )
    axes = [AXES.index(axis) for axis in letters.upper()]
    if len(set(axes)) < len(axes):
        raise ValueError(f"dims {brief(dims)}: an axis is repeated in group {brief(name)}")
    against = [AXES.index(axis.upper()) for axis in letters if axis not in AXES]
    return tuple(sorted(axes)), tuple(sorted(against))


def parse_alpha(value: Fraction | str | int | float) -> Fraction:
    """The fraction of all channels that move, exact.

    Args:
        value: A fraction, a text such as `3/8` or `0.375`, or a number. A float stands for the
            fraction with the smallest denominator (up to a million) next to it, and for no less
            than a millionth if it is not 0.

    Raises:
        ValueError: It is no number, or outside [0, 1].

    Examples:
        >>> parse_alpha("3/8")
        Fraction(3, 8)
        >>> parse_alpha(0.1)
        Fraction(1, 10)
    """
    if isinstance(value, Real) and not isinstance(value, (Fraction, int)):
        value = float(value)  # such as numpy's
    if isinstance(value, bool) or not isinstance(value, (Fraction, str, int, float)):
        raise ValueError(f"alpha {brief(value)} is not a number or a fraction such as 3/8")
    try:
        if isinstance(value, str) and not _NUMBER.fullmatch(value.strip()):
            raise ValueError
        alpha = Fraction(value)
    except (ValueError, ZeroDivisionError, OverflowError):
        raise ValueError(
            f"alpha {brief(value)} is not a number or a fraction such as 3/8"
        ) from None
    if not 0 <= alpha <= 1:
        raise ValueError(f"alpha {value!s:.40} is outside [0, 1]")
    if isinstance(value, float) and alpha:
        return alpha.limit_denominator(_LARGEST_DENOMINATOR) or Fraction(1, _LARGEST_DENOMINATOR)
    return alpha

"""Handwritten digits as shapes: scikit-learn's copy of the test set of UCI's `optdigits`.

1,797 samples of 8×8 pixels by 13 writers, who are not named. Like samples lie side by side, so each
split takes a stretch of its own: the writers of one are probably not among those of another.
"""

from functools import cache, partial

import numpy as np

from stsm_cli.data.render import Floats, Shape

_STRETCHES = {"train": slice(0, 1000), "val": slice(1000, 1350), "test": slice(1350, 1797)}
_FINE = 32  # pixels of a side of the smoothed pictures
_SIDE = 1.7  # of the 8×8 pixels, in units of the radius
_AREA = 0.9  # in units of the radius squared, of the ink of every digit
_EDGE = 0.25  # width of a pixel's step from paper to ink, in units of the radius


@cache
def _pictures(split: str) -> tuple[Floats, Floats]:
    """Smooth pictures (N, F, F) from 0 (paper) to 1 (ink), and which digits they show."""
    from scipy.ndimage import zoom
    from sklearn.datasets import load_digits

    digits = load_digits()
    part = _STRETCHES[split]
    factor = _FINE / digits.images.shape[1]
    smooth = zoom(
        digits.images[part] / 16, (1, factor, factor), order=3, grid_mode=True, mode="nearest"
    )
    return np.clip(smooth, 0, 1).astype(np.float32), digits.target[part]


def handwritten(digit: int, split: str, rng: np.random.Generator) -> Shape:
    """The shape of a sample of `digit` from the writers of `split`; all have the same area."""
    pictures, targets = _pictures(split)
    picture = pictures[rng.choice(np.flatnonzero(targets == digit))]
    area = float((picture > 0.5).mean()) * _SIDE**2
    return partial(_distance, picture, _SIDE * float(np.sqrt(_AREA / area)))


def _distance(picture: Floats, side: float, u: Floats, v: Floats) -> Floats:
    from scipy.ndimage import map_coordinates

    places = [(axis / side + 0.5) * len(picture) - 0.5 for axis in (v, u)]
    ink = map_coordinates(picture, places, order=1, mode="constant", prefilter=False)
    return np.asarray((0.5 - ink) * _EDGE, np.float32)

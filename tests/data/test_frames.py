import numpy as np
import pytest

from stsm_cli.data.frames import resize, resize_short_side


@pytest.mark.parametrize(
    ("height", "width", "short_side", "expected"),
    [
        (240, 320, 256, (256, 341)),
        (60, 80, 32, (32, 43)),  # 42.67: rounds up
        (80, 60, 32, (43, 32)),
        (96, 112, 54, (54, 63)),
        (100, 50, 50, (100, 50)),
        (96, 101, 48, (48, 51)),  # 50.5: rounds up
    ],
)
def test_the_short_side_is_resized_in_proportion(height, width, short_side, expected):
    frames = np.zeros((2, height, width, 3), dtype=np.uint8)
    resized = resize_short_side(frames, short_side)
    assert resized.shape == (2, *expected, 3)
    assert resized.dtype == np.uint8
    assert resized.flags.c_contiguous


def test_a_fitting_size_is_left_alone():
    frames = np.zeros((2, 48, 64, 3), dtype=np.uint8)
    assert resize_short_side(frames, 48) is frames


def bilinear(frames, height, width):
    """Two-point interpolation along each axis, pixel centres aligned, written from the formula."""
    for axis, size in ((1, height), (2, width)):
        old = frames.shape[axis]
        place = np.clip((np.arange(size) + 0.5) * old / size - 0.5, 0, old - 1)
        low = np.minimum(place.astype(int), old - 2)
        share = (place - low).reshape([-1 if i == axis else 1 for i in range(4)])
        below, above = (np.take(frames, low + i, axis).astype(float) for i in (0, 1))
        frames = below * (1 - share) + above * share
    return frames


@pytest.mark.parametrize(("short_side", "width"), [(20, 25), (31, 39), (90, 114)])
def test_resize_is_bilinear_without_antialiasing(short_side, width):
    frames = np.random.default_rng(0).integers(256, size=(2, 41, 52, 3)).astype(np.uint8)
    resized = resize_short_side(frames, short_side)
    difference = np.abs(resized - bilinear(frames, short_side, width))
    assert difference.max() < 1.001  # the native uint8 kernel rounds its weights
    assert difference.mean() < 0.35  # rounding alone: 0.25


def test_resize_takes_a_part_of_a_picture_to_any_shape():
    frames = np.random.default_rng(0).integers(256, size=(2, 60, 80, 3)).astype(np.uint8)
    part = frames[:, 5:46, 10:62]
    assert (resize(part, 20, 31) == resize(part.copy(), 20, 31)).all()
    assert np.abs(resize(part, 20, 31) - bilinear(part, 20, 31)).max() < 1.001
    assert resize(part, 41, 52) is part


def test_rows_with_a_gap_behind_them_are_resized_alike():
    frames = np.random.default_rng(0).integers(0, 256, (1, 6, 10, 3), dtype=np.uint8)
    cut = frames[:, :, :8]
    assert np.array_equal(resize_short_side(cut, 4), resize_short_side(cut.copy(), 4))

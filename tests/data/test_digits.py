import numpy as np
import pytest

from stsm_cli.data.digits import handwritten
from stsm_cli.data.render import EXTENT

SIDE = np.linspace(-EXTENT, EXTENT, 101)
U, V = np.meshgrid(SIDE, SIDE)


def ink(digit, split, seed=0):
    return handwritten(digit, split, np.random.default_rng(seed))(U, V) < 0


@pytest.mark.parametrize("digit", range(10))
def test_all_digits_have_the_same_area_within_their_patch(digit):
    for seed in range(5):
        shown = ink(digit, "train", seed)
        assert shown.mean() * (2 * EXTENT) ** 2 == pytest.approx(0.9, abs=0.12)
        assert not shown[[0, -1]].any()


def test_a_zero_has_a_hole_and_a_one_stands_upright():
    for split in ("train", "val", "test"):
        for seed in range(5):
            zero, one = ink(0, split, seed), ink(1, split, seed)
            assert not zero[46:55, 46:55].all()
            height, width = np.ptp(np.argwhere(one), axis=0)
            assert height > width


def test_each_split_has_handwriting_of_its_own():
    drawn = {
        split: {ink(3, split, seed).tobytes() for seed in range(200)}
        for split in ("train", "val", "test")
    }
    assert all(len(samples) > 20 for samples in drawn.values())
    assert not drawn["train"] & drawn["val"]
    assert not drawn["train"] & drawn["test"]
    assert not drawn["val"] & drawn["test"]

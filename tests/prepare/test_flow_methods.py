import sys
from importlib import util

import numpy as np
import pytest

from stsm_cli.errors import UsageError
from stsm_cli.prepare.check import UnusableError
from stsm_cli.prepare.flow_methods import flow_of_pair, require

BORDER = 12


def texture(height=96, width=128):
    """A smooth random picture, continued over its borders."""
    noise = np.random.default_rng(0).normal(size=(height, width))
    waves = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)) * 8
    smooth = np.fft.ifft2(np.fft.fft2(noise) * np.exp(-(waves**2))).real
    return smooth / smooth.std()


def moved(picture, x, y):
    """The picture moved by any part of a pixel, x to the right and y downwards."""
    fy, fx = np.fft.fftfreq(picture.shape[0])[:, None], np.fft.fftfreq(picture.shape[1])
    shifted = np.fft.ifft2(np.fft.fft2(picture) * np.exp(-2j * np.pi * (fx * x + fy * y))).real
    return np.clip(128 + 40 * shifted, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("method", ["dis", "farneback"])
@pytest.mark.parametrize("motion", [(3.0, 0.0), (-1.5, 2.25)])
def test_a_moving_texture_has_its_flow(method, motion):
    first, second = moved(texture(), 0, 0), moved(texture(), *motion)
    found = flow_of_pair(method)(first, second)[BORDER:-BORDER, BORDER:-BORDER]
    assert np.abs(np.median(found, (0, 1)) - motion).max() < 0.1
    assert np.abs(found - motion).mean() < 0.1


@pytest.mark.parametrize("method", ["dis", "farneback"])
def test_the_flow_of_a_mirror_image_is_the_mirror_image_of_the_flow(method):
    first, second = moved(texture(), 0, 0), moved(texture(), 2.5, -1)
    flow = flow_of_pair(method)
    plain = flow(first, second)
    mirrored = flow(*(np.ascontiguousarray(picture[:, ::-1]) for picture in (first, second)))
    difference = mirrored[:, ::-1] * [-1, 1] - plain
    assert np.abs(difference[BORDER:-BORDER, BORDER:-BORDER]).mean() < 0.05


@pytest.mark.parametrize("method", ["dis", "farneback"])
def test_what_stands_still_is_at_rest(method):
    picture = np.full((32, 40), 90, np.uint8)
    assert np.abs(flow_of_pair(method)(picture, picture)).max() == 0


def test_too_small_a_picture_has_no_flow():
    picture = np.zeros((8, 8), np.uint8)
    with pytest.raises(UnusableError, match=r"OpenCV gives no flow of it \(.* >= 12\)"):
        flow_of_pair("dis")(picture, picture)


def test_without_opencv_the_cure_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(UsageError, match="opencv-python-headless is not installed") as caught:
        require("dis")
    assert caught.value.hint == "pip install 'stsm[flow]'"


@pytest.mark.skipif(util.find_spec("cv2.optflow") is not None, reason="it is OpenCV with contrib")
def test_a_method_of_the_contrib_wheel_is_told():
    with pytest.raises(UsageError, match="--method tvl1: this OpenCV is the one without") as caught:
        require("tvl1")
    assert "pip install opencv-contrib-python-headless" in caught.value.hint


def test_opencv_is_not_imported_before_it_is_needed():
    assert "cv2" not in vars(sys.modules["stsm_cli.prepare.flow_methods"])

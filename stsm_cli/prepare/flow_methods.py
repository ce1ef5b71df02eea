"""Methods that compute optical flow, all of them OpenCV's, which is installed on request.

Layout: pictures (H, W) uint8, grey; flow (H, W, 2) in pixels, x to the right, y downwards.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from stsm_cli.config.kinds import FlowMethod
from stsm_cli.data.flow import FlowPx
from stsm_cli.errors import UsageError
from stsm_cli.prepare.check import UnusableError

GreyPicture = npt.NDArray[np.uint8]
FlowOfPair = Callable[[GreyPicture, GreyPicture], FlowPx]


def require(method: FlowMethod) -> None:
    """Make sure that the method can be used here.

    Raises:
        UsageError: OpenCV is not installed, or is the one without this method.
    """
    try:
        opencv = _opencv()
    except ImportError:
        raise UsageError(
            "prepare flow: the package opencv-python-headless is not installed",
            hint="pip install 'stsm[flow]'",
        ) from None
    if method == "tvl1" and not hasattr(opencv, "optflow"):
        raise UsageError(
            "--method tvl1: this OpenCV is the one without it",
            hint="pip uninstall opencv-python-headless; pip install opencv-contrib-python-headless",
        )


def flow_of_pair(method: FlowMethod) -> FlowOfPair:
    """The flow from one picture to the next, in one thread; it raises `UnusableError`."""
    opencv = _opencv()
    opencv.setNumThreads(1)  # a process works on each video
    compute = _METHODS[method](opencv)

    def flow(first: GreyPicture, second: GreyPicture) -> FlowPx:
        try:
            return compute(first, second)
        except opencv.error as error:  # too few pixels, say
            raise UnusableError("corrupt", f"OpenCV gives no flow of it ({error.err})") from error

    return flow


def opencv_version() -> str:
    """The version of OpenCV."""
    return str(_opencv().__version__)


def _opencv() -> Any:  # noqa: ANN401  # a module
    import cv2

    return cv2


def _dis(opencv: Any) -> FlowOfPair:  # noqa: ANN401
    """Dense inverse search (Kroeger et al., ECCV 2016)."""
    method = opencv.DISOpticalFlow.create(opencv.DISOPTICAL_FLOW_PRESET_MEDIUM)
    return lambda first, second: method.calc(first, second, None)


def _farneback(opencv: Any) -> FlowOfPair:  # noqa: ANN401
    """Polynomial expansion (Farnebäck, SCIA 2003)."""
    # ours: the values of OpenCV's own example, samples/python/opt_flow.py; R(2+1)D gives none
    values = (0.5, 3, 15, 3, 5, 1.2, 0)
    return lambda first, second: opencv.calcOpticalFlowFarneback(first, second, None, *values)


def _tvl1(opencv: Any) -> FlowOfPair:  # noqa: ANN401
    """Duality-based TV-L1 (Zach et al., DAGM 2007), with OpenCV's defaults."""
    method = opencv.optflow.DualTVL1OpticalFlow.create()
    return lambda first, second: method.calc(first, second, None)


_METHODS: dict[FlowMethod, Callable[[Any], FlowOfPair]] = {
    "dis": _dis,
    "farneback": _farneback,
    "tvl1": _tvl1,
}

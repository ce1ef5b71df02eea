"""Networks of other projects that are called as one of ours, and are another.

Sources: facebookresearch/SlowFast, slowfast/models/video_model_builder.py; mmaction2 v1.2.0,
mmaction/models/backbones/resnet3d.py and resnet2plus1d.py.
"""

from collections.abc import Mapping

from torch import Tensor


def other_network(weights: Mapping[str, Tensor]) -> str | None:
    """Which network `weights`, under our names as far as they have any, are of; None: unknown."""
    if any(name.endswith(".conv_s.weight") for name in weights):
        return (
            "R(2+1)D of MMAction2, another network than its authors' of the paper's row "
            "(k400/r2plus1d_34_32f)"
        )
    first = weights.get("backbone.conv1.weight")
    if first is None or first.ndim != 5:
        return None
    if any(".conv2." in name and _is_depthwise(tensor) for name, tensor in weights.items()):
        return "CSN, a ResNet of depthwise convolutions in 3D, which no row of the paper has"
    if first.shape[2] == 5:
        return (
            "I3D on a ResNet, another network than I3D on Inception of the paper's row "
            "(k400/i3d_64f)"
        )
    if all(tensor.shape[2] == 1 for tensor in weights.values() if tensor.ndim == 5):
        return "C2D, a ResNet whose convolutions do not see time, which no row of the paper has"
    return None


def _is_depthwise(tensor: Tensor) -> bool:
    return tensor.ndim == 5 and tensor.shape[1] == 1

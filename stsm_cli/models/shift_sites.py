"""Where the shift stands in networks made of torchvision's residual blocks.

On the residual branch, before its first convolution: TSM's *blockres*, which the paper's Figure 3
draws. The identity branch stays as it is.
"""

from torch import nn
from torchvision.models import mobilenetv2, resnet
from torchvision.models.video import resnet as video_resnet

_BLOCKS = (
    resnet.BasicBlock,
    resnet.Bottleneck,
    video_resnet.BasicBlock,
    video_resnet.Bottleneck,
)
_DEEP_STAGE = 23


def shift_sites(model: nn.Module) -> list[str]:
    """The names of the convolutions before which a shift belongs, in the network's order.

    ResNets, in 2D and 3D: the first convolution of every block; of every second block where a
    stage has 23 blocks or more (R-101, R-152). MobileNetV2: the expansion of every inverted
    residual with a skip connection.

    Raises:
        ValueError: `model` has none of these blocks.

    Source: mit-han-lab/temporal-shift-module, ops/temporal_shift.py and
        archs/mobilenet_v2.py; mmaction2 v1.2.0, mmaction/models/backbones/resnet_tsm.py and
        mobilenet_v2_tsm.py.
    """
    sites = _residual_sites(model) + _inverted_residual_sites(model)
    if not sites:
        raise ValueError(
            f"{type(model).__name__} has no residual block that is known here; name the "
            "convolutions to shift, as in targets=['layer1.0.conv1']"
        )
    return sites


def _residual_sites(model: nn.Module) -> list[str]:
    stages: dict[str, list[str]] = {}
    for name, module in model.named_modules():
        if isinstance(module, _BLOCKS):
            stages.setdefault(name.rpartition(".")[0], []).append(name)
    is_deep = any(len(blocks) >= _DEEP_STAGE for blocks in stages.values())
    return [
        _first_conv(model, f"{block}.conv1".lstrip("."))
        for blocks in stages.values()
        for block in blocks[:: 2 if is_deep else 1]
    ]


def _first_conv(model: nn.Module, name: str) -> str:
    """The convolution that the module `name` is, or begins with (3D blocks)."""
    while isinstance(module := model.get_submodule(name), nn.Sequential):
        name = f"{name}.{next(iter(module._modules))}"
    return name


def _inverted_residual_sites(model: nn.Module) -> list[str]:
    return [
        f"{name}.conv.0.0".lstrip(".")
        for name, module in model.named_modules()
        if isinstance(module, mobilenetv2.InvertedResidual)
        and module.use_res_connect
        and len(module.conv) == 4  # with an expansion; without one, conv.0 is depthwise
    ]

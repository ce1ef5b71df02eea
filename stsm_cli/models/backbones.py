"""2D feature networks: frames (N·T, 3, H, W) in, pooled features (N·T, C) out.

Torchvision's own networks with the classifier taken off, so that every key of a state dict is
torchvision's (`conv1.weight`, `layer1.0.conv1.weight`, `features.0.0.weight`, ...), and small
ResNets and a small MobileNetV2 of ours for the embedded data sets. A Res2Net has its authors' keys.
Time is not known here.
"""

import hashlib
import sys
from http.client import HTTPException
from io import BytesIO
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models import MobileNetV2, get_model, get_model_weights
from torchvision.models.mobilenetv2 import InvertedResidual
from torchvision.models.resnet import BasicBlock, Bottleneck

from stsm_cli.config.schema import FrameBackbone, TorchvisionBackbone
from stsm_cli.errors import CheckpointError, RecipeError
from stsm_cli.models.bninception import BNInception
from stsm_cli.models.res2net import res2net50, small_res2net
from stsm_cli.progress import SILENT, Progress

# ours: channels of `resnet_small`, stage by stage; even the first shift, α = 1/8, moves 4 of them
SMALL_WIDTHS = (32, 48, 64, 96)
# ours: channels of `bottleneck_small`, stage by stage. Multiples of 48: of each α of the paper's
# Table 1 a third goes to T, to H and to W, half of it each way, without a remainder.
BOTTLENECK_WIDTHS = (48, 96, 192)
# ours: `mobilenet_v2_small` as torchvision's (expansion, channels, blocks, stride). Frames of 32
# pixels become maps of 16, 8, 4 and 2. Strided blocks do not expand: a CPU is
# slow at the backward pass of a strided depthwise convolution in bfloat16, channel by channel.
SMALL_INVERTED_RESIDUALS = [
    [1, 16, 1, 1],
    *([1, 32, 1, 2], [6, 32, 1, 1]),
    *([1, 48, 1, 2], [6, 48, 1, 1]),
    *([1, 64, 1, 2], [6, 64, 1, 1]),
]


def build_backbone(
    name: FrameBackbone,
    *,
    channels: int = 3,
    weights: Literal["imagenet"] | None = None,
    progress: Progress = SILENT,
) -> tuple[nn.Module, int]:
    """The feature network `name` and the number of its features C.

    Args:
        name: A torchvision ResNet, `mobilenet_v2`, `res2net50`, `bninception`, or a small network.
        channels: Of the frames, where they are not RGB.
        weights: `imagenet` loads torchvision's first ImageNet weights (`IMAGENET1K_V1`, those
            TSM starts from); None leaves torchvision's random initialisation.
        progress: Is told of a download.

    Raises:
        RecipeError: The network is not torchvision's, which has no ImageNet weights of it.
        CheckpointError: The weights can be neither found nor downloaded, or are damaged.
    """
    if weights is not None and name not in get_args(TorchvisionBackbone):
        raise RecipeError(
            f"model.weights: torchvision has no {weights} weights of {name}",
            hint="remove `weights`, or choose another backbone",
        )
    if name == "resnet_small":
        return SmallResNet(), SMALL_WIDTHS[-1]
    if name in ("bninception", "bninception_small"):
        inception = BNInception(channels, small=name == "bninception_small")
        return inception, inception.num_features
    if name in ("bottleneck_small", "bottleneck_dilated_small"):
        dilation = 2 if name == "bottleneck_dilated_small" else 1
        return SmallBottleneckResNet(dilation), BOTTLENECK_WIDTHS[-1]
    if name in ("res2net50", "res2net_small"):
        res2net = res2net50() if name == "res2net50" else small_res2net(SMALL_WIDTHS)
        return res2net, res2net.num_features
    if name == "inverted_small":
        return SmallInvertedResNet(), BOTTLENECK_WIDTHS[-1]
    network: Any = small_mobilenet_v2() if name == "mobilenet_v2_small" else get_model(name)
    if weights is not None:
        _load_imagenet(network, name, progress)
    if name.startswith("mobilenet_v2"):
        width = network.classifier[1].in_features
        network.classifier = nn.Identity()
    else:
        width = network.fc.in_features
        network.fc = nn.Identity()
    return network, width


def imagenet_weights(name: str, progress: Progress = SILENT) -> dict[str, Tensor]:
    """Torchvision's first ImageNet weights of its network `name`, under its names.

    They are read from `$TORCH_HOME/hub/checkpoints`, and downloaded to there at the first use.

    Raises:
        CheckpointError: They can be neither found nor downloaded, or are damaged.
    """
    url: str = get_model_weights(name)["IMAGENET1K_V1"].url
    file = Path(torch.hub.get_dir(), "checkpoints", Path(url).name)
    sha256 = file.stem.rpartition("-")[2]  # the name ends in its first digits
    if not file.exists():
        progress.message(f"downloading the ImageNet weights of {name} from {url}")
        _download(url, file, sha256, name)
    try:
        content = file.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{file}: cannot be read ({error.strerror})") from None
    if not hashlib.sha256(content).hexdigest().startswith(sha256):
        raise CheckpointError(
            f"{file}: not the ImageNet weights of {name}, or damaged: "
            f"its SHA-256 does not begin with {sha256}",
            hint="delete the file; the next run downloads it again",
        )
    weights: dict[str, Tensor] = torch.load(BytesIO(content), weights_only=True)
    return weights


def _load_imagenet(network: nn.Module, name: FrameBackbone, progress: Progress) -> None:
    network.load_state_dict(imagenet_weights(name, progress))


def _download(url: str, file: Path, sha256: str, name: str) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        # under another name until it is whole: processes of one run may do this at the same time
        torch.hub.download_url_to_file(url, str(file), sha256, progress=sys.stderr.isatty())
    except (OSError, HTTPException, RuntimeError) as error:  # RuntimeError: another hash
        raise CheckpointError(
            f"ImageNet weights of {name} cannot be downloaded from {url}: {error}",
            hint=f"fetch the file elsewhere and put it at {file} (or set TORCH_HOME to a folder "
            f"that holds it as hub/checkpoints/{file.name}), or start from random weights with "
            "`--set model.weights=null`",
        ) from error


def small_mobilenet_v2() -> MobileNetV2:
    """The embedded set's MobileNetV2: one shifted block at maps of 8, of 4 and of 2 pixels each."""
    return MobileNetV2(inverted_residual_setting=SMALL_INVERTED_RESIDUALS)


class SmallInvertedResNet(nn.Module):
    """The MobileNetV2 beside `bottleneck_small`: three of its blocks, each shifted, at maps of 12.

    ours: made for frames of 48 pixels, of which one feature sees 28×28. The stem cuts the picture
    into squares of 4×4 pixels: depthwise convolutions with a stride, and those of large maps, take
    a CPU too long. Expands three times, as the bottlenecks, and ends in as many channels.
    """

    def __init__(self) -> None:
        super().__init__()
        width, last = BOTTLENECK_WIDTHS[0], BOTTLENECK_WIDTHS[-1]
        self.features = nn.Sequential(
            *(nn.Conv2d(3, width, 4, stride=4, bias=False), nn.BatchNorm2d(width), nn.ReLU6()),
            *(InvertedResidual(width, width, stride=1, expand_ratio=3) for _ in range(3)),
            *(nn.Conv2d(width, last, 1, bias=False), nn.BatchNorm2d(last), nn.ReLU6()),
        )
        self.avgpool = MapMean()
        for module in self.modules():
            if isinstance(module, nn.Conv2d):  # as torchvision's MobileNetV2
                nn.init.kaiming_normal_(module.weight, mode="fan_out")

    def forward(self, frames: Tensor) -> Tensor:
        """Pooled features (N·T, C) of frames (N·T, 3, H, W)."""
        pooled: Tensor = self.avgpool(self.features(frames)).flatten(1)
        return pooled


class SmallResNet(nn.Module):
    """The embedded set's ResNet: four stages of one torchvision `BasicBlock` each.

    ours: made for frames of 32 to 64 pixels. The stem is a 3×3 convolution of stride 2 without
    max-pooling; the stages have strides 1, 2, 2, 2, so 32 pixels become maps of 16, 8, 4 and 2.
    """

    def __init__(self) -> None:
        super().__init__()
        stem = SMALL_WIDTHS[0]
        self.conv1 = nn.Conv2d(3, stem, 3, stride=2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(stem)
        self.relu = nn.ReLU(inplace=True)
        self.layer1 = _stage(stem, SMALL_WIDTHS[0], stride=1)
        self.layer2 = _stage(SMALL_WIDTHS[0], SMALL_WIDTHS[1], stride=2)
        self.layer3 = _stage(SMALL_WIDTHS[1], SMALL_WIDTHS[2], stride=2)
        self.layer4 = _stage(SMALL_WIDTHS[2], SMALL_WIDTHS[3], stride=2)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):  # as torchvision's ResNet
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, frames: Tensor) -> Tensor:
        """Pooled features (N·T, C) of frames (N·T, 3, H, W)."""
        x = self.relu(self.bn1(self.conv1(frames)))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        pooled: Tensor = self.avgpool(x).flatten(1)  # (N·T, C, 1, 1) -> (N·T, C)
        return pooled


class SmallBottleneck(Bottleneck):  # type: ignore[misc]  # torchvision has no types
    """Torchvision's bottleneck, three times as wide outside as inside.

    ours: not four times, so that widths of 48 and 96 have insides of 16 and 32 channels, for which
    CPUs have instructions.
    """

    expansion = 3


class SmallBottleneckResNet(nn.Module):
    """The embedded sets' ResNet in which a shift stands before a 1×1 convolution, as in the paper.

    ours: made for frames of 48 pixels, of which one feature of the last stage sees 27×27. Three
    stages of one bottleneck each, at maps of 16, 8 and 4; the stem cuts the picture into squares of
    3×3 pixels. With a dilation of 2 a feature sees 51×51, as it does with a shift along height
    and width and none.

    Args:
        dilation: Of the 3×3 convolutions.
    """

    def __init__(self, dilation: int) -> None:
        super().__init__()
        stem = BOTTLENECK_WIDTHS[0]
        self.conv1 = nn.Conv2d(3, stem, 3, stride=3, bias=False)
        self.bn1 = nn.BatchNorm2d(stem)
        self.relu = nn.ReLU(inplace=True)
        self.layer1, self.layer2, self.layer3 = (
            _bottleneck_stage(num_in, num_out, stride=stride, dilation=dilation)
            for num_in, num_out, stride in zip(
                (stem, *BOTTLENECK_WIDTHS), BOTTLENECK_WIDTHS, (1, 2, 2), strict=False
            )
        )
        self.avgpool = MapMean()
        for module in self.modules():
            if isinstance(module, nn.Conv2d):  # as torchvision's ResNet
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, frames: Tensor) -> Tensor:
        """Pooled features (N·T, C) of frames (N·T, 3, H, W)."""
        x = self.relu(self.bn1(self.conv1(frames)))
        x = self.layer3(self.layer2(self.layer1(x)))
        pooled: Tensor = self.avgpool(x).flatten(1)  # (N·T, C, 1, 1) -> (N·T, C)
        return pooled


class MapMean(nn.Module):
    """The mean over a map.

    trap: the gradient of torch's own is no memory but one value for all places; a CPU is slow where
    a batch norm's backward pass reads that beside channels-last features.
    """

    def forward(self, frames: Tensor) -> Tensor:
        """(N·T, C, 1, 1) of frames (N·T, C, H, W)."""
        return F.avg_pool2d(frames, list(map(int, frames.shape[2:])))


class StridedPointwise(nn.Conv2d):
    """A 1×1 convolution of every second pixel or so, which are picked before.

    The same numbers; a CPU is slow at the backward pass of a strided 1×1.
    """

    def forward(self, frames: Tensor) -> Tensor:
        """(N·T, C, ⌈H / stride⌉, ⌈W / stride⌉) of frames (N·T, num_in, H, W)."""
        picked = F.avg_pool2d(frames, 1, self.stride)
        return F.conv2d(picked, self.weight, self.bias)


def stages(network: nn.Module) -> list[nn.Module]:
    """The stages of a ResNet, `layer1` and so on."""
    children = network.named_children()
    return [part for name, part in children if name.removeprefix("layer").isdigit()]


def stage_width(stage: nn.Module) -> int:
    """Channels that a stage of a ResNet gives: as many as its widest norm has."""
    norms = (nn.BatchNorm2d, nn.BatchNorm3d)
    return max(part.num_features for part in stage.modules() if isinstance(part, norms))


def _bottleneck_stage(num_in: int, num_out: int, *, stride: int, dilation: int) -> nn.Sequential:
    downsample = None
    if stride != 1:
        projection = StridedPointwise(num_in, num_out, 1, stride, bias=False)
        downsample = nn.Sequential(projection, nn.BatchNorm2d(num_out))
    width = num_out // SmallBottleneck.expansion
    return nn.Sequential(SmallBottleneck(num_in, width, stride, downsample, dilation=dilation))


def _stage(num_in: int, num_out: int, *, stride: int) -> nn.Sequential:
    downsample = None
    if stride != 1 or num_in != num_out:
        downsample = nn.Sequential(
            nn.Conv2d(num_in, num_out, 1, stride=stride, bias=False), nn.BatchNorm2d(num_out)
        )
    return nn.Sequential(BasicBlock(num_in, num_out, stride, downsample))

"""From a `ModelConfig` to a network: the only reader of the configuration among the models."""

from pathlib import Path

import torch
from torch import nn

from stsm_cli.config.schema import FOR_SMALL_FRAMES, FrameBackbone, ModelConfig, ShiftConfig
from stsm_cli.errors import RecipeError
from stsm_cli.models.action import insert_action
from stsm_cli.models.atfr import ATFR
from stsm_cli.models.backbones import build_backbone, imagenet_weights
from stsm_cli.models.i3d import I3D, i3d_backbone, of_googlenet
from stsm_cli.models.inflation import inflate
from stsm_cli.models.network import Network
from stsm_cli.models.network_3d import Network3D
from stsm_cli.models.non_local import STAGES, insert_non_local
from stsm_cli.models.r2plus1d import R2Plus1D, r2plus1d_backbone
from stsm_cli.models.resnet_3d import ResNet3D
from stsm_cli.models.selfy import AUTHORS, SMALL, insert_selfy
from stsm_cli.models.shift import ShiftedConv, insert_shift
from stsm_cli.models.slow_only import slow_backbone
from stsm_cli.models.slowfast import SlowFastResNet, slowfast_backbone
from stsm_cli.models.small_big import smallbig_backbone
from stsm_cli.models.tdn import TDN
from stsm_cli.models.tea import insert_tea
from stsm_cli.models.tpn import TPN, PyramidResNet
from stsm_cli.models.trn import TRN
from stsm_cli.models.tsn import TSN
from stsm_cli.models.weights import load_init
from stsm_cli.progress import SILENT, Progress


def build_model(config: ModelConfig, *, progress: Progress = SILENT) -> Network:
    """The network of `config`; see `network.py` for what it takes and gives.

    ImageNet's weights load first, under torchvision's keys; non-local blocks, the mechanism of a
    system and the shift come after, and weights to start from (`init`) last.

    Args:
        progress: Is told of a download, and of what `init` leaves as it was initialised.

    Raises:
        ValueError: The number of classes is not known yet.
        RecipeError: `weights` names weights that the backbone does not have, α is above 0 and so
            small that no channel moves anywhere, or `shift.shortcut` finds nothing to shift.
        CheckpointError: Weights can be neither found nor downloaded, are damaged, or do not fit.
    """
    if config.num_classes is None:
        raise ValueError(
            "num_classes is None: it is known once the data set is opened; name it in the recipe, "
            "as model.num_classes"
        )
    network = _unshifted(config, config.num_classes, progress)
    if config.shift is not None:
        insert_shift(
            network,
            num_frames=config.num_frames,
            dims=config.shift.dims,
            alpha=config.shift.alpha,
            targets=shift_targets(network, config.shift),
        )
        _check_moves(network)
    if config.init is not None:
        new = load_init(network, Path(config.init))
        progress.message(f"starts from {config.init}" + "".join(f"; new: {part}" for part in new))
    return network


def check_init(config: ModelConfig, *, progress: Progress = SILENT) -> None:
    """Look whether the weights that `config` starts from fit its network; nothing is computed.

    Args:
        progress: Is told what it will start from, and what will be new, where the classes are
            known.

    Raises:
        RecipeError: As `build_model`.
        CheckpointError: They do not fit, or cannot be read.
    """
    if config.init is None:
        return
    num_classes = config.num_classes or 1  # a classifier of another size is new, anyway
    told = SILENT if config.num_classes is None else progress
    with torch.device("meta"):
        build_model(config.model_copy(update={"num_classes": num_classes}), progress=told)


def shift_targets(network: Network, shift: ShiftConfig) -> list[str]:
    """The convolutions of `network`, still without a shift, before which `shift` is to stand.

    Raises:
        RecipeError: It is to shift projected shortcuts, too, and there are none.
    """
    branches = network.shift_sites
    if not shift.shortcut:
        return branches
    names = {name for name, _ in network.named_modules()}
    shortcuts = [f"{site.rpartition('.')[0]}.downsample.0" for site in branches]
    projected = [name for name in shortcuts if name in names]
    if not projected:
        raise RecipeError("model.shift.shortcut (true): the backbone projects no shortcut")
    return branches + projected


def _unshifted(config: ModelConfig, num_classes: int, progress: Progress) -> Network:
    view, dropout = config.view, config.dropout
    body: ResNet3D | SlowFastResNet | R2Plus1D | I3D
    # MMAction2's networks and ATFR average all of a map, however large
    windows = config.statistics == "own" and config.system != "atfr"
    match config.backbone:
        case "slow_resnet50" | "slow_resnet_small" as slow:
            body = slow_backbone(slow, windows=windows)
            if config.system == "tpn":
                return _tpn(body, config, num_classes)
        case "slowfast_resnet50" | "slowfast_resnet_small" as slowfast:
            body = slowfast_backbone(slowfast, config.num_frames, config.slowfast, windows=windows)
            if config.system == "atfr":
                return ATFR(view, num_classes, body, dropout=dropout)
        case "r2plus1d_34" | "r2plus1d_small" as factored:
            body = r2plus1d_backbone(factored, len(view.mean))
        case "i3d" | "i3d_small" as inception:
            body = i3d_backbone(inception, len(view.mean), dropout)
            dropout = 0.0  # it drops by itself, before the mean over windows
            if config.weights is not None:
                inflate(body, of_googlenet(imagenet_weights("googlenet", progress)))
        case "smallbig_resnet50" | "smallbig_resnet_small" as small_big:
            body = smallbig_backbone(small_big, config.num_frames, config.smallbig)
            if config.weights is not None:
                flat, _ = build_backbone("resnet50", weights=config.weights, progress=progress)
                inflate(body, flat.state_dict())
        case name:
            return _over_frames(name, config, num_classes, progress)
    return Network3D(view, num_classes, body, num_features=body.num_features, dropout=dropout)


def _over_frames(
    name: FrameBackbone, config: ModelConfig, num_classes: int, progress: Progress
) -> Network:
    view, dropout = config.view, config.dropout
    backbone, num_features = build_backbone(
        name, channels=len(view.mean), weights=config.weights, progress=progress
    )
    if config.non_local:
        insert_non_local(backbone, STAGES[name], num_frames=config.num_frames)
    if config.system == "tpn":
        return _tpn(backbone, config, num_classes)
    network = TRN if config.system == "trn" else TSN
    backbone = _with_system(backbone, config)
    return network(view, num_classes, backbone, num_features=num_features, dropout=dropout)


def _tpn(body: nn.Module, config: ModelConfig, num_classes: int) -> Network:
    pyramid = PyramidResNet(body, num_frames=config.num_frames)
    return TPN(config.view, num_classes, pyramid, dropout=config.dropout)


def _with_system(backbone: nn.Module, config: ModelConfig) -> nn.Module:
    """The backbone with what another paper puts into it."""
    match config.system:
        case "action":
            insert_action(backbone, num_frames=config.num_frames)
        case "tea":
            insert_tea(backbone, num_frames=config.num_frames)
        case "tdn":
            return TDN(backbone, num_frames=config.num_frames)
        case "selfy":
            window = SMALL if config.backbone in FOR_SMALL_FRAMES else AUTHORS
            insert_selfy(backbone, num_frames=config.num_frames, window=window)
    return backbone


def _check_moves(network: Network) -> None:
    """Refuse a shift that moves nothing: it would be the network without one under another name."""
    shifted = [module for module in network.modules() if isinstance(module, ShiftedConv)]
    if shifted and not any(conv.slices[-1].stop for conv in shifted):
        widest = max(conv.net.in_channels for conv in shifted)
        raise RecipeError(
            f"model.shift.alpha ({shifted[0].alpha}): moves no channel, the widest of the layers "
            f"that it could move has {widest}",
            hint=f"1/{2 * widest} moves one; model.shift=null is without a shift",
        )

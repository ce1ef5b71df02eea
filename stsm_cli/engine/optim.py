"""Optimisers and learning-rate schedules, as functions of the recipe's `optim` section."""

import math
from typing import Any, Literal

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd
from typing_extensions import assert_never

from stsm_cli.config.batch import peak_lr
from stsm_cli.config.schema import OptimConfig, Recipe
from stsm_cli.models.build import build_model
from stsm_cli.models.frozen import frozen_parts
from stsm_cli.models.network import Network
from stsm_cli.models.trn import ScaleClassifier

ParameterGroups = list[dict[str, Any]]
_Scales = tuple[float, float] | None
"""Multipliers of lr and weight decay; None: no rule."""


def build_optimizer(model: nn.Module, config: OptimConfig) -> torch.optim.Optimizer:
    """SGD, or AdamW that spares norms and biases; each group keeps its `lr_scale`.

    SGD decays everything alike (paper 4.2: `plain`), but norms where `decay_norms` is false, or
    follows MMAction2's TSM (`tsm`) or TSN's authors (`tsn`). What is frozen by then is left out.

    Raises:
        ValueError: The policy knows no rule for one of the model's layers.
    """
    lr = peak_lr(config)
    build = {"sgd": _sgd, "adamw": _adamw}[config.optimizer]
    optimizer = build(model, config, lr)
    for group in optimizer.param_groups:
        group["params"] = [part for part in group["params"] if part.requires_grad]
        group.setdefault("lr_scale", 1.0)
    set_lr(optimizer, lr)
    return optimizer


def _sgd(model: nn.Module, config: OptimConfig, lr: float) -> torch.optim.Optimizer:
    decay = config.weight_decay
    match config.policy:
        case "plain" if config.decay_norms:
            groups = _one_group(model, decay)
        case "plain":
            groups = _spared_norms(model, decay)
        case policy:
            groups = _scaled_groups(model, decay, policy)
    return torch.optim.SGD(
        groups, lr, momentum=config.momentum, weight_decay=decay, nesterov=config.nesterov
    )


def _adamw(model: nn.Module, config: OptimConfig, lr: float) -> torch.optim.Optimizer:
    spared = {
        name: parameter.ndim <= 1 or name.rpartition(".")[2] == "bias"
        for name, parameter in model.named_parameters()
    }
    groups: ParameterGroups = [
        {"params": [p for name, p in model.named_parameters() if not spared[name]]},
        {
            "params": [p for name, p in model.named_parameters() if spared[name]],
            "weight_decay": 0.0,
        },
    ]
    betas = (config.momentum, 0.999)
    return torch.optim.AdamW(groups, lr, betas=betas, weight_decay=config.weight_decay)


def _one_group(model: nn.Module, decay: float) -> ParameterGroups:
    return [{"params": list(model.parameters()), "weight_decay": decay}]


def _spared_norms(model: nn.Module, decay: float) -> ParameterGroups:
    """All parameters but those of batch norms, and these without weight decay.

    Source: facebookresearch/SlowFast, slowfast/models/optimizer.py, BN.WEIGHT_DECAY.
    """
    norms = [
        parameter
        for module in model.modules()
        if isinstance(module, _BatchNorm)
        for parameter in module.parameters()
    ]
    spared = set(norms)
    others = [parameter for parameter in model.parameters() if parameter not in spared]
    return [{"params": others, "weight_decay": decay}, {"params": norms, "weight_decay": 0.0}]


def _scaled_groups(
    model: nn.Module, decay: float, policy: Literal["tsm", "tsn"]
) -> ParameterGroups:
    """Parameters by their multipliers of lr and weight decay."""
    scales_of = {"tsm": _tsm_scales, "tsn": _tsn_scales}[policy]
    faster = _first_of_flow(model) if policy == "tsn" else None
    chosen: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, module in model.named_modules():
        for kind, parameter in module.named_parameters(recurse=False):
            scales = scales_of(module, is_weight=kind == "weight")
            if scales is None:
                raise ValueError(
                    f"policy {policy} has no rule for {type(module).__name__} {name}.{kind}"
                )
            lr_scale, decay_scale = scales
            scales = (5 * lr_scale if module is faster else lr_scale, decay_scale)
            chosen.setdefault(scales, []).append(parameter)
    return [
        {"params": parameters, "lr_scale": lr_scale, "weight_decay": decay * decay_scale}
        for (lr_scale, decay_scale), parameters in chosen.items()
    ]


def _tsm_scales(module: nn.Module, *, is_weight: bool) -> _Scales:
    """Multipliers of one layer; every linear one counts as a classifier, in ATFR's samplers, too.

    Source: mmaction2 v1.2.0, mmaction/engine/optimizers/tsm_optim_wrapper_constructor.py, with
    `fc_lr5=True`.
    """
    if isinstance(module, _ConvNd):
        return (1.0, 1.0) if is_weight else (2.0, 0.0)
    if isinstance(module, _BatchNorm):
        return 1.0, 0.0
    if isinstance(module, nn.Linear):
        return (5.0, 1.0) if is_weight else (10.0, 0.0)
    return None


def _tsn_scales(module: nn.Module, *, is_weight: bool) -> _Scales:
    """Multipliers of one layer, the first convolution of flow aside.

    Source: zhoubolei/TRN-pytorch, models.py, get_optim_policies; as in yjxiong/tsn-pytorch.
    """
    if isinstance(module, _BatchNorm):
        return 1.0, 0.0
    if isinstance(module, (_ConvNd, nn.Linear, ScaleClassifier)):
        return (1.0, 1.0) if is_weight else (2.0, 0.0)
    return None


def _first_of_flow(model: nn.Module) -> nn.Module | None:
    """The first convolution of a network of flow, which TSN's authors train five times as fast."""
    if not (isinstance(model, Network) and model.view.flow_fields):
        return None
    return next(module for module in model.modules() if isinstance(module, _ConvNd))


def freeze_parts(model: Network, config: OptimConfig) -> list[nn.Module]:
    """Exclude from training the parts of the network that `frozen` names.

    Returned are their batch norms, whose statistics stay in evaluation mode, too.

    Raises:
        RecipeError: The network has no such part.
    """
    parts = frozen_parts(model, config.frozen)
    for part in parts:
        part.requires_grad_(requires_grad=False)
    return [norm for part in parts for norm in part.modules() if isinstance(norm, _BatchNorm)]


def check_frozen(recipe: Recipe) -> None:
    """Look whether the recipe's network has the parts that `frozen` names; nothing is computed.

    Raises:
        RecipeError: As `freeze_parts`.
    """
    if recipe.optim.frozen:
        empty = {"num_classes": recipe.model.num_classes or 1, "weights": None, "init": None}
        with torch.device("meta"):
            model = build_model(recipe.model.model_copy(update=empty))
        frozen_parts(model, recipe.optim.frozen)


def freeze_norms(model: nn.Module, config: OptimConfig) -> list[nn.Module]:
    """Exclude from training the weights of the batch norms that `frozen_norms` names.

    Returned are these norms: in evaluation mode, their statistics stay as they are, too. The first
    is that of the first convolution.

    Source: zhoubolei/TRN-pytorch, models.py, train.
    """
    norms = [module for module in model.modules() if isinstance(module, _BatchNorm)]
    frozen = {"none": [], "but_first": norms[1:], "all": norms}[config.frozen_norms]
    for norm in frozen:
        norm.requires_grad_(requires_grad=False)
    return [*frozen]


def set_lr(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Give each group `lr` times its own multiplier."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group["lr_scale"]


def lr_at(
    step: int, steps_per_epoch: int, config: OptimConfig, num_training: int | None = None
) -> float:
    """The learning rate of optimiser step `step` (from 0), training on `num_training` videos.

    Linear warm-up over `warmup_epochs`; then `step` divides by 10 at each milestone, and
    `one_cycle` falls to zero along half a cosine.
    """
    peak, epochs_done = peak_lr(config, num_training), step / steps_per_epoch
    if epochs_done < config.warmup_epochs:
        first = peak * config.warmup_from
        match config.warmup_by:
            case "epoch":  # as mmengine's LinearLR: the last of them has the peak
                rises = max(1, math.ceil(config.warmup_epochs) - 1)
                return first + (peak - first) * (step // steps_per_epoch) / rises
            case "step":
                steps = config.warmup_epochs * steps_per_epoch
                return first + (peak - first) * (step + 1) / (steps + 1)
        assert_never(config.warmup_by)
    match config.schedule:
        case "step":
            passed = sum(epochs_done >= milestone for milestone in config.milestones_epochs)
            return peak * 0.1**passed
        case "one_cycle":
            falling = (epochs_done - config.warmup_epochs) / (config.epochs - config.warmup_epochs)
            return peak * 0.5 * (1 + math.cos(math.pi * falling))
    assert_never(config.schedule)

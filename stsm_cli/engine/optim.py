"""Optimisers and learning-rate schedules, as functions of the recipe's `optim` section."""

import math
from typing import Any

import torch
from torch import nn

from stsm_cli.config.schema import OptimConfig


def build_optimizer(model: nn.Module, config: OptimConfig) -> torch.optim.Optimizer:
    """SGD that decays everything (paper 4.2), or AdamW that spares norms and biases."""
    lr = peak_lr(config)
    if config.optimizer == "sgd":
        return torch.optim.SGD(
            model.parameters(), lr, momentum=config.momentum, weight_decay=config.weight_decay
        )
    groups: list[dict[str, Any]] = [
        {"params": [p for p in model.parameters() if p.ndim > 1]},
        {"params": [p for p in model.parameters() if p.ndim <= 1], "weight_decay": 0.0},
    ]
    betas = (config.momentum, 0.999)
    return torch.optim.AdamW(groups, lr, betas=betas, weight_decay=config.weight_decay)


def peak_lr(config: OptimConfig) -> float:
    """The recipe's learning rate, scaled linearly from `lr_batch_size` to `batch_size`."""
    return config.lr * config.batch_size / config.lr_batch_size


def lr_at(step: int, steps_per_epoch: int, config: OptimConfig) -> float:
    """The learning rate of optimiser step `step` (from 0).

    Linear warm-up over `warmup_epochs`; then `step` divides by 10 at each milestone, and
    `one_cycle` falls to zero along half a cosine.
    """
    peak, epochs_done = peak_lr(config), step / steps_per_epoch
    if epochs_done < config.warmup_epochs:
        return peak * (step + 1) / (config.warmup_epochs * steps_per_epoch + 1)
    if config.schedule == "step":
        passed = sum(epochs_done >= milestone for milestone in config.milestones_epochs)
        return peak * 0.1**passed
    falling = (epochs_done - config.warmup_epochs) / (config.epochs - config.warmup_epochs)
    return peak * 0.5 * (1 + math.cos(math.pi * falling))

import itertools

import pytest
import torch
from torch import nn

from stsm_cli.config.schema import OptimConfig
from stsm_cli.engine.optim import build_optimizer, lr_at, peak_lr


def config(**changes):
    return OptimConfig(**{"lr": 0.01, "epochs": 10, **changes})


def test_the_papers_step_schedule_divides_by_ten_at_40_and_80():
    k400 = config(lr=7.5e-3, epochs=100, milestones_epochs=(40, 80))
    at = [lr_at(epoch * 5, 5, k400) for epoch in (0, 39, 40, 79, 80, 99)]
    assert at == pytest.approx([7.5e-3, 7.5e-3, 7.5e-4, 7.5e-4, 7.5e-5, 7.5e-5])


def test_a_milestone_counts_from_its_first_step():
    stepped = config(epochs=3, milestones_epochs=(2,))
    assert lr_at(19, 10, stepped) == pytest.approx(0.01)
    assert lr_at(20, 10, stepped) == pytest.approx(0.001)


def test_one_cycle_rises_linearly_and_falls_along_half_a_cosine():
    cycle = config(schedule="one_cycle", epochs=5, warmup_epochs=1)
    rates = [lr_at(step, 4, cycle) for step in range(20)]
    assert rates[:4] == pytest.approx([0.002, 0.004, 0.006, 0.008])
    assert rates[4] == pytest.approx(0.01)
    assert rates[12] == pytest.approx(0.005)
    assert rates[19] == pytest.approx(0.01 * 0.0096, rel=0.01)
    assert all(a > b for a, b in itertools.pairwise(rates[4:]))


def test_the_linear_rule_scales_with_the_batch():
    assert peak_lr(config(lr=7.5e-3, batch_size=24)) == pytest.approx(3.75e-3)
    assert peak_lr(config(lr=7.5e-3, batch_size=48)) == pytest.approx(7.5e-3)


def test_sgd_is_the_papers():
    optimizer = build_optimizer(nn.Linear(2, 2), config(lr=7.5e-3))
    (group,) = optimizer.param_groups
    assert isinstance(optimizer, torch.optim.SGD)
    assert (group["momentum"], group["weight_decay"], group["lr"]) == (0.9, 1e-4, 7.5e-3)
    assert len(group["params"]) == 2


def test_adamw_decays_matrices_only():
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Linear(4, 2))
    optimizer = build_optimizer(model, config(optimizer="adamw", weight_decay=0.02))
    matrices, vectors = optimizer.param_groups
    assert {p.ndim for p in matrices["params"]} == {2, 4}
    assert {p.ndim for p in vectors["params"]} == {1}
    assert (matrices["weight_decay"], vectors["weight_decay"]) == (0.02, 0.0)
    assert matrices["betas"] == (0.9, 0.999)

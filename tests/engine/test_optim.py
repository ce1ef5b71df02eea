import itertools

import pytest
import torch
from torch import nn

from stsm_cli.config.batch import peak_lr
from stsm_cli.config.schema import ModelConfig, OptimConfig
from stsm_cli.engine.optim import build_optimizer, freeze_norms, lr_at, set_lr
from stsm_cli.models.build import build_model
from stsm_cli.models.trn import ScaleClassifier


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


def test_a_batch_that_is_never_full_scales_by_what_it_holds():
    small = config(schedule="one_cycle", lr=4.8, epochs=2)
    assert [lr_at(step, 1, small, 12) for step in range(2)] == pytest.approx([1.2, 0.6])


def test_sgd_is_the_papers():
    optimizer = build_optimizer(nn.Linear(2, 2), config(lr=7.5e-3))
    (group,) = optimizer.param_groups
    assert isinstance(optimizer, torch.optim.SGD)
    assert (group["momentum"], group["weight_decay"], group["lr"]) == (0.9, 1e-4, 7.5e-3)
    assert len(group["params"]) == 2


def test_nesterov_s_momentum_looks_ahead_of_itself():
    moved = {}
    for nesterov in (False, True):
        weight = nn.Linear(1, 1, bias=False)
        nn.init.ones_(weight.weight)
        optimizer = build_optimizer(weight, config(lr=0.1, weight_decay=0.0, nesterov=nesterov))
        for _ in range(2):
            weight.weight.grad = torch.ones(1, 1)
            optimizer.step()
        moved[nesterov] = weight.weight.item()
    assert moved[False] == pytest.approx(1 - 0.1 * (1 + 1.9))
    assert moved[True] == pytest.approx(1 - 0.1 * (1.9 + 2.71))


def test_norms_can_be_spared_weight_decay():
    model = nn.Sequential(nn.Conv3d(3, 4, 1), nn.BatchNorm3d(4), nn.Linear(4, 2))
    spared = config(decay_norms=False)
    found = multipliers(build_optimizer(model, spared), model, spared)
    norms = {"1.weight": (1, 0), "1.bias": (1, 0)}
    assert (
        found
        == {"0.weight": (1, 1), "0.bias": (1, 1), "2.weight": (1, 1), "2.bias": (1, 1)} | norms
    )
    everything = config()
    assert set(multipliers(build_optimizer(model, everything), model, everything).values()) == {
        (1, 1)
    }


def test_adamw_decays_matrices_only():
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Linear(4, 2))
    optimizer = build_optimizer(model, config(optimizer="adamw", weight_decay=0.02))
    matrices, vectors = optimizer.param_groups
    assert {p.ndim for p in matrices["params"]} == {2, 4}
    assert {p.ndim for p in vectors["params"]} == {1}
    assert (matrices["weight_decay"], vectors["weight_decay"]) == (0.02, 0.0)
    assert matrices["betas"] == (0.9, 0.999)


def test_adamw_spares_biases_of_whatever_shape():
    model = ScaleClassifier(3, 4, 5)
    matrices, vectors = build_optimizer(model, config(optimizer="adamw")).param_groups
    assert [p is model.weight for p in matrices["params"]] == [True]
    assert [p is model.bias for p in vectors["params"]] == [True]


def multipliers(optimizer, model, config):
    """(lr, weight decay) of each parameter by name, as multiples of the recipe's; each once."""
    names = {parameter: name for name, parameter in model.named_parameters()}
    found = [
        (names[parameter], (group["lr"] / config.lr, group["weight_decay"] / config.weight_decay))
        for group in optimizer.param_groups
        for parameter in group["params"]
    ]
    assert len(found) == len(names)
    assert dict(found).keys() == set(names.values())
    return dict(found)


@pytest.mark.parametrize(
    ("backbone", "non_local"), [("resnet50", True), ("mobilenet_v2", False)], ids=str
)
def test_the_tsm_policy_is_mmaction2_s_parameter_by_parameter(backbone, non_local):
    tsm = config(policy="tsm")
    network = ModelConfig(backbone=backbone, num_classes=5, non_local=non_local, shift={})
    with torch.device("meta"):
        model = build_model(network)
    found = multipliers(build_optimizer(model, tsm), model, tsm)
    assert (found.pop("fc.weight"), found.pop("fc.bias")) == ((5, 1), (10, 0))
    norms = {
        f"{name}.{kind}"
        for name, module in model.named_modules()
        if isinstance(module, nn.BatchNorm2d)
        for kind in ("weight", "bias")
    }
    assert {found.pop(name) for name in norms} == {(1, 0)}
    biases = {name for name in found if name.endswith("bias")}
    assert len(biases) == (15 if non_local else 0)  # theta, phi and g of five blocks
    assert {found.pop(name) for name in biases} <= {(2, 0)}
    assert set(found.values()) == {(1, 1)}
    assert len(norms) == {"resnet50": 2 * 58, "mobilenet_v2": 2 * 52}[backbone]


@pytest.mark.parametrize(("stream", "faster"), [("rgb", 1), ("flow", 5)], ids=str)
def test_the_tsn_policy_is_trn_s_parameter_by_parameter(stream, faster):
    tsn = config(policy="tsn")
    network = ModelConfig(
        backbone="bninception", system="trn", num_classes=5, weights=None, stream=stream
    )
    with torch.device("meta"):
        model = build_model(network)
    found = multipliers(build_optimizer(model, tsn), model, tsn)
    first = [found.pop(f"backbone.stem.conv1.conv.{kind}") for kind in ("weight", "bias")]
    assert first == [(faster, 1), (2 * faster, 0)]
    norms = {name for name in found if ".bn." in name}
    assert len(norms) == 2 * 69
    assert {found.pop(name) for name in norms} == {(1, 0)}
    biases = {name for name in found if name.endswith("bias")}
    assert {"fc.bias", "relations.project.bias"} < biases
    assert {found.pop(name) for name in biases} == {(2, 0)}
    assert set(found.values()) == {(1, 1)}


@pytest.mark.parametrize(
    ("which", "learning"), [("none", ["0", "1"]), ("but_first", ["0"]), ("all", [])]
)
def test_frozen_norms_learn_no_weights(which, learning):
    model = nn.Sequential(nn.BatchNorm2d(2), nn.BatchNorm3d(2), nn.Linear(2, 2))
    frozen = freeze_norms(model, config(frozen_norms=which))
    assert frozen == [norm for name, norm in model[:2].named_children() if name not in learning]
    assert [name for name, p in model.named_parameters() if p.requires_grad and name[0] != "2"] == [
        f"{number}.{kind}" for number in learning for kind in ("weight", "bias")
    ]


def test_an_unknown_choice_of_norms_is_refused():
    with pytest.raises(KeyError, match="most"):
        freeze_norms(nn.BatchNorm2d(2), config().model_copy(update={"frozen_norms": "most"}))


def test_a_group_keeps_its_multiplier_under_the_schedule():
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Linear(4, 2))
    optimizer = build_optimizer(model, config(policy="tsm"))
    set_lr(optimizer, 1e-3)
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx(
        [1e-3, 2e-3, 1e-3, 5e-3, 1e-2]
    )


@pytest.mark.parametrize("policy", ["tsm", "tsn"])
def test_a_policy_refuses_a_layer_it_has_no_rule_for(policy):
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.LayerNorm(4))
    with pytest.raises(ValueError, match=rf"policy {policy} has no rule for LayerNorm 1\.weight"):
        build_optimizer(model, config(policy=policy))


def test_warm_up_by_epoch_is_mmaction2_s():
    zoo = config(
        lr=0.02,
        lr_batch_size=128,
        batch_size=128,
        epochs=50,
        milestones_epochs=(25, 45),
        warmup_epochs=5,
        warmup_from=0.1,
        warmup_by="epoch",
    )
    firsts = [lr_at(epoch * 7, 7, zoo) for epoch in (0, 1, 2, 3, 4, 5, 24, 25, 44, 45)]
    lasts = [lr_at(epoch * 7 + 6, 7, zoo) for epoch in (0, 1, 2, 3, 4, 5, 24, 25, 44, 45)]
    expected = [0.002, 0.0065, 0.011, 0.0155, 0.02, 0.02, 0.02, 0.002, 0.002, 0.0002]
    assert firsts == pytest.approx(expected, rel=1e-12)
    assert lasts == firsts


def test_a_warm_up_of_one_epoch_begins_and_ends_there():
    short = config(warmup_epochs=1, warmup_from=0.1, warmup_by="epoch")
    assert [lr_at(step, 2, short) for step in range(3)] == pytest.approx([0.001, 0.001, 0.01])


def test_warm_up_by_step_may_begin_above_zero():
    warm = config(warmup_epochs=1, warmup_from=0.5)
    rates = [lr_at(step, 4, warm) for step in range(5)]
    assert rates == pytest.approx([0.006, 0.007, 0.008, 0.009, 0.01])

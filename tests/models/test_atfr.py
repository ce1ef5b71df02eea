import pytest
import torch
from torch import nn

from stsm_cli.analysis.cost import model_cost
from stsm_cli.config.networks_3d import SlowFastConfig
from stsm_cli.config.schema import ModelConfig
from stsm_cli.models.atfr import SimilaritySampling, bin_weights, without_empty
from stsm_cli.models.build import build_model
from stsm_cli.models.resnet_3d import Basic3D, Bottleneck3D

RATIO_4 = SlowFastConfig(ratio=4, lateral_kernel=7)


def config(**changes):
    options = {"backbone": "slowfast_resnet_small", "num_classes": 5, "num_frames": 3}
    options |= {"system": "atfr", "slowfast": SlowFastConfig(ratio=4)}
    return ModelConfig(**options | {"dropout": 0.0} | changes)


def learnt(module):
    """`module` in float64, its norms and samplers as after some training."""
    torch.manual_seed(0)
    for part in module.double().modules():
        if isinstance(part, nn.BatchNorm1d | nn.BatchNorm3d):
            nn.init.uniform_(part.weight, 0.5, 1.5)
            nn.init.normal_(part.running_mean)
            nn.init.uniform_(part.running_var, 0.5, 1.5)
        elif isinstance(part, nn.Linear):
            nn.init.normal_(part.weight)
            nn.init.ones_(part.bias)
    return module


def small():
    torch.manual_seed(0)
    return learnt(build_model(config()))


def views(*how_far):
    """Views (N, T, 3, 32, 32) of a picture that changes by so much from frame to frame."""
    torch.manual_seed(1)
    picture, change = torch.randn(2, 3, 32, 32, dtype=torch.float64)
    return torch.stack([torch.stack([picture + far * change for far in fars]) for fars in how_far])


STILL, STEADY = 12 * [0], [t**0.5 for t in range(12)]


def slow_weights(vectors):
    """The definition for one view (L, T): frame t's part of bin b."""
    length, steps = vectors.shape
    distances = []
    for t in range(steps):
        square = 0.0
        for i in range(length):
            mean = sum(float(vectors[i, s]) for s in range(steps)) / steps
            square += (mean - float(vectors[i, t]) + 1e-6) ** 2
        distances.append(square**0.5)
    scaled = [2 * steps * distance / max(distances) for distance in distances]
    return [[max(0.0, 1 + 1e-7 - abs(d - (2 * b + 1))) for d in scaled] for b in range(steps)]


@pytest.mark.parametrize("steps", [1, 2, 4, 7])
def test_a_bin_s_weights_equal_a_loop_over_its_frames(steps):
    torch.manual_seed(steps)
    vectors = torch.randn(3, 8, steps, dtype=torch.float64)
    expected = torch.tensor([slow_weights(view) for view in vectors], dtype=torch.float64)
    torch.testing.assert_close(bin_weights(vectors), expected, rtol=0, atol=1e-9)


def test_weights_of_one_dimension_by_hand():
    weights = bin_weights(torch.tensor([[[0.0, 4.0, 6.0, 10.0]]], dtype=torch.float64))
    # from the mean 5: 5, 1, 1, 5; scaled to at most 8: 8, 1.6, 1.6, 8; bins around 1, 3, 5, 7
    expected = torch.tensor([[0, 0.4, 0.4, 0], [0, 0, 0, 0], [0, 0, 0, 0], [1e-7, 0, 0, 1e-7]])
    torch.testing.assert_close(weights[0], expected.double(), rtol=0, atol=1e-5)


@pytest.mark.parametrize("steps", [3, 4, 16, 31, 32, 64])
def test_the_farthest_frame_keeps_its_almost_empty_step(steps):
    torch.manual_seed(steps)
    weights = bin_weights(torch.randn(64, 8, steps))
    last = weights[:, -1].sum(1)
    assert (last > 0).all()
    assert (weights.amax(1).amin(1) < 1e-4).all()  # the farthest frame enters nothing else


def test_bins_that_hold_a_frame_move_to_the_front():
    weights = torch.zeros(2, 4, 3)
    weights[0, 1, 0], weights[0, 3, 1:] = 0.5, 0.25
    weights[1, 2] = 1.0
    kept = without_empty(weights)
    assert kept.shape == (2, 2, 3)
    assert torch.equal(kept[0], weights[0, [1, 3]])
    assert torch.equal(kept[1], torch.tensor([[1.0, 1, 1], [0, 0, 0]]))
    assert without_empty(torch.zeros(1, 4, 3)).shape == (1, 1, 3)


def test_a_time_step_is_the_weighted_sum_of_its_bin_s_frames():
    layer = learnt(SimilaritySampling(6)).eval()
    x = torch.randn(2, 6, 5, 2, 3, dtype=torch.float64)
    weights = layer.weights(x)
    layer.drop_bins = False
    expected = torch.zeros_like(x)
    for n in range(2):
        for b in range(5):
            for t in range(5):
                expected[n, :, b] += weights[n, b, t] * x[n, :, t]
    torch.testing.assert_close(layer(x), expected, rtol=1e-10, atol=1e-12)
    layer.drop_bins = True
    for n in range(2):
        held = [b for b in range(5) if weights[n, b].sum() > 0]
        dropped = layer(x[n : n + 1])[0]
        torch.testing.assert_close(dropped, expected[n][:, held], rtol=1e-10, atol=1e-12)


def test_steps_stand_in_the_order_of_distance_so_that_reversal_changes_nothing():
    layer = learnt(SimilaritySampling(6)).eval()
    x = torch.randn(1, 6, 5, 2, 3, dtype=torch.float64)
    torch.testing.assert_close(layer(x.flip(2)), layer(x), rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(layer(x.flip(4)), layer(x).flip(4), rtol=1e-10, atol=1e-12)


class Negated(nn.Module):
    def forward(self, x):
        return -x


@pytest.mark.parametrize("block", [Basic3D, Bottleneck3D])
def test_a_block_samples_before_its_last_relu(block):
    torch.manual_seed(0)
    layer = block(4, 4, 1, 1).eval()
    layer.last_norm.weight.data.fill_(0)  # the branch gives nothing
    x = torch.randn(1, 4, 2, 3, 3)
    layer.sampler = Negated()
    assert torch.equal(layer(x), (-layer.downsample(x)).relu())


def test_frames_are_compared_in_float32_under_autocast():
    layer = learnt(SimilaritySampling(6)).float().eval()
    x = torch.randn(1, 6, 16, 4, 4)
    with torch.autocast("cpu", torch.bfloat16):
        weights = layer.weights(x)
        assert layer(x.bfloat16()).dtype == torch.bfloat16
    assert weights.dtype == torch.float32
    assert torch.equal(weights, layer.weights(x))


def test_sampling_stands_before_the_last_relu_of_both_pathways_first_stage():
    network = small().eval()
    for pathway in (network.backbone.slow, network.backbone.fast):
        x = torch.randn(1, pathway.layer1[0].conv1.in_channels, 6, 4, 4, dtype=torch.float64)
        (block,) = pathway.layer1
        summed = block.bn2(block.conv2(block.bn1(block.conv1(x)).relu())) + block.downsample(x)
        expected = block.sampler(summed).relu()
        torch.testing.assert_close(pathway.layer1(x), expected, rtol=1e-10, atol=1e-12)
        assert all(type(stage[0].sampler) is nn.Identity for stage in pathway.stages[1:])


def test_the_pathway_of_fewer_steps_stands_between_zeros():
    network = small().eval()
    slow, fast = network.backbone.slow, network.backbone.fast
    entered = []
    slow.layer2.register_forward_pre_hook(lambda _, given: entered.append(given[0]))
    slow.layer1[0].sampler.register_forward_hook(lambda *_: torch.ones(1, 32, 4, 16, 16))
    fast.layer1[0].sampler.register_forward_hook(lambda *_: torch.ones(1, 4, 7, 16, 16).double())
    network(views(STEADY))
    given = entered[0][0, 32:].abs().sum((0, 2, 3))  # of 7 fast steps 2 lateral ones
    assert (given > 0).tolist() == [False, True, True, False]


def test_a_test_s_logits_do_not_depend_on_the_neighbours():
    network = small().eval()
    batch = views(STILL, STEADY)
    steps = []
    network.samplers[1].register_forward_hook(lambda *found: steps.append(found[2].shape[2]))
    alone = torch.cat([network(view) for view in batch.split(1)])
    assert steps[0] < steps[1] < 12
    torch.testing.assert_close(network(batch), alone, rtol=0, atol=0)
    network.drop_bins = False
    kept = torch.cat([network(view) for view in batch.split(1)])
    torch.testing.assert_close(network(batch), kept, rtol=1e-9, atol=1e-12)
    assert not torch.allclose(kept, alone, rtol=0.01)


def test_in_training_a_batch_has_the_steps_of_the_view_that_needs_most():
    network = small().train()
    steps = []
    network.samplers[1].register_forward_hook(lambda *found: steps.append(found[2]))
    network(views(STILL, STEADY))
    held = (steps[0].abs().sum((1, 3, 4)) > 0).sum(1)
    assert steps[0].shape[2] == held.max() > held.min()


def test_drop_bins_can_be_set_and_is_on_at_first():
    network = build_model(config())
    assert network.drop_bins
    network.drop_bins = False
    assert [sampler.drop_bins for sampler in network.samplers] == [False, False]
    assert not network.drop_bins


def test_everything_learns_but_what_a_norm_takes_back():
    network = small().train()
    network(torch.randn(2, 12, 3, 32, 32, dtype=torch.float64)).square().sum().backward()
    # a constant that is added to all frames' vectors changes no distance
    idle = [f"backbone.{pathway}.layer1.0.sampler" for pathway in ("slow", "fast")]
    names = {f"{sampler}.{part}" for sampler in idle for part in ("fc.2.bias", "bn.bias")}
    grads = {name: float(p.grad.abs().max()) for name, p in network.named_parameters()}
    assert {name for name, grad in grads.items() if grad < 1e-9} == names


def test_slowfast_s_keys_stay():
    with torch.device("meta"):
        network = build_model(config(backbone="slowfast_resnet50"))
        plain = build_model(config(backbone="slowfast_resnet50", system=None))
    new = network.state_dict().keys() - plain.state_dict().keys()
    assert plain.state_dict().keys() < network.state_dict().keys()
    prefixes = {name.partition(".sampler.")[0] for name in new}
    assert prefixes == {"backbone.slow.layer1.2", "backbone.fast.layer1.2"}
    assert len(new) == 2 * 9


@pytest.mark.parametrize(
    ("num_frames", "num_classes", "slowfast", "params", "giga"),
    [  # with their norms, 36.49 and 132.94 G
        (4, 400, SlowFastConfig(), 34_514_840, 36.250),
        (16, 174, RATIO_4, 34_080_182, 132.222),
    ],
)
def test_parameters_to_the_unit_and_the_most_multiply_adds(
    num_frames, num_classes, slowfast, params, giga
):
    network = config(
        backbone="slowfast_resnet50",
        num_frames=num_frames,
        num_classes=num_classes,
        slowfast=slowfast,
    )
    cost = model_cost(network, size_px=256)  # if shipped, fresh by test_cost.py
    assert cost.params == params
    assert cost.macs / 1e9 == pytest.approx(giga, rel=1e-3)
    assert not cost.uncounted

from itertools import product

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torchvision.models import get_model

from stsm_cli.config.networks_3d import SmallBigConfig
from stsm_cli.config.schema import ModelConfig, ShiftConfig
from stsm_cli.models import backbones
from stsm_cli.models.build import build_model
from stsm_cli.models.inflation import inflate
from stsm_cli.models.resnet_3d import Bottleneck3D
from stsm_cli.models.shift import shift
from stsm_cli.models.small_big import Extra, SmallBig, smallbig_backbone

STAGES = ("layer1", "layer2", "layer3", "layer4")
EXTRA = SmallBigConfig(extra=True)


def small(**changes):
    torch.manual_seed(0)
    options = {"backbone": "smallbig_resnet_small", "num_classes": 5, "num_frames": 4}
    return build_model(ModelConfig(**options | changes)).double()


def learnt(network):
    """`network` with norms as after some training: its big views are heard."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm3d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias)
    return network


def maxima(x, frames):
    """Of (N, C, T, H, W) over 3×3 pixels and the frames `frames(t)` of each t."""
    out = torch.empty_like(x)
    for t in range(x.shape[2]):
        for h in range(x.shape[3]):
            for w in range(x.shape[4]):
                rows, columns = slice(max(0, h - 1), h + 2), slice(max(0, w - 1), w + 2)
                out[:, :, t, h, w] = x[:, :, frames(t), rows, columns].amax((2, 3, 4))
    return out


@pytest.mark.parametrize(("stride", "num_in"), [(1, 16), (2, 12)])
def test_each_convolution_is_used_for_a_small_and_a_big_view(stride, num_in):
    torch.manual_seed(0)
    block = learnt(SmallBig(Bottleneck3D(num_in, 4, stride, 1), 5)).double().eval()
    x = torch.randn(2, num_in, 5, 4, 4, dtype=torch.float64)

    def near(t):
        return slice(max(0, t - 1), t + 2)

    def everywhere(_t):
        return slice(None)

    def view(n, features, **options):
        weight = getattr(block, f"conv{n}").weight
        return F.conv3d(features, weight, **options)

    pixels = {"stride": (1, stride, stride), "padding": (0, 1, 1)}
    one = block.bn1(view(1, x)) + block.big1(view(1, maxima(x, near)))
    one = one.relu()
    two = block.bn2(view(2, one, **pixels)) + block.big2(view(2, maxima(one, near), **pixels))
    two = two.relu()
    three = block.bn3(view(3, two)) + block.big3(view(3, maxima(two, everywhere)))
    expected = (three + block.downsample(x)).relu()
    torch.testing.assert_close(block(x), expected, rtol=1e-10, atol=1e-12)


def test_training_begins_with_the_small_views_alone():
    torch.manual_seed(0)
    plain = Bottleneck3D(16, 4, 1, 1).double().train()
    block = SmallBig(plain, 5).double().train()
    x = torch.randn(2, 16, 5, 4, 4, dtype=torch.float64)
    torch.testing.assert_close(block(x), plain(x), rtol=1e-12, atol=1e-12)


def test_all_stages_but_the_first_have_big_views():
    with torch.device("meta"):
        network = smallbig_backbone("smallbig_resnet50", 8, SmallBigConfig())
    blocks = {stage: {type(block) for block in getattr(network, stage)} for stage in STAGES}
    assert blocks == {"layer1": {Bottleneck3D}} | {stage: {SmallBig} for stage in STAGES[1:]}
    sizes = {conv.kernel_size[0] for conv in network.modules() if isinstance(conv, nn.Conv3d)}
    assert sizes == {1}
    assert network.layer4[2].throughout.kernel_size == (8, 3, 3)


def test_a_clip_and_its_reversal_are_one_and_another_order_is_not():
    network = learnt(small()).eval()
    videos = torch.randn(2, 4, 3, 32, 32, dtype=torch.float64)
    logits = network(videos)
    torch.testing.assert_close(network(videos.flip(1)), logits, rtol=1e-9, atol=1e-9)
    assert (network(videos[:, [0, 2, 1, 3]]) - logits).abs().max() > 1e-6


def test_an_extra_unit_gates_each_place_by_the_maxima_over_the_view():
    torch.manual_seed(0)
    unit = learnt(Extra(8)).double().eval()
    x = torch.randn(2, 8, 3, 4, 4, dtype=torch.float64)
    reduce, widen = unit.reduce.weight[:, :, 0, 0, 0], unit.widen.weight[:, :, 0, 0, 0]
    expected = x.clone()
    for n in range(2):
        gate = (reduce @ x[n].amax((1, 2, 3))).sigmoid()
        for t, h, w in product(range(3), range(4), range(4)):
            wide = widen @ ((reduce @ x[n, :, t, h, w]) * gate)
            expected[n, :, t, h, w] += unit.bn.weight * wide / (1 + unit.bn.eps) ** 0.5
            expected[n, :, t, h, w] += unit.bn.bias
    torch.testing.assert_close(unit(x), expected, rtol=1e-10, atol=1e-12)


def test_extra_units_stand_before_blocks_with_big_views_and_do_nothing_at_first():
    plain, network = small(dropout=0.0).train(), small(dropout=0.0, smallbig=EXTRA).train()
    extra = [name for name, part in network.named_modules() if isinstance(part, Extra)]
    assert extra == [f"backbone.layer{n}.extra0" for n in (2, 3, 4)]
    assert [list(network.backbone.get_submodule(s)._modules) for s in STAGES[1:]] == [
        ["extra0", "0"]
    ] * 3
    others = [key for key in network.state_dict() if ".extra" not in key]
    assert others == list(plain.state_dict())
    plain.load_state_dict({key: network.state_dict()[key] for key in others})
    videos = torch.randn(2, 4, 3, 32, 32, dtype=torch.float64)
    torch.testing.assert_close(network(videos), plain(videos), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(
    ("num_frames", "num_classes", "config", "params"),
    [
        (8, 400, SmallBigConfig(), 24_370_640),
        (16, 174, SmallBigConfig(), 23_907_566),
        (8, 400, EXTRA, 32_292_816),
    ],
)
def test_parameters_to_the_unit(num_frames, num_classes, config, params):
    options = {"num_frames": num_frames, "num_classes": num_classes, "smallbig": config}
    with torch.device("meta"):
        network = build_model(ModelConfig(backbone="smallbig_resnet50", **options))
    assert sum(p.numel() for p in network.parameters()) == params


@pytest.mark.parametrize("config", [SmallBigConfig(), EXTRA])
def test_everything_learns(config):
    network = learnt(small(smallbig=config)).train()
    network(torch.randn(2, 4, 3, 32, 32, dtype=torch.float64)).square().sum().backward()
    assert all(parameter.grad.abs().max() > 0 for parameter in network.parameters())


def test_the_shift_stands_before_both_views_of_a_block_s_first_convolution():
    config = ShiftConfig(dims="T+H+W", alpha="1/2")
    plain, shifted = learnt(small()).eval(), small(shift=config).eval()
    shifted.load_state_dict(plain.state_dict())
    sites = [name for name, _ in shifted.named_modules() if name.endswith(".net")]
    assert sites == [f"backbone.layer{n}.0.conv1.net" for n in (1, 2, 3, 4)]
    one, other = plain.backbone.layer2[0], shifted.backbone.layer2[0]
    x = torch.randn(1, 128, 4, 8, 8, dtype=torch.float64)
    moved = [shift(view, dims="T+H+W", alpha="1/2") for view in (x, one.around(x))]
    branch = (one.bn1(one.conv1(moved[0])) + one.big1(one.conv1(moved[1]))).relu()
    branch = (one.bn2(one.conv2(branch)) + one.big2(one.conv2(one.around(branch)))).relu()
    branch = one.bn3(one.conv3(branch)) + one.big3(one.conv3(one.throughout(branch)))
    expected = (branch + one.downsample(x)).relu()
    torch.testing.assert_close(other(x), expected, rtol=1e-10, atol=1e-10)


def test_imagenet_s_weights_get_a_time_axis(monkeypatch):
    torch.manual_seed(1)
    state = get_model("resnet50").state_dict()
    monkeypatch.setattr(
        backbones, "_load_imagenet", lambda network, *_: network.load_state_dict(state)
    )
    config = ModelConfig(backbone="smallbig_resnet50", num_classes=5, weights="imagenet")
    ours = build_model(config).backbone.state_dict()
    for name, weight in state.items():
        if not name.startswith("fc."):
            assert torch.equal(ours[name], weight[:, :, None] if weight.ndim == 4 else weight)
    assert not ours["layer2.0.big1.weight"].any()


def test_weights_without_a_place_are_refused():
    with torch.device("meta"):
        network = smallbig_backbone("smallbig_resnet_small", 4, SmallBigConfig())
        flat = get_model("resnet50")
        with pytest.raises(RuntimeError, match=r'Unexpected key.* "fc\.weight"'):
            inflate(network, flat.state_dict())


def test_a_view_and_its_reversal_have_the_same_scores():
    """So the rows of Tables 4 and 5 say that it is blind to order."""
    model = learnt(small()).eval()
    videos = torch.randn(1, 4, 3, 32, 32, dtype=torch.float64)
    with torch.no_grad():
        forward, back, other = map(model.logits, (videos, videos.flip(1), videos.flip(2)))
    torch.testing.assert_close(forward, back)
    assert not torch.allclose(forward, other)

from itertools import product

import pytest
import torch
from torch import nn
from torchvision.models import get_model

from stsm_cli.analysis.cost import model_cost
from stsm_cli.config.schema import BODIES, ModelConfig, ShiftConfig
from stsm_cli.config.view import View
from stsm_cli.errors import RecipeError
from stsm_cli.models import backbones
from stsm_cli.models.build import build_model
from stsm_cli.models.shift import ShiftedConv, SpatioTemporalShift
from stsm_cli.models.tpn import Pyramid
from stsm_cli.models.weights import load_init

TSM = ShiftConfig(dims="T", alpha="1/4")
TPN_S_TSM = ShiftConfig(dims="T", alpha="1/4", shortcut=True)


def config(backbone="resnet_small", **changes):
    options = {"backbone": backbone, "num_classes": 5, "num_frames": 4, "system": "tpn"}
    return ModelConfig(**options | changes)


# the definition on one view, features (C, T, H, W), one number after the other


def slow_conv(conv, x):
    """A convolution in as many groups, padded with zeros; its stride is one in space."""
    ins, outs = conv.in_channels // conv.groups, conv.out_channels // conv.groups
    (pt, py, px), step = conv.padding, conv.stride[1]
    times, height, width = x.shape[1], -(-x.shape[2] // step), -(-x.shape[3] // step)
    out = torch.zeros(conv.out_channels, times, height, width, dtype=x.dtype)
    for t, i, j in product(range(times), range(height), range(width)):
        for k, a, b in product(*map(range, conv.kernel_size)):
            at = t + k - pt, step * i + a - py, step * j + b - px
            if all(0 <= place < size for place, size in zip(at, x.shape[1:], strict=True)):
                pixel = x[:, at[0], at[1], at[2]]
                for group in range(conv.groups):
                    these = slice(group * outs, (group + 1) * outs)
                    seen = pixel[group * ins : (group + 1) * ins]
                    out[these, t, i, j] += conv.weight[these, :, k, a, b] @ seen
    return out


def slow_unit(unit, x):
    conv, bn, _ = unit
    x = slow_conv(conv, x)
    scale = bn.weight / (bn.running_var + bn.eps).sqrt()
    shape = (-1, 1, 1, 1)
    return ((x - bn.running_mean.view(shape)) * scale.view(shape) + bn.bias.view(shape)).relu()


def slow_fusion(fusion, *levels):
    apart = [slow_unit(unit, level) for unit, level in zip(fusion.levels, levels, strict=True)]
    return slow_unit(fusion.fuse, torch.cat(apart))


def slow_pyramid(module, fine, coarse):
    fine = slow_unit(module.spatial, fine)
    fine, coarse = (
        slow_conv(conv, level).amax(1, keepdim=True)
        for conv, level in zip(module.temporal, (fine, coarse), strict=True)
    )
    fine = fine + coarse
    down = slow_fusion(module.down, fine, coarse)
    up = slow_fusion(module.up, fine, coarse + slow_conv(module.rise, fine))
    return slow_unit(module.fuse, torch.cat((down, up))).mean((1, 2, 3))


def pyramid(slow, num_frames=3):
    module = slow.awake(Pyramid(6, 12, num_frames=num_frames))
    for part in module.modules():
        if isinstance(part, nn.BatchNorm3d):
            nn.init.normal_(part.running_mean)
            nn.init.uniform_(part.running_var, 0.5, 2.0)
    return module


@pytest.mark.parametrize("sizes", [(4, 2), (3, 2)])
def test_the_pyramid_equals_its_definition(slow, sizes):
    module = pyramid(slow)
    fine = torch.randn(2, 6, 3, sizes[0], sizes[0], dtype=torch.float64)
    coarse = torch.randn(2, 12, 3, sizes[1], sizes[1], dtype=torch.float64)
    expected = [slow_pyramid(module, *views) for views in zip(fine, coarse, strict=True)]
    found = module(fine, coarse)
    torch.testing.assert_close(found, torch.stack(expected), rtol=1e-10, atol=1e-12)


def test_levels_are_convolved_in_32_groups_or_as_many_as_fit():
    assert {conv.groups for conv in Pyramid(16, 64, num_frames=2).temporal} == {32}
    assert {conv.groups for conv in Pyramid(64, 96, num_frames=2).temporal} == {16}
    assert Pyramid(64, 96, num_frames=2).up.levels[0][0].groups == 16
    assert Pyramid(64, 96, num_frames=2).rise.groups == 1


def test_reversed_frames_give_the_same_where_kernels_along_time_are_reversed(slow):
    module = pyramid(slow)
    fine = torch.randn(1, 6, 3, 4, 4, dtype=torch.float64)
    coarse = torch.randn(1, 12, 3, 2, 2, dtype=torch.float64)
    expected = module(fine, coarse)
    assert (module(fine.flip(2), coarse.flip(2)) - expected).abs().max() > 1e-3
    for conv in module.temporal:
        conv.weight.copy_(conv.weight.flip(2))
    found = module(fine.flip(2), coarse.flip(2))
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("backbone", BODIES["tpn"])
def test_the_body_keeps_its_names(backbone):
    with torch.device("meta"):
        network = build_model(config(backbone))
        plain = build_model(config(backbone, system=None))
    new = [key for key in network.state_dict() if key not in plain.state_dict()]
    assert {key.split(".pyramid")[0].partition(".")[0] for key in new} == {"backbone", "auxiliary"}
    assert plain.state_dict().keys() <= network.state_dict().keys()
    assert all(key.startswith(("backbone.pyramid.", "auxiliary.")) for key in new)
    assert network.shift_sites == plain.shift_sites


def test_levels_are_the_last_two_stages_of_all_frames():
    network = build_model(config()).eval()
    body, seen = network.backbone, {}
    body.pyramid.register_forward_hook(
        lambda _module, inputs, out: seen.update(levels=inputs, features=out)
    )
    videos = torch.randn(2, 4, 3, 32, 32)
    with torch.no_grad():
        logits = network(videos)
        x = body.relu(body.bn1(body.conv1(videos.flatten(0, 1))))
        for stage in (body.layer1, body.layer2, body.layer3):
            x = stage(x)
    torch.testing.assert_close(seen["levels"][0], x.unflatten(0, (2, 4)).transpose(1, 2))
    assert seen["levels"][1].shape == (2, 96, 4, 2, 2)
    torch.testing.assert_close(logits, network.fc(seen["features"]))


def test_pixels_are_normalised_as_imagenet_s_over_3d_bodies_too():
    assert config("slow_resnet_small").view == config().view == View(4)


def test_training_gives_the_auxiliary_head_s_scores_too_and_a_test_does_not():
    torch.manual_seed(0)
    network = build_model(config(dropout=0.0))
    videos = torch.randn(2, 4, 3, 32, 32)
    scores, auxiliary = network.train()(videos)
    assert scores.shape == auxiliary.shape == (2, 5)
    assert (scores - auxiliary).abs().max() > 0
    assert network.eval()(videos).shape == (2, 5)


def test_the_auxiliary_head_sees_level_4(slow):
    network = slow.awake(build_model(config()))
    network.training = True  # alone: its norms keep their statistics
    head, videos = network.auxiliary, torch.randn(1, 4, 3, 32, 32, dtype=torch.float64)
    _, level4 = network.backbone(videos.transpose(1, 2))
    expected = head.fc(slow_unit(head.conv, level4[0]).mean((1, 2, 3)))
    torch.testing.assert_close(network(videos)[1][0], expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("backbone", ["resnet_small", "slow_resnet_small"])
@pytest.mark.parametrize("head", [0, 1])
def test_each_head_teaches_what_is_below_it(slow, backbone, head):
    torch.manual_seed(0)
    network = slow.learnt(build_model(config(backbone, dropout=0.0))).train()
    network(torch.randn(4, 4, 3, 32, 32))[head].square().sum().backward()
    idle = {name for name, p in network.named_parameters() if p.grad is None}
    others = {
        0: ("auxiliary.",),
        1: ("fc.", "backbone.pyramid.", "backbone.layer4."),
    }[head]
    assert idle == {name for name, _ in network.named_parameters() if name.startswith(others)}
    learns = [p.grad.abs().max() > 0 for p in network.parameters() if p.grad is not None]
    assert all(learns)


@pytest.mark.parametrize(
    ("backbone", "num_classes", "num_frames", "size_px", "params", "auxiliary", "macs"),
    [
        ("resnet50", 400, 8, 224, 83_371_872, 19_698_064, 41_233_448_960),
        ("resnet50", 174, 8, 224, 82_445_724, 19_234_990, 41_232_986_112),
        ("slow_resnet50", 400, 8, 224, 91_498_336, 19_698_064, 50_276_368_384),
        ("resnet_small", 16, 8, 32, 448_928, 76_048, 73_274_112),
        ("slow_resnet_small", 16, 8, 32, 614_816, 76_048, 83_890_944),
    ],
)
def test_parameters_and_multiply_adds_to_the_unit(
    backbone, num_classes, num_frames, size_px, params, auxiliary, macs
):
    network = config(backbone, num_classes=num_classes, num_frames=num_frames)
    cost = model_cost(network, size_px=size_px)  # if shipped, fresh by test_cost.py
    assert (cost.params, cost.training_params, cost.macs) == (params, auxiliary, macs)
    assert not cost.uncounted


def test_sixteen_frames_have_the_same_parameters():
    with torch.device("meta"):
        network = build_model(config("resnet50", num_frames=16, num_classes=400)).eval()
        assert network(torch.empty(1, 16, 3, 64, 64)).shape == (1, 400)
    assert sum(p.numel() for p in network.parameters()) == 83_371_872


def test_any_size_can_be_seen():
    network = build_model(config()).eval()
    assert network(torch.zeros(1, 4, 3, 40, 56)).shape == (1, 5)


# TSM in it


@pytest.mark.parametrize(("shift", "sites"), [(TSM, 16), (TPN_S_TSM, 20)])
def test_tpn_s_own_tsm_shifts_projected_shortcuts_too(shift, sites):
    with torch.device("meta"):
        network = build_model(config("resnet50", shift=shift))
    shifted = [name for name, part in network.named_modules() if isinstance(part, ShiftedConv)]
    assert len(shifted) == sites
    own = [f"backbone.layer{n}.0.downsample.0" for n in (1, 2, 3, 4)]
    assert [name for name in shifted if "downsample" in name] == (own if sites == 20 else [])


def test_branch_and_shortcut_see_the_same_shifted_features():
    torch.manual_seed(0)
    block = build_model(config(shift=TPN_S_TSM, num_frames=3)).backbone.layer2[0].eval()
    frames = torch.randn(6, 32, 8, 8)
    shifted = SpatioTemporalShift(3, "T", "1/4")(frames)
    with torch.no_grad():
        found = block(frames)
        branch = block.bn2(block.conv2(block.bn1(block.conv1.net(shifted)).relu()))
        conv, bn = block.downsample
        expected = (branch + bn(conv.net(shifted))).relu()
    torch.testing.assert_close(found, expected)


def test_a_shortcut_that_no_network_has_is_refused():
    wanted = config("mobilenet_v2", system=None, shift=TPN_S_TSM)
    message = r"^model\.shift\.shortcut \(true\): the backbone projects no shortcut$"
    with torch.device("meta"), pytest.raises(RecipeError, match=message):
        build_model(wanted)


# weights


def test_imagenet_weights_load_first(monkeypatch):
    state = get_model("resnet50").state_dict()
    monkeypatch.setattr(
        backbones, "_load_imagenet", lambda network, *_: network.load_state_dict(state)
    )
    ours = build_model(config("resnet50", weights="imagenet")).state_dict()
    assert torch.equal(ours["backbone.layer3.0.conv1.weight"], state["layer3.0.conv1.weight"])


def test_both_classifiers_are_new_where_classes_differ(tmp_path):
    theirs = build_model(config(num_classes=7))
    torch.save({"model": theirs.state_dict()}, tmp_path / "checkpoint.pt")
    ours = build_model(config())
    start = {name: tensor.clone() for name, tensor in ours.state_dict().items()}
    new = load_init(ours, tmp_path / "checkpoint.pt")
    assert new == ("the classifier (5 classes, the file has 7)",)
    kept = {name for name, tensor in ours.state_dict().items() if torch.equal(tensor, start[name])}
    heads = {f"{prefix}fc.{kind}" for prefix in ("", "auxiliary.") for kind in ("weight", "bias")}
    assert heads <= kept
    key = "auxiliary.conv.0.weight"
    assert torch.equal(ours.state_dict()[key], theirs.state_dict()[key])

from dataclasses import replace
from functools import cache

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from stsm_cli.analysis.cost import model_cost

# fvcore's own counter from there too: its import warns, and tests take warnings for errors
from stsm_cli.analysis.counting import FlopCountAnalysis, count_cost, mean_macs, measure_cost
from stsm_cli.config.schema import Backbone, ModelConfig, ShiftConfig
from stsm_cli.errors import DataError
from stsm_cli.models.build import build_model


def config(backbone: Backbone = "resnet_small", **changes) -> ModelConfig:
    return ModelConfig(**{"backbone": backbone, "num_classes": 5, "num_frames": 2} | changes)


@pytest.mark.parametrize("dims", [None, "T+H+W"])
@pytest.mark.parametrize(
    ("backbone", "non_local"),
    [("resnet50", False), ("resnet50", True), ("mobilenet_v2", False), ("resnet_small", False)],
)
def test_agrees_with_torchs_own_counter(backbone, non_local, dims):
    shift = None if dims is None else ShiftConfig(dims=dims, alpha="3/8")
    wanted = config(backbone, non_local=non_local, shift=shift)
    cost = count_cost(wanted, size_px=64)
    with torch.device("meta"):
        model = build_model(wanted).eval()
        with FlopCounterMode(display=False) as counter:
            model(torch.empty(1, 2, 3, 64, 64))
    assert counter.get_total_flops() == 2 * cost.macs
    assert cost.params == sum(parameter.numel() for parameter in model.parameters())
    assert cost.uncounted == {}


WIDE = {"slowfast": {"ratio": 4, "lateral_kernel": 7}, "num_classes": 174}


@pytest.mark.parametrize(
    ("backbone", "num_frames", "size_px", "changes", "giga"),
    [
        # facebookresearch/SlowFast: 27.3 and 36.1 in the paper, at 256² pixels
        ("slow_resnet50", 4, 256, {}, 27.259),
        ("slowfast_resnet50", 4, 256, {}, 36.099),
        ("slowfast_resnet50", 4, 224, {}, 27.639),
        ("slowfast_resnet50", 16, 256, WIDE, 131.417),
        # facebookresearch/VMZ and xhl-video/SmallBigNet: 152.76, 52.18 and 103.69 with their norms
        ("r2plus1d_34", 32, 112, {}, 152.356),
        ("smallbig_resnet50", 8, 224, {}, 51.965),
        ("smallbig_resnet50", 16, 224, {"num_classes": 174}, 103.262),
    ],
)
def test_multiply_adds_of_3d_networks(backbone, num_frames, size_px, changes, giga):
    wanted = config(backbone, **{"num_frames": num_frames, "num_classes": 400} | changes)
    cost = model_cost(wanted, size_px=size_px)  # shipped, and fresh by test_cost.py
    assert cost.macs / 1e9 == pytest.approx(giga, rel=1e-3)
    assert cost.uncounted == {}


def counted_by_fvcore(model: nn.Module, inputs: Tensor) -> dict[str, float]:
    """fvcore's own multiply-adds of every module, from real tensors: the reference."""
    analysis = FlopCountAnalysis(model, inputs).unsupported_ops_warnings(False)
    by_module = analysis.uncalled_modules_warnings(False).by_module_and_operator()
    multiply = ("conv", "linear", "matmul", "bmm", "einsum")
    return {name: sum(by_module[name][operator] for operator in multiply) for name in by_module}


def counted_here(model: nn.Module, inputs: Tensor) -> dict[str, int]:
    """The same from tensors that have a shape alone."""
    own = {layer.name: layer.macs for layer in measure_cost(model.to("meta"), inputs).layers}
    return {
        name: sum(macs for layer, macs in own.items() if f"{layer}.".startswith(f"{name}."))
        if name
        else sum(own.values())
        for name, _ in model.named_modules()
    }


@pytest.mark.parametrize("dims", [None, "TH+TW+HW"])
@pytest.mark.parametrize(
    ("backbone", "non_local"),
    [("resnet18", False), ("resnet_small", True), ("mobilenet_v2", False)],
)
def test_every_layer_is_fvcores(backbone, non_local, dims):
    shift = None if dims is None else ShiftConfig(dims=dims, alpha="3/8")
    model = build_model(config(backbone, non_local=non_local, shift=shift)).eval()
    videos = torch.zeros(1, 2, 3, 37, 50)
    wanted = counted_by_fvcore(model, videos)
    assert counted_here(model, videos.to("meta")) == wanted


class Product(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.einsum("ntc,nsc->nts", x, x) + x @ x.transpose(1, 2) + torch.bmm(x, x.mT)


@pytest.mark.parametrize(
    ("module", "shape"),
    [
        (nn.Conv1d(4, 6, 3, stride=2), (2, 4, 9)),
        (nn.Conv3d(4, 6, (3, 1, 3), padding=1, groups=2), (2, 4, 5, 6, 7)),
        (nn.ConvTranspose2d(4, 6, 3, stride=2, bias=False), (2, 4, 5, 6)),
        (nn.Sequential(nn.Flatten(2), nn.Linear(12, 5)), (2, 4, 3, 4)),
        (Product(), (2, 4, 3)),
    ],
)
def test_every_kind_of_product_is_fvcores(module, shape):
    wanted = counted_by_fvcore(module, torch.zeros(shape))
    assert wanted[""] > 0
    assert counted_here(module, torch.zeros(shape, device="meta")) == wanted


def test_counting_computes_nothing():
    """A picture of 12 TB, and convolutions of 10^17 multiply-adds."""
    with torch.device("meta"):
        model = nn.Sequential(nn.Conv2d(3, 4, 99), nn.ReLU(inplace=True), nn.Conv2d(4, 4, 99))
        cost = measure_cost(model.eval(), torch.empty(1, 3, 10**6, 10**6))
    side = 10**6 - 98
    assert cost.macs == side**2 * 99**2 * 12 + (side - 98) ** 2 * 99**2 * 16
    assert cost.skipped == {"relu_": 4 * side**2}


def test_resnet50_at_8_frames_of_224():
    cost = count_cost(config("resnet50", num_frames=8, num_classes=400), size_px=224)
    assert cost.macs == 32_703_643_648
    assert cost.params == 24_327_632


def test_counts_by_hand():
    model = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.Flatten(), nn.Linear(4 * 64, 5)).eval()
    cost = measure_cost(model, torch.zeros(2, 3, 8, 8))
    conv, linear = 2 * 64 * 4 * (3 * 9), 2 * 256 * 5
    assert [(layer.name, layer.macs) for layer in cost.layers] == [("0", conv), ("2", linear)]
    assert cost.macs == conv + linear
    assert [layer.params for layer in cost.layers] == [4 * 27 + 4, 256 * 5 + 5]


@cache
def plain_cost(backbone):
    return count_cost(config(backbone), size_px=32)


@pytest.mark.parametrize("backbone", ["resnet50", "mobilenet_v2", "resnet_small"])
@pytest.mark.parametrize(("dims", "alpha"), [("T", "1/4"), ("TH+TW+HW", "1")])
def test_a_shift_costs_nothing_and_hides_nothing(backbone, dims, alpha):
    plain = plain_cost(backbone)
    shifted = count_cost(config(backbone, shift=ShiftConfig(dims=dims, alpha=alpha)), size_px=32)
    assert (shifted.macs, shifted.params) == (plain.macs, plain.params)
    assert shifted.skipped == plain.skipped
    assert shifted.uncounted == plain.uncounted == {}
    assert sum(site.shifted for site in shifted.sites) > 0


@pytest.mark.parametrize(
    ("backbone", "changes"),
    [
        ("slow_resnet_small", {}),
        ("slowfast_resnet_small", {}),
        ("r2plus1d_small", {}),
        ("smallbig_resnet_small", {}),
        ("resnet_small", {"non_local": True}),
        ("resnet_small", {"system": "tpn"}),
        ("resnet_small", {"system": "selfy"}),
    ],
)
def test_a_shift_changes_no_count(backbone, changes):
    """Of any kind of network; the shifted layers are called otherwise."""
    shift = ShiftConfig(dims="T+H+W", alpha="3/8")
    plain = count_cost(config(backbone, **changes), size_px=32)
    shifted = count_cost(config(backbone, shift=shift, **changes), size_px=32)
    layers = tuple(replace(one, name=one.name.removesuffix(".net")) for one in shifted.layers)
    assert replace(shifted, sites=(), layers=layers) == plain
    assert [*shifted.skipped] == [*plain.skipped]


@pytest.mark.parametrize("non_local", [False, True])
def test_layers_add_up_to_the_total(non_local):
    shift = ShiftConfig(dims="T+H+W", alpha="3/8")
    cost = count_cost(config("resnet50", non_local=non_local, shift=shift), size_px=32)
    assert sum(layer.macs for layer in cost.layers) == cost.macs
    assert sum(layer.params for layer in cost.layers) == cost.params


def test_a_non_local_block_pays_for_its_two_matrix_products():
    cost = count_cost(config("resnet50", non_local=True), size_px=64)
    own = {layer.name: layer.macs for layer in cost.layers}
    queries, keys, width = 2 * 8 * 8, 2 * 4 * 4, 256  # T·H·W, after pooling, C/2
    assert own["backbone.layer2.non_local0"] == 2 * queries * keys * width


class Cumulative(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.cumsum(0)


class Attention(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(x, x, x)


class Square(torch.autograd.Function):
    @staticmethod
    def forward(_ctx, x):
        return x * x

    @staticmethod
    def backward(_ctx, gradient):
        return gradient


class Hidden(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return Square.apply(x)


@pytest.mark.parametrize(
    ("module", "operator"),
    [
        (Cumulative(), "aten::cumsum"),
        (Attention(), "aten::scaled_dot_product_attention"),
        (Hidden(), "prim::PythonOp.Square"),
    ],
)
def test_an_operator_that_nobody_counts_is_named(module, operator):
    cost = measure_cost(nn.Sequential(module, nn.Linear(4, 4)), torch.zeros(1, 2, 3, 4))
    assert cost.uncounted == {operator: 1}
    assert cost.macs == 2 * 3 * 4 * 4


def test_what_convention_skips_is_listed_with_its_elements():
    layers = [nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.ReLU6(inplace=True), nn.ReLU6(), nn.ReLU()]
    model = nn.Sequential(*layers).eval()
    cost = measure_cost(model, torch.zeros(1, 3, 5, 5))
    assert cost.skipped == {"batch_norm": 100, "hardtanh_": 100, "hardtanh": 100, "relu": 100}
    assert cost.uncounted == {}


def test_counting_leaves_the_random_state_alone():
    before = torch.get_rng_state()
    count_cost(config(num_classes=6), size_px=32)
    assert torch.equal(torch.get_rng_state(), before)


def test_counting_never_asks_for_weights(monkeypatch):
    monkeypatch.setattr("stsm_cli.models.backbones._load_imagenet", None)
    plain = count_cost(config("resnet18"), size_px=32)
    assert count_cost(config("resnet18", weights="imagenet"), size_px=32) == plain


def test_shifted_channels_of_each_site():
    shift = ShiftConfig(dims="T+H+W", alpha="3/8")
    sites = count_cost(config("mobilenet_v2", shift=shift), size_px=32).sites
    assert [site.site for site in sites] == [
        f"backbone.features.{i}.conv.0.0" for i in (3, 5, 6, 8, 9, 10, 12, 13, 15, 16)
    ]
    assert [site.channels for site in sites] == [24, 32, 32, 64, 64, 64, 96, 96, 160, 160]
    assert [site.shifted for site in sites] == [9, 12, 12, 24, 24, 24, 36, 36, 60, 60]
    assert sites[0].by_group == {"T": 3, "H": 3, "W": 3}


def test_no_shift_no_sites():
    assert count_cost(config(), size_px=32).sites == ()


def test_the_mean_over_views_needs_one_and_counts_each_by_itself():
    network = build_model(
        config("slowfast_resnet_small", num_frames=3, system="atfr", slowfast={"ratio": 3})
    ).eval()
    views = torch.randn(2, 9, 3, 16, 16).split(1)
    counts = [measure_cost(network, view).macs for view in views]
    assert mean_macs(network, views) == (sum(counts) / 2, 2)
    network.drop_bins = False
    assert max(counts) < measure_cost(network, views[0]).macs
    with pytest.raises(DataError, match=r"^no view to count: none of the videos decodes$"):
        mean_macs(network, [])


def test_what_only_training_uses_is_told_apart():
    class Auxiliary(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 1)
            self.head = nn.Sequential(nn.Conv2d(4, 5, 1, bias=False), nn.BatchNorm2d(5))

        def forward(self, frames: Tensor) -> Tensor:
            features = self.conv(frames)
            return (features, self.head(features)) if self.training else features

    cost = measure_cost(Auxiliary().eval().to("meta"), torch.empty(1, 3, 8, 8, device="meta"))
    assert (cost.params, cost.training_params) == (16 + 30, 30)
    assert cost.macs == 12 * 64

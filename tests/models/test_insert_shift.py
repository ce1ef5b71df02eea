"""The shift inside networks: where it stands, what it keeps, what training remembers."""

import copy
import io
import pickle
import re
import warnings

import numpy as np
import pytest
import torch
from torch import nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.nn.utils.parametrizations import spectral_norm
from torch.utils.checkpoint import checkpoint
from torchvision import models
from torchvision.models.resnet import BasicBlock, Bottleneck

from stsm_cli.models import shift as shift_module
from stsm_cli.models.shift import ShiftedConv, insert_shift, plain_state_dict, shift

STSM = {"num_frames": 4, "dims": "T+H+W", "alpha": "3/8"}


class Own(nn.Module):
    """A network of the user's own, out of torchvision's blocks."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3)
        self.body = nn.ModuleDict({"a": BasicBlock(16, 16), "b": Bottleneck(16, 4)})

    def forward(self, frames):
        return self.body["b"](self.body["a"](self.stem(frames))).mean((2, 3))


class Strange(nn.Module):
    """A network without a known block; one of its convolutions is three-dimensional."""

    def __init__(self):
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, 8, 1), nn.ReLU())
        self.second = nn.Conv3d(8, 4, 1)


def sites(model):
    return [name for name, module in model.named_modules() if isinstance(module, ShiftedConv)]


def on_meta(name):
    with torch.device("meta"):
        return models.get_model(name)


# Where it stands


@pytest.mark.parametrize(
    ("name", "blocks"),
    [
        ("resnet18", [2, 2, 2, 2]),
        ("resnet50", [3, 4, 6, 3]),
        ("resnext50_32x4d", [3, 4, 6, 3]),
        ("wide_resnet50_2", [3, 4, 6, 3]),
    ],
)
def test_resnets_shift_before_the_first_convolution_of_every_block(name, blocks):
    model = on_meta(name)
    assert insert_shift(model, **STSM) is model
    expected = [f"layer{i + 1}.{j}.conv1" for i, n in enumerate(blocks) for j in range(n)]
    assert sites(model) == expected


def test_the_paper_s_best_shift_unless_another_is_asked_for():
    block = insert_shift(Own(), num_frames=4).body["a"].conv1
    assert (str(block.dims), str(block.alpha)) == ("T+H+W", "3/8")


@pytest.mark.parametrize(("name", "num_sites"), [("resnet101", 18), ("resnet152", 26)])
def test_deep_resnets_shift_in_every_second_block(name, num_sites):
    found = sites(insert_shift(on_meta(name), **STSM))
    assert len(found) == num_sites
    assert found[:3] == ["layer1.0.conv1", "layer1.2.conv1", "layer2.0.conv1"]
    assert all(int(site.split(".")[1]) % 2 == 0 for site in found)


def test_mobilenet_shifts_where_an_expansion_has_a_skip_connection():
    found = sites(insert_shift(on_meta("mobilenet_v2"), **STSM))
    blocks = (3, 5, 6, 8, 9, 10, 12, 13, 15, 16)
    assert found == [f"features.{i}.conv.0.0" for i in blocks]


@pytest.mark.parametrize(
    ("name", "site"),
    [("r3d_18", "conv1.0"), ("mc3_18", "conv1.0"), ("r2plus1d_18", "conv1.0.0")],
)
def test_3d_resnets_shift_before_the_first_convolution_of_every_block(name, site):
    found = sites(insert_shift(on_meta(name), **STSM))
    assert found == [f"layer{i}.{j}.{site}" for i in range(1, 5) for j in range(2)]


@pytest.mark.parametrize("name", ["r3d_18", "r2plus1d_18"])
def test_3d_resnets_run_with_features_whose_time_shrinks(name):
    model = insert_shift(models.get_model(name, num_classes=3), **STSM).eval()
    assert model(torch.randn(1, 3, 4, 16, 16)).shape == (1, 3)


def test_own_networks_out_of_known_blocks_need_no_names():
    assert sites(insert_shift(Own(), **STSM)) == ["body.a.conv1", "body.b.conv1"]
    assert sites(insert_shift(BasicBlock(16, 16), **STSM)) == ["conv1"]


def test_targets_name_the_convolutions():
    model = insert_shift(Strange(), **STSM, targets=["first.0", "second"])
    assert sites(model) == ["first.0", "second"]
    assert sites(insert_shift(Own(), **STSM, targets=("stem",))) == ["stem"]


def test_alpha_0_puts_nothing_in():
    model = insert_shift(Own(), num_frames=4, dims="T+H+W", alpha=0)
    assert model.state_dict().keys() == Own().state_dict().keys()


def sharing():
    """Two blocks with one convolution."""
    blocks = nn.Sequential(BasicBlock(16, 16), BasicBlock(16, 16))
    blocks[1].conv1 = blocks[0].conv1
    return blocks


class Aliased(BasicBlock):
    """A block whose convolution has two names, of which `forward` uses one."""

    def __init__(self):
        super().__init__(16, 16)
        self.alias = self.conv1


def lazy():
    block = BasicBlock(16, 16)
    block.conv1 = nn.LazyConv2d(16, 3, padding=1)
    return block


def scripted(model):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # later versions of torch call it deprecated
        return torch.jit.script(model)


@pytest.mark.parametrize(
    ("model", "changes", "says"),
    [
        (Strange, {}, "Strange has no residual block that is known here; name the convolutions"),
        (Own, {"targets": ["stem", "stern"]}, "target 'stern' is no module"),
        (Own, {"targets": [""]}, "target '' is Own; a target is a Conv2d or Conv3d"),
        (Own, {"targets": ["body.a"]}, "target 'body.a' is BasicBlock; a target is a Conv2d"),
        (Own, {"alpha": "5/4"}, "alpha 5/4 is outside"),
        (Own, {"dims": "T+X", "alpha": 0}, "dims 'T+X': unknown axis 'X'"),
        (Own, {"num_frames": 0}, "num_frames (0) must be at least 1"),
        (Own, {"targets": "stem"}, "targets is the text 'stem'; a list of names is ['stem']"),
        (
            lambda: nn.Conv2d(3, 8, 1),
            {"targets": [""]},
            "target '' is Conv2d; a target is a Conv2d or Conv3d inside the network",
        ),
        (sharing, {}, "'0.conv1' is one convolution in several places: '0.conv1', '1.conv1'; a"),
        (sharing, {"targets": ["1.conv1"]}, "'1.conv1' is one convolution in several places"),
        (Aliased, {}, "'conv1' is one convolution in several places: 'conv1', 'alias'; a shift"),
        (lazy, {}, "target 'conv1' is LazyConv2d, its channels are not known yet; run the network"),
        (
            lambda: scripted(BasicBlock(16, 16)),
            {},
            "model comes from torch.jit (RecursiveScriptModule), its layers cannot be replaced",
        ),
        (
            lambda: nn.Sequential(scripted(BasicBlock(16, 16))),
            {},
            "Sequential has no residual block that is known here",
        ),
        (Own, {"targets": []}, "targets is empty: no convolution to shift"),
        (lambda: insert_shift(Own(), **STSM), {}, "has a shift already, at 'body.a.conv1'"),
    ],
)
def test_errors_name_the_place(model, changes, says):
    model = model()
    before = sites(model)
    with pytest.raises(ValueError, match=re.escape(says)):
        insert_shift(model, **STSM | changes)
    assert sites(model) == before


def test_a_block_that_is_used_twice_is_shifted_once():
    block = BasicBlock(16, 16)
    twice = insert_shift(nn.Sequential(block, block), **STSM)
    assert sites(twice) == ["0.conv1"]
    assert twice[1].conv1 is block.conv1
    plain = BasicBlock(16, 16)
    nn.Sequential(plain, plain).load_state_dict(plain_state_dict(twice))


def test_scripted_parts_are_left_alone():
    model = nn.Sequential(scripted(BasicBlock(16, 16)), BasicBlock(16, 16))
    assert sites(insert_shift(model, **STSM)) == ["1.conv1"]


def test_a_lazy_convolution_that_has_run_is_one_like_any_other():
    block = lazy()
    block(torch.zeros(4, 16, 3, 3))
    assert sites(insert_shift(block, **STSM)) == ["conv1"]


# What it says and keeps


def test_print_shows_the_channels_that_really_move():
    text = repr(insert_shift(models.resnet18(), num_frames=8, dims="T+H+W", alpha="3/8"))
    assert "T+H+W, α=3/8: 24 of 64 channels (T 4+4, H 4+4, W 4+4), 8 frames" in text
    odd = ShiftedConv(nn.Conv2d(24, 1, 1), num_frames=8, dims="T+H+W", alpha=0.375)
    assert odd.extra_repr() == "T+H+W, α=3/8: 9 of 24 channels (T 2+1, H 2+1, W 2+1), 8 frames"


def test_keys_are_those_of_the_reference_checkpoints():
    plain = set(Own().state_dict())
    shifted = set(insert_shift(Own(), **STSM).state_dict())
    assert shifted - plain == {"body.a.conv1.net.weight", "body.b.conv1.net.weight"}
    assert plain - shifted == {"body.a.conv1.weight", "body.b.conv1.weight"}


def test_weights_under_their_plain_keys_load_there_and_back():
    plain, shifted = Own(), insert_shift(Own(), **STSM)
    assert shifted.load_state_dict(plain.state_dict()) == ([], [])
    assert [*plain_state_dict(shifted)] == [*plain.state_dict()]  # in the same order
    for key, tensor in plain_state_dict(shifted).items():
        assert torch.equal(tensor, plain.state_dict()[key])
    other = Own()
    other.load_state_dict(plain_state_dict(insert_shift(copy.deepcopy(plain), **STSM)))
    assert torch.equal(other.body["a"].conv1.weight, plain.body["a"].conv1.weight)


def test_plain_keys_belong_to_shifted_convolutions_alone():
    model = nn.ModuleDict({"net": Own(), "conv": nn.Conv2d(3, 8, 1)})
    keys = model.state_dict().keys()
    insert_shift(model, **STSM)
    assert plain_state_dict(model).keys() == keys
    site = ShiftedConv(nn.Conv2d(3, 8, 1), **STSM)
    assert plain_state_dict(site).keys() == {"weight", "bias"}
    assert site.load_state_dict(nn.Conv2d(3, 8, 1).state_dict()) == ([], [])


def test_a_tensor_under_both_keys_is_one_too_many():
    model = insert_shift(Own(), **STSM)
    both = model.state_dict() | {"body.a.conv1.weight": torch.zeros(16, 16, 3, 3)}
    before = both["body.a.conv1.net.weight"].clone()
    with pytest.raises(RuntimeError, match=r'Unexpected key.*"body.a.conv1.weight"'):
        model.load_state_dict(both)
    assert torch.equal(model.body["a"].conv1.net.weight, before)
    assert "body.a.conv1.weight" in both  # the caller's own stays as it is


def test_copies_of_a_network_take_plain_keys_too():
    model = copy.deepcopy(insert_shift(Own(), **STSM))
    assert pickle.loads(pickle.dumps(model)).load_state_dict(Own().state_dict()) == ([], [])


def test_copies_compute_the_same():
    model = insert_shift(Own(), **STSM).eval()
    frames = torch.randn(8, 3, 8, 8)
    expected = model(frames)
    loaded = insert_shift(Own(), **STSM).eval()
    loaded.load_state_dict(model.state_dict())
    saved = io.BytesIO()
    torch.save(model, saved)
    saved.seek(0)
    copies = [
        copy.deepcopy(model),
        pickle.loads(pickle.dumps(model)),
        loaded,
        torch.load(saved, weights_only=False),
    ]
    assert all(torch.equal(other(frames), expected) for other in copies)


def test_the_shift_stands_on_the_residual_branch():
    block = BasicBlock(16, 16).eval()
    nn.init.zeros_(block.bn2.weight)
    x = torch.rand(4, 16, 5, 5)
    assert torch.equal(insert_shift(block, **STSM)(x), x)  # the identity branch is not shifted


def test_only_a_shift_in_time_sees_the_order_of_frames():
    frames = torch.randn(8, 3, 32, 32, dtype=torch.float64)
    order = torch.randperm(8)
    plain = models.resnet18(num_classes=5).double().eval()

    def difference(model):
        with torch.no_grad():
            return (model(frames).mean(0) - model(frames[order]).mean(0)).abs().max().item()

    def with_shift(dims):
        return insert_shift(copy.deepcopy(plain), num_frames=8, dims=dims, alpha="3/8")

    assert difference(plain) < 1e-12
    assert difference(with_shift("H+W")) < 1e-12
    assert difference(with_shift("T+H+W")) > 1e-3


# What training remembers


class Sequence(nn.Module):
    """The plain way: a shift, then the convolution, each keeping its own input."""

    def __init__(self, shifted):
        super().__init__()
        self.shifted = shifted

    def forward(self, x):
        site = self.shifted
        return site.net(shift(x, num_frames=site.num_frames, dims=site.dims, alpha=site.alpha))


def gradients(model, x, precision=torch.float32):
    model.zero_grad()
    x = x.detach().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == torch.bfloat16):
        y = model(torch.relu(x))
    y.float().pow(2).sum().backward()
    return [x.grad, *(parameter.grad.clone() for parameter in model.parameters())]


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_gradients_are_those_of_the_plain_way_to_the_bit(precision, layout, dtype):
    conv = nn.Conv2d(16, 8, 3, padding=1).to(dtype, memory_format=layout)
    site = ShiftedConv(conv, **STSM)
    x = torch.randn(8, 16, 6, 6).to(dtype, memory_format=layout)
    for ours, plain in zip(
        gradients(site, x, precision), gradients(Sequence(site), x, precision), strict=True
    ):
        assert torch.equal(ours, plain)


def test_gradients_of_3d_convolutions_are_those_of_the_plain_way():
    site = ShiftedConv(nn.Conv3d(8, 4, 3), num_frames=1, dims="TH+W", alpha=1)
    x = torch.randn(2, 8, 4, 5, 6)
    for ours, plain in zip(gradients(site, x), gradients(Sequence(site), x), strict=True):
        assert torch.equal(ours, plain)


def test_second_derivatives_are_right():
    conv = nn.Conv2d(4, 2, 1).double()
    site = ShiftedConv(conv, num_frames=2, dims="T+H", alpha=1)
    x = torch.randn(2, 4, 2, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(lambda x, _: site(x).pow(2), (x, conv.weight))


class Checkpointed(nn.Module):
    def __init__(self, model, use_reentrant):
        super().__init__()
        self.model, self.use_reentrant = model, use_reentrant

    def forward(self, x):
        return checkpoint(self.model, x, use_reentrant=self.use_reentrant)


@pytest.mark.parametrize("use_reentrant", [False, True])
def test_checkpointing_gives_the_same_gradients(use_reentrant):
    model = insert_shift(Own(), **STSM).eval()
    x = torch.randn(4, 3, 8, 8)
    again = gradients(Checkpointed(model, use_reentrant), x)
    for ours, plain in zip(again, gradients(model, x), strict=True):
        assert torch.equal(ours, plain)


@pytest.fixture
def made(monkeypatch):
    """Weak references to the memory of everything that a shift makes."""
    references, fill = [], shift_module._fill

    def remembering(*arguments):
        out = fill(*arguments)
        references.append(StorageWeakRef(out.untyped_storage()))
        return out

    monkeypatch.setattr(shift_module, "_fill", remembering)
    return references


def test_training_keeps_no_shifted_tensor(made):
    model = insert_shift(Own(), **STSM)
    out = model(torch.randn(4, 3, 8, 8))
    assert [reference.expired() for reference in made] == [True, True]
    out.sum().backward()
    assert len(made) == 2 + 4  # each once more for its weight, and once backwards


def test_checkpointing_keeps_nothing_of_the_inside(made):
    inputs = []
    site = ShiftedConv(nn.Conv2d(8, 4, 1), **STSM)
    site.register_forward_pre_hook(
        lambda _, args: inputs.append(StorageWeakRef(args[0].untyped_storage()))
    )
    model = Checkpointed(nn.Sequential(nn.ReLU(), site), use_reentrant=False)
    out = model(torch.randn(4, 8, 3, 3, requires_grad=True))
    assert [reference.expired() for reference in inputs + made] == [True, True]
    out.sum().backward()
    assert site.net.weight.grad is not None


def test_a_frozen_convolution_keeps_no_input():
    site = ShiftedConv(nn.Conv2d(8, 4, 1).requires_grad_(False), **STSM)
    x = 2 * torch.randn(4, 8, 3, 3, requires_grad=True)
    memory = StorageWeakRef(x.untyped_storage())
    out = site(x)
    del x
    assert out.requires_grad
    assert memory.expired()


def test_an_input_changed_in_place_is_noticed():
    site = ShiftedConv(nn.Conv2d(8, 4, 1), **STSM)
    x = torch.randn(4, 8, 3, 3, requires_grad=True) * 2
    out = site(x)
    x.zero_()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        out.sum().backward()


def test_a_weight_changed_in_place_is_noticed():
    site = ShiftedConv(nn.Conv2d(8, 4, 1), **STSM)
    out = site(torch.randn(4, 8, 3, 3, requires_grad=True))
    with torch.no_grad():
        site.net.weight.mul_(2)
    match = r"needs was changed in place: \(4, 8, 1, 1\) is at version \d+, not \d+"
    with pytest.raises(RuntimeError, match=match):
        out.sum().backward()


def test_a_weight_with_a_parametrization_is_computed_once():
    torch.manual_seed(0)
    x = torch.randn(4, 8, 3, 3, requires_grad=True)
    plain = spectral_norm(nn.Conv2d(8, 4, 1))
    site = ShiftedConv(copy.deepcopy(plain), **STSM)
    torch.testing.assert_close(site(x), plain(shift(x, **STSM)), rtol=0, atol=0)
    for name, value in plain.state_dict().items():
        assert torch.equal(site.net.state_dict()[name], value), name


@pytest.mark.parametrize(
    ("net", "what"),
    [
        (nn.LazyConv2d(6, 1), "LazyConv2d"),
        (nn.Conv1d(8, 6, 1), "Conv1d"),
        (nn.Linear(8, 6), "Linear"),
    ],
)
def test_a_layer_that_cannot_be_shifted_is_refused(net, what):
    says = f"net is {what}, not a Conv2d or Conv3d whose channels are known"
    with pytest.raises(ValueError, match=says):
        ShiftedConv(net, **STSM)


def test_what_is_no_tensor_is_refused():
    with pytest.raises(ValueError, match="x is ndarray, a shift takes a tensor"):
        ShiftedConv(nn.Conv2d(8, 6, 1), **STSM)(np.zeros((8, 8, 3, 3)))


def test_features_before_a_3d_convolution_have_a_batch_axis():
    site = ShiftedConv(nn.Conv3d(8, 4, 1), **STSM)
    with pytest.raises(ValueError, match=r"x has 4 dimensions; a shift before a Conv3d takes \(N"):
        site(torch.randn(8, 4, 3, 3))

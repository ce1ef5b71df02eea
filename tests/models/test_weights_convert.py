"""Checkpoints of other projects, from networks built here after their structure, by their names."""

import hashlib
from itertools import chain

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn
from torchvision.models import get_model
from torchvision.models.mobilenetv2 import InvertedResidual

from stsm_cli.config.schema import ModelConfig, ShiftConfig
from stsm_cli.errors import CheckpointError
from stsm_cli.models import weights_convert
from stsm_cli.models.build import build_model
from stsm_cli.models.weights import load_weights
from stsm_cli.models.weights_convert import convert, save_converted

FRAMES, CLASSES = 2, 7
TSM = ShiftConfig(dims="T", alpha="1/4")


# what both projects have


class TemporalShift(nn.Module):
    """TSM's shift by 1/8 forth and 1/8 back, frame by frame."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        fold, out = x.shape[1] // 8, x.clone()
        for i in range(len(x)):
            time = i % FRAMES
            out[i, :fold] = x[i + 1, :fold] if time + 1 < FRAMES else 0
            out[i, fold : 2 * fold] = x[i - 1, fold : 2 * fold] if time > 0 else 0
        return self.net(out)


def attend(x, theta, phi, g, project):
    """A non-local block in 3D, (N·T, C, H, W) in and out."""
    volume = x.unflatten(0, (-1, FRAMES)).transpose(1, 2)  # (N, C, T, H, W)
    queries, keys, values = (layer(volume).flatten(2) for layer in (theta, phi, g))
    attention = torch.softmax(queries.transpose(1, 2) @ keys, -1)
    seen = (values @ attention.transpose(1, 2)).unflatten(2, volume.shape[2:])
    return (volume + project(seen)).transpose(1, 2).flatten(0, 1)


def pooled(layer):
    return nn.Sequential(layer, nn.MaxPool3d((1, 2, 2)))


def insert_after(network, wrapper):
    for layer, after in (("layer2", (0, 2)), ("layer3", (0, 2, 4))):
        for i in after:
            blocks = getattr(network, layer)
            blocks[i] = wrapper(blocks[i], 512 if layer == "layer2" else 1024)


def shifted_blocks(network):
    layers = [getattr(network, f"layer{i}") for i in (1, 2, 3, 4)]
    step = 2 if max(map(len, layers)) >= 23 else 1
    return [block for layer in layers for block in list(layer)[::step]]


# mit-han-lab/temporal-shift-module


class MitWrapper(nn.Module):
    def __init__(self, block, channels):
        super().__init__()
        self.block = block
        self.nl = nn.Module()
        self.nl.g = pooled(nn.Conv3d(channels, channels // 2, 1))
        self.nl.theta = nn.Conv3d(channels, channels // 2, 1)
        self.nl.phi = pooled(nn.Conv3d(channels, channels // 2, 1))
        self.nl.W = nn.Sequential(nn.Conv3d(channels // 2, channels, 1), nn.BatchNorm3d(channels))

    def forward(self, x):
        return attend(self.block(x), self.nl.theta, self.nl.phi, self.nl.g, self.nl.W)


class Mit(nn.Module):
    def __init__(self, name, *, shift=True, non_local=False):
        super().__init__()
        self.base_model = get_model(name)
        make = self._mobilenet if name == "mobilenet_v2" else self._resnet
        self.new_fc = nn.Linear(make(shift), CLASSES)
        if non_local:
            insert_after(self.base_model, MitWrapper)

    def _resnet(self, shift):
        for block in shifted_blocks(self.base_model) if shift else ():
            block.conv1 = TemporalShift(block.conv1)
        width = self.base_model.fc.in_features
        self.base_model.fc = nn.Dropout(0.0)
        return width

    def _mobilenet(self, shift):
        for block in self.base_model.modules():
            if isinstance(block, InvertedResidual):
                parts = [list(p) if isinstance(p, nn.Sequential) else [p] for p in block.conv]
                block.conv = nn.Sequential(*chain.from_iterable(parts))
                if shift and len(block.conv) == 8 and block.use_res_connect:
                    block.conv[0] = TemporalShift(block.conv[0])
        self.base_model.classifier = nn.Dropout(0.0)
        return 1280

    def forward(self, videos):
        scores = self.new_fc(self.base_model(videos.flatten(0, 1)))
        return scores.unflatten(0, (-1, FRAMES)).mean(1)


# open-mmlab/mmaction2


class ConvModule(nn.Module):
    def __init__(self, conv, bn=None, activate=None):
        super().__init__()
        self.conv = conv
        if bn is not None:
            self.bn = bn
        self.activate = activate or nn.Identity()

    def forward(self, x):
        x = self.conv(x)
        return self.activate(self.bn(x) if hasattr(self, "bn") else x)


class MmaBlock(nn.Module):
    def __init__(self, block):
        super().__init__()
        last = 3 if hasattr(block, "conv3") else 2
        for i in range(1, last + 1):
            activate = nn.ReLU() if i < last else None
            parts = getattr(block, f"conv{i}"), getattr(block, f"bn{i}")
            setattr(self, f"conv{i}", ConvModule(*parts, activate))
        self.downsample = ConvModule(*block.downsample) if block.downsample else None

    def forward(self, x):
        out = self.conv2(self.conv1(x))
        out = self.conv3(out) if hasattr(self, "conv3") else out
        return torch.relu(out + (self.downsample(x) if self.downsample else x))


class MmaWrapper(nn.Module):
    def __init__(self, block, channels):
        super().__init__()
        self.block = block
        self.non_local_block = part = nn.Module()
        inner = channels // 2
        part.g = pooled(ConvModule(nn.Conv3d(channels, inner, 1)))
        part.theta = ConvModule(nn.Conv3d(channels, inner, 1))
        part.phi = pooled(ConvModule(nn.Conv3d(channels, inner, 1)))
        convolution = nn.Conv3d(inner, channels, 1, bias=False)
        part.conv_out = ConvModule(convolution, nn.BatchNorm3d(channels))

    def forward(self, x):
        part = self.non_local_block
        return attend(self.block(x), part.theta, part.phi, part.g, part.conv_out)


class MmaResidual(nn.Module):
    def __init__(self, block, shift):
        super().__init__()
        *modules, conv, bn = block.conv
        modules = [ConvModule(*module) for module in modules]
        self.conv = nn.Sequential(*modules, ConvModule(conv, bn))
        self.is_residual = block.use_res_connect
        if shift and len(self.conv) == 3 and self.is_residual:
            self.conv[0] = TemporalShift(self.conv[0])

    def forward(self, x):
        return x + self.conv(x) if self.is_residual else self.conv(x)


class Mma(nn.Module):
    def __init__(self, name, *, shift=True, non_local=False):
        super().__init__()
        theirs = get_model(name)
        self.backbone = nn.Sequential()
        make = self._mobilenet if name == "mobilenet_v2" else self._resnet
        self.cls_head = nn.Module()
        self.cls_head.fc_cls = nn.Linear(make(theirs, shift), CLASSES)
        if non_local:
            insert_after(self.backbone, MmaWrapper)

    def _resnet(self, theirs, shift):
        self.backbone.add_module("conv1", ConvModule(theirs.conv1, theirs.bn1, theirs.relu))
        self.backbone.add_module("maxpool", theirs.maxpool)
        for i in (1, 2, 3, 4):
            blocks = [MmaBlock(block) for block in getattr(theirs, f"layer{i}")]
            self.backbone.add_module(f"layer{i}", nn.Sequential(*blocks))
        for block in shifted_blocks(self.backbone) if shift else ():
            block.conv1.conv = TemporalShift(block.conv1.conv)
        return theirs.fc.in_features

    def _mobilenet(self, theirs, shift):
        first, *blocks, last = theirs.features
        self.backbone.add_module("conv1", ConvModule(*first))
        for i, count in enumerate((1, 2, 3, 4, 3, 3, 1), start=1):
            layer = [MmaResidual(blocks.pop(0), shift) for _ in range(count)]
            self.backbone.add_module(f"layer{i}", nn.Sequential(*layer))
        self.backbone.add_module("conv2", ConvModule(*last))
        return 1280

    def forward(self, videos):
        features = self.backbone(videos.flatten(0, 1)).mean((2, 3))
        return self.cls_head.fc_cls(features).unflatten(0, (-1, FRAMES)).mean(1)


NETWORKS = {"mit": Mit, "mmaction2": Mma}


def settled(network, videos):
    """Random everywhere, with signals and logits of scale 1, in eval mode."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d | nn.BatchNorm3d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.1)
            module.momentum = 1.0
        if isinstance(module, nn.BatchNorm3d):  # what it sees hardly varies: keep its scale
            nn.init.normal_(module.running_mean)
            module.momentum = 0.0
        if isinstance(module, nn.Conv3d) and module.bias is not None:
            nn.init.normal_(module.bias)
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.05)
    with torch.no_grad():
        network.train()(videos)
    return network.eval().requires_grad_(False)


@pytest.mark.parametrize(
    ("source", "name", "shift", "non_local"),
    [
        ("mit", "resnet18", False, False),
        ("mit", "resnet50", True, True),
        ("mit", "mobilenet_v2", True, False),
        ("mmaction2", "resnet18", True, False),
        ("mmaction2", "resnet50", True, True),
        ("mmaction2", "mobilenet_v2", True, False),
        ("mmaction2", "mobilenet_v2", False, False),
    ],
)
def test_converted_weights_give_the_source_s_logits(source, name, shift, non_local, tmp_path):
    videos = torch.randn(3, FRAMES, 3, 32, 32)
    theirs = settled(NETWORKS[source](name, shift=shift, non_local=non_local), videos)
    state = theirs.state_dict()
    if source == "mit":
        state = {f"module.{key}": value for key, value in state.items()}
    torch.save(
        {"state_dict": state, "epoch": 3, "meta": {"CLASSES": None}}, tmp_path / "theirs.pth"
    )
    converted = convert(tmp_path / "theirs.pth", source)
    assert (converted.backbone, converted.shifted) == (name, shift)
    assert (converted.non_local, converted.num_classes) == (non_local, CLASSES)
    save_converted(tmp_path / "ours.safetensors", converted, original=tmp_path / "theirs.pth")
    model = build_model(
        ModelConfig(
            backbone=name,
            num_classes=CLASSES,
            num_frames=FRAMES,
            shift=TSM if shift else None,
            non_local=non_local,
        )
    ).eval()
    load_weights(model, tmp_path / "ours.safetensors")
    with torch.no_grad():  # in float64: random deep networks multiply rounding
        expected, logits = theirs.double()(videos.double()), model.double()(videos.double())
    assert expected.std() > 0.1
    torch.testing.assert_close(logits, expected, rtol=0, atol=1e-4)


# every tensor accounted for, on the meta device


@pytest.fixture
def read(monkeypatch, tmp_path):
    """`convert` of a state dict, as if it had been read from a file."""

    def from_state(state, source, **around):
        content = {"state_dict": state, **around} if around else state
        monkeypatch.setattr(weights_convert, "read_pickle", lambda path: content)
        return convert(tmp_path / "theirs.pth", source)

    return from_state


def state_of(source, name="resnet18", **options):
    with torch.device("meta"):
        network = NETWORKS[source](name, **options) if source in NETWORKS else get_model(name)
    return network.state_dict()


def shapes(state):
    return {key: tuple(value.shape) for key, value in state.items()}


def plain_shapes(name, non_local, num_classes):
    config = ModelConfig(backbone=name, num_classes=num_classes, non_local=non_local)
    with torch.device("meta"):
        return shapes(build_model(config).state_dict())


@pytest.mark.parametrize("shift", [False, True])
@pytest.mark.parametrize("source", NETWORKS)
@pytest.mark.parametrize(
    ("name", "non_local"),
    [
        ("resnet34", False),
        ("resnet50", False),
        ("resnet50", True),
        ("resnet101", False),
        ("wide_resnet50_2", False),
        ("resnext101_32x8d", False),
        ("mobilenet_v2", False),
    ],
)
def test_network_is_told_from_its_tensors(source, name, non_local, shift, read):
    converted = read(state_of(source, name, shift=shift, non_local=non_local), source)
    assert (converted.backbone, converted.shifted) == (name, shift)
    assert (converted.non_local, converted.num_classes) == (non_local, CLASSES)
    assert shapes(converted.weights) == plain_shapes(name, non_local, CLASSES)


@pytest.mark.parametrize("name", ["resnet18", "resnet152", "mobilenet_v2"])
def test_torchvision_s_own(name, read):
    converted = read(state_of("torchvision", name), "torchvision")
    assert (converted.backbone, converted.shifted, converted.num_classes) == (name, False, 1000)
    assert shapes(converted.weights) == plain_shapes(name, False, 1000)


@pytest.mark.parametrize("name", ["resnet50", "mobilenet_v2"])
def test_tsm_trained_without_dropout_has_its_classifier_in_the_backbone(name, read):
    classifier = "base_model.fc" if name == "resnet50" else "base_model.classifier"
    state = {
        key.replace("new_fc", classifier): value for key, value in state_of("mit", name).items()
    }
    assert read(state, "mit").num_classes == CLASSES


def test_weights_become_float32_and_their_own(tmp_path):
    state = get_model("resnet18", num_classes=3).half().state_dict()
    state["bn1.bias"] = torch.zeros(1).half().expand(64)  # no memory of its own
    save_file({key: value.contiguous() for key, value in state.items()}, tmp_path / "a.safetensors")
    converted = convert(tmp_path / "a.safetensors", "torchvision")
    save_converted(tmp_path / "b.safetensors", converted, original=tmp_path / "a.safetensors")
    saved = load_file(tmp_path / "b.safetensors")
    assert saved["backbone.bn1.num_batches_tracked"].dtype == torch.int64
    assert {value.dtype for value in saved.values()} == {torch.float32, torch.int64}
    assert torch.equal(saved["backbone.conv1.weight"], state["conv1.weight"].float())


def test_counters_of_batches_may_be_absent_altogether(read):
    state = state_of("mit")
    old = {key: value for key, value in state.items() if not key.endswith("num_batches_tracked")}
    weights = read(old, "mit").weights
    assert shapes(weights) == plain_shapes("resnet18", False, CLASSES)
    assert weights["backbone.bn1.num_batches_tracked"] == 0
    del state["base_model.bn1.num_batches_tracked"]
    with pytest.raises(CheckpointError, match=r"1 missing \(backbone.bn1.num_batches_tracked\)"):
        read(state, "mit")


@pytest.mark.parametrize("source", NETWORKS)
@pytest.mark.parametrize(
    ("name", "non_local"), [("resnet50", True), ("mobilenet_v2", False), ("resnet18", False)]
)
def test_no_tensor_may_be_dropped(source, name, non_local, read):
    state = state_of(source, name, non_local=non_local)
    for key in sorted(state)[::23] + [
        key for key in state if key.endswith(("fc.bias", "W.0.bias"))
    ]:
        rest = {other: value for other, value in state.items() if other != key}
        with pytest.raises(
            CheckpointError, match=rf"theirs.pth: not {source}'s {name}.* missing \("
        ):
            read(rest, source)


@pytest.mark.parametrize("source", NETWORKS)
def test_no_tensor_may_be_too_many(source, read):
    state = state_of(source) | {"n_round": torch.zeros(1), "backbone.layer5.x": torch.zeros(1)}
    with pytest.raises(
        CheckpointError, match=r"resnet18.*: 2 unexpected \(n_round, backbone.layer5"
    ):
        read(state, source)


def test_no_tensor_may_come_twice(read):
    state = state_of("mit") | {"base_model.fc.bias": torch.zeros(CLASSES)}
    with pytest.raises(CheckpointError, match=r": 1 unexpected \(base_model.fc.bias\)"):
        read(state, "mit")


def test_other_shapes_are_named(read):
    state = state_of("mmaction2") | {"backbone.conv1.conv.weight": torch.zeros(64, 10, 7, 7)}
    text = r": 1 of another shape \(backbone.conv1.weight \(64, 10, 7, 7\), not \(64, 3, 7, 7\)\)"
    with pytest.raises(CheckpointError, match=text):  # optical flow
        read(state, "mmaction2")


def test_of_many_the_first_five_are_named(read):
    state = state_of("mit", shift=False)
    rest = {key: value for key, value in state.items() if ".layer4." not in key}
    with pytest.raises(CheckpointError, match=r": 30 missing \(([\w.]+, ){5}\.\.\.\)"):
        read(rest, "mit")


@pytest.mark.parametrize("said", ["mit", "mmaction2", "torchvision"])
@pytest.mark.parametrize("source", ["mit", "mmaction2", "torchvision"])
def test_another_project_s_file_is_recognised(source, said, read):
    if source == said:
        return
    with pytest.raises(CheckpointError, match=f"pth: looks like {source}, not {said}") as caught:
        read({f"module.{key}": value for key, value in state_of(source).items()}, said)
    assert caught.value.hint == f"use --from {source}"


def test_our_own_need_no_conversion(read):
    weights = read(state_of("mit"), "mit").weights
    for state in (weights, {"model": weights}):
        with pytest.raises(CheckpointError, match="looks like stsm, not mit") as caught:
            read(state, "mit")
        assert "no conversion" in caught.value.hint


def test_a_network_unknown_here_is_refused(read):
    state = {
        "base_model.conv1_7x7_s2.weight": torch.zeros(64, 3, 7, 7),
        "new_fc.bias": torch.ones(4),
    }
    with pytest.raises(
        CheckpointError, match=r"the nearest network known here: .* missing"
    ) as caught:
        read(state, "mit")
    assert "2 unexpected" not in str(caught.value)
    assert "1 unexpected (base_model.conv1_7x7_s2.weight)" in str(caught.value)


def test_other_non_local_blocks_are_refused(read):
    state = state_of("mmaction2", "resnet50", non_local=True)
    with pytest.raises(CheckpointError, match="mode dot_product, unknown here"):
        read(state, "mmaction2", meta={"cfg": "non_local_cfg=dict(mode='dot_product')"})
    gaussian = {key: v for key, v in state.items() if "theta" not in key and "phi" not in key}
    with pytest.raises(CheckpointError, match=r": 20 missing \(backbone.layer2.non_local0.theta"):
        read(gaussian, "mmaction2")


def test_a_shift_elsewhere_is_refused(read):
    state = state_of("mit", "resnet101", shift=False)
    everywhere = {key.replace("conv1.weight", "conv1.net.weight"): v for key, v in state.items()}
    with pytest.raises(CheckpointError, match="pth: shifts 34 convolutions, not the 18 of TSM's"):
        read(everywhere, "mit")
    blocks = {
        key.replace("layer1.0.", "layer1.0.net."): value
        for key, value in state_of("mit", "resnet50", shift=False).items()
    }
    text = r"shifts 4 convolutions, not the 16 .* differ in backbone.layer1.0.conv2.weight"
    with pytest.raises(CheckpointError, match=text):
        read(blocks, "mit")


@pytest.mark.parametrize("content", [{}, {"state_dict": None}, {"state_dict": {}}])
def test_no_state_dict_at_all(content, read):
    with pytest.raises(CheckpointError, match="pth: holds no state dict"):
        read(content, "mit")


@pytest.mark.parametrize("state", [{"epoch": 3}, {0: torch.zeros(1)}])
def test_what_is_no_named_tensor(state, read):
    with pytest.raises(CheckpointError, match=r"('epoch' is int|0 is Tensor), not a named tensor"):
        read(state, "mit")


def test_header_says_where_the_weights_come_from(tmp_path):
    torch.save(get_model("resnet18", num_classes=3).state_dict(), tmp_path / "r18.pth")
    converted = convert(tmp_path / "r18.pth", "torchvision")
    out = tmp_path / "new" / "folder" / "r18.safetensors"
    sha256 = save_converted(out, converted, original=tmp_path / "r18.pth")
    assert sha256 == hashlib.sha256(out.read_bytes()).hexdigest()
    with safe_open(out, "pt") as file:
        assert file.metadata() == {
            "format": "stsm.weights/1",
            "source": "torchvision",
            "source_file": "r18.pth",
            "source_sha256": hashlib.sha256((tmp_path / "r18.pth").read_bytes()).hexdigest(),
            "backbone": "resnet18",
            "shifted": "false",
            "non_local": "false",
            "num_classes": "3",
            "classes": "unknown",
        }


def test_a_place_that_cannot_be_written_is_named(read, tmp_path):
    converted = read({key: torch.zeros(v.shape) for key, v in state_of("mit").items()}, "mit")
    (tmp_path / "theirs.pth").touch()
    (tmp_path / "a.safetensors").mkdir()
    with pytest.raises(CheckpointError, match=r"a.safetensors: cannot be written \(Is a dir"):
        save_converted(tmp_path / "a.safetensors", converted, original=tmp_path / "theirs.pth")

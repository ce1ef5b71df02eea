"""Networks of other projects, built here after their structure, by the names of their tensors."""

from itertools import chain

import pytest
import torch
from torch import nn
from torchvision.models import get_model
from torchvision.models.mobilenetv2 import InvertedResidual

from stsm_cli.models import weights_convert
from stsm_cli.models.weights_convert import convert

FRAMES, CLASSES = 2, 7


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


NETWORKS = {"mit": Mit, "mmaction2": Mma, "torchvision": get_model}


@pytest.fixture(scope="session")
def network_of():
    """network_of(source, name, shift=..., non_local=...): 2 frames, 7 classes."""
    return _network_of


@pytest.fixture(scope="session")
def state_of():
    """The same, its state dict on the meta device."""

    def state_of(source, name="resnet18", **options):
        with torch.device("meta"):
            return _network_of(source, name, **options).state_dict()

    return state_of


def _network_of(source, name, **options):
    return NETWORKS[source](name, **options)


@pytest.fixture
def read(monkeypatch, tmp_path):
    """`convert` of a state dict, as if it had been read from a file."""

    def from_state(state, source=None, *, non_local=None, **around):
        content = {"state_dict": state, **around} if around else state
        monkeypatch.setattr(weights_convert, "read_pickle", lambda path: content)
        return convert(tmp_path / "theirs.pth", source, non_local=non_local)

    return from_state


# the definitions of ACTION-Net, TEA and TDN on one view (T, C, H, W), one number after the other


class Slow:
    """Layers as loops, and a module whose parameters are all at work."""

    @staticmethod
    def awake(module):
        """`module` in float64 and eval mode, none of its parameters or statistics at its start."""
        torch.manual_seed(0)
        module = module.double().eval().requires_grad_(False)
        for layer in module.modules():
            for parameter in layer.parameters(recurse=False):
                nn.init.normal_(parameter)
            if isinstance(layer, nn.BatchNorm2d):
                nn.init.normal_(layer.running_mean)
                nn.init.uniform_(layer.running_var, 0.5, 2.0)
        return module

    @staticmethod
    def learnt(network):
        """`network` with norms as after some training: its blocks begin as their shortcuts."""
        for layer in network.modules():
            if isinstance(layer, nn.BatchNorm3d):
                nn.init.uniform_(layer.weight, 0.5, 1.5)
        return network

    @staticmethod
    def norm(bn, picture):
        """A batch norm of a picture (C, H, W)."""
        out = torch.empty_like(picture)
        for c, channel in enumerate(picture):
            scaled = (channel - bn.running_mean[c]) / (bn.running_var[c] + bn.eps).sqrt()
            out[c] = scaled * bn.weight[c] + bn.bias[c]
        return out

    @staticmethod
    def pointwise(conv, picture):
        """A 1×1 convolution of a picture (C, H, W)."""
        out = torch.zeros(conv.out_channels, *picture.shape[1:], dtype=picture.dtype)
        for o in range(conv.out_channels):
            for c, channel in enumerate(picture):
                out[o] += conv.weight[o, c, 0, 0] * channel
        return out

    @staticmethod
    def window(conv, picture):
        """A 3×3 convolution of a picture (C, H, W), padded with zeros, in as many groups."""
        _, height, width = picture.shape
        out = torch.zeros(conv.out_channels, height, width, dtype=picture.dtype)
        ins = conv.in_channels // conv.groups
        outs = conv.out_channels // conv.groups
        for o in range(conv.out_channels):
            for c in range(ins):
                for y in range(height):
                    for x in range(width):
                        for i in range(3):
                            for j in range(3):
                                if 0 <= y + i - 1 < height and 0 <= x + j - 1 < width:
                                    value = picture[o // outs * ins + c, y + i - 1, x + j - 1]
                                    out[o, y, x] += conv.weight[o, c, i, j] * value
        return out

    @staticmethod
    def along_time(temporal, view):
        """Each channel by itself along time, zeros beyond the ends."""
        out = torch.zeros_like(view)
        for t in range(len(view)):
            for c in range(view.shape[1]):
                for step in (-1, 0, 1):
                    if 0 <= t + step < len(view):
                        out[t, c] += temporal.conv.weight[c, 0, step + 1, 0] * view[t + step, c]
        return out

    def motion(self, motion, view, step):
        """Motion of each frame to the one `step` behind it, zero where there is none."""
        here = [self.norm(motion.bn, self.pointwise(motion.reduce, frame)) for frame in view]
        return [
            self.window(motion.transform, here[t + step]) - here[t]
            if 0 <= t + step < len(view)
            else torch.zeros_like(here[t])
            for t in range(len(view))
        ]


@pytest.fixture
def slow():
    return Slow()

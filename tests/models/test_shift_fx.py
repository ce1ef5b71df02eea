"""Networks with a shift in graphs of `torch.fx`."""

import pytest
import torch
from torch import nn
from torch.fx import symbolic_trace
from torch.multiprocessing.reductions import StorageWeakRef
from torchvision.models import mobilenet_v2, resnet18
from torchvision.models.feature_extraction import create_feature_extractor, get_graph_node_names

from stsm_cli.models import shift as shift_module
from stsm_cli.models.shift import ShiftedConv, SpatioTemporalShift, insert_shift, shift

STSM = {"num_frames": 2, "dims": "T+H+W", "alpha": "3/8"}


def shifted(network):
    return insert_shift(network, **STSM).eval()


@pytest.mark.parametrize("make", [resnet18, mobilenet_v2])
def test_nodes_are_called_as_without_a_shift(make):
    with torch.device("meta"):
        assert get_graph_node_names(shifted(make())) == get_graph_node_names(make().eval())


def test_a_traced_network_is_the_network():
    network = shifted(resnet18(num_classes=3))
    traced = symbolic_trace(network)
    assert traced.state_dict().keys() == network.state_dict().keys()
    assert isinstance(traced.get_submodule("layer1.0.conv1"), ShiftedConv)
    for batch in (2, 4):
        frames = torch.randn(batch, 3, 32, 32)
        assert torch.equal(traced(frames), network(frames))


def test_features_are_found_under_their_names():
    network = shifted(resnet18())
    extractor = create_feature_extractor(network, ["layer1.0.conv1", "layer2"])
    frames, seen = torch.randn(2, 3, 32, 32), {}
    for name in ("layer1.0.conv1", "layer2"):
        network.get_submodule(name).register_forward_hook(
            lambda _module, _args, out, name=name: seen.update({name: out})
        )
    network(frames)
    found = extractor(frames)
    assert found.keys() == seen.keys()
    assert all(torch.equal(found[name], seen[name]) for name in seen)


def test_a_traced_network_keeps_no_shifted_tensor(monkeypatch):
    made, fill = [], shift_module._fill

    def remembering(*arguments):
        out = fill(*arguments)
        made.append(StorageWeakRef(out.untyped_storage()))
        return out

    monkeypatch.setattr(shift_module, "_fill", remembering)
    site = ShiftedConv(nn.Conv2d(8, 4, 1), **STSM)
    out = symbolic_trace(nn.Sequential(nn.Conv2d(8, 8, 1), site))(torch.randn(4, 8, 3, 3))
    assert [reference.expired() for reference in made] == [True]
    assert out.requires_grad


@pytest.mark.parametrize("alpha", ["3/8", 0.375])
def test_the_function_is_one_node(alpha):
    traced = symbolic_trace(lambda x: shift(x, num_frames=2, dims="T+H+W", alpha=alpha) + 1)
    (node,) = [node for node in traced.graph.nodes if node.target is shift]
    assert node.kwargs == {"num_frames": 2, "dims": "T+H+W", "alpha": "3/8"}
    x = torch.randn(4, 8, 3, 3)
    assert torch.equal(traced(x), shift(x, **STSM) + 1)


@pytest.mark.parametrize(
    "module", [SpatioTemporalShift(**STSM), ShiftedConv(nn.Conv2d(8, 4, 1), **STSM)]
)
def test_modules_are_traced_by_themselves(module):
    x = torch.randn(4, 8, 3, 3)
    assert torch.equal(symbolic_trace(module)(x), module(x))

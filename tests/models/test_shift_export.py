"""The shift where the graph is captured: torch.compile, torch.export, ONNX."""

import io
from importlib.metadata import version

import pytest
import torch
from torch import nn
from torchvision.models.resnet import BasicBlock

from stsm_cli.models.shift import ShiftedConv, SpatioTemporalShift, insert_shift, shift

BATCHES = (1, 2, 3)


def _version(package):
    return tuple(map(int, version(package).split(".")[:2]))


@pytest.fixture
def network():
    blocks = nn.Sequential(BasicBlock(16, 16), BasicBlock(16, 16))
    return insert_shift(blocks, num_frames=4, dims="T+HW+Hw", alpha="3/4").eval()


@pytest.fixture(autouse=True)
def fresh_compiler():
    torch.compiler.reset()


@pytest.mark.parametrize(("dims", "shape"), [("T+H+Tw", (4, 5)), ("T+HW+Hw+THW", (4, 4, 5))])
def test_compiled_it_is_the_same_at_any_batch_and_width(dims, shape):
    def f(x):
        return shift(x, num_frames=4, dims=dims, alpha="3/4")

    compiled = torch.compile(f, backend="aot_eager", fullgraph=True)
    for batch, num_channels in [(1, 8), (2, 8), (3, 13)]:
        x = torch.randn(batch if len(shape) == 3 else 4 * batch, num_channels, *shape)
        x.requires_grad_()
        out, expected = compiled(x), f(x)
        assert torch.equal(out, expected)
        grad = torch.randn_like(out)
        ours, plain = (torch.autograd.grad(y, x, grad)[0] for y in (out, expected))
        assert torch.equal(ours, plain)


def test_the_module_compiles():
    module = SpatioTemporalShift(4, "T+H+W", "3/8")
    compiled = torch.compile(module, backend="aot_eager", fullgraph=True)
    x = torch.randn(8, 16, 3, 3)
    assert torch.equal(compiled(x), module(x))


def test_a_network_compiles_and_trains(network):
    compiled = torch.compile(network, backend="aot_eager", fullgraph=True)
    for batch in BATCHES:
        frames = torch.randn(4 * batch, 16, 6, 6)
        weight = network[1].conv1.net.weight
        ours, plain = (
            torch.autograd.grad(model(frames).sum(), weight)[0] for model in (compiled, network)
        )
        torch.testing.assert_close(ours, plain)


@pytest.mark.parametrize(
    ("conv", "shape", "layout"),
    [
        (nn.Conv2d, (8, 16, 3, 3), torch.channels_last),
        (nn.Conv3d, (2, 16, 4, 3, 3), torch.channels_last_3d),
    ],
)
@pytest.mark.skipif(not hasattr(torch.compiler, "is_exporting"), reason="before torch 2.7")
def test_compiled_for_a_cpu_the_convolution_reads_channels_last(conv, shape, layout):
    network = ShiftedConv(conv(16, 3, 1), num_frames=4, dims="T+HW", alpha="3/4")
    read = []

    def backend(graph, _inputs):
        (node,) = [node for node in graph.graph.nodes if "conv" in str(node.target)]
        read.append(node.args[0].meta["example_value"].is_contiguous(memory_format=layout))
        return graph.forward

    x = torch.randn(shape)
    compiled = torch.compile(network, backend=backend, fullgraph=True)
    torch.testing.assert_close(compiled(x), network(x))
    assert read == [True]


@pytest.mark.parametrize(
    ("conv", "shape"), [(nn.Conv2d, (8, 16, 3, 4)), (nn.Conv3d, (2, 16, 4, 3, 5))]
)
def test_compiled_for_a_cpu_its_gradient_is_that_of_the_eager_one(conv, shape):
    network = ShiftedConv(conv(16, 3, 1), num_frames=4, dims="T+Hw", alpha="3/4")
    compiled = torch.compile(network, backend="aot_eager", fullgraph=True)
    x = torch.randn(shape, requires_grad=True)
    for is_half in (False, True):
        with torch.autocast("cpu", enabled=is_half):
            outputs = compiled(x), network(x)
        grad = torch.randn_like(outputs[0])
        wanted = x, network.net.weight
        ours, plain = (torch.autograd.grad(y, wanted, grad) for y in outputs)
        torch.testing.assert_close(ours, plain)


@pytest.mark.parametrize("strict", [False, True])
def test_exported_it_moves_no_axis(network, strict):
    exported = torch.export.export(network, (torch.randn(8, 16, 6, 6),), strict=strict)
    names = {str(node.target) for node in exported.graph.nodes if node.op == "call_function"}
    moves = ("permute", "movedim", "moveaxis", "transpose", "aten.t.")
    assert not {name for name in names if any(move in name for move in moves)}


def test_the_captured_graph_writes_into_no_tensor(network):
    exported = torch.export.export(network, (torch.randn(8, 16, 6, 6),))
    names = {str(node.target) for node in exported.graph.nodes if node.op == "call_function"}
    assert not {name for name in names if "copy" in name or "zero_" in name or "scatter" in name}


@pytest.mark.parametrize("strict", [False, True])
def test_exported_it_is_the_same_at_any_batch(network, strict):
    batch = torch.export.Dim("batch", min=1, max=64)
    exported = torch.export.export(
        network, (torch.randn(8, 16, 6, 6),), dynamic_shapes=({0: 4 * batch},), strict=strict
    ).module()
    for size in BATCHES:
        frames = torch.randn(4 * size, 16, 6, 6)
        torch.testing.assert_close(exported(frames), network(frames))


@pytest.mark.xfail(
    torch.__version__.startswith("2.6.") and _version("onnxscript") >= (0, 3),
    reason="torch 2.6 exports no batch norm, with or without a shift, by onnxscript 0.3 and later",
)
def test_in_onnx_it_is_the_same_at_any_batch(network):
    runtime = pytest.importorskip("onnxruntime")
    batch = torch.export.Dim("batch", min=1, max=64)
    program = torch.onnx.export(
        network,
        (torch.randn(8, 16, 6, 6),),
        dynamic_shapes=({0: 4 * batch},),
        dynamo=True,
        verbose=False,
    )
    file = io.BytesIO()
    program.save(file)
    session = runtime.InferenceSession(file.getvalue(), providers=["CPUExecutionProvider"])
    (name,) = [value.name for value in session.get_inputs()]
    for size in BATCHES:
        frames = torch.randn(4 * size, 16, 6, 6)
        (out,) = session.run(None, {name: frames.numpy()})
        torch.testing.assert_close(torch.from_numpy(out), network(frames))

"""`engine/autocast.py`: half precision where the CPU has no arithmetic for it."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from stsm_cli.config.load import load_recipe, recipe_names
from stsm_cli.engine import autocast as module
from stsm_cli.engine.autocast import autocast, cpu_computes_in
from stsm_cli.models.build import build_model

CPU = torch.device("cpu")
SMALL = [name for name in recipe_names() if name.startswith(("order/", "scenes/", "synth/"))]
HALF = (torch.bfloat16, torch.float16)


@pytest.fixture
def without(monkeypatch):
    """A CPU without any arithmetic of half precision."""
    monkeypatch.setattr(module, "cpu_computes_in", lambda dtype: False)


class Products(TorchDispatchMode):
    """Records the types of what is convolved or multiplied as matrices."""

    def __init__(self):
        super().__init__()
        self.dtypes = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func.overloadpacket.__name__ in ("convolution", "mm", "bmm", "addmm", "baddbmm", "mv"):
            self.dtypes |= {value.dtype for value in args if isinstance(value, torch.Tensor)}
        return func(*args, **(kwargs or {}))


def test_a_cpu_tells_of_each_type():
    assert isinstance(cpu_computes_in(torch.bfloat16), bool)
    assert isinstance(cpu_computes_in(torch.float16), bool)


def test_a_cpu_whose_torch_lacks_onednn_computes_in_neither(monkeypatch):
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    assert not cpu_computes_in(torch.bfloat16)
    assert not cpu_computes_in(torch.float16)


@pytest.mark.parametrize("has", [False, True])
def test_each_type_is_asked_for_itself(monkeypatch, has):
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: True)
    ops = torch.ops.mkldnn
    monkeypatch.setattr(ops, "_is_mkldnn_bf16_supported", lambda: has)
    monkeypatch.setattr(ops, "_is_mkldnn_fp16_supported", lambda: not has)
    assert cpu_computes_in(torch.bfloat16) is has
    assert cpu_computes_in(torch.float16) is not has


@pytest.mark.parametrize("dtype", [None, torch.float32])
@pytest.mark.usefixtures("without")
def test_full_precision_is_left_alone(dtype):
    weight, x = torch.randn(4, 3), torch.randn(2, 3)
    with autocast(CPU, dtype):
        assert not torch.is_autocast_enabled("cpu")
        assert torch.equal(F.linear(x, weight), x @ weight.T)


PRODUCTS = {
    "conv1d": (F.conv1d, (2, 4, 9), (6, 4, 3)),
    "conv2d": (F.conv2d, (2, 4, 9, 9), (6, 4, 3, 3)),
    "conv3d": (F.conv3d, (2, 4, 5, 9, 9), (6, 4, 3, 3, 3)),
    "conv_transpose2d": (F.conv_transpose2d, (2, 4, 9, 9), (4, 6, 3, 3)),
    "linear": (F.linear, (7, 12), (5, 12)),
    "matmul": (torch.matmul, (7, 12), (12, 5)),
    "@": (lambda x, weight: x @ weight, (2, 7, 12), (2, 12, 5)),
    "bmm": (torch.bmm, (2, 7, 12), (2, 12, 5)),
    "keyword": (lambda x, weight: F.linear(x, weight=weight), (7, 12), (5, 12)),
}
"""Name -> a function of x and weight, and their shapes."""


@pytest.mark.parametrize("dtype", HALF)
@pytest.mark.parametrize("name", PRODUCTS)
@pytest.mark.usefixtures("without")
def test_products_are_those_of_rounded_numbers_rounded(name, dtype):
    """Against float64: a result is the nearest number of the type, or by a sum's noise the next."""
    torch.manual_seed(0)
    function, *shapes = PRODUCTS[name]
    x, weight = (torch.randn(shape, requires_grad=True) for shape in shapes)
    exact = [tensor.detach().to(dtype).double().requires_grad_() for tensor in (x, weight)]
    with autocast(CPU, dtype):
        out = function(x, weight)
    wanted = function(*exact)
    towards = torch.randn_like(wanted).to(dtype)
    out.backward(towards)
    wanted.backward(towards.double())
    assert out.dtype == dtype
    step = torch.finfo(dtype).eps
    torch.testing.assert_close(out.double(), wanted, rtol=step, atol=1e-5)
    for half, full in zip((x, weight), exact, strict=True):
        assert half.grad.dtype == torch.float32
        torch.testing.assert_close(half.grad.double(), full.grad, rtol=step, atol=1e-5)
        assert torch.equal(half.grad, half.grad.to(dtype).float())  # rounded, as its type has it


@pytest.mark.usefixtures("without")
def test_what_leaves_autocast_is_left_alone():
    layer, x = nn.Linear(12, 5), torch.randn(7, 12)
    with autocast(CPU, torch.bfloat16), torch.autocast("cpu", enabled=False):
        assert torch.equal(layer(x), F.linear(x, layer.weight, layer.bias))


def test_a_cpu_that_has_the_arithmetic_uses_it(monkeypatch):
    monkeypatch.setattr(module, "cpu_computes_in", lambda dtype: True)
    x = torch.randn(1, 3, 8, 8)
    with autocast(CPU, torch.bfloat16), Products() as seen:
        nn.Conv2d(3, 4, 3)(x)
    assert seen.dtypes == {torch.bfloat16}


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.usefixtures("without")
def test_no_product_of_a_network_is_left_to_plain_loops(name):
    model = build_model(load_recipe(name).recipe.model.model_copy(update={"num_classes": 5}))
    videos = torch.randn(1, *model.view.shape(32))
    with torch.no_grad(), autocast(CPU, torch.bfloat16), Products() as seen:
        model.eval()(videos)
    assert seen.dtypes == {torch.float32}

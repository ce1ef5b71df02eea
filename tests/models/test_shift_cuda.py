"""The CUDA kernel against the slice copies of the CPU, to the bit."""

import os

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from stsm_cli.models import shift as shift_module
from stsm_cli.models.shift import ShiftedConv, shift

pytestmark = pytest.mark.gpu

SIZES = [  # C, T, H, W
    (64, 8, 56, 56),
    (256, 8, 14, 14),
    (24, 3, 5, 4),
    (7, 1, 3, 2),
    (3, 2, 1, 1),
    (1, 4, 7, 9),
    (2048, 2, 7, 7),
    (5, 3, 40, 41),
]


@pytest.fixture(autouse=True)
def _needs_a_device():
    if not torch.cuda.is_available():
        assert os.environ.get("STSM_REQUIRE_GPU") != "1", "STSM_REQUIRE_GPU=1, but no CUDA device"
        pytest.skip("no CUDA device")


def layouts(c, t, h, w):
    frames, features = torch.randn(2 * t, c, h, w), torch.randn(2, c, t, h, w)
    yield frames
    yield frames.contiguous(memory_format=torch.channels_last)
    yield features
    yield features.contiguous(memory_format=torch.channels_last_3d)
    yield frames.mT  # in no order that the kernel knows


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize(
    ("dims", "alpha"), [("T", "1/4"), ("T+H+W", "3/8"), ("TH+TW+HW", "1"), ("THW+W", "3/4")]
)
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_it_is_the_cpu_to_the_bit(sizes, dims, alpha, dtype):
    for x in layouts(*sizes):
        x = x.detach().to(dtype).requires_grad_()
        on_device = x.detach().cuda().requires_grad_()
        assert on_device.stride() == x.stride()
        expected = shift(x, num_frames=sizes[1], dims=dims, alpha=alpha)
        out = shift(on_device, num_frames=sizes[1], dims=dims, alpha=alpha)
        grad = torch.randn_like(expected)
        expected.backward(grad)
        out.backward(grad.cuda())
        assert torch.equal(out.cpu(), expected)
        assert out.stride() == expected.stride()
        assert torch.equal(on_device.grad.cpu(), x.grad)


def test_the_kernel_can_be_built_here():
    kernel = shift_module._cuda_kernel()
    if os.environ.get("STSM_REQUIRE_GPU") == "1":
        assert kernel is not None
    elif kernel is None:
        pytest.skip("Triton is absent, or finds no compiler")


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_one_launch_there_and_one_back(layout):
    if shift_module._cuda_kernel() is None:
        pytest.skip("Triton is absent, or finds no compiler")
    x = torch.randn(16, 64, 14, 14, device="cuda").contiguous(memory_format=layout)
    x.requires_grad_()
    grad = torch.randn_like(x)

    def there_and_back():
        out = shift(x, num_frames=8, dims="T+H+W", alpha="3/8")
        torch.autograd.grad(out, x, grad)

    there_and_back()
    for _ in range(2):  # trap: the first profile of a process may hold launches from before it
        torch.cuda.synchronize()
        with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as profiler:
            there_and_back()
            torch.cuda.synchronize()
    kernels = [e for e in profiler.events() if e.device_type == torch.autograd.DeviceType.CUDA]
    assert len(kernels) == 2, [event.name for event in kernels]


def test_slice_copies_do_it_too(monkeypatch):
    monkeypatch.setattr(shift_module, "_cuda_kernel", lambda: None)
    x = torch.randn(6, 24, 5, 4)
    out = shift(x.cuda(), num_frames=3, dims="T+H+W", alpha="3/8")
    assert torch.equal(out.cpu(), shift(x, num_frames=3, dims="T+H+W", alpha="3/8"))


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_training_keeps_no_shifted_copy(layout):
    conv = torch.nn.Conv2d(64, 8, 1, device="cuda").to(memory_format=layout)
    site = ShiftedConv(conv, num_frames=8, dims="T+H+W", alpha="3/8")
    x = torch.randn(32, 64, 28, 28, device="cuda").contiguous(memory_format=layout)
    x.requires_grad_()
    site(x).sum().backward()  # workspaces
    before = torch.cuda.memory_allocated()
    out = site(x)
    held = torch.cuda.memory_allocated() - before
    assert held < out.untyped_storage().nbytes() + x.untyped_storage().nbytes() // 2


def test_it_reads_from_any_address():
    x = torch.randn(6 * 24 * 5 * 4 + 1, device="cuda")[1:].view(6, 24, 5, 4)
    out = shift(x, num_frames=3, dims="T+H+W", alpha="3/8")
    assert torch.equal(out.cpu(), shift(x.cpu(), num_frames=3, dims="T+H+W", alpha="3/8"))


def test_compiled_it_is_the_same():
    x = torch.randn(16, 64, 14, 14, device="cuda")

    def f(x):
        return shift(x, num_frames=8, dims="T+H+W", alpha="3/8")

    assert torch.equal(torch.compile(f, fullgraph=True)(x), f(x))

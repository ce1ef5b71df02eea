"""The CUDA kernel without a CUDA device: what it computes, and how it is started.

Triton looks at its environment when it is imported, so each test has a process of its own.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from sysconfig import get_path

import pytest

pytest.importorskip("triton")

ROOT = Path(__file__).parents[2]
COMPARE = """
import torch
from stsm_cli.models import shift_triton
from stsm_cli.models.shift import channel_slices, shift

kernel = shift_triton._kernel


class Interpreted:
    def warmup(self, *arguments, grid, **options):
        return {grid: lambda *arguments: kernel[grid](*arguments)}


shift_triton._kernel, shift_triton._TAKES_CONSTANTS = Interpreted(), True
for (c, t, h, w), dims, alpha in [
    ((24, 3, 5, 4), "T+H+W", "3/8"),
    ((7, 1, 3, 2), "TH+TW+HW", "1"),
    ((1, 4, 7, 9), "T", "1"),
    ((16, 2, 40, 41), "THw+Th-+W", "3/4"),  # more columns than one program takes
]:
    slices = channel_slices(c, dims, alpha)
    frames, features = torch.randn(2 * t, c, h, w), torch.randn(2, c, t, h, w)
    for x in (
        frames,
        frames.contiguous(memory_format=torch.channels_last),
        features,
        features.contiguous(memory_format=torch.channels_last_3d),
        frames.unflatten(0, (2, t)).transpose(1, 2),
    ):
        out = shift_triton.shifted(x, t, slices)
        assert out.stride() == x.stride()
        assert torch.equal(out, shift(x, num_frames=t, dims=dims, alpha=alpha)), x.stride()
shift_triton._kernel = None
unaligned = torch.randn(frames.numel() + 1)[1:].view_as(frames)
for x in (frames.int(), frames.mT, unaligned):
    assert shift_triton.shifted(x, t, slices) is None
for shape in ((560000, 1, 64, 64), (1, 2, 8192, 8192)):  # too many rows, too many columns
    large = torch.empty(shape, device="meta")
    assert shift_triton._plan(large.shape, large.stride(), 1) is None
print("equal")
"""


def run(*arguments, **environment):
    command = [sys.executable, *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_it_is_the_shift_to_the_bit():
    """Triton's interpreter computes the kernel with NumPy."""
    assert run("-c", COMPARE, TRITON_INTERPRET="1") == "equal\n"


@pytest.mark.skipif(
    shutil.which("cc") is None or not Path(get_path("include"), "Python.h").exists(),
    reason="needs a C compiler and Python's headers",
)
def test_a_built_kernel_is_started_once_a_shift():
    """The benchmark asserts it, on a stub of CUDA's driver."""
    assert "microseconds" in run(str(ROOT / "benchmarks" / "launch.py"), "--rounds", "1")

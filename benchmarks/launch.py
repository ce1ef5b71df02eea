"""How long Python takes to start the shift's kernel on CUDA; needs a C compiler, and no GPU.

    python benchmarks/launch.py [--rounds 2000]

PyTorch and Triton run as they are, up to CUDA's driver: in its place stands a stub, built here,
that takes each launch and does nothing. With one video at a time a network on a GPU waits for
launches, so this is the time by which a shift delays it. *TSM's code* is the shift as
mit-han-lab/temporal-shift-module writes it, on the CPU and so few numbers that only its calls take
time; on a GPU the launches of its operators come on top.
"""

import argparse
import ctypes
import os
import subprocess
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import cast

import torch
from torch import Tensor, nn

from stsm_cli.bench.shift import NUM_FRAMES, STSM, authors_shift, shifts
from stsm_cli.models import shift as shift_module
from stsm_cli.models.shift import ShiftedConv

stsm = shifts()[STSM]

STUB = """
#include <stddef.h>
#include <stdint.h>
static int any;
uint64_t launches, target, source;
static int launch(void **arguments) {
  launches++;
  target = *(uint64_t *)arguments[0];
  source = *(uint64_t *)arguments[1];
  return 0;
}
int cuInit() { return 0; }
int cuCtxSetCurrent() { return 0; }
int cuCtxSetLimit() { return 0; }
int cuFuncSetAttribute() { return 0; }
int cuFuncSetCacheConfig() { return 0; }
int cuModuleUnload() { return 0; }
int cuOccupancyMaxActiveClusters() { return 0; }
int cuTensorMapEncodeTiled() { return 0; }
int cuTensorMapEncodeIm2col() { return 0; }
int cuDeviceGetCount(int *n) { *n = 1; return 0; }
int cuGetErrorString(int code, const char **text) { *text = "stub"; return 0; }
int cuCtxGetCurrent(void **context) { *context = &any; return 0; }
int cuCtxGetDevice(int *device) { *device = 0; return 0; }
int cuCtxGetLimit(size_t *value, int limit) { *value = 0; return 0; }
int cuDeviceGet(int *device, int i) { *device = 0; return 0; }
int cuDeviceGetAttribute(int *value, int which, int device) { *value = 1 << 17; return 0; }
int cuDevicePrimaryCtxRetain(void **context, int device) { *context = &any; return 0; }
int cuDriverGetVersion(int *version) { *version = 13000; return 0; }
int cuFuncGetAttribute(int *value, int which, void *f) { *value = which ? 0 : 1024; return 0; }
int cuModuleLoadData(void **module, const void *image) { *module = &any; return 0; }
int cuModuleGetFunction(void **f, void *module, const char *name) { *f = &any; return 0; }
int cuPointerGetAttribute(uint64_t *out, int which, uint64_t p) { *out = p; return 0; }
int cuPointerGetAttributes(unsigned n, int *which, void **out, uint64_t p) {
  for (unsigned i = 0; i < n; i++) if (which[i] == 3) *(uint64_t *)out[i] = p;
  return 0;
}
int cuStreamIsCapturing(void *stream, int *is) { *is = 0; return 0; }
int cuLaunchKernelEx(void *config, void *f, void **p, void **extra) { return launch(p); }
int cuLaunchKernel(void *f, unsigned x, unsigned y, unsigned z, unsigned a, unsigned b, unsigned c,
                   unsigned shared, void *stream, void **p, void **extra) { return launch(p); }
"""


def stub_cuda(folder: Path) -> ctypes.CDLL:
    """CUDA's driver without a device behind it, in place for PyTorch and Triton."""
    (folder / "stub.c").write_text(STUB)
    library = folder / "libcuda.so.1"
    command = ["cc", "-shared", "-fPIC", "-Wl,-soname,libcuda.so.1"]
    subprocess.run([*command, "-o", str(library), str(folder / "stub.c")], check=True)
    (folder / "libcuda.so").symlink_to(library)
    os.environ.update(TRITON_LIBCUDA_PATH=str(folder), TRITON_CACHE_DIR=str(folder / "cache"))
    torch.cuda.is_available = lambda: True
    torch.cuda.current_device = lambda: 0
    torch.cuda.get_device_capability = lambda *_: (9, 0)
    torch._C._cuda_getCurrentRawStream = lambda device: 0
    return ctypes.CDLL(str(library), mode=ctypes.RTLD_GLOBAL)


def check(cuda: ctypes.CDLL, x: Tensor) -> None:
    """A shift is one launch, from `x` into what it returns."""

    def recorded(name: str) -> int:
        return ctypes.c_uint64.in_dll(cuda, name).value

    stsm(x)
    before = recorded("launches")
    out = stsm(x)
    assert recorded("launches") == before + 1
    assert (recorded("target"), recorded("source")) == (out.data_ptr(), x.data_ptr())


class Nothing(nn.Conv2d):
    """A convolution that computes nothing."""

    def forward(self, x: Tensor) -> Tensor:
        """`x`, without its history."""
        return x.detach()


def site() -> ShiftedConv:
    """A shift before a convolution that computes nothing."""
    return ShiftedConv(Nothing(256, 64, 1), num_frames=NUM_FRAMES, dims="T+H+W", alpha="3/8")


def microseconds(function: Callable[[Tensor], Tensor], x: Tensor, num_rounds: int) -> float:
    """The median of many calls, after some to warm up."""
    seconds = []
    for i in range(num_rounds + 100):
        start = time.perf_counter()
        function(x)
        if i >= 100:
            seconds.append(time.perf_counter() - start)
    return 1e6 * median(seconds)


def main() -> None:
    """Each way to shift, with gradients and without."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=2000)
    num_rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    x, small = torch.randn(NUM_FRAMES, 256, 14, 14), torch.randn(NUM_FRAMES, 8, 1, 1)
    variants: dict[str, tuple[Callable[[Tensor], Tensor], Tensor]] = {
        "T+H+W, α=3/8, function": (stsm, x),
        "T+H+W, α=3/8, before a convolution": (site(), x),
        "T, α=1/4, TSM's code": (authors_shift, small),
    }
    with tempfile.TemporaryDirectory() as folder:
        cuda = stub_cuda(Path(folder))
        from stsm_cli.models import shift_triton  # it looks for a device

        # as for a tensor on CUDA; of these none is refused
        shift_module._fill = cast(Callable[..., Tensor], shift_triton.shifted)
        check(cuda, x)
        print(f"torch {torch.__version__}, Triton {version('triton')}; microseconds a shift")
        print(f"{'':36}{'no gradients':>13}{'gradients':>13}")
        for name, (function, frames) in variants.items():
            with torch.no_grad():
                without = microseconds(function, frames, num_rounds)
            recording = microseconds(function, frames.clone().requires_grad_(), num_rounds)
            print(f"{name:36}{without:13.1f}{recording:13.1f}")


if __name__ == "__main__":
    main()

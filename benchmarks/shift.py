"""What the shift costs in ResNet-50 on 8 frames of 224² pixels: time, and memory in training.

    python benchmarks/shift.py [--device cuda] [--memory | --compile] [--rounds 15]

Variants take turns in one process, and ratios are medians over the rounds of (variant / baseline
of the same round): a machine that others use too slows both alike. *TSM's code* is the shift as
mit-han-lab/temporal-shift-module writes it, zeros and three slice assignments.
"""
# ruff: noqa: ANN401  (PyTorch gives its dispatch modes anything)

import argparse
import copy
import time
from collections.abc import Callable, Mapping
from functools import partial
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torchvision.models import resnet50

from stsm_cli.models.shift import ShiftedConv, insert_shift, shift

NUM_FRAMES = 8
SITES = [(64, 56), *[(256, 56)] * 3, *[(512, 28)] * 4, *[(1024, 14)] * 6, *[(2048, 7)] * 2]
"""Channels and side of the input of R-50's 16 shifted convolutions."""
LAYOUTS = {"contiguous": torch.contiguous_format, "channels-last": torch.channels_last}


def tsm_shift(frames: Tensor) -> Tensor:
    """TSM's shift by T at α=1/4, as its authors compute it."""
    videos = frames.view(-1, NUM_FRAMES, *frames.shape[1:])
    fold = frames.shape[1] // 8
    out = torch.zeros_like(videos)
    out[:, :-1, :fold] = videos[:, 1:, :fold]
    out[:, 1:, fold : 2 * fold] = videos[:, :-1, fold : 2 * fold]
    out[:, :, 2 * fold :] = videos[:, :, 2 * fold :]
    return out.view(frames.shape)


def stsm(frames: Tensor) -> Tensor:
    """The paper's shift."""
    return shift(frames, num_frames=NUM_FRAMES, dims="T+H+W", alpha="3/8")


def tsm(frames: Tensor) -> Tensor:
    """TSM's shift, computed by this package."""
    return shift(frames, num_frames=NUM_FRAMES, dims="T", alpha="1/4")


class TsmCode(nn.Module):
    """A convolution behind TSM's code."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, frames: Tensor) -> Tensor:
        """What the convolution makes of shifted frames."""
        return self.net(tsm_shift(frames))


def networks() -> dict[str, nn.Module]:
    """The same R-50 without a shift, with the paper's, and with TSM's by both codes."""
    plain = resnet50(num_classes=400)

    def shifted(dims: str, alpha: str) -> nn.Module:
        return insert_shift(copy.deepcopy(plain), num_frames=NUM_FRAMES, dims=dims, alpha=alpha)

    reference = shifted("T", "1/4")
    for block in reference.modules():
        if isinstance(getattr(block, "conv1", None), ShiftedConv):
            block.conv1 = TsmCode(block.conv1.net)
    return {
        "no shift": plain,
        "T+H+W, α=3/8": shifted("T+H+W", "3/8"),
        "T, α=1/4": shifted("T", "1/4"),
        "T, α=1/4, TSM's code": reference,
    }


def rounds(
    variants: Mapping[str, Callable[[], object]], num: int, device: str
) -> dict[str, list[float]]:
    """Seconds of every variant in each of `num` rounds, after one to warm up."""
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    names = list(variants)
    for i in range(num + 1):
        for name in names[i % len(names) :] + names[: i % len(names)]:
            if device == "cuda":
                torch.cuda.synchronize()
            start = time.perf_counter()
            variants[name]()
            if device == "cuda":
                torch.cuda.synchronize()
            if i > 0:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def show(title: str, seconds: dict[str, list[float]]) -> None:
    """One table: medians, and ratios to the first row."""
    baseline = next(iter(seconds.values()))
    print(f"\n{title}\n{'':26}{'ms':>9}{'ratio':>9}")
    for name, values in seconds.items():
        ratio = median(value / base for value, base in zip(values, baseline, strict=True))
        print(f"{name:26}{1e3 * median(values):9.2f}{ratio:9.3f}")


def step(model: nn.Module, frames: Tensor, precision: torch.dtype) -> Tensor:
    """The loss of one step, its gradients computed if the model is training."""
    with torch.autocast(frames.device.type, precision, enabled=precision != torch.float32):
        loss: Tensor = model(frames).float().logsumexp(1).mean()
    if model.training:
        loss.backward()
        model.zero_grad()
    return loss


def measure_time(device: str, num_rounds: int, *, is_compiled: bool) -> None:
    """Whole networks, then the 16 shifts alone."""
    for precision in [torch.float32, *([torch.bfloat16] if device == "cuda" else [])]:
        for layout, memory_format in LAYOUTS.items():
            where = f"{device}, {str(precision)[6:]}, {layout}"
            frames = torch.randn(NUM_FRAMES, 3, 224, 224, device=device)
            frames = frames.contiguous(memory_format=memory_format)
            models = {
                name: model.to(device, memory_format=memory_format)
                for name, model in networks().items()
            }
            if is_compiled:
                torch.compiler.reset()
                models = {name: torch.compile(model) for name, model in models.items()}
            for training in (False, True):
                variants = {
                    name: partial(step, model.train(training), frames, precision)
                    for name, model in models.items()
                }
                with torch.set_grad_enabled(training):
                    seconds = rounds(variants, num_rounds, device)
                show(f"R-50, {'training step' if training else 'forward'}, {where}", seconds)
                if not training:
                    forward = median(seconds["no shift"])
            if not is_compiled:
                measure_shifts(where, device, precision, memory_format, num_rounds, forward)


def shift_all(function: Callable[[Tensor], Tensor], sites: list[Tensor]) -> None:
    """One shift after the other, each result forgotten at once."""
    for x in sites:
        function(x)


def measure_shifts(
    where: str,
    device: str,
    precision: torch.dtype,
    memory_format: torch.memory_format,
    num_rounds: int,
    forward_seconds: float,
) -> None:
    """The 16 shifts of R-50 beside as many plain copies."""
    sites = [
        torch.randn(NUM_FRAMES, channels, side, side, device=device, dtype=precision).contiguous(
            memory_format=memory_format
        )
        for channels, side in SITES
    ]
    functions: dict[str, Callable[[Tensor], Tensor]] = {
        "plain copy": torch.clone,
        "T+H+W, α=3/8": stsm,
        "T, α=1/4": tsm,
        "T, α=1/4, TSM's code": tsm_shift,
    }
    variants = {name: partial(shift_all, function, sites) for name, function in functions.items()}
    with torch.no_grad():
        seconds = rounds(variants, 5 * num_rounds, device)
    show(f"16 shifts alone, {where}", seconds)
    moved = 2 * sum(x.numel() * x.element_size() for x in sites)
    for name, values in seconds.items():
        share = 100 * median(values) / forward_seconds
        print(f"{name:26}{share:8.2f} % of the forward{moved / median(values) / 1e9:9.1f} GB/s")


class LiveBytes(TorchDispatchMode):
    """The most memory that tensors made within held at once."""

    def __init__(self) -> None:
        super().__init__()
        self.peak = 0
        self._live: dict[int, tuple[StorageWeakRef, int]] = {}

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: Any = (),
        kwargs: Any = None,
    ) -> Any:
        """Run the operator and count."""
        out = func(*args, **(kwargs or {}))
        self._live = {key: held for key, held in self._live.items() if not held[0].expired()}
        for tensor in tree_leaves(out):
            if isinstance(tensor, Tensor):
                storage = tensor.untyped_storage()
                self._live[storage._cdata] = (StorageWeakRef(storage), storage.nbytes())
        self.peak = max(self.peak, sum(size for _, size in self._live.values()))
        return out


def peak_bytes(model: nn.Module, frames: Tensor) -> int:
    """The peak of one training step, parameters aside."""
    if frames.is_cuda:
        step(model, frames, torch.float32)
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        step(model, frames, torch.float32)
        return torch.cuda.max_memory_allocated() - before
    with LiveBytes() as live:
        step(model, frames, torch.float32)
    return live.peak


def measure_memory(device: str) -> None:
    """The peak of a training step with and without the shift."""
    for layout, memory_format in LAYOUTS.items():
        frames = torch.randn(NUM_FRAMES, 3, 224, 224, device=device)
        frames = frames.contiguous(memory_format=memory_format)
        print(
            f"\nR-50, training step, peak memory, {device}, {layout}\n{'':26}{'MB':>9}{'ratio':>9}"
        )
        plain = 0
        for name, model in networks().items():
            peak = peak_bytes(model.train().to(device, memory_format=memory_format), frames)
            plain = plain or peak
            print(f"{name:26}{peak / 1e6:9.1f}{peak / plain:9.3f}")


def main() -> None:
    """Read the options and measure."""
    parser = argparse.ArgumentParser(description="What the shift costs in ResNet-50")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--memory", action="store_true", help="memory instead of time")
    parser.add_argument("--compile", action="store_true", help="through torch.compile")
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads")
    if options.memory:
        measure_memory(options.device)
    else:
        measure_time(options.device, options.rounds, is_compiled=options.compile)


if __name__ == "__main__":
    main()

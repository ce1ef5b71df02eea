"""What it is worth to keep freed memory: the forward of ResNet-50 on 8 frames of 224² pixels.

    python benchmarks/allocator.py [--rounds 15] [--threads 2]

TSN and STSM take turns in one process, first as the C library is, then told to keep what is freed
(`stsm_cli/allocator.py`; it cannot be told back). Printed are medians of CPU time, of all threads
together, and of the ratio of the two in the same round.
"""

import argparse
import time
from fractions import Fraction
from statistics import median

import torch
from torch import Tensor, nn

from stsm_cli.allocator import keep_freed_memory
from stsm_cli.config.schema import ModelConfig, ShiftConfig
from stsm_cli.models.build import build_model

NUM_FRAMES = 8


def network(shift: ShiftConfig | None) -> nn.Module:
    """ResNet-50 for 400 classes, at random weights."""
    config = ModelConfig(
        backbone="resnet50", num_classes=400, num_frames=NUM_FRAMES, weights=None, shift=shift
    )
    return build_model(config).eval()


@torch.inference_mode()
def cpu_seconds(model: nn.Module, videos: Tensor) -> float:
    """CPU time of one forward."""
    started = time.process_time()
    model(videos)
    return time.process_time() - started


def measure(tsn: nn.Module, stsm: nn.Module, videos: Tensor, rounds: int) -> str:
    """One line of the table; the first round warms up."""
    pairs = [(cpu_seconds(tsn, videos), cpu_seconds(stsm, videos)) for _ in range(rounds + 1)][1:]
    plain, shifted = (median(times) for times in zip(*pairs, strict=True))
    ratio = median(second / first for first, second in pairs)
    return f"TSN {plain:.2f} s, STSM {shifted:.2f} s, ratio {ratio:.3f}"


def main() -> None:
    """Print both lines."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    tsn, stsm = network(None), network(ShiftConfig(dims="T+H+W", alpha=Fraction(3, 8)))
    videos = torch.rand(1, NUM_FRAMES, 3, 224, 224)
    print("as it is:", measure(tsn, stsm, videos, arguments.rounds))
    if not keep_freed_memory():
        print("switched off, or another C library than glibc: nothing to compare")
        return
    print("freed memory kept:", measure(tsn, stsm, videos, arguments.rounds))


if __name__ == "__main__":
    main()

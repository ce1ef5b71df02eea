"""Variants that take turns in one process, so that what else the machine does slows all alike."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median

import torch

from stsm_cli.progress import Bar

Variant = Callable[[int], object]
"""What is timed; it is told the round, from 0."""
Seconds = Mapping[str, list[float]]
"""Of each variant in each round, by its name."""


@dataclass(frozen=True)
class Stopwatch:
    """A clock of what runs on a device.

    Attributes:
        device: Where it runs; a GPU's work is waited for.
        is_cpu_time: Take the time that this process was given, its threads together, in place of
            the time that passed: what to look at on a busy machine.
    """

    device: torch.device
    is_cpu_time: bool = False

    def now(self) -> float:
        """Seconds since some moment, when all work so far is done."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.process_time() if self.is_cpu_time else time.perf_counter()


def take_turns(
    variants: Mapping[str, Variant], rounds: int, stopwatch: Stopwatch, bar: Bar
) -> Seconds:
    """Seconds of all variants, after a round to warm up; each round another one begins."""
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    names = list(variants)
    for turn in range(-1, rounds):
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            started = stopwatch.now()
            variants[name](max(0, turn))
            if turn >= 0:
                seconds[name].append(stopwatch.now() - started)
            bar.advance(1, name)
    return seconds


def milliseconds(seconds: Seconds, name: str) -> float:
    """The median of a variant."""
    return 1000 * median(seconds[name])


def ratio(seconds: Seconds, name: str, other: str) -> float:
    """The median over the rounds of a variant's time to another's in the same round."""
    return median(one / two for one, two in zip(seconds[name], seconds[other], strict=True))

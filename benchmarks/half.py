"""What a training step takes in half precision on this CPU, by one thread's CPU time.

    python benchmarks/half.py [RECIPE ...] [--rounds 5]

`bf16` is what the suite does: where the CPU has no arithmetic for it, products in float32 of
rounded numbers (`stsm_cli/engine/autocast.py`). `bf16, torch alone` is the same without that.
"""

import argparse
from contextlib import AbstractContextManager
from functools import partial

import torch
from torch import Tensor

from stsm_cli.bench.turns import Stopwatch, milliseconds, ratio, take_turns
from stsm_cli.config.load import load_recipe
from stsm_cli.cores import cpu_name
from stsm_cli.engine.autocast import autocast, cpu_computes_in
from stsm_cli.engine.step import normalise
from stsm_cli.models.build import build_model
from stsm_cli.models.network import Network
from stsm_cli.progress import SILENT

CPU, BF16 = torch.device("cpu"), torch.bfloat16
CONTEXTS = {
    "fp32": partial(autocast, CPU, None),
    "bf16": partial(autocast, CPU, BF16),
    "bf16, torch alone": partial(torch.autocast, "cpu", BF16),
}


def main() -> None:
    """Print a row for each recipe."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recipes", nargs="*", default=["order/stsm", "synth/stsm", "scenes/i3d"])
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    torch.set_num_threads(1)
    has = "with" if cpu_computes_in(BF16) else "without"
    print(f"{cpu_name()}, {has} arithmetic for bfloat16, torch {torch.__version__}, CPU ms a step")
    print("\n| recipe | " + " | ".join(CONTEXTS) + " | bf16 to fp32 |\n|" + " --- |" * 5)
    for recipe in given.recipes:
        print(f"| `{recipe}` | {measure(recipe, given.rounds)} |", flush=True)


def measure(name: str, rounds: int) -> str:
    """The cells of a recipe: milliseconds of each variant, and a ratio."""
    recipe = load_recipe(name).recipe
    model = build_model(recipe.model).channels_last().train()
    shape = (recipe.optim.batch_size, *model.view.shape(recipe.data.crop_px))
    videos = normalise(torch.randint(0, 256, shape, dtype=torch.uint8), model.view, CPU)
    variants = {
        called: lambda _, context=context: step(model, videos, context())
        for called, context in CONTEXTS.items()
    }
    with SILENT.bar(name, rounds) as bar:
        seconds = take_turns(variants, rounds, Stopwatch(CPU, is_cpu_time=True), bar)
    cells = [f"{milliseconds(seconds, called):.0f}" for called in CONTEXTS]
    return " | ".join([*cells, f"{ratio(seconds, 'bf16', 'fp32'):.2f}"])


def step(model: Network, videos: Tensor, context: AbstractContextManager[object]) -> None:
    """Forward and backward."""
    with context:
        logits = model(videos)
    heads = logits if isinstance(logits, tuple) else (logits,)
    sum(head.float().logsumexp(1).mean() for head in heads).backward()
    model.zero_grad()


if __name__ == "__main__":
    main()

"""Counts the networks whose cost travels with the package (`datasets/paper/counts.json`).

    python benchmarks/counts.py          # those that the file does not have
    python benchmarks/counts.py --all    # every one, in ten minutes

The first is due when a recipe or a row comes to be, the second when a network, a shift or the
counting changes; tests/analysis/test_cost.py, which counts every network of the file anew, says so.
The networks are those of the paper's tables, of all recipes, of the ablations on generated sets,
and R-18, R-34 and R-101 beside them.
"""

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any

from stsm_cli.analysis.ablation import ablation_names, load_ablation, plan_sweep
from stsm_cli.analysis.counting import count_cost
from stsm_cli.analysis.paper_cost import TEST_CROP_PX, TRAIN_CROP_PX
from stsm_cli.analysis.printed_cost import paper_costs, reason_networks, recipe_network, unshifted
from stsm_cli.cli.flops import DEFAULT_CLASSES, STSM, TSM, default_shifts
from stsm_cli.config.load import load_recipe, recipe_names
from stsm_cli.config.schema import ModelConfig, ShiftConfig
from stsm_cli.data.generated import GENERATED
from stsm_cli.resources import resource_dir

FILE = resource_dir("datasets") / "paper" / "counts.json"


Counted = Iterator[tuple[ModelConfig, int]]
"""Networks with the size of a view; some of them more than once."""


def printed() -> Counted:
    """Networks of the paper's tables, and others that explain what a row prints."""
    for paper in paper_costs():
        for network in paper.networks:
            for size_px in (TRAIN_CROP_PX, TEST_CROP_PX, paper.counted_px):
                yield network, size_px
        for reason in paper.reasons:
            for network in reason_networks(paper, reason):
                yield network, paper.counted_px


def of_recipes() -> Counted:
    """Networks of all recipes, as `stsm flops` counts them."""
    for name in recipe_names():
        recipe = load_recipe(name).recipe
        classes = {"num_classes": recipe.model.num_classes or DEFAULT_CLASSES}
        yield recipe.model.model_copy(update=classes), recipe.test.crop_px


def others() -> Counted:
    """Other networks that people ask for, as they ask: at the defaults of `stsm flops`."""
    for options in (
        {"backbone": "resnet18"},
        {"backbone": "resnet34"},
        {"backbone": "resnet101"},
        {"backbone": "resnet50", "num_frames": 16},
        {"backbone": "mobilenet_v2", "num_frames": 16},
    ):
        network = {"num_classes": DEFAULT_CLASSES} | options
        yield ModelConfig.model_validate(network), TRAIN_CROP_PX
    for recipe in ("k400/tea_r50_8f", "k400/tdn_r50_8f", "k400/smallbig_r50_8f"):
        for size_px in (TRAIN_CROP_PX, TEST_CROP_PX):
            yield recipe_network(recipe).model_copy(update={"num_frames": 16}), size_px


def of_rows() -> Counted:
    """Networks of the ablations' rows on the generated sets, as `stsm ablate --dry-run` counts."""
    for name in ablation_names():
        for dataset in load_ablation(name).base:
            if dataset in GENERATED:
                for run in plan_sweep(name, dataset).runs:
                    yield unshifted(run.recipe.model), run.recipe.data.crop_px


@dataclass
class Wanted:
    """What is to be counted of a network: its shifts, and the frames and sizes of its views."""

    shifts: dict[ShiftConfig | None, None]
    views: set[tuple[int, int]]


def gathered() -> dict[ModelConfig, Wanted]:
    """Networks without a shift and with a default number of frames."""
    default = {"num_frames": ModelConfig.model_fields["num_frames"].default}
    networks: dict[ModelConfig, Wanted] = {}
    for model, size_px in chain(printed(), of_recipes(), others(), of_rows()):
        network = unshifted(model).model_copy(update=default)
        wanted = networks.setdefault(network, Wanted({None: None}, set()))
        asked = STSM if model.shift in (None, TSM) else model.shift
        wanted.shifts |= dict.fromkeys(default_shifts(model, asked).values())
        wanted.views.add((model.num_frames, size_px))
    return networks


def counted(network: ModelConfig, wanted: Wanted) -> dict[str, Any]:
    """What the file says of a network: names and parameters once, multiply-adds for each view."""
    views = sorted(wanted.views)
    costs = [
        count_cost(network.model_copy(update={"num_frames": frames}), size_px=size)
        for frames, size in views
    ]
    (layers,) = {tuple((layer.name, layer.params) for layer in cost.layers) for cost in costs}
    return {
        "model": dumped(network),
        "layers": [name for name, _ in layers],
        "params": [params for _, params in layers],
        "training_params": costs[0].training_params,
        "shifts": [moved(network, shift) for shift in wanted.shifts],
        "views": [
            {
                "num_frames": frames,
                "size_px": size,
                "macs": [layer.macs for layer in cost.layers],
                "skipped": cost.skipped,
                "uncounted": cost.uncounted,
            }
            for (frames, size), cost in zip(views, costs, strict=True)
        ],
    }


def moved(network: ModelConfig, shift: ShiftConfig | None) -> dict[str, Any]:
    """Where a shift stands in a network, and what it moves there; at whatever size."""
    cost = count_cost(network.model_copy(update={"shift": shift}), size_px=32)
    return {
        "shift": dumped_shift(shift),
        "sites": [[site.site, site.channels, site.by_group] for site in cost.sites],
    }


def dumped(network: ModelConfig) -> dict[str, Any]:
    """A network as the file names it."""
    return network.model_dump(mode="json", exclude_defaults=True)


def dumped_shift(shift: ShiftConfig | None) -> dict[str, Any] | None:
    """A shift as the file names it."""
    if shift is None:
        return None
    return shift.model_dump(mode="json", exclude=set() if shift.shortcut else {"shortcut"})


def is_counted(known: dict[str, Any], network: ModelConfig, wanted: Wanted) -> bool:
    """True if `known`, a network of the file, is this one, with all that is wanted of it."""
    views = {(view["num_frames"], view["size_px"]) for view in known["views"]}
    shifts = [part["shift"] for part in known["shifts"]]
    asked = dumped(network), wanted.views, [dumped_shift(shift) for shift in wanted.shifts]
    return (known["model"], views, shifts) == asked


def renewed(known: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What the file is to say: what is known, and what is counted now."""
    return [
        next((old for old in known if is_counted(old, network, wanted)), {})
        or counted(network, wanted)
        for network, wanted in gathered().items()
    ]


def main() -> None:
    """Write the file, one network a line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--all", action="store_true", help="count every network anew")
    known = json.loads(FILE.read_text(encoding="utf-8"))["networks"]
    networks = renewed([] if parser.parse_args().all else known)
    lines = [json.dumps(network, separators=(",", ":")) for network in networks]
    head = '{"made_by": "python benchmarks/counts.py", "networks": [\n'
    FILE.write_text(head + ",\n".join(lines) + "\n]}\n", encoding="utf-8")
    print(f"{FILE}: {len(networks)} networks, {FILE.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()

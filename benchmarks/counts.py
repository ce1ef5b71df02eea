"""Counts again the networks whose cost travels with the package (`datasets/paper/counts.json`).

    python benchmarks/counts.py

Due when a network, a shift or the counting changes; tests/analysis/test_cost.py, which counts every
network of the file anew, says so. The networks are those of the paper, with the classes of its two
data sets, and R-18, R-34 and R-101 beside them.
"""

import json
from collections.abc import Iterator
from typing import Any

from stsm_cli.analysis.counting import count_cost
from stsm_cli.analysis.paper_cost import TEST_CROP_PX, TRAIN_CROP_PX, paper_costs
from stsm_cli.cli.flops import STSM, TSM
from stsm_cli.config.schema import ModelConfig, ShiftConfig
from stsm_cli.resources import resource_dir

FILE = resource_dir("datasets") / "paper" / "counts.json"
SIZES_PX = (TRAIN_CROP_PX, TEST_CROP_PX)


def printed() -> Iterator[tuple[ModelConfig, list[tuple[int, int]]]]:
    """The paper's networks, without a shift, and the frames and sizes of their views."""
    costs = paper_costs()
    for backbone, non_local in dict.fromkeys((cost.backbone, cost.non_local) for cost in costs):
        like = [c for c in costs if (c.backbone, c.non_local) == (backbone, non_local)]
        frames = sorted({cost.num_frames for cost in like})
        for num_classes in sorted({cost.num_classes for cost in like}):
            network = ModelConfig(backbone=backbone, non_local=non_local, num_classes=num_classes)
            yield network, [(num_frames, size) for num_frames in frames for size in SIZES_PX]


def others() -> Iterator[tuple[ModelConfig, list[tuple[int, int]]]]:
    """Other networks that people ask for, as they ask: at the defaults of `stsm flops`."""
    for backbone in ("resnet18", "resnet34", "resnet101"):
        yield ModelConfig(backbone=backbone, num_classes=400), [(8, TRAIN_CROP_PX)]


def counted(network: ModelConfig, views: list[tuple[int, int]]) -> dict[str, Any]:
    """What the file says of a network: names and parameters once, multiply-adds for each view."""
    costs = [
        count_cost(network.model_copy(update={"num_frames": frames}), size_px=size)
        for frames, size in views
    ]
    return {
        "backbone": network.backbone,
        "non_local": network.non_local,
        "num_classes": network.num_classes,
        "layers": [layer.name for layer in costs[0].layers],
        "params": [layer.params for layer in costs[0].layers],
        "shifts": [moved(network, shift) for shift in (None, TSM, STSM)],
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
        "shift": shift and shift.model_dump(mode="json", include={"dims", "alpha"}),
        "sites": [[site.site, site.channels, site.by_group] for site in cost.sites],
    }


def main() -> None:
    """Write the file, one network a line."""
    networks = [counted(network, views) for network, views in (*printed(), *others())]
    lines = [json.dumps(network, separators=(",", ":")) for network in networks]
    head = '{"made_by": "python benchmarks/counts.py", "networks": [\n'
    FILE.write_text(head + ",\n".join(lines) + "\n]}\n", encoding="utf-8")
    print(f"{FILE}: {len(networks)} networks, {FILE.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()

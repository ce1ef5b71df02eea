"""The audit of the columns GFLOPs and #Para: the networks counted, beside what is printed."""

from decimal import Decimal

from stsm_cli.analysis.cost import model_cost
from stsm_cli.analysis.finding import Finding, quoted
from stsm_cli.analysis.paper import Network, load_paper_table
from stsm_cli.analysis.paper_cost import (
    NETWORKS,
    TEST_CROP_PX,
    TRAIN_CROP_PX,
    Comparison,
    compare_with_paper,
)
from stsm_cli.config.schema import ModelConfig

SIZES = (TRAIN_CROP_PX, TEST_CROP_PX)


def cost_findings() -> list[Finding]:
    """The units first, then multiply-adds, then parameters."""
    return [
        _unit(),
        _crop("r50", "ResNet-50"),
        _crop("mbv2", "MobileNetV2"),
        _sixteen_frames(),
        _mobilenet_counter(),
        _non_local(),
        _params_sthv2(),
        _params_mobilenet(),
    ]


def _config(network: Network, num_frames: int = 8, num_classes: int = 400) -> ModelConfig:
    backbone, non_local = NETWORKS[network]
    return ModelConfig(
        backbone=backbone, num_classes=num_classes, num_frames=num_frames, non_local=non_local
    )


def _compared(network: Network) -> dict[int, Comparison]:
    """By table, at 8 frames."""
    return {row.paper.table: row for row in compare_with_paper(_config(network))}


def _giga(macs: int) -> str:
    return f"{macs / 1e9:,.2f} G"


def _unit() -> Finding:
    row = _compared("r50")[4]
    return Finding(
        "section 4.1, Tables 2 to 5",
        "cost in FLOPs",
        f"ResNet-50, 8 frames: {row.paper.gflops}",
        f"a view has {_giga(row.macs_train_crop)} multiply-adds, so "
        f"{_giga(2 * row.macs_train_crop)} floating-point operations",
        "inexact: GFLOPs are multiply-adds here, as in most of the field",
    )


def _crop(network: Network, name: str) -> Finding:
    row = _compared(network)[4]
    views = row.paper.views or 0  # Table 4 prints them
    printed = Decimal(row.paper.gflops.split("×")[0])
    small, large = (_giga(macs) for macs in (row.macs_train_crop, row.macs_test_crop))
    return Finding(
        "Tables 4 and 5 against section 4.2",
        f"what a test of {name} costs",
        f"{row.paper.gflops}, on “256×256 pixel frames”",
        f"a view of {SIZES[0]}²: {small}; of {SIZES[1]}²: {large}; {views} views: printed "
        f"{views * printed:,.1f} G, really {_giga(views * row.macs_test_crop)}",
        f"inexact: the column counts views of {SIZES[0]}², the tests see {SIZES[1]}², "
        f"{row.macs_test_crop / row.macs_train_crop:.2f} times as much",
    )


def _sixteen_frames() -> Finding:
    rows = {row.num_frames: row for row in load_paper_table(5).rows if row.setting == "STSM+TSN"}
    # without non-local blocks frames pass one by one, and one is enough to count
    frame = model_cost(_config("r50", 1, 174), size_px=TRAIN_CROP_PX).macs
    return Finding(
        "Table 5",
        "8 and 16 frames of ResNet-50",
        " and ".join(row.flops or "-" for row in rows.values()),
        " and ".join(_giga(int(frames or 0) * frame) for frames in rows),
        f"holds: at {TRAIN_CROP_PX}², each rounded by itself",
    )


def _mobilenet_counter() -> Finding:
    row = _compared("mbv2")[4]
    printed = row.paper.gflops.split("×")[0]
    return Finding(
        "Tables 4 and 5",
        "a view of MobileNetV2, 8 frames",
        f"{printed} G",
        "; ".join(reason for reason in row.reasons if "batch norm" in reason),
        "inexact: counted otherwise than ResNet-50 in the same column",
    )


def _non_local() -> Finding:
    rows = [row for row in load_paper_table(4).rows if row.network == "r50-nl"]
    plain = _compared("r50")[4]
    cost = model_cost(_config("r50-nl"), size_px=TRAIN_CROP_PX)
    return Finding(
        "Table 4",
        "what ResNet-50 with non-local blocks costs",
        "; ".join(f"{row.setting}: {row.flops}, {row.params}" for row in rows),
        f"{_giga(cost.macs)} a view of {TRAIN_CROP_PX}², {cost.macs / plain.macs_train_crop:.2f} "
        f"times ResNet-50's; {cost.params / 1e6:.2f}M parameters",
        f"not stated: its {rows[-1].top1} is the paper's best on Kinetics-400, and not at "
        "ResNet-50's cost",
    )


def _params_sthv2() -> Finding:
    kinetics, something = (_compared("r50")[table] for table in (4, 5))
    return Finding(
        "Table 5",
        "parameters of ResNet-50 on Something-Something V2",
        something.paper.params,
        f"{_with_classes(something)}, {_with_classes(kinetics)}; {_heads(something)}",
        "does not hold: the figure is Kinetics-400's",
    )


def _params_mobilenet() -> Finding:
    kinetics, something = (_compared("mbv2")[table] for table in (4, 5))
    classes = int(quoted("action_net_classes").value)
    other = model_cost(_config("mbv2", 1, classes), size_px=32).params
    return Finding(
        "Tables 4 and 5",
        "parameters of MobileNetV2",
        kinetics.paper.params,
        f"{_with_classes(kinetics)}, {_with_classes(something)}, {other:,} with {classes} classes; "
        f"{_heads(kinetics)}",
        f"does not hold: of neither data set; {classes} classes has the set that ACTION-Net's code "
        "trains on, from which Table 5 cites MobileNetV2",
        ("action_net_classes",),
    )


def _with_classes(row: Comparison) -> str:
    return f"{row.params:,} with {row.paper.num_classes} classes"


def _heads(row: Comparison) -> str:
    return "; ".join(reason for reason in row.reasons if "head of" in reason)

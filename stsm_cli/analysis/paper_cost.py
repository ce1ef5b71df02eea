"""Printed costs of networks, beside what those networks cost, and why they differ.

Every reason is computed: it is given because the numbers say so.
"""

from dataclasses import dataclass, replace
from decimal import Decimal
from functools import lru_cache
from math import prod

from stsm_cli.analysis.cost import Cost, LayerCost, model_cost
from stsm_cli.analysis.paper import TABLES, PaperNetwork, load_paper_table
from stsm_cli.config.kinds import Section
from stsm_cli.config.load import load_yaml
from stsm_cli.config.schema import Backbone, DatasetName, ModelConfig
from stsm_cli.resources import resource_dir

TRAIN_CROP_PX = 224  # paper 4.2
TEST_CROP_PX = 256  # paper 4.2
NETWORKS: dict[PaperNetwork, tuple[Backbone, bool]] = {
    "r50": ("resnet50", False),
    "r50-nl": ("resnet50", True),
    "mbv2": ("mobilenet_v2", False),
}
"""Backbone, and whether it has non-local blocks."""


class PaperCost(Section):
    """Rows of one of the paper's tables that print the same cost."""

    table: int
    rows: tuple[str, ...]
    """Texts of the first column."""
    backbone: Backbone
    non_local: bool
    num_frames: int
    num_classes: int
    """Of the table's data set; the paper does not print it beside a cost."""
    gflops: str
    """As printed: multiply-adds of a view in G, times crops, times clips."""
    params: str
    """As printed, in M."""

    @property
    def views(self) -> int | None:
        """Crops × clips, where they are printed."""
        factors = self.gflops.split("×")[1:]
        return prod(map(int, factors)) if factors else None


@dataclass(frozen=True)
class Comparison:
    """A printed cost and the measured one, of the same frames and classes."""

    paper: PaperCost
    macs_train_crop: int
    """Multiply-adds of a view of 224² pixels."""
    macs_test_crop: int
    """Multiply-adds of a view of 256² pixels, which is what the paper tests on."""
    params: int
    reasons: tuple[str, ...]
    """Why printed and measured differ."""


@lru_cache
def paper_costs() -> tuple[PaperCost, ...]:
    """Every cost that the paper's tables print of a network of this suite, table by table."""
    rows: dict[tuple[int, PaperNetwork, str, str, str], list[str]] = {}
    for table in map(load_paper_table, TABLES):
        for row in table.rows:
            if row.network and row.num_frames and row.flops and row.params:
                key = (table.table, row.network, row.num_frames, row.flops, row.params)
                rows.setdefault(key, []).append(row.setting)
    return tuple(
        PaperCost(
            table=table,
            rows=tuple(settings),
            backbone=NETWORKS[network][0],
            non_local=NETWORKS[network][1],
            num_frames=int(num_frames),
            num_classes=num_classes(load_paper_table(table).dataset),
            gflops=gflops,
            params=params,
        )
        for (table, network, num_frames, gflops, params), settings in rows.items()
    )


def num_classes(dataset: DatasetName) -> int:
    """The classes of a data set, from its card."""
    card = load_yaml(resource_dir("datasets") / f"{dataset}.yaml")
    known: int = card["num_classes"]
    return known


def compare_with_paper(config: ModelConfig) -> tuple[Comparison, ...]:
    """Printed costs for the backbone and frames of `config`, beside what they cost.

    Neither the shift nor the classes of `config` matter: a shift costs nothing, and each row is
    compared at its own data set's classes. The rows are those of TSN, TSM and STSM.
    """
    key = (config.backbone, config.non_local, config.num_frames)
    found = [p for p in paper_costs() if (p.backbone, p.non_local, p.num_frames) == key]
    if not found or config.system is not None:
        return ()
    plain = config.model_copy(update={"shift": None})
    sizes = (TRAIN_CROP_PX, TEST_CROP_PX)
    train, test = (model_cost(plain, size_px=size) for size in sizes)
    assert config.num_classes is not None  # a network was built from it
    return tuple(_compare(paper, train, test, config.num_classes) for paper in found)


def _compare(paper: PaperCost, train: Cost, test: Cost, num_classes: int) -> Comparison:
    train, test = (_with_classes(cost, num_classes, paper.num_classes) for cost in (train, test))
    return Comparison(
        paper=paper,
        macs_train_crop=train.macs,
        macs_test_crop=test.macs,
        params=train.params,
        reasons=(*_macs_reasons(paper, train, test), *_params_reasons(paper, train)),
    )


def _with_classes(cost: Cost, before: int, after: int) -> Cost:
    """The cost with another number of classes: `fc` is the only layer that knows of them."""
    fc = _classifier(cost)
    other = replace(fc, macs=fc.macs // before * after, params=fc.params // before * after)
    return replace(
        cost,
        macs=cost.macs - fc.macs + other.macs,
        params=cost.params - fc.params + other.params,
        layers=tuple(other if layer is fc else layer for layer in cost.layers),
    )


def _classifier(cost: Cost) -> LayerCost:
    return next(layer for layer in cost.layers if layer.name == "fc")


def _macs_reasons(paper: PaperCost, train: Cost, test: Cost) -> list[str]:
    """Why a view is not what is printed."""
    printed = _number(paper.gflops.split("×")[0].rstrip("G"))
    if printed is None or rounds_to(test.macs / 1e9, printed):
        return []
    plain, counted_more = train.macs / 1e9, with_elementwise(paper, train) / 1e9
    if not rounds_to(plain, printed) and not rounds_to(counted_more, printed):
        return [f"no known count gives {printed} G; a view of {TRAIN_CROP_PX}² is {plain:.2f} G"]
    reasons = [
        f"{printed} G is a view of {TRAIN_CROP_PX}² pixels; the tests see {TEST_CROP_PX}² "
        f"(paper 4.2), where a view costs {test.macs / 1e9:.2f} G"
    ]
    if not rounds_to(plain, printed):
        reasons.append(
            f"{printed} G counts batch norm (2 an element) and activations (1) too, "
            f"{counted_more:.3f} G; the multiply-adds alone are {plain:.2f} G"
        )
    return reasons


def _params_reasons(paper: PaperCost, cost: Cost) -> list[str]:
    heads = _heads(paper, cost)
    if heads is None:
        return []
    return [
        f"{paper.params} is a head of {heads[0]} to {heads[1]} classes; "
        f"with {paper.num_classes} classes it is {cost.params / 1e6:.2f}M"
    ]


def _heads(paper: PaperCost, cost: Cost) -> tuple[int, int] | None:
    """The least and most classes that give the printed #Para; None where `cost` does."""
    printed = _number(paper.params.rstrip("M"))
    if printed is None or rounds_to(cost.params / 1e6, printed):
        return None
    fc = _classifier(cost)
    per_class, body = fc.params // paper.num_classes, cost.params - fc.params
    low, high = (int((printed + sign * _half_unit(printed)) * 10**6) for sign in (-1, 1))
    return -((body - low) // per_class), (high - body) // per_class


def with_elementwise(paper: PaperCost, cost: Cost) -> int:
    """Multiply-adds, and what some counters add to them: batch norm and activations.

    They are those of a head with the classes of the printed #Para.
    """
    heads = _heads(paper, cost)
    cost = cost if heads is None else _with_classes(cost, paper.num_classes, heads[0])
    activations = cost.skipped.get("relu_", 0) + cost.skipped.get("hardtanh_", 0)
    return cost.macs + 2 * cost.skipped["batch_norm"] + activations


def _number(printed: str) -> Decimal | None:
    return None if printed == "-" else Decimal(printed)


def _half_unit(printed: Decimal) -> Decimal:
    """Half a unit of the last printed digit."""
    return Decimal(5).scaleb(int(printed.as_tuple().exponent) - 1)


def rounds_to(value: float, printed: Decimal) -> bool:
    """True if a value, rounded to the digits of `printed`, is `printed`."""
    return abs(Decimal(value) - printed) <= _half_unit(printed)

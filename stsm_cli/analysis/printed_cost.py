"""Costs that the paper prints, and the networks of this suite that they are printed for."""

from functools import lru_cache
from math import prod

from stsm_cli.analysis.cost import what_costs
from stsm_cli.analysis.paper import (
    TABLES,
    PaperNetwork,
    PaperRow,
    PaperTable,
    Reason,
    load_paper_table,
)
from stsm_cli.config.kinds import Section
from stsm_cli.config.load import load_recipe
from stsm_cli.config.schema import Backbone, DatasetName, ModelConfig
from stsm_cli.data.catalog import load_card

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
    networks: tuple[ModelConfig, ...]
    """The rows' network without a shift, with the classes of the table's data set; or two, where
    the row has two streams. The paper does not print classes beside a cost."""
    gflops: str
    """As printed: multiply-adds of a view in G, times crops, times clips."""
    params: str
    """As printed, in M."""
    counted_px: int
    """Side of the view that the printed cost is of, in pixels."""
    reasons: tuple[Reason, ...]
    """Why printed and counted differ, where counts alone do not say it."""
    is_system: bool
    """True for rows that are neither TSN, TSM nor STSM."""

    @property
    def num_classes(self) -> int:
        """Of the table's data set."""
        known = self.networks[0].num_classes
        assert known is not None  # a recipe of the paper's data set, which says it
        return known

    @property
    def num_frames(self) -> int:
        """Frames a view, as the recipe counts them."""
        return self.networks[0].num_frames

    @property
    def is_printed(self) -> bool:
        """True if one of the two has a number."""
        return (self.gflops, self.params) != ("-", "-")

    @property
    def views(self) -> int | None:
        """Crops × clips, where they are printed."""
        factors = self.gflops.split("×")[1:]
        return prod(map(int, factors)) if factors and "N/A" not in factors else None


@lru_cache
def paper_costs() -> tuple[PaperCost, ...]:
    """Every cost that the paper's tables print of a network of this suite, table by table."""
    rows: dict[PaperCost, list[str]] = {}
    for table in map(load_paper_table, TABLES):
        for row in table.rows:
            cost = paper_cost(table, row)
            if cost is not None:
                rows.setdefault(cost.model_copy(update={"rows": ()}), []).append(row.setting)
    printed = {(cost.table, cost.networks) for cost in rows if cost.is_printed}
    return tuple(
        cost.model_copy(update={"rows": tuple(settings)})
        for cost, settings in rows.items()
        if cost.is_printed or (cost.table, cost.networks) not in printed
    )


def paper_cost(table: PaperTable, row: PaperRow) -> PaperCost | None:
    """The printed cost of a row; None where none has a place in the table, or nothing is built."""
    networks = _networks(table, row)
    if not (networks and row.flops and row.params):
        return None
    return PaperCost(
        table=table.table,
        rows=(row.setting,),
        networks=networks,
        gflops=row.flops,
        params=row.params,
        counted_px=row.counted_px,
        reasons=row.reasons,
        is_system=row.network is None,
    )


def _networks(table: PaperTable, row: PaperRow) -> tuple[ModelConfig, ...]:
    if row.network and row.num_frames:
        backbone, non_local = NETWORKS[row.network]
        classes, frames = num_classes(table.dataset), int(row.num_frames)
        config = ModelConfig(
            backbone=backbone, non_local=non_local, num_classes=classes, num_frames=frames
        )
        return (config,)
    return tuple(map(recipe_network, row.recipes)) if row.is_built else ()


@lru_cache
def recipe_network(recipe: str) -> ModelConfig:
    """The network of a recipe, `unshifted`."""
    return unshifted(load_recipe(recipe).recipe.model)


def unshifted(config: ModelConfig) -> ModelConfig:
    """The network without a shift, which costs nothing, and nothing else that does not cost."""
    return what_costs(config).model_copy(update={"shift": None})


def reason_networks(paper: PaperCost, reason: Reason) -> tuple[ModelConfig, ...]:
    """The networks whose cost a reason names: the rows' own, or others."""
    networks = paper.networks if reason.of is None else (recipe_network(reason.of),)
    if reason.frames is None:
        return networks
    frames = {"num_frames": reason.frames}
    return tuple(network.model_copy(update=frames) for network in networks)


def num_classes(dataset: DatasetName) -> int:
    """The classes of a data set, from its card."""
    known = load_card(dataset).num_classes
    assert known is not None  # the paper's data sets state it
    return known

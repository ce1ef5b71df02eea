"""Costs and moved channels of the paper's network of a table's row, whoever has run it or not."""

from dataclasses import dataclass
from functools import lru_cache

import torch

from stsm_cli.analysis.ablation import Ablation, Row
from stsm_cli.analysis.cost import ShiftSite, model_cost
from stsm_cli.analysis.counting import shifted_channels
from stsm_cli.analysis.paper_cost import TEST_CROP_PX, TRAIN_CROP_PX
from stsm_cli.config.load import load_recipe
from stsm_cli.config.schema import DatasetName, ModelConfig
from stsm_cli.models.build import build_model


@dataclass(frozen=True)
class Counted:
    """The cost of one view in a network, and the channels that its shift really moves."""

    macs_train_crop: int
    """Multiply-adds of a view of 224² pixels, where the paper counts."""
    macs_test_crop: int
    """Multiply-adds of a view of 256² pixels, which is what the paper tests on."""
    params: int
    sites: tuple[ShiftSite, ...]
    """Places of a shift; none in a TSN."""

    @property
    def channels(self) -> int:
        """Channels that enter the convolutions behind a shift, all sites together."""
        return sum(site.channels for site in self.sites)

    @property
    def shifted(self) -> int:
        """Those of them that move."""
        return sum(site.shifted for site in self.sites)

    @property
    def by_group(self) -> dict[str, int]:
        """Those that move along each group of axes, such as `T` or `HW`."""
        groups = self.sites[0].by_group if self.sites else ()
        return {group: sum(site.by_group[group] for site in self.sites) for group in groups}


def paper_model(ablation: Ablation, row: Row, dataset: DatasetName) -> ModelConfig:
    """The network that the paper trains for a row, on the data set of its table."""
    return load_recipe(ablation.base[dataset], row.on(dataset)).recipe.model


def count(model: ModelConfig) -> Counted:
    """The cost of `model` at the paper's two sizes, and the channels that its shift moves.

    It is counted without the shift, which adds nothing (test_counted.py) and takes longer.
    """
    plain = model.without_start(shift=None)
    train, test = (model_cost(plain, size_px=size) for size in (TRAIN_CROP_PX, TEST_CROP_PX))
    return Counted(train.macs, test.macs, train.params, _sites(model.without_start()))


@lru_cache
def _sites(model: ModelConfig) -> tuple[ShiftSite, ...]:
    if model.shift is None:
        return ()
    with torch.device("meta"):
        return shifted_channels(build_model(model))

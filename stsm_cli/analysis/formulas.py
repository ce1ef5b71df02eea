"""Names for formulas of the audit: the paper's cells, counted networks, and data sets.

Numbers read from a text are exact (`Decimal`), and so are differences of printed accuracies.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from itertools import chain
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from torchvision.models import resnet
from torchvision.models.video import resnet as video_resnet

from stsm_cli.analysis.comparison import TEST
from stsm_cli.analysis.cost import Cost, model_cost
from stsm_cli.analysis.paper import PaperNetwork, PaperRow, load_paper_table
from stsm_cli.analysis.paper_cost import (
    TEST_CROP_PX,
    TRAIN_CROP_PX,
    Comparison,
    compare_with_paper,
    implied_head,
    rounds_to,
    with_elementwise,
)
from stsm_cli.analysis.printed_cost import NETWORKS
from stsm_cli.config.load import load_recipe
from stsm_cli.config.schema import ModelConfig, ShiftConfig
from stsm_cli.data.catalog import known_counts, load_card
from stsm_cli.data.sampling import dense_test, dense_train, uniform_test
from stsm_cli.models.shift import channel_slices, insert_shift
from stsm_cli.models.shift_slices import group_sizes

_NUMBER = re.compile(r"(\d+(?:\.\d+)?)(?:(?:e|×10\^\{)(-?\d+))?")


def numbers(text: str) -> list[Decimal]:
    """The numbers in a text, without signs: 33, 3 and 10 of `33×3×10`, 0.0075 of `7.5×10^{-3}`."""
    return [Decimal(f"{digits}e{power or 0}") for digits, power in _NUMBER.findall(text)]


def number(text: str) -> Decimal:
    """The first number in a text.

    Raises:
        IndexError: It has none.
    """
    return numbers(text)[0]


def row(table: int, label: str) -> PaperRow:
    """The printed row with this label.

    Raises:
        KeyError: There is none.
    """
    return load_paper_table(table).row(label)


def rows(*tables: int, **cells: object) -> list[PaperRow]:
    """The rows of some tables whose `cells`, named as in `PaperRow`, have these values."""
    found = [row for table in tables for row in load_paper_table(table).rows]
    return [row for row in found if all(getattr(row, name) == cells[name] for name in cells)]


def top1(table: int, label: str) -> Decimal:
    """A printed accuracy, in percent.

    Raises:
        KeyError: The table has no row with this label.
    """
    return row(table, label).percent


def best_first(among: Iterable[PaperRow]) -> list[PaperRow]:
    """Rows by falling accuracy."""
    return sorted(among, key=lambda row: -row.percent)


def above(ours: PaperRow, among: Iterable[PaperRow]) -> list[PaperRow]:
    """Other systems' rows that are better than `ours`, the best first."""
    return best_first(row for row in among if row.cited and row.percent > ours.percent)


def listed(among: Iterable[PaperRow]) -> str:
    """Rows as model and accuracy."""
    return ", ".join(f"{row.setting} {row.top1}" for row in among) or "none"


def system(row: PaperRow) -> tuple[str | None, ...]:
    """Marks of a system in every table: two label the same one differently."""
    return re.split("[+ ]", row.setting)[0], row.network, row.num_frames, row.source


def cost(
    network: PaperNetwork,
    *,
    frames: int = 8,
    classes: int = 400,
    size: int = TRAIN_CROP_PX,
    shift: tuple[str, str] | None = None,
) -> Cost:
    """The cost of a view of `size`² pixels; `shift` is dimensions and α."""
    config = _config(network, frames, classes)
    if shift is not None:
        moved = ShiftConfig(dims=shift[0], alpha=Fraction(shift[1]))
        config = config.model_copy(update={"shift": moved})
    return model_cost(config, size_px=size)


def reasons(network: PaperNetwork, table: int) -> tuple[str, ...]:
    """Why a table's cost of a network, at 8 frames, is not what is counted."""
    return _compared(network, table).reasons


def elementwise(network: PaperNetwork, table: int) -> int:
    """Multiply-adds of a view of a table's network, 8 frames, with batch norm and activations."""
    paper = _compared(network, table).paper
    return with_elementwise(paper, cost(network, classes=paper.num_classes))


def implied_classes(network: PaperNetwork, table: int) -> int:
    """Classes of the head for which a table's cost of a network, at 8 frames, is counted."""
    paper = _compared(network, table).paper
    return implied_head(paper, cost(network, classes=paper.num_classes))


def of_recipe(name: str, *, size: int = TRAIN_CROP_PX) -> Cost:
    """The cost of a view of `size`² pixels in the network of a shipped recipe without a shift."""
    return model_cost(load_recipe(name).recipe.model.without_start(shift=None), size_px=size)


def _compared(network: PaperNetwork, table: int) -> Comparison:
    compared = compare_with_paper(_config(network, 8, 400))
    return {one.paper.table: one for one in compared}[table]


def _config(network: PaperNetwork, frames: int, classes: int) -> ModelConfig:
    backbone, non_local = NETWORKS[network]
    return ModelConfig(
        backbone=backbone, num_classes=classes, num_frames=frames, non_local=non_local
    )


def slices(channels: int, dims: str, alpha: str) -> list[int]:
    """Numbers of channels that move each way: two for each group of `dims`."""
    sizes = group_sizes(channel_slices(channels, dims, alpha), dims)
    return [*chain.from_iterable(sizes.values())]


def moved(channels: int, alpha: str) -> str:
    """The channels that T+H+W moves, and how many if each direction were rounded down."""
    sizes = slices(channels, "T+H+W", alpha)
    floored = len(sizes) * int(Fraction(alpha) * channels / len(sizes))
    return f"{'+'.join(map(str, sizes))} = {sum(sizes)}, floored {floored}"


def reached(dims: str, alpha: str) -> set[tuple[int, int, int]]:
    """The offsets (t, y, x) of the inputs on which an output of one bottleneck depends.

    Found by the gradient of a block whose weights are all positive, so that nothing cancels.
    """
    frames, side = 5, 9
    block = nn.Sequential(resnet.Bottleneck(64, 16).eval())
    if dims:
        insert_shift(block, num_frames=frames, dims=dims, alpha=alpha)
    for parameter in block.parameters():
        nn.init.constant_(parameter, 1.0)
    x = torch.ones(frames, 64, side, side, requires_grad=True)
    block(x)[frames // 2, :, side // 2, side // 2].sum().backward()
    assert x.grad is not None  # filled by backward
    places = x.grad.sum(1).nonzero() - torch.tensor([frames // 2, side // 2, side // 2])
    return {(t, y, x) for t, y, x in places.tolist()}


@lru_cache
def r2plus1d(layers: int, frames: int) -> tuple[int, int]:
    """Parameters of R(2+1)D with 400 classes, and its multiply-adds on `frames` of 112² pixels.

    It is made of torchvision's parts, without values; torch's counter reports two operations for a
    multiply-add.
    """
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        network = video_resnet.VideoResNet(
            block={34: video_resnet.BasicBlock, 50: video_resnet.Bottleneck}[layers],
            conv_makers=[video_resnet.Conv2Plus1D] * 4,
            layers=[3, 4, 6, 3],
            stem=video_resnet.R2Plus1dStem,
            num_classes=400,
        ).eval()
        network(torch.empty(1, 3, frames, 112, 112))
    return sum(part.numel() for part in network.parameters()), counter.get_total_flops() // 2


_OF_PYTHON = (abs, all, any, float, int, len, max, min, round, set, sorted, str, sum, zip)
_OF_THE_PAPER = (numbers, number, row, rows, top1, best_first, above, listed, system)
_OF_NETWORKS = (
    *(cost, of_recipe, reasons, elementwise, implied_classes, rounds_to),
    *(slices, moved, reached, r2plus1d),
)
_OF_DATA = (load_card, known_counts, dense_train, dense_test, uniform_test)
FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    function.__name__: function
    for function in (*_OF_PYTHON, Fraction, *_OF_THE_PAPER, *_OF_NETWORKS, *_OF_DATA)
}
NAMES: Mapping[str, Any] = {
    "train_px": TRAIN_CROP_PX,
    "test_px": TEST_CROP_PX,
    "rng": np.random.default_rng(0),
    "test": TEST,
}

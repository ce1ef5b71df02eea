"""The paper's tables, cell by cell as printed (`datasets/paper/table<N>.yaml`)."""

from decimal import Decimal
from functools import lru_cache
from typing import Literal

from pydantic import PositiveInt, model_validator

from stsm_cli.analysis.definition import read_definition
from stsm_cli.config.kinds import Section
from stsm_cli.config.load import recipe_names
from stsm_cli.config.schema import DatasetName
from stsm_cli.resources import resource_dir

TABLES = (1, 2, 3, 4, 5, 6, 7)
PaperNetwork = Literal["r50", "r50-nl", "mbv2"]


class Reason(Section):
    """Why a row's printed cost is not what is counted, where counts alone do not say it."""

    text: str
    """`{macs}` and `{params}` in it stand for a cost, of the row's own networks or of `of`."""
    source: str
    of: str | None = None
    """Recipe of another network."""
    frames: PositiveInt | None = None
    """Frames of the network, if they are not the recipe's."""


class PaperRow(Section):
    """One printed row; a cell that the table does not have is None, one that is empty a dash.

    What is not printed stands last: what this suite builds for the row.
    """

    setting: str
    """The first column: a setting of the shift, or a model."""
    top1: str
    """Percent, with the digits that are printed."""
    source: str
    """Who measured it: `STSM` (the paper itself), `MMAction2`, or a reference such as `[17]`."""
    backbone: str | None = None
    stream: str | None = None
    pretrain: str | None = None
    num_frames: str | None = None
    flops: str | None = None
    """Multiply-adds of a view in G; in Tables 4 and 5 times crops times clips."""
    params: str | None = None
    network: PaperNetwork | None = None
    """TSN's network, if the row is TSN, TSM or STSM in one."""
    recipes: tuple[str, ...] = ()
    """In a table of several systems: the row's recipe; of two streams RGB's and flow's."""
    counted_px: PositiveInt = 224
    """Side of the view that the printed cost is of, in pixels."""
    reasons: tuple[Reason, ...] = ()

    @property
    def is_built(self) -> bool:
        """True if all of its recipes exist."""
        return set(self.recipes) <= set(recipe_names()) and bool(self.recipes)

    @property
    def cited(self) -> bool:
        """True if the number is another work's."""
        return self.source != "STSM"

    @property
    def percent(self) -> Decimal:
        """Top-1 as an exact number."""
        return Decimal(self.top1)

    @property
    def label(self) -> str:
        """Name among the table's rows: `H+W`, or `STSM+TSN, 2D R-50, 16`."""
        if self.backbone is None:
            return self.setting
        return f"{self.setting}, {self.backbone}, {self.num_frames}"


class PaperTable(Section):
    """One printed table."""

    table: int
    caption: str
    dataset: DatasetName
    rows: tuple[PaperRow, ...]

    @model_validator(mode="after")
    def _labels_differ(self) -> "PaperTable":
        labels = [row.label for row in self.rows]
        for label in labels:
            if labels.count(label) > 1:
                raise ValueError(f"two rows are {label}")
        return self

    def row(self, label: str) -> PaperRow:
        """The row with this label.

        Raises:
            KeyError: There is none.
        """
        for row in self.rows:
            if row.label == label:
                return row
        raise KeyError(label)


@lru_cache
def load_paper_table(number: int) -> PaperTable:
    """Table `number` of the paper."""
    path = resource_dir("datasets") / "paper" / f"table{number}.yaml"
    return read_definition(path, PaperTable)

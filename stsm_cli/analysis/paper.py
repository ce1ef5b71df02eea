"""The paper's tables, cell by cell as printed (`datasets/paper/table<N>.yaml`)."""

from stsm_cli.analysis.definition import read_definition
from stsm_cli.config.schema import DatasetName, Section
from stsm_cli.resources import resource_dir


class PaperRow(Section):
    """One printed row; a cell that the table does not have is None."""

    setting: str
    top1: str
    """Percent, with the digits that are printed."""
    source: str
    """Who measured it: `STSM` (the paper itself), `[17]` (TSM's paper) or `MMAction2`."""
    num_frames: str | None = None
    flops: str | None = None
    params: str | None = None

    @property
    def cited(self) -> bool:
        """Whether the number is another work's."""
        return self.source != "STSM"


class PaperTable(Section):
    """One printed table."""

    table: int
    caption: str
    dataset: DatasetName
    rows: tuple[PaperRow, ...]

    def row(self, setting: str) -> PaperRow:
        """The row with this printed setting.

        Raises:
            KeyError: There is none.
        """
        for row in self.rows:
            if row.setting == setting:
                return row
        raise KeyError(setting)


def load_paper_table(number: int) -> PaperTable:
    """Table `number` of the paper."""
    path = resource_dir("datasets") / "paper" / f"table{number}.yaml"
    return read_definition(path, PaperTable)

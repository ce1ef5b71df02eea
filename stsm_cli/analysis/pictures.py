"""Writes the pictures that belong to no single table."""

from pathlib import Path

from stsm_cli.analysis.ablation import ablation_names, load_ablation, table_name
from stsm_cli.analysis.figure_cost import TABLE, trade_off_figure
from stsm_cli.analysis.figure_pairs import pair_group, pairs_figure
from stsm_cli.analysis.figure_shift import shift_figure
from stsm_cli.analysis.figures import encode
from stsm_cli.analysis.paper import load_paper_table
from stsm_cli.analysis.records import read_records, write_whole
from stsm_cli.analysis.summary import Group, RowSummary, comparable, summarise


def write_pictures(out: Path) -> list[Path]:
    """Write `figure1`, `figure4` and `class_pairs` as SVG and PNG into the folder of results.

    `class_pairs` only where runs are recorded that it can show.

    Returns:
        The paths of what was written.

    Raises:
        DataError: A record is broken.
        UsageError: `out` cannot be written.
    """
    figures = {"figure1": trade_off_figure(*_measured(out)), "figure4": shift_figure()}
    group = pair_group(read_records(out))
    if group is not None:
        figures["class_pairs"] = pairs_figure(group)
    files = {
        out / f"{name}.{kind}": encode(figure, kind)
        for name, figure in figures.items()
        for kind in ("svg", "png")
    }
    for path, content in files.items():
        write_whole(path, content)
    return list(files)


def _measured(out: Path) -> tuple[list[RowSummary], Group | None]:
    """The rows of Figure 1's table that were run here, of the first group that compares."""
    for name in ablation_names():
        ablation = load_ablation(name)
        if ablation.table == TABLE:
            records = read_records(out, table_name(name, ablation))
            groups = comparable([record for record in records if record.budget != "custom"])
            if groups:
                return summarise(ablation, load_paper_table(TABLE), groups[0]), groups[0]
    return [], None

"""Writes the tables and figures of ablations; everything comes from the records below OUT."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from stsm_cli.analysis.ablation import Sweep, ablation_names, load_ablation, table_name
from stsm_cli.analysis.figure_cost import TABLE, trade_off_figure
from stsm_cli.analysis.figure_curves import curves_figure
from stsm_cli.analysis.figure_pairs import pairs_figure
from stsm_cli.analysis.figure_settings import Reference, networks_figure, settings_figure
from stsm_cli.analysis.figure_shift import shift_figure
from stsm_cli.analysis.figures import encode
from stsm_cli.analysis.paper import load_paper_table
from stsm_cli.analysis.planned import SETS
from stsm_cli.analysis.records import RunRecord, read_records, write_whole
from stsm_cli.analysis.statistics import Spread
from stsm_cli.analysis.summary import (
    Group,
    RowSummary,
    best_group,
    by_network,
    claimed,
    comparable,
    key_of,
    pair_group,
    standard,
    summarise,
)
from stsm_cli.analysis.tables import render
from stsm_cli.config.schema import DatasetName

TSM_ROW = "T"  # in spatial and spatiotemporal
TSM_IN_THE_PAPER = (2, "T(MMAction2)")


def publish(out: Path, name: str, *, figures: bool = True, unmeasured: bool = False) -> list[Path]:
    """Write the table of the ablation `name` and its figures; the paths of what was written.

    Runs with overrides of the user's (budget `custom`) get files of their own, `..._custom`.

    Args:
        out: The folder of results.
        name: The ablation's.
        figures: Draw them, too.
        unmeasured: Write a table of the paper's numbers alone where nothing is recorded; else only
            in the place of one that is there.

    Raises:
        DataError: A record is broken.
        UsageError: `out` cannot be written.
    """
    stem = table_name(name, load_ablation(name))
    records = read_records(out, stem)
    custom = [record for record in records if record.budget == "custom"]
    files: dict[str, str | bytes] = {}
    parts = [(standard(records), ""), (custom, "_custom")]
    for chosen, suffix in sorted(parts, key=lambda part: not part[0]):  # what is measured first
        is_asked = unmeasured and not suffix
        if chosen or is_asked or (out / f"{stem}{suffix}.md").exists():
            files |= _table(name, chosen, suffix)
        if chosen and figures:
            files |= _figures(out, name, chosen, suffix)
    for file, content in files.items():
        write_whole(out / file, content)
    return [out / file for file in files]


def table_file(sweep: Sweep) -> str:
    """The table in which the runs of `sweep` appear, below OUT."""
    return f"{sweep.table}{'_custom' if sweep.budget == 'custom' else ''}.md"


def _table(name: str, records: Sequence[RunRecord], suffix: str) -> dict[str, str]:
    ablation = load_ablation(name)
    paper, groups = load_paper_table(ablation.table), comparable(records)
    illustrated = _illustrated(groups)
    figures = [
        [f"{stem}.svg" for stem in _stems(name, group, suffix)] if group in illustrated else []
        for group in groups
    ]
    table = f"{table_name(name, ablation)}{suffix}.md"
    return {table: render(ablation, paper, groups, figures)}


def _illustrated(groups: Sequence[Group]) -> list[Group]:
    """The groups that get figures: of each data set the first."""
    first: dict[DatasetName, Group] = {}
    for group in groups:
        first.setdefault(group.first.dataset, group)
    return list(first.values())


def _stems(name: str, group: Group, suffix: str) -> tuple[str, str]:
    """Names of a group's figures without their ending: of its settings, and of its curves."""
    ending = f"{suffix}_{group.first.dataset}"
    return f"{table_name(name, load_ablation(name))}{ending}", f"curves_{name}{ending}"


def _figures(out: Path, name: str, records: Sequence[RunRecord], suffix: str) -> dict[str, bytes]:
    ablation, drawn = load_ablation(name), dict[str, Figure]()
    paper = load_paper_table(ablation.table)
    for group in _illustrated(comparable(records)):
        rows = summarise(ablation, paper, group)
        reference = _tsm(out, group) if name == "alpha" else None
        settings, curves = _stems(name, group, suffix)
        drawn[settings] = (
            networks_figure(rows, group, paper)
            if by_network(rows)
            else settings_figure(rows, group, reference)
        )
        drawn[curves] = curves_figure(rows, group)
    return _encoded(drawn)


def _tsm(out: Path, group: Group) -> Reference:
    """TSM, as the paper prints it and as another table's runs under the same recipe measured it."""
    number, setting = TSM_IN_THE_PAPER
    same: dict[int, float] = {}
    for record in read_records(out):
        if record.row == TSM_ROW and key_of(record) == key_of(group.first):
            same.setdefault(record.seed, record.score.top1)
    measured = f"{Spread(tuple(same.values())).mean:.1f}" if same else None
    return Reference("TSM (T, α = 1/4)", load_paper_table(number).row(setting).top1, measured)


def write_pictures(out: Path) -> list[Path]:
    """Write `figure1`, `figure4` and `class_pairs_<set>` as SVG and PNG into the folder of results.

    `class_pairs_<set>` only where runs are recorded that it can show.

    Returns:
        The paths of what was written.

    Raises:
        DataError: A record is broken.
        UsageError: `out` cannot be written.
    """
    figures = {"figure1": trade_off_figure(*_measured(out)), "figure4": shift_figure()}
    records = read_records(out)
    for dataset in SETS:
        group = pair_group(records, dataset)
        if group is not None:
            figures[f"class_pairs_{dataset}"] = pairs_figure(group)
    files = _encoded(figures)
    for file, content in files.items():
        write_whole(out / file, content)
    return [out / file for file in files]


def _encoded(figures: Mapping[str, Figure]) -> dict[str, bytes]:
    """The files of figures, by their names without the ending."""
    return {
        f"{stem}.{kind}": encode(figure, kind)
        for stem, figure in figures.items()
        for kind in ("svg", "png")
    }


def _measured(out: Path) -> tuple[list[RowSummary], Group | None]:
    """The rows of Figure 1's table that were run here, of the first group that compares."""
    name = next(name for name in ablation_names() if load_ablation(name).table == TABLE)
    ablation = load_ablation(name)
    group = best_group(read_records(out, table_name(name, ablation)))
    if group is None:
        return [], None
    return claimed(summarise(ablation, load_paper_table(TABLE), group)), group

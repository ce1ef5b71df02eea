"""The cost of a table's networks: as printed beside as counted, row by row."""

from collections.abc import Sequence

from stsm_cli.analysis.ablation import Ablation
from stsm_cli.analysis.cells import adds, joined, mega
from stsm_cli.analysis.counted import Counted, count, paper_model
from stsm_cli.analysis.paper import PaperTable
from stsm_cli.analysis.paper_cost import TEST_CROP_PX, TRAIN_CROP_PX, num_classes
from stsm_cli.analysis.summary import LABELS, Line

NOT_BUILT = "not built"


def cost_table(
    ablation: Ablation, paper: PaperTable, lines: Sequence[Line]
) -> tuple[list[str], list[list[str]]]:
    """Head and cells: what the paper prints, if it does, and what its networks really cost."""
    prints = any(row.flops for row in paper.rows)
    columns = ["row", f"a view of {TRAIN_CROP_PX}²", f"of {TEST_CROP_PX}²", "parameters"]
    columns += ["channels shifted"]
    if prints:
        columns = [columns[0], "FLOPs printed", *columns[1:3], "#Para printed", *columns[3:]]
    cells = []
    for line in lines:
        name, *counted = _counted_cells(ablation, paper, line)
        if prints:
            flops = joined(row.flops for row in line.printed) or "–"
            params = joined(row.params for row in line.printed) or "–"
            counted = [flops, *counted[:2], params, *counted[2:]]
        cells.append([name, *counted])
    return columns, cells


def cost_legend(paper: PaperTable) -> str:
    """What the cells of `cost_table` are."""
    return (
        f"The paper's networks at {num_classes(paper.dataset)} classes "
        f"({LABELS[paper.dataset]}), counted by fvcore: multiply-adds of one view of "
        f"{TRAIN_CROP_PX}² pixels, where the paper counts its FLOPs, and of {TEST_CROP_PX}², where "
        "it tests; a shift adds none. Channels shifted: over the inputs of all convolutions that "
        "stand behind a shift, and of them in each group of axes. Why printed and counted differ: "
        "`audit.md`, which `stsm report` writes."
    )


def _counted_cells(ablation: Ablation, paper: PaperTable, line: Line) -> list[str]:
    if line.row is None:
        return [line.printed[0].label, NOT_BUILT, "–", "–", "–"]
    cost = count(paper_model(ablation, line.row.row, paper.dataset))
    return [
        line.row.row.name,
        adds(cost.macs_train_crop),
        adds(cost.macs_test_crop),
        mega(cost.params),
        shifted_cell(cost),
    ]


def shifted_cell(cost: Counted) -> str:
    """For example `4,920 of 13,120, 1,640 a group`, or with each group where they differ."""
    if not cost.sites:
        return "none"
    text = f"{cost.shifted:,} of {cost.channels:,}"
    sizes = set(cost.by_group.values())
    if len(cost.by_group) == 1:
        return text
    if len(sizes) == 1:
        return f"{text}, {sizes.pop():,} a group"
    return f"{text}: {', '.join(f'{group} {n:,}' for group, n in cost.by_group.items())}"

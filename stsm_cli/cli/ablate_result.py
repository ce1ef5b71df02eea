"""Report of `stsm ablate` on an ablation that has run: its table, or an object of JSON."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stsm_cli.cli import output
from stsm_cli.cli.ablate_plan import to_do

if TYPE_CHECKING:
    from stsm_cli.analysis.ablation import Sweep
    from stsm_cli.analysis.paper import PaperTable
    from stsm_cli.analysis.summary import Group, RowSummary


def print_result(
    sweep: "Sweep", out: Path, files: Sequence[Path], data: Path | None = None
) -> None:
    """Show the table, what it says, and which files were written.

    Args:
        data: The place of the videos, where it was given.
    """
    from stsm_cli.analysis.reading import verdicts
    from stsm_cli.analysis.tables import main_table

    group, *apart = _groups(sweep, out)
    paper, rows = _measured(sweep, group)
    title = f"Table {paper.table}: {sweep.ablation.title} ({sweep.budget} budget)"
    notes = [
        *verdicts(rows),
        *_not_settled(sweep, group, out, data),
        *_elsewhere(sweep, group, apart, out),
    ]
    notes += ["", f"written: {', '.join(map(str, files))}"]
    output.current().table(title, *main_table(rows, paper, group), notes)


def result_record(sweep: "Sweep", out: Path, files: Sequence[Path]) -> dict[str, Any]:
    """The same as an object of JSON."""
    from stsm_cli.analysis.reading import still_climbing, verdicts

    group, *apart = _groups(sweep, out)
    _, rows = _measured(sweep, group)
    protocols = {record.protocol for record in group.records}  # rows tell their own
    return {
        "schema": "stsm.ablation/1",
        "name": sweep.name,
        "table": sweep.ablation.table,
        "dataset": sweep.dataset,
        "budget": sweep.budget,
        "epochs": group.epochs,
        "protocol": group.first.protocol if len(protocols) == 1 else None,
        "experiment": sweep.experiment,
        "rows": [_row_record(sweep, row) for row in rows],
        "verdicts": [
            *verdicts(rows),
            *still_climbing(group),
            *_elsewhere(sweep, group, apart, out),
        ],
        "files": [str(path) for path in files],
    }


def _elsewhere(sweep: "Sweep", group: "Group", apart: "Sequence[Group]", out: Path) -> list[str]:
    """A line on runs of the sweep on other devices or videos, which its file has apart."""
    from stsm_cli.analysis.publish import table_file
    from stsm_cli.analysis.summary import device_kind

    if not apart:
        return []
    rows = ", ".join(dict.fromkeys(record.row for other in apart for record in other.records))
    shown, theirs = (f"{device_kind(of.first)}s" for of in (group, apart[0]))
    if shown == theirs:
        shown, theirs = (f"`{of.first.identity.data}`" for of in (group, apart[0]))
    return [
        f"Runs on {theirs} do not compare with those on {shown}: {out / table_file(sweep)} has "
        f"them apart ({rows})."
    ]


def _not_settled(sweep: "Sweep", group: "Group", out: Path, data: Path | None) -> list[str]:
    """Rows that took off late, and what the longer budget would take."""
    from stsm_cli.analysis.ablation import plan_sweep
    from stsm_cli.analysis.plan import describe_sweeps, total_work
    from stsm_cli.analysis.reading import still_climbing

    climbing = still_climbing(group)
    if not climbing or sweep.budget != "short":
        return climbing
    seeds = len({run.seed for run in sweep.runs})
    longer = plan_sweep(sweep.name, sweep.dataset, seeds=seeds, full=True, data_id=sweep.data_id)
    work, epochs = total_work(describe_sweeps([longer], out)), longer.runs[0].recipe.optim.epochs
    words = ["--seeds", str(seeds)] if seeds > 1 else []
    words += ["--data", str(data)] if data is not None else []
    words += ["--out", str(out)] if out != Path("results") else []
    command = " ".join([longer.command, *map(shlex.quote, words)])
    return [*climbing, f"`{command}` trains all rows for {epochs} epochs: {to_do(work)}."]


def _groups(sweep: "Sweep", out: Path) -> "list[Group]":
    """The records of this very sweep, those that compare together; the most first."""
    from stsm_cli.analysis.records import is_of, read_records
    from stsm_cli.analysis.summary import comparable

    return comparable([run for run in read_records(out, sweep.table) if is_of(run, sweep)])


def _measured(sweep: "Sweep", group: "Group") -> "tuple[PaperTable, list[RowSummary]]":
    """The paper's table, and the records as its rows."""
    from stsm_cli.analysis.paper import load_paper_table
    from stsm_cli.analysis.summary import summarise

    paper = load_paper_table(sweep.ablation.table)
    return paper, summarise(sweep.ablation, paper, group)


def _row_record(sweep: "Sweep", row: "RowSummary") -> dict[str, Any]:
    top1, pair = row.top1, row.pair_accuracy
    scores = [record.score for record in row.records]
    return {
        "name": row.row.name,
        "overrides": row.row.on(sweep.dataset),
        "paper": [line.model_dump(include={"setting", "top1", "source"}) for line in row.paper],
        "top1": top1 and top1.mean,
        "sd": top1 and top1.sd,
        "seeds": {record.seed: record.score.top1 for record in row.records},
        "pair_accuracy": pair and pair.mean,
        "protocol": row.records[0].protocol if row.records else None,
        "epochs": row.records[0].num_epochs if row.records else None,
        "broken": max((s.num_listed - s.num_videos for s in scores), default=0),
        "factors": {
            name: {"top1": top1.mean, "pair_accuracy": in_pair.mean}
            for name, (top1, in_pair) in row.factors.items()
        },
        "macs": row.records[0].network.macs if row.records else None,
        "params": row.records[0].network.params if row.records else None,
    }

"""`stsm ablate --dry-run`: the rows of ablations, the channels that move, and the cost."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from stsm_cli.cli import output
from stsm_cli.printable import counted

if TYPE_CHECKING:
    from stsm_cli.analysis.ablation import Row, Sweep
    from stsm_cli.analysis.plan import Moved, Plan, RowPlan, Workload

NO_TIME = "not known"


def print_plan(plan: "Plan") -> None:
    """Show one ablation before it runs: its rows, where channels move, and what is to do."""
    from stsm_cli.analysis.plan import total_work

    _print_rows(plan)
    console = output.current()
    console.text("")
    notes = [*_units([plan]), to_do(total_work([plan]))]
    widths = _width_rows(plan.rows)
    if not widths:
        console.text("\n".join(notes))
        return
    title = "Channels that move (from the next + from the previous position), by width of the layer"
    console.table(title, ["setting", "width", "layers", "moved", "of which"], widths, notes)


def print_plans(plans: "Sequence[Plan]") -> None:
    """Show several ablations before they run: a table each, and what is to do in all."""
    from stsm_cli.analysis.plan import total_work

    console = output.current()
    for plan in plans:
        _print_rows(plan)
        console.text("")
    work = total_work(plans)
    num_runs = sum(len(run.streams) for plan in plans for run in plan.sweep.runs)
    distinct = work.num_finished + work.num_missing
    shared = f"{counted(num_runs, 'run')}, {distinct} of them different: tables share rows"
    console.text("\n".join([*_units(plans), shared, to_do(work)]))


def plan_record(plan: "Plan") -> dict[str, Any]:
    """The plan of one ablation as an object of JSON."""
    from stsm_cli.analysis.plan import total_work

    sweep = plan.sweep
    return {
        "schema": "stsm.ablation_plan/2",
        "name": sweep.name,
        "table": sweep.ablation.table,
        "dataset": sweep.dataset,
        "budget": sweep.budget,
        "base": sweep.base,
        "shared": sweep.ablation.shared.get(sweep.dataset, ()),
        "experiment": sweep.experiment,
        "rows": [_row_record(plan, row) for row in plan.rows],
        "work": asdict(total_work([plan])),
    }


def _row_record(plan: "Plan", row: "RowPlan") -> dict[str, Any]:
    return {
        "name": row.row.name,
        "recipes": _recipes(plan.sweep, row.row),
        "overrides": row.row.on(plan.sweep.dataset),
        "finished": len(row.finished),
        "seeds": len(row.finished) + len(row.missing),
        "size_px": row.size_px,
        "macs": row.macs,
        "params": row.params,
        "num_train_videos": row.num_videos,
        "epochs": row.epochs,
        "macs_run": row.macs_run,
        "seconds_run": row.seconds,
        "moved": [asdict(moved) for moved in row.moved],
    }


def _print_rows(plan: "Plan") -> None:
    from stsm_cli.analysis.cells import adds, mega

    sweep = plan.sweep
    rows = [
        [
            row.row.name,
            f"{len(row.finished)} of {len(row.finished) + len(row.missing)}",
            adds(row.macs),
            mega(row.params),
            _total(row.moved),
            NO_TIME if row.seconds is None else _time(row.seconds),
        ]
        for row in plan.rows
    ]
    columns = ["setting", "finished", "multiply-adds", "params", "moved", "time a run"]
    shared = sweep.ablation.shared.get(sweep.dataset, ())
    width = max(len(row.row.name) for row in plan.rows)
    notes = [f"overrides of {sweep.base}{''.join(f' {edit}' for edit in shared)}:"]
    for row in plan.rows:
        recipes = _recipes(sweep, row.row)
        words = recipes if recipes != (sweep.base,) else row.row.on(sweep.dataset)
        notes.append(f"{row.row.name.ljust(width)}  {' '.join(words)}")
    title = f"Table {sweep.ablation.table} ({sweep.name}): {sweep.ablation.title}; "
    title += f"{sweep.dataset}, {sweep.budget} budget"
    output.current().table(title, columns, rows, notes)


def _recipes(sweep: "Sweep", row: "Row") -> tuple[str, ...]:
    """The recipes that a row is of, before its overrides."""
    run = next(run for run in sweep.runs if run.row == row)
    return tuple(stream.base for stream in run.streams)


def _width_rows(rows: "Sequence[RowPlan]") -> list[list[str]]:
    """A line a width; settings that move the same channels share their lines."""
    settings: dict[tuple[Moved, ...], list[str]] = {}
    for row in rows:
        if any(moved.moved for moved in row.moved):
            settings.setdefault(row.moved, []).append(row.row.name)
    return [
        [", ".join(names), str(m.channels), str(m.num_sites), str(m.moved), m.parts or "-"]
        for widths, names in settings.items()
        for m in widths
    ]


def _total(moved: "Sequence[Moved]") -> str:
    if not moved:  # the network has no place for a shift, or another paper's stands there
        return "-"
    channels = sum(m.channels * m.num_sites for m in moved)
    return f"{sum(m.moved * m.num_sites for m in moved):,} of {channels:,}"


def _units(plans: "Sequence[Plan]") -> list[str]:
    rows = [row for plan in plans for row in plan.rows]
    sizes = {f"{row.size_px}²" for row in rows}
    runs = {
        f"{counted(row.num_videos, 'training video')} × {counted(row.epochs, 'epoch')}"
        for row in rows
    }
    return [
        f"multiply-adds: of a view of {_either(sizes)} pixels, forward; "
        "moved: channels before convolutions",
        f"a run: {_either(runs)}",
    ]


def _either(texts: set[str]) -> str:
    return " or ".join(sorted(texts))


def to_do(work: "Workload") -> str:
    """Number of finished runs, and the cost of the others."""
    from stsm_cli.analysis.cells import adds

    done = f"{work.num_finished} of {work.num_finished + work.num_missing} finished"
    if not work.num_missing:
        return f"{done}, nothing to do"
    to_do = f"{work.num_missing} to do: {adds(work.macs)} multiply-adds forward"
    return f"{done}, {to_do}, {_how_long(work)}"


def _how_long(work: "Workload") -> str:
    """Time of the missing runs; those whose time no record tells are not in it."""
    about = f"about {_time(work.seconds)} one after another by the runs recorded so far"
    if work.num_timed == work.num_missing:
        return about
    if not work.num_timed:
        return "no record tells how long that takes"
    rest = work.num_missing - work.num_timed
    return f"{work.num_timed} of them {about}; of the other {rest} no record tells"


def _time(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))

"""The page of what was measured last on each machine; figures of code that is gone are left out."""

from collections.abc import Iterator, Sequence
from itertools import groupby

from stsm_cli.bench.measured_code import code_hash
from stsm_cli.bench.record import UNITS, Hardware, Measurement, Table
from stsm_cli.cores import with_vectors
from stsm_cli.printable import counted, markdown

HEAD = """# Speed

Made by `stsm bench page` from the JSON files beside it, which `stsm bench ... --save` writes.
Variants take turns in one process; ways to train for which processes read follow one another. A
ratio of times is the median of the rounds' own ratios, so it is not that of the milliseconds, which
are medians too; clips a second are those of all steps together. Figures are shown only where the
code that was measured is still the code.
"""


def render(measurements: Sequence[Measurement]) -> str:
    """The page in Markdown."""
    lines = [HEAD]
    for machine, group in groupby(measurements, key=lambda m: m.machine):
        lines.append(f"## {machine_name(machine)}\n")
        for measured in group:
            lines += _section(measured)
    return "\n".join(lines)


def machine_name(machine: Hardware) -> str:
    """A machine in words."""
    cores = counted(machine.cores, "core")
    cpu = f"{with_vectors(machine.cpu, machine.cpu_capability)}, {cores}"
    return cpu if machine.device == "cpu" else f"{machine.device} ({cpu})"


def caption(measured: Measurement) -> str:
    """Command, date and commit, and what else a figure must say."""
    load = "unknown" if measured.load_average is None else f"{measured.load_average:g}"
    threads = counted(measured.threads, "thread")
    clock = "CPU time" if measured.clock == "cpu" else "time that passed"
    return (
        f"`{measured.command}`, {measured.date[:10]}, commit {measured.commit or 'unknown'}, "
        f"torch {measured.packages.get('torch', 'unknown')}, {threads}, "
        f"load {load} before it began; {counted(measured.rounds, 'round')}, {clock}"
    )


def table_rows(table: Table) -> tuple[list[str], list[list[str]]]:
    """The columns of a table, and its rows."""
    keys = [key for key in UNITS if any(key in row for row in table.rows.values())]
    body = [
        [name, *(f"{row[key]:,.{UNITS[key].digits}f}" if key in row else "-" for key in keys)]
        for name, row in table.rows.items()
    ]
    return ["", *(UNITS[key].head for key in keys)], body


def _section(measured: Measurement) -> Iterator[str]:
    if measured.code != code_hash(measured.benchmark):
        since = measured.commit or measured.date[:10]
        yield f"`{measured.command}`: not measured since {since}; the code has changed.\n"
        return
    yield f"{caption(measured)}.\n"
    for table in measured.tables:
        columns, rows = table_rows(table)
        yield f"**{table.title}**\n"
        yield f"{markdown(columns, rows)}\n"
    yield from (f"{note}.\n" for note in measured.notes)

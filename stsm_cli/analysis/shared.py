"""Rows of different tables that are the same runs: one measurement, however often it is shown."""

from collections.abc import Sequence
from functools import lru_cache

from stsm_cli.analysis.ablation import names_with, plan_sweep
from stsm_cli.config.schema import DatasetName

Place = tuple[int, str]
"""A table's number and the name of a row."""


@lru_cache
def shared_runs(dataset: DatasetName) -> tuple[tuple[Place, ...], ...]:
    """Of each run on a data set that stands in several tables, all its places, by table."""
    places: dict[str, list[Place]] = {}
    for name in names_with(dataset):
        sweep = plan_sweep(name, dataset)
        for run in sweep.runs:
            places.setdefault(run.recipe_hash, []).append((sweep.ablation.table, run.row.name))
    return tuple(tuple(several) for several in places.values() if len(several) > 1)


def elsewhere(table: int, rows: Sequence[str], dataset: DatasetName) -> str:
    """Which of a table's rows other tables show too; empty if none does.

    For example `T+H+W in Table 1; TSN, T in Table 2`.
    """
    tables: dict[int, list[str]] = {}
    for row in rows:
        for places in shared_runs(dataset):
            if (table, row) in places:
                for other in dict.fromkeys(number for number, _ in places if number != table):
                    tables.setdefault(other, []).append(row)
    return in_words([(number, ", ".join(names)) for number, names in sorted(tables.items())])


def in_words(places: Sequence[Place]) -> str:
    """For example `T in Tables 2, 3; TSM R-50 in Tables 4, 6`."""
    tables: dict[str, list[str]] = {}
    for table, row in places:
        tables.setdefault(row, []).append(str(table))
    return "; ".join(
        f"{row} in Table{'s' if len(numbers) > 1 else ''} {', '.join(numbers)}"
        for row, numbers in tables.items()
    )

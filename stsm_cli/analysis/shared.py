"""Rows of different tables that are one setting: the same recipe, and so the same result."""

from collections.abc import Sequence
from functools import lru_cache

from stsm_cli.analysis.ablation import names_with, plan_sweep
from stsm_cli.config.schema import DatasetName

Place = tuple[int, str]
"""A table's number and the name of a row."""


@lru_cache
def shared_settings(dataset: DatasetName) -> tuple[tuple[Place, ...], ...]:
    """Of each setting that several tables try on a data set, all its places, by table."""
    places: dict[str, list[Place]] = {}
    for name in names_with(dataset):
        sweep = plan_sweep(name, dataset)
        for run in sweep.runs:
            places.setdefault(run.recipe_hash, []).append((sweep.ablation.table, run.row.name))
    return tuple(tuple(several) for several in places.values() if len(several) > 1)


def in_words(places: Sequence[Place]) -> str:
    """For example `T in Tables 2, 3; TSM R-50 in Tables 4, 6`."""
    tables: dict[str, list[str]] = {}
    for table, row in places:
        tables.setdefault(row, []).append(str(table))
    return "; ".join(
        f"{row} in Table{'s' if len(numbers) > 1 else ''} {', '.join(numbers)}"
        for row, numbers in tables.items()
    )

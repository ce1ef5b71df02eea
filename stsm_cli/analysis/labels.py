"""What the table and row of a record say of the recipe that was run.

A row is overrides of a base recipe, so what it sets stands in the recipe of its run, whatever a
user had set beside it. What the rows of a table differ in is the network: where nobody set
anything, what the other rows set of it is as in the base recipe.
"""

from collections.abc import Iterator, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from pydantic_core import to_jsonable_python

from stsm_cli.analysis.ablation import (
    Ablation,
    Run,
    ablation_names,
    load_ablation,
    plan_sweep,
    table_name,
)
from stsm_cli.config.load import as_yaml
from stsm_cli.config.schema import DatasetName
from stsm_cli.errors import UsageError

if TYPE_CHECKING:
    from stsm_cli.analysis.records import RunRecord


def mislabelled(record: "RunRecord") -> str | None:
    """The first contradiction of a record to its table and row; None where they agree.

    On a data set that its table has no recipe for, such as `synth` of old, it is held to what the
    row sets alone.
    """
    if record.table not in _tables():
        return f"table {record.table}: unknown"
    name, ablation = _tables()[record.table]
    on = record.dataset if record.dataset in ablation.base else None
    try:
        run = _planned(name, record.row, on)
    except UsageError:
        return f"row {record.row}: unknown in {record.table}{f' on {on}' if on else ''}"
    base = " + ".join(stream.base for stream in run.streams)
    if on and record.base != base:
        return f"base is {record.base}, but row {record.row} gives {base}"
    is_free = on is None or record.budget == "custom"
    words = run.row.on(record.dataset) if is_free else _words(ablation, run, record.dataset)
    return next(_other_values(record, run, [word.partition("=")[0] for word in words]), None)


@cache
def _tables() -> dict[str, tuple[str, Ablation]]:
    """Ablations with their names, by the name of their table."""
    known = {name: load_ablation(name) for name in ablation_names()}
    return {table_name(*one): one for one in known.items()}


@cache  # asked for each record
def _planned(name: str, row: str, dataset: DatasetName | None) -> Run:
    """The first run of a row.

    Raises:
        UsageError: The ablation has no such row on the data set.
    """
    return plan_sweep(name, dataset, full=True, systems=True, only=[row]).runs[0]


def _words(ablation: Ablation, run: Run, dataset: DatasetName) -> list[str]:
    """The row's overrides, and what other rows change of the network."""
    others = [word for row in ablation.rows for word in row.on(dataset)]
    return [*run.row.on(dataset), *(word for word in others if word.startswith("model."))]


def _other_values(record: "RunRecord", run: Run, keys: Sequence[str]) -> Iterator[str]:
    """What a recipe of the record has at `keys` that `run` has not, in words."""
    recipes = {"": record.recipe} | ({"flow.": record.flow.recipe} if record.flow else {})
    for (prefix, recipe), stream in zip(recipes.items(), run.streams, strict=False):
        for key in dict.fromkeys(keys):
            if _at(recipe, key) != _at(stream.recipe, key):
                values = (to_jsonable_python(_at(one, key)) for one in (recipe, stream.recipe))
                found, given = map(as_yaml, values)
                yield f"{prefix}recipe.{key} is {found}, but row {record.row} gives {given}"


def _at(section: Any, key: str) -> Any:  # noqa: ANN401
    """The value of a dotted key; each of a section that is null is null."""
    for name in key.split("."):
        section = None if section is None else getattr(section, name)
    return section

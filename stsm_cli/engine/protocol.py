"""Test protocols by name, as in `Recipe.protocol`: `[data set-]<clips>x<crops>@<pixels>[-score]`.

`-score` says that views are averaged before the softmax.
"""

import re
from typing import Any

from pydantic import ValidationError

from stsm_cli.config.schema import Recipe
from stsm_cli.errors import UsageError

_NAME = re.compile(
    r"(?:(?P<dataset>\w+)-)?(?P<clips>\d+)x(?P<crops>\d+)@(?P<crop_px>\d+)(?P<score>-score)?"
)


def edit_protocol(
    recipe: Recipe,
    *,
    protocol: str | None = None,
    clips: int | None = None,
    crops: int | None = None,
) -> Recipe:
    """The recipe under another protocol: a whole name, then single edits of clips and crops.

    Raises:
        UsageError: The name is not a protocol's, belongs to another data set, or the protocol does
            not fit the recipe (size, sampling).
    """
    test = recipe.test.model_dump()
    if protocol is not None:
        test = _parse(protocol, recipe.data.dataset)
    test |= {key: n for key, n in (("clips", clips), ("crops", crops)) if n is not None}
    try:
        return Recipe.model_validate(recipe.model_dump() | {"test": test})
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        rule = first["msg"].removeprefix("Value error, ").replace("Input should be", "must be")
        problem = f"{where} {rule}, got {first['input']}" if where else rule
        raise UsageError(f"the protocol does not fit the recipe: {problem}") from None


def _parse(protocol: str, dataset: str) -> dict[str, Any]:
    match = _NAME.fullmatch(protocol)
    if match is None:
        raise UsageError(
            f"--protocol {protocol}: not of the form [data set-]<clips>x<crops>@<pixels>[-score]",
            hint="for example `1x3@48` or `k400-10x3@256`",
        )
    if match["dataset"] not in (None, dataset):
        raise UsageError(
            f"--protocol {protocol}: belongs to {match['dataset']}, the run's data set is {dataset}"
        )
    numbers = {key: int(match[key]) for key in ("clips", "crops", "crop_px")}
    return numbers | {"average": "score" if match["score"] else "prob"}

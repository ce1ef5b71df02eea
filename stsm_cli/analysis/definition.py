"""Reads the YAML files that define tables, with every problem at its file and line."""

import json
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from stsm_cli.config.yaml_strict import read_yaml, shown
from stsm_cli.errors import RecipeError

Model = TypeVar("Model", bound=BaseModel)


def read_definition(path: Path, kind: type[Model]) -> Model:
    """The content of a YAML file as a `kind`.

    Raises:
        RecipeError: The file is not what `kind` says; one line a problem.
    """
    problems: list[str] = []
    tree = read_yaml(path, str(path), problems)
    try:
        content = kind.model_validate_json(json.dumps(tree.plain()))  # JSON: lists become tuples
    except ValidationError as error:
        problems += [
            f"{tree.nearest(item['loc']).where}: {'.'.join(map(str, item['loc']))}: {item['msg']}, "
            f"got {shown(item['input'])}"
            for item in error.errors()
        ]
    if problems:
        raise RecipeError("\n".join(problems))
    return content


def place(path: Path, keys: tuple[int | str, ...]) -> str:
    """`file:line` of the deepest value along `keys` that a YAML file has.

    Raises:
        RecipeError: The file cannot be read, or is not YAML.
    """
    return read_yaml(path, str(path), []).nearest(keys).where

"""Recipes from files: their names, `extends:`, `--set`, and back to YAML.

A recipe may extend one other, which may extend one more, and the last of them a shipped recipe.
Mappings merge, lists and scalars replace, `null` clears; `--set` comes last. What the merged result
must look like is said in `schema.py`.
"""

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from itertools import takewhile
from pathlib import Path
from typing import Any

import yaml

from stsm_cli.config.folder import fit_folder, without_open
from stsm_cli.config.schedule import fit_schedule, fitted
from stsm_cli.config.schema import WRITTEN, ModelConfig, Recipe
from stsm_cli.config.validate import validate
from stsm_cli.config.yaml_strict import (
    MAX_DEPTH,
    Located,
    is_key,
    parse_yaml,
    read_text,
    read_yaml,
    shown,
)
from stsm_cli.errors import RecipeError
from stsm_cli.resources import resource_dir

MAX_HOPS = 2  # of `extends:`; more cannot be followed by eye, and shipped files count apart
MAX_NAME = 250  # characters of a name or path that messages give in full
EDITS = " + "  # between a recipe's name and what overrides changed
NOT_RECIPES = ("base", "ablations")  # folders of recipes/ that hold parts


@dataclass(frozen=True)
class LoadedRecipe:
    """A recipe with its name and, for each dotted key that was written, the place."""

    name: str
    recipe: Recipe
    origins: dict[str, str]
    """Dotted key to `file:line` or `--set`; keys left at their default are absent.

    A section that is asked for as `{}` is one key.
    """
    card: str
    """The comment that its file opens with: what it is, how to run it, what that costs."""
    edits: tuple[str, ...] = ()
    """Changes by overrides, as `KEY=VALUE`, but for the seed and what a protocol's name says."""

    @property
    def model(self) -> ModelConfig:
        """The section that `build_model` takes."""
        return self.recipe.model

    @property
    def title(self) -> str:
        """Name of a result: the recipe's, and its edits where it has some."""
        return f"{self.name}{EDITS}{', '.join(self.edits)}" if self.edits else self.name

    @property
    def notes(self) -> list[str]:
        """Values fitted to another length, schedule or data set than its parent's, a line each."""
        values = {key: value for key, value, _ in describe(self)}
        return [f"{key} {_brief(values[key])}: {what}" for key, what in fitted(self.origins)]


def load_recipe(
    name_or_path: str | Path, overrides: Sequence[str] = (), *, of_run: bool = False
) -> LoadedRecipe:
    """The recipe of that name or file, after `overrides`.

    Args:
        name_or_path: A shipped recipe such as `synth/stsm`, or a file; `.yaml` may be left out.
        overrides: `KEY=VALUE` texts, applied in order.
        of_run: Whether it is a run folder's own, which may say what has no effect.

    Raises:
        RecipeError: There is no such recipe, or it has problems; all of them are named.
        ValueError: `overrides` is one text.
    """
    if isinstance(overrides, str):
        raise ValueError(f"overrides is the text {overrides!r}; a list of them is [{overrides!r}]")
    name = name_or_path.as_posix() if isinstance(name_or_path, Path) else name_or_path
    path = _find(name, Path())
    problems: list[str] = []
    tree = own = _read_chain(path, problems, ())
    for override in overrides:
        tree = _merge(tree, _parse_override(override, problems))
    tree = _fitted(own, tree)
    recipe = validate(without_open(tree), problems, context=None if of_run else WRITTEN)
    loaded = LoadedRecipe(_name(path), recipe, dict(_leaves(tree)), _card(path))
    return replace(loaded, edits=tuple(_edits(loaded, own)))


def read_recipe(path: Path) -> Recipe:
    """The recipe in a file, such as a run folder's own.

    Raises:
        RecipeError: The file cannot be read or has problems.
    """
    problems: list[str] = []
    return validate(without_open(_read_chain(path, problems, ())), problems)


def load_yaml(path: Path) -> Any:  # noqa: ANN401
    """The plain content of a YAML file, read as strictly as a recipe.

    Raises:
        RecipeError: The file cannot be read, is not YAML, or repeats a key.
    """
    problems: list[str] = []
    tree = read_yaml(path, _source(path), problems)
    if problems:
        raise RecipeError("\n".join(problems))
    return tree.plain()


def is_recipe(name_or_path: str) -> bool:
    """Tell whether `load_recipe` finds a recipe of that name, or a file."""
    try:
        _find(name_or_path, Path())
    except RecipeError:
        return False
    return True


def recipe_names() -> list[str]:
    """The shipped recipes, sorted."""
    paths = (path.relative_to(_shipped()) for path in _shipped().rglob("*.yaml"))
    names = (path.with_suffix("").as_posix() for path in paths if path.parts[0] not in NOT_RECIPES)
    return sorted(names)


def dump_recipe(recipe: Recipe) -> str:
    """YAML that reads back as an equal recipe."""
    text: str = yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False)
    return text


def recipe_hash(recipe: Recipe) -> str:
    """12 hexadecimal digits that change when any value of the recipe does.

    Values that are the schema's defaults are left out, so a new key leaves the hashes of old runs
    as they were. For that, a default never changes (a test holds them).
    """
    canonical = json.dumps(recipe.model_dump(mode="json", exclude_defaults=True), sort_keys=True)
    return hashlib.sha256(canonical.encode()).hexdigest()[:12]


def describe(loaded: LoadedRecipe) -> list[tuple[str, str, str]]:
    """Each value of a recipe: dotted key, value as YAML writes it, origin (or `default`)."""
    values = flatten(loaded.recipe.model_dump(mode="json"))
    return [(key, as_yaml(value), _origin(loaded, key)) for key, value in values]


def as_yaml(value: Any) -> str:  # noqa: ANN401
    """A plain value of a recipe, as YAML writes it on one line."""
    return value if isinstance(value, str) else json.dumps(value)


def _edits(loaded: LoadedRecipe, own: Located) -> Iterator[str]:
    """Values that differ from the recipe's `own` files."""
    before = {key: as_yaml(value) for key, value in flatten(own.plain())}
    sections = {key.rpartition(".")[0] for key in before}
    for key, value, origin in describe(loaded):
        absent = "" if key in sections else "null"  # as if it were said: most defaults are null
        is_named = key != "seed" and not key.startswith("test.")
        if origin == "--set" and is_named and before.get(key, absent) != value:
            yield f"{key}={Path(value).name if key == 'model.init' else value}"


def _brief(text: str) -> str:
    """A value with no more digits than one reads."""
    return str(round(float(text), 3)) if re.fullmatch(r"\d+\.\d+", text) else text


def _origin(loaded: LoadedRecipe, key: str) -> str:
    """Where `key` was written, or the empty section that it lies in."""
    while key and key not in loaded.origins:
        key = key.rpartition(".")[0]
    return loaded.origins.get(key, "default")


def flatten(section: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys and their values."""
    for name, value in section.items():
        if isinstance(value, dict) and value:
            yield from flatten(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def _leaves(tree: Located, key: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(tree.value, dict) and tree.value:
        for name, child in tree.value.items():
            yield from _leaves(child, f"{key}.{name}" if key else name)
    else:
        yield key, tree.where


def _find(name: str, folder: Path) -> Path:
    """The file `name` means: below `folder`, or a shipped recipe."""
    shipped = _shipped() / name.removeprefix("recipes/")
    beside = folder / os.path.expanduser(name)  # noqa: PTH111  # Path.expanduser may raise
    try:
        for candidate in (beside, Path(f"{beside}.yaml"), shipped, Path(f"{shipped}.yaml")):
            if candidate.is_file():
                return candidate
    except OSError as error:  # such as a name that is too long
        raise RecipeError(f"{_named(name)}: cannot be read: {error.strerror}") from None
    close = get_close_matches(name, recipe_names(), n=1)
    suggestion = f"did you mean `{close[0]}`? " if close else ""
    rule = "no such recipe"
    if beside.is_dir():
        rule = "is a folder, a recipe is a file"
    elif name.endswith((".yaml", ".yml")) or beside.is_absolute():
        rule = "no such file"
    raise RecipeError(
        f"{_named(name)}: {rule}", hint=f"{suggestion}`stsm recipes` lists the shipped ones"
    )


def _read_chain(path: Path, problems: list[str], children: tuple[Path, ...]) -> Located:
    """The content of `path` over that of the recipe it extends."""
    tree = read_yaml(path, _source(path), problems)
    _check_is_recipe(tree)
    if "extends" not in tree.value:
        return tree
    own = {key: child for key, child in tree.value.items() if key != "extends"}
    parent = _parent(path, tree.value["extends"], (*children, path.resolve()))
    inherited = _read_chain(parent, problems, (*children, path.resolve()))
    return _fitted(inherited, _merge(inherited, Located(own, tree.where)))


def _fitted(inherited: Located, merged: Located) -> Located:
    """`merged` with what it took over fitted to what its heir changes."""
    return fit_folder(inherited, fit_schedule(inherited, merged))


def _check_is_recipe(tree: Located) -> None:
    """Refuse a file of another kind without a word of what is in it: it may be a secret."""
    keys = [*Recipe.model_fields, "extends"]
    if not isinstance(tree.value, dict):
        kind = {type(None): "null", list: "a list"}.get(type(tree.value), "text")
        rule = f"the recipe: must be a section of keys, got {kind}"
    elif tree.value and not any(key in tree.value for key in keys):
        rule = f"not a recipe: it has none of the keys {', '.join(keys)}"
    else:
        return
    raise RecipeError(f"{tree.where}: {rule}", hint="`stsm recipes` lists the shipped recipes")


def _parent(path: Path, extends: Located, chain: tuple[Path, ...]) -> Path:
    where = f"{extends.where}: extends"
    if not isinstance(extends.value, str):
        got = shown(extends.plain())
        raise RecipeError(f"{where}: must be the path of one recipe, got {got}")
    try:
        parent = _find(extends.value, path.parent)
    except RecipeError as error:
        raise RecipeError(f"{where}: {error}", hint=error.hint) from None
    if parent.resolve() in chain:
        raise RecipeError(f"{where}: {_named(extends.value)} leads back to itself")
    is_shipped = _inside_shipped(path) is not None
    if sum((_inside_shipped(file) is not None) == is_shipped for file in chain) > MAX_HOPS:
        raise RecipeError(f"{where}: at most {MAX_HOPS} hops, {_named(extends.value)} is one more")
    return parent


def _merge(base: Located, over: Located) -> Located:
    if not isinstance(base.value, dict) or not isinstance(over.value, dict):
        return over
    merged = dict(base.value)
    for key, child in over.value.items():
        merged[key] = _merge(merged[key], child) if key in merged else child
    return Located(merged, over.where if over.value else base.where)  # `{}` changes nothing


def _parse_override(override: str, problems: list[str]) -> Located:
    key, equals, text = override.partition("=")
    names = key.strip().split(".")
    rule = "must be KEY=VALUE" if not key or not equals else None
    if rule is None and (len(names) > MAX_DEPTH or not all(map(is_key, names))):
        rule = "no recipe has such a key"
    if rule is not None:
        problems.append(f"--set {_named(override)}: {rule}")
        return Located({}, "--set")
    tree = parse_yaml(text, f"--set {_named(override)}", problems, place="--set")
    for name in reversed(names):
        tree = Located({name: tree}, "--set")
    return tree


def _card(path: Path) -> str:
    lines = read_text(path, _source(path)).splitlines()
    opening = takewhile(lambda line: line.startswith("#"), lines)
    return "\n".join(line[1:].removeprefix(" ") for line in opening)


def _named(text: str) -> str:
    """Text that the user wrote, as it is where that can stand in a line."""
    return text if text.isprintable() and len(text) <= MAX_NAME else shown(text)


def _shipped() -> Path:
    return resource_dir("recipes")


def _name(path: Path) -> str:
    inside = _inside_shipped(path)
    return inside.with_suffix("").as_posix() if inside else path.stem


def _source(path: Path) -> str:
    """Name of a file in messages: `recipes/...` for a shipped one, else the path as given."""
    inside = _inside_shipped(path)
    return f"recipes/{inside.as_posix()}" if inside else os.path.normpath(path)


def _inside_shipped(path: Path) -> Path | None:
    real, root = path.resolve(), _shipped().resolve()
    return real.relative_to(root) if real.is_relative_to(root) else None

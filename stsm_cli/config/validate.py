"""From a located tree to a `Recipe`, or to one error that names every problem and its place."""

import json
import re
from collections.abc import Iterator
from difflib import get_close_matches
from itertools import islice
from typing import get_args, get_origin

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from stsm_cli.config.kinds import Section, rules
from stsm_cli.config.schema import Recipe
from stsm_cli.config.yaml_strict import Located, shown
from stsm_cli.errors import RecipeError

MAX_PROBLEMS = 100  # ours: more are not read, and each costs a search for the key that was meant
MAX_CHOICES = 12  # ours: more do not fit into a line that is read
_RULES = {
    "missing": "missing key",
    "bool_type": "must be true or false",
    "int_type": "must be a whole number",
    "float_type": "must be a number",
    "string_type": "must be text",
    "tuple_type": "must be a list",
    "model_type": "must be a section of keys",
}
_SHIPPED = "recipes/"  # how places in shipped files begin
_Problem = tuple[str, str | None]  # a line, and its cure where one is known


def validate(tree: Located, problems: list[str], *, context: str | None = None) -> Recipe:
    """The recipe that `tree` describes.

    Args:
        tree: The merged content of the recipe's files and overrides.
        problems: Lines found earlier; they are reported with the new ones.
        context: `schema.WRITTEN` for what someone wrote; None for what a run kept.

    Raises:
        RecipeError: There are problems.
    """
    try:
        # Through JSON: lists become tuples, while a quoted number stays text.
        recipe = Recipe.model_validate_json(json.dumps(tree.plain()), context=context)
    except ValidationError as error:
        each = (problem for item in error.errors() for problem in _problems(item, tree))
        found = list(islice(each, MAX_PROBLEMS))
    else:
        if not problems:
            return recipe
        found = []
    hints = dict.fromkeys(hint for _, hint in found if hint)
    lines = sorted([*problems, *(line for line, _ in found)], key=_place)
    raise RecipeError("\n".join(lines), hint="\n".join(hints) or None)


def _place(line: str) -> tuple[str, int]:
    """Sorts problems by file, then by line number."""
    match = re.match(r"(.+?):(\d+): ", line)
    return (match[1], int(match[2])) if match else ("", 0)


def recipe_keys() -> list[str]:
    """Every dotted key that a recipe may hold, sections included."""
    return list(_keys(Recipe, ""))


def _keys(section: type[Section], prefix: str) -> Iterator[str]:
    for name, field in section.model_fields.items():
        yield prefix + name
        for kind in (field.annotation, *get_args(field.annotation)):
            # trap: in Python 3.10 `tuple[int]` is a type, but no class
            if isinstance(kind, type) and get_origin(kind) is None and issubclass(kind, Section):
                yield from _keys(kind, f"{prefix}{name}.")


def _problems(item: ErrorDetails, tree: Located) -> Iterator[_Problem]:
    path, kind = item["loc"], item["type"]
    key, found = ".".join(map(str, path)), tree.nearest(path)
    if kind == "extra_forbidden":
        yield from _unknown(found, key)
    elif kind == "missing":
        yield f"{found.where}: {key}: {_RULES[kind]}", None
    elif kind == "value_error":
        for rule, hint in rules(item["msg"]):
            yield _broken_rule(tree, path, rule), hint
    else:
        rule = _RULES.get(kind) or _shortened(item["msg"].replace("Input should be", "must be"))
        got = shown(found.plain())
        yield f"{found.where}: {key or 'the recipe'}: {rule}, got {got}", _suggest_value(item)


def _shortened(rule: str) -> str:
    """The rule, of many choices the first."""
    choices = re.findall(r"'[^']+'", rule)
    if len(choices) <= MAX_CHOICES:
        return rule
    others = len(choices) - MAX_CHOICES
    return f"must be {', '.join(choices[:MAX_CHOICES])} or one of {others} others"


def _unknown(found: Located, key: str) -> Iterator[_Problem]:
    if isinstance(found.value, dict) and found.value:
        for name, child in found.value.items():
            yield from _unknown(child, f"{key}.{name}")
        return
    known = _suggest_key(key)
    yield f"{found.where}: {key}: unknown key", known and f"did you mean `{known}` for `{key}`?"


def _broken_rule(tree: Located, path: tuple[int | str, ...], message: str) -> str:
    """A schema's own message, placed at the key it begins with where there is one.

    Where another key that it names was overridden, it is placed at that override; where the first
    is a shipped file's and another is the user's, at the user's.
    """
    first, prefix = message.split()[0].rstrip(":"), "".join(f"{part}." for part in path)
    found, named = tree.nearest(path), tree.nearest((*path, *first.split(".")))
    where, places = named.where, dict(_places(found, message))
    if key := next((key for key in places if places[key] == "--set"), None):
        where = "--set" if key == first else f"--set {prefix}{key}"
    elif where.startswith(_SHIPPED):
        where = next((own for own in places.values() if not own.startswith(_SHIPPED)), where)
    if isinstance(found.value, dict) and named is not found:
        return f"{where}: {prefix}{message}"
    key = ".".join(map(str, path))
    return f"{where}: {key}: {message}" if key else f"{where}: {message}"


def _places(section: Located, message: str) -> Iterator[tuple[str, str]]:
    """The keys of `section` that `message` names, and where each was written."""
    for name in re.findall(r"[a-z_]+(?:\.[a-z_]+)*", message):
        *parents, last = name.split(".")
        around = section.nearest(tuple(parents)).value
        if isinstance(around, dict) and last in around:
            yield name, around[last].where


def _suggest_key(key: str) -> str | None:
    """The known key most like `key`: as a whole, or by its last part in any section."""
    known = recipe_keys()
    whole = get_close_matches(key, known, n=1, cutoff=0.8)
    if whole:
        return whole[0]
    names = {name.rpartition(".")[2]: name for name in known}
    last = get_close_matches(key.rpartition(".")[2], names, n=1)
    return names[last[0]] if last else None


def _suggest_value(item: ErrorDetails) -> str | None:
    value, choices = str(item["input"]), item.get("ctx", {}).get("expected", "")
    close = get_close_matches(value, re.findall(r"'([^']+)'", choices), n=1)
    return f"did you mean `{close[0]}` for `{value}`?" if close else None

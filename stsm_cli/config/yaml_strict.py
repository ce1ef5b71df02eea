"""YAML without its traps, and with the place of every value.

Only JSON's kinds of values exist: `1e-4` is a number, `on`, `010`, `12:30` and `2024-01-01` are
text. Duplicate keys, keys that are not text, and aliases are refused.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, SequenceNode

from stsm_cli.errors import RecipeError


@dataclass(frozen=True)
class Located:
    """A value and where it was written.

    `value` is a scalar, a `list[Located]`, or a `dict[str, Located]`.
    """

    value: Any
    where: str
    """`file:line`, or the option that set it."""

    def plain(self) -> Any:  # noqa: ANN401
        """The value alone."""
        if isinstance(self.value, dict):
            return {key: child.plain() for key, child in self.value.items()}
        if isinstance(self.value, list):
            return [child.plain() for child in self.value]
        return self.value


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader with the number, truth and null forms of YAML 1.2's core schema."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012  # PyYAML's own way

    def compose_node(self, parent: Node | None, index: Any) -> Node | None:  # noqa: ANN401
        if self.check_event(yaml.AliasEvent):
            mark = self.get_mark()
            raise yaml.composer.ComposerError(None, None, "aliases are not allowed", mark)
        return super().compose_node(parent, index)


_DIGITS = list("-+.0123456789")
_FORMS = (
    ("null", r"^(null|~|)$", ["n", "~", ""]),
    ("bool", r"^(true|false)$", ["t", "f"]),
    ("int", r"^[-+]?(0|[1-9][0-9]*)$", _DIGITS),
    ("float", r"^[-+]?([0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))([eE][-+]?[0-9]+)?$", _DIGITS),
)
for _tag, _pattern, _first_characters in _FORMS:
    _Loader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}", re.compile(_pattern), _first_characters
    )


def read_yaml(path: Path, source: str, problems: list[str]) -> Located:
    """The content of a YAML file.

    Args:
        path: The file.
        source: What to call it in messages and places.
        problems: Takes one line for each key that is refused; reading goes on.

    Raises:
        RecipeError: The file cannot be read, or is not YAML.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise RecipeError(f"{source}: cannot be read: {reason}") from None
    return parse_yaml(text, source, problems)


def parse_yaml(text: str, source: str, problems: list[str], *, place: str = "") -> Located:
    """The content of a YAML text; `place`, where given, stands for every `source:line`.

    Raises:
        RecipeError: The text is not YAML.
    """
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        return _Reader(loader, source, place, problems).read(node)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{source}:{mark.line + 1}" if mark and not place else source
        raise RecipeError(f"{where}: {error.problem}") from None
    except yaml.YAMLError:
        raise RecipeError(f"{source}: contains characters that YAML does not allow") from None


@dataclass(frozen=True)
class _Reader:
    """Turns PyYAML's nodes into located values."""

    loader: _Loader
    source: str
    place: str
    problems: list[str]

    def read(self, node: Node | None, key: str = "") -> Located:
        if node is None:
            return Located(None, self.place or self.source)
        return Located(self._value(node, key), self._where(node))

    def _value(self, node: Node, key: str) -> Any:  # noqa: ANN401
        if isinstance(node, MappingNode):
            return self._mapping(node, f"{key}." if key else "")
        if isinstance(node, SequenceNode):
            return [self.read(child, f"{key}.{i}") for i, child in enumerate(node.value)]
        return self.loader.construct_object(node)

    def _mapping(self, node: MappingNode, prefix: str) -> dict[str, Located]:
        content: dict[str, Located] = {}
        for name_node, value_node in node.value:
            where, name = self._where(name_node), self._value(name_node, prefix)
            if not isinstance(name, str):
                got = json.dumps(Located(name, where).plain(), default=str)
                self.problems.append(f"{where}: keys must be text, got {got}")
            elif name in content:
                first = content[name].where
                self.problems.append(f"{where}: {prefix}{name}: duplicate key, first in {first}")
            else:
                content[name] = Located(self._value(value_node, f"{prefix}{name}"), where)
        return content

    def _where(self, node: Node) -> str:
        return self.place or f"{self.source}:{node.start_mark.line + 1}"

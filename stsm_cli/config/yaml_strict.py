"""YAML without its traps, and with the place of every value.

Only JSON's kinds of values exist: `1e-4` is a number, `on`, `010`, `12:30` and `2024-01-01` are
text. Duplicate keys, keys that are not text, aliases and tags are refused, and so is what is too
long or too deep to be read at once. A refusal has its line, and quotes little of a file: it may be
any file.
"""

import json
import re
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, NoReturn, cast

import yaml
from yaml.nodes import MappingNode, Node, SequenceNode

from stsm_cli.errors import RecipeError

MAX_BYTES = 64 * 1024  # ours: a recipe has 3 KiB, and PyYAML reads some 60 KiB a second
MAX_DEPTH = 32  # ours: a recipe has 3 levels, and PyYAML descends by recursion
SHOWN_CHARACTERS = 60  # of a value, in messages
KEY_RULE = "keys must be text"


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

    def section(self, name: str) -> "dict[str, Located]":
        """What lies in the section `name`; nothing where it is none."""
        section = self.value.get(name) if isinstance(self.value, dict) else None
        return section.value if section and isinstance(section.value, dict) else {}

    def with_section(self, name: str, children: "dict[str, Located]") -> "Located":
        """The same with `children` in its section `name`, which it has."""
        section = replace(self.value[name], value=children)
        return replace(self, value={**self.value, name: section})

    def nearest(self, keys: "tuple[int | str, ...]") -> "Located":
        """The deepest value along `keys` that there is."""
        tree = self
        for key in keys:
            try:
                tree = tree.value[key]
            except (KeyError, IndexError, TypeError):
                break
        return tree


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader with the number, truth and null forms of YAML 1.2's core schema."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012  # PyYAML's own way
    _depth = 0

    def compose_node(self, parent: Node | None, index: Any) -> Node | None:  # noqa: ANN401
        event: yaml.Event = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent):
            self._refuse("aliases are not allowed", event)
        if (tag := getattr(event, "tag", None)) is not None:
            self._refuse(f"tags are not allowed, got {tag:.{SHOWN_CHARACTERS}}", event)
        if self._depth == MAX_DEPTH:
            self._refuse(f"at most {MAX_DEPTH} levels may lie in each other", event)
        self._depth += 1
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node

    def _refuse(self, rule: str, event: yaml.Event) -> NoReturn:
        mark = cast(yaml.Mark, event.start_mark)
        raise yaml.composer.ComposerError(None, None, rule, mark)


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


def shown(value: Any) -> str:  # noqa: ANN401
    """A plain value as a message shows it: JSON in one line, its end cut off where it is long.

    >>> shown({"a": [1, "b"]})
    '{"a": [1, "b"]}'
    """
    text = json.dumps(value, ensure_ascii=False)
    if len(text) > SHOWN_CHARACTERS:
        text = f"{text[:SHOWN_CHARACTERS]}…"
    return "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in text)


def is_key(name: Any) -> bool:  # noqa: ANN401
    """Tell whether it can be a key: a message can name it."""
    return isinstance(name, str) and name.isprintable() and len(name) <= SHOWN_CHARACTERS


def read_text(path: Path, source: str) -> str:
    """The text of a small file in UTF-8, with or without a byte order mark.

    Raises:
        RecipeError: It cannot be read, is too long, or is not such text.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise _no_text(source, content, f"must have at most {MAX_BYTES:,} bytes")
        return content.decode("utf-8-sig")
    except OSError as error:
        raise RecipeError(f"{source}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise _no_text(source, content, "cannot be read: not UTF-8 text") from None


def _no_text(source: str, content: bytes, rule: str) -> RecipeError:
    """A file that breaks `rule`; what is no text at all, such as a video, is called so."""
    is_binary = b"\0" in content
    return RecipeError(f"{source}: {'is a binary file, not a text of YAML' if is_binary else rule}")


def read_yaml(path: Path, source: str, problems: list[str]) -> Located:
    """The content of a YAML file.

    Args:
        path: The file.
        source: What to call it in messages and places.
        problems: Takes one line for each key that is refused; reading goes on.

    Raises:
        RecipeError: The file cannot be read, or is not YAML.
    """
    return parse_yaml(read_text(path, source), source, problems)


def parse_yaml(text: str, source: str, problems: list[str], *, place: str = "") -> Located:
    """The content of a YAML text; `place`, where given, stands for every `source:line`.

    A text that was read before is not read again: its content is the same object.

    Raises:
        RecipeError: The text is not YAML.
    """
    tree, found = _parsed(text, source, place)
    problems += found
    return tree


@lru_cache(maxsize=512)  # recipes share their bases, and a run asks for its set's card five times
def _parsed(text: str, source: str, place: str) -> tuple[Located, tuple[str, ...]]:
    """What a text says, which nobody may change, and a line for each key that is refused."""
    problems: list[str] = []
    try:
        loader = _Loader(text)
    except yaml.YAMLError:
        raise RecipeError(f"{source}: contains characters that YAML does not allow") from None
    try:
        node = loader.get_single_node()
        return _Reader(loader, source, place, problems).read(node), tuple(problems)
    except yaml.MarkedYAMLError as error:
        mark, rule = error.problem_mark or error.context_mark, error.problem
    except (ValueError, OverflowError):  # PyYAML leaves what int() and chr() raise as it is
        mark, rule = loader.get_mark(), "a number is too large, or no number"
    where = f"{source}:{mark.line + 1}" if mark and not place else source
    raise RecipeError(f"{where}: {rule}")


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
        return self._scalar(node)

    def _scalar(self, node: Node) -> Any:  # noqa: ANN401
        try:
            str(node.value).encode()
            return self.loader.construct_object(node)
        except UnicodeEncodeError:
            rule = "half of a surrogate pair is no character"
        except ValueError:  # of int(): thousands of digits
            rule = f"must have fewer digits, got {len(node.value):,}"
        raise yaml.constructor.ConstructorError(None, None, rule, node.start_mark)

    def _mapping(self, node: MappingNode, prefix: str) -> dict[str, Located]:
        content: dict[str, Located] = {}
        for name_node, value_node in node.value:
            where, name = self._where(name_node), self._value(name_node, prefix)
            if not is_key(name):
                got = shown(Located(name, where).plain())
                self.problems.append(f"{where}: {KEY_RULE}, got {got}")
            elif name in content:
                first = content[name].where
                self.problems.append(f"{where}: {prefix}{name}: duplicate key, first in {first}")
            else:
                content[name] = Located(self._value(value_node, f"{prefix}{name}"), where)
        return content

    def _where(self, node: Node) -> str:
        return self.place or f"{self.source}:{node.start_mark.line + 1}"

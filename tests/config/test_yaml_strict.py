import re
from pathlib import Path

import pytest

from stsm_cli.config import yaml_strict
from stsm_cli.config.load import load_yaml, read_recipe
from stsm_cli.config.yaml_strict import parse_yaml
from stsm_cli.errors import RecipeError


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-4", 1e-4),
        ("7.5e-3", 7.5e-3),
        ("-.5", -0.5),
        ("1.", 1.0),
        ("+3", 3),
        ("0", 0),
        ("true", True),
        ("null", None),
        ("~", None),
        ("", None),
        ("on", "on"),
        ("yes", "yes"),
        ("True", "True"),
        ("010", "010"),
        ("0x1f", "0x1f"),
        ("1_000", "1_000"),
        ("12:30", "12:30"),
        ("2024-01-01", "2024-01-01"),
        (".inf", ".inf"),
        ("3/8", "3/8"),
        ("_", "_"),
        ("1:x", "1:x"),
        ("&anchor 1", 1),
        ("'1'", "1"),
        ("[40, 8e1]", [40, 80.0]),
        ("{a: {b: 1}}", {"a": {"b": 1}}),
    ],
)
def test_scalars_mean_what_they_look_like(write, text, value):
    read = load_yaml(Path(write("a.yaml", f"key: {text}\n")))["key"]
    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3\n", "a.yaml:3: a: duplicate key, first in a.yaml:1"),
        ("a:\n  b: [{c: 1, c: 2}]\n", "a.yaml:2: a.b.0.c: duplicate key, first in a.yaml:2"),
        ("a: &x 1\nb: *x\n", "a.yaml:2: aliases are not allowed"),
        ("[a]: 1\n", 'a.yaml:1: keys must be text, got ["a"]'),
        ("a:\n  1: 2\n", "a.yaml:2: keys must be text, got 1"),
        ("true: 1\n", "a.yaml:1: keys must be text, got true"),
        ("null: 1\n", "a.yaml:1: keys must be text, got null"),
        ("a: 1\n\tb: 2\n", "a.yaml:2: found character '\\t'"),
        ("a: [1\n", "a.yaml:2: expected ',' or ']'"),
        ("a: 1\n---\nb: 2\n", "a.yaml:2: but found another document"),
        ("a: !point 3\n", "a.yaml:1: tags are not allowed, got !point"),
        ("a: !!int abc\n", "a.yaml:1: tags are not allowed, got tag:yaml.org,2002:int"),
        ("a:\n  !!set {b, c}\n", "a.yaml:2: tags are not allowed, got tag:yaml.org,2002:set"),
        ("a: ! 3\n", "a.yaml:1: tags are not allowed, got !"),
        (f"a: {'9' * 5000}\n", "a.yaml:1: must have fewer digits, got 5,000"),
        (f"%YAML {'1' * 5000}.1\n---\na: 1\n", "a.yaml:1: a number is too large, or no number"),
        ('a: 1\nb: "\\UFFFFFFFF"\n', "a.yaml:2: a number is too large, or no number"),
        ('a: 1\nb: "\\ud800"\n', "a.yaml:2: half of a surrogate pair is no character"),
        ("a:\n  " + "[" * 99, "a.yaml:2: at most 32 levels may lie in each other"),
        ("- " * 5000, "a.yaml:1: at most 32 levels may lie in each other"),
        ('"a\\nb": 1\n', 'a.yaml:1: keys must be text, got "a\\nb"'),
        (f"{'a' * 61}: 1\n", "a.yaml:1: keys must be text, got"),
        ("#" * 65_537, "a.yaml: must have at most 65,536 bytes"),
        ("a: \x00\n", "a.yaml: contains characters that YAML does not allow"),
    ],
)
def test_what_is_not_plain_yaml_is_refused_with_its_line(write, text, message):
    with pytest.raises(RecipeError, match=f"^{re.escape(message)}"):
        load_yaml(Path(write("a.yaml", text)))


def test_a_text_is_read_once_and_its_problems_are_told_each_time(monkeypatch):
    ways, text = ("a.yaml", "b.yaml"), "key: [1, 2]\nkey: 3\n"
    first = [parse_yaml(text, source, []) for source in ways]
    monkeypatch.setattr(yaml_strict, "_Loader", lambda _: pytest.fail("it was read before"))
    for source, tree in zip(ways, first, strict=True):
        problems = ["told before"]
        assert parse_yaml(text, source, problems) is tree
        assert problems == [
            "told before",
            f"{source}:2: key: duplicate key, first in {source}:1",
        ]
        assert tree.value["key"].where == f"{source}:1"
        tree.plain()["key"].append(3)  # plain values are each caller's own
        assert tree.plain() == {"key": [1, 2]}


def test_an_unreadable_file_is_named():
    with pytest.raises(RecipeError, match=r"^gone\.yaml: cannot be read: No such file"):
        load_yaml(Path("gone.yaml"))
    Path("latin.yaml").write_bytes(b"a: \xff\n")
    with pytest.raises(RecipeError, match=r"^latin\.yaml: cannot be read: not UTF-8 text"):
        read_recipe(Path("latin.yaml"))


@pytest.mark.parametrize("length", [1, 9000])
def test_what_is_no_text_is_called_so(length):
    Path("clip.mp4").write_bytes(b"\0\0\0 ftypisom\xff" * length)  # short, or too long for a text
    with pytest.raises(RecipeError, match=r"^clip\.mp4: is a binary file, not a text of YAML$"):
        read_recipe(Path("clip.mp4"))


def test_a_byte_order_mark_is_no_part_of_the_text():
    Path("mark.yaml").write_bytes("\ufeff# card\na: 1\n".encode())
    assert load_yaml(Path("mark.yaml")) == {"a": 1}

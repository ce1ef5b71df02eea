"""Whatever a recipe or an override says, it is a recipe or an error with a place, at once."""

import random
import shutil
from pathlib import Path

import pytest

from stsm_cli.config.load import dump_recipe, load_recipe, read_recipe
from stsm_cli.config.validate import recipe_keys
from stsm_cli.errors import RecipeError
from stsm_cli.resources import resource_dir

FRAGMENTS = [
    *("!!int abc", "!!float _", "!!binary a=", "!!timestamp x", "!!python/name:os", "!!set {a}"),
    *("!", "&a [*a]", "<<: *a", "- - -", "? a", "{a: ", "[" * 99, "- " * 99, "---", "...", "|\n x"),
    *("_", "-", "1:x", "9" * 5000, "-1e999", "1e99999999", "1e10000000", "3/0", "1e38", "0x10"),
    *("\x00", "\x85", "\ufeff", "\t", '"\\ud800"', '"\\UFFFFFFFF"', '"\\0"', '"a\\nb": 1', "~", ""),
    *(
        "extends: .",
        "extends: mine.yaml",
        "extends: [a]",
        f"extends: {'x' * 5000}",
        "1: 2",
        "{}: 1",
    ),
    *("null", "true", "[]", "{}", "model: {}", "optim: null", "T+" * 99, "100000000", "%YAML 1.9"),
]


SETS = ("k400", "sthv2", "synth", "scenes", "order", "folder", "ucf101", "hmdb51")


def _mutated(text, rng):
    """`text` with a fragment in it, a character changed, a part gone or many times there."""
    start = rng.randrange(len(text) + 1)
    end = start + rng.randint(0, 30)
    middle = rng.choice([rng.choice(FRAGMENTS), chr(rng.randrange(256)), "", text[start:end] * 9])
    return text[:start] + middle + text[end:]


def _with_a_value(text, rng):
    """`text` with another value in one of its lines."""
    lines = text.splitlines()
    chosen = rng.randrange(len(lines))
    lines[chosen] = f"{lines[chosen].partition(':')[0]}: {rng.choice(FRAGMENTS)}"
    return "\n".join(lines)


def _is_recipe(*arguments):
    """True for a recipe, which is read again as it is written; False for an error of lines."""
    try:
        recipe = load_recipe(*arguments).recipe
    except RecipeError as error:
        for line in [*str(error).split("\n"), *(error.hint or "").split("\n")]:
            assert line.isprintable()
            assert len(line) < 500
        return False
    Path("again.yaml").write_text(dump_recipe(recipe))
    assert read_recipe(Path("again.yaml")) == recipe
    return True


@pytest.mark.parametrize("seed", range(3))
def test_a_mutated_recipe_is_a_recipe_or_an_error_of_lines(seed):
    rng = random.Random(seed)
    shutil.copytree(resource_dir("recipes"), "recipes")
    whole = [path for path in sorted(Path("recipes").rglob("*.yaml")) if path.parent.name in SETS]
    found = []
    for _ in range(60):
        path = rng.choice(whole)
        mine = path.with_name("mine.yaml")  # beside what it extends
        text = rng.choice([_mutated, _with_a_value])(path.read_text(), rng)
        mine.write_text(text, encoding="utf-8")
        found.append(_is_recipe(str(mine)))
        mine.unlink()
    assert min(found.count(True), found.count(False)) >= 5


@pytest.mark.parametrize("seed", range(3))
def test_a_mutated_override_is_a_recipe_or_an_error_of_lines(seed):
    rng = random.Random(seed)
    for _ in range(25):
        override = f"{rng.choice(recipe_keys())}={rng.choice(FRAGMENTS)}"
        mutated = _mutated(override, rng) if rng.random() < 0.3 else override
        _is_recipe("synth/stsm", [mutated])

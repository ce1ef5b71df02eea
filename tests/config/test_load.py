"""Strict reading, `extends:`, `--set`, and error texts; the shipped recipes: test_recipes.py."""

import re
from fractions import Fraction
from pathlib import Path

import pytest

from stsm_cli.config.load import (
    describe,
    dump_recipe,
    load_recipe,
    load_yaml,
    read_recipe,
    recipe_hash,
)
from stsm_cli.config.validate import recipe_keys
from stsm_cli.errors import RecipeError


def write(name, text):
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return name


def problems(*arguments):
    """The lines and hints of the error that loading ends with."""
    with pytest.raises(RecipeError) as caught:
        load_recipe(*arguments)
    return str(caught.value).splitlines(), (caught.value.hint or "").splitlines()


# Strict YAML


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
        ("'1'", "1"),
        ("[40, 8e1]", [40, 80.0]),
        ("{a: {b: 1}}", {"a": {"b": 1}}),
    ],
)
def test_scalars_mean_what_they_look_like(text, value):
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
        ("a: !point 3\n", "a.yaml:1: could not determine a constructor for the tag '!point'"),
        ("a: \x00\n", "a.yaml: contains characters that YAML does not allow"),
    ],
)
def test_what_is_not_plain_yaml_is_refused_with_its_line(text, message):
    with pytest.raises(RecipeError, match=f"^{re.escape(message)}"):
        load_yaml(Path(write("a.yaml", text)))


def test_an_unreadable_file_is_named():
    with pytest.raises(RecipeError, match=r"^gone\.yaml: cannot be read: No such file"):
        load_yaml(Path("gone.yaml"))
    Path("latin.yaml").write_bytes(b"a: \xff\n")
    with pytest.raises(RecipeError, match=r"^latin\.yaml: cannot be read: not UTF-8 text"):
        read_recipe(Path("latin.yaml"))


# Composition


def test_mappings_merge_scalars_and_lists_replace_null_clears():
    write(
        "parts/base.yaml",
        "extends: base/k400\n"
        "model: {backbone: resnet50, shift: {dims: T}}\n"
        "optim: {milestones_epochs: [10, 20, 30], momentum: 0.8}\n",
    )
    recipe = load_recipe(
        write(
            "mine.yaml",
            "extends: parts/base.yaml\n"
            "optim: {milestones_epochs: [5], clip_grad_norm: null}\n"
            "model: {shift: null}\n",
        )
    ).recipe
    assert recipe.optim.milestones_epochs == (5,)
    assert recipe.optim.momentum == 0.8
    assert recipe.optim.clip_grad_norm is None
    assert recipe.optim.lr == 7.5e-3
    assert recipe.model.shift is None


def test_extends_is_relative_to_its_own_file_not_to_the_working_folder(monkeypatch):
    write("a/base.yaml", "extends: base/synth\nseed: 3\n")
    write("a/b/mine.yaml", "extends: ../base.yaml\n")
    Path("elsewhere").mkdir()
    monkeypatch.chdir("elsewhere")
    assert load_recipe("../a/b/mine.yaml").recipe.seed == 3


def test_extends_in_a_circle_is_refused():
    write("a.yaml", "extends: b.yaml\n")
    write("b.yaml", "seed: 1\nextends: a.yaml\n")
    assert problems("a.yaml")[0] == ["b.yaml:2: extends: a.yaml leads back to itself"]


def test_extends_more_than_two_hops_is_refused():
    write("a.yaml", "extends: b.yaml\n")
    write("b.yaml", "extends: synth/stsm\n")  # which extends base/synth
    expected = "recipes/synth/stsm.yaml:5: extends: at most 2 hops, ../base/synth.yaml is one more"
    assert problems("a.yaml")[0] == [expected]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("[synth/stsm]", 'must be the path of one recipe, got ["synth/stsm"]'),
        ("null", "must be the path of one recipe, got null"),
        ("gone.yaml", "gone.yaml: no such recipe"),
    ],
)
def test_a_wrong_parent_is_named_with_its_line(value, message):
    write("a.yaml", f"seed: 1\nextends: {value}\n")
    assert problems("a.yaml")[0] == [f"a.yaml:2: extends: {message}"]


# --set


def test_set_comes_last_and_the_last_one_wins():
    loaded = load_recipe("synth/stsm", ["seed=1", "optim.lr=1e-3", "seed=2"])
    assert (loaded.recipe.seed, loaded.recipe.optim.lr) == (2, 1e-3)
    assert loaded.origins["optim.lr"] == loaded.origins["seed"] == "--set"


def test_set_takes_lists_sections_and_values_with_an_equals_sign():
    overrides = ["optim={schedule: step, warmup_epochs: 0, milestones_epochs: [1, 2]}"]
    assert load_recipe("synth/stsm", overrides).recipe.optim.milestones_epochs == (1, 2)
    lines, _ = problems("synth/stsm", ["model.shift.dims=T=H"])
    assert "'T=H'" in lines[0]


def test_set_below_a_cleared_section_brings_it_back_with_its_defaults():
    shift = load_recipe("synth/tsn", ["model.shift.alpha=1/4"]).recipe.model.shift
    assert shift is not None
    assert (shift.dims, shift.alpha) == ("T+H+W", Fraction(1, 4))


@pytest.mark.parametrize("override", ["seed", "=3", ""])
def test_set_without_key_or_value_is_refused(override):
    lines, _ = problems("synth/stsm", [override, "seed=x"])
    assert lines == [
        f"--set {override}: must be KEY=VALUE",
        '--set: seed: must be a whole number, got "x"',
    ]


def test_set_with_broken_yaml_names_the_override():
    lines, _ = problems("synth/stsm", ["optim.milestones_epochs=[1"])
    assert lines[0].startswith("--set optim.milestones_epochs=[1: expected ',' or ']'")


# Problems


def test_all_problems_are_told_at_once_in_the_file_s_order():
    write(
        "mine.yaml",
        "extends: synth/stsm\n"
        "model:\n"
        "  droput: 0.1\n"
        "  shift: {alpha: 5/4}\n"
        "optm: {lr: 0.1}\n"
        "optim:\n"
        "  epochs: 2.5\n"
        "  lr: 1e-3\n"
        '  lr: "0.1"\n'
        "data:\n"
        "  crop_px: 300\n",
    )
    lines, hints = problems("mine.yaml")
    assert lines == [
        "mine.yaml:3: model.droput: unknown key",
        "mine.yaml:4: model.shift.alpha: alpha 5/4 is outside [0, 1]",
        "mine.yaml:5: optm.lr: unknown key",
        "mine.yaml:7: optim.epochs: must be a whole number, got 2.5",
        "mine.yaml:9: optim.lr: duplicate key, first in mine.yaml:8",
        "mine.yaml:11: data.crop_px (300) must be at most short_side_px (36)",
    ]
    assert hints == [
        "did you mean `model.dropout` for `model.droput`?",
        "did you mean `optim.lr` for `optm.lr`?",
    ]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("optim.lr='0.1'", 'optim.lr: must be a number, got "0.1"'),
        ("optim.lr=true", "optim.lr: must be a number, got true"),
        ("optim.lr=0", "optim.lr: must be greater than 0, got 0"),
        ("seed=true", "seed: must be a whole number, got true"),
        ("seed=1.0", "seed: must be a whole number, got 1.0"),
        ("model.non_local=1", "model.non_local: must be true or false, got 1"),
        ("model.non_local=yes", 'model.non_local: must be true or false, got "yes"'),
        ("model.shift=3", "model.shift: must be a section of keys, got 3"),
        ("model.shift.dims=3", "model.shift.dims: must be text, got 3"),
        ("model.shift.dims=T+X", "model.shift.dims: dims 'T+X': unknown axis 'X'"),
        ("model.shift.alpha=[1]", "model.shift.alpha: alpha [1] is not a number"),
        ("optim.milestones_epochs=5", "optim.milestones_epochs: must be a list, got 5"),
        ("optim.milestones_epochs=[x]", "optim.milestones_epochs.0: must be a whole number"),
        ("precision=fp8", "precision: must be 'fp32', 'bf16' or 'fp16', got \"fp8\""),
        ("optim=null", "optim: must be a section of keys, got null"),
    ],
)
def test_a_wrong_value_is_told_with_key_rule_and_value(override, message):
    lines, _ = problems("synth/stsm", [override])
    assert lines[0].startswith(f"--set: {message}")


@pytest.mark.parametrize(
    ("override", "line"),
    [
        (
            "optim.epochs=1",
            "--set optim.epochs: optim.warmup_epochs (3.0) must be less than epochs (1)",
        ),
        (
            "optim.warmup_epochs=9",
            "--set: optim.warmup_epochs (9.0) must be less than epochs (8)",
        ),
        (
            "data.short_side_px=8",
            "--set data.short_side_px: data.crop_px (224) must be at most short_side_px (8)",
        ),
        (
            "data={short_side_px: 225}",
            "--set data.short_side_px: test.crop_px (256) must be at most data.short_side_px (225)",
        ),
        (
            "optim.optimizer=adamw",
            "--set optim.optimizer: optim.policy: tsm belongs to `optimizer: sgd`",
        ),
        (
            "model.backbone=resnet_small",
            "--set model.backbone: model.weights: there are none of ImageNet for backbone "
            "resnet_small",
        ),
    ],
)
def test_a_broken_rule_names_the_override_that_breaks_it(override, line):
    write("mine.yaml", "extends: base/folder\noptim: {epochs: 8, warmup_epochs: 3}\n")
    assert problems("mine.yaml", ["model.backbone=resnet18", override])[0] == [line]


@pytest.mark.parametrize(
    ("key", "known"),
    [
        ("optim.milestone_epochs", "optim.milestones_epochs"),
        ("model.lr", "optim.lr"),
        ("alpha", "model.shift.alpha"),
        ("data.crop", "data.crop_px"),
        ("optim.", "optim"),
    ],
)
def test_an_unknown_key_gets_the_nearest_known_one(key, known):
    lines, hints = problems("synth/stsm", [f"{key}=1"])
    assert lines == [f"--set: {key}: unknown key"]
    assert hints == [f"did you mean `{known}` for `{key}`?"]


def test_an_unknown_key_like_no_other_gets_no_hint():
    assert problems("synth/stsm", ["zzz=1"]) == (["--set: zzz: unknown key"], [])


def test_an_unknown_choice_gets_the_nearest_known_one():
    _, hints = problems("k400/tsn_r50_8f", ["model.backbone=resnet-50"])
    assert hints == ["did you mean `resnet50` for `resnet-50`?"]


def test_missing_keys_are_named_at_their_section():
    write("mine.yaml", "seed: 1\nmodel: {num_classes: 2}\noptim: {lr: 1, epochs: 1}\n")
    lines, _ = problems("mine.yaml")
    assert lines == ["mine.yaml:1: data: missing key", "mine.yaml:2: model.backbone: missing key"]


def test_a_key_that_is_not_text_is_one_problem():
    lines, hints = problems(write("mine.yaml", "extends: synth/stsm\n1: 2\n"))
    assert (lines, hints) == (["mine.yaml:2: keys must be text, got 1"], [])
    assert problems("synth/stsm", ["optim={1: 2}"])[0] == ["--set: keys must be text, got 1"]


@pytest.mark.parametrize(("text", "got"), [("", "null"), ("[1]", "[1]"), ("text", '"text"')])
def test_a_file_that_is_not_a_section_is_refused(text, got):
    lines, _ = problems(write("mine.yaml", text))
    assert lines[0].startswith("mine.yaml")
    assert lines[0].endswith(f"the recipe: must be a section of keys, got {got}")


# Names


def test_recipes_are_found_by_name_by_shipped_path_and_by_file():
    write("my/exp.yaml", "extends: synth/tsn\n")
    assert load_recipe("synth/stsm").name == "synth/stsm"
    assert load_recipe("recipes/synth/stsm.yaml").name == "synth/stsm"
    assert load_recipe("my/exp").name == load_recipe("my/exp.yaml").name == "exp"


def test_an_unknown_recipe_gets_the_nearest_and_where_all_are_listed():
    lines, hints = problems("synth/stms")
    assert lines == ["synth/stms: no such recipe"]
    assert hints == ["did you mean `synth/stsm`? `stsm recipes` lists the shipped ones"]


# Back to YAML, hash, description


def test_a_dumped_recipe_reads_back_equal():
    recipe = load_recipe("synth/stsm", ["optim.lr=1e-7", "model.shift.alpha=1"]).recipe
    Path("recipe.yaml").write_text(dump_recipe(recipe))
    assert read_recipe(Path("recipe.yaml")) == recipe


def test_the_hash_is_of_the_values_alone():
    base = recipe_hash(load_recipe("synth/stsm").recipe)
    assert re.fullmatch("[0-9a-f]{12}", base)
    assert recipe_hash(load_recipe("synth/stsm", ["model.shift.alpha=0.375"]).recipe) == base
    assert recipe_hash(load_recipe("synth/stsm", ["seed=1"]).recipe) != base


def test_the_hash_stays_the_same_between_versions():
    text = (
        "model: {backbone: resnet18, num_classes: 3}\n"
        "data: {dataset: folder, sampling: uniform}\n"
        "optim: {lr: 1, epochs: 1}\n"
    )
    assert recipe_hash(load_recipe(write("mine.yaml", text)).recipe) == "0db378045d2e"


def test_describe_gives_every_value_its_origin():
    write("mine.yaml", "extends: synth/tsn\nseed: 4\n")
    rows = {
        key: (value, origin)
        for key, value, origin in describe(load_recipe("mine.yaml", ["optim.epochs=2"]))
    }
    assert rows["seed"] == ("4", "mine.yaml:2")
    assert rows["optim.epochs"] == ("2", "--set")
    assert rows["model.non_local"] == ("false", "default")
    assert rows["model.shift"] == ("null", "recipes/synth/tsn.yaml:7")
    assert rows["data.dataset"][1].startswith("recipes/base/synth.yaml:")
    assert set(rows) <= set(recipe_keys())

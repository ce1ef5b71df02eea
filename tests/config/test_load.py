"""`extends:`, `--set`, names, and back to YAML; the shipped recipes: test_recipes.py."""

import re
from fractions import Fraction
from pathlib import Path

import pytest

from stsm_cli.config.load import (
    describe,
    dump_recipe,
    load_recipe,
    read_recipe,
    recipe_hash,
    recipe_names,
)
from stsm_cli.config.validate import recipe_keys

# Composition


def test_mappings_merge_scalars_and_lists_replace_null_clears(write):
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


def test_extends_is_relative_to_its_own_file_not_to_the_working_folder(write, monkeypatch):
    write("a/base.yaml", "extends: base/synth\nseed: 3\n")
    write("a/b/mine.yaml", "extends: ../base.yaml\n")
    Path("elsewhere").mkdir()
    monkeypatch.chdir("elsewhere")
    assert load_recipe("../a/b/mine.yaml").recipe.seed == 3


def test_extends_in_a_circle_is_refused(write, problems):
    write("a.yaml", "extends: b.yaml\n")
    write("b.yaml", "seed: 1\nextends: a.yaml\n")
    assert problems("a.yaml")[0] == ["b.yaml:2: extends: a.yaml leads back to itself"]


def test_extends_more_than_two_hops_is_refused(write, problems):
    write("a.yaml", "extends: b.yaml\n")
    write("b.yaml", "extends: c.yaml\n")
    write("c.yaml", "extends: synth/stsm\n")
    assert problems("a.yaml")[0] == ["c.yaml:1: extends: at most 2 hops, synth/stsm is one more"]


def test_hops_between_shipped_files_are_not_a_user_s(write):
    shipped = "k400/slowfast_r50_8x8"  # which extends another, and that base/k400
    write("b.yaml", f"extends: {shipped}\n")
    write("a.yaml", "extends: b.yaml\nseed: 3\n")
    values = {"seed": 3}
    assert load_recipe("a.yaml").recipe == load_recipe(shipped).recipe.model_copy(update=values)


@pytest.mark.parametrize("name", recipe_names())
def test_a_copy_of_a_shipped_recipe_is_the_same_recipe(name, write):
    assert load_recipe(write("mine.yaml", f"extends: {name}\n")).recipe == load_recipe(name).recipe


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("[synth/stsm]", 'must be the path of one recipe, got ["synth/stsm"]'),
        ("null", "must be the path of one recipe, got null"),
        ("gone.yaml", "gone.yaml: no such file"),
        ("gone", "gone: no such recipe"),
        (".", ".: is a folder, a recipe is a file"),
        (r'"a\0b\n"', r'"a\u0000b\n": no such recipe'),
        ("x" * 5000, f'"{"x" * 59}…: cannot be read: File name too long'),
    ],
)
def test_a_wrong_parent_is_named_with_its_line(write, problems, value, message):
    write("a.yaml", f"seed: 1\nextends: {value}\n")
    assert problems("a.yaml")[0] == [f"a.yaml:2: extends: {message}"]


# --set


def test_set_comes_last_and_the_last_one_wins():
    loaded = load_recipe("synth/stsm", ["seed=1", "optim.lr=1e-3", "seed=2"])
    assert (loaded.recipe.seed, loaded.recipe.optim.lr) == (2, 1e-3)
    assert loaded.origins["optim.lr"] == loaded.origins["seed"] == "--set"


def test_set_takes_lists_sections_and_values_with_an_equals_sign(problems):
    overrides = ["optim={schedule: step, warmup_epochs: 0, milestones_epochs: [1, 2]}"]
    assert load_recipe("synth/stsm", overrides).recipe.optim.milestones_epochs == (1, 2)
    lines, _ = problems("synth/stsm", ["model.shift.dims=T=H"])
    assert "'T=H'" in lines[0]


def test_set_below_a_cleared_section_brings_it_back_with_its_defaults():
    shift = load_recipe("synth/tsn", ["model.shift.alpha=1/4"]).recipe.model.shift
    assert shift is not None
    assert (shift.dims, shift.alpha) == ("T+H+W", Fraction(1, 4))


@pytest.mark.parametrize("override", ["seed", "=3", ""])
def test_set_without_key_or_value_is_refused(problems, override):
    lines, _ = problems("synth/stsm", [override, "seed=x"])
    assert lines == [
        f"--set {override}: must be KEY=VALUE",
        '--set: seed: must be a whole number, got "x"',
    ]


@pytest.mark.parametrize(
    ("override", "shown"),
    [
        (f"{'a.' * 5000}a=1", f'"{"a." * 29}a…'),
        ("a\nb=1", r'"a\nb=1"'),
        (f"{'k' * 99}=1", "k" * 99),
    ],
)
def test_set_of_a_key_that_cannot_be_is_refused_in_one_line(problems, override, shown):
    (line,) = problems("synth/stsm", [override])[0]
    assert line.startswith(f"--set {shown}")
    assert line.endswith(": no recipe has such a key")


def test_set_with_broken_yaml_names_the_override(problems):
    lines, _ = problems("synth/stsm", ["optim.milestones_epochs=[1"])
    assert lines[0].startswith("--set optim.milestones_epochs=[1: expected ',' or ']'")


# Names


def test_recipes_are_found_by_name_by_shipped_path_and_by_file(write):
    write("my/exp.yaml", "extends: synth/tsn\n")
    assert load_recipe("synth/stsm").name == "synth/stsm"
    assert load_recipe("recipes/synth/stsm.yaml").name == "synth/stsm"
    assert load_recipe("my/exp").name == load_recipe("my/exp.yaml").name == "exp"


def test_an_unknown_recipe_gets_the_nearest_and_where_all_are_listed(problems):
    lines, hints = problems("synth/stms")
    assert lines == ["synth/stms: no such recipe"]
    assert hints == ["did you mean `synth/stsm`? `stsm recipes` lists the shipped ones"]


def test_a_path_that_leads_to_no_recipe_is_called_one(problems):
    assert problems("gone.yml")[0] == ["gone.yml: no such file"]
    assert problems("/gone/a")[0] == ["/gone/a: no such file"]
    Path("videos").mkdir()
    lines, hints = problems("videos")
    assert lines == ["videos: is a folder, a recipe is a file"]
    assert hints == ["`stsm recipes` lists the shipped ones"]


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


def test_the_hash_stays_the_same_between_versions(write):
    text = (
        "model: {backbone: resnet18, num_classes: 3}\n"
        "data: {dataset: folder, sampling: uniform}\n"
        "optim: {lr: 1, epochs: 1}\n"
    )
    assert recipe_hash(load_recipe(write("mine.yaml", text)).recipe) == "0db378045d2e"


def test_describe_gives_every_value_its_origin(write):
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


@pytest.mark.parametrize("key", ["model.shift", "data.rand_augment"])
def test_the_defaults_of_an_empty_section_have_the_origin_that_asked_for_it(write, key):
    section, name = key.split(".")
    write("mine.yaml", f"extends: synth/tsn\n{section}:\n  {name}: {{}}\n")
    for loaded, origin in (
        (load_recipe("mine"), "mine.yaml:3"),
        (load_recipe("synth/tsn", [f"{key}={{}}"]), "--set"),
    ):
        origins = [where for at, _, where in describe(loaded) if at.startswith(f"{key}.")]
        assert len(origins) >= 2
        assert set(origins) == {origin}
    shared = load_recipe("synth/tsn", ["model.shift.alpha=1/4"])
    assert ("model.shift.dims", "T+H+W", "default") in describe(shared)


# What a result is called


@pytest.mark.parametrize(
    ("overrides", "title"),
    [
        ([], "synth/stsm"),
        (["model.backbone=mobilenet_v2_small"], "synth/stsm + model.backbone=mobilenet_v2_small"),
        (["model.shift=null"], "synth/stsm + model.shift=null"),
        (["model.shift.alpha=1/4", "optim.epochs=20"], "synth/stsm + model.shift.alpha=1/4, "),
        (["model.init=/a/b.safetensors"], "synth/stsm + model.init=b.safetensors"),
        (["seed=3", "test.crops=3"], "synth/stsm"),  # the seed is no setting; protocols have names
        (["model.shift.alpha=3/8", "model.init=null"], "synth/stsm"),  # as it is
    ],
)
def test_a_title_says_what_overrides_changed(overrides, title):
    assert load_recipe("synth/stsm", overrides).title.startswith(title)
    assert ("+" in title) == bool(load_recipe("synth/stsm", overrides).edits)


@pytest.mark.parametrize(
    ("override", "edits"),
    [
        ("model.shift={}", ["dims=T+H+W", "alpha=3/8", "shortcut=false"]),
        ("data.rand_augment={}", ["ops=2", "magnitude=9"]),
    ],
)
def test_a_title_says_that_a_section_was_asked_for_or_cleared(write, override, edits):
    key = override.removesuffix("={}")
    assert load_recipe("synth/tsn", [override]).edits == tuple(f"{key}.{edit}" for edit in edits)
    section, name = key.split(".")
    write("mine.yaml", f"extends: synth/tsn\n{section}: {{{name}: {{}}}}\n")
    assert load_recipe("mine").title == load_recipe("mine", [override]).title == "mine"
    assert load_recipe("mine", [f"{key}=null"]).title == f"mine + {key}=null"


def test_from_python_a_path_is_enough_and_one_text_is_not():
    assert load_recipe(Path("synth/stsm")).recipe == load_recipe("synth/stsm").recipe
    says = r"overrides is the text 'optim.lr=1'; a list of them is \['optim.lr=1'\]"
    with pytest.raises(ValueError, match=says):
        load_recipe("synth/stsm", "optim.lr=1")

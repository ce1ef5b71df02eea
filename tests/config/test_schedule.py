"""Schedules that follow a change of epochs, and settings that would have no effect."""

from pathlib import Path

import pytest

from stsm_cli.config.load import dump_recipe, load_recipe, read_recipe, recipe_hash
from stsm_cli.config.schema import OptimConfig

LONG = "recipes/base/k400.yaml:29, scaled from [40, 80] of 100 epochs"


@pytest.mark.parametrize(
    ("epochs", "milestones"),
    [
        (50, (20, 40)),
        (200, (80, 160)),
        (20, (8, 16)),
        (4, (2, 3)),  # 1.6 and 3.2
        (3, (1, 2)),
        (2, (1,)),  # 0.8 and 1.6: the end is no milestone
        (1, ()),
        (100, (40, 80)),
    ],
)
def test_inherited_milestones_keep_their_share_of_the_run(epochs, milestones):
    loaded = load_recipe("k400/stsm_r50_8f", [f"optim.epochs={epochs}"])
    assert loaded.recipe.optim.milestones_epochs == milestones
    assert loaded.origins["optim.epochs"] == "--set"
    kept = epochs == 100
    assert loaded.origins["optim.milestones_epochs"] == (LONG.partition(",")[0] if kept else LONG)
    line = f"optim.milestones_epochs {list(milestones)}: scaled from [40, 80] of 100 epochs"
    assert loaded.notes == ([] if kept else [line])


def test_milestones_that_are_written_stay(write):
    written = load_recipe("k400/stsm_r50_8f", ["optim.milestones_epochs=[7]", "optim.epochs=9"])
    assert (written.recipe.optim.milestones_epochs, written.notes) == ((7,), [])
    write("mine.yaml", "extends: k400/mmaction2_v1_tsm_r50_8f\n")  # which writes epochs and both
    assert load_recipe("mine.yaml").recipe.optim.milestones_epochs == (25, 45)


def test_a_child_s_epochs_scale_its_parent_s_schedule(write):
    write("mine.yaml", "extends: base/folder\nmodel: {backbone: resnet18}\noptim: {epochs: 15}\n")
    loaded = load_recipe("mine.yaml")
    assert loaded.recipe.optim.milestones_epochs == (8, 13)
    assert loaded.recipe.optim.warmup_epochs == 0.5
    assert loaded.notes == [
        "optim.milestones_epochs [8, 13]: scaled from [15, 25] of 30 epochs",
        "optim.warmup_epochs 0.5: scaled from 1 of 30 epochs",
    ]
    assert load_recipe("mine.yaml", ["optim.epochs=30"]).recipe.optim.milestones_epochs == (16, 26)


def test_a_warm_up_shrinks_with_the_run_and_does_not_grow():
    warmups = [
        load_recipe("synth/stsm", [f"optim.epochs={epochs}"]).recipe.optim.warmup_epochs
        for epochs in (1, 11, 20)
    ]
    assert warmups == [0.045455, 0.5, 0.5]
    one = load_recipe("folder/stsm_r50_8f", ["optim.epochs=1"]).recipe.optim
    assert (one.milestones_epochs, one.warmup_epochs) == ((), 0.033333)
    notes = load_recipe("synth/stsm", ["optim.epochs=1"]).notes
    assert notes == ["optim.warmup_epochs 0.045: scaled from 0.5 of 11 epochs"]


def test_another_schedule_drops_the_inherited_milestones():
    loaded = load_recipe("k400/stsm_r50_8f", ["optim.schedule=cosine", "optim.epochs=10"])
    assert (loaded.recipe.optim.schedule, loaded.recipe.optim.milestones_epochs) == (
        "one_cycle",
        (),
    )
    assert loaded.notes == [
        "optim.milestones_epochs []: dropped: [40, 80] belong to schedule: step"
    ]


def test_cosine_is_one_cycle_and_one_experiment():
    hashes = {
        recipe_hash(load_recipe("k400/stsm_r50_8f", [f"optim.schedule={name}"]).recipe)
        for name in ("cosine", "one_cycle")
    }
    assert len(hashes) == 1


def test_without_a_warm_up_what_belongs_to_it_goes():
    loaded = load_recipe("k400/mmaction2_v1_tsm_r50_8f", ["optim.warmup_epochs=0"])
    optim = loaded.recipe.optim
    assert (optim.warmup_epochs, optim.warmup_from, optim.warmup_by) == (0, 0, "step")
    assert loaded.notes == [
        "optim.warmup_from 0.0: dropped: 0.1 belongs to a warm-up",
        "optim.warmup_by step: dropped: epoch belongs to a warm-up",
    ]


@pytest.mark.parametrize("value", ["two", "0", "-3", "1.5", "true", "null", "[9]", "{a: 1}"])
def test_epochs_that_are_none_leave_the_refusal_to_the_schema(problems, value):
    lines, _ = problems("k400/stsm_r50_8f", [f"optim.epochs={value}"])
    assert len(lines) == 1
    assert lines[0].startswith("--set")
    assert "optim.epochs" in lines[0]


@pytest.mark.parametrize(
    ("section", "told"),
    [
        ("optim=3", ["--set: optim: must be a section of keys, got 3"]),
        ("optim.milestones_epochs=4", ["--set: optim.milestones_epochs: must be a list, got 4"]),
        (
            "optim.epochs=7",
            ['base.yaml:2: optim.milestones_epochs.0: must be a whole number, got "a"'],
        ),
    ],
)
def test_a_broken_parent_is_no_other_problem(write, problems, section, told):
    write("base.yaml", "model: {backbone: resnet18}\noptim: {milestones_epochs: [a], epochs: 9}\n")
    write("mine.yaml", "extends: base.yaml\n")
    lines, _ = problems("mine.yaml", [section])
    assert [line for line in lines if not line.endswith("missing key")] == told


@pytest.mark.parametrize(
    ("overrides", "line", "hint"),
    [
        (
            ["optim.milestones_epochs=[40, 80]", "optim.epochs=20"],
            "--set: optim.milestones_epochs (40, 80): the run ends before 40, epochs is 20",
            "inherited milestones follow optim.epochs by themselves; written ones must be less",
        ),
        (
            ["optim.milestones_epochs=[50, 100]"],
            "--set: optim.milestones_epochs (50, 100): the run ends before 100, epochs is 100",
            "inherited milestones follow optim.epochs by themselves; written ones must be less",
        ),
        (
            ["optim.warmup_epochs=41"],
            "--set optim.warmup_epochs: optim.milestones_epochs (40, 80): the first comes before "
            "the end of the warm-up, warmup_epochs is 41.0",
            None,
        ),
        (
            ["optim.warmup_epochs=100"],
            "--set: optim.warmup_epochs (100.0) must be less than epochs (100)",
            "set optim.warmup_epochs below optim.epochs; 0 is without a warm-up",
        ),
        (
            ["optim.warmup_from=0.1"],
            "--set: optim.warmup_from (0.1) has no effect: warmup_epochs is 0",
            "set optim.warmup_epochs, or leave out optim.warmup_from",
        ),
        (
            ["optim.warmup_by=epoch"],
            "--set: optim.warmup_by (epoch) has no effect: warmup_epochs is 0",
            "set optim.warmup_epochs, or leave out optim.warmup_by",
        ),
        (
            ["optim.warmup_by=epoch", "optim.warmup_epochs=5"],
            "--set: optim.warmup_by (epoch) with warmup_from at 0: the first epoch would train at "
            "a learning rate of 0",
            "set optim.warmup_from, to 0.1 for example",
        ),
    ],
)
def test_what_would_have_no_effect_is_refused(problems, overrides, line, hint):
    lines, hints = problems("k400/stsm_r50_8f", overrides)
    assert lines == [line]
    assert hints == ([hint] if hint else [])


@pytest.mark.parametrize(
    ("overrides", "lines"),
    [
        (
            ["optim.accumulate=5", "optim.warmup_epochs=500", "optim.optimizer=adamw"],
            [
                "--set: optim.accumulate (5) must divide batch_size (48)",
                "--set: optim.warmup_epochs (500.0) must be less than epochs (100)",
                "--set optim.optimizer: optim.policy: tsm belongs to `optimizer: sgd`",
            ],
        ),
        (
            ["test.crop_px=300", "test.clips=2", "data.flow=tvl1"],
            [
                "--set: data.flow (tvl1) has no effect: model.stream is rgb",
                "--set: test.clips (2) must be 1 or 10 with data.sampling dense",
                "--set: test.crop_px (300) must be at most data.short_side_px (256)",
            ],
        ),
        (
            ["model.non_local=true", "model.system=tea", "model.stream=flow"],
            [
                "--set: model.stream flow belongs to backbone r2plus1d_34",
                "--set: model.system tea and shift exclude each other",
                "--set: model.system tea belongs to backbone res2net",
            ],
        ),
    ],
)
def test_rules_of_a_section_that_are_broken_are_told_at_once(problems, overrides, lines):
    told, _ = problems("k400/stsm_r50_8f", overrides)
    assert len(told) == len(lines)
    for line in lines:
        assert any(one.startswith(line) for one in told)


def test_a_run_s_own_recipe_is_read_whatever_it_says(write):
    recipe = load_recipe("k400/stsm_r50_8f").recipe
    late = recipe.optim.model_copy(update={"milestones_epochs": (40, 800)})
    write("recipe.yaml", dump_recipe(recipe.model_copy(update={"optim": late})))
    assert read_recipe(Path("recipe.yaml")).optim.milestones_epochs == (40, 800)
    assert load_recipe("recipe.yaml", of_run=True).recipe.optim.milestones_epochs == (40, 800)
    assert OptimConfig(lr=1.0, epochs=2, milestones_epochs=(3,)).milestones_epochs == (3,)

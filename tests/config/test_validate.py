"""All problems of a recipe at once, each with its place, key, rule and value."""

import pytest


def test_all_problems_are_told_at_once_in_the_file_s_order(write, problems):
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
        (r'model.init="a\0b"', "model.init: must be the path of a file"),
        (f"model.init={'x' * 5000}", "model.init: must be the path of a file"),
        (f"model.shift.alpha={'9' * 4000}", f"model.shift.alpha: alpha {'9' * 40} is outside"),
        ("precision=fp8", "precision: must be 'fp32', 'bf16' or 'fp16', got \"fp8\""),
        ("optim=null", "optim: must be a section of keys, got null"),
    ],
)
def test_a_wrong_value_is_told_with_key_rule_and_value(problems, override, message):
    lines, _ = problems("synth/stsm", [override])
    assert lines[0].startswith(f"--set: {message}")


@pytest.mark.parametrize(
    ("override", "line"),
    [
        (
            "optim.batch_size=15",
            "--set optim.batch_size: optim.accumulate (2) must divide batch_size (15)",
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
def test_a_broken_rule_names_the_override_that_breaks_it(write, problems, override, line):
    write(
        "mine.yaml", "extends: base/folder\noptim: {epochs: 8, warmup_epochs: 3, accumulate: 2}\n"
    )
    assert problems("mine.yaml", ["model.backbone=resnet18", override])[0] == [line]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            "model:\n  backbone: slow_resnet50\n",
            "mine.yaml:3: model.weights: there are none of ImageNet for backbone slow_resnet50",
        ),
        (
            "data: {short_side_px: 8}\n",
            "mine.yaml:2: data.crop_px (224) must be at most short_side_px (8)",
        ),
        (
            "model:\n  weights: imagenet\n  backbone: slow_resnet50\n",
            "mine.yaml:3: model.weights: there are none of ImageNet for backbone slow_resnet50",
        ),
    ],
)
def test_a_broken_rule_names_the_user_s_line_not_a_shipped_one(write, problems, text, line):
    write("mine.yaml", f"extends: k400/stsm_r50_8f\n{text}")
    told, hints = problems("mine.yaml")
    assert told == [line]
    if "backbone" in text:
        (hint,) = hints
        assert hint.startswith("set model.weights to null to start from random ones")


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
def test_an_unknown_key_gets_the_nearest_known_one(problems, key, known):
    lines, hints = problems("synth/stsm", [f"{key}=1"])
    assert lines == [f"--set: {key}: unknown key"]
    assert hints == [f"did you mean `{known}` for `{key}`?"]


def test_an_unknown_key_like_no_other_gets_no_hint(problems):
    assert problems("synth/stsm", ["zzz=1"]) == (["--set: zzz: unknown key"], [])


def test_an_unknown_choice_gets_the_nearest_known_one(problems):
    _, hints = problems("k400/tsn_r50_8f", ["model.backbone=resnet-50"])
    assert hints == ["did you mean `resnet50` for `resnet-50`?"]


def test_missing_keys_are_named_at_their_section(write, problems):
    write("mine.yaml", "seed: 1\nmodel: {num_classes: 2}\noptim: {lr: 1, epochs: 1}\n")
    lines, _ = problems("mine.yaml")
    assert lines == ["mine.yaml:1: data: missing key", "mine.yaml:2: model.backbone: missing key"]


def test_a_key_that_is_not_text_is_one_problem(write, problems):
    lines, hints = problems(write("mine.yaml", "extends: synth/stsm\n1: 2\n"))
    assert (lines, hints) == (["mine.yaml:2: keys must be text, got 1"], [])
    assert problems("synth/stsm", ["optim={1: 2}"])[0] == ["--set: keys must be text, got 1"]


@pytest.mark.parametrize(("text", "got"), [("", "null"), ("[1]", "a list"), ("text", "text")])
def test_a_file_that_is_not_a_section_is_refused_and_not_shown(write, problems, text, got):
    lines, _ = problems(write("mine.yaml", text))
    assert lines[0].startswith("mine.yaml")
    assert lines[0].endswith(f"the recipe: must be a section of keys, got {got}")


@pytest.mark.parametrize(
    "text",
    [
        "root:x:0:0:root:/root:/bin/sh\nsecret:x:1:1:secret:/:/bin/false\n",
        "registry: {secret: secret}\n",
        '{"secret": "secret"}',
        "- secret\n- secret\n",
        "[secret]\nkey = secret\n",
        "-----BEGIN KEY-----\nsecret\n",
    ],
)
def test_a_file_of_another_kind_is_named_and_not_shown(write, problems, text):
    lines, hints = problems(write("mine.yaml", text))
    assert [line.startswith("mine.yaml:") for line in lines] == [True]
    assert "secret" not in "".join([*lines, *hints])


def test_a_parent_of_another_kind_is_refused_at_its_place(write, problems):
    write("list.yaml", "- 1\n")
    lines, _ = problems(write("mine.yaml", "extends: list.yaml\nseed: 1\n"))
    assert lines == ["list.yaml:1: the recipe: must be a section of keys, got a list"]


def test_a_long_value_is_cut_in_the_message(problems):
    lines, _ = problems("synth/stsm", [f"seed={'x' * 5000}"])
    assert lines == [f'--set: seed: must be a whole number, got "{"x" * 59}…']


def test_of_hundreds_of_problems_the_first_are_told(write, problems):
    keys = "".join(f"k{number}: 1\n" for number in range(300))
    lines, _ = problems(write("mine.yaml", f"extends: synth/stsm\n{keys}"))
    assert len(lines) == 100
    assert lines[0] == "mine.yaml:2: k0: unknown key"

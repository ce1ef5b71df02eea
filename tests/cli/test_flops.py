import json
import re
import shlex
import shutil
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from stsm_cli.analysis import counting
from stsm_cli.analysis.cost import model_cost
from stsm_cli.cli import output
from stsm_cli.cli.app import run
from stsm_cli.cli.flops import flops
from stsm_cli.config.load import load_recipe, recipe_names
from stsm_cli.models.build import build_model
from stsm_cli.models.shift import ShiftedConv

RENEW = "datasets/paper/counts.json is out of date; `python benchmarks/counts.py` makes it again"
SMALL = ["flops", "resnet_small", "--frames", "2", "--size", "48", "--classes", "16"]


def record(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict:
    assert run([*arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_json_is_one_object_with_the_promised_keys(capsys):
    found = record(capsys, *SMALL, "--views", "6")
    assert found["schema"] == "stsm.flops/1"
    assert (found["model"], found["num_frames"], found["size"]) == ("resnet_small", 2, 48)
    assert (found["num_classes"], found["views"]) == (16, 6)
    assert found["macs_total"] == 6 * found["macs"] > 0
    assert found["gflops"] == 2 * found["gmacs"] == 2 * found["macs"] / 1e9
    assert found["uncounted"] == []
    assert found["paper"] == []
    assert found["shifted_channels"][0] == {
        "site": "backbone.layer1.0.conv1",
        "channels": 32,
        "shifted": 12,
        "by_group": {"T": 4, "H": 4, "W": 4},
    }
    assert "layers" not in found


WITHOUT_TORCH = ["r50", "r50-nl", "mbv2", "r101", "sthv2/stsm_r50_16f", "k400/r2plus1d_34_32f"]


def test_the_paper_s_networks_are_answered_without_torch():
    code = (
        "import sys\n"
        "from stsm_cli.cli.app import run\n"
        "for model in sys.argv[1:]:\n"
        "    assert run(['flops', model, '--json']) == 0, model\n"
        "    assert 'torch' not in sys.modules, model\n"
        "    print(end='\\0')\n"
    )
    command = [sys.executable, "-c", code, *WITHOUT_TORCH]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    answers = [json.loads(text) for text in done.stdout.split("\0")[:-1]]
    assert [answer["model"] for answer in answers] == WITHOUT_TORCH
    assert all(answer["macs"] > 10**9 for answer in answers)


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_is_answered_without_counting(name, capsys, monkeypatch):
    monkeypatch.setattr(counting, "count_cost", lambda *_, **__: pytest.fail(RENEW))
    model_cost.cache_clear()  # of what other tests counted
    assert record(capsys, "flops", name)["macs"] > 10**6


def test_three_settings_cost_the_same(capsys):
    settings = record(capsys, *SMALL)["settings"]
    assert list(settings) == ["TSN", "TSM", "STSM"]
    assert len({(s["macs"], s["params"]) for s in settings.values()}) == 1
    assert [s["shifted"] for s in settings.values()] == [0, 44, 66]  # of 32 + 32 + 48 + 64


def test_a_motion_guided_network_is_called_so(capsys):
    found = record(capsys, "flops", "sthv2/mg_tsm_r50_8f")
    (name,) = found["settings"]
    assert (name, found["settings"][name]["shifted"]) == ("MG-TSM", 3280)
    assert found["shift"] == {"dims": "T", "alpha": "1/4"}
    assert run(["flops", "sthv2/mg_tea_r50_8f"]) == 0
    text = capsys.readouterr().out
    assert re.search(r"^MG-TEA +- +34\.54 G", text, re.MULTILINE)
    assert "every frame of a video is read to choose those of a view: not counted" in text
    assert run(["flops", "sthv2/mg_tsm_r50_8f", "--alpha", "1/2"]) == 2
    assert "--shift and --alpha: sthv2/mg_tsm_r50_8f is MOTION-GUIDED" in capsys.readouterr().err


def test_asked_shift_stands_in_the_third_row(capsys):
    found = record(capsys, *SMALL, "--shift", "HW", "--alpha", "1/2")
    assert found["shift"] == {"dims": "HW", "alpha": "1/2"}
    assert found["settings"]["STSM"]["shifted"] == 88
    assert found["shifted_channels"][0]["by_group"] == {"HW": 16}


@pytest.mark.parametrize(
    ("parent", "options", "shifted"),
    [
        ("synth/stsm", [], {"TSN": 0, "TSM": 80, "STSM": 120}),
        ("synth/tsm", ["--alpha", "1/2"], {"TSN": 0, "TSM": 80, "STSM": 160}),
        ("synth/mg_tsm", [], {"MG-TSM": 80}),
    ],
)
def test_shortcuts_that_a_recipe_shifts_are_counted(parent, options, shifted, capsys):
    Path("mine.yaml").write_text(f"extends: {parent}\nmodel: {{shift: {{shortcut: true}}}}\n")
    found = record(capsys, "flops", "mine.yaml", "--frames", "2", "--size", "48", *options)
    assert {name: row["shifted"] for name, row in found["settings"].items()} == shifted
    sites = [site["site"] for site in found["shifted_channels"]]
    network = build_model(load_recipe("mine.yaml").recipe.model)
    assert sites == [
        name for name, part in network.named_modules() if isinstance(part, ShiftedConv)
    ]


def test_counting_shows_how_far_it_is(capsys, monkeypatch):
    shown = []

    @contextmanager
    def bar(console, label, total):
        shown.append((label, total))
        yield SimpleNamespace(advance=lambda: shown.append("step"))

    monkeypatch.setattr(output.Output, "bar", bar)
    assert run(SMALL) == 0
    assert shown == [("counting", 4), *["step"] * 4]


def test_layers_add_up(capsys):
    found = record(capsys, *SMALL, "--per-layer")
    assert sum(layer["macs"] for layer in found["layers"]) == found["macs"]
    assert sum(layer["params"] for layer in found["layers"]) == found["params"]


def test_paper_stands_beside_the_measured(capsys):
    found = record(capsys, "flops", "mbv2")
    (four, five) = found["paper"]
    assert (four["table"], four["gflops"], four["params"], four["views"]) == (
        4, "2.55×3×10", "2.33M", 30,
    )  # fmt: skip
    assert four["rows"] == ["TSN+Mb_V2 from [17]", "TSM+Mb_V2 [17]", "STSM+Mb_V2"]
    assert five["measured"]["params"] == 2_446_766
    assert any("79 to 86 classes" in reason for reason in five["measured"]["reasons"])


def test_table_shows_settings_paper_and_reasons(capsys):
    assert run(["flops", "mbv2", "--views", "6"]) == 0
    text = capsys.readouterr().out
    assert "mbv2, 8 frames of 224² pixels, 400 classes" in text
    for setting in (r"TSN +- ", r"TSM +T, 1/4 ", r"STSM +T\+H\+W, 3/8 "):
        assert re.search(setting + r".*2,736,272", text)
    assert "297 of 792, before 10 convolutions" in text
    assert "the shift adds 0 multiply-adds and 0 parameters" in text
    assert "uncounted: none" in text
    assert re.search(r"Table 4 +2\.55×3×10 +2\.40 G +3\.13 G +94\.01 G +2\.33M +2,736,272", text)
    assert "Table 4, 5: 2.55 G is a view of 224² pixels" in text
    assert "layer by layer" not in text


def test_per_layer_table(capsys):
    assert run([*SMALL, "--per-layer"]) == 0
    text = capsys.readouterr().out
    assert re.search(r"backbone\.layer4\.0\.downsample\.0 +[\d,]+ +6,144", text)
    assert "the paper prints no cost of this network with 2 frames" in text


@pytest.mark.parametrize("name", ["r18", "resnet18"])
def test_short_and_torchvision_names_are_one_network(name, capsys):
    assert record(capsys, "flops", name)["params"] == 11_381_712


def test_the_case_of_a_name_does_not_matter(capsys):
    assert record(capsys, "flops", "R18")["params"] == 11_381_712


def test_a_recipe_brings_its_own_defaults(capsys):
    found = record(capsys, "flops", "synth/stsm")
    assert (found["model"], found["num_frames"], found["size"]) == ("synth/stsm", 8, 32)
    assert (found["num_classes"], found["views"]) == (16, 1)
    assert found["shift"] == {"dims": "T+H+W", "alpha": "3/8"}
    edited = record(capsys, "flops", "synth/stsm", "--frames", "2", "--size", "48", "--alpha", "1")
    assert (edited["num_frames"], edited["size"], edited["shift"]["alpha"]) == (2, 48, "1")


@pytest.mark.parametrize("form", ["synth/stsm.yaml", "recipes/synth/stsm", "mine", "./mine.yaml"])
def test_a_recipe_is_called_as_for_a_training(form, capsys):
    Path("mine.yaml").write_text("extends: synth/stsm\n")
    assert record(capsys, "flops", form)["shift"] == {"dims": "T+H+W", "alpha": "3/8"}


def test_a_recipe_of_one_s_own_is_counted_with_its_shift_and_without_a_download(capsys):
    Path("mine.yaml").write_text(
        "extends: base/folder\nmodel: {backbone: resnet18, shift: {dims: TH, alpha: 1/2}}\n"
        "data: {short_side_px: 32, crop_px: 32}\ntest: {crop_px: 32}\noptim: {epochs: 4}\n"
    )
    found = record(capsys, "flops", "mine.yaml", "--frames", "1")
    assert (found["num_classes"], found["shift"]) == (400, {"dims": "TH", "alpha": "1/2"})


@pytest.mark.parametrize("name", ["tsn", "tsm"])
def test_the_third_row_of_another_method_s_recipe_is_the_paper_s_stsm(capsys, name):
    found = record(capsys, "flops", f"synth/{name}", "--frames", "1")
    assert found["shift"] == {"dims": "T+H+W", "alpha": "3/8"}


def test_non_local_has_its_own_name(capsys):
    found = record(capsys, "flops", "r50-nl")
    assert found["params"] == 31_682_000


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["r5o"], ["unknown model `r5o`", "did you mean `r50`?"]),
        (["resnet"], ["unknown model `resnet`", "did you mean `resnet"]),
        (["vgg"], ["unknown model `vgg`", "choose one of r18, r34, r50,", "mbv2, or one of `stsm"]),
        (["tsn"], ["unknown model `tsn`", "did you mean `folder/tsn_r50_8f` or `k400/tsn_"]),
        (["r18", "--alpha", "5/4"], ["--alpha: alpha 5/4 is outside [0, 1]"]),
        (["r18", "--alpha", "much"], ["--alpha: alpha 'much' is not a number"]),
        (["r18", "--alpha", ""], ["--alpha: alpha '' is not a number"]),
        (["r18", "--shift", ""], ["--shift: dims '': a group is empty"]),
        (["k400/i3d_64f", "--shift", ""], ["--shift: dims '': a group is empty"]),
        (["r18", "--shift", "T+Z"], ["--shift: dims 'T+Z': unknown axis 'Z'"]),
        (["r18", "--size", "16"], ["--size must be at least 32, got 16"]),
        (["r18", "--frames", "0"], ["--frames must be at least 1, got 0"]),
        (
            ["synth/trn", "--frames", "1"],
            ["--frames: num_frames (1) must be at least 2 with system trn: it compares frames"],
        ),
        (["synth/tdn", "--frames", "1"], ["--frames: num_frames (1) must be at least 2 with"]),
        (["r18", "--classes", "0"], ["--classes must be at least 1, got 0"]),
        (["r18", "--views", "0"], ["--views must be at least 1, got 0"]),
        (["r18", "--size", "100000"], ["--size must be at most 8,192, got 100000"]),
        (["r18", "--frames", "100000"], ["--frames must be at most 4,096, got 100000"]),
        (["r18", "--classes", "9999999"], ["--classes must be at most 1,000,000, got 9999999"]),
        (["r18", "--views", "9999999"], ["--views must be at most 1,000,000, got 9999999"]),
        (["r18", "--alpha", "1e10000000"], ["--alpha: alpha '1e10000000' is not a number"]),
        (["gone.yaml"], ["unknown model `gone.yaml`"]),
        (["x" * 5000], ["unknown model `xx"]),
        (["k400/stsm_r50_8"], ["did you mean `k400/stsm_r50_8f` or `"]),
    ],
)
def test_bad_question_ends_with_2_and_one_cause(arguments, said, capsys):
    assert run(["flops", *arguments]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    for part in said:
        assert part in printed.err


def test_help_examples_run(capsys):
    examples = re.findall(r"^ +stsm (flops .+)$", flops.__doc__, re.MULTILINE)
    assert len(examples) == 3
    for example in examples:
        assert run(shlex.split(example)) == 0
    assert capsys.readouterr().out


SYSTEM = """
extends: synth/tsn
model: {backbone: resnet_small, num_classes: 16, system: action}
"""


def test_a_system_stands_alone(capsys):
    Path("mine.yaml").write_text(SYSTEM, encoding="utf-8")
    assert run(["flops", "mine.yaml", "--per-layer", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["macs"], told["params"], told["shift"]) == (72_376_344, 273_320, None)
    assert list(told["settings"]) == ["ACTION"]
    assert told["paper"] == []
    assert run(["flops", "mine.yaml", "--per-layer"]) == 0
    text = capsys.readouterr().out
    assert "ACTION's view costs 0.14 G" in text
    assert "ACTION, layer by layer" in text
    assert "the shift adds" not in text


def test_a_system_stands_beside_its_printed_rows(capsys):
    row, both = record(capsys, "flops", "k400/r2plus1d_34_32f")["paper"]
    assert both["rows"] == ["Two-Stream R(2+1)D [28]"]
    assert (row["rows"], row["gflops"], row["views"]) == (["R(2+1)D [28]"], "152×115", 115)
    assert (row["backbone"], row["num_frames"], row["counted_px"]) == ("r2plus1d_34", 32, 112)
    assert row["measured"]["macs_counted"] == 152_355_715_072
    assert row["measured"]["params"] == 63_697_175
    assert run(["flops", "k400/r2plus1d_34_32f"]) == 0
    text = capsys.readouterr().out
    assert re.search(r"Table 4 R\(2\+1\)D \[28\] +152×115 +152\.36 G at 112² +609\.42 G", text)
    assert "Table 4 R(2+1)D [28]: 63.6M is 63.70M cut short" in text
    assert "STSM's view costs 304.71 G" in text


@pytest.mark.parametrize(
    ("name", "macs", "params"),
    [
        ("k400/tea_r50_8f", 69_082_397_184, 24_919_354),
        ("k400/tdn_r50_8f", 71_284_893_696, 24_845_680),
        ("k400/smallbig_r50_8f", 103_262_224_384, 24_370_640),
    ],
)
def test_networks_of_8_frames_are_counted_with_16(name, macs, params, capsys):
    found = record(capsys, "flops", name, "--frames", "16", "--size", "224")
    assert (found["macs"], found["params"]) == (macs, params)


def test_what_training_alone_uses_is_told_apart(capsys, monkeypatch):
    def with_head(config, *, size_px):
        return replace(model_cost(config, size_px=size_px), training_params=1_000)

    monkeypatch.setattr("stsm_cli.analysis.cost.model_cost", with_head)
    found = record(capsys, *SMALL)
    assert found["training_params"] == 1_000
    assert run(SMALL) == 0
    told = "1,000 of the parameters are a part's that training alone uses; a test has"
    assert f"{told} {found['params'] - 1_000:,}\n" in capsys.readouterr().out


def test_both_data_sets_rows_of_a_system_are_shown(capsys):
    rows = record(capsys, "flops", "k400/tdn_r50_8f")["paper"]
    assert [(row["table"], row["num_classes"], row["system"]) for row in rows] == [
        (4, 400, "tdn"),
        (5, 174, "tdn"),
    ]


TPN_ON_TSM = """
extends: synth/tsm
model: {system: tpn}
"""


def test_a_system_on_tsm_is_counted_with_its_shift_and_tells_what_training_alone_uses(capsys):
    Path("mine.yaml").write_text(TPN_ON_TSM, encoding="utf-8")
    told = record(capsys, "flops", "mine.yaml")
    assert (told["params"], told["training_params"]) == (448_928, 76_048)
    assert told["shift"] == {"dims": "T", "alpha": "1/4"}
    assert list(told["settings"]) == ["TPN"]
    assert len(told["shifted_channels"]) == 4
    assert run(["flops", "mine.yaml"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "76,048 of the parameters are a part's that training alone uses" in text
    assert "a test has 372,880" in text
    assert run(["flops", "synth/tsm"]) == 0
    assert "training alone" not in capsys.readouterr().out


@pytest.mark.parametrize("option", [["--shift", "T"], ["--alpha", "1/4"]])
def test_a_system_takes_no_shift(option, capsys):
    Path("mine.yaml").write_text(SYSTEM, encoding="utf-8")
    assert run(["flops", "mine.yaml", *option]) == 2
    assert "--shift and --alpha: mine.yaml is ACTION" in capsys.readouterr().err

    assert run(["flops", "synth/i3d", *option]) == 2
    assert "--shift and --alpha: synth/i3d is I3D_SMALL" in capsys.readouterr().err


EXTRA = """
extends: synth/tsn
model: {backbone: smallbig_resnet_small, smallbig: {extra: true}}
"""


def test_smallbig_s_extra_units_are_counted_as_they_are(capsys):
    Path("mine.yaml").write_text(EXTRA, encoding="utf-8")
    assert run(["flops", "mine.yaml", "--alpha", "1/4"]) == 2
    assert "--shift and --alpha: mine.yaml is SMALLBIG_RESNET_SMALL" in capsys.readouterr().err
    assert run(["flops", "mine.yaml", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert list(told["settings"]) == ["SMALLBIG_RESNET_SMALL"]
    assert (told["shift"], told["uncounted"]) == (None, [])


SAMPLED = """
extends: synth/tsn
model: {backbone: slowfast_resnet_small, num_frames: 3, system: atfr}
"""


def test_a_small_network_s_receptive_field_is_told_beside_the_picture_s_size(capsys):
    arguments = ["flops", "bottleneck_small", "--frames", "2", "--size", "48"]
    found = record(capsys, *arguments)
    assert found["receptive_field"] == {"TSN": [27, 27], "TSM": [27, 27], "STSM": [51, 51]}
    assert run([*arguments, "--shift", "T+H"]) == 0
    seen = "sees 27×27 (TSN), 27×27 (TSM), 51×27 (STSM) of 48×48"
    assert seen in capsys.readouterr().out


def test_networks_that_see_all_of_the_picture_tell_no_receptive_field(capsys):
    Path("mine.yaml").write_text(
        "extends: synth/tsn\nmodel: {backbone: bottleneck_small, system: action}", encoding="utf-8"
    )
    for model in ("r18", "mine.yaml"):
        assert record(capsys, "flops", model, "--frames", "2")["receptive_field"] is None


def test_a_cost_that_depends_on_the_view_is_said_to_be_the_most(capsys):
    Path("mine.yaml").write_text(SAMPLED, encoding="utf-8")
    assert run(["flops", "mine.yaml", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["is_ceiling"] is True
    assert run(["flops", "mine.yaml"]) == 0
    assert "the most that a view can cost" in capsys.readouterr().out
    assert run(["flops", "resnet_small", "--size", "32", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["is_ceiling"] is False


def test_the_mean_cost_of_real_views_is_counted_with_a_checkpoint(capsys, small_run):
    edits = "{train: 1, val: 21, frames: 12, short_side_px: 32}"
    more = f"data: {{synth: {edits}, short_side_px: 32, crop_px: 28}}\ntest: {{crop_px: 28}}"
    Path("mine.yaml").write_text(SAMPLED + more, encoding="utf-8")
    network = build_model(load_recipe("mine.yaml").recipe.model)
    torch.save({"model": network.state_dict()}, "last.pt")
    command = ["flops", "mine.yaml", "--size", "32", "--checkpoint", "last.pt"]
    assert run([*command, "--videos", "2", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["mean"]["videos"] == 2
    assert 0.2 * told["macs"] < told["mean"]["macs"] < told["macs"]
    assert run([*command, "--videos", "1"]) == 0
    assert "mean of 1 view, of a video each: 0.0" in capsys.readouterr().out


def test_weights_know_the_number_of_classes_that_a_recipe_leaves_open(capsys, small_run):
    Path("mine.yaml").write_text(
        "# Videos of my own\n"
        "model: {backbone: slowfast_resnet_small, num_classes: null, num_frames: 3, system: atfr}\n"
        "data: {dataset: folder, sampling: uniform, short_side_px: 32, crop_px: 28}\n"
        "test: {crop_px: 28}\noptim: {lr: 1.0, epochs: 1}\n"
    )
    config = load_recipe("mine.yaml").recipe.model
    network = build_model(config.model_copy(update={"num_classes": 16}))
    torch.save({"model": network.state_dict()}, "last.pt")
    shutil.copytree("data/synth", "mine", ignore=shutil.ignore_patterns("*.json"))
    command = ["flops", "mine.yaml", "--size", "32", "--checkpoint", "last.pt", "--json"]
    assert run([*command, "--data", "mine", "--videos", "2"]) == 0
    assert json.loads(capsys.readouterr().out)["mean"]["videos"] == 2


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["resnet_small", "--videos", "3"], "--videos: the cost of resnet_small is the same"),
        (["mine.yaml", "--data", "."], "--data: means nothing without --checkpoint"),
    ],
)
def test_there_is_no_mean_where_all_views_cost_the_same_or_without_weights(options, says, capsys):
    Path("mine.yaml").write_text(SAMPLED, encoding="utf-8")
    assert run(["flops", *options]) == 2
    assert f"error: {says}" in capsys.readouterr().err


def test_a_network_of_3d_convolutions_is_no_tsn(capsys):
    assert run(["flops", "slow_resnet_small", "--frames", "4", "--size", "32", "--json"]) == 0
    settings = json.loads(capsys.readouterr().out)["settings"]
    assert list(settings) == ["no shift", "TSM's", "STSM's"]


def test_computing_flow_is_said_not_to_be_counted(tmp_path, capsys):
    Path("flow.yaml").write_text(
        "# A stream of flow\n"
        "model: {backbone: r2plus1d_small, num_classes: 16, num_frames: 4, stream: flow}\n"
        "data: {dataset: folder, sampling: uniform, short_side_px: 32, crop_px: 32}\n"
        "test: {crop_px: 32}\noptim: {lr: 1.0, epochs: 1}\n"
    )
    assert run(["flops", "flow.yaml"]) == 0
    assert "computing optical flow is not counted" in capsys.readouterr().out
    assert run(SMALL) == 0
    assert "optical flow" not in capsys.readouterr().out

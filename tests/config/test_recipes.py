"""Every file under recipes/: it loads, reads back, says what it is, and runs as its card says."""

import re
from fractions import Fraction
from pathlib import Path
from typing import get_args

import pytest
import torch

from stsm_cli.analysis.ablation import ablation_names, load_ablation, plan_sweep
from stsm_cli.analysis.paper import load_paper_table
from stsm_cli.config.generated_sets import GeneratedName
from stsm_cli.config.load import (
    NOT_RECIPES,
    describe,
    dump_recipe,
    load_recipe,
    load_yaml,
    read_recipe,
    recipe_names,
)
from stsm_cli.config.schema import DatasetName
from stsm_cli.config.validate import recipe_keys
from stsm_cli.models.build import build_model
from stsm_cli.models.shift import ShiftedConv
from stsm_cli.resources import resource_dir

FILES = sorted(resource_dir("recipes").rglob("*.yaml"))
NAMES = recipe_names()


NETWORKS = {"r50": "r50", "r50-nl": "r50_nl", "mbv2": "mobilenet_v2"}
BASES = [path for path in FILES if path.parent.name == "base" and path.stem in ("k400", "sthv2")]
MECHANISMS = {"action_": "action", "tea_": "tea", "tdn_": "tdn", "atfr_": "atfr"}
MECHANISMS |= {"tpn_": "tpn", "selfy_": "selfy", "trn_": "trn"}
"""What a recipe's name holds, behind its body's or a sampler's, by the system of its network."""
OTHERS = ("mmaction2", "mg_", "slowonly", "slowfast", "r2plus1d", "i3d", "smallbig", *MECHANISMS)
OTHERS += ("tsm_tpn_", "tsm_selfy_")
PAPER = [
    name
    for name in NAMES
    if name.startswith(("k400/", "sthv2/")) and not any(other in name for other in OTHERS)
]


def card(path):
    """The comment that a file opens with."""
    lines = path.read_text(encoding="utf-8").splitlines()
    end = next(i for i, line in enumerate(lines) if not line.startswith("#"))
    return " ".join(line.removeprefix("#").strip() for line in lines[:end])


def tables_named(text):
    """The numbers in `Table 4`, `Tables 4 and 6`."""
    return {
        int(n) for part in re.findall(r"Tables? ([\d and]+)", text) for n in part.split(" and ")
    }


def printed_rows():
    """(name of its recipe, table, row) of each TSN, TSM and STSM row of Tables 4 to 7."""
    for number in (4, 5, 6, 7):
        table = load_paper_table(number)
        for row in table.rows:
            model = re.match("STSM|TSM|TSN", row.setting)
            if model and row.network:
                network = NETWORKS[row.network]
                name = f"{table.dataset}/{model[0].lower()}_{network}_{row.num_frames}f"
                yield name, number, row


def test_every_row_of_the_paper_has_a_recipe_and_every_recipe_a_row():
    assert {name for name, _, _ in printed_rows()} == set(PAPER)
    assert len(FILES) == len(NAMES) + sum(path.parent.name in NOT_RECIPES for path in FILES)


@pytest.mark.parametrize(("name", "number", "row"), list(printed_rows()))
def test_a_card_quotes_the_printed_row_and_says_whose_number_it_is(name, number, row):
    loaded = load_recipe(name)
    text = " ".join(loaded.card.split())
    assert number in tables_named(text)
    assert re.search(rf"\b{row.top1}\b", text)
    assert row.source in text or (row.source == "STSM" and "The paper's own number" in text)
    if row.pretrain == "Kinetics-400":
        assert "The row's network was pretrained on Kinetics-400" in text
    assert loaded.recipe.model.num_frames == int(row.num_frames)


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_every_file_reads_strictly_and_its_card_names_its_origin(path):
    assert isinstance(load_yaml(path), dict)
    assert tables_named(card(path)) or re.search(
        "MMAction2 1.2|folder of videos|one's own|No table of the paper", card(path)
    )


@pytest.mark.parametrize("name", NAMES)
def test_every_recipe_reads_back_equal(name):
    recipe = load_recipe(name).recipe
    Path("recipe.yaml").write_text(dump_recipe(recipe), encoding="utf-8")
    assert read_recipe(Path("recipe.yaml")) == recipe


def test_every_system_of_the_paper_has_a_small_recipe_of_its_row():
    small = {
        "slowonly": 4, "slowfast": 4, "slowfast_atfr": 4, "r2plus1d": 4, "smallbig": 4, "tpn": 4,
        "tea": 4, "tdn": 4, "action": 5, "selfy": 5, "mg_tsm": 5, "mg_tea": 5,
    }  # fmt: skip
    for name, table in small.items():
        loaded = load_recipe(f"synth/{name}")
        assert table in tables_named(" ".join(loaded.card.split()))
        assert loaded.recipe.model.backbone.endswith("_small")
    slow = (load_recipe(f"synth/slowfast{end}").recipe.model for end in ("", "_atfr"))
    assert [model.num_frames for model in slow] == [4, 4]


@pytest.mark.parametrize("name", NAMES)
def test_every_card_tells_the_command_and_the_cost(name):
    text = card(resource_dir("recipes") / f"{name}.yaml")
    assert re.search(rf"Run: stsm train {name}\b", text)
    assert "Cost: " in text
    assert text.startswith(load_recipe(name).card.partition("\n")[0])


@pytest.mark.parametrize("name", NAMES)
def test_describe_covers_every_recipe(name):
    assert {key for key, _, _ in describe(load_recipe(name))} <= set(recipe_keys())


def test_there_is_a_recipe_for_every_data_set():
    assert {load_recipe(name).recipe.data.dataset for name in NAMES} == set(get_args(DatasetName))


def test_recipes_are_all_different():
    assert len({dump_recipe(load_recipe(name).recipe) for name in NAMES}) == len(NAMES)


SHIFTS = {
    "tsn": None,
    "slowonly": None,
    "slowfast": None,
    "r2plus1d": None,
    "i3d": None,
    "smallbig": None,
    **dict.fromkeys(MECHANISMS),
    **dict.fromkeys(("tsm_tpn_", "tsm_selfy_"), ("T", Fraction(1, 4))),
    "tsm": ("T", Fraction(1, 4)),
    "stsm": ("T+H+W", Fraction(3, 8)),
    "stsm_causal": ("T-+H+W", Fraction(3, 8)),
}


SYSTEMS = {
    "slowonly": "slow_resnet50",
    "slowfast": "slowfast_resnet50",
    "r2plus1d": "r2plus1d_34",
    "i3d": "i3d",
    "bninception": "bninception",
    "smallbig": "smallbig_resnet50",
}


@pytest.mark.parametrize("name", NAMES)
def test_a_name_means_what_the_network_is(name):
    model = load_recipe(name).recipe.model
    assert (model.shift and (model.shift.dims, model.shift.alpha)) == SHIFTS[
        re.search("|".join(sorted(SHIFTS, reverse=True)), name.rpartition("/")[2] + "_")[0]
    ]
    if name.partition("/")[0] not in get_args(GeneratedName):
        assert (model.backbone == "mobilenet_v2") == ("mobilenet_v2" in name)
        for system, backbone in SYSTEMS.items():
            assert (model.backbone == backbone) == (system in name)
        assert model.backbone.endswith(("resnet50", "res2net50")) == ("r50" in name)
        assert model.non_local == ("_nl_" in name)
        system = next(
            (MECHANISMS[key] for key in MECHANISMS if re.search(f"[/_]{key}", name)), None
        )
        assert model.system == system
        # slow frames, of a video of which each second one is read; or those of a window of 64
        apart = 2 * model.slowfast.ratio if "slowfast" in name else 64 // model.num_frames
        pathway = f"_{model.num_frames}x{apart}"
        has_pathway = "slow" in name and system != "tpn"
        assert name.endswith(pathway if has_pathway else f"_{model.num_frames}f")


def of_each_network():
    """A recipe for each network, whatever it starts from, its number of classes and its dropout."""
    alike = {"weights": None, "init": None, "num_classes": 5, "dropout": 0.0}
    models = {name: load_recipe(name).recipe.model.model_copy(update=alike) for name in NAMES}
    return list({repr(models[name]): name for name in reversed(NAMES)}.values())


@pytest.mark.parametrize("name", of_each_network())
def test_every_network_of_a_recipe_builds(name):
    config = load_recipe(name).recipe.model
    config = config.model_copy(update={"weights": None, "num_classes": config.num_classes or 5})
    with torch.device("meta"):
        model = build_model(config)
    shifted = [module for module in model.modules() if isinstance(module, ShiftedConv)]
    assert bool(shifted) == (config.shift is not None)
    assert model.num_classes == config.num_classes


@pytest.mark.parametrize("name", PAPER)
def test_tsn_averages_scores_and_the_shifted_networks_probabilities(name):
    recipe = load_recipe(name).recipe
    assert recipe.test.average == ("score" if recipe.model.shift is None else "prob")


@pytest.mark.parametrize(
    "path", [p for p in FILES if p.parent.name in ("k400", "sthv2")] + [*BASES], ids=str
)
def test_every_value_says_where_it_comes_from(path):
    for line in path.read_text(encoding="utf-8").splitlines():
        key, _, value = line.partition(":")
        if value.strip() and key.strip() not in ("# Run", "# Cost", "extends", "dataset"):
            assert line.startswith("#") or re.search(
                r"# (paper (\d|Table)|ours: |MMAction2 (0\.20|1\.2)|\S+'s (code|paper)"
                r"|(TEA|TDN|ACTION-Net|TPN|SELFY|TRN|VMZ)'s )",
                line,
            ), line


@pytest.mark.parametrize(
    ("name", "dataset"),
    [(name, dataset) for name in ablation_names() for dataset in load_ablation(name).base],
)
def test_every_row_of_an_ablation_is_a_run_of_its_own(name, dataset):
    runs = plan_sweep(name, dataset, full=True).runs  # the short budget may leave rows out
    rows = [row for row in load_ablation(name).rows if dataset in (row.only or [dataset])]
    assert len({run.recipe_hash for run in runs}) == len(rows)
    for run in runs:
        assert load_recipe(load_ablation(name).base[dataset], run.overrides).recipe == run.recipe


def test_table_3_starts_from_tsm_s_weights_on_kinetics_alone():
    starts = {
        (dataset, run.recipe.model.weights, run.recipe.model.init)
        for dataset in ("order", "scenes", "k400", "sthv2")
        for run in plan_sweep("spatiotemporal", dataset).runs
    }
    assert starts == {
        ("order", None, None),
        ("scenes", None, None),
        ("k400", None, "weights/mmaction2_v0_tsm_k400.safetensors"),
        ("sthv2", "imagenet", None),
    }


@pytest.mark.parametrize(
    ("name", "number", "title", "frames"),
    [
        ("sthv2/action_r50_8f", 5, "ACTION-Net [33]", "8"),
        ("sthv2/action_r50_16f", 5, "ACTION-Net [33]", "16"),
        ("sthv2/action_mobilenet_v2_8f", 5, "ACTION-Net+Mb_V2 [33]", "8"),
        ("k400/tea_r50_8f", 4, "TEA [16]", "8"),
        ("k400/tdn_r50_8f", 4, "TDN [30]", "8"),
        ("sthv2/tdn_r50_8f", 5, "TDN [30]", "8"),
        ("sthv2/mg_tsm_r50_8f", 5, "MG-TSM [38]", "8"),
        ("sthv2/mg_tea_r50_8f", 5, "MG-TEA [38]", "8"),
        ("sthv2/mg_tea_r50_16f", 5, "MG-TEA [38]", "16"),
        ("k400/slowfast_atfr_r50_4x16", 4, "SlowFast+ATFR [3]", "4×16"),
        ("sthv2/slowfast_atfr_r50_16x8", 5, "SlowFast+ATFR [3]", "4×16"),
        ("k400/tpn_r50_8f", 4, "TSN-50 + TPN [36]", "8"),
        ("sthv2/tpn_r50_8f", 5, "TSN-50 + TPN [36]", "8"),
        ("sthv2/selfy_r50_8f", 5, "SELFYNet-R50 [14]", "8"),
        ("sthv2/trn_bninception_8f", 5, "MultiScale TRN [40]", "8"),
    ],
)
def test_a_system_s_card_quotes_the_printed_row_and_whose_number_it_is(name, number, title, frames):
    rows = load_paper_table(number).rows
    row = next(row for row in rows if (row.setting, row.num_frames) == (title, frames))
    text = " ".join(load_recipe(name).card.split())
    assert f"Paper Table {number}: top-1 {row.top1} (of {row.source})." in text


def test_the_systems_recipes_hold_their_authors_values():
    expected = {
        "sthv2/action_r50_8f": (0.01, 64, 5e-4, 50, (31, 41, 46), "sthv2-2x3@256", "none"),
        "sthv2/action_r50_16f": (0.01, 64, 5e-4, 50, (31, 41, 46), "sthv2-2x3@256", "none"),
        "sthv2/action_mobilenet_v2_8f": (0.01, 64, 5e-4, 50, (31, 41, 46), "sthv2-2x3@256", "none"),
        "k400/tea_r50_8f": (0.02, 64, 5e-4, 50, (30, 40, 45), "k400-10x3@256-score", "plain"),
        "sthv2/tea_r50_8f": (0.02, 64, 5e-4, 50, (30, 40, 45), "sthv2-2x3@256-score", "none"),
        "sthv2/mg_tea_r50_8f": (0.02, 64, 5e-4, 50, (30, 40, 45), "sthv2-1x1@224", "none"),
        "sthv2/mg_tea_r50_16f": (0.02, 64, 5e-4, 50, (30, 40, 45), "sthv2-1x1@224", "none"),
        "k400/tdn_r50_8f": (0.02, 128, 1e-4, 100, (50, 75, 90), "k400-10x3@256", "plain"),
        "sthv2/tdn_r50_8f": (0.01, 64, 5e-4, 60, (30, 45, 55), "sthv2-1x1@224", "label_aware"),
        "k400/tpn_r50_8f": (0.01, 256, 1e-4, 150, (75, 125), "k400-10x3@256", "plain"),
        "k400/tpn_slowonly_r50_8f": (0.01, 256, 1e-4, 150, (75, 125), "k400-10x3@256", "plain"),
        "sthv2/tpn_r50_8f": (0.01, 256, 5e-4, 150, (75, 125), "sthv2-2x3@256", "plain"),
        "sthv2/tsm_tpn_r50_8f": (0.01, 256, 5e-4, 150, (75, 125), "sthv2-2x3@256", "plain"),
        "sthv2/selfy_r50_8f": (0.01, 64, 5e-4, 50, (30, 40), "sthv2-2x3@256", "label_aware"),
        "sthv2/tsm_selfy_r50_8f": (0.01, 64, 5e-4, 50, (30, 40), "sthv2-1x1@224", "label_aware"),
        "sthv2/trn_bninception_8f": (
            1e-3,
            64,
            5e-4,
            120,
            (50, 100),
            "sthv2-1x10@224-score",
            "plain",
        ),
        "sthv2/trn_flow_bninception_8f": (
            *(1e-3, 64, 5e-4, 120, (50, 100)),
            *("sthv2-1x10@224-score", "plain"),
        ),
    }
    real = [name for name in NAMES if name.startswith(("k400/", "sthv2/"))]
    names = [name for name in real if "mmaction2" not in name]
    systems = {name: load_recipe(name).recipe.model.system for name in names}
    assert set(expected) == {name for name in names if systems[name] not in (None, "atfr")}
    for name, values in expected.items():
        recipe = load_recipe(name).recipe
        optim = recipe.optim
        found = (optim.lr, optim.batch_size, optim.weight_decay, optim.epochs)
        assert (*found, optim.milestones_epochs, recipe.protocol, recipe.data.flip) == values
        is_k400_tpn = name.startswith("k400/tpn_")
        assert (optim.lr_batch_size, optim.clip_grad_norm) == (
            optim.batch_size,
            40 if is_k400_tpn else 20,
        )
        assert recipe.data.train_crop == "multi_scale"
        own = "tpn_dense" if is_k400_tpn else "tpn_uniform" if "tpn_" in name else "uniform"
        sampling = "motion" if "mg_" in name else own
        assert recipe.data.sampling == sampling
        policies = {"selfy": "tsn", "trn": "tsn", "tpn": "plain", "tdn": "plain"}
        assert optim.policy == policies.get(recipe.model.system, "tsm")
        is_trn = recipe.model.system == "trn"
        assert optim.frozen_norms == ("but_first" if is_trn else "none")
        assert optim.nesterov == (recipe.model.system in ("tpn", "selfy"))


def test_every_value_of_another_s_recipe_is_the_one_that_was_looked_up():
    """`others.yaml` holds them whole; a value changes there with its source in the recipe."""
    found = {
        name: load_recipe(name).recipe.model_dump(mode="json", exclude_defaults=True)
        for name in NAMES
        if name.startswith(("k400/", "sthv2/")) and name not in PAPER
    }
    assert found == load_yaml(Path(__file__).with_name("others.yaml"))


COMMON = ("optimizer", "momentum", "schedule")
"""Keys of `optim` whose values in the base recipes are those of others, too."""


@pytest.mark.parametrize("name", [name for name in NAMES if name not in PAPER])
def test_another_s_recipe_takes_no_value_of_the_paper_s_training(name):
    loaded = load_recipe(name)
    inherited = {
        key
        for key, _, origin in describe(loaded)
        if re.search(r"base/(k400|sthv2)\.yaml", str(origin))
        and key.startswith(("optim.", "test.", "data.train_crop", "data.flip"))
        and key.rpartition(".")[2] not in COMMON
    }
    if "mmaction2" in name:  # the paper's own code base
        inherited -= {"optim.policy", "optim.clip_grad_norm", "optim.weight_decay"}
    assert inherited == set()


def test_only_tpn_s_copy_of_tsm_shifts_projected_shortcuts():
    shifted = {
        name for name in NAMES if (shift := load_recipe(name).recipe.model.shift) and shift.shortcut
    }
    assert shifted == {"sthv2/tsm_tpn_r50_8f"}


FINETUNED = [name for name in NAMES if name.startswith(("ucf101/", "hmdb51/", "folder/finetune_"))]


@pytest.mark.parametrize("name", FINETUNED)
def test_kinetics_weights_are_fine_tuned_as_tsm_s_authors_do(name):
    loaded = load_recipe(name)
    recipe, optim = loaded.recipe, loaded.recipe.optim
    assert (recipe.model.dropout, recipe.data.sampling) == (0.8, "uniform")
    assert (optim.lr, optim.lr_batch_size, optim.weight_decay) == (1e-3, 64, 5e-4)
    assert (optim.epochs, optim.milestones_epochs, optim.warmup_epochs) == (25, (10, 20), 0)
    assert (optim.clip_grad_norm, optim.frozen_norms, optim.policy) == (20, "but_first", "tsm")
    assert optim.batch_size == (16 if name.startswith("folder/") else 64)
    classes = {"ucf101": 101, "hmdb51": 51, "folder": None}[recipe.data.dataset]
    assert recipe.model.num_classes == classes
    assert "--init FILE" in loaded.card


def test_recipes_that_follow_motion_are_called_so():
    moving = {name for name in NAMES if load_recipe(name).recipe.data.sampling == "motion"}
    assert moving == {name for name in NAMES if "/mg_" in name}


def test_mgsampler_s_tsm_is_trained_as_mmaction2_s_and_tested_on_one_view():
    found, plain = (
        load_recipe(f"sthv2/{name}_tsm_r50_8f").recipe for name in ("mg", "mmaction2_v0")
    )
    assert (found.model, found.optim) == (plain.model, plain.optim)
    assert found.data == plain.data.model_copy(update={"sampling": "motion"})
    assert found.protocol == "sthv2-1x1@224"


@pytest.mark.parametrize(
    "name", ["k400/slowfast{}_r50_4x16", "k400/slowfast{}_r50_8x8", "sthv2/slowfast{}_r50_16x8"]
)
def test_atfr_is_trained_as_slowfast(name):
    plain, sampled = (load_recipe(name.format(part)).recipe for part in ("", "_atfr"))
    assert sampled.model == plain.model.model_copy(update={"system": "atfr"})
    assert sampled.model_copy(update={"model": plain.model}) == plain


@pytest.mark.parametrize(
    ("name", "data", "optim", "protocol"),
    [
        (
            "k400/slowonly_r50_4x16",
            ("random", (256, 320), "plain"),
            (0.1, 64, 1e-4, True, False, 196, 34, "one_cycle"),
            "k400-10x3@256",
        ),
        (
            "k400/stsm_slowonly_r50_4x16",
            ("random", (256, 320), "plain"),
            (0.1, 64, 1e-4, True, False, 196, 34, "one_cycle"),
            "k400-10x3@256",
        ),
        (
            "k400/slowfast_r50_4x16",
            ("random", (256, 320), "plain"),
            (0.1, 64, 1e-4, True, False, 196, 34, "one_cycle"),
            "k400-10x3@256",
        ),
        (
            "sthv2/slowfast_r50_16x8",
            ("random", (256, 320), "none"),
            (0.03, 16, 1e-6, True, False, 22, 0.19, "step"),
            "sthv2-1x1@256",
        ),
        (
            "k400/r2plus1d_34_32f",
            ("random", None, "plain"),
            (0.01, 192, 1e-4, False, True, 225, 50, "step"),
            "k400-10x1@112-score",
        ),
        (
            "k400/i3d_64f",
            ("random", None, "plain"),
            (0.1, 384, 1e-7, False, True, 184, 0, "step"),
            "k400-10x1@224-score",
        ),
        (
            "k400/smallbig_r50_8f",
            ("multi_scale", None, "plain"),
            (0.01, 64, 1e-4, False, True, 100, 0, "one_cycle"),
            "k400-10x3@256",
        ),
    ],
)
def test_the_3d_networks_recipes_hold_their_authors_values(name, data, optim, protocol):
    recipe = load_recipe(name).recipe
    keys = ("lr", "batch_size", "weight_decay", "nesterov", "decay_norms", "epochs")
    found = tuple(getattr(recipe.optim, key) for key in (*keys, "warmup_epochs", "schedule"))
    assert found == optim
    assert (recipe.data.train_crop, recipe.data.jitter_px, recipe.data.flip) == data
    assert recipe.protocol == protocol
    if "slow" in name:
        sampling = "slowfast_dense" if name.startswith("k400") else "slowfast_uniform"
        assert recipe.data.sampling == sampling


def test_mmaction2_s_recipes_hold_its_values():
    keys = ("lr", "batch_size", "lr_batch_size", "weight_decay", "epochs", "milestones_epochs")
    warmup = ("warmup_epochs", "warmup_from", "warmup_by", "clip_grad_norm", "policy")
    expected = {
        "k400/mmaction2_v1_tsm_r50_8f": (0.02, 128, 128, 1e-4, 50, (25, 45), 5, 0.1, "epoch"),
        "k400/mmaction2_v0_tsm_r50_8f": (0.01, 64, 64, 1e-4, 100, (40, 80), 0, 0, "step"),
        "sthv2/mmaction2_v1_tsm_r50_8f": (0.02, 128, 128, 5e-4, 50, (25, 45), 5, 0.1, "epoch"),
        "sthv2/mmaction2_v0_tsm_r50_8f": (7.5e-3, 48, 48, 5e-4, 50, (20, 40), 0, 0, "step"),
    }
    assert set(expected) == {name for name in NAMES if re.search("mmaction2_v._tsm_r50", name)}
    tests = []
    for name, values in expected.items():
        recipe = load_recipe(name).recipe
        found = tuple(getattr(recipe.optim, key) for key in keys + warmup)
        assert found == (*values, 20, "tsm")
        assert (recipe.data.train_crop, recipe.test.average) == ("multi_scale", "prob")
        tests.append((recipe.protocol, recipe.data.sampling, recipe.data.flip))
    assert tests == [
        ("k400-1x10@224", "uniform", "plain"),
        ("k400-10x10@224", "dense", "plain"),
        ("sthv2-2x3@256", "uniform", "label_aware"),
        ("sthv2-2x3@256", "uniform", "none"),
    ]


def test_mmaction2_s_recipes_of_tpn_hold_its_values():
    expected = {
        "k400/mmaction2_v1_tpn_slowonly_r50_8f": (1e-4, 40, "k400-10x3@256", "dense", "plain"),
        "sthv2/mmaction2_v1_tsm_tpn_r50_8f": (5e-4, 20, "sthv2-2x3@256", "uniform", "label_aware"),
    }
    assert set(expected) == {name for name in NAMES if "mmaction2" in name and "_tpn_" in name}
    for name, values in expected.items():
        recipe = load_recipe(name).recipe
        optim, data = recipe.optim, recipe.data
        found = (optim.weight_decay, optim.clip_grad_norm, recipe.protocol)
        assert (*found, data.sampling, data.flip) == values
        assert (optim.lr, optim.batch_size, optim.nesterov) == (0.01, 64, True)
        assert optim.lr_batch_size == 64
        assert (optim.epochs, optim.milestones_epochs, optim.policy) == (150, (75, 125), "plain")


@pytest.mark.parametrize(
    ("name", "lr", "batch_size", "warmup_by"),
    [("slowfast", 0.1, 64, "step"), ("slowonly", 0.2, 128, "epoch")],
)
def test_mmaction2_s_recipes_of_slow_networks_hold_its_values(name, lr, batch_size, warmup_by):
    longer, recipe = (
        load_recipe(f"k400/mmaction2_v1_{name}_r50_{frames}").recipe for frames in ("8x8", "4x16")
    )
    assert longer.model_copy(update={"model": recipe.model}) == recipe
    optim, data = recipe.optim, recipe.data
    found = (optim.lr, optim.batch_size, optim.weight_decay, optim.epochs, optim.schedule)
    assert found == (lr, batch_size, 1e-4, 256, "one_cycle")
    assert (optim.warmup_epochs, optim.warmup_from, optim.warmup_by) == (34, 0.1, warmup_by)
    assert (optim.clip_grad_norm, optim.nesterov, optim.policy) == (40, False, "plain")
    assert (recipe.protocol, data.sampling, data.flip) == ("k400-10x3@256", "dense", "plain")
    assert recipe.model.statistics == "imagenet"


@pytest.mark.parametrize("network", ["slowonly", "slowfast"])
def test_twice_the_slow_frames_are_trained_as_half_of_them(network):
    one, two = (load_recipe(f"k400/{network}_r50_{frames}").recipe for frames in ("4x16", "8x8"))
    assert two.model_copy(update={"model": one.model}) == one
    assert (two.model.num_frames, two.model.view.num_frames) == (
        8,
        32 if network == "slowfast" else 8,
    )


def test_a_folder_s_classes_are_counted_when_it_is_opened():
    folder = [load_recipe(name).recipe for name in NAMES if name.startswith("folder/")]
    assert len(folder) == 6
    assert {recipe.model.num_classes for recipe in folder} == {None}
    assert {recipe.model.weights for recipe in folder} == {"imagenet"}
    assert {recipe.protocol for recipe in folder} == {"folder-1x3@256"}


@pytest.mark.parametrize(
    ("dataset", "num_classes", "epochs", "milestones", "sampling", "flip", "protocol"),
    [
        ("k400", 400, 100, (40, 80), "dense", "plain", "k400-10x3@256"),
        ("sthv2", 174, 50, (20, 40), "uniform", "label_aware", "sthv2-2x3@256"),
    ],
)
def test_the_paper_s_recipes_hold_the_paper_s_values(
    dataset, num_classes, epochs, milestones, sampling, flip, protocol
):
    recipe = load_recipe(f"{dataset}/stsm_r50_8f").recipe
    model, data, optim = recipe.model, recipe.data, recipe.optim
    assert (model.backbone, model.num_classes, model.num_frames) == ("resnet50", num_classes, 8)
    assert (model.dropout, model.weights, model.non_local) == (0.5, "imagenet", False)
    assert (data.dataset, data.sampling, data.flip) == (dataset, sampling, flip)
    assert (data.short_side_px, data.crop_px, recipe.protocol) == (256, 224, protocol)
    assert (optim.optimizer, optim.momentum, optim.weight_decay) == ("sgd", 0.9, 1e-4)
    assert (optim.lr, optim.lr_batch_size, optim.batch_size) == (7.5e-3, 48, 48)
    assert (optim.epochs, optim.milestones_epochs, optim.warmup_epochs) == (epochs, milestones, 0)
    assert (optim.clip_grad_norm, optim.policy, data.train_crop) == (20, "tsm", "ten_crop")

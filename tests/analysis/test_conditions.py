import re
from dataclasses import replace
from functools import partial

import pytest

from stsm_cli.analysis.ablation import load_ablation
from stsm_cli.analysis.conditions import conditions, paper_protocol
from stsm_cli.analysis.records import read_records
from stsm_cli.analysis.summary import Group
from stsm_cli.config.load import load_recipe


@pytest.fixture
def lines(tmp_path):
    """The lines of a recorded sweep, some of its records changed, by what they begin with."""

    def do(sweep, change=lambda record: record):
        group = Group(tuple(map(change, read_records(tmp_path))))
        return dict(line.split(": ", 1) for line in conditions(sweep.ablation, "k400", group))

    return do


def test_how_the_numbers_came_about(measure, lines):
    sweep = measure("spatial", lambda run: None if run.row.name == "W" else 50, seeds=2)
    recipe = sweep.runs[0].recipe
    data, optim, size = recipe.data.order, recipe.optim, recipe.test.crop_px
    assert lines(sweep) == {
        "Data set": f"set of order, 100 test videos; train {data.train}, val {data.val}, "
        f"test {data.test}, short_side_px {data.short_side_px}, draw 0/1, frames {data.frames}, "
        f"difficulty {data.difficulty}, motion {data.motion}; known as `order/2`",
        "Protocol": f"`{recipe.protocol}`, uniform sampling; the paper's: `k400-10x3@256`; videos "
        "that did not decode, counted as wrong: 1",
        "Networks, a view of each": f"`bottleneck_small`, 16 classes, 8 × {size}² pixels: 160.4 M "
        "multiply-adds, 0.27 M parameters",
        "Recipe": f"`order/stsm`, short budget: 10 epochs, {optim.optimizer}, lr {optim.lr:g}, "
        f"batch {optim.batch_size}, {recipe.precision} (hash {sweep.experiment}); start: random "
        "weights",
        "Seeds": "0, 1; 10 runs, 0:09:38 of training and testing",
        "Environment": "stsm 0.1.0, commit abc1234, python 3.11.1, torch 2.6.0, Linux x86_64, cpu, "
        "Some CPU 3, AVX2, decoder decord",
        "Command": "`stsm ablate spatial --dataset order --seeds 2 --row TSN --row T --row H "
        "--row H+W --row HW` (finished runs are read from "
        f"`records/table2_spatial/order-short-{sweep.experiment}/`)",
    }


def test_a_command_repeats_the_last_seed_too(measure, lines):
    sweep = measure("spatial", lambda run: 50 if run.seed != 1 else None, seeds=3)
    told = lines(sweep)
    assert told["Seeds"].startswith("0, 2; 12 runs, ")
    assert told["Command"].startswith("`stsm ablate spatial --dataset order --seeds 3 --row TSN ")


def test_a_command_counts_from_the_seed_that_was_set(measure, lines):
    sweep = measure("spatial", lambda run: 50, seeds=2, overrides=["seed=5"])
    told = lines(sweep)
    assert told["Seeds"].startswith("5, 6; ")
    assert "--set seed=5 --seeds 2 --row" in told["Command"]


@pytest.mark.parametrize(
    ("controls", "rest"),
    [
        ((), " --row H --row W --row HW"),  # some of the table's rows are not run
        (("TSN dilated", "HW+Hw"), ""),
    ],
)
def test_rows_of_more_seeds_have_a_command_of_their_own(measure, lines, controls, rest):
    few = dict.fromkeys(("H", "W", "HW", *controls), 1)
    sweep = measure(
        "spatial",
        lambda run: 50 if run.seed < few.get(run.row.name, 2) else None,
        seeds=2,
        controls=controls,
    )
    assert lines(sweep)["Command"].partition(" (")[0] == (
        "`stsm ablate spatial --dataset order --seeds 2 --row TSN --row T --row H+W`, then "
        f"`stsm ablate spatial --dataset order{rest}`"
    )


@pytest.mark.parametrize(
    ("left_out", "rest"),
    [(("I3D RGB+flow", "TPN"), " --row 'TSN R-50'"), ((), "")],  # flow is not asked for unsaid
)
def test_rows_of_systems_are_named_unless_all_are_run(measure, lines, left_out, rest):
    sweep = measure("sota-k400", lambda run: None if run.row.name in left_out else 50, systems=True)
    command = lines(sweep)["Command"].partition("` (")[0]
    assert command.startswith(f"`stsm ablate sota-k400 --dataset scenes --systems{rest}")
    assert ("--row" in command) == bool(rest)
    assert command.count("--row") in (0, len(sweep.rows) - len(left_out))


def test_a_row_beside_those_of_the_short_budget_is_named(measure, lines):
    sweep = measure("alpha", lambda run: 50)  # of all rows of the paper, 3/4 too
    names = "".join(f" --row {name}" for name in ("0", "1/8", "1/4", "3/8", "1/2", "3/4", "1"))
    assert lines(sweep)["Command"].startswith(f"`stsm ablate alpha --dataset order{names}` (")


def with_files(record, files):
    return replace(record, environment=record.environment | {"files": files})


def test_the_files_of_a_generated_set_are_named_where_they_are_known(measure, lines):
    overrides = ["data.order.draw=0"]  # else each seed has another
    sweep = measure("spatial", lambda run: 50, seeds=2, overrides=overrides)
    same = lines(sweep, lambda r: with_files(r, {"train": "ab", "val": "cd"}))["Data set"]
    assert same.endswith("; the same files in all runs, known as `ab, cd`")
    by_seed = ({"val": "cd"}, {"val": "ef"})
    differ = lines(sweep, lambda r: with_files(r, by_seed[r.seed]))["Data set"]
    rows = len(sweep.rows)
    written = "; files as their encoders wrote them: "
    assert differ.endswith(f"{written}`cd` (runs: {rows}); `ef` (runs: {rows})")
    some = lines(sweep, lambda r: with_files(r, {"val": "cd"} if r.seed else {}))["Data set"]
    assert some.endswith(f"{written}`cd` (runs: {rows}); unknown (runs: {rows})")


def test_each_draw_of_a_set_has_files_of_its_own(measure, lines):
    drawn = measure("spatial", lambda run: 50, seeds=2, dataset="order")
    by_seed = ({"val": "cd"}, {"val": "ef"})
    of_draws = lines(drawn, lambda r: with_files(r, by_seed[r.seed]))["Data set"]
    assert of_draws.endswith("; the same files in all runs of a draw, known as `cd`, `ef`")


def test_several_networks_are_told_apart_in_the_order_of_the_rows(measure, lines):
    sweep = measure("backbones-k400", lambda run: 50)
    size = sweep.runs[0].recipe.test.crop_px
    view = f"24 classes, 8 × {size}² pixels: 160.4 M multiply-adds, 0.27 M parameters"
    assert lines(sweep)["Networks, a view of each"] == (
        f"`bottleneck_small`, {view} (rows TSN R-50, TSM R-50, STSM R-50); "
        f"`bottleneck_small` with non-local blocks, {view} "
        "(rows TSN R-50+NL, TSM R-50+NL, STSM R-50+NL); "
        f"`inverted_small`, {view} (rows TSN MobileNetV2, TSM MobileNetV2, STSM MobileNetV2)"
    )


def test_rows_tested_under_another_protocol_are_named(measure, lines):
    sweep = measure("spatial", lambda run: 50 if run.row.name in "TSN" else None)

    def change(record):
        return replace(record, protocol="x-1x3@48-score") if record.row == "TSN" else record

    common = sweep.runs[0].recipe.protocol
    assert lines(sweep, change)["Protocol"].startswith(
        f"`x-1x3@48-score` (rows TSN); `{common}` (rows T), uniform sampling; "
    )


def test_runs_of_several_machines_are_counted(measure, lines):
    sweep = measure("alpha", lambda run: 50)

    def change(record):
        torch = {"packages": {"torch": "2.6.0" if record.row == "0" else "2.7.0"}}
        return replace(record, environment={"stsm": "0.2.0", "device": "cpu"} | torch)

    assert lines(sweep, change)["Environment"] == (
        "stsm 0.2.0, torch 2.6.0, cpu, decoder unknown (runs: 1); "
        "stsm 0.2.0, torch 2.7.0, cpu, decoder unknown (runs: 6)"
    )


def test_a_row_whose_seeds_are_not_of_one_recipe_is_named(measure, lines):
    sweep = measure("spatial", lambda run: 50 if run.row.name in "TSN" else None, seeds=3)

    def change(record):
        if (record.row, record.seed) != ("T", 2):
            return record
        optim = record.recipe.optim.model_copy(update={"weight_decay": 0.5})
        return replace(record, recipe=record.recipe.model_copy(update={"optim": optim}))

    assert not [name for name in lines(sweep) if name.startswith("Row")]
    told = lines(sweep, change)
    assert [name for name in told if name.startswith("Row")] == ["Row T, of several recipes"]
    hashes = r"seed 0, 1 of `(\w+)`; seed 2 of `(\w+)`"
    found = re.fullmatch(hashes, told["Row T, of several recipes"])
    assert found
    assert found[1] != found[2]


@pytest.mark.parametrize(
    ("model", "start"),
    [
        ({"weights": "imagenet"}, "ImageNet weights"),
        ({"weights": None, "init": "weights/tsm.safetensors"}, "`weights/tsm.safetensors`"),
    ],
)
def test_what_the_runs_start_from(measure, lines, model, start):
    sweep = measure("alpha", lambda run: 50)

    def change(record):
        changed = record.recipe.model.model_copy(update=model)
        return replace(record, recipe=record.recipe.model_copy(update={"model": changed}))

    assert lines(sweep, change)["Recipe"].endswith(f"start: {start}")


def test_the_papers_protocol_is_that_of_its_data_set():
    assert paper_protocol(load_ablation("alpha"), "k400") == "k400-10x3@256"
    assert paper_protocol(load_ablation("backbones-sthv2"), "sthv2") == "sthv2-2x3@256"


def test_data_that_are_not_made_here_say_what_they_are_known_by(measure, lines):
    sweep = measure("spatial", lambda run: 50 if run.row.name == "W" else None)
    recipe = load_recipe("k400/stsm_r50_8f").recipe

    def change(record, **origin):
        environment = record.environment | origin
        return replace(record, dataset="k400", recipe=recipe, environment=environment)

    unknown = partial(change, data_id=None)
    assert lines(sweep, unknown)["Data set"] == "Kinetics-400, 100 test videos"
    known = lines(sweep, partial(change, data_id="5eed"))["Data set"]
    assert known == "Kinetics-400, 100 test videos; known as `5eed`"

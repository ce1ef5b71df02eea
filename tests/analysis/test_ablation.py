from fractions import Fraction

import pytest
from pydantic import ValidationError

from stsm_cli.analysis.ablation import Row, SystemRow, ablation_names, load_ablation, plan_sweep
from stsm_cli.analysis.paper import load_paper_table
from stsm_cli.config.load import load_recipe, recipe_hash, recipe_names
from stsm_cli.errors import RecipeError, UsageError
from stsm_cli.resources import resource_dir

QUARTER, THREE_EIGHTHS = Fraction(1, 4), Fraction(3, 8)
SETTINGS = {
    "alpha": {
        "0": None,
        **{n: ("T+H+W", Fraction(n)) for n in ("1/8", "1/4", "3/8", "1/2", "3/4", "1")},
    },
    "spatial": {"TSN": None} | {dims: (dims, QUARTER) for dims in ("T", "H", "W", "H+W", "HW")},
    "spatiotemporal": {"TSN": None, "T": ("T", QUARTER)}
    | {
        dims: (dims, THREE_EIGHTHS)
        for dims in ("T+H+W", "T+HW", "T+H+W+HW", "TH+TW+HW", "T+H+W+TH+TW+HW")
    },
}


def settings(sweep):
    shifts = {run.row.name: run.recipe.model.shift for run in sweep.runs if run.row.paper}
    return {name: shift and (shift.dims, shift.alpha) for name, shift in shifts.items()}


def test_the_shipped_ablations_are_tables_1_to_7():
    names = ["alpha", "spatial", "spatiotemporal", "sota-k400", "sota-sthv2"]
    assert ablation_names() == [*names, "backbones-k400", "backbones-sthv2"]
    assert [load_ablation(name).table for name in ablation_names()] == [1, 2, 3, 4, 5, 6, 7]


REAL = {"sota-k400": "k400", "backbones-k400": "k400", "sota-sthv2": "sthv2"}
REAL |= {"backbones-sthv2": "sthv2"}


@pytest.mark.parametrize("name", REAL)
def test_rows_of_tables_4_to_7_are_the_shipped_recipes(name):
    """Whoever trained a row by its recipe has trained the table's row, and the other way round."""
    folder = resource_dir("recipes") / REAL[name]
    shipped = {
        recipe_hash(load_recipe(f"{REAL[name]}/{path.stem}").recipe) for path in folder.glob("*")
    }
    for run in plan_sweep(name, REAL[name]).runs:
        assert run.recipe_hash in shipped, run.row.name


@pytest.mark.parametrize("name", REAL)
def test_tables_4_to_7_have_each_printed_row_that_is_built_once(name):
    ablation = load_ablation(name)
    built = [row.label for row in load_paper_table(ablation.table).rows if row.network]
    assert sorted(built) == sorted(label for row in ablation.rows for label in row.paper)


@pytest.mark.parametrize("name", REAL)
def test_on_the_embedded_set_small_networks_stand_for_the_papers(name):
    small = {"resnet50": "bottleneck_small", "mobilenet_v2": "inverted_small"}
    real, made = plan_sweep(name, REAL[name]).runs, plan_sweep(name).runs
    for theirs, ours in zip(real, [run for run in made if run.row.paper], strict=True):
        a, b = theirs.recipe.model, ours.recipe.model
        assert b.backbone == small[a.backbone]
        assert (a.shift, a.num_frames, a.non_local) == (b.shift, b.num_frames, b.non_local)


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("dataset", ["order", "scenes", "k400", "sthv2"])
def test_rows_are_the_papers_settings_on_every_data_set(name, dataset):
    sweep = plan_sweep(name, dataset, full=True)
    assert settings(sweep) == SETTINGS[name]
    assert len({run.recipe_hash for run in sweep.runs}) == len(sweep.rows) >= len(SETTINGS[name])
    assert {run.recipe.data.dataset for run in sweep.runs} == {dataset}


@pytest.mark.parametrize("name", SETTINGS)
def test_every_row_of_the_paper_has_exactly_one_measured_row(name):
    ablation = load_ablation(name)
    named = [setting for row in ablation.rows for setting in row.paper]
    assert named == [row.setting for row in load_paper_table(ablation.table).rows]


def test_a_row_changes_nothing_but_the_shift():
    runs = [run for run in plan_sweep("spatiotemporal").runs if run.row.name != "TSN dilated"]
    for run in runs:
        other = run.recipe.model_copy(
            update={"model": run.recipe.model.model_copy(update={"shift": None})}
        )
        base = load_recipe("order/tsn").recipe
        assert other == base


def test_tables_share_the_runs_of_tsn_and_tsm():
    hashes = [
        {run.row.name: run.recipe_hash for run in plan_sweep(name).runs}
        for name in ("spatial", "spatiotemporal")
    ]
    assert all(hashes[0][row] == hashes[1][row] for row in ("TSN", "T"))


def test_seeds_count_up_and_a_table_is_whole_before_the_next_seed():
    sweep = plan_sweep("spatial", seeds=3)
    assert [run.seed for run in sweep.runs] == [0] * 8 + [1] * 8 + [2] * 8
    assert [run.recipe.seed for run in sweep.runs] == [run.seed for run in sweep.runs]
    assert sweep.runs[8].slug == "TSN-seed1"


def test_budgets_do_not_mix():
    short, full = plan_sweep("alpha"), plan_sweep("alpha", full=True)
    assert (short.budget, full.budget) == ("short", "full")
    assert full.runs[0].recipe.optim.epochs > short.runs[0].recipe.optim.epochs
    assert short.experiment != full.experiment
    assert full.command == "stsm ablate alpha --dataset order --full"


def test_the_papers_own_recipes_are_the_full_budget():
    sweep = plan_sweep("alpha", "k400")
    assert (sweep.budget, sweep.base) == ("full", "k400/stsm_r50_8f")
    assert sweep.runs[0].recipe.optim.epochs == 100
    assert sweep.command == "stsm ablate alpha --dataset k400 --data ROOT"


def test_overrides_reach_every_row_but_do_not_undo_it():
    overrides = ["optim.lr=0.5", "model.shift.dims=T+H+W", "seed=7"]
    sweep = plan_sweep("alpha", full=True, overrides=overrides)
    assert sweep.budget == "custom"
    assert settings(sweep) == SETTINGS["alpha"]  # α=0 has no shift
    assert {run.recipe.optim.lr for run in sweep.runs} == {0.5}
    assert {run.seed for run in sweep.runs} == {7}
    assert sweep.command.endswith(" --set optim.lr=0.5 --set model.shift.dims=T+H+W --set seed=7")


def test_different_overrides_are_different_experiments():
    first, second = (plan_sweep("alpha", overrides=[f"optim.lr={lr}"]) for lr in (0.5, 0.25))
    assert first.slug.startswith("order-custom-")
    assert first.slug != second.slug


def test_unknown_ablation():
    with pytest.raises(UsageError, match=r"ablation alhpa: unknown; .*alpha, spatial, spat") as e:
        load_ablation("alhpa")
    assert e.value.hint == "did you mean `alpha`?"
    with pytest.raises(UsageError, match=r"ablation \.\./base/synth: unknown") as e:
        load_ablation("../base/synth")
    assert e.value.hint is None


def test_unknown_data_set():
    with pytest.raises(
        UsageError, match="--dataset folder: alpha has recipes for order, scenes, k400"
    ):
        plan_sweep("alpha", "folder")


def test_an_override_that_every_row_sets_itself():
    with pytest.raises(UsageError, match=r"--set model\.shift\.alpha: every row of alpha sets it"):
        plan_sweep("alpha", overrides=["model.shift.alpha=1/2"])
    plan_sweep("sota-k400", overrides=["model.num_frames=4"])  # rows of 8 frames do not


@pytest.mark.parametrize("null", ["null", "~", ""])
def test_a_null_of_whose_parts_every_row_sets_some(null):
    with pytest.raises(UsageError, match=r"--set model\.shift: every row of alpha sets it"):
        plan_sweep("alpha", overrides=[f"model.shift={null}"])
    plan_sweep("alpha", overrides=["model.shift={shortcut: true}"])  # rows add to it


def test_an_override_that_leaves_two_rows_alike():
    with pytest.raises(UsageError, match="--set: leaves rows 1/8 and T 1/8 alike") as caught:
        plan_sweep("alpha", full=True, overrides=["model.shift.dims=T"])
    assert caught.value.hint == "--row runs those that are named alone"
    plan_sweep("alpha", full=True, overrides=["model.shift.dims=T"], only=["1/8", "3/8"])


def test_wrong_override():
    with pytest.raises(RecipeError, match=r"optim\.lrr"):
        plan_sweep("alpha", overrides=["optim.lrr=1"])


def test_slug():
    assert Row(name="3/8", set=()).slug == "3-8"
    assert Row(name="T+HW", set=()).slug == "T+HW"


def test_systems_are_rows_with_recipes_of_their_own_where_they_are_asked_for():
    sweep, plain = plan_sweep("sota-k400", systems=True), plan_sweep("sota-k400")
    assert sweep.runs[: len(plain.runs)] == plain.runs
    assert sweep.experiment == plain.experiment  # their records stand in the same table
    fused = next(run for run in sweep.runs if run.row.name == "R(2+1)D RGB+flow")
    alone = next(run for run in sweep.runs if run.row.name == "R(2+1)D")
    rgb, flow = fused.streams
    assert (rgb.base, flow.base) == ("scenes/r2plus1d", "scenes/r2plus1d_flow")
    assert (rgb.recipe, rgb.folder) == (alone.recipe, alone.folder)  # is trained once
    assert flow.recipe.model.stream == "flow"
    assert fused.recipe_hash == f"{rgb.recipe_hash}+{flow.recipe_hash}"
    assert sweep.command_of(fused.row) == "stsm ablate sota-k400 --dataset scenes --systems"
    assert sweep.command_of(plain.runs[0].row) == "stsm ablate sota-k400 --dataset scenes"


def test_overrides_and_the_longer_budget_reach_systems():
    sweep = plan_sweep("sota-k400", systems=True, full=True, overrides=["optim.batch_size=8"])
    for run in sweep.runs:
        for stream in run.streams:
            assert (stream.recipe.optim.epochs, stream.recipe.optim.batch_size) == (32, 8)


@pytest.mark.parametrize("name", ["sota-k400", "sota-sthv2"])
def test_systems_are_the_papers_rows_by_their_recipes(name):
    ablation = load_ablation(name)
    paper = load_paper_table(ablation.table)
    assert ablation.systems
    for row in ablation.systems:
        (label,) = row.paper
        assert row.recipes[paper.dataset] == paper.row(label).recipes
        assert all(name in recipe_names() for recipes in row.recipes.values() for name in recipes)
    assert not {label for row in ablation.systems for label in row.paper} & {
        label for row in ablation.rows for label in row.paper
    }


def test_a_setting_of_the_shift_is_for_rows_with_a_shift():
    edits = ["model.shift.shortcut=true"]
    sweep = plan_sweep("sota-k400", systems=True, overrides=edits)
    (note,) = sweep.notes
    assert note.startswith("--set model.shift.shortcut: not for rows without a shift: I3D, I3D RGB")
    (beside,) = plan_sweep("sota-sthv2", systems=True, overrides=edits).notes
    assert "MG-TSM" not in beside  # has TSM's
    recipes = {run.row.name: run.recipe.model for run in sweep.runs}
    assert recipes["STSM R-50"].shift.shortcut
    assert recipes["I3D"].shift is recipes["SlowFast"].shift is None
    assert plan_sweep("sota-k400", overrides=edits).notes == ()


def test_a_setting_that_a_row_has_no_place_for_names_it():
    message = r"^row TSN MobileNetV2, scenes/stsm: --set: model\.non_local belongs to backbone"
    with pytest.raises(RecipeError, match=message):
        plan_sweep("sota-k400", overrides=["model.non_local=true"])
    message = r"^row TPN, scenes/tpn: --set: model\.num_frames \(1\) must be at least 2"
    with pytest.raises(RecipeError, match=message):
        plan_sweep("sota-k400", systems=True, overrides=["model.num_frames=1"])


def test_a_system_without_a_recipe_for_the_data_set_is_left_out(monkeypatch):
    whole = load_ablation("sota-sthv2")
    *others, last = whole.systems
    last = last.model_copy(update={"recipes": {"sthv2": last.recipes["sthv2"]}})
    less = whole.model_copy(update={"systems": (*others, last)})
    monkeypatch.setattr("stsm_cli.analysis.ablation.load_ablation", lambda name: less)
    names = [run.row.name for run in plan_sweep("sota-sthv2", systems=True).runs]
    assert others[-1].name in names
    assert last.name not in names


def test_each_table_has_a_set_of_its_own_unless_another_is_named():
    sets = {name: load_ablation(name).made_here for name in ablation_names()}
    assert sets == {
        **dict.fromkeys(("alpha", "spatial", "spatiotemporal"), ("order", "scenes")),
        **dict.fromkeys(("sota-k400", "backbones-k400"), ("scenes",)),
        **dict.fromkeys(("sota-sthv2", "backbones-sthv2"), ("order",)),
    }
    assert [plan_sweep(name).dataset for name in sets] == [first for first, *_ in sets.values()]


def test_the_short_budget_leaves_rows_out_and_says_so():
    short = plan_sweep("alpha")
    assert [row.name for row in short.rows] == ["0", "1/8", "1/4", "3/8", "1/2", "1"]
    assert short.notes == (
        "the short budget leaves out 3/4, T 1/8: `--row` runs a row by its name, `--full` all",
    )
    for every in (plan_sweep("alpha", full=True), plan_sweep("alpha", "k400")):
        assert {"3/4", *(row.name for row in short.rows)} <= {row.name for row in every.rows}
        assert not any("leaves out" in note for note in every.notes)
    assert [row.name for row in plan_sweep("alpha", only=["3/4"]).rows] == ["3/4"]


def test_a_system_has_no_overrides():
    with pytest.raises(ValidationError, match="set"):
        SystemRow.model_validate({"name": "I3D", "set": ["seed=1"], "recipes": {}})


def test_seeds_read_three_draws_of_a_set_that_has_draws():
    sweep = plan_sweep("alpha", "order", seeds=5)
    row = [run for run in sweep.runs if run.row.name == "3/8"]
    assert [run.recipe.data.draw for run in row] == [0, 1, 2, 0, 1]
    assert [run.overrides[0] for run in row[:2]] == ["model.shift.alpha=3/8", "data.order.draw=1"]
    asked = plan_sweep("alpha", "order", seeds=2, overrides=["data.order.draw=7"])
    assert {run.recipe.data.draw for run in asked.runs} == {7}


@pytest.mark.parametrize(
    ("name", "controls"),
    [
        ("alpha", ["T 1/8"]),
        ("spatial", ["TSN dilated", "HW+Hw"]),
        ("spatiotemporal", ["T 1/8", "H+W 1/4", "TSN dilated", "T+HW+Hw"]),
    ],
)
def test_controls_are_run_on_the_sets_that_can_tell_them(name, controls):
    rows = {on: plan_sweep(name, on, full=True).rows for on in ("scenes", "order", "k400")}
    assert [row.name for row in rows["scenes"] if not row.paper] == controls
    planned = [row for row in rows["order"] if not row.added]
    assert [row.name for row in planned if not row.paper] == controls
    assert all(row.paper for row in rows["k400"])


def test_only_the_rows_that_are_named():
    sweep = plan_sweep("sota-k400", seeds=2, systems=True, only=["TEA", "TSM R-50"])
    assert [run.row.name for run in sweep.runs] == ["TSM R-50", "TEA"] * 2
    assert sweep.slug == plan_sweep("sota-k400").slug
    with pytest.raises(UsageError, match=r"--row 3/7: unknown; there are 0, 1/8, 1/4, 3/8, 1/2"):
        plan_sweep("alpha", only=["3/8", "3/7"])
    with pytest.raises(UsageError, match="--row TEA: unknown; there are TSN R-50, ") as caught:
        plan_sweep("sota-k400", only=["TEA"])
    assert caught.value.hint == "`--systems` adds the rows of other systems"


def test_a_system_s_row_on_a_set_that_lacks_it_names_those_that_have_it(monkeypatch):
    whole = load_ablation("sota-k400")
    system = next(row for row in whole.systems if row.name == "TEA")
    here = system.model_copy(update={"recipes": {"k400": system.recipes["k400"]}})
    few = whole.model_copy(update={"systems": (here,)})
    monkeypatch.setattr("stsm_cli.analysis.ablation.load_ablation", lambda name: few)
    with pytest.raises(UsageError, match="--row TEA: unknown; there are") as caught:
        plan_sweep("sota-k400", "scenes", systems=True, only=["TEA"])
    assert caught.value.hint == "it has recipes for k400 only: --dataset k400 --systems"


def test_runs_of_an_ablation_have_one_length():
    message = r"optim\.patience_epochs \(2\): runs of an ablation are compared at one length"
    with pytest.raises(UsageError, match=message):
        plan_sweep("spatiotemporal", overrides=["optim.patience_epochs=2"])

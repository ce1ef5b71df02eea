import json

import pytest

from stsm_cli.analysis import counting, plan
from stsm_cli.analysis.cost import model_cost
from stsm_cli.cli.ablate_plan import to_do
from stsm_cli.cli.app import run
from stsm_cli.config.load import load_recipe


@pytest.fixture
def small_views(monkeypatch):
    """Counting at 224² takes seconds; test_cost.py looks at it."""
    real = plan.model_cost
    monkeypatch.setattr(plan, "model_cost", lambda config, *, size_px: real(config, size_px=32))


@pytest.fixture
def nothing_counted(monkeypatch):
    """Every count travels with the package."""
    model_cost.cache_clear()
    monkeypatch.setattr(counting, "count_cost", None)


def lines_of(text):
    return [" ".join(line.split()) for line in text.splitlines()]


def test_dry_run_shows_rows_channels_and_cost_without_any_data(capsys, tmp_path):
    assert run(["ablate", "spatiotemporal", "--dataset", "k400", "--dry-run"]) == 0
    lines = lines_of(capsys.readouterr().out)
    assert lines[0].startswith("Table 3 (spatiotemporal): Spatio-temporal shifts")
    assert lines[2].endswith("moved time a run")
    assert "T+HW 0 of 1 32.70 G 24.33 M 4,920 of 13,120 not known" in lines
    assert "T+HW model.shift.dims=T+HW model.shift.alpha=3/8" in lines
    assert "T+HW 256 3 96 T 24+24, HW 24+24" in lines
    assert "TSN 64 1 0 -" not in lines  # nothing moves
    assert (
        "overrides of k400/stsm_r50_8f model.weights=null "
        "model.init=weights/mmaction2_v0_tsm_k400.safetensors:" in lines
    )
    assert lines[-3:] == [
        "multiply-adds: of a view of 224² pixels, forward; moved: channels before convolutions",
        "a run: 240,258 training videos × 100 epochs",
        "0 of 7 finished, 7 to do: 5.50 E multiply-adds forward, no record tells how long that "
        "takes",
    ]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("nothing_counted")
def test_flow_that_is_absent_is_told_once_and_networks_without_a_shift_have_a_dash(capsys):
    assert run(["ablate", "sota-k400", "--systems", "--dry-run", "--seeds", "2"]) == 0
    out, err = capsys.readouterr()
    assert "I3D RGB+flow 0 of 2 183.8 M 0.23 M - not known" in lines_of(out)
    assert err.splitlines()[-4:] == [
        line
        for draw, option in (("data/scenes", ""), ("data/scenes-draw1", " --draw 1"))  # one a seed
        for line in (
            f"warning: {draw}: has no optical flow by dis, which the recipe reads",
            f"hint: `stsm prepare scenes {draw}{option}`, then `stsm prepare flow {draw}`",
        )
    ]


def test_settings_that_move_the_same_channels_share_their_lines(capsys):
    assert run(["ablate", "backbones-k400", "--dry-run"]) == 0
    lines = lines_of(capsys.readouterr().out)
    assert "STSM R-50, STSM R-50+NL 48 2 18 T 3+3, H 3+3, W 3+3" in lines
    assert "STSM MobileNetV2 48 3 18 T 3+3, H 3+3, W 3+3" in lines


def test_dry_run_says_nothing_of_channels_where_none_move(capsys):
    assert run(["ablate", "alpha", "--dry-run", "--row", "0"]) == 0
    out = capsys.readouterr().out
    assert "Channels that move" not in out
    assert "0 of 1 finished" in out


def test_dry_run_as_json(capsys):
    assert run(["ablate", "alpha", "--dry-run", "--json", "--seeds", "2"]) == 0
    told = json.loads(capsys.readouterr().out)
    recipe = load_recipe("order/stsm").recipe
    assert told["schema"] == "stsm.ablation_plan/2"
    assert (told["dataset"], told["budget"], told["base"]) == ("order", "short", "order/stsm")
    row = told["rows"][5]
    assert row["overrides"] == ["model.shift.alpha=1"]
    assert (row["finished"], row["seeds"]) == (0, 2)
    assert (row["num_train_videos"], row["epochs"]) == (
        recipe.data.order.train,
        recipe.optim.epochs,
    )
    assert row["macs_run"] == row["macs"] * row["num_train_videos"] * row["epochs"]
    assert row["moved"][0]["moved"] == row["moved"][0]["channels"]
    assert (told["work"]["num_finished"], told["work"]["num_missing"]) == (0, 12)


@pytest.mark.usefixtures("nothing_counted")
def test_all_shows_every_row_and_counts_what_tables_share_once(capsys, tmp_path):
    assert run(["ablate", "all", "--dry-run", "--seeds", "3", "--full"]) == 0
    out, err = capsys.readouterr()
    lines = lines_of(out)
    titles = [line.split(":")[0] for line in lines if line.startswith("Table ")]
    assert [title.split()[1] for title in titles] == [*"12357", *"12346"]  # order, then scenes
    assert titles[3] == "Table 5 (sota-sthv2)"
    assert sum(" 0 of 3 " in line for line in lines) == 93
    assert "STSM MobileNetV2 16f 0 of 3 131.1 M 0.06 M 54 of 144 not known" in lines
    assert (
        "STSM MobileNetV2 16f model.shift.dims=T+H+W model.shift.alpha=3/8 model.num_frames=16 "
        "model.backbone=inverted_small" in lines
    )
    assert max(map(len, out.splitlines())) <= 120
    assert lines[-2] == "279 runs, 171 of them different: tables share rows"
    assert lines[-1].startswith("0 of 171 finished, 171 to do: ")
    assert "left out" not in err


@pytest.mark.usefixtures("small_views")
def test_all_leaves_out_what_has_no_recipe_for_the_data_set(capsys):
    assert run(["ablate", "all", "--dataset", "sthv2", "--dry-run", "--json"]) == 0
    out, err = capsys.readouterr()
    told = json.loads(out)
    assert told["schema"] == "stsm.ablations/1"
    assert [ablation["table"] for ablation in told["ablations"]] == [1, 2, 3, 5, 7]
    assert {ablation["schema"] for ablation in told["ablations"]} == {"stsm.ablation_plan/2"}
    mobile = told["ablations"][4]["rows"][-1]
    assert mobile["overrides"][-1] == "model.backbone=mobilenet_v2"
    assert mobile["params"] == 2_446_766
    assert "left out, having no recipe for sthv2: sota-k400, backbones-k400\n" in err


@pytest.mark.parametrize(
    ("num_missing", "num_timed", "text"),
    [
        (0, 0, "9 of 9 finished, nothing to do"),
        (2, 0, "9 of 11 finished, 2 to do: 1.50 T multiply-adds forward, no record tells how "),
        (
            2,
            2,
            "2 to do: 1.50 T multiply-adds forward, about 1:01:01 one after another by the runs ",
        ),
        (3, 2, "2 of them about 1:01:01 one after another by the runs recorded so far; of the "),
        (3, 2, "; of the other 1 no record tells"),
    ],
)
def test_the_time_left_speaks_only_for_the_runs_that_records_tell_of(num_missing, num_timed, text):
    assert text in to_do(plan.Workload(9, num_missing, 1_500_000_000_000, 3660.9, num_timed))

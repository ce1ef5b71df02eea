import json

import pytest

from stsm_cli.analysis.records import Network
from stsm_cli.cli.app import run
from stsm_cli.config.load import load_recipe
from stsm_cli.errors import InterruptedRunError

TINY = [
    word
    for override in (
        "data.synth.train=16",
        "data.synth.val=16",
        "data.synth.frames=8",
        "model.num_frames=2",
        "optim.epochs=1",
        "optim.warmup_epochs=0",
        "optim.batch_size=8",
        "optim.lr_batch_size=8",
        "precision=fp32",
    )
    for word in ("--set", override)
]
RECORDS = "results/records/table1_alpha"


@pytest.fixture
def data(tmp_path_factory):
    """A tiny embedded set, made once by the first command that needs it."""
    return str(tmp_path_factory.getbasetemp() / "ablate-data")


@pytest.fixture(autouse=True)
def quick_paper_network(monkeypatch):
    """Counting the ResNet-50 of every row takes seconds; test_sweep.py looks at it."""
    monkeypatch.setattr(
        "stsm_cli.analysis.sweep.paper_network", lambda sweep, run: Network(224, 1, 1)
    )


@pytest.fixture
def no_figures(monkeypatch):
    """Drawing is tested elsewhere and takes seconds."""
    monkeypatch.setattr("stsm_cli.analysis.publish.encode", lambda figure, kind: b"")


def test_dry_run_shows_rows_channels_and_cost_without_any_data(capsys, tmp_path):
    assert run(["ablate", "spatiotemporal", "--dataset", "k400", "--dry-run"]) == 0
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert lines[0].startswith("Table 3: Spatio-temporal shifts")
    assert lines[2] == "setting overrides of k400/stsm_r50_8f finished"
    assert "T+HW model.shift.dims=T+HW model.shift.alpha=3/8 0 of 1" in lines
    assert "TSN 64 1 0 -" in lines
    assert "T+HW 256 3 96 T 24+24, HW 24+24" in lines
    assert lines[-3:] == [
        "every setting also has model.weights=null "
        "model.init=weights/mmaction2_v0_tsm_k400.safetensors",
        "a run, full budget: 32.70 G multiply-adds a view × 240,258 training videos × 100 epochs "
        "= 785.73 P forward, the same in every setting",
        "7 of 7 runs to do; no record tells how long that takes",
    ]
    assert list(tmp_path.iterdir()) == []


def test_dry_run_as_json(capsys):
    assert run(["ablate", "alpha", "--dry-run", "--json", "--seeds", "2"]) == 0
    plan = json.loads(capsys.readouterr().out)
    recipe = load_recipe("synth/stsm").recipe
    assert plan["schema"] == "stsm.ablation_plan/1"
    assert (plan["dataset"], plan["budget"], plan["base"]) == ("synth", "short", "synth/stsm")
    assert (plan["num_train_videos"], plan["epochs"]) == (
        recipe.data.synth.train,
        recipe.optim.epochs,
    )
    row = plan["rows"][6]
    assert row["overrides"] == ["model.shift.alpha=1"]
    assert (row["finished"], row["seeds"]) == (0, 2)
    assert row["moved"][0]["moved"] == row["moved"][0]["channels"]


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["alhpa"], "error: ablation alhpa: unknown; there are alpha, spatial, spatiotemporal"),
        (["alpha", "--dataset", "ucf"], "error: --dataset ucf: alpha has recipes for synth, k400"),
        (["alpha", "--set", "model.shift.alpah=1"], "error: --set: model.shift.alpah"),
        (["alpha", "--device", "tpu"], "error: --device tpu"),
    ],
)
def test_a_wrong_command_is_one_line_and_exit_2(capsys, arguments, problem):
    assert run(["ablate", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(problem)


def test_a_taken_place_stops_before_the_data_are_made(capsys, tmp_path):
    (tmp_path / "results").write_text("")
    assert run(["ablate", "alpha"]) == 2
    assert "error: --out: results/records cannot be made" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [tmp_path / "results"]


def test_missing_data_of_another_set_is_a_data_error(capsys):
    assert run(["ablate", "alpha", "--dataset", "k400", "--data", "nowhere"]) == 1
    assert "error: nowhere" in capsys.readouterr().err


def test_from_nothing_to_a_table_and_on_again(capsys, data, tmp_path):
    command = ["ablate", "spatial", *TINY, "--data", data, "--json"]
    assert run(command) == 0
    out, err = capsys.readouterr()
    result = json.loads(out)
    assert result["schema"] == "stsm.ablation/1"
    assert [row["name"] for row in result["rows"]] == ["TSN", "T", "H", "W", "H+W", "HW"]
    assert all(row["seeds"]["0"] == row["top1"] for row in result["rows"])
    assert (result["budget"], result["epochs"]) == ("custom", 1)
    assert [(tmp_path / file).is_file() for file in result["files"]] == [True] * 5
    assert "6 of 6 runs" in err

    assert run(command) == 0
    again, err = capsys.readouterr()
    assert json.loads(again) == result
    assert err.count("finished before") == 6


def test_interrupted_it_says_how_to_go_on_and_does(capsys, data, monkeypatch, no_figures, tmp_path):
    from stsm_cli.engine import train as engine

    real, calls = engine.train, []

    def stops_at_the_third(*arguments, **options):
        calls.append(options["resume"])
        if len(calls) == 3:
            real(*arguments, **options)  # its result is there, its record is not
            raise InterruptedRunError("interrupted at epoch 1")
        return real(*arguments, **options)

    monkeypatch.setattr(engine, "train", stops_at_the_third)
    command = ["ablate", "alpha", *TINY, "--data", data, "--jobs", "1"]
    assert run(command) == 130
    out, err = capsys.readouterr()
    assert out == ""
    assert err.endswith(
        "error: interrupted after 2 of 7 runs; the table so far is "
        "results/table1_alpha_custom.md\n"
        "hint: run the same command again: finished runs are kept, unfinished ones continue\n"
    )
    table = (tmp_path / "results" / "table1_alpha_custom.md").read_text()
    assert table.count("| not run |") == 5

    assert run(command) == 0
    assert calls == [False, False, False, True, False, False, False, False]
    out, err = capsys.readouterr()
    assert "measured: embedded set" in out
    assert "not run" not in out
    assert err.count("finished before") == 2


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_ctrl_c_between_runs_is_an_interruption_too(capsys, data, monkeypatch, no_figures, jobs):
    def pressed(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("stsm_cli.engine.train.train", pressed)
    assert run(["ablate", "alpha", *TINY, "--data", data, "--jobs", jobs]) == 130
    assert "error: interrupted after 0 of 7 runs\nhint: run the same" in capsys.readouterr().err


def test_a_broken_record_is_named(capsys, tmp_path):
    folder = tmp_path / RECORDS / "synth-short-0"
    folder.mkdir(parents=True)
    (folder / "0-seed0.json").write_text("{")
    assert run(["ablate", "alpha", "--dry-run"]) == 1
    assert f"error: {RECORDS}/synth-short-0/0-seed0.json: not a run record" in (
        capsys.readouterr().err
    )

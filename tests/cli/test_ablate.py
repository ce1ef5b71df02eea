import json
import re
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import save

from stsm_cli.analysis.ablation import plan_sweep
from stsm_cli.analysis.sweep import Outcome
from stsm_cli.cli.ablate_runs import Runner, _by_draw
from stsm_cli.cli.app import run
from stsm_cli.config.load import load_recipe
from stsm_cli.engine.runlog import RunFolder
from stsm_cli.errors import DataError, DivergedError, InterruptedRunError, PreemptedError
from stsm_cli.models.build import build_model

RESULT = {
    "num_videos": 16,
    "num_listed": 16,
    "correct": 4,
    "top1": 25.0,
    "top1_interval": [10.1821, 49.4983],
    "top5": 75.0,
    "mean_class": 25.0,
    "pair_accuracy": 50.0,
    "pairs": None,
    "seconds_train": 1.0,
    "seconds_eval": 1.0,
    "broken": [],
}
ENVIRONMENT = {"stsm": "0.2.0", "python": "3.11.1", "packages": {}, "device": "cpu"}
ENVIRONMENT |= {"data_id": "order/2"}
RECORDS = "results/records/table1_alpha"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A tiny embedded set, made once by the first command that needs it."""
    return str(tmp_path_factory.getbasetemp() / "ablate-data")


@pytest.fixture
def no_figures(monkeypatch):
    """Drawing is tested elsewhere and takes seconds."""
    monkeypatch.setattr("stsm_cli.analysis.publish.encode", lambda figure, kind: b"")


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["alhpa"], "error: ablation alhpa: unknown; there are alpha, spatial, spatiotemporal"),
        (
            ["alpha", "--dataset", "ucf"],
            "error: --dataset ucf: alpha has recipes for order, scenes, k400",
        ),
        (
            ["all", "--dataset", "ucf"],
            "error: --dataset ucf: no ablation has a recipe for it\n"
            "hint: there are `order` (the set of order), `scenes` (the set of scenes), "
            "`k400` and `sthv2`\n",
        ),
        (
            ["sota-k400", "--dataset", "sthv2"],
            "error: --dataset sthv2: sota-k400 has recipes for scenes, k400 only\n"
            "hint: for sthv2 there are alpha, spatial, spatiotemporal, sota-sthv2, backbones-sthv2",
        ),
        (
            ["all", "--data", "here"],
            "error: --data: is the place of one data set, and `all` has several\n"
            "hint: name the set, too: `--dataset order`\n",
        ),
        (["all", "--row", "3/8"], "error: --row: names a row of one table, not of all"),
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


def test_from_nothing_to_a_table_and_on_again(capsys, data, tmp_path, tiny_rows):
    command = ["ablate", "spatial", *tiny_rows, "--data", data, "--json"]
    assert run(command) == 0
    out, err = capsys.readouterr()
    result = json.loads(out)
    assert result["schema"] == "stsm.ablation/1"
    assert [row["name"] for row in result["rows"]] == [
        *("TSN", "T", "H", "W", "H+W", "HW", "TSN dilated", "HW+Hw")
    ]
    assert all(row["seeds"]["0"] == row["top1"] for row in result["rows"])
    assert (result["budget"], result["epochs"]) == ("custom", 1)
    assert [(tmp_path / file).is_file() for file in result["files"]] == [True] * 5
    (recipe,) = (tmp_path / "results" / "runs").rglob("TSN-seed0/recipe.yaml")
    assert "model.shift=null" in recipe.read_text().partition("\n")[0]
    assert "8 of 8 runs" in err
    assert "nothing to train" not in err

    assert run(command) == 0
    again, err = capsys.readouterr()
    assert json.loads(again) == result
    assert err.count("finished before") == 8
    assert "nothing to train: 8 runs recorded in results/records, none missing; another" in err


def test_interrupted_it_says_how_to_go_on_and_does(
    capsys, data, monkeypatch, no_figures, tmp_path, tiny_rows
):
    from stsm_cli.engine import train as engine

    real, calls = engine.train, []

    def stops_at_the_third(*arguments, **options):
        calls.append(options["resume"])
        if len(calls) == 3:
            real(*arguments, **options)  # its result is there, its record is not
            raise InterruptedRunError("interrupted at epoch 1")
        return real(*arguments, **options)

    monkeypatch.setattr(engine, "train", stops_at_the_third)
    command = ["ablate", "alpha", *tiny_rows, "--data", data, "--jobs", "1"]
    assert run(command) == 130
    out, err = capsys.readouterr()
    assert out == ""
    assert err.endswith(
        "error: interrupted after 2 of 6 runs of alpha; the table so far is "
        "results/table1_alpha_custom.md\n"
        "hint: run the same command again: finished runs are kept, unfinished ones continue\n"
    )
    table = (tmp_path / "results" / "table1_alpha_custom.md").read_text()
    assert table.count("| not run |") == 5

    assert run(command) == 0
    assert calls == [False, False, False, True, False, False, False]
    out, err = capsys.readouterr()
    assert "measured: set of order" in out
    assert "1 of 7 rows are not run." in out  # the short budget leaves 3/4 out
    assert err.count("finished before") == 2


def test_a_run_by_itself_writes_nothing_else_in_the_handler_of_ctrl_c(
    capfd, data, monkeypatch, no_figures, tiny_rows
):
    def told(*arguments, on_ctrl_c, **options):
        on_ctrl_c()
        raise InterruptedRunError("interrupted at epoch 1")

    monkeypatch.setattr("stsm_cli.engine.train.train", told)
    drawn = []
    monkeypatch.setattr("stsm_cli.cli.live.LiveTable.message", lambda _, text: drawn.append(text))
    assert run(["ablate", "alpha", *tiny_rows, "--data", data, "--jobs", "1"]) == 130
    assert "stopping after this step; again to stop now\n" in capfd.readouterr().err
    assert drawn == []


def test_sigterm_ends_it_as_ctrl_c_does(capsys, data, monkeypatch, no_figures, tiny_rows):
    def told(*arguments, **options):
        raise PreemptedError("stopped by SIGTERM at epoch 1")

    monkeypatch.setattr("stsm_cli.engine.train.train", told)
    assert run(["ablate", "alpha", *tiny_rows, "--data", data, "--jobs", "1"]) == 75
    assert (
        "error: stopped by SIGTERM after 0 of 6 runs of alpha\nhint: run the same"
        in capsys.readouterr().err
    )


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_ctrl_c_between_runs_is_an_interruption_too(
    capsys, data, monkeypatch, no_figures, jobs, tiny_rows
):
    def pressed(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("stsm_cli.engine.train.train", pressed)
    assert run(["ablate", "alpha", *tiny_rows, "--data", data, "--jobs", jobs]) == 130
    assert (
        "error: interrupted after 0 of 6 runs of alpha\nhint: run the same"
        in capsys.readouterr().err
    )


@pytest.mark.parametrize(
    "during", ["stsm_cli.analysis.ablation.plan_sweep", "stsm_cli.engine.device.check_device"]
)
def test_ctrl_c_before_the_runs_says_how_to_go_on(capsys, monkeypatch, during):
    def pressed(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(during, pressed)
    assert run(["ablate", "alpha"]) == 130
    assert capsys.readouterr().err.endswith(
        "error: interrupted between runs\n"
        "hint: run the same command again: finished runs are kept, unfinished ones continue\n"
    )


def test_a_broken_record_is_named(capsys, tmp_path):
    folder = tmp_path / RECORDS / "order-short-0"
    folder.mkdir(parents=True)
    (folder / "0-seed0.json").write_text("{")
    assert run(["ablate", "alpha", "--dry-run"]) == 1
    assert f"error: {RECORDS}/order-short-0/0-seed0.json: not a run record" in (
        capsys.readouterr().err
    )


@pytest.fixture
def trained(monkeypatch):
    """Hashes of the runs that were trained, in no time, and at which of them Ctrl-C is pressed."""
    done, interrupted_at = [], set()

    def outcome(runner, run, *rest):
        done.append(run.recipe_hash)
        if len(done) in interrupted_at:
            raise KeyboardInterrupt
        return Outcome(RESULT, [{"train_loss": 1, "train_top1": 25, "val_top1": 25}], ENVIRONMENT)

    monkeypatch.setattr("stsm_cli.cli.ablate_runs.Runner._run", outcome)
    monkeypatch.setattr("stsm_cli.analysis.publish.publish", lambda out, name, **_: [out / name])
    return done, interrupted_at


def test_of_two_at_once_the_second_ends_and_the_first_goes_on(
    capsys, data, monkeypatch, trained, tiny_rows
):
    done, _ = trained
    outcome, codes = Runner._run, []
    command = ["ablate", "alpha", *tiny_rows, "--data", data, "--jobs", "1"]

    def meanwhile(*arguments):
        monkeypatch.setattr(Runner, "_run", outcome)
        codes.append(run(command))
        return outcome(*arguments)

    monkeypatch.setattr(Runner, "_run", meanwhile)
    assert run(command) == 0
    out, err = capsys.readouterr()
    assert codes == [2]
    assert re.search(
        r"error: results/runs/alpha-order-custom-\w+: another process is training in it\n"
        "hint: wait for its end, then run the same command again\n0, seed 0: ",
        err,
    )
    assert len(done) == 6
    assert "1 of 7 rows are not run." in out

    assert run(command) == 0
    assert capsys.readouterr().err.count("finished before") == 6


def test_other_data_are_refused_before_anything_is_made_or_told(
    capsys, tmp_path, trained, tiny_rows
):
    made = ["--train", "16", "--val", "16", "--test", "16", "--frames", "8"]
    assert run(["prepare", "order", "set", *made]) == 0
    capsys.readouterr()
    assert (
        run(["ablate", "spatial", *tiny_rows, "--data", "set", "--set", "data.order.train=32"]) == 1
    )
    assert capsys.readouterr().err == (
        "error: set/order.json: the set was made with train 16, not 32\n"
        "hint: to train on this set: `--set data.order.train=16`\n"
        "hint: to make the other one: name another folder, in training with `--data FOLDER`, "
        "or delete set\n"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


def test_weights_to_start_from_are_looked_at_before_anything_is_made_or_trained(
    capsys, tmp_path, trained
):
    sets = ["--set", "model.weights=null", "--set", "model.init=gone.safetensors"]
    rows = ["--row", "TSN", "--row", "T"]
    command = ["ablate", "spatial", "--dataset", "order", *rows, *sets]
    assert run([*command, "--dry-run"]) == 0
    assert "warning: gone.safetensors: no such file of weights\n" in capsys.readouterr().err
    assert run(command) == 1
    assert "error: gone.safetensors: no such file of weights\n" in capsys.readouterr().err
    Path("gone.safetensors").write_bytes(save({"other.weight": torch.ones(1)}))
    assert run(command) == 1
    assert "gone.safetensors: " in capsys.readouterr().err
    assert trained[0] == []
    assert [path.name for path in tmp_path.iterdir()] == ["gone.safetensors"]


def test_weights_to_start_from_are_looked_at_for_each_network(capsys):
    network = build_model(load_recipe("scenes/tsn").recipe.model)
    Path("w.safetensors").write_bytes(save(network.state_dict()))
    sets = ["--set", "model.weights=null", "--set", "model.init=w.safetensors"]
    rows = ["--row", "TSN R-50", "--row", "TSN MobileNetV2"]
    for names in (rows, [*rows[2:], *rows[:2]]):
        command = ["ablate", "backbones-k400", "--dataset", "scenes", *names, *sets, "--dry-run"]
        assert run(command) == 0
        assert "warning: w.safetensors: " in capsys.readouterr().err


def test_all_sets_that_lack_something_are_told_at_once(capsys):
    flow = ["--set", "model.backbone=r2plus1d_small", "--set", "model.stream=flow"]
    rows = ["--row", "TSN", "--row", "T", "--seeds", "2"]
    assert run(["ablate", "spatial", *rows, *flow]) == 1
    text = capsys.readouterr().err
    assert "error: data/order: has no optical flow by dis, which the recipe reads\n" in text
    assert "data/order-draw1: has no optical flow by dis, which the recipe reads\n" in text
    told = (
        "hint: `stsm prepare order data/order-draw1 --draw 1`, then `stsm prepare flow data/order-"
    )
    assert told in text


def test_a_row_that_diverges_is_named(capsys, data, monkeypatch, tiny_rows):
    def diverge(*_args, **_options):
        raise DivergedError("the loss is nan at step 3", hint="lower optim.lr")

    monkeypatch.setattr("stsm_cli.engine.train.train", diverge)
    assert run(["ablate", "spatial", *tiny_rows, "--data", data, "--jobs", "1"]) == 1
    text = capsys.readouterr().err
    assert "error: row TSN, seed 0 (results/runs/spatial-order-" in text
    assert "TSN-seed0): the loss is nan at step 3\n" in text
    assert "hint: lower optim.lr; of one table `--row` runs the other rows without it\n" in text


def test_a_row_without_memory_is_named(capsys, data, monkeypatch, tiny_rows):
    def fill(*_args, **_options):
        raise MemoryError

    monkeypatch.setattr("stsm_cli.engine.train.train", fill)
    assert run(["ablate", "spatial", *tiny_rows, "--data", data, "--jobs", "1"]) == 1
    text = capsys.readouterr().err
    assert "TSN-seed0): there is not enough memory (MemoryError)\n" in text


def test_all_trains_what_tables_share_once_and_goes_on_after_ctrl_c(
    capsys, data, trained, tiny_rows
):
    done, interrupted_at = trained
    interrupted_at.add(10)
    command = ["ablate", "all", *tiny_rows, "--data", data, "--jobs", "1", "--json"]
    assert run(command) == 130
    out, err = capsys.readouterr()
    assert out == ""
    assert err.endswith(
        "error: interrupted after 4 of 8 runs of spatial; the table so far is "
        "results/table2_spatial_custom.md\n"
        "hint: run the same command again: finished runs are kept, unfinished ones continue\n"
    )
    interrupted = done.pop()
    interrupted_at.clear()

    assert run(command) == 0
    out, err = capsys.readouterr()
    assert done[9] == interrupted
    assert len(done) == len(set(done)) == 30
    told = json.loads(out)
    assert told["schema"] == "stsm.ablations/1"
    assert [ablation["table"] for ablation in told["ablations"]] == [1, 2, 3, 5, 7]
    assert told["ablations"][1]["files"] == ["results/spatial"]
    assert [len(ablation["rows"]) for ablation in told["ablations"]] == [7, 8, 13, 9, 11]
    for ablation in told["ablations"]:
        assert {row["top1"] for row in ablation["rows"] if row["name"] != "3/4"} == {25.0}
    mobile = told["ablations"][3]["rows"][4]
    assert mobile["overrides"][-1] == "model.backbone=inverted_small"
    assert "spatial on order, 2 of 5\n" in err
    assert err.endswith("`stsm report --out results` brings figures, audit and index up to date\n")

    assert run([word for word in command if word != "--json"]) == 0
    titles = [line.split(":")[0] for line in capsys.readouterr().out.splitlines()]
    assert [title for title in titles if title.startswith("Table ")] == [
        f"Table {number}" for number in (1, 2, 3, 5, 7)
    ]
    assert len(done) == 30


def test_ctrl_c_while_figures_are_drawn_is_an_interruption_too(
    capsys, data, trained, monkeypatch, tiny_rows
):
    drawn = []

    def publish(out, name, *, figures=True):
        drawn.append(figures)
        if drawn.count(True) == 1 and figures:
            raise KeyboardInterrupt
        return []

    monkeypatch.setattr("stsm_cli.analysis.publish.publish", publish)
    assert run(["ablate", "spatial", *tiny_rows, "--data", data, "--jobs", "1"]) == 130
    assert drawn == [False] * 8 + [True, False]  # who pressed Ctrl-C waits for no figure
    assert "error: interrupted after 8 of 8 runs of spatial; the" in capsys.readouterr().err


@pytest.fixture(scope="module")
def two_rows(data, tiny_rows, tmp_path_factory):
    """The command of two rows, and the folder that it filled."""
    command = ["ablate", "spatial", "--row", "TSN", "--row", "HW", *tiny_rows, "--data", data]
    results = tmp_path_factory.mktemp("two-rows") / "results"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("stsm_cli.analysis.publish.encode", lambda figure, kind: b"")
        assert run([*command, "--out", str(results), "--jobs", "1"]) == 0
    return command, results


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("metrics.jsonl", b""),
        ("metrics.jsonl", b"xx\n"),
        ("result.json", b"\xff"),
        ("recipe.yaml", b"\xff"),
    ],
)
def test_a_damaged_run_is_named_with_the_way_out(
    capsys, no_figures, tmp_path, two_rows, file, content
):
    command, results = two_rows
    shutil.copytree(results, "results")
    (folder,) = (tmp_path / "results" / "runs").glob("*/HW-seed0")
    (record,) = (tmp_path / "results" / "records").glob("*/*/HW-seed0.json")
    record.unlink()
    (folder / file).write_bytes(content)
    assert run([*command, "--jobs", "2"]) == 1
    name = folder.relative_to(tmp_path)
    err = capsys.readouterr().err
    assert f"error: {name}/{file}:" in err
    assert f"hint: move {name} away; the same command then does the run anew\n" in err
    assert not record.exists()
    shutil.rmtree(folder)
    assert run([*command, "--jobs", "1"]) == 0
    assert record.exists()


def test_a_run_that_other_videos_began_is_named_with_the_way_out(
    capsys, data, tmp_path, tiny_rows, monkeypatch
):
    def train(recipe, *splits, out, resume, **options):
        if not resume:
            RunFolder(out).create(recipe, {"recipe": "a", "data": "b", "decoder": "pyav"}, ())
        raise DataError("these are other videos", hint="name the same")

    monkeypatch.setattr("stsm_cli.engine.train.train", train)
    command = ["ablate", "spatial", *tiny_rows, "--data", data, "--jobs", "1"]
    told = "error: these are other videos\nhint: name the same\n"
    assert run(command) == 1
    assert capsys.readouterr().err.endswith(told)
    assert run(command) == 1
    (folder,) = Path("results/runs").glob("*/*")
    way_out = f"hint: move {folder} away; the same command then does the run anew\n"
    assert capsys.readouterr().err.endswith(told + way_out)
    (folder / "environment.json").unlink()  # half-made: begun again
    assert run(command) == 1
    assert capsys.readouterr().err.endswith(told)


def test_rows_of_flow_on_a_set_without_it_are_told_before_anything_is_trained(
    capsys, tmp_path, tiny_rows
):
    flow = ["--set", "model.backbone=r2plus1d_small", "--set", "model.stream=flow"]
    assert run(["ablate", "alpha", "--data", "new", *tiny_rows, *flow]) == 1
    text = capsys.readouterr().err
    assert "error: new: has no optical flow by dis, which the recipe reads" in text
    assert not (tmp_path / "new").exists()
    assert not (tmp_path / "runs").exists()


def test_each_draw_is_made_beside_the_first_and_read_by_its_seeds(tmp_path, trained):
    words = ["data.order.train=16", "data.order.val=16", "data.order.test=16", "optim.epochs=1"]
    words += ["data.order.frames=8", "optim.warmup_epochs=0"]
    sets = [word for override in words for word in ("--set", override)]
    command = ["ablate", "alpha", "--dataset", "order", "--seeds", "4", *sets, "--jobs", "1"]
    assert run([*command, "--data", "videos/order", "--json"]) == 0
    assert len(trained[0]) == 4 * 6
    assert sorted(path.name for path in (tmp_path / "videos").iterdir()) == [
        "order",
        "order-draw1",
        "order-draw2",
    ]
    made = json.loads((tmp_path / "videos" / "order-draw2" / "order.json").read_text())
    assert made["draw"] == 2


def test_runs_of_one_draw_go_together():
    sweep = plan_sweep("alpha", "order", seeds=4, full=True, only=["1/4", "3/8"])
    tasks = [(run, Path(run.folder)) for run in sweep.runs]
    groups = list(_by_draw(tasks))
    assert [[run.seed for _, (run, _) in group] for group in groups] == [
        [0, 0, 3, 3],  # their videos are read once
        [1, 1],
        [2, 2],
    ]
    assert all(tasks[number] == task for group in groups for number, task in group)

"""What `stsm ablate` says of runs of its short budget."""

import json
import re
from pathlib import Path

import pytest

from stsm_cli.analysis.sweep import Outcome
from stsm_cli.cli.app import run
from stsm_cli.stored import wilson_interval

ENVIRONMENT = {"stsm": "0.9.0", "python": "3.11.1", "packages": {}, "device": "cpu"}


@pytest.fixture
def finished(monkeypatch):
    """`stsm ablate alpha` of runs that nobody trained, most of which took off late."""

    def outcome(runner, planned, *rest):
        epochs = planned.recipe.optim.epochs
        late = [
            {"train_loss": 1.0, "train_top1": 20.0, "val_top1": 20.0 + 30 * k / epochs}
            for k in range(epochs)
        ]
        low, high = wilson_interval(40, 100)
        result = {"num_videos": 100, "num_listed": 100, "correct": 40, "top1": 40.0, "top5": 90.0}
        result |= {"top1_interval": [100 * low, 100 * high], "mean_class": 40.0, "pairs": None}
        result |= {"pair_accuracy": 60.0, "seconds_train": 50.0, "seconds_eval": 1.0, "broken": []}
        return Outcome(result, late, ENVIRONMENT | {"data_id": "order/2"})

    monkeypatch.setattr("stsm_cli.cli.ablate_runs.Runner._run", outcome)
    monkeypatch.setattr("stsm_cli.cli.ablate._opener", lambda *of: lambda recipe: None)
    monkeypatch.setattr("stsm_cli.analysis.publish.encode", lambda figure, kind: b"")
    return ["ablate", "alpha", "--jobs", "1"]


def test_rows_that_took_off_late_and_what_the_longer_budget_takes(finished, capsys):
    assert run(finished) == 0
    out, err = capsys.readouterr()
    assert "Taken off late, by points of validation top-1 gained over the second half" in out
    assert (
        "`stsm ablate alpha --dataset order --full` trains all rows for 20 epochs: "
        "0 of 8 finished, 8 to do: "
    ) in out
    assert run([*finished, "--seeds", "2"]) == 0
    out = capsys.readouterr().out
    assert (
        "`stsm ablate alpha --dataset order --full --seeds 2` trains all rows for 20 epochs: "
        "0 of 16 finished, 16 to do: "
    ) in out
    assert run([*finished, "--out", "my first", "--data", "set"]) == 0
    out = capsys.readouterr().out
    assert "`stsm ablate alpha --dataset order --full --data set --out 'my first'` trains" in out
    assert run(finished) == 0
    out, err = capsys.readouterr()
    assert " one after another by the runs recorded so far.\n" in out
    assert "the short budget leaves out 3/4, T 1/8" in err


def run_elsewhere(**environment):
    """Have the record of row 3/8 say that it was made in another environment."""
    (file,) = Path("results/records").rglob("3-8-seed0.json")
    record = json.loads(file.read_text())
    record["environment"] |= environment
    file.write_text(json.dumps(record))


def test_what_ran_on_another_device_is_said_and_not_shown(finished, capsys):
    assert run(finished) == 0
    run_elsewhere(device="NVIDIA H200")
    capsys.readouterr()
    assert run(finished) == 0
    out = capsys.readouterr().out
    assert re.search(r"^ +3/8 +75\.04 +not run ", out, re.MULTILINE)
    assert (
        "Runs on GPUs do not compare with those on CPUs: results/table1_alpha.md has them apart "
        "(3/8)."
    ) in out


def test_what_ran_on_other_videos_is_said_and_not_shown(finished, capsys, monkeypatch):
    monkeypatch.setattr("stsm_cli.cli.ablate._obstacles", lambda *of: [])
    command = [*finished, "--dataset", "k400", "--row", "0", "--row", "3/8", "--row", "1"]
    assert run(command) == 0
    run_elsewhere(data_id="another list")
    capsys.readouterr()
    assert run(command) == 0
    assert (
        "Runs on `another list` do not compare with those on `order/2`: results/table1_alpha.md "
        "has them apart (3/8)."
    ) in capsys.readouterr().out


def test_json_tells_the_protocol_and_length_of_each_row(finished, capsys, monkeypatch):
    monkeypatch.setattr("stsm_cli.cli.ablate._obstacles", lambda *of: [])
    assert run([*finished, "--json", "--row", "0", "--row", "3/8"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["protocol"], result["epochs"]) == ("order-2x3@48-test", 10)
    assert run([*finished, "--json", "--dataset", "k400", "--row", "0", "--row", "3/8"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["protocol"] is None
    told = {row["name"]: (row["protocol"], row["epochs"]) for row in result["rows"]}
    assert told["0"] == ("k400-10x3@256-score", 100)
    assert told["3/8"] == ("k400-10x3@256", 100)
    assert told["1"] == (None, None)


def test_json_has_them_among_the_verdicts(finished, capsys):
    assert run([*finished, "--json"]) == 0
    verdicts = json.loads(capsys.readouterr().out)["verdicts"]
    assert any(verdict.startswith("Taken off late") for verdict in verdicts)

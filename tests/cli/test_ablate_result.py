"""What `stsm ablate` says of the committed runs of its short budget."""

import json
import shutil
from pathlib import Path

import pytest

from stsm_cli.cli.app import run

RECORDS = Path(__file__).parents[2] / "results" / "records" / "table1_alpha"


@pytest.fixture
def finished(tmp_path, monkeypatch):
    """`stsm ablate alpha` where all of its runs are recorded: nothing is trained."""
    (folder,) = RECORDS.glob("synth-short-*")
    shutil.copytree(folder, tmp_path / "results" / "records" / "table1_alpha" / folder.name)
    monkeypatch.setattr("stsm_cli.analysis.publish.encode", lambda figure, kind: b"")
    monkeypatch.chdir(tmp_path)
    return ["ablate", "alpha"]


def test_rows_that_took_off_late_and_what_the_longer_budget_takes(finished, capsys):
    assert run(finished) == 0
    told = capsys.readouterr().out
    assert "Taken off late, by points of validation top-1 gained over the second half" in told
    assert "`stsm ablate alpha --full` trains 20 epochs: 0 of 7 finished, 7 to do: " in told
    assert " one after another by the runs recorded so far.\n" in told
    assert "not clearly" not in told


def test_json_has_them_among_the_verdicts(finished, capsys):
    assert run([*finished, "--json"]) == 0
    verdicts = json.loads(capsys.readouterr().out)["verdicts"]
    assert any(verdict.startswith("Taken off late") for verdict in verdicts)

"""Rows of other systems, end to end on tiny videos: trained, fused, recorded, resumed, reported."""

import json
from pathlib import Path

import pytest

from stsm_cli.analysis import ablation as module
from stsm_cli.analysis.ablation import Ablation, load_ablation
from stsm_cli.analysis.records import read_records
from stsm_cli.cli.app import run

SETS = (
    *("data.scenes.train=16", "data.scenes.val=16", "data.scenes.test=16"),
    *("data.scenes.frames=16", "test.clips=1", "test.crops=1"),
    *("data.scenes.short_side_px=32", "data.short_side_px=32", "data.crop_px=24"),
    *("test.crop_px=24", "model.num_frames=3", "optim.epochs=1", "optim.warmup_epochs=0"),
    *("optim.batch_size=8", "optim.lr_batch_size=8", "precision=fp32"),
)
COMMAND = ["ablate", "sota-k400", "--systems", "--jobs", "1", "--workers", "0"]
COMMAND += [word for edit in SETS for word in ("--set", edit)]
SCENES = ["--train", "16", "--val", "16", "--test", "16", "--frames", "16"]
SCENES += ["--short-side", "32", "--workers", "1"]


@pytest.fixture(autouse=True)
def few_rows(monkeypatch):
    """R(2+1)D alone, no figures and no costs: what all rows have in common is tested elsewhere."""
    whole = load_ablation("sota-k400")

    def load(name: str) -> Ablation:
        if name != "sota-k400":
            return load_ablation(name)
        systems = [row for row in whole.systems if row.name.startswith("R(2+1)D")]
        return whole.model_copy(update={"rows": whole.rows[:3:2], "systems": tuple(systems)})

    for user in (module, *map(_module, ("publish", "tables", "index"))):
        monkeypatch.setattr(user, "load_ablation", load)
    monkeypatch.setattr("stsm_cli.analysis.publish._figures", lambda *of_table: {})
    for costs in ("system_costs", "system_reasons"):
        monkeypatch.setattr(f"stsm_cli.analysis.tables.{costs}", lambda *of_table: [])


def _module(name):
    return __import__(f"stsm_cli.analysis.{name}", fromlist=[name])


def test_two_streams_are_trained_fused_recorded_and_done_once(capsys):
    assert run(["prepare", "scenes", "data/scenes", *SCENES]) == 0
    assert run(COMMAND) == 1
    assert "hint: `stsm prepare flow data/scenes`" in capsys.readouterr().err
    assert run(["prepare", "flow", "data/scenes", "--workers", "1"]) == 0
    assert run(COMMAND) == 0
    names = sorted(path.parent.name for path in Path("results/runs").glob("*/*/recipe.yaml"))
    # RGB's is that of the row of RGB alone
    assert names[-2:] == ["scenes-r2plus1d-flow-seed0", "scenes-r2plus1d-seed0"]
    rgb, both, *_ = sorted(read_records(Path("results")), key=lambda record: record.row)
    assert (rgb.row, both.row) == ("R(2+1)D", "R(2+1)D RGB+flow")
    assert rgb.flow is None
    assert both.flow is not None
    assert (both.recipe, both.flow.recipe.model.stream) == (rgb.recipe, "flow")
    (folder,) = Path("results/runs").iterdir()
    kept = folder / "scenes-r2plus1d-seed0/fuse-scenes-r2plus1d-flow-seed0-scenes-1x1@24-test.json"
    fused = json.loads(kept.read_text())
    assert (both.score.correct, both.score.top1) == (fused["correct"], fused["top1"])
    table = Path("results/table4_sota-k400_custom.md").read_text()
    assert f"| R(2+1)D RGB+flow | 73.9 [28] | {both.score.top1:.1f} |" in table

    capsys.readouterr()
    assert run(COMMAND) == 0  # nothing is left to do
    assert capsys.readouterr().err.count("finished before") == 4
    next(Path("results/records").rglob("R-2+1-D-RGB+flow*")).unlink()
    assert run(COMMAND) == 0  # fused again, from the folders
    again = [record for record in read_records(Path("results")) if record.flow]
    assert [record.score for record in again] == [both.score]

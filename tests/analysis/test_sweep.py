import json
from dataclasses import replace
from hashlib import sha256

import pytest

from stsm_cli.analysis.ablation import plan_sweep
from stsm_cli.analysis.records import NetworkCost, read_records, record_path
from stsm_cli.analysis.sweep import is_trained, run_folder, run_sweep
from stsm_cli.engine.runlog import RunFolder, write_json
from stsm_cli.errors import DataError, InterruptedRunError, UsageError


class Trainer:
    """Notes which runs it is asked to do; stops before run number `stop_at`."""

    def __init__(self, outcome, stop_at=None):
        self.outcome, self.stop_at, self.done = outcome, stop_at, []

    def __call__(self, run, folder):
        if len(self.done) == self.stop_at:
            raise InterruptedRunError("interrupted")
        self.done.append((run.row.name, run.seed, folder))
        return self.outcome(50 + run.seed, run)


def do(sweep, out, trainer):
    told = []
    run_sweep(
        sweep,
        out,
        lambda tasks: ((number, trainer(*task)) for number, task in enumerate(tasks)),
        on_record=lambda run, record, is_new: told.append((run.slug, is_new)),
    )
    return told


def test_more_seeds_run_only_the_missing_ones(tmp_path, fake_outcome):
    do(plan_sweep("spatial", seeds=3), tmp_path, Trainer(fake_outcome))
    trainer = Trainer(fake_outcome)
    told = do(plan_sweep("spatial", seeds=5), tmp_path, trainer)
    assert [seed for _, seed, _ in trainer.done] == [3] * 8 + [4] * 8
    assert [is_new for _, is_new in told] == [False] * 24 + [True] * 16
    assert len(read_records(tmp_path)) == 40


def test_an_interrupted_sweep_goes_on_where_it_was(tmp_path, fake_outcome):
    sweep = plan_sweep("alpha")
    with pytest.raises(InterruptedRunError):
        do(sweep, tmp_path, Trainer(fake_outcome, stop_at=3))
    assert len(read_records(tmp_path)) == 3
    trainer = Trainer(fake_outcome)
    do(sweep, tmp_path, trainer)
    assert [name for name, _, _ in trainer.done] == ["3/8", "1/2", "1"]


def test_each_run_has_its_folder(tmp_path, fake_outcome):
    sweep = plan_sweep("alpha")
    trainer = Trainer(fake_outcome)
    do(sweep, tmp_path, trainer)
    folder = tmp_path / "runs" / f"alpha-order-short-{sweep.experiment}" / "1-8-seed0"
    assert trainer.done[1][2] == folder == run_folder(tmp_path, sweep, sweep.runs[1])


def test_a_run_that_another_table_has_is_not_repeated(tmp_path, fake_outcome):
    do(plan_sweep("spatial"), tmp_path, Trainer(fake_outcome))
    sweep, trainer = plan_sweep("spatiotemporal"), Trainer(fake_outcome)
    do(sweep, tmp_path, trainer)
    shared = ("TSN", "T", "H+W 1/4", "TSN dilated")
    assert [name for name, _, _ in trainer.done] == [
        run.row.name for run in sweep.runs if run.row.name not in shared
    ]
    copies = [record for record in read_records(tmp_path) if record.row == "T"]
    assert [copy.table for copy in copies] == ["table2_spatial", "table3_spatiotemporal"]
    assert copies[1].command == "stsm ablate spatiotemporal --dataset order"


def test_overridden_runs_stay_apart(tmp_path, fake_outcome):
    do(plan_sweep("alpha"), tmp_path, Trainer(fake_outcome))
    trainer = Trainer(fake_outcome)
    do(plan_sweep("alpha", overrides=["optim.lr=1"]), tmp_path, trainer)
    assert len(trainer.done) == 6
    assert len(read_records(tmp_path)) == 12


def test_a_run_of_two_overridden_sweeps_is_recorded_in_both(tmp_path, fake_outcome):
    first = plan_sweep("alpha", overrides=["model.shift.dims=T"])
    second = plan_sweep("alpha", overrides=["model.shift.dims=H"])
    trainer = Trainer(fake_outcome)
    for sweep in (first, second):
        do(sweep, tmp_path, trainer)
    assert len(trainer.done) == len(first.runs) + len(second.runs) - 1  # row 0 has no shift
    assert len(read_records(tmp_path)) == len(first.runs) + len(second.runs)


def test_out_is_tried_before_anything_is_trained(tmp_path, fake_outcome, mount_read_only):
    (tmp_path / "file").write_text("")
    trainer = Trainer(fake_outcome)
    with pytest.raises(UsageError, match=r"--out: .*file/records cannot be made"):
        do(plan_sweep("alpha"), tmp_path / "file", trainer)
    mount_read_only()
    with pytest.raises(UsageError, match=r"--out: .*/records cannot be written \(Read-only"):
        do(plan_sweep("alpha"), tmp_path, trainer)
    assert trainer.done == []


def test_where_nothing_is_recorded_nothing_is_left(tmp_path):
    def fails(run, folder):
        raise DataError("videos.csv: is broken")

    with pytest.raises(DataError, match="is broken"):
        do(plan_sweep("alpha"), tmp_path / "results", fails)
    assert list(tmp_path.iterdir()) == []


def test_networks_are_counted_at_the_size_of_the_test(tmp_path, fake_outcome):
    sweep = plan_sweep("alpha")
    do(sweep, tmp_path, Trainer(fake_outcome))
    records = read_records(tmp_path)
    assert len(records) == len(sweep.runs)
    for record in records:
        assert record.network == NetworkCost(
            sweep.runs[0].recipe.test.crop_px, 160_370_688, 273_168
        )


def test_a_record_that_stands_is_not_written_again(tmp_path, fake_outcome):
    sweep = plan_sweep("alpha")
    do(sweep, tmp_path, Trainer(fake_outcome))
    path = record_path(tmp_path, sweep, sweep.runs[0])
    path.write_text(path.read_text().replace('"pairs": null', '"pairs":  null'))  # as another wrote
    before = path.read_bytes()
    do(sweep, tmp_path, Trainer(fake_outcome))
    assert path.read_bytes() == before


def train(sweep, run, out, outcome, **origin):
    """Leave the folder of a run that was trained."""
    folder, left = RunFolder(run_folder(out, sweep, run)), outcome(70, run)
    folder.create(run.recipe, {**left.environment, **origin}, ["up", "down"])
    line = {"lr": 0.1, "seconds": 1.0, "seconds_val": 1.0}
    for number, epoch in enumerate(left.epochs, start=1):
        folder.log_epoch({"epoch": number, **epoch, **line})
    about = {"name": run.base, "protocol": run.recipe.protocol, "recipe_hash": run.recipe_hash}
    write_json(folder.result_file, {**left.result, **about})
    return folder


def test_what_a_run_left_whole_is_trained(tmp_path, fake_outcome):
    sweep = plan_sweep("alpha", data_id="order/2")
    run, *_ = sweep.runs
    assert not is_trained(tmp_path, sweep, run)
    folder = train(sweep, run, tmp_path, fake_outcome)
    assert is_trained(tmp_path, sweep, run)
    first, *_ = folder.metrics_file.read_text().splitlines(keepends=True)
    with folder.metrics_file.open("a") as file:  # where there are no locks two may have logged it
        file.write(first)
    assert is_trained(tmp_path, replace(sweep, data_id=None), run)
    folder.result_file.unlink()
    assert not is_trained(tmp_path, sweep, run)


@pytest.mark.parametrize("file", ["result", "metrics", "environment", "recipe"])
def test_a_damaged_folder_is_not_trained(tmp_path, fake_outcome, file):
    sweep = plan_sweep("alpha")
    folder = train(sweep, sweep.runs[0], tmp_path, fake_outcome)
    path = getattr(folder, f"{file}_file")
    path.write_bytes(b"\xff\n")
    assert not is_trained(tmp_path, sweep, sweep.runs[0])
    path.unlink()
    assert not is_trained(tmp_path, sweep, sweep.runs[0])


@pytest.mark.parametrize("change", [{"correct": 71}, {"top1": "70"}])
def test_a_result_that_contradicts_itself_is_not_trained(tmp_path, fake_outcome, change):
    sweep = plan_sweep("alpha")
    folder = train(sweep, sweep.runs[0], tmp_path, fake_outcome)
    write_json(folder.result_file, json.loads(folder.result_file.read_text()) | change)
    assert not is_trained(tmp_path, sweep, sweep.runs[0])


def test_an_epoch_that_was_not_logged_is_not_trained(tmp_path, fake_outcome):
    sweep = plan_sweep("alpha")
    file = train(sweep, sweep.runs[0], tmp_path, fake_outcome).metrics_file
    file.write_text(file.read_text().partition("\n")[2])
    assert not is_trained(tmp_path, sweep, sweep.runs[0])


def test_the_folder_of_another_recipe_is_not_trained(tmp_path, fake_outcome):
    sweep = plan_sweep("alpha")
    run, other, *_ = sweep.runs
    train(sweep, replace(run, recipe=other.recipe), tmp_path, fake_outcome)
    assert not is_trained(tmp_path, sweep, run)


@pytest.mark.parametrize("origin", [{"data_id": "order/1"}, {"numerics": 2}])
def test_other_videos_or_other_code_are_not_trained(tmp_path, fake_outcome, origin):
    sweep = plan_sweep("alpha", data_id="order/2")
    train(sweep, sweep.runs[0], tmp_path, fake_outcome, **origin)
    assert not is_trained(tmp_path, sweep, sweep.runs[0])


def test_weights_to_start_from_are_known_by_their_content(tmp_path, fake_outcome, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.pt").write_bytes(b"one")
    sweep = plan_sweep("alpha", overrides=["model.init=a.pt"])
    known = sha256(b"one").hexdigest()
    folder = train(sweep, sweep.runs[0], tmp_path, fake_outcome, init_sha256=known)
    (tmp_path / "a.pt").rename(tmp_path / "b.pt")
    moved = plan_sweep("alpha", overrides=["model.init=b.pt"])
    folder.path.rename(tmp_path / "there")
    run_folder(tmp_path, moved, moved.runs[0]).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / "there").rename(run_folder(tmp_path, moved, moved.runs[0]))
    assert is_trained(tmp_path, moved, moved.runs[0])
    (tmp_path / "b.pt").write_bytes(b"two")
    assert not is_trained(tmp_path, moved, moved.runs[0])

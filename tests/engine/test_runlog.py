import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from stsm_cli.engine.runlog import (
    RunFolder,
    claim_run_folder,
    newest_run,
    read_json,
    write_json,
)
from stsm_cli.errors import CheckpointError, StsmError, UsageError


def test_numbers_go_up_beyond_three_digits(tmp_path):
    parent = tmp_path / "runs"
    assert claim_run_folder("synth/stsm", parent).name == "synth-stsm-001"
    for name in ("synth-stsm-007", "synth-stsm-old", "synth-stsm-l-500", "synth-tsm-900"):
        (parent / name).mkdir()
    assert claim_run_folder("synth/stsm", parent).name == "synth-stsm-008"
    (parent / "synth-stsm-999").mkdir()
    assert claim_run_folder("synth/stsm", parent).name == "synth-stsm-1000"
    assert claim_run_folder("synth/stsm", parent).name == "synth-stsm-1001"


def test_no_two_runs_get_the_same_folder(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        paths = list(pool.map(lambda _: claim_run_folder("synth/stsm", tmp_path), range(24)))
    assert sorted(path.name for path in paths) == [f"synth-stsm-{n:03}" for n in range(1, 25)]


def test_where_no_run_folder_can_be_made(tmp_path):
    (tmp_path / "runs").write_text("")
    with pytest.raises(UsageError, match="runs: is a file, not a folder"):
        claim_run_folder("a", tmp_path / "runs")
    with pytest.raises(UsageError, match=r"runs/b/: cannot be written \(Not a directory\)"):
        claim_run_folder("a", tmp_path / "runs" / "b")


def test_create_refuses_a_file(recipe, tmp_path):
    (tmp_path / "run").write_text("")
    with pytest.raises(UsageError, match="run: is a file, not a folder"):
        RunFolder(tmp_path / "run").create(recipe, {}, ())


def test_create_says_what_cannot_be_written(recipe, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=r"cannot be written \(Not a directory\)"):
        RunFolder(tmp_path / "file" / "run").create(recipe, {}, ())


def test_not_a_run_folder(tmp_path):
    with pytest.raises(CheckpointError, match=r"not a run folder \(no recipe\.yaml\)"):
        RunFolder(tmp_path).recipe()


def test_metrics_after_the_checkpoint_are_forgotten(tmp_path):
    folder = RunFolder(tmp_path)
    for epoch in (1, 2, 3):
        folder.log_epoch({"epoch": epoch})
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "last.pt.123.tmp").write_bytes(b"half")
    folder.tidy(2)
    assert [line["epoch"] for line in folder.metrics()] == [1, 2]
    assert list((tmp_path / "checkpoints").iterdir()) == []


def test_a_number_of_classes_left_to_the_data_agrees_with_any(recipe, tmp_path):
    folder = RunFolder(tmp_path / "run")
    data = recipe.data.model_copy(update={"dataset": "folder", "synth": None})
    known = recipe.model_copy(update={"data": data})
    folder.create(known, {}, ())
    open_model = recipe.model.model_copy(update={"num_classes": None})
    folder.check_same(known.model_copy(update={"model": open_model}))
    with pytest.raises(CheckpointError, match="another recipe: seed is 0 there, 1 here"):
        folder.check_same(known.model_copy(update={"model": open_model, "seed": 1}))


def test_the_newest_run_is_the_one_started_last(recipe, tmp_path):
    for age, name in enumerate(("b", "a", "c")):
        folder = RunFolder(tmp_path / name)
        folder.create(recipe, {}, ())
        os.utime(folder.recipe_file, (1000 - age, 1000 - age))
    for name in ("a", "b"):
        (tmp_path / name / "result.json").write_text("{}")
    assert newest_run(tmp_path, finished=True).name == "b"
    assert newest_run(tmp_path, finished=False).name == "c"


def test_half_a_line_of_metrics_is_passed_over(tmp_path):
    folder = RunFolder(tmp_path)
    folder.log_epoch({"epoch": 1})
    with folder.metrics_file.open("a") as file:
        file.write('{"epoch": 2, "lr"')
    assert folder.metrics() == [{"epoch": 1}]


def test_broken_metrics_are_named(tmp_path):
    folder = RunFolder(tmp_path)
    folder.metrics_file.write_text("no json\n")
    with pytest.raises(CheckpointError, match=r"metrics\.jsonl: not readable as JSON"):
        folder.metrics()


@pytest.mark.parametrize(("epochs", "line"), [((1, 2, 2), 3), ((1, 1, 2), 2), ((2,), 1)])
def test_metrics_of_two_processes_are_refused(tmp_path, epochs, line):
    folder = RunFolder(tmp_path / "run")
    folder.path.mkdir()
    for epoch in epochs:
        folder.log_epoch({"epoch": epoch})
    message = rf"run/metrics\.jsonl:{line}: is epoch {epochs[line - 1]}, not {line}$"
    with pytest.raises(CheckpointError, match=message) as caught:
        folder.metrics()
    assert caught.value.hint == (
        f"`stsm train --resume --out {folder.path}` keeps what goes together, "
        "and goes on from there"
    )


def test_of_two_processes_metrics_each_epoch_keeps_its_first_line(tmp_path):
    folder = RunFolder(tmp_path)
    for number, epoch in enumerate((1, 2, 2, 3, 3, 2, 4)):
        folder.log_epoch({"epoch": epoch, "line": number})
    folder.tidy(3)
    assert [(line["epoch"], line["line"]) for line in folder.metrics()] == [(1, 0), (2, 1), (3, 3)]


def test_metrics_that_the_checkpoint_needs_are_missed(tmp_path):
    folder = RunFolder(tmp_path / "run")
    folder.path.mkdir()
    for epoch in (1, 3):
        folder.log_epoch({"epoch": epoch})
    message = r"run/metrics\.jsonl: holds 1 of the 3 epochs that .*run/checkpoints/last\.pt ends"
    with pytest.raises(CheckpointError, match=message) as caught:
        folder.tidy(3)
    start = f"`stsm train {folder.recipe_file} --init {folder.checkpoint}` starts from its weights"
    assert caught.value.hint == start
    assert len(folder.metrics_file.read_text().splitlines()) == 2


@pytest.mark.parametrize("write", [RunFolder.log_epoch, lambda f, v: write_json(f.result_file, v)])
def test_what_cannot_be_written_is_named(tmp_path, write):
    folder = RunFolder(tmp_path / "absent")
    with pytest.raises(StsmError, match=r"absent/.*: cannot be written \(No such file"):
        write(folder, {"epoch": 1})


@pytest.mark.parametrize(("finished", "kind"), [(True, "finished"), (False, "unfinished")])
def test_no_run(tmp_path, finished, kind):
    with pytest.raises(UsageError, match=f"holds no {kind} run"):
        newest_run(tmp_path, finished=finished)


@pytest.mark.parametrize(
    ("text", "message"), [("{", "not readable as JSON"), ("[]", "holds list, not an object")]
)
def test_broken_json(tmp_path, text, message):
    (tmp_path / "result.json").write_text(text)
    with pytest.raises(CheckpointError, match=rf"result\.json: {message}"):
        read_json(tmp_path / "result.json")


def test_a_finished_run_has_all_its_epochs(recipe, tmp_path):
    folder = RunFolder(tmp_path / "run")
    folder.create(recipe, {}, ["a", "b"])
    epochs = recipe.optim.epochs
    for epoch in range(1, epochs):
        folder.log_epoch({"epoch": epoch})
    says = rf"metrics\.jsonl: holds {epochs - 1} of the {epochs} epochs of a finished run"
    with pytest.raises(CheckpointError, match=says):
        folder.finished_metrics()
    folder.log_epoch({"epoch": epochs})
    assert len(folder.finished_metrics()) == epochs

import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from stsm_cli.data.manifest import hash_of
from stsm_cli.engine.runlog import RunFolder, claim_run_folder, newest_run, write_json, write_result
from stsm_cli.errors import CheckpointError, RecipeError, StsmError, UsageError
from stsm_cli.printable import command_line
from stsm_cli.stored import Result, as_stored


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
    with pytest.raises(CheckpointError, match=r"not a run folder \(no recipe\.yaml\)") as caught:
        RunFolder(tmp_path).recipe()
    assert caught.value.hint == "name one that `stsm train` made"  # true of every command


def epoch(number):
    """A line of metrics."""
    times = {"seconds": 2.0, "seconds_val": 0.5}
    return {"epoch": number, "lr": 0.1, "train_loss": 1, "train_top1": 10, "val_top1": 5} | times


def test_an_epoch_reaches_the_disk_before_the_checkpoint_that_ends_it(tmp_path, monkeypatch):
    folder, synced = RunFolder(tmp_path), []
    monkeypatch.setattr(os, "fsync", lambda handle: synced.append(os.fstat(handle).st_size))
    folder.log_epoch(epoch(1))
    assert synced == [folder.metrics_file.stat().st_size]


def test_metrics_after_the_checkpoint_are_forgotten(tmp_path):
    folder = RunFolder(tmp_path)
    for number in (1, 2, 3):
        folder.log_epoch(epoch(number))
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "last.pt.123.tmp").write_bytes(b"half")
    folder.tidy(2)
    assert [line["epoch"] for line in folder.metrics()] == [1, 2]
    assert list((tmp_path / "checkpoints").iterdir()) == []


def test_drafts_of_others_are_nobody_s_to_delete(recipe, tmp_path):
    folder = RunFolder(tmp_path / "run")
    own = ["x.tmp", "wandb/a.tmp", "notes/recipe.yaml.7.tmp", "checkpoints/mine.tmp"]
    for name in own:
        (folder.path / name).parent.mkdir(parents=True, exist_ok=True)
        (folder.path / name).write_text("mine")
    assert not folder.is_untrained
    with pytest.raises(UsageError, match=f"{folder.path}: exists and is not empty") as told:
        folder.create(recipe, {}, ())
    assert told.value.hint == "choose another folder"  # there is no run to continue
    (folder.path / "x.tmp").unlink()
    (folder.path / "x.tmp").mkdir()
    (folder.path / "result.npz.7.tmp").mkdir()
    folder.tidy(0)
    assert all((folder.path / name).exists() for name in own)


def test_drafts_alone_are_no_run(recipe, tmp_path):
    folder = RunFolder(tmp_path)
    drafts = [tmp_path / "recipe.yaml.7.tmp", tmp_path / "checkpoints" / "best.pt.8.tmp"]
    for draft in drafts:
        draft.parent.mkdir(exist_ok=True)
        draft.touch()
    assert folder.is_untrained
    folder.create(recipe, {}, ())
    assert not any(draft.exists() for draft in drafts)


def test_a_draft_that_another_process_makes_meanwhile_does_not_take_the_place(
    tmp_path, monkeypatch
):
    (tmp_path / "out").mkdir()
    real = Path.rglob

    def rglob(self, pattern):
        (self / "recipe.yaml.9.tmp").touch()  # as `check_writable` does in each process of a job
        return real(self, pattern)

    monkeypatch.setattr(Path, "rglob", rglob)
    RunFolder(tmp_path / "out").check_new()


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
    folder.log_epoch(epoch(1))
    with folder.metrics_file.open("a") as file:
        file.write('{"epoch": 2, "lr"')
    assert folder.metrics() == [epoch(1)]


def test_broken_metrics_are_named(tmp_path):
    folder = RunFolder(tmp_path)
    folder.metrics_file.write_text("no json\n")
    with pytest.raises(
        CheckpointError, match=r"metrics\.jsonl:1: not the metrics of an epoch: Invalid JSON"
    ):
        folder.metrics()


def test_of_two_processes_metrics_each_epoch_keeps_its_first_line(tmp_path):
    folder = RunFolder(tmp_path)
    for line, number in enumerate((1, 2, 2, 3, 3, 2, 4)):
        folder.log_epoch(epoch(number) | {"seconds": float(line)})
    kept = [(line["epoch"], line["seconds"]) for line in folder.metrics()]
    assert kept == [(1, 0.0), (2, 1.0), (3, 3.0), (4, 6.0)]
    folder.tidy(3)
    assert len(folder.metrics_file.read_text().splitlines()) == 3
    assert [(line["epoch"], line["seconds"]) for line in folder.metrics()] == kept[:3]


def test_metrics_that_the_checkpoint_needs_are_missed(tmp_path):
    folder = RunFolder(tmp_path / "run")
    folder.path.mkdir()
    for number in (1, 3):
        folder.log_epoch(epoch(number))
    assert folder.metrics() == [epoch(1)]
    message = r"run/metrics\.jsonl: holds 1 of the 3 epochs that .*run/checkpoints/last\.pt ends"
    with pytest.raises(CheckpointError, match=message) as caught:
        folder.tidy(3)
    start = f"`stsm train {folder.recipe_file} --init {folder.checkpoint}` starts from its weights"
    assert caught.value.hint == start
    assert len(folder.metrics_file.read_text().splitlines()) == 2


@pytest.mark.parametrize("write", [RunFolder.log_epoch, lambda f, v: write_json(f.result_file, v)])
def test_what_cannot_be_written_is_named(tmp_path, write):
    (tmp_path / "file").touch()
    folder = RunFolder(tmp_path / "file")
    rule = r"cannot be written \((Not a directory|File exists)"
    with pytest.raises(StsmError, match=rf"file/.*: {rule}"):
        write(folder, epoch(1))


def test_of_a_finished_run_that_two_wrote_each_epoch_counts_once(recipe, tmp_path):
    folder = RunFolder(tmp_path / "run")
    folder.create(recipe, {}, ["a", "b"])
    for line, number in enumerate([1, 1, *range(2, recipe.optim.epochs + 1)]):
        folder.log_epoch(epoch(number) | {"seconds": float(line)})
    kept = [(line["epoch"], line["seconds"]) for line in folder.finished_metrics()]
    assert kept == [(1, 0.0), (2, 2.0)]


@pytest.mark.parametrize(("finished", "kind"), [(True, "finished"), (False, "unfinished")])
def test_no_run(tmp_path, finished, kind):
    with pytest.raises(UsageError, match=f"holds no {kind} run"):
        newest_run(tmp_path, finished=finished)


def test_a_finished_run_has_all_its_epochs(recipe, tmp_path):
    folder = RunFolder(tmp_path / "run")
    folder.create(recipe, {}, ["a", "b"])
    epochs = recipe.optim.epochs
    for number in range(1, epochs):
        folder.log_epoch(epoch(number))
    says = rf"metrics\.jsonl: holds {epochs - 1} of the {epochs} epochs of a finished run"
    with pytest.raises(CheckpointError, match=says):
        folder.finished_metrics()
    folder.log_epoch(epoch(epochs))
    assert len(folder.finished_metrics()) == epochs


ABOUT = {"recipe": "a", "data": "b", "decoder": "pyav"}
RESULT = {
    "name": "a",
    "protocol": "synth-1x1@16",
    "recipe_hash": "0" * 12,
    "num_videos": 9,
    "num_listed": 10,
    "correct": 5,
    "top1": 50.0,
    "top1_interval": [23.6593, 76.3407],
    "top5": 60.0,
    "mean_class": 50.0,
    "pair_accuracy": None,
    "pairs": None,
    "broken": ["val/1.mp4"],
    "seconds_train": 1.5,
    "seconds_eval": 0.5,
}


def without(values, key):
    return {name: value for name, value in values.items() if name != key}


@pytest.fixture
def folder(recipe, tmp_path):
    folder = RunFolder(tmp_path / "my run")
    folder.create(recipe, ABOUT, ())
    return folder


def test_what_a_newer_version_adds_is_kept(folder):
    folder.environment_file.write_text(json.dumps(ABOUT | {"weather": "fine"}))
    folder.result_file.write_text(json.dumps(RESULT | {"weather": "fine"}))
    folder.log_epoch(epoch(1) | {"weather": "fine"})
    for content in (folder.environment(), folder.result(), folder.metrics()[0]):
        assert content["weather"] == "fine"


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("", "Invalid JSON: EOF"),
        ("[]", "Input should be an object"),
        ("{}", "recipe: Field required"),
        (json.dumps(without(ABOUT, "data")), "data: Field required"),
        (json.dumps(ABOUT | {"data": "a\0b"}), "data: String should match pattern"),
        (json.dumps(ABOUT | {"data": ""}), "data: String should have at least 1 character"),
        (json.dumps(ABOUT | {"recipe": 3}), "recipe: Input should be a valid string"),
        (json.dumps(ABOUT | {"numerics": True}), "numerics: Input should be a valid integer"),
        (json.dumps(ABOUT | {"mirror": {}}), r"mirror\.pairs: Field required"),
        (
            json.dumps(ABOUT | {"mirror": {"pairs": [["a"]], "source": ""}}),
            r"mirror\.pairs\.0\.1: ",
        ),
        (json.dumps(ABOUT | {"x": float("nan")}), "Invalid JSON: NaN is no number"),
        (json.dumps(ABOUT)[:-9], "Invalid JSON: EOF"),
        ("[" * 3000, "Invalid JSON: recursion limit exceeded"),
        ('{"x": ' + "9" * 5000 + "," + json.dumps(ABOUT)[1:], "Invalid JSON: number out of range"),
    ],
)
def test_a_damaged_environment_is_named(folder, content, problem):
    folder.environment_file.write_text(content)
    for read in (folder.about, folder.environment):
        with pytest.raises(
            CheckpointError, match=f": not a run's environment: {problem}"
        ) as caught:
            read()
        assert str(caught.value).startswith(f"{folder.environment_file}: ")
        assert "\n" not in str(caught.value)
        assert "it has no checkpoint yet" in caught.value.hint
        folder.checkpoint.touch()
        with pytest.raises(CheckpointError) as caught:
            read()
        folder.checkpoint.unlink()
        assert caught.value.hint == (
            f"`stsm eval '{folder.recipe_file}' --checkpoint '{folder.checkpoint}'` tests its "
            f"weights, `stsm train '{folder.recipe_file}' --init '{folder.checkpoint}'` starts "
            "from them"
        )


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (without(RESULT, "name"), "not a run's result: name: Field required"),
        (RESULT | {"num_listed": 0}, "not a run's result: num_listed: Input should be greater"),
        (RESULT | {"top1": float("nan")}, "not a run's result: top1: Input should be a finite"),
        (RESULT | {"broken": "none"}, "not a run's result: broken: Input should be"),
        (RESULT | {"top1": 51.0}, "top1 is 51 in .* but 5 of 10 videos are 50 %"),
        (RESULT | {"num_videos": 4}, "num_videos is 4, with 5 correct of 10 listed"),
    ],
)
def test_a_damaged_result_is_made_again_from_the_checkpoint(folder, damage, problem):
    assert folder.result() is None
    folder.result_file.write_text(json.dumps(RESULT))
    assert folder.result() == RESULT
    folder.result_file.write_text(json.dumps(damage))
    with pytest.raises(CheckpointError, match=rf"result\.json: {problem}") as caught:
        folder.result()
    assert caught.value.hint == (
        f"move it away; `stsm train --resume --out '{folder.path}'` makes it again"
    )


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (without(epoch(2), "epoch"), "epoch: Field required"),
        (epoch(2) | {"epoch": 2.5}, "epoch: Input should be a valid integer"),
        (epoch(2) | {"seconds": -1}, "seconds: Input should be greater than or equal to 0"),
        (epoch(2) | {"val_top1": "high"}, "val_top1: Input should be a valid number"),
        (epoch(2) | {"train_loss": float("inf")}, "train_loss: Input should be a finite number"),
    ],
)
def test_a_damaged_line_of_metrics_is_named(folder, line, problem):
    folder.log_epoch(epoch(1))
    with folder.metrics_file.open("a") as file:
        file.write(json.dumps(line) + "\n")
    message = rf"metrics\.jsonl:2: not the metrics of an epoch: {problem}"
    with pytest.raises(CheckpointError, match=message):
        folder.metrics()


@pytest.mark.parametrize("name", ["environment.json", "metrics.jsonl", "result.json"])
def test_a_folder_in_the_place_of_a_file_is_named(folder, name):
    (folder.path / name).unlink(missing_ok=True)
    (folder.path / name).mkdir()
    read = {"e": folder.about, "m": folder.metrics, "r": folder.result}[name[0]]
    with pytest.raises(CheckpointError, match=rf"{name}: cannot be read \(Is a directory\)"):
        read()


def test_what_would_not_be_read_is_not_written(folder):
    with pytest.raises(ValueError, match="train_top1"):
        folder.log_epoch(without(epoch(1), "train_top1"))
    with pytest.raises(ValueError, match="num_listed"):
        write_result(folder.result_file, as_stored(Result, RESULT | {"num_listed": 0}))
    assert folder.metrics() == []
    assert folder.result() is None


@pytest.mark.parametrize(
    ("data", "words"),
    [("data/synth", ""), ("my data/synth", " --data '{}'"), ("data/x", " --data {}")],
)
def test_hints_name_the_data_that_are_not_at_their_default_place(recipe, tmp_path, data, words):
    folder, place = RunFolder(tmp_path / "run"), tmp_path / data
    folder.create(recipe, ABOUT | {"data": str(place)}, ())
    folder.checkpoint.touch()
    folder.metrics_file.write_text("no json\n")
    words = words.format(place)
    start = f"`stsm train {folder.recipe_file} --init {folder.checkpoint}{words}`"
    assert folder.begin_from(folder.checkpoint) == start
    with pytest.raises(CheckpointError, match=r"metrics\.jsonl:1") as caught:
        folder.metrics()
    test = f"`stsm eval {folder.recipe_file} --checkpoint {folder.checkpoint}{words}`"
    assert caught.value.hint == f"{test} tests its weights, {start} starts from them"
    folder.recipe_file.write_text("model: [")
    with pytest.raises(RecipeError, match=r"run/recipe\.yaml:1") as caught:
        folder.recipe()  # what it reads by default is unknown
    test = command_line("eval", "RECIPE", "--checkpoint", folder.checkpoint, "--data", place)
    assert caught.value.hint == f"`{test}` tests its weights by another recipe"


def test_a_damaged_recipe_names_what_can_still_be_done(tmp_path):
    folder = RunFolder(tmp_path / "run")
    folder.path.mkdir()
    folder.recipe_file.write_text("model: [")
    with pytest.raises(RecipeError, match=r"run/recipe\.yaml:1") as caught:
        folder.recipe()
    assert caught.value.hint == (
        f"`stsm eval RECIPE --checkpoint {folder.checkpoint}` tests its weights by another recipe"
    )


@pytest.mark.parametrize("name", ["a\nb: c", "a\u2028b", "a\x07b", "synth/tsm + model.init=x\ny"])
def test_a_run_is_read_again_whatever_its_recipe_is_called(recipe, tmp_path, name):
    folder = RunFolder(tmp_path / "run")
    folder.create(recipe, {"recipe": name, "data": "d", "decoder": "pyav"}, ())
    assert folder.recipe() == recipe


def test_classes_that_are_not_those_of_the_training_are_refused(recipe, tmp_path):
    folder = RunFolder(tmp_path / "run")
    known = {"class_hash": hash_of(("a", "b"))}
    folder.create(recipe, ABOUT | known, ("a", "b"))
    assert folder.classes() == ("a", "b")
    folder.classes_file.write_text("a\n")
    with pytest.raises(CheckpointError, match=r"classes\.txt: damaged, it is not the class list"):
        folder.classes()
    folder.classes_file.unlink()
    assert folder.classes() is None
